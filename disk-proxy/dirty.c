/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which chunks the peer may lack.  The metadata has a bit for each chunk that
 * was written; it may go when the peer has applied the last write of the chunk
 * durably.  Two windows tell: a chunk of the old window that is not in the
 * present one goes when an epoch is applied that ended after every write of
 * the old window was queued.  The local disk is flushed before: a host that
 * loses its power must not come back with an older chunk and no bit for it.
 *
 * Called by the guest's threads and the primary's receiver.
 */
#include <stdlib.h>
#include <string.h>

#include "disk-internal.h"

/* steps of the old window */
#define STEP_NONE    0 /* it is empty */
#define STEP_FLIGHT  1 /* its writes are not all queued */
#define STEP_APPLIED 2 /* the peer has not applied an epoch after since */

int colo__dirty_init(struct colo_dirty *t, uint64_t chunks,
                     struct colo_error *err)
{
    t->words = (chunks + 63) / 64;
    t->cur = calloc(t->words, sizeof(*t->cur));
    t->old = calloc(t->words, sizeof(*t->old));
    pthread_mutex_init(&t->lock, NULL);
    if (!t->cur || !t->old)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE_DISK, "no memory");
    return 0;
}

void colo__dirty_fini(struct colo_dirty *t)
{
    if (!t->cur && !t->old)
        return;
    free(t->cur);
    free(t->old);
    pthread_mutex_destroy(&t->lock);
}

unsigned colo__dirty_begin(struct colo_dirty *t, uint64_t offset,
                           uint64_t len)
{
    uint64_t first = offset / COLO_DWIRE_CHUNK;
    uint64_t last = (offset + len - 1) / COLO_DWIRE_CHUNK;
    unsigned window;

    pthread_mutex_lock(&t->lock);
    window = t->window;
    t->inflight[window & 1]++;
    if (t->on) {
        for (uint64_t i = first; i <= last; i++)
            t->cur[i / 64] |= UINT64_C(1) << (i % 64);
    }
    pthread_mutex_unlock(&t->lock);
    return window;
}

void colo__dirty_end(struct colo_dirty *t, unsigned window, bool failed)
{
    pthread_mutex_lock(&t->lock);
    t->inflight[window & 1]--;
    t->failed |= failed;
    pthread_mutex_unlock(&t->lock);
}

void colo__dirty_off(struct colo_dirty *t)
{
    pthread_mutex_lock(&t->lock);
    t->on = false;
    pthread_mutex_unlock(&t->lock);
}

void colo__dirty_spoil(struct colo_dirty *t)
{
    pthread_mutex_lock(&t->lock);
    t->failed = true;
    pthread_mutex_unlock(&t->lock);
}

void colo__dirty_on(struct colo_dirty *t)
{
    pthread_mutex_lock(&t->lock);
    t->on = true;
    t->failed = false;
    t->step = STEP_NONE;
    memset(t->cur, 0, t->words * sizeof(*t->cur));
    memset(t->old, 0, t->words * sizeof(*t->old));
    pthread_mutex_unlock(&t->lock);
}

void colo__dirty_fresh(struct colo_dirty *t)
{
    pthread_mutex_lock(&t->lock);
    memset(t->cur, 0, t->words * sizeof(*t->cur));
    pthread_mutex_unlock(&t->lock);
}

/* a lone chunk of the metadata, unless the present window has it */
static void clear_one(struct colo_disk *d, uint64_t chunk)
{
    struct colo_dirty *t = &d->dirty;

    pthread_mutex_lock(&t->lock);
    if (t->on && !t->failed && !(t->cur[chunk / 64] >> (chunk % 64) & 1))
        (void)colo__meta_clear(d->meta, chunk * COLO_DWIRE_CHUNK,
                               colo__disk_span(d, chunk, 1), NULL);
    pthread_mutex_unlock(&t->lock);
}

static bool is_spoiled(struct colo_dirty *t)
{
    bool r;

    pthread_mutex_lock(&t->lock);
    r = t->failed;
    pthread_mutex_unlock(&t->lock);
    return r;
}

/* The kernel tells an error once, so the next flush says nothing of what this
 * one could not write: no bit may go on its word, and the guest hears of it. */
static int flush_local(struct colo_disk *d)
{
    int r;

    pthread_mutex_lock(&d->flush_lock);
    r = colo__backing_flush(d->backing);
    if (r) {
        colo__dirty_spoil(&d->dirty);
        d->flush_owed = r;
    }
    pthread_mutex_unlock(&d->flush_lock);
    if (r)
        colo__disk_say(d, "the local disk: a flush failed: %s", strerror(r));
    return r;
}

void colo__dirty_clear_rest(struct colo_disk *d)
{
    uint64_t offset = 0, len;

    if (flush_local(d))
        return;
    while (colo__meta_next(d->meta, &offset, &len)) {
        uint64_t end = offset + len;

        for (; offset < end; offset += COLO_DWIRE_CHUNK)
            clear_one(d, offset / COLO_DWIRE_CHUNK);
    }
}

static void clear_old(struct colo_disk *d)
{
    struct colo_dirty *t = &d->dirty;

    /* old belongs to the receiver, which is the only caller */
    for (size_t i = 0; i < t->words; i++) {
        uint64_t word = t->old[i];

        t->old[i] = 0;
        for (; word; word &= word - 1)
            clear_one(d, i * 64 + (unsigned)__builtin_ctzll(word));
    }
}

void colo__dirty_applied(struct colo_disk *d, uint64_t epoch)
{
    struct colo_dirty *t = &d->dirty;
    uint64_t *swap;

    if (t->step == STEP_APPLIED && epoch > t->since && !is_spoiled(t) &&
        flush_local(d) == 0) {
        clear_old(d);
        t->step = STEP_NONE;
    }
    pthread_mutex_lock(&t->lock);
    if (t->step == STEP_NONE && t->inflight[(t->window + 1) & 1] == 0) {
        swap = t->old;
        t->old = t->cur;
        t->cur = swap; /* empty */
        t->window++;
        t->step = STEP_FLIGHT;
    }
    if (t->step == STEP_FLIGHT && t->inflight[(t->window + 1) & 1] == 0) {
        t->step = STEP_APPLIED;
        t->since = UINT64_MAX;
    }
    pthread_mutex_unlock(&t->lock);
    /* read after all of them were queued, so not less than their epoch */
    if (t->step == STEP_APPLIED && t->since == UINT64_MAX) {
        pthread_mutex_lock(&d->lock);
        t->since = d->last_barrier;
        pthread_mutex_unlock(&d->lock);
    }
}
