/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The secondary's writer: takes what is committed from the epoch log to the
 * local disk, in the primary's order and with its flushes, so that the copy
 * is at every moment one that a crash of the primary could have left.
 *
 * One thread, from start until what was committed is applied.
 */
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "disk-internal.h"

#define WHERE "applier"
#define RETRY_SECONDS 1 /* of metadata that cannot be written */

_Static_assert(COLO_ELOG_RUN <= COLO_BACKING_PARTS, "a run is one write");

static int apply_write(struct colo_disk *d, const struct colo_elog_run *run,
                       uint8_t *bounce)
{
    struct iovec parts[COLO_ELOG_RUN];

    for (uint32_t i = 0; i < run->n; i++) {
        const uint8_t *data = colo__elog_data(d->log, run, i);

        if (!data)
            return EIO;
        parts[i].iov_base = (void *)(uintptr_t)data;
        parts[i].iov_len = run->part[i].len;
    }
    return colo__backing_writev(d->backing, parts, (int)run->n, bounce,
                                run->offset, run->fua);
}

static int apply_zero(struct colo_disk *d, const struct colo_elog_run *run)
{
    int r = colo__backing_zero(d->backing, run->len, run->offset, run->trim,
                               run->fua);

    if (r == EOPNOTSUPP)
        r = colo__backing_zero(d->backing, run->len, run->offset, false,
                               run->fua);
    return r;
}

/* *dirty: something was written since the last flush */
static int apply(struct colo_disk *d, const struct colo_elog_run *run,
                 uint8_t *bounce, bool *dirty)
{
    int r = 0;

    switch (run->type) {
    case COLO_REC_WRITE:
        r = apply_write(d, run, bounce);
        break;
    case COLO_REC_ZERO:
        r = apply_zero(d, run);
        break;
    default: /* FLUSH, BARRIER */
        if (*dirty)
            r = colo__backing_flush(d->backing);
        *dirty = false;
        return r;
    }
    *dirty = true;
    return r;
}

static void tell_applied(struct colo_disk *d, uint64_t epoch)
{
    struct colo_dmsg msg = { .type = COLO_DMSG_APPLIED, .value = epoch };

    (void)colo__disk_send(d, &msg);
}

/* All of a takeover is on the disk: ours is the newest copy, or, if the
 * takeover was called off meanwhile, just one that is consistent. */
static int end_takeover(struct colo_disk *d, struct colo_error *err)
{
    bool undone, same;

    do {
        int rc;

        pthread_mutex_lock(&d->lock);
        undone = d->undone;
        pthread_mutex_unlock(&d->lock);
        rc = colo__meta_set(d->meta, undone ? COLO_META_OUTDATED :
                            COLO_META_ALONE, NULL, err);
        if (rc)
            return rc;
        /* who calls it off after this sees that we are through */
        pthread_mutex_lock(&d->lock);
        same = d->undone == undone;
        if (same)
            d->phase = undone ? PHASE_IDLE : PHASE_ALONE;
        pthread_cond_broadcast(&d->cond);
        pthread_mutex_unlock(&d->lock);
    } while (!same);
    return 0;
}

/* All of the takeover to the disk; 0, or an errno value. */
static int finish(struct colo_disk *d)
{
    int r = colo__replica_merge_all(d);

    if (!r)
        r = colo__backing_flush(d->backing);
    if (r)
        colo__disk_say(d, "the epochs before the failover could not be "
                       "written");
    return r;
}

/* The disk is complete.  Metadata that cannot be written is no reason to take
 * it from the guest: it is tried again, until we have to go. */
static bool wrote_down(struct colo_disk *d, time_t *next)
{
    struct colo_error err;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec < *next)
        return false;
    if (end_takeover(d, &err) == 0) {
        colo__disk_say(d, "all of the epochs before the failover are on the "
                       "disk");
        return true;
    }
    if (!*next) {
        colo__disk_say(d, "all is on the disk, but the metadata cannot say so, "
                       "which is tried again: %s", err.text);
        pthread_mutex_lock(&d->lock);
        d->drained = true; /* the guest's flushes wait no longer */
        pthread_cond_broadcast(&d->cond);
        pthread_mutex_unlock(&d->lock);
    }
    *next = now.tv_sec + RETRY_SECONDS;
    return false;
}

static bool shall_end(struct colo_disk *d)
{
    bool r;

    pthread_mutex_lock(&d->lock);
    r = d->applier_ends;
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* There was nothing to apply: is there something to end?
 * Shape    *next: when the metadata is tried again, 0: it was not; *ret_r: an
 *          errno value if the disk failed. */
static bool is_over(struct colo_disk *d, bool *dirty, time_t *next,
                    int *ret_r)
{
    struct colo_elog_stats stats;
    bool over;

    if (d->phase == PHASE_DRAINING) {
        /* Nothing is added any more.  What is committed and was not there a
         * moment ago, or cannot be taken, is no part of the disk yet. */
        colo__elog_stats(d->log, &stats);
        if (stats.records)
            return false;
        if (!*next)
            *ret_r = finish(d);
        *dirty = false;
        return *ret_r || wrote_down(d, next) || shall_end(d);
    }
    over = shall_end(d);
    if (over && *dirty)
        (void)colo__backing_flush(d->backing);
    return over;
}

static void fail(struct colo_disk *d, int r)
{
    struct colo_error err, ignored;

    colo__fail(&err, COLO_E_SYS, r, WHERE, "cannot write the local copy");
    colo__disk_send_error(d, err.text);
    /* before a session hears of it, which may ask for a takeover, and before
     * the metadata: who derives a generation looks at this afterwards */
    colo__disk_set_phase(d, PHASE_BROKEN);
    colo__disk_lose(d, &err);
    (void)colo__meta_set(d->meta, COLO_META_SYNCING, NULL, &ignored);
}

static void *applier(void *user)
{
    struct colo_disk *d = user;
    struct colo_elog_run run;
    uint8_t *bounce = colo__backing_buffer(d->backing);
    time_t next = 0;
    bool dirty = false;
    int r = bounce ? 0 : ENOMEM;

    while (!r) {
        if (!colo__elog_next(d->log, &run, 50)) {
            if (is_over(d, &dirty, &next, &r))
                break;
            continue;
        }
        r = apply(d, &run, bounce, &dirty);
        if (r)
            break;
        colo__elog_retire(d->log, &run);
        if (run.type == COLO_REC_BARRIER)
            tell_applied(d, run.offset);
    }
    if (r)
        fail(d, r);
    colo__backing_release(d->backing, bounce);
    return NULL;
}

int colo__applier_start(struct colo_disk *d, struct colo_error *err)
{
    int r;

    d->applier_ends = false;
    r = pthread_create(&d->applier, NULL, applier, d);
    if (r)
        return colo__fail(err, COLO_E_SYS, r, WHERE, "a thread");
    d->have_applier = true;
    return 0;
}

int colo__applier_end(struct colo_disk *d, unsigned ms)
{
    if (!d->have_applier)
        return 0;
    pthread_mutex_lock(&d->lock);
    d->applier_ends = true;
    pthread_mutex_unlock(&d->lock);
    d->have_applier = !colo__disk_join(d->applier, ms);
    return d->have_applier ? COLO_E_TIMEOUT : 0;
}
