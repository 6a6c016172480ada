/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo status: all sessions of this host as a list, or one on one screen.
 */
#include <getopt.h>
#include <string.h>

#include "json.h"

struct list {
    yajl_gen gen; /* NULL: text */
    bool any;
};

static int list_one(void *user, const struct colo_status *status)
{
    struct list *list = user;

    if (list->gen) {
        cli_json_status(list->gen, status);
    } else {
        if (!list->any)
            cli_status_line_header(stdout);
        cli_status_line(status, stdout);
    }
    list->any = true;
    return 0;
}

static int list_all(bool json)
{
    struct list list = { NULL, false };
    struct colo_error err;
    int rc;

    if (json) {
        list.gen = cli_json_new();
        if (!list.gen)
            return CLI_FAILED;
        yajl_gen_array_open(list.gen);
    }
    rc = colo_client_list(list_one, &list, &err);
    if (list.gen) {
        yajl_gen_array_close(list.gen);
        cli_json_end(list.gen, rc ? stderr : stdout);
    }
    if (rc)
        return cli_fail(&err, "status");
    if (!list.any && !json)
        cli_say("no session on this host");
    return CLI_OK;
}

static int show_one(const char *domain, bool json)
{
    struct colo_client *client = NULL;
    struct colo_status status;
    struct colo_error err;
    int rc, code;

    client = cli_connect(domain, &code);
    if (!client)
        return code;
    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    rc = colo_client_query_status(client, &status, &err);
    colo_client_close(client);
    if (rc)
        return cli_fail(&err, "%s", domain);
    if (json) {
        yajl_gen gen = cli_json_new();

        if (!gen)
            return CLI_FAILED;
        cli_json_status(gen, &status);
        cli_json_end(gen, stdout);
    } else {
        cli_status_text(&status, stdout);
    }
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };
    bool json = false;
    int c;

    while ((c = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
        switch (c) {
        case 'j':
            json = true;
            break;
        default:
            return cli_option(&cli_cmd_status, c);
        }
    }
    if (!cli_operands(&cli_cmd_status, argc, 0, 1))
        return CLI_USAGE;
    return optind < argc ? show_one(argv[optind], json) : list_all(json);
}

const struct cli_command cli_cmd_status = {
    "status", "[DOMAIN] [--json]", "Show the sessions of this host",
    "  -j, --json   as JSON: an object, or an array without DOMAIN\n",
    run, 0
};
