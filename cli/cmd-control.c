/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo checkpoint, delay, failover, stop: one request to a session that
 * another process runs on this host, and what became of it.
 */
#include <getopt.h>
#include <string.h>

#include "cli.h"

#define REPLY_MS 10000  /* the session answers a request at once */
#define FINISH_MS 60000 /* a takeover or an end may start or destroy a guest */

/* The options that all four have: a time limit. */
static bool parse(const struct cli_command *command, int argc, char **argv,
                  int operands, uint32_t *ret_timeout, int *ret_exit)
{
    static const struct option options[] = {
        { "timeout", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };
    uint64_t seconds;
    int c;

    *ret_exit = CLI_USAGE;
    while ((c = getopt_long(argc, argv, "t:h", options, NULL)) != -1) {
        switch (c) {
        case 't':
            if (!cli_number("--timeout", optarg, 1, 3600, &seconds))
                return false;
            *ret_timeout = (uint32_t)seconds * 1000;
            break;
        default:
            *ret_exit = cli_option(command, c);
            return false;
        }
    }
    return cli_operands(command, argc, operands, operands);
}

static int run_checkpoint(int argc, char **argv)
{
    struct colo_client *client = NULL;
    uint32_t timeout = REPLY_MS;
    struct colo_error err;
    int rc, code;

    if (!parse(&cli_cmd_checkpoint, argc, argv, 1, &timeout, &code))
        return code;
    client = cli_connect(argv[optind], &code);
    if (!client)
        return code;
    rc = colo_client_do_checkpoint(client, timeout, &err);
    if (rc)
        code = cli_fail(&err, "%s: no checkpoint", argv[optind]);
    else
        code = CLI_OK;
    colo_client_close(client);
    return code;
}

static int run_delay(int argc, char **argv)
{
    struct colo_client *client = NULL;
    uint32_t timeout = REPLY_MS;
    struct colo_error err;
    uint64_t ms;
    int rc, code;

    if (!parse(&cli_cmd_delay, argc, argv, 2, &timeout, &code))
        return code;
    if (!cli_number("interval", argv[optind + 1], 1, 600000, &ms))
        return CLI_USAGE;
    client = cli_connect(argv[optind], &code);
    if (!client)
        return code;
    rc = colo_client_set_delay(client, (uint32_t)ms, timeout, &err);
    if (rc)
        code = cli_fail(&err, "%s: interval not changed", argv[optind]);
    else
        code = CLI_OK;
    colo_client_close(client);
    return code;
}

static bool taken_over(const struct colo_status *status)
{
    return status->state == COLO_STATE_ACTIVE ||
           status->state == COLO_STATE_ENDED;
}

static int run_failover(int argc, char **argv)
{
    struct colo_client *client = NULL;
    uint32_t timeout = FINISH_MS;
    struct colo_status status;
    struct colo_error err;
    int rc, code;

    if (!parse(&cli_cmd_failover, argc, argv, 1, &timeout, &code))
        return code;
    client = cli_connect(argv[optind], &code);
    if (!client)
        return code;
    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    rc = colo_client_query_status(client, &status, &err);
    if (!rc)
        rc = colo_client_failover(client, timeout, &err);
    if (!rc)
        rc = cli_client_wait(client, timeout, taken_over, &status, &err);
    if (rc < 0) {
        code = cli_fail(&err, "%s: no takeover", argv[optind]);
    } else if (rc == 0 && !taken_over(&status) && status.error[0]) {
        /* the session has gone, and its last word was an error */
        cli_say("%s: the session has ended: %s", argv[optind], status.error);
        code = CLI_FAILED;
    } else {
        cli_say("%s runs on this host now, without protection",
                argv[optind]);
        code = CLI_OK;
    }
    colo_client_close(client);
    return code;
}

static bool ended(const struct colo_status *status)
{
    return status->state == COLO_STATE_ENDED;
}

static int run_stop(int argc, char **argv)
{
    struct colo_client *client = NULL;
    uint32_t timeout = FINISH_MS;
    struct colo_status status;
    struct colo_error err;
    int rc, code;

    if (!parse(&cli_cmd_stop, argc, argv, 1, &timeout, &code))
        return code;
    client = cli_connect(argv[optind], &code);
    if (!client)
        return code;
    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    rc = colo_client_stop(client, timeout, &err);
    if (!rc)
        rc = cli_client_wait(client, timeout, ended, &status, &err);
    if (rc < 0) {
        code = cli_fail(&err, "%s: not stopped", argv[optind]);
    } else {
        cli_say("%s: protection has ended; the guest runs on without it",
                argv[optind]);
        code = CLI_OK;
    }
    colo_client_close(client);
    return code;
}

#define TIMEOUT_HELP \
    "  -t, --timeout S   give up after so many seconds\n"

const struct cli_command cli_cmd_checkpoint = {
    "checkpoint", "DOMAIN", "Ask for one checkpoint now", TIMEOUT_HELP,
    run_checkpoint, 0
};

const struct cli_command cli_cmd_delay = {
    "delay", "DOMAIN MS", "Change the time between checkpoints", TIMEOUT_HELP,
    run_delay, 0
};

const struct cli_command cli_cmd_failover = {
    "failover", "DOMAIN", "Make the guest run on this host, alone",
    TIMEOUT_HELP, run_failover, 0
};

const struct cli_command cli_cmd_stop = {
    "stop", "DOMAIN", "End protection; the guest runs on at the primary",
    TIMEOUT_HELP, run_stop, 0
};
