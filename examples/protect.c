/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Protects a guest from C, in the simplest way: open, run, close.
 *
 * Try it as root on the primary host, with libcolo installed on both hosts:
 *     ./protect web host2
 * Ctrl-C is the default one and kills the program without a goodbye: run
 * `colo recover` then.  See colo(1) for a tool that does all of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <colo.h>

/* Called in colo_session_run(), on this thread. */
static void on_event(void *user, const struct colo_event *event)
{
    const char *domain = user;

    switch (event->type) {
    case COLO_EVENT_STATE:
        printf("%s: %s -> %s\n", domain, colo_state_name(event->old_state),
               colo_state_name(event->state));
        break;
    case COLO_EVENT_PROGRESS:
        printf("%s: first copy: %" PRIu64 " of %" PRIu64 " pages\n", domain,
               event->seed_done, event->seed_total);
        break;
    case COLO_EVENT_CHECKPOINT:
        printf("%s: epoch %" PRIu64 ": %" PRIu64 " pages, the guest stood "
               "still for %" PRIu64 " us\n", domain, event->checkpoint->epoch,
               event->checkpoint->dirty_pages, event->checkpoint->pause_us);
        break;
    case COLO_EVENT_WARNING:
        printf("%s: %s\n", domain, event->text);
        break;
    case COLO_EVENT_EXIT:
        printf("%s: protection has ended: %s\n", domain,
               colo_reason_name(event->reason));
        break;
    }
}

int main(int argc, char **argv)
{
    struct colo_session *session = NULL;
    struct colo_config config;
    struct colo_error err;
    int rc;

    if (argc != 3) {
        fprintf(stderr, "usage: protect DOMAIN HOST\n");
        return EXIT_FAILURE;
    }
    rc = colo_config_init(&config, sizeof(config));
    if (rc) {
        fprintf(stderr, "protect: built for a newer libcolo\n");
        return EXIT_FAILURE;
    }
    config.role = COLO_ROLE_PRIMARY;
    config.domain = argv[1];
    config.peer = argv[2];
    config.event_fn = on_event;
    config.event_user = argv[1];

    rc = colo_session_open(&config, &session, &err);
    if (!rc)
        rc = colo_session_run(session, &err); /* as long as it lasts */
    if (rc)
        fprintf(stderr, "protect: %s: %s\n", err.where, err.text);
    colo_session_close(session);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
