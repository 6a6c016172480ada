/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The primary's first copy, and the comparison while protected (verify).  A
 * thread of its own; the twin's answers come by the receiver (primary.c).
 *
 * Hashes for the first copy are taken without a lock: a write that comes
 * between is in the stream before them or after, and at worst the chunk is
 * sent needlessly.  Data, and hashes that only compare, are read under the
 * lock of their range, so that they stand at the right place in the stream.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunk-hash.h"

#define WHERE "first copy"
#define BATCH 64        /* chunks in one HASHES */
#define MAX_ASKED 16    /* batches without an answer */
#define PROGRESS_MS 500

struct copy {
    struct colo_disk *d;
    uint8_t *buf; /* a chunk */
    uint64_t done, total; /* bytes */
    uint64_t told;        /* when, ms */
};

static uint64_t ms_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* the disk's last chunk may be short; the bitmap's is not */
static uint64_t round_up(uint64_t offset)
{
    return (offset + COLO_DWIRE_CHUNK - 1) / COLO_DWIRE_CHUNK *
        COLO_DWIRE_CHUNK;
}

static bool is_zero(const uint8_t *p, size_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

static void progress(struct copy *c, bool now)
{
    if (!now && ms_now() - c->told < PROGRESS_MS)
        return;
    c->told = ms_now();
    colo__disk_event(c->d, "progress %llu %llu",
                     (unsigned long long)c->done,
                     (unsigned long long)c->total);
}

static int read_chunk(struct colo_disk *d, uint8_t *buf, uint64_t len,
                      uint64_t offset)
{
    if (colo__backing_is_hole(d->backing, offset, len))
        return COLO_READ_ZEROS;
    return colo__backing_read(d->backing, buf, len, offset);
}

/* HASHES or VERIFY for n chunks */
static int send_hashes(struct copy *c, uint16_t type, uint64_t chunk,
                       uint64_t n, struct colo_error *err)
{
    struct colo_disk *d = c->d;
    uint8_t hashes[BATCH * COLO_DWIRE_HASH];
    struct colo_dmsg msg = {
        .type = type, .offset = chunk * COLO_DWIRE_CHUNK,
        .value = colo__disk_span(d, chunk, n),
        .len = (uint32_t)(n * COLO_DWIRE_HASH), .body = hashes,
    };
    struct colo_range range;
    bool exact = type == COLO_DMSG_VERIFY;
    int r, rc = 0;

    if (exact)
        colo__range_take(&d->range, &range, msg.offset, msg.value);
    r = colo__hash_chunks(d, read_chunk, chunk, (uint32_t)n, hashes);
    if (r) {
        rc = colo__fail(err, COLO_E_SYS, r, WHERE, "cannot read the disk");
    } else {
        pthread_mutex_lock(&d->lock);
        d->asked++; /* before the answer can come */
        pthread_mutex_unlock(&d->lock);
        if (colo__disk_send(d, &msg))
            rc = colo__fail(err, COLO_E_PEER, 0, WHERE, "the twin is lost");
    }
    if (exact)
        colo__range_give(&d->range, &range);
    return rc;
}

static int send_chunk(struct copy *c, uint64_t chunk, struct colo_error *err)
{
    struct colo_disk *d = c->d;
    struct colo_dmsg msg = { .type = COLO_DMSG_WRITE,
                             .offset = chunk * COLO_DWIRE_CHUNK,
                             .len = (uint32_t)colo__disk_span(d, chunk, 1),
                             .body = c->buf };
    struct colo_range range;
    int r, rc = 0;

    colo__range_take(&d->range, &range, msg.offset, msg.len);
    r = colo__backing_read(d->backing, c->buf, msg.len, msg.offset);
    if (r) {
        rc = colo__fail(err, COLO_E_SYS, r, WHERE, "cannot read the disk");
    } else {
        if (is_zero(c->buf, msg.len)) {
            msg.type = COLO_DMSG_ZERO;
            msg.flags = COLO_DFLAG_TRIM;
            msg.value = msg.len;
            msg.len = 0;
        }
        if (colo__disk_send(d, &msg))
            rc = colo__fail(err, COLO_E_PEER, 0, WHERE, "the twin is lost");
    }
    colo__range_give(&d->range, &range);
    return rc;
}

/* what the twin asked for up to now */
static int send_wanted(struct copy *c, struct colo_error *err)
{
    struct colo_disk *d = c->d;
    int rc = 0;

    for (size_t i = 0; i < d->dirty.words && !rc; i++) {
        uint64_t word;

        pthread_mutex_lock(&d->lock);
        word = d->want[i];
        d->want[i] = 0;
        d->nr_want -= (uint64_t)__builtin_popcountll(word);
        pthread_mutex_unlock(&d->lock);
        for (; word && !rc; word &= word - 1) {
            rc = send_chunk(c, i * 64 + (unsigned)__builtin_ctzll(word), err);
            progress(c, false);
        }
    }
    return rc;
}

/* until at most most batches have no answer; sends what is wanted */
static int settle(struct copy *c, unsigned most, struct colo_error *err)
{
    struct colo_disk *d = c->d;
    struct timespec until;
    uint64_t wanted;
    bool over = false;
    int rc = 0;

    while (!rc && !over) {
        colo__elog_deadline(&until, PROGRESS_MS);
        pthread_mutex_lock(&d->lock);
        while (!d->lost && !d->stopping && !d->nr_want && d->asked > most) {
            if (pthread_cond_timedwait(&d->cond, &d->lock, &until))
                break;
        }
        if (d->lost || d->stopping)
            rc = colo__fail(err, COLO_E_PEER, 0, WHERE, "the twin is lost");
        wanted = d->nr_want;
        over = d->asked <= most && !wanted;
        pthread_mutex_unlock(&d->lock);
        if (!rc && wanted)
            rc = send_wanted(c, err);
        progress(c, false);
    }
    return rc;
}

/* [offset, offset + len) by batches */
static int compare(struct copy *c, uint16_t type, uint64_t offset,
                   uint64_t len, struct colo_error *err)
{
    uint64_t chunk = offset / COLO_DWIRE_CHUNK;
    uint64_t end = (offset + len + COLO_DWIRE_CHUNK - 1) / COLO_DWIRE_CHUNK;
    int rc = 0;

    for (; chunk < end && !rc; chunk += BATCH) {
        uint64_t n = end - chunk < BATCH ? end - chunk : BATCH;

        rc = settle(c, MAX_ASKED, err);
        if (!rc)
            rc = send_hashes(c, type, chunk, n, err);
        c->done += colo__disk_span(c->d, chunk, n);
    }
    return rc;
}

/* everything, or what the bitmaps of both sides say */
static int compare_all(struct copy *c, struct colo_error *err)
{
    struct colo_disk *d = c->d;
    uint64_t offset = 0, len;
    int rc = 0;

    if (d->full) {
        c->total = colo__backing_size(d->backing);
        return compare(c, COLO_DMSG_HASHES, 0, c->total, err);
    }
    while (colo__meta_next(d->meta, &offset, &len)) {
        c->total += len;
        offset = round_up(offset + len);
    }
    /* The guest may mark more meanwhile; it does no harm to compare that. */
    offset = 0;
    while (!rc && colo__meta_next(d->meta, &offset, &len)) {
        if (c->total < c->done + len)
            c->total = c->done + len;
        rc = compare(c, COLO_DMSG_HASHES, offset, len, err);
        offset = round_up(offset + len);
    }
    return rc;
}

static int wait_for_bitmap(struct colo_disk *d, struct colo_error *err)
{
    struct timespec until;
    int r = 0;

    colo__elog_deadline(&until, d->config.silent_ms);
    pthread_mutex_lock(&d->lock);
    while (!d->peer_bits_done && !d->lost && !d->stopping && !r)
        r = pthread_cond_timedwait(&d->cond, &d->lock, &until);
    if (d->lost || d->stopping)
        r = ECANCELED;
    pthread_mutex_unlock(&d->lock);
    if (r)
        return colo__fail(err, COLO_E_PEER, 0, WHERE,
                          "the twin does not say where it differs");
    return 0;
}

static int first_copy(struct copy *c, struct colo_error *err)
{
    struct colo_disk *d = c->d;
    struct colo_dmsg msg = { .type = COLO_DMSG_SYNC_DONE, .len = 16,
                             .body = d->next_generation };
    struct colo_range all;
    int rc;

    rc = wait_for_bitmap(d, err);
    if (rc) return rc;
    progress(c, true);
    rc = compare_all(c, err);
    if (rc) return rc;
    rc = settle(c, 0, err);
    if (rc) return rc;
    c->done = c->total;
    progress(c, true);
    /* An instant in which no write is half done: what began before is in the
     * stream before, what begins later is in the new window. */
    colo__range_take(&d->range, &all, 0, UINT64_MAX);
    colo__dirty_fresh(&d->dirty);
    if (colo__disk_send(d, &msg))
        rc = colo__fail(err, COLO_E_PEER, 0, WHERE, "the twin is lost");
    colo__range_give(&d->range, &all);
    return rc;
}

static int verify(struct copy *c, struct colo_error *err)
{
    struct colo_disk *d = c->d;
    int rc;

    pthread_mutex_lock(&d->lock);
    d->compared = d->differing = 0;
    pthread_mutex_unlock(&d->lock);
    c->total = colo__backing_size(d->backing);
    rc = compare(c, COLO_DMSG_VERIFY, 0, c->total, err);
    if (rc) return rc;
    rc = settle(c, 0, err);
    if (rc) return rc;
    colo__disk_event(d, "verified %llu %llu", (unsigned long long)d->compared,
                     (unsigned long long)d->differing);
    colo__disk_answer(d, &d->verify_seq, NULL);
    return 0;
}

void *colo__primary_copier(void *disk)
{
    struct copy c = { .d = disk };
    struct colo_error err;
    int rc;

    c.buf = colo__backing_buffer(c.d->backing);
    if (!c.buf) {
        rc = colo__fail(&err, COLO_E_NOMEM, 0, WHERE, "no memory");
    } else {
        rc = c.d->verify_asked ? verify(&c, &err) : first_copy(&c, &err);
    }
    colo__backing_release(c.d->backing, c.buf);
    if (rc)
        colo__disk_lose(c.d, &err);
    return NULL;
}
