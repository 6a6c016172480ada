/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The `colo` command: finds the subcommand in the table and runs it.
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* In the order of the help. */
static const struct cli_command *const commands[] = {
    &cli_cmd_check,
    &cli_cmd_protect,
    &cli_cmd_status,
    &cli_cmd_events,
    &cli_cmd_checkpoint,
    &cli_cmd_delay,
    &cli_cmd_verify,
    &cli_cmd_failover,
    &cli_cmd_stop,
    &cli_cmd_recover,
    &cli_cmd_receive,
    &cli_cmd_version,
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct cli_command *find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    }
    return NULL;
}

static void help(FILE *out)
{
    fputs("usage: colo COMMAND [ARGUMENT...]\n\n"
          "Keeps a Xen guest alive when its host dies.\n\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-11s %s\n", commands[i]->name,
                commands[i]->summary);
    fputs("\n`colo COMMAND --help` for one command; colo(1) for all.\n", out);
}

static int help_command(int argc, char **argv)
{
    const struct cli_command *command;

    if (argc < 2) {
        help(stdout);
        return CLI_OK;
    }
    command = find(argv[1]);
    if (!command) {
        cli_say("%s: no such command (see `colo help`)", argv[1]);
        return CLI_USAGE;
    }
    cli_usage(command, stdout);
    return CLI_OK;
}

void cli_recover(void)
{
    struct colo_log log = cli_log(0);
    struct colo_error err;
    int rc = colo_recover(&log, &err);

    if (rc > 0)
        cli_say("put right what %d killed session%s had left", rc,
                rc == 1 ? "" : "s");
    /* without xenstore nothing is known to be left, and the command itself
     * says that it is not there */
    if (rc < 0 && rc != COLO_E_STORE)
        cli_say("what a killed session left could not be put right: %s; see "
                "`colo recover -v`", err.text);
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    const struct cli_command *command;

    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        help(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") ||
        !strcmp(argv[1], "-h"))
        return help_command(argc - 1, argv + 1);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return cli_cmd_version.run(1, argv + 1);
    command = find(argv[1]);
    if (!command) {
        cli_say("%s: no such command (see `colo help`)", argv[1]);
        return CLI_USAGE;
    }
    if (!(command->flags & CLI_NO_RECOVER) && !asks_for_help(argc, argv))
        cli_recover();
    return command->run(argc - 1, argv + 1);
}
