/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * How a replica comes to life, and how it ends otherwise.  It is started from
 * the last epoch that was applied whole, when the arbiter has said yes and its
 * disks are at that epoch, too; or it is destroyed.  Session's thread.
 */
#include "secondary-internal.h"

int colo__secondary_failover(struct colo_session *s, int to,
                             struct colo_error *err)
{
    if (colo__failover_check(s->failover, to))
        return colo__fail(err, COLO_E_STATE, 0, "failover",
                          "%s does not become %s",
                          colo__failover_name(s->failover),
                          colo__failover_name(to));
    colo__log(s->log, COLO_LOG_DEBUG, -1, "failover", "%s -> %s",
              colo__failover_name(s->failover), colo__failover_name(to));
    s->failover = to;
    return 0;
}

/* Make the worker's job end soon, if it is one that can be given up. */
void colo__secondary_abort_job(struct colo_session *s)
{
    struct colo_link *bulk = s->parts.bulk;

    if (s->s.job == COLO_JOB_NONE || s->s.job == COLO_JOB_APPLY)
        return;
    atomic_store(&s->s.receive.abort, true);
    if (bulk)
        colo__link_ops(bulk)->shutdown(bulk);
}

static int begin_failover(struct colo_session *s, struct colo_error *err)
{
    int rc = 0;

    if (s->failover == COLO_FAILOVER_NONE)
        rc = colo__secondary_failover(s, COLO_FAILOVER_REQUIRE, err);
    if (!rc && s->failover == COLO_FAILOVER_REQUIRE)
        rc = colo__secondary_failover(s, COLO_FAILOVER_ACTIVE, err);
    return rc;
}

int colo__secondary_ask(struct colo_session *s, struct colo_error *err)
{
    int rc;

    if (!s->committed)
        return colo__fail(err, COLO_E_PEER, 0, "failover",
                          "the primary was lost before the first epoch was "
                          "whole: there is nothing to take over");
    /* before the primary gives up a guest that is well */
    if (s->operator_failover && !s->link_dead && s->s.told_end)
        return colo__fail(err, COLO_E_GUEST, 0, "failover", "the replica has "
                          "shut down by itself: the guest stays where it is");
    rc = begin_failover(s, err);
    if (rc)
        return rc;
    colo__secondary_abort_job(s);
    s->arbiter_asked = false;
    s->s.await_yield = s->operator_failover && !s->link_dead;
    if (s->s.await_yield)
        colo__control_send(s, COLO_MSG_STOP, s->epoch, 1, NULL, 0);
    return 0;
}

int colo__secondary_relaunch(struct colo_session *s, struct colo_error *err)
{
    int rc;

    if (s->failover == COLO_FAILOVER_RELAUNCH)
        return 0;
    rc = begin_failover(s, err);
    if (rc)
        return rc;
    return colo__secondary_failover(s, COLO_FAILOVER_RELAUNCH, err);
}

/* The replica, which may be a copy that runs already, is destroyed by the end
 * that follows, and the disks hear that theirs are not the newest copies.  Not
 * so where the guest may have been started here, or has ended there for us. */
void colo__secondary_undo(struct colo_session *s)
{
    struct colo_error ignored;

    if (s->s.tried)
        return;
    (void)colo__secondary_failover(s, COLO_FAILOVER_NONE, &ignored);
    s->s.undone = s->s.told && !s->s.primary_ended;
}

/* The primary was only held up, and its guest runs. */
static bool has_gone_on(struct colo_session *s)
{
    if (!colo__control_look_back(s))
        return false;
    colo__secondary_undo(s);
    return true;
}

/* In ARBITRATING: one thing after the other, none of them waited for. */
void colo__secondary_arbitrate(struct colo_session *s)
{
    if (s->s.job != COLO_JOB_NONE)
        return;
    if (s->s.await_yield && !s->link_dead &&
        colo__now_us(s->clock) < s->state_deadline_us)
        return;
    s->s.await_yield = false;
    if (!has_gone_on(s))
        colo__arbiter_poll(s);
}

/* The domain of a streamed guest is made only now, which may take the
 * toolstack long: that time is not the followers'. */
static int end_stream(struct colo_session *s, struct colo_error *err)
{
    uint64_t begin = colo__now_us(s->clock);
    struct colo_hv_info info;
    int rc = colo__session_hv(s)->machine->set(s->parts.hv, NULL, 0, err);

    if (!rc)
        rc = colo__session_hv(s)->info(s->parts.hv, &info, err);
    if (rc)
        return rc;
    s->info.domid = info.domid;
    s->state_deadline_us += colo__now_us(s->clock) - begin;
    return 0;
}

int colo__secondary_take_over(struct colo_session *s, struct colo_error *err)
{
    /* Memory of two moments is worse than no guest: a person must look. */
    int rc = colo__secondary_check_paused(s, err);

    if (rc)
        return rc;
    colo__session_step_hook(s, "takeover");
    rc = s->info.streamed
             ? end_stream(s, err)
         : colo__both_run(s)
             ? colo__secondary_let_run(s, err)
             : colo__session_hv(s)->machine->set(s->parts.hv, s->s.state,
                                                 s->s.state_len, err);
    if (rc)
        return rc;
    s->s.told = true;
    return colo__followers_failover(s, err);
}

static int start_guest(struct colo_session *s, struct colo_error *err)
{
    int rc = colo__secondary_check_ended(s, err);

    if (rc)
        return rc;
    s->s.tried = true;
    rc = colo__session_hv(s)->life->start(s->parts.hv, err);
    if (rc)
        return rc;
    s->s.replica = false; /* it is the guest now: never destroyed by us */
    /* a primary that was only held up goes on where it stood when it comes
     * back, and finds this before anything else; or is killed instead */
    if (s->silent) {
        colo__control_send_back(s, COLO_MSG_STOP, 1, "");
        colo__control_part(s);
    }
    rc = colo__secondary_failover(s, COLO_FAILOVER_COMPLETED, err);
    if (rc)
        return rc;
    colo__followers_speak(s);
    colo__session_step_hook(s, "started");
    colo__session_raise(s, COLO_EV_STARTED);
    return 0;
}

/* In TAKEOVER: disks must be at the last epoch before the guest reads or
 * writes them.  One that cannot be there is a reason not to start it. */
void colo__secondary_start(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc;

    if (s->failover != COLO_FAILOVER_ACTIVE || !s->s.replica)
        return;
    rc = colo__followers_pending(s, &err);
    /* that may have taken longer than the primary was held up, and be over
     * because of a disk that cannot */
    if (rc <= 0 && has_gone_on(s))
        return;
    if (!rc)
        rc = start_guest(s, &err);
    if (rc < 0)
        colo__session_error(s, &err);
}

int colo__secondary_hand_over(struct colo_session *s, struct colo_error *err)
{
    struct colo_error warn;

    (void)err;
    colo__log(s->log, COLO_LOG_NOTICE, -1, "failover",
              "'%s' runs here now, from epoch %llu", s->info.name,
              (unsigned long long)s->epoch);
    /* the guest runs: what is missing now is a warning and no failure */
    if (s->s.tracking && colo__session_hv(s)->track(s->parts.hv, 0, &warn))
        colo__session_warn(s, warn.text);
    /* a toolstack may be long in coming to it: the network first */
    colo__network_announce(s);
    (void)colo__network_announced(s);
    if (colo__session_hv(s)->life->abandon(s->parts.hv, &warn))
        colo__session_warn(s, warn.text);
    return 0;
}

/* ---- the end ----------------------------------------------------------- */

void colo__secondary_end_further(struct colo_session *s)
{
    struct colo_error err = { 0 };

    if (s->s.job != COLO_JOB_NONE)
        return;
    if (s->s.replica) {
        if (colo__session_hv(s)->life->destroy(s->parts.hv, &err)) {
            colo__session_error(s, &err);
            return;
        }
        s->s.replica = false;
    }
    /* the primary waits for this, whoever began */
    if (s->s.answer_stop || (s->operator_stop && s->peer_known)) {
        s->s.answer_stop = false;
        colo__control_send(s, COLO_MSG_STOP, s->epoch, 0, NULL, 0);
    }
    colo__session_raise(s, COLO_EV_DONE);
}

void colo__secondary_finish(struct colo_session *s)
{
    struct colo_error err = { 0 };

    /* A replica that could not be started, or loaded, is left for a person to
     * look at; any other that is still here is of no use. */
    if (s->s.replica && s->failover != COLO_FAILOVER_ACTIVE && !s->s.kept) {
        if (colo__session_hv(s)->life->destroy(s->parts.hv, &err))
            colo__session_warn(s, err.text);
        s->s.replica = false;
    }
    /* a disk that was told of the takeover would pass for the newest copy */
    if (s->s.undone)
        colo__followers_undone(s);
    colo__followers_stop(s);
    colo__disks_stop(s);
    colo__nets_stop(s);
}
