/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The primary's side of a session: the actions of its table, in the order of
 * a session's life, and what its hypervisor, worker and peer tell it.  The
 * guest is stopped in two places only (the end of the seed, a checkpoint),
 * and every way out of them lets it go on.  Session's thread.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../xenstore/publish.h"
#include "session-internal.h"

/* The peer is asked to end and given this long before we go on without its
 * answer; carrying out the guest's end may take the toolstack longer. */
#define ANSWER_MS 3000
#define GUEST_END_MS 60000
#define RESUME_TRIES 3

static const struct colo_hv_ops *hv_ops(struct colo_session *s)
{
    return colo__hv_ops(s->parts.hv);
}

/* Let the guest go on. Tried again, since nothing is worse than a guest that
 * stands still; the watchdog tries once more when we are gone. */
static int resume_guest(struct colo_session *s, struct colo_error *err)
{
    int rc = 0;

    for (int i = 0; i < RESUME_TRIES; i++) {
        rc = hv_ops(s)->stop->resume(s->parts.hv, err);
        if (!rc)
            break;
    }
    if (!rc)
        s->p.guest_stopping = false;
    return rc;
}

/* ---- connecting and seeding -------------------------------------------- */

/* No more memory for last sent content than the guest has memory. */
static uint32_t delta_mib(struct colo_session *s)
{
    uint64_t mib = s->info.tot_pages / 256 + 1;

    return mib < s->config.delta_mib ? (uint32_t)mib : s->config.delta_mib;
}

static int act_seed(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int fds[2] = { -1, -1 };
    int rc;

    rc = colo__capture_init(&p->capture, s->parts.hv, s->log, s->clock,
                            s->config.live_round, s->config.audit_checkpoints,
                            err);
    if (rc)
        return rc;
    rc = colo__transfer_init(&p->transfer, s->parts.bulk, &p->capture,
                             s->clock, s->config.commit_ms,
                             s->config.compress,
                             delta_mib(s), err);
    if (rc)
        return rc;
    memcpy(p->transfer.session, s->id, 16);
    rc = colo__disks_start(s, err);
    if (rc)
        return rc;
    rc = colo__followers_prepare(s, err);
    if (rc)
        return rc;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return colo__fail(err, COLO_E_SYS, errno, "primary", "pipe");
    p->transfer.seed_fd = fds[0];
    p->guest_stopping = true; /* the seed ends with a stopped guest */
    s->seed_start_us = colo__now_us(s->clock);
    rc = hv_ops(s)->life->seed_out(s->parts.hv, fds[1], err);
    if (rc)
        return rc;
    return colo__worker_submit(s->worker, colo__transfer_seed_job,
                               &p->transfer, err);
}

/* The seed is written and the guest stands still: track from here on. */
static int seed_written(struct colo_session *s, struct colo_error *err)
{
    struct colo_error ignored;
    int rc;

    rc = colo__capture_seeded(&s->p.capture, &s->p.tracking, err);
    if (rc) {
        resume_guest(s, &ignored);
        return rc;
    }
    rc = resume_guest(s, err);
    if (rc)
        return rc;
    s->p.seed_stopped = true;
    return 0;
}

/* The peer may have its replica before we know that the seed is written, and
 * disks may take longer than memory: protection begins when all is in step. */
static void check_ready(struct colo_session *s)
{
    if (s->state == COLO_STATE_SEEDING && colo__followers_in_step(s) &&
        s->p.seed_stopped && s->p.seed_sent && s->p.ready_came)
        colo__session_raise(s, COLO_EV_READY);
}

static void say_seeded(struct colo_session *s)
{
    if (!s->p.seed_stopped || !s->p.seed_sent)
        return;
    colo__control_send(s, COLO_MSG_SEEDED, 0,
                       atomic_load(&s->p.transfer.seed_bytes), NULL, 0);
    check_ready(s);
}

static int act_protect(struct colo_session *s, struct colo_error *err)
{
    int rc = colo__followers_start(s, err);

    if (rc)
        return rc;
    colo__session_set_mode(s, s->config.mode, COLO_REASON_NONE);
    s->p.timer_us = colo__now_us(s->clock);
    return 0;
}

/* ---- a checkpoint ------------------------------------------------------ */

static int act_request(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int rc;

    s->epoch++;
    p->checkpoint_wanted = false;
    p->sent = p->received = false;
    p->transfer.again = false;
    memset(&p->info, 0, sizeof(p->info));
    p->info.epoch = s->epoch;
    rc = colo__capture_begin(&p->capture, s->epoch, err);
    if (rc)
        return rc;
    colo__control_send(s, COLO_MSG_CHECKPOINT_REQUEST, s->epoch, 0, NULL, 0);
    return 0;
}

static int act_stop_guest(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int rc;

    rc = colo__capture_live(&p->capture, err);
    if (rc)
        return rc;
    colo__session_step_hook(s, "live");
    p->stop_us = colo__now_us(s->clock);
    p->guest_stopping = true;
    return hv_ops(s)->stop->request(s->parts.hv, err);
}

/* Everything between the guest standing still and running again. */
static int capture_stopped(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    struct colo_error ignored;
    uint64_t t;
    int rc;

    p->info.stop_us = colo__now_us(s->clock) - p->stop_us;
    colo__session_step_hook(s, "stopped");
    rc = colo__followers_checkpoint(s, s->epoch, err);
    if (!rc)
        rc = colo__capture_final(&p->capture, &p->info, err);
    colo__session_step_hook(s, "captured");
    t = colo__now_us(s->clock);
    if (rc) {
        resume_guest(s, &ignored);
        return rc;
    }
    rc = resume_guest(s, err);
    if (rc)
        return rc;
    p->resumed_us = colo__now_us(s->clock);
    p->info.resume_us = p->resumed_us - t;
    p->info.pause_us = p->resumed_us - p->stop_us;
    return 0;
}

static int act_capture(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int rc;

    rc = capture_stopped(s, err);
    if (rc)
        return rc;
    colo__session_step_hook(s, "resumed");
    colo__control_send(s, COLO_MSG_VMSTATE_SEND, s->epoch, 0, NULL, 0);
    colo__control_send(s, COLO_MSG_VMSTATE_SIZE, s->epoch,
                       p->capture.epoch.state_len, NULL, 0);
    return colo__worker_submit(s->worker, colo__transfer_epoch_job,
                               &p->transfer, err);
}

static int act_release(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    uint64_t now = colo__now_us(s->clock);
    uint64_t interval = (uint64_t)atomic_load(&s->interval_ms) * 1000;
    int rc;

    rc = colo__followers_commit(s, s->epoch, err);
    if (rc)
        return rc;
    s->committed = s->epoch;
    p->info.dirty_pages = p->transfer.pages;
    p->info.zero_pages = p->transfer.zero_pages;
    p->info.delta_pages = p->transfer.delta_pages;
    p->info.wire_bytes = p->transfer.wire_bytes;
    p->info.commit_us = now - p->resumed_us;
    colo__transfer_learn(&p->transfer, p->info.commit_us);
    s->audit_pages += p->capture.epoch.audit_count;
    colo__stats_add(&s->stats, now, &p->info);
    s->status_dirty = true;
    /* from stop to stop: "a checkpoint every so many milliseconds" */
    p->timer_us = p->stop_us + interval;
    if (p->timer_us < now)
        p->timer_us = now;
    colo__session_step_hook(s, "committed");
    return 0;
}

static void check_committed(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc;

    if (s->state != COLO_STATE_COMMITTING || !s->p.sent || !s->p.received)
        return;
    rc = colo__followers_pending(s, &err);
    if (rc < 0)
        colo__session_error(s, &err);
    else if (!rc)
        colo__session_raise(s, COLO_EV_COMMITTED);
}

/* ---- the end ----------------------------------------------------------- */

/* However far it has come: no stop is under way and the guest runs. */
static int let_guest_run(struct colo_session *s, struct colo_error *err)
{
    struct colo_error ignored;
    bool stopped = false;
    int rc;

    atomic_store(&s->p.transfer.abort, true);
    if (!s->p.guest_stopping)
        return 0;
    rc = hv_ops(s)->stop->cancel(s->parts.hv, &stopped, err);
    if (!rc)
        return resume_guest(s, err);
    /* the request stands, but perhaps the guest need not */
    (void)hv_ops(s)->stop->resume(s->parts.hv, &ignored);
    return rc;
}

static int act_stop(struct colo_session *s, struct colo_error *err)
{
    int rc = let_guest_run(s, err);

    if (rc)
        return rc;
    colo__session_set_mode(s, s->mode, COLO_REASON_PROCESSING);
    s->p.await_answer = s->peer_known;
    colo__control_send(s, COLO_MSG_STOP, s->epoch, 0, NULL, 0);
    s->state_deadline_us = colo__now_us(s->clock) + ANSWER_MS * 1000;
    return 0;
}

static const char *end_name(int reason)
{
    switch (reason) {
    case COLO_HV_POWEROFF:
        return "has powered off";
    case COLO_HV_REBOOT:
        return "reboots";
    case COLO_HV_CRASH:
        return "has crashed";
    default:
        return "has ended";
    }
}

static int act_guest_end(struct colo_session *s, struct colo_error *err)
{
    (void)err;
    atomic_store(&s->p.transfer.abort, true);
    s->p.guest_stopping = false;
    colo__session_set_mode(s, s->mode, COLO_REASON_PROCESSING);
    colo__fail(&s->outcome, COLO_E_GUEST, 0, "primary", "the guest %s",
               s->guest_gone ? "was destroyed"
                             : end_name(s->guest_reason));
    colo__log(s->log, COLO_LOG_NOTICE, -1, "primary", "%s",
              s->outcome.text);
    /* Its last output must not get out while the replica could still come to
     * life: first the peer's answer, then the followers are released. */
    s->p.await_answer = s->peer_known;
    colo__control_send(s, COLO_MSG_GUEST_END, s->epoch,
                       (uint64_t)s->guest_reason, NULL, 0);
    s->state_deadline_us = colo__now_us(s->clock) + ANSWER_MS * 1000;
    return 0;
}

/* The other side has the guest: what was not committed is dropped. */
static int act_yield(struct colo_session *s, struct colo_error *err)
{
    struct colo_error ignored;
    int rc;

    colo__session_set_mode(s, s->mode, COLO_REASON_PROCESSING);
    atomic_store(&s->p.transfer.abort, true);
    s->p.guest_stopping = false;
    /* whatever a follower says: the other side counts on this guest's end */
    if (s->prepared && colo__followers_failover(s, &ignored))
        colo__session_warn(s, ignored.text);
    rc = hv_ops(s)->life->destroy(s->parts.hv, err);
    if (rc)
        return rc;
    s->guest_gone = true;
    colo__fail(&s->outcome, COLO_E_REFUSED, 0, "primary",
               "the guest was taken over by the other side");
    colo__control_send(s, COLO_MSG_STOP, s->epoch, 1, NULL, 0);
    colo__session_raise(s, COLO_EV_DONE);
    return 0;
}

/* In ENDING: the next thing that is due. */
static void end_further(struct colo_session *s)
{
    struct colo_primary *p = &s->p;
    struct colo_error err = { 0 };
    bool late = colo__now_us(s->clock) >= s->state_deadline_us;

    if (p->await_answer && !s->link_dead && !late)
        return;
    p->await_answer = false;
    if (s->guest_reason >= 0 && !s->guest_gone && !p->guest_ended) {
        if (p->guest_ending)
            return; /* its deadline is the state's */
        p->guest_ending = true;
        s->state_deadline_us = colo__now_us(s->clock) + GUEST_END_MS * 1000;
        if (hv_ops(s)->life->end_guest(s->parts.hv, s->guest_reason, &err))
            colo__session_error(s, &err);
        return;
    }
    colo__session_raise(s, COLO_EV_DONE);
}

void colo__primary_finish(struct colo_session *s)
{
    struct colo_primary *p = &s->p;
    struct colo_error err = { 0 };

    if (!s->guest_gone && !p->guest_ended && s->guest_reason < 0) {
        if (let_guest_run(s, &err)) {
            colo__log(s->log, COLO_LOG_ERROR, err.sys_errno, "primary",
                      "the guest could not be resumed: %s", err.text);
            colo__session_warn(s, err.text);
            s->guest_stuck = true;
        }
        if (p->tracking && hv_ops(s)->track(s->parts.hv, 0, &err))
            colo__session_warn(s, err.text);
    }
    if (s->prepared)
        colo__followers_stop(s);
    colo__disks_stop(s);
    if (!s->guest_gone && !p->guest_ended && s->seed_start_us &&
        hv_ops(s)->life->abandon(s->parts.hv, &err))
        colo__session_warn(s, err.text);
}

/* ---- what tells it ----------------------------------------------------- */

int colo__primary_action(struct colo_session *s, int action,
                         struct colo_error *err)
{
    switch (action) {
    case COLO_ACT_CONNECT:
        return colo__connect_begin(s, err);
    case COLO_ACT_SEED:
        return act_seed(s, err);
    case COLO_ACT_PROTECT:
        return act_protect(s, err);
    case COLO_ACT_REQUEST:
        return act_request(s, err);
    case COLO_ACT_STOP_GUEST:
        return act_stop_guest(s, err);
    case COLO_ACT_CAPTURE:
        return act_capture(s, err);
    case COLO_ACT_RELEASE:
        return act_release(s, err);
    case COLO_ACT_ASK:
        /* the guest runs on while the arbiter thinks; its output is held */
        return let_guest_run(s, err);
    case COLO_ACT_YIELD:
        return act_yield(s, err);
    case COLO_ACT_STOP:
        return act_stop(s, err);
    case COLO_ACT_GUEST_END:
        return act_guest_end(s, err);
    default: /* NONE, ALONE, GIVE_UP: finish does it */
        return 0;
    }
}

/* The backup found pages that differ: for a known reason or not, they are
 * sent again with the next epoch. */
static void take_loaded(struct colo_session *s, const struct colo_msg *msg)
{
    struct colo_capture *c = &s->p.capture;
    struct colo_bitmap known;
    struct colo_error err = { 0 };
    uint64_t bad = 0;
    int rc;

    colo__bitmap_init(&known);
    rc = msg->value ? colo__gfns_check(msg, c->epoch.nr_gfns,
                                       COLO_WIRE_MAX_DIFFER, &err) : 0;
    if (!rc && msg->value)
        rc = hv_ops(s)->unmarked(s->parts.hv, &known, &err);
    if (!rc && msg->value && c->carry.bits < c->epoch.nr_gfns)
        rc = colo__bitmap_resize(&c->carry, c->epoch.nr_gfns);
    if (rc) {
        colo__session_error(s, &err);
        goto out;
    }
    for (uint64_t i = 0; i < msg->value; i++) {
        uint64_t gfn = colo__get64(msg->body + i * 8);

        colo__bitmap_set(&c->carry, gfn);
        /* what we think the backup has is wrong; while the worker has the
         * cache, a difference that does not fit is sent again whole */
        if (!colo__worker_busy(s->worker))
            colo__delta_cache_drop(s->p.transfer.cache, gfn);
        if (colo__bitmap_test(&known, gfn)) {
            s->audit_known++;
            continue;
        }
        bad++;
        colo__log(s->log, COLO_LOG_WARNING, -1, "audit",
                  "frame 0x%llx differed in epoch %llu",
                  (unsigned long long)gfn, (unsigned long long)msg->epoch);
    }
    if (bad) {
        char text[120];

        s->audit_mismatches += bad;
        snprintf(text, sizeof(text), "audit: %llu pages of the replica "
                 "differed; they are sent again", (unsigned long long)bad);
        colo__session_warn(s, text);
    }
out:
    colo__bitmap_fini(&known);
}

static void take_received(struct colo_session *s, const struct colo_msg *msg)
{
    struct colo_primary *p = &s->p;
    struct colo_error err = { 0 };

    if (!msg->value) {
        p->received = true;
        colo__session_step_hook(s, "received");
        check_committed(s);
        return;
    }
    /* A difference did not fit what the replica has.  Once more, whole. */
    if (p->transfer.again || !p->sent) {
        colo__fail(&err, COLO_E_CORRUPT, 0, "primary",
                   "the backup cannot take epoch %llu",
                   (unsigned long long)s->epoch);
        colo__session_error(s, &err);
        return;
    }
    s->audit_mismatches++;
    colo__session_warn(s, "a difference did not fit the replica; the epoch "
                          "is sent again whole");
    p->transfer.again = true;
    p->sent = false;
    if (colo__worker_submit(s->worker, colo__transfer_epoch_job,
                            &p->transfer, &err))
        colo__session_error(s, &err);
}

void colo__primary_message(struct colo_session *s, const struct colo_msg *msg)
{
    struct colo_error err;
    bool ok = msg->epoch == s->epoch;

    switch (msg->type) {
    case COLO_MSG_CHECKPOINT_READY:
        if (s->state == COLO_STATE_SEEDING && !s->p.ready_came) {
            s->p.ready_came = true;
            check_ready(s);
            return;
        }
        break;
    case COLO_MSG_CHECKPOINT_REPLY:
        if (ok && s->state == COLO_STATE_REQUESTED) {
            colo__session_raise(s, COLO_EV_REPLY);
            return;
        }
        break;
    case COLO_MSG_VMSTATE_RECEIVED:
        if (ok && s->state == COLO_STATE_COMMITTING && !s->p.received) {
            take_received(s, msg);
            return;
        }
        break;
    case COLO_MSG_VMSTATE_LOADED:
        /* comes when it comes, but before the next REPLY */
        if (s->p.seed_stopped && (ok || msg->epoch == s->committed)) {
            take_loaded(s, msg);
            return;
        }
        break;
    case COLO_MSG_STOP:
        if (msg->value == 1 && colo__transition(s->table, s->state,
                                                COLO_EV_YIELD)) {
            colo__session_raise(s, COLO_EV_YIELD);
            return;
        }
        if (msg->value == 0 && s->state == COLO_STATE_ENDING) {
            s->p.await_answer = false;
            return;
        }
        break;
    default:
        break;
    }
    /* what was on its way when we began to end is no fault */
    if (s->state >= COLO_STATE_ARBITRATING)
        return;
    colo__fail(&err, COLO_E_PROTO, 0, "primary", "%s of epoch %llu in state "
               "%s of epoch %llu", colo__msg_name(msg->type),
               (unsigned long long)msg->epoch, colo_state_name(s->state),
               (unsigned long long)s->epoch);
    colo__session_error(s, &err);
}

/* A stop that we did not ask for: another tool suspends the guest (save,
 * migrate).  It cannot have it while the guest is protected. */
static void foreign_stop(struct colo_session *s)
{
    struct colo_error err = { 0 };

    if (resume_guest(s, &err))
        colo__session_error(s, &err);
    colo__session_warn(s, "another tool tried to suspend the protected "
                          "guest (save? migrate?): refused; stop protection "
                          "first with: colo stop");
}

static void guest_changed(struct colo_session *s)
{
    struct colo_hv_info info;
    struct colo_error err = { 0 };
    int rc;

    if (s->guest_reason >= 0 || s->guest_gone)
        return;
    rc = hv_ops(s)->info(s->parts.hv, &info, &err);
    if (rc == COLO_E_NOTFOUND)
        info.state = COLO_HV_GONE;
    else if (rc) {
        colo__session_error(s, &err);
        return;
    }
    if (info.state == COLO_HV_GONE) {
        s->guest_gone = true;
        s->guest_reason = COLO_HV_POWEROFF;
    } else if (info.state == COLO_HV_SHUTDOWN) {
        s->guest_reason = info.reason;
    } else {
        return;
    }
    colo__session_raise(s, COLO_EV_GUEST_END);
}

void colo__primary_hv(struct colo_session *s)
{
    struct colo_hv_event ev = { 0 };
    struct colo_error err = { 0 };

    if (hv_ops(s)->poll(s->parts.hv, &ev, &err)) {
        /* while ending, what was begun (a seed) may fail as it likes */
        if (s->state < COLO_STATE_ENDING)
            colo__session_error(s, &err);
        else if (s->state == COLO_STATE_ENDING && s->p.guest_ending)
            colo__session_error(s, &err);
        else
            colo__log(s->log, COLO_LOG_DEBUG, -1, "primary", "%s", err.text);
        return;
    }
    if ((ev.events & COLO_HV_EV_SEEDED) && !s->p.seed_stopped) {
        if (seed_written(s, &err))
            colo__session_error(s, &err);
        else
            say_seeded(s);
    }
    if (ev.events & COLO_HV_EV_STOPPED) {
        if (s->state == COLO_STATE_STOPPING)
            colo__session_raise(s, COLO_EV_STOPPED);
        else if (s->state < COLO_STATE_ENDING && s->p.seed_stopped)
            foreign_stop(s);
    }
    if (ev.events & COLO_HV_EV_GUEST)
        guest_changed(s);
    if (ev.events & COLO_HV_EV_ENDED)
        s->p.guest_ended = true;
}

void colo__primary_worker(struct colo_session *s, int rc,
                          const struct colo_error *err)
{
    struct colo_primary *p = &s->p;

    if (s->state >= COLO_STATE_ARBITRATING)
        return; /* it was told to end */
    if (rc == COLO_E_PEER) {
        colo__session_bulk_broken(s, err);
    } else if (rc) {
        colo__session_error(s, err);
    } else if (!p->seed_sent) {
        p->seed_sent = true;
        say_seeded(s);
    } else {
        p->sent = true;
        s->state_deadline_us = colo__now_us(s->clock) +
                               (uint64_t)s->config.commit_ms * 1000;
        colo__session_step_hook(s, "sent");
        check_committed(s);
    }
}

static void waiting(struct colo_session *s)
{
    struct colo_error err = { 0 };
    uint32_t wants = atomic_load(&s->wants);

    if (colo__followers_pending(s, &err) < 0) {
        colo__session_error(s, &err);
        return;
    }
    colo__network_tell(s);
    if (wants & COLO_WANT_CHECKPOINT) {
        atomic_fetch_and(&s->wants, ~COLO_WANT_CHECKPOINT);
        s->p.checkpoint_wanted = true;
    }
    if (s->p.checkpoint_wanted || colo__now_us(s->clock) >= s->p.timer_us)
        colo__session_raise(s, COLO_EV_TIMER);
}

/* Once a second, while bytes go out: how far the first copies are. What the
 * guest writes meanwhile is sent again, so it may be more than its memory. */
static void seeding(struct colo_session *s)
{
    uint64_t now = colo__now_us(s->clock);
    uint64_t pages = atomic_load(&s->p.transfer.seed_bytes) / COLO_PAGE_SIZE;
    uint64_t total = pages > s->info.tot_pages ? pages : s->info.tot_pages;
    uint64_t disk_done = 0, disk_total = 0;

    check_ready(s);
    if (now < s->p.timer_us)
        return;
    s->p.timer_us = now + 1000000;
    if (s->proxies)
        colo__replication_xenstore_progress(s->proxies, &disk_done,
                                            &disk_total);
    pages += disk_done / COLO_PAGE_SIZE;
    total += disk_total / COLO_PAGE_SIZE;
    if (pages != s->seed_done)
        colo__session_progress(s, pages, total);
}

void colo__primary_poll(struct colo_session *s)
{
    switch (s->state) {
    case COLO_STATE_SEEDING:
        seeding(s);
        break;
    case COLO_STATE_WAITING:
        waiting(s);
        break;
    case COLO_STATE_COMMITTING:
        check_committed(s);
        break;
    case COLO_STATE_ARBITRATING:
        colo__arbiter_poll(s);
        break;
    case COLO_STATE_ENDING:
        end_further(s);
        break;
    default:
        break;
    }
}

uint64_t colo__primary_deadline(struct colo_session *s)
{
    if (s->state == COLO_STATE_SEEDING)
        return s->p.timer_us;
    if (s->state == COLO_STATE_WAITING)
        return s->p.checkpoint_wanted ? 0 : s->p.timer_us;
    return COLO_NEVER;
}
