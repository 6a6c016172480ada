/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A session in xenstore: joins it once the guest is known, carries out what
 * others write to its control node, and keeps the status nodes fresh.  Called
 * by the loop, on the session's thread.  The nodes are xenstore/publish.c's and
 * xenstore/replication-xenstore.c's.
 */
#include "../xenstore/publish.h"
#include "session-internal.h"

/* figures in xenstore are this fresh while checkpoints follow each other */
#define PUBLISH_US 500000

int colo__session_publish(struct colo_session *s, struct colo_error *err)
{
    char uuid[COLO_UUID_TEXT];
    int rc;

    if (!s->parts.store || s->publish)
        return 0;
    colo__uuid_text(s->info.uuid, uuid);
    rc = colo__publish_open(s->parts.store, uuid, s->role, &s->publish, err);
    if (rc)
        return rc;
    rc = colo__replication_xenstore_new(s->parts.store, uuid, s->log,
                                        &s->proxies, err);
    if (!rc)
        rc = colo__followers_add(s, s->proxies, err);
    if (rc)
        return rc;
    return colo__session_watch_fd(
        s, colo__store_ops(s->parts.store)->fd(s->parts.store), COLO_FD_STORE,
        err);
}

static int carry_out(struct colo_session *s, const struct colo_control *c,
                     struct colo_error *err)
{
    switch (c->verb) {
    case COLO_CONTROL_CHECKPOINT:
        return colo_do_checkpoint(s, err);
    case COLO_CONTROL_FAILOVER:
        return colo_session_failover(s, err);
    case COLO_CONTROL_STOP:
        return colo_session_stop(s, err);
    case COLO_CONTROL_DELAY:
        return colo_session_set_delay(s, c->arg, err);
    default:
        return colo__fail(err, COLO_E_INVAL, 0, "session", "control verb %d",
                          c->verb);
    }
}

void colo__session_read_store(struct colo_session *s)
{
    const struct colo_store_ops *ops;
    struct colo_error err = { 0 };
    char token[256];

    if (!s->publish)
        return;
    ops = colo__store_ops(s->parts.store);
    for (;;) {
        struct colo_control control;
        int r = ops->next(s->parts.store, token, sizeof(token), &err);

        if (r < 0)
            colo__session_warn(s, err.text);
        if (r <= 0)
            return;
        if (s->proxies) {
            r = colo__replication_xenstore_watch(s->proxies, token, &err);
            if (r < 0)
                colo__session_error(s, &err);
            if (r)
                continue;
        }
        r = colo__publish_control(s->publish, token, &control, &err);
        if (r < 0)
            colo__session_warn(s, err.text);
        if (r <= 0)
            continue;
        r = carry_out(s, &control, &err);
        if (colo__publish_reply(s->publish, control.seq,
                                r ? err.text : NULL, &err))
            colo__session_warn(s, err.text);
    }
}

/* The steps of one checkpoint are not worth a xenstore write each: what
 * watchers see is the state between checkpoints. */
bool colo__session_passing_state(int state)
{
    return state == COLO_STATE_REQUESTED || state == COLO_STATE_STOPPING ||
           state == COLO_STATE_COMMITTING || state == COLO_STATE_RECEIVING ||
           state == COLO_STATE_LOADING;
}

void colo__session_publish_status(struct colo_session *s)
{
    struct colo_status status = { .size = sizeof(status) };
    struct colo_error err = { 0 };
    uint64_t now = colo__now_us(s->clock);

    if (!s->publish || !s->status_dirty ||
        (colo__session_passing_state(s->state) &&
         now - s->published_us < PUBLISH_US))
        return;
    /* xenstored has the guest's suspend to serve now: not in its way */
    if (s->state == COLO_STATE_REQUESTED || s->state == COLO_STATE_STOPPING)
        return;
    s->status_dirty = false;
    s->published_us = now;
    if (colo_query_status(s, &status, &err))
        return;
    if (colo__session_passing_state(s->state))
        status.state = s->role == COLO_ROLE_PRIMARY ? COLO_STATE_WAITING
                                                    : COLO_STATE_READY;
    if (colo__publish_status(s->publish, &status, &err))
        colo__log(s->log, COLO_LOG_WARNING, -1, "xenstore", "%s", err.text);
}

void colo__session_publish_checkpoint(struct colo_session *s,
                                      const struct colo_checkpoint_info *info)
{
    struct colo_error err;

    if (s->publish && colo__publish_checkpoint(s->publish, info, &err))
        colo__log(s->log, COLO_LOG_WARNING, -1, "xenstore", "%s", err.text);
}
