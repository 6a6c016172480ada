/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The secondary's side of a session: the first copy, epochs, and what its
 * hypervisor, worker and peer tell it; taking over is secondary-takeover.c's.
 * The replica changes in one place only, the apply of a whole epoch, which
 * nothing interrupts: a failover that comes meanwhile waits for it (QEMU COLO's
 * RELAUNCH).  Session's thread; the worker owns the replica while it is busy.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/seed-pipe.h"
#include "secondary-internal.h"

static int submit(struct colo_session *s, int job, colo_job_fn *fn, void *arg,
                  struct colo_error *err)
{
    int rc = colo__worker_submit(s->worker, fn, arg, err);

    if (!rc)
        s->s.job = job;
    return rc;
}

/* ---- connecting and seeding -------------------------------------------- */

static int act_seed(struct colo_session *s, struct colo_error *err)
{
    struct colo_secondary *sec = &s->s;
    int fds[2];
    int rc;

    rc = colo__session_publish(s, err);
    if (rc)
        return rc;
    rc = colo__receive_init(&sec->receive, s->parts.bulk, s->parts.hv,
                            s->clock, err);
    if (rc)
        return rc;
    colo__session_beats(s);
    memcpy(sec->receive.session, s->id, 16);
    sec->receive.streamed = s->info.streamed;
    if (s->info.streamed) {
        rc = colo__session_hv(s)->life->expect_stream(s->parts.hv, err);
        if (rc)
            return rc;
    }
    if (s->disks.count) {
        rc = colo__disks_start(s, err);
        if (rc)
            return rc;
    }
    rc = colo__followers_prepare(s, err);
    if (rc)
        return rc;
    rc = colo__apply_init(&sec->apply, s->parts.hv, &sec->receive.epoch, err);
    if (!rc && colo__both_run(s))
        rc = colo__report_init(&sec->report, &sec->receive, s->log,
                               s->config.live_round, s->config.commit_ms,
                               err);
    if (rc)
        return rc;
    rc = colo__seed_pipe(true, fds, err);
    if (rc)
        return rc;
    sec->receive.seed_fd = fds[1];
    sec->replica = true;
    s->seed_start_us = colo__now_us(s->clock);
    rc = colo__session_hv(s)->life->seed_in(s->parts.hv, fds[0], err);
    if (rc)
        return rc;
    return submit(s, COLO_JOB_SEED, colo__receive_seed_job, &sec->receive,
                  err);
}

/* The replica's network cards, as soon as there is one. */
static int start_nets(struct colo_session *s, struct colo_error *err)
{
    struct colo_hv_info info;
    int rc;

    if (!colo__both_run(s) || s->nets.looked_at)
        return 0;
    rc = colo__session_hv(s)->info(s->parts.hv, &info, err);
    if (rc)
        return rc;
    s->info.domid = info.domid;
    /* whatever the primary is and does: this is the host that would let it
     * run */
    if (s->parts.store) {
        rc = colo__nets_match(&s->nets, s->parts.store, info.domid, err);
        if (rc)
            return rc;
    }
    s->nets.looked_at = true;
    return colo__nets_start(s, err);
}

static void check_seeded(struct colo_session *s)
{
    struct colo_error err = { 0 };

    if (s->state == COLO_STATE_SEEDING && colo__disks_known(s) &&
        s->s.seed_restored && start_nets(s, &err)) {
        colo__session_error(s, &err);
        return;
    }
    if (s->state == COLO_STATE_SEEDING && colo__disks_known(s) &&
        colo__followers_in_step(s) &&
        s->s.seed_restored && s->s.seed_received)
        colo__session_raise(s, COLO_EV_SEEDED);
}

static int act_ready(struct colo_session *s, struct colo_error *err)
{
    struct colo_hv_info info;
    int rc;

    rc = colo__session_hv(s)->info(s->parts.hv, &info, err);
    if (rc)
        return rc;
    s->info.domid = info.domid;
    s->info.nr_gfns = info.nr_gfns;
    rc = colo__followers_start(s, err);
    if (rc)
        return rc;
    colo__session_set_mode(s, s->config.mode, COLO_REASON_NONE);
    colo__control_send(s, COLO_MSG_CHECKPOINT_READY, 0, 0, NULL, 0);
    return 0;
}

static void raise_request(struct colo_session *s)
{
    colo__session_raise(s, colo__both_run(s) ? COLO_EV_HALT
                                             : COLO_EV_REQUEST);
}

/* ---- an epoch ---------------------------------------------------------- */

static int act_reply(struct colo_session *s, struct colo_error *err)
{
    struct colo_secondary *sec = &s->s;
    int rc;

    sec->receive.expect = s->epoch + 1;
    sec->whole = false;
    rc = submit(s, COLO_JOB_EPOCH, colo__receive_epoch_job, &sec->receive,
                err);
    if (rc)
        return rc;
    colo__session_step_hook(s, "reply");
    colo__control_send(s, COLO_MSG_CHECKPOINT_REPLY, s->epoch + 1, 0, NULL,
                       0);
    return colo__followers_checkpoint(s, s->epoch + 1, err);
}

/* The epoch is whole; is everything that follows it, too? */
static void check_whole(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc;

    rc = colo__followers_pending(s, &err);
    if (rc < 0)
        colo__session_follower_failed(s, &err);
    else if (!rc)
        colo__session_raise(s, COLO_EV_WHOLE);
}

/* A replica that somebody has let run is no copy any more, and a second guest
 * on the network. */
int colo__secondary_check_paused(struct colo_session *s,
                                 struct colo_error *err)
{
    const struct colo_life_ops *life = colo__session_hv(s)->life;
    struct colo_hv_info info;
    bool go_on;
    int rc;

    if (colo__both_run(s) || s->info.streamed)
        return 0;
    rc = colo__session_hv(s)->info(s->parts.hv, &info, err);
    if (rc)
        return rc;
    go_on = life->devices_go_on && life->devices_go_on(s->parts.hv);
    /* gone: a failure of its own */
    if ((info.state == COLO_HV_PAUSED && !go_on) || info.state == COLO_HV_GONE)
        return 0;
    return colo__fail(err, COLO_E_GUEST, 0, "secondary",
                      "somebody has let the replica (domain %u) run",
                      info.domid);
}

static int act_received(struct colo_session *s, struct colo_error *err)
{
    struct colo_secondary *sec = &s->s;
    int rc = colo__secondary_check_paused(s, err);

    if (rc)
        return rc;
    colo__session_step_hook(s, "whole");
    /* From here on this epoch may be committed at the primary, so it is the
     * one that a takeover starts from: apply it whatever happens. */
    rc = submit(s, COLO_JOB_APPLY, colo__apply_job, &sec->apply, err);
    if (rc)
        return rc;
    colo__control_send(s, COLO_MSG_VMSTATE_RECEIVED, sec->receive.expect, 0,
                       NULL, 0);
    colo__session_step_hook(s, "received");
    return 0;
}

/* Memory of the epoch is in place; its context goes with it. */
static int keep_state(struct colo_session *s, struct colo_error *err)
{
    const struct colo_epoch *e = &s->s.receive.epoch;
    uint8_t *copy;

    if (s->info.streamed)
        return 0; /* the replica has it */
    copy = realloc(s->s.state, e->state_len ? e->state_len : 1);
    if (!copy)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "secondary", "context");
    memcpy(copy, e->state, e->state_len);
    s->s.state = copy;
    s->s.state_len = e->state_len;
    return 0;
}

static int act_loaded(struct colo_session *s, struct colo_error *err)
{
    struct colo_apply *a = &s->s.apply;
    struct colo_checkpoint_info info = { .epoch = s->s.receive.expect };
    uint8_t body[COLO_WIRE_MAX_DIFFER * 8];
    int rc;

    rc = colo__both_run(s) ? colo__secondary_bring_up(s, err)
                           : keep_state(s, err);
    if (rc)
        return rc;
    s->epoch = s->committed = s->s.receive.expect;
    s->audit_pages += a->audited;
    s->audit_mismatches += a->differ;
    info.dirty_pages = s->s.receive.epoch.count;
    colo__stats_add(&s->stats, colo__now_us(s->clock), &info);
    s->status_dirty = true;
    colo__session_step_hook(s, "loaded");
    /* in mode colo they were told before the replica went on */
    rc = colo__both_run(s) ? 0 : colo__followers_commit(s, s->epoch, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < a->differ; i++)
        colo__put64(body + (size_t)i * 8, a->differ_gfns[i]);
    colo__control_send(s, COLO_MSG_VMSTATE_LOADED, s->epoch, a->differ, body,
                       a->differ * 8);
    /* a takeover comes first, and asks for no checkpoint */
    if (s->s.request_waits && s->failover != COLO_FAILOVER_RELAUNCH)
        raise_request(s);
    s->s.request_waits = false;
    if (s->failover == COLO_FAILOVER_RELAUNCH) {
        rc = colo__secondary_failover(s, COLO_FAILOVER_REQUIRE, err);
        if (rc)
            return rc;
        colo__session_raise(s, s->operator_failover ? COLO_EV_FAILOVER
                                                    : COLO_EV_PEER_LOST);
    }
    return 0;
}

/* ---- what tells it ----------------------------------------------------- */

int colo__secondary_action(struct colo_session *s, int action,
                           struct colo_error *err)
{
    switch (action) {
    case COLO_ACT_CONNECT:
        return colo__connect_begin(s, err);
    case COLO_ACT_SEED:
        return act_seed(s, err);
    case COLO_ACT_READY:
        return act_ready(s, err);
    case COLO_ACT_REPLY:
        return act_reply(s, err);
    case COLO_ACT_HALT:
        return colo__secondary_halt(s, err);
    case COLO_ACT_REPORT:
        return colo__secondary_report(s, err);
    case COLO_ACT_RECEIVED:
        return act_received(s, err);
    case COLO_ACT_LOADED:
        return act_loaded(s, err);
    case COLO_ACT_RELAUNCH:
        return colo__secondary_relaunch(s, err);
    case COLO_ACT_ASK:
        return colo__secondary_ask(s, err);
    case COLO_ACT_TAKE_OVER:
        return colo__secondary_take_over(s, err);
    case COLO_ACT_HAND_OVER:
        return colo__secondary_hand_over(s, err);
    case COLO_ACT_DESTROY:
        colo__session_set_mode(s, s->mode, COLO_REASON_PROCESSING);
        /* Now: the end of the replica may take longer than "dead".  An
         * operator's stop holds for both; a signal, as at the end of this
         * host, does not: who protects may come back. */
        if (s->operator_stop && s->peer_known)
            colo__control_send(s, COLO_MSG_STOP, s->epoch, 0, NULL, 0);
        colo__secondary_abort_job(s);
        return 0;
    default: /* NONE, GIVE_UP: finish does it */
        return 0;
    }
}

/* The primary's guest cannot go on there and has been ended, unasked. */
static void handed_over(struct colo_session *s)
{
    if (s->state >= COLO_STATE_TAKEOVER ||
        !colo__transition(s->table, s->state, COLO_EV_FAILOVER))
        return;
    if (!s->error.code)
        colo__fail(&s->error, COLO_E_PEER, 0, "secondary",
                   "the primary's host cannot run the guest any more");
    colo__session_raise(s, COLO_EV_FAILOVER);
}

/* Protection has ended in order at a primary that we took for dead. */
static bool goes_on_there(struct colo_session *s)
{
    struct colo_error err;

    if (s->state != COLO_STATE_TAKEOVER)
        return false;
    colo__fail(&err, COLO_E_PEER_SAID, 0, "secondary", "the primary was only "
               "held up, and has ended protection itself");
    colo__secondary_undo(s);
    colo__session_error(s, &err);
    return true;
}

void colo__secondary_message(struct colo_session *s,
                             const struct colo_msg *msg)
{
    struct colo_error err;

    switch (msg->type) {
    case COLO_MSG_DISKS:
        if (s->state <= COLO_STATE_SEEDING) {
            if (colo__disks_take(s, msg, &err))
                colo__session_error(s, &err);
            return;
        }
        break;
    case COLO_MSG_NETS:
        if (s->state <= COLO_STATE_SEEDING) {
            if (colo__nets_take(s, msg, &err))
                colo__session_error(s, &err);
            return;
        }
        break;
    case COLO_MSG_ADDRESSES:
        if (colo__network_take(s, msg, &err))
            colo__session_error(s, &err);
        return;
    case COLO_MSG_SEEDED:
        /* the bulk link and the restore may be ahead of it */
        if ((s->state == COLO_STATE_SEEDING ||
             s->state == COLO_STATE_READY) && !s->epoch)
            return;
        break;
    case COLO_MSG_CHECKPOINT_REQUEST:
        if (s->state == COLO_STATE_READY && msg->epoch == s->epoch + 1) {
            raise_request(s);
            return;
        }
        if (s->state == COLO_STATE_LOADING && !s->s.request_waits &&
            msg->epoch == s->s.receive.expect + 1) {
            s->s.request_waits = true;
            return;
        }
        break;
    case COLO_MSG_VMSTATE_SEND:
    case COLO_MSG_VMSTATE_SIZE:
        /* the bulk link may be ahead of these two */
        if (msg->epoch == s->s.receive.expect && s->epoch <= msg->epoch)
            return;
        break;
    case COLO_MSG_STOP:
        if (msg->value == 1) {
            s->s.primary_ended = true;
            /* its guest has ended, as we asked */
            if (!s->s.await_yield)
                handed_over(s);
            s->s.await_yield = false;
            return;
        }
        if (goes_on_there(s))
            return;
        s->s.answer_stop = true;
        colo__session_raise(s, COLO_EV_STOP);
        return;
    case COLO_MSG_GUEST_END:
        if (goes_on_there(s))
            return;
        s->s.answer_stop = true;
        colo__session_raise(s, COLO_EV_GUEST_END);
        return;
    default:
        break;
    }
    if (s->state >= COLO_STATE_TAKEOVER)
        return; /* said before it knew */
    colo__fail(&err, COLO_E_PROTO, 0, "secondary", "%s of epoch %llu in "
               "state %s of epoch %llu", colo__msg_name(msg->type),
               (unsigned long long)msg->epoch, colo_state_name(s->state),
               (unsigned long long)s->epoch);
    colo__session_error(s, &err);
}

/* A restore fails by itself, or because what it was fed ended early: then
 * the job that feeds it knows why.  The first one here waits for the other. */
static void seed_failed(struct colo_session *s, const struct colo_error *err)
{
    if (s->state == COLO_STATE_SEEDING && s->s.job == COLO_JOB_SEED) {
        if (!s->s.seed_error.code)
            s->s.seed_error = *err;
        atomic_store(&s->s.receive.abort, true);
    } else if (s->state < COLO_STATE_ENDING) {
        colo__session_error(s, err);
    }
}

static void feeding_failed(struct colo_session *s, int rc,
                           const struct colo_error *err)
{
    bool restores_fault = rc == COLO_E_SYS || rc == COLO_E_STATE;

    if (restores_fault && s->s.seed_error.code)
        colo__session_error(s, &s->s.seed_error);
    else if (restores_fault)
        s->s.seed_error = *err; /* its own error is about to come */
    else
        colo__session_error(s, err);
}

/* @info is of the replica, unless it is gone. */
static bool replica_gone(struct colo_session *s, struct colo_hv_info *info)
{
    struct colo_error err;
    int rc = colo__session_hv(s)->info(s->parts.hv, info, &err);

    if (rc != COLO_E_NOTFOUND && (rc || info->state != COLO_HV_GONE))
        return false;
    s->s.replica = false;
    colo__fail(&err, COLO_E_GUEST, 0, "secondary",
               "somebody destroyed the replica");
    colo__session_error(s, &err);
    return true;
}

static void replica_changed(struct colo_session *s)
{
    struct colo_hv_info info = { 0 };

    if (!replica_gone(s, &info) && s->s.runs &&
        info.state == COLO_HV_SHUTDOWN)
        colo__secondary_replica_ended(s);
}

/* What the worker met may only be how it noticed that the replica is gone. */
static void replica_failed(struct colo_session *s, const struct colo_error *err)
{
    struct colo_hv_info info = { 0 };

    if (!replica_gone(s, &info))
        colo__session_error(s, err);
}

/* It could not take over any more: the primary must know, at once. */
static void devices_ended(struct colo_session *s)
{
    const struct colo_life_ops *life = colo__session_hv(s)->life;
    struct colo_error err;

    if (s->state >= COLO_STATE_TAKEOVER || !life->crippled ||
        !life->crippled(s->parts.hv))
        return;
    colo__fail(&err, COLO_E_HV, 0, "secondary",
               "the replica's device model (QEMU) has ended");
    colo__session_error(s, &err);
}

void colo__secondary_hv(struct colo_session *s)
{
    struct colo_hv_event ev = { 0 };
    struct colo_error err = { 0 };

    /* The worker has the hypervisor while it reads or writes the replica:
     * afterwards, and without being woken again and again meanwhile. */
    if (s->s.job >= COLO_JOB_EPOCH) {
        colo__session_unwatch_fd(s, colo__session_hv(s)->fd(s->parts.hv));
        s->s.hv_waits = true;
        return;
    }
    if (colo__session_hv(s)->poll(s->parts.hv, &ev, &err)) {
        seed_failed(s, &err);
        return;
    }
    if (ev.events & COLO_HV_EV_PROGRESS)
        colo__session_progress(s, ev.seed_done, ev.seed_total);
    if (ev.events & COLO_HV_EV_SEEDED) {
        s->s.seed_restored = true;
        check_seeded(s);
    }
    if (ev.events & COLO_HV_EV_STOPPED) {
        if (s->state == COLO_STATE_STOPPING)
            colo__session_raise(s, COLO_EV_STOPPED);
        else if (s->s.runs && !s->s.halting)
            colo__secondary_foreign_stop(s);
    }
    if (ev.events & COLO_HV_EV_DEVICES)
        devices_ended(s);
    if ((ev.events & COLO_HV_EV_GUEST) &&
        (s->state == COLO_STATE_READY ||
         (s->s.runs && s->state < COLO_STATE_TAKEOVER)))
        replica_changed(s);
}

static void epoch_came(struct colo_session *s)
{
    struct colo_error err = { 0 };

    if (!s->s.receive.again) {
        s->s.whole = true;
        check_whole(s);
        return;
    }
    colo__log(s->log, COLO_LOG_WARNING, -1, "secondary",
              "a difference of epoch %llu does not fit: asking for it again",
              (unsigned long long)s->s.receive.expect);
    if (submit(s, COLO_JOB_EPOCH, colo__receive_epoch_job, &s->s.receive,
               &err))
        colo__session_error(s, &err);
    else
        colo__control_send(s, COLO_MSG_VMSTATE_RECEIVED, s->s.receive.expect,
                           1, NULL, 0);
}

void colo__secondary_worker(struct colo_session *s, int rc,
                            const struct colo_error *err)
{
    int job = s->s.job;
    struct colo_error ignored;

    s->s.job = COLO_JOB_NONE;
    if (s->s.hv_waits) {
        s->s.hv_waits = false;
        (void)colo__session_watch_fd(s, colo__session_hv(s)->fd(s->parts.hv),
                                     COLO_FD_HV, &ignored);
        colo__secondary_hv(s);
    }
    if (job == COLO_JOB_APPLY) {
        /* must not be forgotten in any state */
        if (rc)
            replica_failed(s, err);
        else if (s->state == COLO_STATE_LOADING && colo__both_run(s))
            colo__secondary_applied(s);
        else if (s->state == COLO_STATE_LOADING)
            colo__session_raise(s, COLO_EV_LOADED);
        return;
    }
    if (s->state >= COLO_STATE_TAKEOVER)
        return; /* it was told to end */
    if (rc == COLO_E_PEER) {
        colo__session_bulk_broken(s, err);
    } else if (rc && job == COLO_JOB_SEED) {
        feeding_failed(s, rc, err);
    } else if (rc) {
        replica_failed(s, err);
    } else if (job == COLO_JOB_SEED) {
        s->s.seed_received = true;
        s->s.seed_restored |= s->info.streamed;
        check_seeded(s);
    } else if (job == COLO_JOB_HASH) {
        colo__secondary_hashed(s);
    } else if (s->state == COLO_STATE_RECEIVING) {
        epoch_came(s);
    }
}

void colo__secondary_poll(struct colo_session *s)
{
    struct colo_error err = { 0 };
    uint64_t heard;
    bool done;

    /* bulk data is as good as a heartbeat, and refreshes what waits for it */
    if (s->s.job == COLO_JOB_SEED || s->s.job == COLO_JOB_EPOCH) {
        heard = atomic_load(&s->s.receive.last_us);
        colo__heartbeat_heard(&s->heartbeat, heard);
        heard += (uint64_t)(s->s.job == COLO_JOB_SEED ? s->config.seed_ms
                                                      : s->config.commit_ms) *
                 1000;
        if (s->state_deadline_us != COLO_NEVER &&
            s->state_deadline_us < heard)
            s->state_deadline_us = heard;
    }
    switch (s->state) {
    case COLO_STATE_SEEDING:
        check_seeded(s);
        break;
    case COLO_STATE_READY:
    case COLO_STATE_RECEIVING:
        /* whole, but a follower has not answered yet; and their answers are
         * taken in at once, for the next request waits for them */
        if (s->s.whole && s->state == COLO_STATE_RECEIVING)
            check_whole(s);
        else if (colo__followers_pending(s, &err) < 0)
            colo__session_follower_failed(s, &err);
        colo__secondary_tell_diverged(s);
        break;
    case COLO_STATE_LOADING:
        colo__secondary_check_loaded(s);
        break;
    case COLO_STATE_ARBITRATING:
        colo__secondary_arbitrate(s);
        break;
    case COLO_STATE_TAKEOVER:
        colo__secondary_start(s);
        break;
    case COLO_STATE_ACTIVE:
        /* both are looked at: an answer that nobody reads wakes us for ever */
        done = colo__followers_speaking(s);
        if (colo__network_announced(s) && done)
            colo__session_raise(s, COLO_EV_DONE);
        break;
    case COLO_STATE_ENDING:
        colo__secondary_end_further(s);
        break;
    default:
        break;
    }
}

uint64_t colo__secondary_deadline(struct colo_session *s)
{
    return colo__network_deadline(s);
}
