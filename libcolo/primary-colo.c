/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One checkpoint at the primary in mode colo, from the moment when both guests
 * stand still: captured, compared with what the replica wrote, sent,
 * acknowledged, loaded.  Only then the guest goes on, as the replica does.  The
 * session's loop waits in between, with a deadline for each step, and every
 * other way out of these states lets the guest go on (primary-end.c).
 * Session's thread.
 */
#include "primary-internal.h"

int colo__primary_compare(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    struct colo_error ignored;
    int rc;

    rc = colo__primary_capture_still(s, err);
    if (!rc) {
        /* whatever was told until now is over with this checkpoint */
        s->diverged = false;
        rc = colo__worker_submit(s->worker, colo__match_job, &p->match, err);
    }
    if (rc) {
        colo__primary_resume(s, &ignored);
        return rc;
    }
    p->matching = true;
    return 0;
}

void colo__primary_matched(struct colo_session *s)
{
    s->p.matching = false;
    s->p.settling = s->state == COLO_STATE_COMMITTING;
}

/* The list is there: what only the replica wrote comes in, a part in each turn
 * of the loop, and then all goes out. */
void colo__primary_settle(struct colo_session *s)
{
    struct colo_primary *p = &s->p;
    struct colo_error err = { 0 };
    int rc;

    if (!p->settling || s->state != COLO_STATE_COMMITTING)
        return;
    rc = colo__match_rest(&p->match, &p->settling, &err);
    if (rc)
        p->settling = false;
    if (!rc && !p->settling) {
        colo__session_step_hook(s, "compared");
        p->send_us = colo__now_us(s->clock);
        rc = colo__primary_send(s, &err);
    }
    if (rc)
        colo__session_error(s, &err);
}

int colo__primary_commit(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    int rc;

    rc = colo__followers_commit(s, s->epoch, err);
    if (rc)
        return rc;
    s->committed = s->epoch;
    p->info.commit_us = colo__now_us(s->clock) - p->stop_us -
                        p->info.stop_us;
    colo__transfer_learn(&p->transfer, colo__now_us(s->clock) - p->send_us);
    p->followers_wait = false;
    colo__session_step_hook(s, "committed");
    return 0;
}

/* The guest goes on when all is committed here, too: a network proxy that
 * learned of it later would take what the guest says from now on for a part of
 * this epoch, and let it out uncompared. */
void colo__primary_check_loaded(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc;

    if (!s->p.loaded)
        return;
    rc = colo__followers_pending(s, &err);
    s->p.followers_wait = rc > 0;
    if (rc < 0)
        colo__session_follower_failed(s, &err);
    else if (!rc)
        colo__session_raise(s, COLO_EV_LOADED);
}

void colo__primary_both_loaded(struct colo_session *s,
                               const struct colo_msg *msg)
{
    colo__primary_loaded(s, msg);
    s->p.loaded = true;
}

static void add_figures(struct colo_session *s, uint64_t now)
{
    struct colo_primary *p = &s->p;
    struct colo_lockstep_info *l = &s->lockstep;

    p->info.dirty_pages = p->transfer.pages + p->match.equal;
    p->info.zero_pages = p->transfer.zero_pages;
    p->info.delta_pages = p->transfer.delta_pages;
    p->info.wire_bytes = p->transfer.wire_bytes;
    l->peer_dirty_pages = p->match.listed;
    l->own_dirty_pages = p->transfer.pages - p->match.added + p->match.both;
    l->equal_pages = p->match.equal;
    l->sent_pages = p->transfer.pages;
    l->list_bytes = p->match.bytes;
    l->total_equal_pages += l->equal_pages;
    l->total_sent_pages += l->sent_pages;
    l->total_bytes += p->info.wire_bytes + l->list_bytes;
    s->audit_pages += p->capture.epoch.audit_count;
    colo__stats_add(&s->stats, now, &p->info);
    s->status_dirty = true;
}

int colo__primary_go_on(struct colo_session *s, struct colo_error *err)
{
    struct colo_primary *p = &s->p;
    uint64_t t = colo__now_us(s->clock), now;
    int rc;

    rc = colo__primary_resume(s, err);
    if (rc)
        return rc;
    now = p->resumed_us = colo__now_us(s->clock);
    p->info.resume_us = now - t;
    p->info.pause_us = now - p->stop_us;
    colo__session_step_hook(s, "resumed");
    /* the delay to the next one counts from here: while both run */
    add_figures(s, now);
    return 0;
}
