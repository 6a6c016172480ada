/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Everything that follows the checkpoints of a session, called as one (QEMU's
 * replication_*_all).  Session's thread.
 */
#include <poll.h>

#include "session-internal.h"

#define STOP_MS 2000 /* what is held waits so long for the disks, no longer */

#define FOR_EACH(s, r)                                                         \
    for (struct colo_replication **r##_p = (s)->parts.replication, *r;         \
         r##_p < (s)->parts.replication + COLO_MAX_REPLICATION &&              \
         (r = *r##_p, true);                                                   \
         r##_p++)                                                              \
        if (r)

int colo__followers_add(struct colo_session *s, struct colo_replication *r,
                        struct colo_error *err)
{
    for (size_t i = 0; i < COLO_MAX_REPLICATION; i++) {
        if (s->parts.replication[i])
            continue;
        s->parts.replication[i] = r;
        return colo__session_watch_fd(s, colo__replication_ops(r)->fd(r),
                                      COLO_FD_REPLICATION, err);
    }
    colo__replication_ops(r)->close(r);
    return colo__fail(err, COLO_E_LIMIT, 0, "session",
                      "more than %d followers", COLO_MAX_REPLICATION);
}

int colo__followers_prepare(struct colo_session *s, struct colo_error *err)
{
    s->prepared = true; /* from here on they want to be stopped */
    FOR_EACH(s, r) {
        const struct colo_replication_ops *ops = colo__replication_ops(r);
        int rc = ops->prepare ? ops->prepare(r, s->config.mode, err) : 0;

        if (rc)
            return rc;
    }
    return 0;
}

int colo__followers_start(struct colo_session *s, struct colo_error *err)
{
    FOR_EACH(s, r) {
        const struct colo_replication_ops *ops = colo__replication_ops(r);
        int rc = ops->start ? ops->start(r, s->config.mode, err) : 0;

        if (rc)
            return rc;
    }
    return 0;
}

int colo__followers_checkpoint(struct colo_session *s, uint64_t epoch,
                               struct colo_error *err)
{
    FOR_EACH(s, r) {
        int rc = colo__replication_ops(r)->checkpoint(r, epoch, err);

        if (rc)
            return rc;
    }
    return 0;
}

int colo__followers_commit(struct colo_session *s, uint64_t epoch,
                           struct colo_error *err)
{
    FOR_EACH(s, r) {
        int rc = colo__replication_ops(r)->commit(r, epoch, err);

        if (rc)
            return rc;
    }
    return 0;
}

/* A primary's give up the guest, every one of them: who would only be told to
 * stop would keep a copy that passes for the newest.  A backup that lacks one
 * does not take over, and the others must not think that it did. */
int colo__followers_failover(struct colo_session *s, struct colo_error *err)
{
    struct colo_error why;
    int rc = 0;

    FOR_EACH(s, r) {
        int one = colo__replication_ops(r)->failover(r, &why);

        if (one && !rc) {
            rc = one;
            if (err)
                *err = why;
        }
        if (rc && s->role == COLO_ROLE_SECONDARY)
            return rc;
    }
    return rc;
}

static void warn_it_runs(struct colo_session *s, const struct colo_error *why)
{
    struct colo_error err;

    colo__fail(&err, why->code, 0, "followers", "the guest runs here, but: %s",
               why->text);
    colo__session_warn(s, err.text);
}

/* The guest runs already: what cannot let it be heard is a warning. */
void colo__followers_speak(struct colo_session *s)
{
    FOR_EACH(s, r) {
        struct colo_error err;

        if (colo__replication_ops(r)->speak &&
            colo__replication_ops(r)->speak(r, &err))
            warn_it_runs(s, &err);
    }
}

bool colo__followers_speaking(struct colo_session *s)
{
    struct colo_error err;
    int rc = colo__followers_pending(s, &err);

    if (s->s.spoke)
        return true; /* what they say now is nobody's */
    if (rc > 0 && colo__now_us(s->clock) < s->state_deadline_us)
        return false;
    if (rc > 0)
        colo__fail(&err, COLO_E_TIMEOUT, 0, "replication",
                   "what lets its output out does not answer");
    if (rc)
        warn_it_runs(s, &err);
    s->s.spoke = true;
    return true;
}

void colo__followers_undone(struct colo_session *s)
{
    FOR_EACH(s, r) {
        if (colo__replication_ops(r)->undone)
            colo__replication_ops(r)->undone(r);
    }
}

int colo__followers_pending(struct colo_session *s, struct colo_error *err)
{
    int waiting = 0;

    FOR_EACH(s, r) {
        bool diverged = false;
        int rc = colo__replication_ops(r)->pending(r, &diverged, err);

        if (rc < 0)
            return rc;
        waiting |= rc;
        if (diverged && colo__both_run(s))
            s->diverged = true;
        else if (diverged)
            atomic_fetch_or(&s->wants, COLO_WANT_CHECKPOINT);
    }
    return waiting;
}

/* Wait for something that a follower may have to say, at most until then. */
static void wait_for_followers(struct colo_session *s, uint64_t until_us)
{
    struct pollfd pfds[COLO_MAX_REPLICATION + 1];
    struct colo_store *store = s->publish ? s->parts.store : NULL;
    uint64_t now = colo__now_us(s->clock);
    int n = 0, ms = (int)((until_us - now) / 1000) + 1;

    if (now >= until_us)
        return;
    colo__session_beat(s);
    if (ms > (int)s->config.heartbeat_ms)
        ms = (int)s->config.heartbeat_ms;

    FOR_EACH(s, r) {
        pfds[n].fd = colo__replication_ops(r)->fd(r);
        pfds[n].events = POLLIN;
        if (pfds[n].fd >= 0)
            n++;
        else
            ms = 1; /* this one can only be asked */
    }
    /* not all of them have a socket */
    pfds[n].fd = store ? colo__store_ops(store)->fd(store) : -1;
    pfds[n].events = POLLIN;
    if (poll(pfds, (nfds_t)n + 1, ms) > 0 && (pfds[n].revents & POLLIN))
        colo__session_read_store(s);
}

int colo__followers_settle(struct colo_session *s, uint32_t limit_ms,
                           struct colo_error *err)
{
    uint64_t until = colo__now_us(s->clock) + (uint64_t)limit_ms * 1000;
    int rc;

    while ((rc = colo__followers_pending(s, err)) > 0) {
        if (colo__now_us(s->clock) >= until)
            return colo__fail(err, COLO_E_TIMEOUT, 0, "replication",
                              "a disk or another follower did not mark the "
                              "end of epoch %llu within %u ms",
                              (unsigned long long)s->epoch, limit_ms);
        wait_for_followers(s, until);
    }
    return rc;
}

/* Until all have answered stop, or failed, or time is over. */
static void wait_stopped(struct colo_session *s)
{
    uint64_t until = colo__now_us(s->clock) + STOP_MS * 1000;

    for (;;) {
        bool waiting = false;

        FOR_EACH(s, r) {
            struct colo_error ignored;
            bool diverged = false;
            int rc = colo__replication_ops(r)->pending(r, &diverged, &ignored);

            waiting |= rc > 0 && colo__replication_ops(r)->stop;
        }
        if (!waiting || colo__now_us(s->clock) >= until)
            return;
        wait_for_followers(s, until);
    }
}

/* What a primary's guest has said is held until its disks know durably that
 * they go on alone: if this host died in between, they would pass for a copy
 * that is behind what the world has heard.  And the disks of a takeover that
 * was undone must have heard of it before their processes are let go. */
void colo__followers_stop(struct colo_session *s)
{
    bool holds = false;

    /* every one of them, whatever the others say */
    FOR_EACH(s, r) {
        const struct colo_replication_ops *ops = colo__replication_ops(r);
        struct colo_error err;

        holds |= ops->release != NULL;
        if (ops->stop && ops->stop(r, &err))
            colo__session_warn(s, err.text);
    }
    if (s->role == COLO_ROLE_PRIMARY ? holds && !s->guest_gone : s->s.undone)
        wait_stopped(s);
    FOR_EACH(s, r) {
        const struct colo_replication_ops *ops = colo__replication_ops(r);
        struct colo_error err;

        if (ops->release && ops->release(r, &err))
            colo__session_warn(s, err.text);
    }
}

bool colo__followers_in_step(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc = colo__followers_pending(s, &err);

    if (rc < 0)
        colo__session_error(s, &err);
    else if (rc)
        s->state_deadline_us = colo__now_us(s->clock) +
                               (uint64_t)s->config.seed_ms * 1000;
    return rc == 0;
}

void colo__arbiter_poll(struct colo_session *s)
{
    struct colo_arbiter *a = s->parts.arbiter;
    struct colo_error err = { 0 };
    int rc = 0;

    if (!s->arbiter_asked) {
        s->arbiter_asked = true;
        rc = colo__arbiter_ops(a)->ask(a, s->role, &err);
    }
    if (!rc)
        rc = colo__arbiter_ops(a)->answer(a, &err);
    if (!rc)
        colo__session_raise(s, COLO_EV_MAY_RUN);
    else if (rc == COLO_E_REFUSED)
        colo__session_raise(s, COLO_EV_MUST_NOT);
    else if (rc < 0)
        colo__session_error(s, &err);
}
