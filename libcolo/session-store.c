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
#define MARK_LEAST_MS 10000

/* A disk that is slow for once must not be given up for a short commit. */
static uint64_t mark_ms(const struct colo_config *c)
{
    uint64_t ms = (uint64_t)c->stop_ms + c->commit_ms;

    return ms > MARK_LEAST_MS ? ms : MARK_LEAST_MS;
}

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
    if (!rc && s->role == COLO_ROLE_PRIMARY)
        colo__replication_xenstore_gives(s->proxies);
    else if (!rc)
        colo__replication_xenstore_marks(s->proxies, mark_ms(&s->config));
    if (!rc)
        rc = colo__followers_add(s, s->proxies, err);
    if (rc)
        return rc;
    return colo__session_watch_fd(
        s, colo__store_ops(s->parts.store)->fd(s->parts.store), COLO_FD_STORE,
        err);
}

static int begin_verify(struct colo_session *s, uint64_t seq,
                        struct colo_error *err)
{
    int rc;

    if (s->role != COLO_ROLE_PRIMARY)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "ask on the host where the guest runs");
    if (s->verify_seq)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "the disks are being compared already");
    if (s->state < COLO_STATE_WAITING || s->state >= COLO_STATE_TAKEOVER)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "the guest is not protected now");
    rc = colo__replication_xenstore_verify(s->proxies, err);
    if (!rc)
        s->verify_seq = seq;
    return rc;
}

void colo__session_verify_poll(struct colo_session *s)
{
    uint64_t compared, differing, seq = s->verify_seq;
    struct colo_error err = { 0 }, ignored;
    int rc;

    if (!seq || !s->publish)
        return;
    rc = colo__replication_xenstore_verified(s->proxies, &compared,
                                             &differing, &err);
    if (rc == 1)
        return;
    s->verify_seq = 0;
    if (!rc)
        rc = colo__publish_verified(s->publish, compared, differing, &err);
    if (!rc && differing)
        colo__session_warn(s, "verify: the disks differ; protect the guest "
                              "anew, so that they are copied again");
    if (colo__publish_reply(s->publish, seq, rc ? err.text : NULL, &ignored))
        colo__session_warn(s, ignored.text);
}

static int carry_out(struct colo_session *s, const struct colo_control *c,
                     struct colo_error *err)
{
    int rc;

    switch (c->verb) {
    case COLO_CONTROL_CHECKPOINT:
        return colo_do_checkpoint(s, err);
    case COLO_CONTROL_FAILOVER:
        return colo_session_failover(s, err);
    case COLO_CONTROL_STOP:
        s->operator_stop = true;
        return colo_session_stop(s, err);
    case COLO_CONTROL_DELAY:
        rc = colo_session_set_delay(s, c->arg, err);
        return rc ? rc : colo__publish_interval(s->publish, c->arg, err);
    case COLO_CONTROL_VERIFY:
        return begin_verify(s, c->seq, err);
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
        if (!r && control.verb == COLO_CONTROL_VERIFY)
            continue; /* answered when it is done */
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
