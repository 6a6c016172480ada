/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The epoch log's segments: memory, the spill file, what is received; see
 * epoch-log.h.  The segment that was closed last is the one to spill: those
 * before it are applied sooner.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "epoch-log-internal.h"

void colo__elog_deadline(struct timespec *ret, unsigned ms)
{
    clock_gettime(CLOCK_MONOTONIC, ret);
    ret->tv_sec += ms / 1000;
    ret->tv_nsec += (long)(ms % 1000) * 1000000;
    if (ret->tv_nsec >= 1000000000) {
        ret->tv_nsec -= 1000000000;
        ret->tv_sec++;
    }
}

static int open_spill(struct colo_elog *log, struct colo_error *err)
{
    const char *dir = log->config.spill_dir;

    if (!dir || !log->config.spill_limit)
        return 0;
    /* it has no name, so it goes with the process */
    log->spill_fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (log->spill_fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "a spill file in %s", dir);
    return 0;
}

int colo__elog_open(const struct colo_elog_config *config,
                    struct colo_elog **ret_log, struct colo_error *err)
{
    struct colo_elog *log = calloc(1, sizeof(*log));
    pthread_rwlockattr_t attr;
    pthread_condattr_t clock;
    int rc;

    if (!log)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    log->config = *config;
    log->spill_fd = -1;
    if (log->config.memory_limit < 4 * (uint64_t)COLO_ELOG_SEGMENT)
        log->config.memory_limit = 4 * (uint64_t)COLO_ELOG_SEGMENT;
    /* readers that follow each other must not keep retire out */
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(
        &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&log->hold, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&log->work, &clock);
    pthread_cond_init(&log->freed, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&log->lock, NULL);
    rc = open_spill(log, err);
    if (rc) {
        colo__elog_close(log);
        return rc;
    }
    *ret_log = log;
    return 0;
}

/* lock is held */
static void free_mem(struct colo_elog *log, uint8_t *mem)
{
    if (!mem)
        return;
    log->nr_mem--;
    log->nr_spare++;
    /* the limit was reached once, so it may be kept: new memory is slow */
    memcpy(mem, &log->spare, sizeof(log->spare));
    log->spare = mem;
}

struct colo_elog_seg *colo__elog_free_head(struct colo_elog *log)
{
    struct colo_elog_seg *seg = log->head;

    log->head = seg->next;
    if (!log->head)
        log->tail = NULL;
    free_mem(log, seg->mem);
    if (seg->spilled) {
        log->free_slots[log->nr_free++] = seg->slot;
        log->nr_spilled--;
    }
    free(seg->recs);
    free(seg);
    return log->head;
}

void colo__elog_prune(struct colo_elog *log)
{
    while (log->head && log->head->next && !log->head->spilling &&
           log->head->applied == log->head->n)
        (void)colo__elog_free_head(log);
}

void colo__elog_reset(struct colo_elog *log)
{
    pthread_rwlock_wrlock(&log->hold);
    pthread_mutex_lock(&log->lock);
    while (log->head)
        (void)colo__elog_free_head(log);
    log->next_seq = log->commit_seq = log->barrier_seq = 0;
    log->barrier = log->committed = log->applied = 0;
    log->at_once = log->ended = false;
    pthread_mutex_unlock(&log->lock);
    pthread_rwlock_unlock(&log->hold);
}

void colo__elog_close(struct colo_elog *log)
{
    void *mem;

    if (!log)
        return;
    colo__elog_reset(log);
    while ((mem = log->spare)) {
        memcpy(&log->spare, mem, sizeof(log->spare));
        free(mem);
    }
    free(log->free_slots);
    if (log->spill_fd >= 0)
        close(log->spill_fd);
    pthread_rwlock_destroy(&log->hold);
    pthread_cond_destroy(&log->work);
    pthread_cond_destroy(&log->freed);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

/* a place in the spill file; lock is held */
static bool take_slot(struct colo_elog *log, uint64_t *ret_slot)
{
    uint64_t *slots;

    if (log->spill_fd < 0)
        return false;
    if (log->nr_free) {
        *ret_slot = log->free_slots[--log->nr_free];
        return true;
    }
    if ((log->nr_slots + 1) * COLO_ELOG_SEGMENT > log->config.spill_limit)
        return false;
    /* room for all of them, so that giving one back cannot fail */
    slots = realloc(log->free_slots, (log->nr_slots + 1) * sizeof(*slots));
    if (!slots)
        return false;
    log->free_slots = slots;
    *ret_slot = log->nr_slots++;
    return true;
}

/* A segment's memory by way of the spill file.
 * Returns  1 *ret_mem is free to use, 0 cannot now, < 0 error */
static int spill(struct colo_elog *log, struct colo_elog_seg *seg,
                 uint8_t **ret_mem, struct colo_error *err)
{
    uint64_t slot;
    ssize_t r;

    pthread_mutex_lock(&log->lock);
    if (log->at_once || seg->busy || seg->spilled || !take_slot(log, &slot)) {
        pthread_mutex_unlock(&log->lock);
        return 0;
    }
    seg->spilling = true; /* the applier waits if it comes so far */
    pthread_mutex_unlock(&log->lock);

    r = pwrite(log->spill_fd, seg->mem, seg->fill,
               (off_t)(slot * COLO_ELOG_SEGMENT));
    if (r != (ssize_t)seg->fill) {
        int rc = colo__fail(err, COLO_E_SYS, r < 0 ? errno : ENOSPC, WHERE,
                            "the spill file");

        /* what is committed of it is applied from memory */
        pthread_mutex_lock(&log->lock);
        seg->spilling = false;
        log->free_slots[log->nr_free++] = slot;
        pthread_cond_signal(&log->work);
        pthread_mutex_unlock(&log->lock);
        return rc;
    }
    pthread_rwlock_wrlock(&log->hold);
    pthread_mutex_lock(&log->lock);
    seg->slot = slot;
    seg->spilled = true;
    seg->spilling = false;
    pthread_cond_signal(&log->work);
    *ret_mem = seg->mem;
    seg->mem = NULL;
    log->nr_spilled++;
    pthread_mutex_unlock(&log->lock);
    pthread_rwlock_unlock(&log->hold);
    return 1;
}

/* What is kept first: else that would grow by each segment that comes back
 * from the spill file.  lock is held */
static uint8_t *take_mem(struct colo_elog *log)
{
    uint8_t *mem = log->spare;

    if (mem) {
        memcpy(&log->spare, mem, sizeof(log->spare));
        log->nr_spare--;
    } else {
        mem = aligned_alloc(4096, COLO_ELOG_SEGMENT);
    }
    if (mem)
        log->nr_mem++;
    return mem;
}

/* number of the next record to apply; lock is held */
static uint64_t front(const struct colo_elog *log)
{
    return log->head ? log->head->first_seq + log->head->applied : 0;
}

/* Memory for another segment: free, by spilling, or by waiting for the
 * applier as long as it has something to do.  What it did since we tried may
 * have been the last, and have made room. */
static int find_mem(struct colo_elog *log, uint8_t **ret_mem,
                    struct colo_error *err)
{
    struct timespec until;
    uint64_t tried;
    bool ended;
    int r = 0;

    colo__elog_deadline(&until, log->config.wait_ms);
    *ret_mem = NULL;
    for (;;) {
        pthread_mutex_lock(&log->lock);
        ended = log->ended;
        tried = front(log);
        if (!ended && (log->nr_mem + 1) * COLO_ELOG_SEGMENT <=
            log->config.memory_limit)
            *ret_mem = take_mem(log);
        pthread_mutex_unlock(&log->lock);
        if (*ret_mem)
            return 0;
        if (ended)
            return colo__fail(err, COLO_E_PEER, 0, WHERE, "ended");
        if (log->tail) {
            int rc = spill(log, log->tail, ret_mem, err);

            if (rc)
                return rc < 0 ? rc : 0;
        }
        pthread_mutex_lock(&log->lock);
        if (log->head && front(log) < log->commit_seq && !log->ended)
            r = pthread_cond_timedwait(&log->freed, &log->lock, &until);
        else if (front(log) == tried && !log->ended)
            r = ETIMEDOUT;
        pthread_mutex_unlock(&log->lock);
        if (r)
            return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                              "an epoch is larger than memory (%llu MiB) and "
                              "spill file (%llu MiB) can hold: protect with a "
                              "larger --disk-spill",
                              (unsigned long long)
                              (log->config.memory_limit >> 20),
                              (unsigned long long)
                              (log->spill_fd < 0 ? 0 :
                               log->config.spill_limit >> 20));
    }
}

static int add_segment(struct colo_elog *log, struct colo_error *err)
{
    struct colo_elog_seg *seg = calloc(1, sizeof(*seg)), *old = log->tail;
    /* the beginning of a message that did not fit goes along */
    uint32_t rest = old ? old->fill - old->parsed : 0;
    const uint8_t *from = old ? old->mem + old->parsed : NULL;
    uint8_t *mem = NULL;
    int rc;

    if (!seg)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    rc = find_mem(log, &mem, err);
    if (rc) {
        free(seg);
        return rc;
    }
    /* old is the last, so it stays; it may have been spilled, and this is its
     * memory then */
    if (rest)
        memmove(mem, from, rest);
    seg->mem = mem;
    seg->fill = rest;
    seg->low = UINT64_MAX;
    pthread_mutex_lock(&log->lock);
    seg->first_seq = log->next_seq;
    if (log->tail)
        log->tail->next = seg;
    else
        log->head = seg;
    log->tail = seg;
    colo__elog_prune(log);
    pthread_mutex_unlock(&log->lock);
    return 0;
}

/* nothing in the last segment is of use any more: begin it anew */
static void rewind_tail(struct colo_elog *log)
{
    struct colo_elog_seg *seg = log->tail;

    pthread_mutex_lock(&log->lock);
    if (seg->parsed == seg->fill && seg->applied == seg->n && seg->fill &&
        !seg->busy) {
        seg->fill = seg->parsed = seg->n = seg->applied = 0;
        seg->first_seq = log->next_seq;
        seg->low = UINT64_MAX;
        seg->high = 0;
    }
    pthread_mutex_unlock(&log->lock);
}

int colo__elog_space(struct colo_elog *log, size_t need, uint8_t **ret_p,
                     size_t *ret_cap, struct colo_error *err)
{
    int rc;

    if (log->tail)
        rewind_tail(log);
    if (!log->tail || log->tail->parsed + need > COLO_ELOG_SEGMENT ||
        log->tail->fill == COLO_ELOG_SEGMENT) {
        rc = add_segment(log, err);
        if (rc)
            return rc;
    }
    *ret_p = log->tail->mem + log->tail->fill;
    *ret_cap = COLO_ELOG_SEGMENT - log->tail->fill;
    return 0;
}

void colo__elog_filled(struct colo_elog *log, size_t n)
{
    log->tail->fill += (uint32_t)n;
}

const uint8_t *colo__elog_unparsed(struct colo_elog *log, size_t *ret_len)
{
    *ret_len = log->tail ? log->tail->fill - log->tail->parsed : 0;
    return log->tail ? log->tail->mem + log->tail->parsed : NULL;
}

void colo__elog_parsed(struct colo_elog *log, size_t n)
{
    log->tail->parsed += (uint32_t)n;
}

int colo__elog_copy(struct colo_elog *log, struct colo_elog_seg *seg,
                    uint64_t pos, uint8_t *buf, uint64_t len)
{
    if (seg->mem) {
        memcpy(buf, seg->mem + pos, len);
        return 0;
    }
    while (len) {
        ssize_t r = pread(log->spill_fd, buf, len,
                          (off_t)(seg->slot * COLO_ELOG_SEGMENT + pos));

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r ? errno : EIO;
        buf += r;
        pos += (uint64_t)r;
        len -= (uint64_t)r;
    }
    return 0;
}

const uint8_t *colo__elog_data(struct colo_elog *log,
                               const struct colo_elog_run *run, uint32_t i)
{
    struct colo_elog_seg *seg = run->seg;

    /* Back into memory, whole: the applier goes through all of it.  One such
     * segment at a time is over the limit. */
    if (!seg->mem) {
        uint8_t *mem;
        int r;

        pthread_mutex_lock(&log->lock);
        mem = take_mem(log);
        pthread_mutex_unlock(&log->lock);
        if (!mem)
            return NULL;
        r = colo__elog_copy(log, seg, 0, mem, seg->fill);
        if (r) {
            pthread_mutex_lock(&log->lock);
            free_mem(log, mem);
            pthread_mutex_unlock(&log->lock);
            return NULL;
        }
        pthread_rwlock_wrlock(&log->hold);
        pthread_mutex_lock(&log->lock);
        seg->mem = mem;
        seg->spilled = false;
        log->free_slots[log->nr_free++] = seg->slot;
        log->nr_spilled--;
        pthread_mutex_unlock(&log->lock);
        pthread_rwlock_unlock(&log->hold);
    }
    return seg->mem + run->part[i].pos;
}
