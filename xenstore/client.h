/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The inside of a colo_client, shared by client.c (connect, status),
 * client-request.c (requests) and client-events.c (following).  One thread
 * per client.
 */
#ifndef COLO_CLIENT_H
#define COLO_CLIENT_H

#include "sessions.h"

struct colo_client {
    struct colo_store *store;   /* owned */
    char uuid[COLO_XS_UUID_MAX];
    char owner_text[64];
    int pidfd;                  /* of the session's process */
    int epfd;                   /* what get_fd gives: store, pidfd, wakeup */
    int wakeup;                 /* eventfd: watches were taken in, but not
                                   handled, by a request that waited */
    bool watching_reply, watching_rest;
    /* watches that have fired since they were handled */
    bool fired_reply, fired_owner, fired_state, fired_checkpoint,
        fired_progress, fired_error, fired_exit;
    bool gone, exit_sent;
    bool ended;          /* mode, reason and error are how it ended */
    colo_event_fn *event_fn;
    void *event_user;
    /* what was told last, so that a watch that fires for nothing is quiet */
    int32_t state, mode, reason;
    char checkpoint[512], progress[128], error[256];
};

/* colo__client_new - find the session of domain in store.  store belongs to
 * the client afterwards, also when this fails. */
int colo__client_new(struct colo_store *store, const char *domain,
                     struct colo_client **ret_client, struct colo_error *err);

int colo__client_watch(struct colo_client *client, const char *node,
                       struct colo_error *err);

/* colo__client_drain - take in all watches that have fired. */
int colo__client_drain(struct colo_client *client, struct colo_error *err);

/* colo__client_check_gone - sets client->gone. */
int colo__client_check_gone(struct colo_client *client,
                            struct colo_error *err);

#endif
