/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Print how the protection of a guest is doing, once, or at every change.
 *
 * Try it on either host, as root, while a session runs there:
 *
 *     ./examples/status            all sessions of this host
 *     ./examples/status web        one, followed until it ends
 *
 * It reads xenstore only and does not disturb the session.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <colo.h>

static int show(void *user, const struct colo_status *s)
{
    (void)user;
    printf("%s: %s, %s, peer %s, epoch %llu", s->name,
           colo_role_name(s->role), colo_state_name(s->state), s->peer,
           (unsigned long long)s->epoch);
    if (s->last_commit_ms)
        printf(", committed %llu ms ago, pause %.1f ms (median)",
               (unsigned long long)s->last_commit_ms,
               (double)s->pause_median_us / 1e3);
    if (s->error[0])
        printf(", last error: %s", s->error);
    printf("\n");
    fflush(stdout);
    return 0;
}

static void on_event(void *user, const struct colo_event *e)
{
    (void)user;
    switch (e->type) {
    case COLO_EVENT_STATE:
        printf("%s -> %s\n", colo_state_name(e->old_state),
               colo_state_name(e->state));
        break;
    case COLO_EVENT_CHECKPOINT:
        printf("epoch %llu: %llu dirty pages, pause %.1f ms\n",
               (unsigned long long)e->checkpoint->epoch,
               (unsigned long long)e->checkpoint->dirty_pages,
               (double)e->checkpoint->pause_us / 1e3);
        break;
    case COLO_EVENT_PROGRESS:
        printf("first copy: %llu of %llu pages\n",
               (unsigned long long)e->seed_done,
               (unsigned long long)e->seed_total);
        break;
    case COLO_EVENT_WARNING:
        printf("warning: %s\n", e->text);
        break;
    case COLO_EVENT_EXIT:
        printf("ended (%s)%s%s\n", colo_reason_name(e->reason),
               e->text ? ": " : "", e->text ? e->text : "");
        break;
    }
    fflush(stdout);
}

/* 0 the session has ended, < 0 error. */
static int follow(const char *domain, struct colo_error *err)
{
    struct colo_client *client = NULL;
    struct colo_status status;
    int rc;

    rc = colo_connect(domain, &client, err);
    if (rc)
        return rc;
    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    rc = colo_client_query_status(client, &status, err);
    if (!rc) {
        show(NULL, &status);
        rc = colo_client_set_event_fn(client, on_event, NULL, err);
    }
    while (!rc) {
        struct pollfd pfd = { colo_client_get_fd(client), POLLIN, 0 };

        rc = colo_client_process(client, err);
        if (rc <= 0)
            break;
        rc = poll(&pfd, 1, -1) < 0 && errno != EINTR ? COLO_E_SYS : 0;
    }
    colo_client_close(client);
    return rc;
}

int main(int argc, char **argv)
{
    struct colo_error err;
    int rc;

    if (argc > 2) {
        fprintf(stderr, "usage: %s [DOMAIN]\n", argv[0]);
        return 2;
    }
    memset(&err, 0, sizeof(err));
    rc = argc == 2 ? follow(argv[1], &err) :
                     colo_client_list(show, NULL, &err);
    if (rc) {
        fprintf(stderr, "%s: %s\n", err.where, err.text);
        return 1;
    }
    return 0;
}
