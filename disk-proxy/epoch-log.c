/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The epoch log's records: adding, committing, taking, reading through; see
 * epoch-log.h.  Segments and the spill file are in epoch-log-segment.c.
 *
 * Lock order: hold before lock.  hold is read-locked by who looks at records
 * together with the disk, and write-locked for an instant when records go.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "epoch-log-internal.h"

int colo__elog_add(struct colo_elog *log, uint8_t type, uint64_t offset,
                   uint64_t len, const uint8_t *data, bool fua, bool trim,
                   struct colo_error *err)
{
    struct colo_elog_seg *seg = log->tail;
    struct rec *rec;
    int rc = 0;

    pthread_mutex_lock(&log->lock);
    if (log->ended) {
        rc = colo__fail(err, COLO_E_PEER, 0, WHERE, "ended");
        goto out;
    }
    if (seg->n == seg->cap) {
        uint32_t cap = seg->cap ? seg->cap * 2 : 64;
        struct rec *recs = realloc(seg->recs, cap * sizeof(*recs));

        if (!recs) {
            rc = colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
            goto out;
        }
        seg->recs = recs;
        seg->cap = cap;
    }
    rec = &seg->recs[seg->n++];
    *rec = (struct rec){ .offset = offset, .len = len, .type = type,
                         .fua = fua, .trim = trim };
    if (data)
        rec->pos = (uint32_t)(data - seg->mem);
    log->next_seq++;
    if (log->at_once) {
        log->commit_seq = log->next_seq;
        pthread_cond_signal(&log->work);
    }
    if (type == COLO_REC_BARRIER) {
        log->barrier = offset;
        log->barrier_seq = log->next_seq;
    } else if (type != COLO_REC_FLUSH) {
        if (offset < seg->low)
            seg->low = offset;
        if (offset + len > seg->high)
            seg->high = offset + len;
    }
out:
    pthread_mutex_unlock(&log->lock);
    return rc;
}

void colo__elog_at_once(struct colo_elog *log, bool on)
{
    pthread_mutex_lock(&log->lock);
    log->at_once = on;
    pthread_mutex_unlock(&log->lock);
}

uint64_t colo__elog_barrier(struct colo_elog *log)
{
    uint64_t epoch;

    pthread_mutex_lock(&log->lock);
    epoch = log->barrier;
    pthread_mutex_unlock(&log->lock);
    return epoch;
}

/* how many records up to and with the barrier of epoch; lock is held */
static bool find_barrier(struct colo_elog *log, uint64_t epoch,
                         uint64_t *ret_seq)
{
    for (struct colo_elog_seg *seg = log->head; seg; seg = seg->next) {
        for (uint32_t i = seg->applied; i < seg->n; i++) {
            if (seg->recs[i].type == COLO_REC_BARRIER &&
                seg->recs[i].offset == epoch) {
                *ret_seq = seg->first_seq + i + 1;
                return true;
            }
        }
    }
    return false;
}

int colo__elog_commit(struct colo_elog *log, uint64_t epoch,
                      struct colo_error *err)
{
    uint64_t seq = 0;
    int rc = 0;

    pthread_mutex_lock(&log->lock);
    if (epoch == log->barrier)
        seq = log->barrier_seq; /* the usual case */
    else if (epoch > log->committed && !find_barrier(log, epoch, &seq))
        rc = colo__fail(err, COLO_E_STATE, 0, WHERE,
                        "epoch %llu has not come whole",
                        (unsigned long long)epoch);
    if (!rc && epoch > log->committed) {
        log->committed = epoch;
        log->commit_seq = seq;
        pthread_cond_signal(&log->work);
    }
    pthread_mutex_unlock(&log->lock);
    return rc;
}

void colo__elog_interrupt(struct colo_elog *log)
{
    pthread_mutex_lock(&log->lock);
    log->ended = true;
    pthread_cond_broadcast(&log->freed);
    pthread_mutex_unlock(&log->lock);
}

uint64_t colo__elog_drop(struct colo_elog *log)
{
    struct colo_elog_seg *seg;
    uint64_t left = 0;

    pthread_rwlock_wrlock(&log->hold);
    pthread_mutex_lock(&log->lock);
    for (seg = log->head; seg; seg = seg->next) {
        uint64_t keep = log->commit_seq > seg->first_seq ?
            log->commit_seq - seg->first_seq : 0;

        if (keep < seg->n)
            seg->n = (uint32_t)keep;
        left += seg->n - (seg->applied < seg->n ? seg->applied : seg->n);
    }
    pthread_mutex_unlock(&log->lock);
    pthread_rwlock_unlock(&log->hold);
    return left;
}

/* the run that begins at seg->applied; lock is held */
static void build_run(struct colo_elog *log, struct colo_elog_seg *seg,
                      struct colo_elog_run *run)
{
    const struct rec *rec = &seg->recs[seg->applied];
    uint64_t can = log->commit_seq - seg->first_seq;
    uint32_t end = can < seg->n ? (uint32_t)can : seg->n;

    run->seg = seg;
    run->first = seg->applied;
    run->n = 1;
    run->type = rec->type;
    run->fua = rec->fua;
    run->trim = rec->trim;
    run->offset = rec->offset;
    run->len = rec->len;
    run->part[0].pos = rec->pos;
    run->part[0].len = (uint32_t)rec->len;
    if (rec->type != COLO_REC_WRITE)
        return;
    /* what follows directly, so that one write does for many */
    while (!run->fua && run->first + run->n < end &&
           run->n < COLO_ELOG_RUN) {
        rec = &seg->recs[run->first + run->n];
        if (rec->type != COLO_REC_WRITE ||
            rec->offset != run->offset + run->len ||
            run->len + rec->len > COLO_BACKING_PIECE)
            break;
        run->part[run->n].pos = rec->pos;
        run->part[run->n].len = (uint32_t)rec->len;
        run->n++;
        run->len += rec->len;
        run->fua = rec->fua;
    }
}

static bool has_work(struct colo_elog *log)
{
    struct colo_elog_seg *seg;

    colo__elog_prune(log);
    seg = log->head;
    return seg && seg->applied < seg->n && !seg->spilling &&
        seg->first_seq + seg->applied < log->commit_seq;
}

int colo__elog_next(struct colo_elog *log, struct colo_elog_run *ret_run,
                    unsigned ms)
{
    struct timespec until;
    int r = 0, found;

    colo__elog_deadline(&until, ms);
    pthread_mutex_lock(&log->lock);
    while (!(found = has_work(log)) && !r && ms)
        r = pthread_cond_timedwait(&log->work, &log->lock, &until);
    if (found) {
        build_run(log, log->head, ret_run);
        log->head->busy = true; /* not to be spilled now */
    }
    pthread_mutex_unlock(&log->lock);
    return found;
}

void colo__elog_retire(struct colo_elog *log, const struct colo_elog_run *run)
{
    pthread_rwlock_wrlock(&log->hold);
    pthread_mutex_lock(&log->lock);
    run->seg->applied = run->first + run->n;
    run->seg->busy = false;
    if (run->type == COLO_REC_BARRIER)
        log->applied = run->offset;
    colo__elog_prune(log);
    pthread_cond_broadcast(&log->freed);
    pthread_mutex_unlock(&log->lock);
    pthread_rwlock_unlock(&log->hold);
}

/* one record over buf, which holds [offset, offset + len); said, or NULL: which
 * of the bytes a record has */
static int overlay(struct colo_elog *log, struct colo_elog_seg *seg,
                   const struct rec *rec, uint8_t *buf, uint8_t *said,
                   size_t len, uint64_t offset)
{
    uint64_t begin = rec->offset > offset ? rec->offset : offset;
    uint64_t end = rec->offset + rec->len < offset + len ?
        rec->offset + rec->len : offset + len;

    if (begin >= end)
        return 0;
    if (said)
        memset(said + (begin - offset), 1, end - begin);
    if (rec->type == COLO_REC_ZERO) {
        memset(buf + (begin - offset), 0, end - begin);
        return 0;
    }
    return colo__elog_copy(log, seg, rec->pos + (begin - rec->offset),
                           buf + (begin - offset), end - begin);
}

static bool is_data(const struct rec *rec)
{
    return rec->type == COLO_REC_WRITE || rec->type == COLO_REC_ZERO;
}

/* how many records of a segment are of use for a read; lock is held */
static uint32_t visible(const struct colo_elog *log,
                        const struct colo_elog_seg *seg, bool committed)
{
    if (!committed || seg->first_seq + seg->n <= log->commit_seq)
        return seg->n;
    return seg->first_seq >= log->commit_seq ? 0 :
        (uint32_t)(log->commit_seq - seg->first_seq);
}

/* all of it over buf; hold is held, so that nothing retires */
static int overlay_all(struct colo_elog *log, uint8_t *buf, uint8_t *said,
                       size_t len, uint64_t offset, bool committed)
{
    struct colo_elog_seg *seg, *next;
    int r = 0;

    pthread_mutex_lock(&log->lock); /* only guards the list */
    for (seg = log->head; seg && !r; seg = next) {
        uint32_t n = visible(log, seg, committed);

        next = seg->next;
        if (seg->low >= offset + len || seg->high <= offset)
            continue;
        for (uint32_t i = seg->applied; i < n && !r; i++) {
            if (is_data(&seg->recs[i]))
                r = overlay(log, seg, &seg->recs[i], buf, said, len, offset);
        }
    }
    pthread_mutex_unlock(&log->lock);
    return r;
}

/* The log first, then the disk without a lock: that may stand still, and a
 * takeover must not wait for it.  What retires meanwhile is laid over itself.
 */
int colo__elog_read(struct colo_elog *log, struct colo_backing *b, void *buf,
                    size_t len, uint64_t offset)
{
    uint8_t *out = buf, *over = malloc(len), *said = calloc(1, len);
    int r = over && said ? 0 : ENOMEM;

    if (!r) {
        pthread_rwlock_rdlock(&log->hold);
        r = overlay_all(log, over, said, len, offset, false);
        pthread_rwlock_unlock(&log->hold);
    }
    if (!r)
        r = colo__backing_read(b, buf, len, offset);
    for (size_t i = 0; !r && i < len; i++) {
        if (said[i])
            out[i] = over[i];
    }
    free(over);
    free(said);
    return r;
}

int colo__elog_read_committed(struct colo_elog *log, struct colo_backing *b,
                              void *buf, size_t len, uint64_t offset)
{
    int r;

    pthread_rwlock_rdlock(&log->hold);
    r = colo__backing_read(b, buf, len, offset);
    if (!r)
        r = overlay_all(log, buf, NULL, len, offset, true);
    pthread_rwlock_unlock(&log->hold);
    return r;
}

/* lock is held */
static bool is_clear(struct colo_elog *log, uint64_t offset, uint64_t len)
{
    for (struct colo_elog_seg *seg = log->head; seg; seg = seg->next) {
        if (seg->low >= offset + len || seg->high <= offset)
            continue;
        for (uint32_t i = seg->applied; i < seg->n; i++) {
            const struct rec *rec = &seg->recs[i];

            if (is_data(rec) && rec->offset < offset + len &&
                offset < rec->offset + rec->len)
                return false;
        }
    }
    return true;
}

int colo__elog_wait_clear(struct colo_elog *log, uint64_t offset,
                          uint64_t len, unsigned ms)
{
    struct timespec until;
    int r = 0;

    colo__elog_deadline(&until, ms);
    pthread_mutex_lock(&log->lock);
    while (!is_clear(log, offset, len) && !r)
        r = pthread_cond_timedwait(&log->freed, &log->lock, &until);
    pthread_mutex_unlock(&log->lock);
    return r;
}

void colo__elog_stats(struct colo_elog *log, struct colo_elog_stats *ret)
{
    pthread_mutex_lock(&log->lock);
    ret->memory = log->nr_mem * (uint64_t)COLO_ELOG_SEGMENT;
    ret->kept = log->nr_spare * (uint64_t)COLO_ELOG_SEGMENT;
    ret->spilled = log->nr_spilled * (uint64_t)COLO_ELOG_SEGMENT;
    ret->applied = log->applied;
    ret->committed = log->committed;
    ret->records = 0;
    for (struct colo_elog_seg *seg = log->head; seg; seg = seg->next)
        ret->records += seg->n - (seg->applied < seg->n ? seg->applied :
                                  seg->n);
    pthread_mutex_unlock(&log->lock);
}
