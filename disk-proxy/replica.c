/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The disk of a replica that runs (mode colo).  What it writes lies over what
 * is committed, and is thrown away when the next epoch is: then the replica
 * goes on from the primary's disk, as it does from the primary's memory.  If
 * the primary is lost instead, the replica's own pages are the truth, and are
 * merged into the local copy after what was committed before them.
 *
 * view: read-locked by who reads or writes for the replica, write-locked for
 * an instant when what lies over the disk goes: at a commit, at the takeover,
 * and page by page when they are merged.  So a read sees one state whole.
 *
 * Threads: read, write: any; commit, end and reset by the control thread;
 * merge by who has the range, merge_all by the applier.
 */
#include <stdlib.h>
#include <string.h>

#include "disk-internal.h"
#include "page-cache.h"

#define WHERE "disk replica"
#define PAGE COLO_OVERLAY_PAGE
#define CACHE_MS 5000

bool colo__replica_runs(const struct colo_disk *d)
{
    return atomic_load(&d->replica);
}

int colo__replica_forget_cache(struct colo_disk *d, struct colo_error *err)
{
    if (!d->config.device)
        return 0;
    return colo__page_cache_drop(d->config.device, CACHE_MS, err);
}

/* bytes of a page, which the disk's end may cut */
static uint32_t page_len(const struct colo_disk *d, uint64_t page)
{
    uint64_t rest = colo__backing_size(d->backing) - page * PAGE;

    return rest < PAGE ? (uint32_t)rest : PAGE;
}

/* the part of [offset, offset + len) that is in its first page */
static uint32_t first_part(uint64_t offset, uint64_t len, uint32_t *ret_skip)
{
    uint32_t skip = (uint32_t)(offset % PAGE);

    *ret_skip = skip;
    return PAGE - skip < len ? PAGE - skip : (uint32_t)len;
}

static bool all_there(struct colo_disk *d, uint64_t len, uint64_t offset)
{
    for (uint64_t page = offset / PAGE; page * PAGE < offset + len; page++) {
        if (colo__overlay_get(d->overlay, page, 0, 0, NULL) != 1)
            return false;
    }
    return true;
}

/* view is held */
static int read_through(struct colo_disk *d, uint8_t *buf, size_t len,
                        uint64_t offset)
{
    int r = 0;

    if (!all_there(d, len, offset))
        r = colo__elog_read_committed(d->log, d->backing, buf, len, offset);
    while (len && !r) {
        uint32_t skip, n = first_part(offset, len, &skip);
        int there = colo__overlay_get(d->overlay, offset / PAGE, skip, n, buf);

        if (there < 0)
            r = -there;
        buf += n;
        offset += n;
        len -= n;
    }
    return r;
}

int colo__replica_read(struct colo_disk *d, void *buf, size_t len,
                       uint64_t offset)
{
    int r;

    pthread_rwlock_rdlock(&d->view);
    r = read_through(d, buf, len, offset);
    pthread_rwlock_unlock(&d->view);
    return r;
}

/* n bytes at skip of a page; data NULL: zeros */
static int write_part(struct colo_disk *d, uint64_t page, uint32_t skip,
                      uint32_t n, const uint8_t *data)
{
    uint8_t whole[PAGE];
    uint32_t len = page_len(d, page);
    int r;

    if (skip == 0 && n == PAGE)
        return colo__overlay_put(d->overlay, page, data);
    memset(whole, 0, sizeof(whole));
    if (n < len) {
        r = read_through(d, whole, len, page * PAGE);
        if (r)
            return r;
    }
    if (data)
        memcpy(whole + skip, data, n);
    else
        memset(whole + skip, 0, n);
    return colo__overlay_put(d->overlay, page, whole);
}

/* What it has written is as good as lost, so it cannot take over; the
 * primary's guest goes on. */
static void give_up(struct colo_disk *d, int r)
{
    struct colo_overlay_stats stats;
    struct colo_error err;

    colo__overlay_stats(d->overlay, &stats);
    d->replica_failed = true;
    colo__fail(&err, r == ENOSPC ? COLO_E_LIMIT : COLO_E_SYS, r, WHERE,
               "the replica's own writes cannot be kept: %s (%llu MiB in "
               "memory, %llu MiB spilled)", r == ENOSPC ?
               "memory and spill file are full" : strerror(r),
               (unsigned long long)(stats.memory >> 20),
               (unsigned long long)(stats.spilled >> 20));
    colo__disk_send_error(d, err.text);
    colo__disk_lose(d, &err);
}

/* A checkpoint takes them all away: ask for one in time, once. */
static void count_bytes(struct colo_disk *d, uint64_t len)
{
    uint64_t limit = d->config.memory_limit / 2;
    uint64_t before = atomic_fetch_add(&d->epoch_bytes, len);

    if (before < limit && before + len >= limit)
        colo__disk_event(d, "diverged the replica's writes are large");
}

int colo__replica_write(struct colo_disk *d, const uint8_t *buf, uint64_t len,
                        uint64_t offset, bool trim)
{
    bool own;
    int r = 0;

    pthread_rwlock_rdlock(&d->view);
    own = d->phase == PHASE_IN_STEP;
    if (own && d->replica_failed)
        r = EIO;
    for (uint64_t left = len; own && left && !r; ) {
        uint32_t skip, n = first_part(offset, left, &skip);

        r = write_part(d, offset / PAGE, skip, n, buf);
        if (buf)
            buf += n;
        offset += n;
        left -= n;
    }
    pthread_rwlock_unlock(&d->view);
    if (!own)
        return -1; /* it took over meanwhile, or ended */
    if (r == ENOSPC && trim)
        return EOPNOTSUPP; /* what is not taken away needs no room */
    if (r && !d->replica_failed)
        give_up(d, r);
    if (!r && buf)
        count_bytes(d, len);
    return r;
}

int colo__replica_commit(struct colo_disk *d, uint64_t epoch,
                         struct colo_error *err)
{
    struct colo_elog_stats stats;
    int rc = 0;

    colo__elog_stats(d->log, &stats);
    if (epoch <= stats.committed) /* its pages are of a later time */
        return colo__fail(err, COLO_E_STATE, 0, WHERE,
                          "epoch %llu was committed before",
                          (unsigned long long)epoch);
    /* What is dirty there is the replica's, and comes to us first. */
    if (colo__replica_runs(d))
        rc = colo__replica_forget_cache(d, err);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&d->view);
    rc = colo__elog_commit(d->log, epoch, err);
    if (!rc) {
        colo__overlay_clear(d->overlay);
        atomic_store(&d->epoch_bytes, 0);
        atomic_store(&d->replica, true);
        d->replica_failed = false; /* all of it is the primary's again */
    }
    pthread_rwlock_unlock(&d->view);
    /* and what was read before is of the replica's own past */
    return rc ? rc : colo__replica_forget_cache(d, err);
}

/* The applier may fail at any time, and what it says of the copy stays. */
static int begin_draining(struct colo_disk *d, struct colo_error *err)
{
    struct colo_error ignored;
    bool broken;

    pthread_mutex_lock(&d->lock);
    broken = d->phase == PHASE_BROKEN;
    if (!broken)
        d->phase = PHASE_DRAINING; /* the applier ends it */
    pthread_cond_broadcast(&d->cond);
    pthread_mutex_unlock(&d->lock);
    if (!broken)
        return 0;
    /* it may have come before the new generation */
    (void)colo__meta_set(d->meta, COLO_META_SYNCING, NULL, &ignored);
    return colo__fail(err, COLO_E_SYS, 0, WHERE,
                      "the local copy could not be written");
}

int colo__replica_take_over(struct colo_disk *d, uint64_t *ret_left,
                            struct colo_error *err)
{
    struct colo_overlay_stats stats;
    uint8_t generation[16];
    int rc;

    rc = colo__disk_random(generation, sizeof(generation), err);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&d->view);
    if (d->replica_failed) {
        rc = colo__fail(err, COLO_E_STATE, 0, WHERE,
                        "the replica's own writes could not be kept");
        goto out;
    }
    *ret_left = colo__elog_drop(d->log);
    colo__overlay_stats(d->overlay, &stats);
    *ret_left += stats.pages;
    /* With some of it in memory only, this copy is not whole. */
    rc = colo__meta_derive(d->meta, *ret_left ? COLO_META_APPLYING :
                           COLO_META_ALONE, generation, err);
    if (!rc)
        rc = begin_draining(d, err);
out:
    pthread_rwlock_unlock(&d->view);
    return rc;
}

void colo__replica_reset(struct colo_disk *d)
{
    pthread_rwlock_wrlock(&d->view);
    atomic_store(&d->replica, false);
    d->replica_failed = false;
    colo__overlay_clear(d->overlay);
    colo__overlay_trim(d->overlay);
    pthread_rwlock_unlock(&d->view);
}

static int merge_page(struct colo_disk *d, uint64_t page)
{
    uint8_t *buf = colo__backing_buffer(d->backing);
    uint32_t len = page_len(d, page);
    int r;

    if (!buf)
        return ENOMEM;
    r = colo__overlay_get(d->overlay, page, 0, len, buf);
    if (r == 1) {
        r = colo__backing_write(d->backing, buf, len, page * PAGE, false);
        pthread_rwlock_wrlock(&d->view);
        if (!r)
            colo__overlay_drop(d->overlay, page);
        pthread_rwlock_unlock(&d->view);
    }
    colo__backing_release(d->backing, buf);
    return r < 0 ? -r : r;
}

int colo__replica_merge(struct colo_disk *d, uint64_t offset, uint64_t len)
{
    int r = 0;

    if (!colo__replica_runs(d))
        return 0;
    for (uint64_t page = offset / PAGE; page * PAGE < offset + len && !r;
         page++)
        r = merge_page(d, page);
    return r;
}

/* the first n of pages that follow each other, a piece at most */
static size_t run_of(const uint64_t *pages, size_t n)
{
    size_t i = 1;

    while (i < n && pages[i] == pages[0] + i && i < COLO_BACKING_PIECE / PAGE)
        i++;
    return i;
}

/* n pages in a row, under a lock on their range: one write.  A page that the
 * guest's own write has merged meanwhile is on the disk already. */
static int merge_run(struct colo_disk *d, const uint64_t *pages, size_t n,
                     uint8_t *buf)
{
    uint64_t offset = pages[0] * PAGE;
    uint32_t last = page_len(d, pages[n - 1]);
    struct colo_range range;
    struct colo_error err;
    bool whole = true;
    int r = 0;

    colo__range_take(&d->range, &range, offset, n * PAGE);
    for (size_t i = 0; i < n && whole && !r; i++) {
        int there = colo__overlay_get(d->overlay, pages[i], 0, PAGE,
                                      buf + i * PAGE);

        whole = there != 0;
        r = there < 0 ? -there : 0;
    }
    if (!r && colo__meta_mark(d->meta, offset, (n - 1) * PAGE + last, &err))
        r = EIO;
    if (!r && whole)
        r = colo__backing_write(d->backing, buf, (n - 1) * PAGE + last,
                                offset, false);
    else if (!r)
        r = colo__replica_merge(d, offset, (n - 1) * PAGE + last);
    if (!r && whole) {
        pthread_rwlock_wrlock(&d->view);
        for (size_t i = 0; i < n; i++)
            colo__overlay_drop(d->overlay, pages[i]);
        pthread_rwlock_unlock(&d->view);
    }
    colo__range_give(&d->range, &range);
    return r;
}

int colo__replica_merge_all(struct colo_disk *d)
{
    uint8_t *buf = NULL;
    uint64_t *pages = NULL;
    struct colo_error err;
    size_t n = 0;
    int r;

    if (!colo__replica_runs(d))
        return 0;
    r = colo__overlay_list(d->overlay, &pages, &n, &err) ? ENOMEM : 0;
    if (!r)
        buf = colo__backing_buffer(d->backing);
    if (!r && !buf)
        r = ENOMEM;
    for (size_t at = 0, run; at < n && !r; at += run) {
        run = run_of(pages + at, n - at);
        r = merge_run(d, pages + at, run, buf);
    }
    colo__backing_release(d->backing, buf);
    free(pages);
    if (!r) {
        colo__overlay_clear(d->overlay);
        colo__overlay_trim(d->overlay);
    }
    return r;
}
