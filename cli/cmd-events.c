/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo events: a line for each change of a session that another process runs.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "json.h"

struct events {
    const char *domain;
    bool json;
};

static void text_event(const struct events *events,
                       const struct colo_event *event)
{
    char pause[CLI_FORMAT_MAX], bytes[CLI_FORMAT_MAX];
    const struct colo_checkpoint_info *info = event->checkpoint;

    printf("%s: ", events->domain);
    switch (event->type) {
    case COLO_EVENT_STATE:
        printf("state %s -> %s\n", colo_state_name(event->old_state),
               colo_state_name(event->state));
        break;
    case COLO_EVENT_CHECKPOINT:
        if (info)
            printf("epoch %" PRIu64 ": pause %s, %" PRIu64 " pages, %s\n",
                   info->epoch, cli_format_us(info->pause_us, pause),
                   info->dirty_pages,
                   cli_format_bytes(info->wire_bytes, bytes));
        else
            printf("checkpoint\n");
        break;
    case COLO_EVENT_PROGRESS:
        printf("first copy: %" PRIu64 " of %" PRIu64 " pages\n",
               event->seed_done, event->seed_total);
        break;
    case COLO_EVENT_WARNING:
        printf("warning: %s\n", event->text ? event->text : "");
        break;
    case COLO_EVENT_EXIT:
        printf("ended: %s%s%s\n", colo_reason_name(event->reason),
               event->text && event->text[0] ? ": " : "",
               event->text ? event->text : "");
        break;
    default: /* of a newer library */
        printf("event %" PRId32 "\n", event->type);
        break;
    }
}

static void json_event(const struct events *events,
                       const struct colo_event *event)
{
    static const char *const names[] = {
        "", "state", "checkpoint", "progress", "warning", "exit"
    };
    yajl_gen gen = cli_json_new();

    if (!gen)
        return;
    yajl_gen_map_open(gen);
    cli_json_text(gen, "event",
                  event->type > 0 && event->type <= COLO_EVENT_EXIT ?
                  names[event->type] : "unknown");
    cli_json_text(gen, "domain", events->domain);
    switch (event->type) {
    case COLO_EVENT_STATE:
        cli_json_text(gen, "state", colo_state_name(event->state));
        cli_json_text(gen, "old_state", colo_state_name(event->old_state));
        break;
    case COLO_EVENT_CHECKPOINT:
        if (event->checkpoint)
            cli_json_checkpoint(gen, "checkpoint", event->checkpoint);
        break;
    case COLO_EVENT_PROGRESS:
        cli_json_number(gen, "seed_done", event->seed_done);
        cli_json_number(gen, "seed_total", event->seed_total);
        cli_json_number(gen, "seed_bytes_per_second",
                        event->seed_bytes_per_second);
        break;
    case COLO_EVENT_EXIT:
        cli_json_text(gen, "mode", colo_mode_name(event->mode));
        cli_json_text(gen, "reason", colo_reason_name(event->reason));
        break;
    }
    if (event->text)
        cli_json_text(gen, "text", event->text);
    yajl_gen_map_close(gen);
    cli_json_end(gen, stdout);
}

static void on_event(void *user, const struct colo_event *event)
{
    const struct events *events = user;

    if (events->json)
        json_event(events, event);
    else
        text_event(events, event);
    fflush(stdout);
}

/* The present state, as the first event. */
static int show_now(struct colo_client *client, struct events *events,
                    struct colo_error *err)
{
    struct colo_status status;
    int rc;

    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    rc = colo_client_query_status(client, &status, err);
    if (rc)
        return rc;
    if (events->json) {
        yajl_gen gen = cli_json_new();

        if (!gen)
            return 0;
        yajl_gen_map_open(gen);
        cli_json_text(gen, "event", "now");
        cli_json_text(gen, "domain", events->domain);
        cli_json_key(gen, "status");
        cli_json_status(gen, &status);
        yajl_gen_map_close(gen);
        cli_json_end(gen, stdout);
    } else {
        printf("%s: state %s, %s, peer %s, epoch %" PRIu64 "\n",
               events->domain, colo_state_name(status.state),
               colo_role_name(status.role), status.peer, status.epoch);
    }
    fflush(stdout);
    return 0;
}

/* Until the session has gone.  Ctrl-C ends the program the usual way: there
 * is nothing to tidy. */
static int follow(struct colo_client *client, struct events *events,
                  struct colo_error *err)
{
    int rc;

    rc = colo_client_set_event_fn(client, on_event, events, err);
    if (rc)
        return rc;
    for (;;) {
        struct pollfd pfd = { colo_client_get_fd(client), POLLIN, 0 };

        rc = colo_client_process(client, err);
        if (rc <= 0 || ferror(stdout))
            return rc < 0 ? rc : 0;
        if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
            return 0;
    }
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "now", no_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };
    struct colo_client *client = NULL;
    struct events events = { NULL, false };
    struct colo_error err;
    bool now = false;
    int c, rc, code;

    while ((c = getopt_long(argc, argv, "jnh", options, NULL)) != -1) {
        switch (c) {
        case 'j':
            events.json = true;
            break;
        case 'n':
            now = true;
            break;
        default:
            return cli_option(&cli_cmd_events, c);
        }
    }
    if (!cli_operands(&cli_cmd_events, argc, 1, 1))
        return CLI_USAGE;
    events.domain = argv[optind];
    client = cli_connect(events.domain, &code);
    if (!client)
        return code;
    rc = show_now(client, &events, &err);
    if (!rc && !now)
        rc = follow(client, &events, &err);
    code = rc ? cli_fail(&err, "%s", events.domain) : CLI_OK;
    if (!rc && !now)
        cli_say("%s: the session has ended", events.domain);
    colo_client_close(client);
    return code;
}

const struct cli_command cli_cmd_events = {
    "events", "DOMAIN [--now] [--json]", "Follow a session, a line an event",
    "  -n, --now    only the present state\n"
    "  -j, --json   a JSON object a line\n",
    run, 0
};
