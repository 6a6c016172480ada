/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Capture of one epoch.  In the stopped part there is no allocation, no log
 * and no system call per page: bitmap words are scanned into frame numbers in
 * place and the hypervisor backend copies in batches.
 */
#include "capture.h"

#include <string.h>

#include "../../remus-compat/stream-piece.h"

#define STATE_TRIES 2          /* after the first one; see copy_state */
#define PREPARE_STEP 16384ul   /* pages: 64 MiB, some ten milliseconds */
#define PREPARE_MOST 262144ul  /* the rest comes by faults, if it is needed */
/* tries before the live round rests, and for how many epochs it does */
#define LIVE_BAD_MAX 4
#define LIVE_REST 32
/* a live round pays when at least this share of it is not dirtied again */
#define LIVE_PAYS_PERCENT 50
/* Every look at the dirty record makes the guest fault its pages in again, so
 * a second look is worth it only where the copy itself would take long. */
#define LIVE_MIN_US 10000

int colo__capture_init(struct colo_capture *c, struct colo_hv *hv,
                       const struct colo_log *log,
                       const struct colo_clock *clock, int live_mode,
                       uint32_t audit_checkpoints, struct colo_error *err)
{
    struct colo_hv_info info;
    int rc;

    memset(c, 0, sizeof(*c));
    c->hv = hv;
    c->log = log;
    c->clock = clock;
    c->live_mode = live_mode;
    colo__bitmap_init(&c->final);
    colo__bitmap_init(&c->carry);
    colo__bitmap_init(&c->live);
    colo__bitmap_init(&c->equal);
    rc = colo__hv_ops(hv)->info(hv, &info, err);
    if (rc) goto out;
    rc = colo__epoch_init(&c->epoch, info.nr_gfns, err);
    if (!rc && info.streamed)
        rc = colo__epoch_state_grow(&c->epoch,
                                    colo__stream_piece_max(info.nr_gfns),
                                    err);
    if (rc) goto out;
    rc = colo__audit_init(&c->audit, hv, audit_checkpoints, err);
out:
    if (rc)
        colo__capture_fini(c);
    return rc;
}

void colo__capture_fini(struct colo_capture *c)
{
    colo__audit_fini(&c->audit);
    colo__epoch_fini(&c->epoch);
    colo__bitmap_fini(&c->final);
    colo__bitmap_fini(&c->carry);
    colo__bitmap_fini(&c->live);
    colo__bitmap_fini(&c->equal);
}

int colo__capture_seeded(struct colo_capture *c, bool *tracking,
                         struct colo_error *err)
{
    const struct colo_hv_ops *ops = colo__hv_ops(c->hv);
    bool lost = false;
    int rc;

    rc = ops->track(c->hv, 1, err);
    if (rc)
        return rc;
    *tracking = true;
    return ops->dirty(c->hv, &c->carry, COLO_DIRTY_SEED, &lost, err);
}

int colo__capture_begin(struct colo_capture *c, uint64_t number,
                        struct colo_error *err)
{
    struct colo_hv_info info;
    uint64_t keep;
    int rc;

    rc = colo__hv_ops(c->hv)->info(c->hv, &info, err);
    if (rc)
        return rc;
    /* twice what the last epoch needed stays in memory */
    keep = c->epoch.count * 2 + 4096;
    colo__epoch_reset(&c->epoch, number, keep);
    rc = colo__epoch_grow(&c->epoch, 2 * info.nr_gfns, err);
    if (rc)
        return rc;
    /* page faults now and not while the guest stands still, and a part at a
     * time: the peer must hear of us */
    if (keep > PREPARE_MOST)
        keep = PREPARE_MOST;
    for (uint64_t n = PREPARE_STEP; n < keep + PREPARE_STEP;
         n += PREPARE_STEP) {
        colo__epoch_prepare(&c->epoch, n < keep ? n : keep);
        if (c->beat)
            c->beat(c->beat_user);
    }
    c->epoch.nr_gfns = info.nr_gfns;
    c->live_count = 0;
    c->live_lost = false;
    colo__bitmap_zero(&c->final);
    colo__bitmap_zero(&c->live);
    colo__bitmap_zero(&c->equal);
    c->rest_at = UINT64_MAX;
    c->lost = false;
    return colo__audit_prepare(&c->audit, info.nr_gfns, info.tot_pages, err);
}

/* Keep of the n frames read at the end of the buffer those that have data. */
static int keep_data(struct colo_capture *c, size_t n, struct colo_error *err)
{
    struct colo_epoch *e = &c->epoch;
    uint64_t *gfns = e->gfns + e->count;
    uint64_t to = e->count;
    int rc;

    for (size_t i = 0; i < n; i++) {
        if (c->kinds[i] == COLO_PAGE_GONE) {
            rc = colo__epoch_add_gone(e, gfns[i], err);
            if (rc)
                return rc;
        }
        if (c->kinds[i] != COLO_PAGE_DATA)
            continue;
        if (to != e->count + i) {
            e->gfns[to] = gfns[i];
            memcpy(colo__epoch_page(e, to), colo__epoch_page(e, e->count + i),
                   COLO_PAGE_SIZE);
        }
        to++;
    }
    e->count = to;
    return 0;
}

static int copy_set(struct colo_capture *c, const struct colo_bitmap *bm,
                    struct colo_error *err)
{
    const struct colo_hv_ops *ops = colo__hv_ops(c->hv);
    struct colo_epoch *e = &c->epoch;
    uint64_t pos = 0;

    for (;;) {
        size_t room = sizeof(c->kinds), n;
        int rc;

        if (e->cap - e->count < room)
            room = e->cap - e->count;
        if (!room) {
            if (pos >= bm->bits)
                return 0;
            return colo__fail(err, COLO_E_LIMIT, 0, "capture",
                              "epoch buffer full at %llu pages",
                              (unsigned long long)e->count);
        }
        n = colo__bitmap_scan(bm, &pos, e->gfns + e->count, room);
        if (!n)
            return 0;
        rc = ops->read(c->hv, e->gfns + e->count, n,
                       colo__epoch_page(e, e->count), c->kinds, err);
        if (rc)
            return rc;
        rc = keep_data(c, n, err);
        if (rc)
            return rc;
        if (c->beat)
            c->beat(c->beat_user);
    }
}

static bool want_live(struct colo_capture *c)
{
    if (c->live_mode >= 0)
        return c->live_mode;
    if ((double)c->last_dirty * c->us_per_page < LIVE_MIN_US)
        return false;
    if (c->live_skip) {
        c->live_skip--;
        return false;
    }
    return true;
}

int colo__capture_live(struct colo_capture *c, struct colo_error *err)
{
    const struct colo_hv_ops *ops = colo__hv_ops(c->hv);
    struct colo_bitmap taken;
    int rc;

    if (!want_live(c))
        return 0;
    /* carry first: its frames are sent from this look on or a later one */
    rc = ops->dirty(c->hv, &c->carry, COLO_DIRTY_CLEAN, &c->live_lost, err);
    if (rc)
        return rc;
    if (c->live_lost) {
        colo__log(c->log, COLO_LOG_WARNING, -1, "capture",
                  "full resync: %s", err ? err->text : "record lost");
        return 0; /* carry has every frame: the final round copies it */
    }
    rc = copy_set(c, &c->carry, err);
    if (rc)
        return rc;
    c->live_count = c->epoch.count;
    /* they have been taken; live was empty */
    taken = c->live;
    c->live = c->carry;
    c->carry = taken;
    return 0;
}

/* Did the live round save work?  Only then it is worth its write faults. */
static void judge_live(struct colo_capture *c)
{
    uint64_t again = 0;

    if (c->live_mode >= 0 || !c->live_count)
        return;
    for (uint64_t i = 0; i < c->live_count; i++)
        again += colo__bitmap_test(&c->final, c->epoch.gfns[i]);
    if ((c->live_count - again) * 100 >= c->live_count * LIVE_PAYS_PERCENT) {
        c->live_bad = 0;
        return;
    }
    if (++c->live_bad >= LIVE_BAD_MAX)
        c->live_skip = LIVE_REST;
}

static void learn_copy(struct colo_capture *c, uint64_t took_us)
{
    uint64_t pages = c->epoch.count - c->live_count;

    c->last_dirty = c->epoch.count;
    if (pages >= 64) {
        double now = (double)took_us / (double)pages;

        c->us_per_page = c->us_per_page == 0 ? now
                         : c->us_per_page * 0.75 + now * 0.25;
    }
}

static int copy_state(struct colo_capture *c, struct colo_error *err)
{
    const struct colo_machine_ops *machine = colo__hv_ops(c->hv)->machine;
    uint32_t cap = c->state_cap ? c->state_cap : 64 * 1024, len = 0;

    /* The first answer may be a guess, the second is not: QEMU's state takes
     * 13 KB with one network card and 211 KB with another (e1000). */
    for (int tries = 0;; tries++) {
        uint8_t *room = colo__epoch_state_room(&c->epoch, cap);
        int rc;

        if (!room)
            return colo__fail(err, COLO_E_NOMEM, ENOMEM, "capture",
                              "%u bytes for the context", cap);
        rc = machine->get(c->hv, room, cap, &len, err);
        if (!rc)
            break;
        if (rc != COLO_E_LIMIT || tries == STATE_TRIES)
            return rc;
        /* what is asked for may be more than it takes */
        cap = len < c->epoch.state_cap ? len : c->epoch.state_cap;
    }
    c->epoch.state_len = len;
    c->state_cap = cap;
    return 0;
}

int colo__capture_final(struct colo_capture *c,
                        struct colo_checkpoint_info *info,
                        struct colo_error *err)
{
    const struct colo_hv_ops *ops = colo__hv_ops(c->hv);
    uint64_t t0 = colo__now_us(c->clock), t1;
    struct colo_error why = { 0 };
    bool lost = false;
    int rc;

    rc = ops->dirty(c->hv, &c->final, COLO_DIRTY_CLEAN | COLO_DIRTY_FINAL,
                    &lost, &why);
    if (rc) {
        if (err)
            *err = why;
        return rc;
    }
    if (c->final.bits > c->epoch.nr_gfns) /* it has grown since begin */
        c->epoch.nr_gfns = c->final.bits;
    if (c->carry.bits > c->final.bits)
        colo__bitmap_resize(&c->carry, c->final.bits);
    colo__bitmap_or(&c->final, &c->carry);
    c->lost = lost || c->live_lost;
    if (c->lost)
        c->resyncs++;
    rc = copy_set(c, &c->final, err);
    if (rc)
        return rc;
    learn_copy(c, colo__now_us(c->clock) - t0);
    t1 = colo__now_us(c->clock);
    info->copy_us = t1 - t0;
    rc = copy_state(c, err);
    if (rc)
        return rc;
    info->state_us = colo__now_us(c->clock) - t1;
    if (lost)
        colo__log(c->log, COLO_LOG_WARNING, -1, "capture", "full resync: %s",
                  why.text);
    colo__bitmap_zero(&c->carry);
    rc = colo__audit_take(&c->audit, &c->final, &c->live, &c->epoch, err);
    if (rc)
        return rc;
    info->final_pages = c->epoch.count - c->live_count;
    judge_live(c);
    return 0;
}
