/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One checkpoint at the primary: asked for, captured, sent, acknowledged,
 * released.  The guest is stopped in colo__primary_stop_guest and goes on in
 * colo__primary_capture, and nowhere between does this code wait.  Session's
 * thread.
 */
#include <stdio.h>
#include <string.h>

#include "primary-internal.h"

/* How long the guest stands still for a follower to mark the end of an epoch;
 * it takes one message and an answer. */
#define MARK_MS 3000

int colo__primary_request(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int rc;

    s->epoch++;
    p->checkpoint_wanted = false;
    p->sent = p->received = p->resend = false;
    p->transfer.again = false;
    p->loaded = false;
    memset(&p->info, 0, sizeof(p->info));
    p->info.epoch = s->epoch;
    rc = colo__capture_begin(&p->capture, s->epoch, err);
    /* mode colo: the replica stops at this word, and the guest soon after */
    if (!rc && colo__both_run(s))
        rc = colo__capture_live(&p->capture, err);
    if (rc)
        return rc;
    colo__control_send(s, COLO_MSG_CHECKPOINT_REQUEST, s->epoch, 0, NULL, 0);
    return 0;
}

int colo__primary_stop_guest(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int rc;

    rc = colo__both_run(s) ? 0 : colo__capture_live(&p->capture, err);
    if (rc)
        return rc;
    colo__session_step_hook(s, "live");
    p->stop_us = colo__now_us(s->clock);
    p->guest_stopping = true;
    return colo__session_hv(s)->stop->request(s->parts.hv, err);
}

int colo__primary_capture_still(struct colo_session *s,
                                struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int rc;

    p->info.stop_us = colo__now_us(s->clock) - p->stop_us;
    colo__session_step_hook(s, "stopped");
    rc = colo__followers_checkpoint(s, s->epoch, err);
    if (!rc)
        rc = colo__capture_final(&p->capture, &p->info, err);
    /* they were at it meanwhile */
    if (!rc)
        rc = colo__followers_settle(s, MARK_MS, err);
    colo__session_step_hook(s, "captured");
    return rc;
}

int colo__primary_end_pause(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    uint64_t t = colo__now_us(s->clock);
    int rc = colo__primary_resume(s, err);

    if (rc)
        return rc;
    p->resumed_us = colo__now_us(s->clock);
    p->info.resume_us = p->resumed_us - t;
    p->info.pause_us = p->resumed_us - p->stop_us;
    colo__session_step_hook(s, "resumed");
    return 0;
}

int colo__primary_send(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;

    colo__control_send(s, COLO_MSG_VMSTATE_SEND, s->epoch, 0, NULL, 0);
    colo__control_send(s, COLO_MSG_VMSTATE_SIZE, s->epoch,
                       p->capture.epoch.state_len, NULL, 0);
    return colo__worker_submit(s->worker, colo__transfer_epoch_job,
                               &p->transfer, err);
}

int colo__primary_capture(struct colo_session *s, struct colo_error *err)
{
    struct colo_error ignored;
    int rc = colo__primary_capture_still(s, err);

    if (rc) {
        colo__primary_resume(s, &ignored);
        return rc;
    }
    rc = colo__primary_end_pause(s, err);
    return rc ? rc : colo__primary_send(s, err);
}

int colo__primary_release(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    uint64_t now = colo__now_us(s->clock);
    uint64_t interval = (uint64_t)atomic_load(&s->interval_ms) * 1000;
    int rc;

    rc = colo__followers_commit(s, s->epoch, err);
    if (rc)
        return rc;
    s->committed = s->epoch;
    /* streamed: what there is besides pages is next to nothing */
    p->info.dirty_pages = s->info.streamed ?
                          p->capture.epoch.state_len / COLO_PAGE_SIZE :
                          p->transfer.pages;
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

void colo__primary_check_committed(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc;

    if (s->state != COLO_STATE_COMMITTING || !s->p.sent || !s->p.received)
        return;
    rc = colo__followers_pending(s, &err);
    if (rc < 0)
        colo__session_follower_failed(s, &err);
    else if (!rc)
        colo__session_raise(s, colo__both_run(s) ? COLO_EV_AGREED
                                                 : COLO_EV_COMMITTED);
}

/* The backup found pages that differ: for a known reason or not, they are
 * sent again with the next epoch. */
void colo__primary_loaded(struct colo_session *s, const struct colo_msg *msg)
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
        rc = colo__session_hv(s)->unmarked(s->parts.hv, &known, &err);
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

void colo__primary_received(struct colo_session *s, const struct colo_msg *msg)
{
    struct colo_primary *p = &s->p;
    struct colo_error err = { 0 };

    if (!msg->value) {
        p->received = true;
        colo__session_step_hook(s, "received");
        colo__primary_check_committed(s);
        return;
    }
    /* A difference did not fit what the replica has.  Once more, whole. */
    if (p->transfer.again || p->resend) {
        colo__fail(&err, COLO_E_CORRUPT, 0, "primary",
                   "the backup cannot take epoch %llu",
                   (unsigned long long)s->epoch);
        colo__session_error(s, &err);
        return;
    }
    s->audit_mismatches++;
    colo__session_warn(s, "a difference did not fit the replica; the epoch "
                          "is sent again whole");
    /* it may know that all is sent before we do */
    p->resend = true;
    if (p->sent)
        colo__primary_resend(s);
}

void colo__primary_resend(struct colo_session *s)
{
    struct colo_primary *p = &s->p;
    struct colo_error err = { 0 };

    p->transfer.again = true;
    p->sent = p->resend = false;
    if (colo__worker_submit(s->worker, colo__transfer_epoch_job,
                            &p->transfer, &err))
        colo__session_error(s, &err);
}
