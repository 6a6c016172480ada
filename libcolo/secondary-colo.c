/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The secondary in mode colo: its replica runs between epochs, is stopped for
 * each, says what it wrote, and goes on from the epoch.  Until one is whole
 * the replica is only read, so that at any moment it can go on by itself from
 * where it is.  Session's thread; the worker owns the replica while it is busy.
 */
#include <poll.h>
#include <stdio.h>

#include "secondary-internal.h"

/* A device model that was slow once takes its state the next time; each may
 * take as long as hv lets it. */
#define RELAUNCH_TRIES 5
#define RELAUNCH_PAUSE_MS 100

static int submit(struct colo_session *s, int job, colo_job_fn *fn,
                  struct colo_error *err)
{
    int rc = colo__worker_submit(s->worker, fn, &s->s.report, err);

    if (!rc)
        s->s.job = job;
    return rc;
}

static int ask_to_stop(struct colo_session *s, struct colo_error *err)
{
    s->s.halting = true;
    return colo__session_hv(s)->stop->request(s->parts.hv, err);
}

int colo__secondary_halt(struct colo_session *s, struct colo_error *err)
{
    bool live = false;
    int rc;

    colo__session_step_hook(s, "request");
    if (!s->s.runs) { /* before its first epoch */
        colo__session_raise(s, COLO_EV_STOPPED);
        return 0;
    }
    rc = colo__report_begin(&s->s.report, &live, err);
    if (rc)
        return rc;
    if (live)
        return submit(s, COLO_JOB_HASH, colo__report_live_job, err);
    return ask_to_stop(s, err);
}

/* What it had written until then is hashed. */
void colo__secondary_hashed(struct colo_session *s)
{
    struct colo_error err = { 0 };

    if (s->state == COLO_STATE_STOPPING && ask_to_stop(s, &err))
        colo__session_error(s, &err);
}

int colo__secondary_report(struct colo_session *s, struct colo_error *err)
{
    struct colo_secondary *sec = &s->s;
    uint64_t epoch = s->epoch + 1;
    int rc;

    colo__session_step_hook(s, "halted");
    /* first: the primary's guest takes input until it hears the reply, and the
     * replica is not to be given it any more */
    rc = colo__followers_checkpoint(s, epoch, err);
    if (rc)
        return rc;
    colo__control_send(s, COLO_MSG_CHECKPOINT_REPLY, epoch, 0, NULL, 0);
    rc = colo__report_final(&sec->report, sec->runs, err);
    if (rc)
        return rc;
    sec->receive.expect = epoch;
    sec->whole = sec->applied = false;
    s->diverged = false;
    rc = submit(s, COLO_JOB_EPOCH, colo__report_job, err);
    if (rc)
        return rc;
    colo__session_step_hook(s, "reply");
    return 0;
}

/* The memory of the epoch is in place.  Disks follow before the replica runs:
 * its own writes to them are taken back. */
void colo__secondary_applied(struct colo_session *s)
{
    struct colo_error err = { 0 };

    colo__session_step_hook(s, "applied");
    if (colo__followers_commit(s, s->s.receive.expect, &err)) {
        colo__session_error(s, &err);
        return;
    }
    s->s.applied = true;
    colo__secondary_check_loaded(s);
}

void colo__secondary_check_loaded(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc;

    if (s->state != COLO_STATE_LOADING || !s->s.applied)
        return;
    rc = colo__followers_pending(s, &err);
    if (!rc || (rc < 0 && s->link_dead)) {
        /* of a dead host they have lost their twins: whether they can be taken
         * over is asked there */
        s->s.applied = false;
        colo__session_raise(s, COLO_EV_LOADED);
    } else if (rc < 0) {
        /* again at the next look, which may know that the host is dead */
        colo__session_follower_failed(s, &err);
    }
}

/* The primary is lost, or has ended its guest: this is the only copy. */
static void keep_unloaded(struct colo_session *s)
{
    char text[256];

    if (colo__control_look_back(s))
        return;
    s->s.kept = true;
    snprintf(text, sizeof(text), "the replica (domain %u) cannot be given its "
             "state; it is left standing still with the memory and disks of "
             "epoch %llu, until the next `colo` or `colo-xl` command: `xl "
             "dump-core` saves what it has", s->info.domid,
             (unsigned long long)s->s.receive.expect);
    colo__session_warn(s, text);
}

/* Memory is that of the epoch by now, so there is nothing to go back to.  While
 * the primary lives, it goes on; else there is only this. */
static int load(struct colo_session *s, struct colo_error *err)
{
    const struct colo_epoch *e = &s->s.receive.epoch;
    bool only_copy = s->failover == COLO_FAILOVER_RELAUNCH &&
                     (s->link_dead || s->s.primary_ended);
    int rc;

    for (int i = 1;; i++) {
        rc = colo__session_hv(s)->machine->set(s->parts.hv, e->state,
                                               e->state_len, err);
        if (!rc || !only_copy || i == RELAUNCH_TRIES)
            break;
        colo__session_beat(s);
        (void)poll(NULL, 0, RELAUNCH_PAUSE_MS);
    }
    if (rc && only_copy)
        keep_unloaded(s);
    return rc;
}

int colo__secondary_bring_up(struct colo_session *s, struct colo_error *err)
{
    const struct colo_hv_ops *ops = colo__session_hv(s);
    int rc = load(s, err);

    if (rc)
        return rc;
    if (!s->s.tracking && s->failover != COLO_FAILOVER_RELAUNCH) {
        rc = ops->track(s->parts.hv, 1, err);
        if (rc)
            return rc;
        s->s.tracking = true;
    }
    colo__session_step_hook(s, "set");
    s->s.halting = false;
    s->s.told_end = false;
    s->s.fresh = true;
    /* what takes over is started by that, when its disks are there */
    if (s->failover == COLO_FAILOVER_RELAUNCH)
        return 0;
    rc = ops->life->run(s->parts.hv, err);
    if (rc)
        return rc;
    s->s.runs = true;
    s->s.fresh = false;
    return 0;
}

/* It takes over: where it stands still without having been given anything, it
 * goes on from there. */
int colo__secondary_let_run(struct colo_session *s, struct colo_error *err)
{
    const struct colo_stop_ops *stop = colo__session_hv(s)->stop;
    bool stopped = false;
    int rc;

    if (!s->s.halting)
        return 0;
    rc = stop->cancel(s->parts.hv, &stopped, err);
    if (!rc && stopped)
        rc = stop->resume(s->parts.hv, err);
    if (!rc)
        s->s.halting = false;
    return rc;
}

/* A guest whose processors went on after its own power-off is no guest. */
int colo__secondary_check_ended(struct colo_session *s, struct colo_error *err)
{
    struct colo_hv_info info;
    int rc;

    if (!colo__both_run(s) || s->s.fresh)
        return 0;
    rc = colo__session_hv(s)->info(s->parts.hv, &info, err);
    if (rc || info.state != COLO_HV_SHUTDOWN)
        return rc;
    return colo__fail(err, COLO_E_GUEST, 0, "secondary", "the replica (domain "
                      "%u) has shut down by itself (reason %d) and is not let "
                      "go on: `xl destroy` it, and start the guest from its "
                      "disks here", info.domid, info.reason);
}

/* It shut down by itself: so did the guest, or it is about to, or the two go
 * different ways.  The primary knows. */
void colo__secondary_replica_ended(struct colo_session *s)
{
    if (s->s.told_end || s->state >= COLO_STATE_TAKEOVER)
        return;
    s->s.told_end = true;
    s->diverged = true;
}

void colo__secondary_tell_diverged(struct colo_session *s)
{
    if (!s->diverged || s->state != COLO_STATE_READY || !s->s.runs)
        return;
    s->diverged = false;
    colo__control_send(s, COLO_MSG_DIVERGED, s->epoch, 0, NULL, 0);
}

/* Somebody suspended it, not we. */
void colo__secondary_foreign_stop(struct colo_session *s)
{
    struct colo_error err = { 0 };

    if (colo__session_hv(s)->stop->resume(s->parts.hv, &err))
        colo__session_error(s, &err);
    colo__session_warn(s, "another tool tried to suspend the replica: refused");
}
