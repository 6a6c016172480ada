/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo recover, and colo version.
 */
#include <getopt.h>

#include "cli.h"

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        { "verbose", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };
    struct colo_error err;
    struct colo_log log;
    int verbose = 1, rc, c;

    while ((c = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
        if (c != 'v')
            return cli_option(&cli_cmd_recover, c);
        verbose++;
    }
    if (!cli_operands(&cli_cmd_recover, argc, 0, 0))
        return CLI_USAGE;
    log = cli_log(verbose);
    rc = colo_recover(&log, &err);
    if (rc < 0)
        return cli_fail(&err, "recover");
    if (rc == 0)
        printf("nothing was left over\n");
    else
        printf("%d session%s put right\n", rc, rc == 1 ? "" : "s");
    return CLI_OK;
}

const struct cli_command cli_cmd_recover = {
    "recover", "", "Put right what killed sessions left on this host",
    "  -v, --verbose   say everything that is looked at\n",
    run, CLI_NO_RECOVER
};

static int run_version(int argc, char **argv)
{
    static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
        return cli_option(&cli_cmd_version, c);
    if (!cli_operands(&cli_cmd_version, argc, 0, 0))
        return CLI_USAGE;
    printf("colo %s\nfeatures: %s\n", COLO_VERSION, colo_features());
    return CLI_OK;
}

const struct cli_command cli_cmd_version = {
    "version", "", "Print the version and what this build can do", NULL,
    run_version, CLI_NO_RECOVER
};
