/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo checkpoint, delay, verify, failover, stop: one request to a session that
 * another process runs on this host, and what became of it.
 */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "cli.h"

#define REPLY_MS 10000  /* the session answers a request at once */
#define VERIFY_MS 3600000 /* every disk is read once */
#define FINISH_MS 60000 /* a takeover or an end may start or destroy a guest */

#define WAIT_MAX_S 3600     /* --timeout is at most that */
#define VERIFY_MAX_S 604800 /* a week: disks may be large, or slow */

/* The options that all have: a time limit. */
static bool parse(const struct cli_command *command, int argc, char **argv,
                  int operands, uint64_t max_s, uint32_t *ret_timeout,
                  int *ret_exit)
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
            if (!cli_number("--timeout", optarg, 1, max_s, &seconds))
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

/* ---- what each asks for ------------------------------------------------- */

struct order {
    uint32_t timeout, ms; /* ms: delay */
    struct colo_status *status;
    uint64_t *compared, *differing; /* verify: 64 KiB chunks */
};

static int ask_checkpoint(struct colo_client *client,
                          const struct order *order, struct colo_error *err)
{
    return colo_client_do_checkpoint(client, order->timeout, err);
}

static int ask_delay(struct colo_client *client, const struct order *order,
                     struct colo_error *err)
{
    return colo_client_set_delay(client, order->ms, order->timeout, err);
}

static int ask_verify(struct colo_client *client, const struct order *order,
                      struct colo_error *err)
{
    return colo_client_verify(client, order->timeout, order->compared,
                              order->differing, err);
}

static int say_verified(const char *domain, const struct order *order)
{
    printf("%s: %" PRIu64 " chunks of 64 KiB compared, %" PRIu64 " differ\n",
           domain, *order->compared, *order->differing);
    return *order->differing ? CLI_FAILED : CLI_OK;
}

static int ask_failover(struct colo_client *client, const struct order *order,
                        struct colo_error *err)
{
    /* its last word, if it goes before we have followed it once */
    int rc = colo_client_query_status(client, order->status, err);

    return rc ? rc : colo_client_failover(client, order->timeout, err);
}

static int ask_stop(struct colo_client *client, const struct order *order,
                    struct colo_error *err)
{
    return colo_client_stop(client, order->timeout, err);
}

static bool taken_over(const struct colo_status *status)
{
    return status->state == COLO_STATE_ACTIVE ||
           status->state == COLO_STATE_ENDED;
}

static bool ended(const struct colo_status *status)
{
    return status->state == COLO_STATE_ENDED;
}

static void note_stopped(void *user, const struct colo_check_item *item)
{
    if (!strcmp(item->id, "not-running"))
        *(bool *)user = true;
}

/* A replica stands still, or has been destroyed. */
static bool runs_here(const char *guest)
{
    struct colo_error err;
    bool stopped = false;

    return colo_check_domain(guest, COLO_MODE_REMUS, note_stopped, &stopped,
                             &err) != COLO_E_NOTFOUND && !stopped;
}

/* A takeover that has failed ends the session like one that has not, and what
 * it said last is removed at once: then the guest itself tells. */
static bool came_to_nothing(const struct colo_status *status,
                            const char *domain)
{
    char domid[16]; /* a toolstack that is slow gives it its name later */

    if (status->state == COLO_STATE_ACTIVE)
        return false;
    snprintf(domid, sizeof(domid), "%" PRIu32, status->domid);
    return status->replication_error ||
           !runs_here(status->domid ? domid : domain);
}

/* ---- the way through ---------------------------------------------------- */

struct control {
    const struct cli_command *command;
    int operands;
    uint32_t timeout;
    int (*ask)(struct colo_client *client, const struct order *order,
               struct colo_error *err);
    /* NULL: the answer is all there is; else it is followed until then */
    bool (*done)(const struct colo_status *status);
    bool last_word;       /* an error of a session that has gone counts */
    const char *not_done; /* "DOMAIN: ..." */
    const char *is_done;  /* behind DOMAIN; NULL: nothing is said */
    int (*say)(const char *domain, const struct order *order); /* or this */
};

static const struct control controls[] = {
    {
        .command = &cli_cmd_checkpoint, .operands = 1, .timeout = REPLY_MS,
        .ask = ask_checkpoint, .not_done = "no checkpoint",
    }, {
        .command = &cli_cmd_delay, .operands = 2, .timeout = REPLY_MS,
        .ask = ask_delay, .not_done = "interval not changed",
    }, {
        .command = &cli_cmd_verify, .operands = 1, .timeout = VERIFY_MS,
        .ask = ask_verify, .not_done = "not compared", .say = say_verified,
    }, {
        .command = &cli_cmd_failover, .operands = 1, .timeout = FINISH_MS,
        .ask = ask_failover, .done = taken_over, .last_word = true,
        .not_done = "no takeover",
        .is_done = " runs on this host now, without protection",
    }, {
        .command = &cli_cmd_stop, .operands = 1, .timeout = FINISH_MS,
        .ask = ask_stop, .done = ended, .not_done = "not stopped",
        .is_done = ": protection has ended; the guest runs on without it",
    },
};

static int carry_out(const struct control *control,
                     struct colo_client *client, const char *domain,
                     struct order *order)
{
    struct colo_status status;
    struct colo_error err;
    int rc;

    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    order->status = &status;
    rc = control->ask(client, order, &err);
    if (!rc && control->done)
        rc = cli_client_wait(client, order->timeout, control->done, &status,
                             &err);
    if (rc < 0)
        return cli_fail(&err, "%s: %s", domain, control->not_done);
    if (control->last_word && came_to_nothing(&status, domain)) {
        cli_say("%s: %s: the session has ended: %s", domain,
                control->not_done,
                status.error[0] ? status.error : "see its log");
        cli_say_log(domain);
        return CLI_FAILED;
    }
    if (control->is_done)
        cli_say("%s%s", domain, control->is_done);
    if (control->is_done && !control->last_word && status.replication_error &&
        status.error[0])
        cli_say("%s: it ended with an error: %s", domain, status.error);
    return control->say ? control->say(domain, order) : CLI_OK;
}

static int run(int argc, char **argv)
{
    const struct control *control = controls;
    struct order order = { 0 };
    struct colo_client *client;
    uint64_t ms, compared = 0, differing = 0;
    int code;

    while (strcmp(control->command->name, argv[0]) != 0)
        control++; /* we are called for those only */
    order.timeout = control->timeout;
    order.compared = &compared;
    order.differing = &differing;
    if (!parse(control->command, argc, argv, control->operands,
               control->ask == ask_verify ? VERIFY_MAX_S : WAIT_MAX_S,
               &order.timeout, &code))
        return code;
    if (control->operands > 1) {
        if (!cli_number("interval", argv[optind + 1], 1, 600000, &ms))
            return CLI_USAGE;
        order.ms = (uint32_t)ms;
    }
    client = cli_connect(argv[optind], &code);
    if (!client)
        return code;
    code = carry_out(control, client, argv[optind], &order);
    colo_client_close(client);
    return code;
}

#define TIMEOUT_HELP \
    "  -t, --timeout S   give up after so many seconds\n"

const struct cli_command cli_cmd_checkpoint = {
    "checkpoint", "DOMAIN", "Ask for one checkpoint now", TIMEOUT_HELP,
    run, 0
};

const struct cli_command cli_cmd_delay = {
    "delay", "DOMAIN MS", "Change the time between checkpoints", TIMEOUT_HELP,
    run, 0
};

const struct cli_command cli_cmd_verify = {
    "verify", "DOMAIN", "Compare the disks of both hosts", TIMEOUT_HELP,
    run, 0
};

const struct cli_command cli_cmd_failover = {
    "failover", "DOMAIN", "Make the guest run on this host, alone",
    TIMEOUT_HELP, run, 0
};

const struct cli_command cli_cmd_stop = {
    "stop", "DOMAIN", "End protection; the guest runs on at the primary",
    TIMEOUT_HELP, run, 0
};
