/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The primary's side of a session: how it begins, and what its hypervisor,
 * worker and peer tell it; checkpoints are primary-epoch.c's, the end is
 * primary-end.c's.  The guest is stopped in two places only (the end of the
 * seed, a checkpoint), and every way out of them lets it go on.  Session's
 * thread.
 */
#include <string.h>
#include <unistd.h>

#include "../xenstore/publish.h"
#include "engine/seed-pipe.h"
#include "primary-internal.h"

/* so often those are asked that have no descriptor */
#define FOLLOWERS_US 5000

/* ---- connecting and seeding -------------------------------------------- */

/* No more memory for last sent content than the guest has memory. */
static uint32_t delta_mib(struct colo_session *s)
{
    uint64_t mib = s->info.tot_pages / 256 + 1;

    /* its pages are in a stream, where none of them is looked at */
    if (s->info.streamed)
        return 0;
    return mib < s->config.delta_mib ? (uint32_t)mib : s->config.delta_mib;
}

/* What the peer does not understand is not sent. */
static void keep_to_features(struct colo_session *s)
{
    const uint64_t coding = COLO_FEATURE_DELTA | COLO_FEATURE_LZ4;

    if ((s->peer.features & coding) != coding)
        s->config.compress = 0;
    if (!(s->peer.features & COLO_FEATURE_AUDIT) || s->info.streamed)
        s->config.audit_checkpoints = UINT32_MAX;
    if (s->info.streamed)
        s->config.live_round = 0;
}

static int act_seed(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int fds[2] = { -1, -1 };
    int rc;

    keep_to_features(s);
    rc = colo__capture_init(&p->capture, s->parts.hv, s->log, s->clock,
                            s->config.live_round, s->config.audit_checkpoints,
                            err);
    if (rc)
        return rc;
    p->capture.beat = colo__session_beat_fn;
    p->capture.beat_user = s;
    colo__session_beats(s);
    rc = colo__transfer_init(&p->transfer, s->parts.bulk, &p->capture,
                             s->clock, s->config.commit_ms,
                             s->config.compress,
                             delta_mib(s), err);
    if (rc)
        return rc;
    memcpy(p->transfer.session, s->id, 16);
    if (colo__both_run(s)) {
        rc = colo__match_init(&p->match, s->parts.bulk, &p->capture,
                              p->transfer.cache, s->clock, &p->transfer.abort,
                              s->config.commit_ms, err);
        if (rc)
            return rc;
    }
    rc = colo__disks_start(s, err);
    if (!rc)
        rc = colo__nets_start(s, err);
    if (rc)
        return rc;
    rc = colo__followers_prepare(s, err);
    if (rc)
        return rc;
    rc = colo__seed_pipe(false, fds, err);
    if (rc)
        return rc;
    p->transfer.seed_fd = fds[0];
    p->guest_stopping = true; /* the seed ends with a stopped guest */
    s->seed_start_us = colo__now_us(s->clock);
    rc = colo__session_hv(s)->life->seed_out(s->parts.hv, fds[1], err);
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
        colo__primary_resume(s, &ignored);
        return rc;
    }
    rc = colo__primary_resume(s, err);
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
        return colo__primary_request(s, err);
    case COLO_ACT_STOP_GUEST:
        return colo__primary_stop_guest(s, err);
    case COLO_ACT_CAPTURE:
        return colo__primary_capture(s, err);
    case COLO_ACT_RELEASE:
        return colo__primary_release(s, err);
    case COLO_ACT_COMPARE:
        return colo__primary_compare(s, err);
    case COLO_ACT_COMMIT:
        return colo__primary_commit(s, err);
    case COLO_ACT_GO_ON:
        return colo__primary_go_on(s, err);
    case COLO_ACT_ASK:
        /* the guest runs on while the arbiter thinks; its output is held */
        colo__nets_cut(s);
        return colo__primary_let_run(s, err);
    case COLO_ACT_YIELD:
        return colo__primary_yield(s, err);
    case COLO_ACT_STOP:
        return colo__primary_end_stop(s, err);
    case COLO_ACT_GUEST_END:
        return colo__primary_end_guest(s, err);
    case COLO_ACT_ALONE:
        if (s->stock && s->committed)
            colo__session_warn(s, "the peer has stock Xen, which starts its "
                               "replica when the connection ends: look there "
                               "for NAME and NAME--incoming, and in this "
                               "host's syslog");
        return 0; /* finish does the rest */
    default: /* NONE, GIVE_UP: finish does it */
        return 0;
    }
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
            colo__primary_received(s, msg);
            return;
        }
        break;
    case COLO_MSG_DIVERGED:
        if (colo__both_run(s) && s->p.seed_stopped) {
            s->diverged = true;
            return;
        }
        break;
    case COLO_MSG_VMSTATE_LOADED:
        if (colo__both_run(s)) {
            if (!ok || !s->p.received || s->p.loaded ||
                (s->state != COLO_STATE_COMMITTING &&
                 s->state != COLO_STATE_LOADING))
                break;
            colo__primary_both_loaded(s, msg);
            return;
        }
        /* comes when it comes, but before the next REPLY */
        if (s->p.seed_stopped && (ok || msg->epoch == s->committed)) {
            colo__primary_loaded(s, msg);
            return;
        }
        break;
    case COLO_MSG_STOP:
        if (msg->value == 1 && colo__transition(s->table, s->state,
                                                COLO_EV_YIELD)) {
            colo__session_raise(s, COLO_EV_YIELD);
            return;
        }
        /* while we thought about going on alone */
        if (msg->value == 1 && s->state == COLO_STATE_ARBITRATING) {
            s->has_word = true;
            colo__session_raise(s, COLO_EV_MUST_NOT);
            return;
        }
        if (msg->value == 0 && s->state == COLO_STATE_ENDING) {
            s->p.await_answer = false;
            s->p.answered = true;
            return;
        }
        if (msg->value == 0 && s->state < COLO_STATE_ARBITRATING) {
            colo__session_raise(s, COLO_EV_STOP); /* the operator, there */
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

    if (colo__primary_resume(s, &err))
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
    rc = colo__session_hv(s)->info(s->parts.hv, &info, &err);
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

/* Where nobody can go on with it, that is said; the guest stays as it is. */
static void devices_ended(struct colo_session *s)
{
    const struct colo_life_ops *life = colo__session_hv(s)->life;
    struct colo_error err;

    if (s->state >= COLO_STATE_ARBITRATING || !life->crippled ||
        !life->crippled(s->parts.hv))
        return;
    colo__fail(&err, COLO_E_HV, 0, "primary", "the guest's device model "
               "(QEMU) has ended, and no replica can go on: shut the guest "
               "down or destroy it, and start it again");
    colo__session_error(s, &err);
}

void colo__primary_hv(struct colo_session *s)
{
    struct colo_hv_event ev = { 0 };
    struct colo_error err = { 0 };

    if (colo__session_hv(s)->poll(s->parts.hv, &ev, &err)) {
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
            colo__session_raise(s, colo__both_run(s) ? COLO_EV_BOTH_STOPPED
                                                     : COLO_EV_STOPPED);
        else if (s->state < COLO_STATE_ENDING && s->p.seed_stopped &&
                 !(colo__both_run(s) && s->p.guest_stopping))
            foreign_stop(s);
    }
    if (ev.events & COLO_HV_EV_GUEST)
        guest_changed(s);
    if (ev.events & COLO_HV_EV_DEVICES)
        devices_ended(s);
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
    } else if (p->matching) {
        colo__primary_matched(s);
    } else {
        p->sent = true;
        s->state_deadline_us = colo__now_us(s->clock) +
                               (uint64_t)s->config.commit_ms * 1000;
        colo__session_step_hook(s, "sent");
        if (p->resend)
            colo__primary_resend(s);
        else
            colo__primary_check_committed(s);
    }
}

static void waiting(struct colo_session *s)
{
    struct colo_error err = { 0 };
    uint32_t wants = atomic_load(&s->wants);
    int rc = colo__followers_pending(s, &err);

    if (rc < 0) {
        colo__session_follower_failed(s, &err);
        return;
    }
    colo__network_tell(s);
    s->p.checkpoint_wanted |= s->diverged;
    /* a delay of seconds may be changed while it passes */
    if (colo__both_run(s) && s->p.resumed_us)
        s->p.timer_us = s->p.resumed_us +
                        (uint64_t)atomic_load(&s->interval_ms) * 1000;
    if (wants & COLO_WANT_CHECKPOINT) {
        atomic_fetch_and(&s->wants, ~COLO_WANT_CHECKPOINT);
        s->p.checkpoint_wanted = true;
    }
    /* one that has yet to answer the last commit could not mark the next end
     * of an epoch while the guest stands still */
    s->p.followers_wait = rc > 0;
    if (rc == 0 && (s->p.checkpoint_wanted ||
                    colo__now_us(s->clock) >= s->p.timer_us))
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

/* Not for an answer, which other states wait for: an interface that comes is
 * to be held at once, and what nobody reads would wake us for ever. */
static void look_at_followers(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc = s->prepared ? colo__followers_pending(s, &err) : 0;

    if (rc < 0 && s->state < COLO_STATE_ARBITRATING)
        colo__session_follower_failed(s, &err);
}

void colo__primary_poll(struct colo_session *s)
{
    if (s->state > COLO_STATE_WAITING)
        look_at_followers(s);
    switch (s->state) {
    case COLO_STATE_SEEDING:
        seeding(s);
        break;
    case COLO_STATE_WAITING:
        waiting(s);
        break;
    case COLO_STATE_COMMITTING:
        colo__primary_settle(s);
        colo__primary_check_committed(s);
        break;
    case COLO_STATE_LOADING:
        colo__primary_check_loaded(s);
        break;
    case COLO_STATE_ARBITRATING:
        if (!colo__control_look_back(s))
            colo__arbiter_poll(s);
        break;
    case COLO_STATE_ENDING:
        colo__primary_end_further(s);
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
        return s->p.followers_wait ? colo__now_us(s->clock) + FOLLOWERS_US
               : s->p.checkpoint_wanted ? 0 : s->p.timer_us;
    if (s->state == COLO_STATE_COMMITTING && s->p.settling)
        return 0;
    if (s->state == COLO_STATE_LOADING && s->p.loaded)
        return s->p.followers_wait ? colo__now_us(s->clock) + FOLLOWERS_US
                                   : 0;
    return COLO_NEVER;
}
