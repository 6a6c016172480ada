/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See chunk-hash.h.  The caller works too, so it goes on without threads where
 * none can be made.
 */
#include <stdlib.h>
#include <string.h>

#include "chunk-hash.h"
#include "hash.h"

#define HELPERS 3
#define STACK_BYTES (128u * 1024u) /* it is locked memory */

struct job {
    struct colo_disk *d;
    colo_chunk_read_fn *read;
    uint64_t chunk;
    uint32_t n;
    uint8_t *hashes;
    _Atomic uint32_t next;
    _Atomic int r; /* the first error */
};

static void hash_of(const void *p, size_t len, uint8_t *hash)
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(p, len));
    memcpy(hash, canonical.digest, COLO_DWIRE_HASH);
}

int colo__hash_zeros(struct colo_disk *d)
{
    uint8_t *zeros = calloc(1, COLO_DWIRE_CHUNK);

    if (!zeros)
        return ENOMEM;
    hash_of(zeros, COLO_DWIRE_CHUNK, d->zero_hash);
    free(zeros);
    return 0;
}

static int hash_one(struct job *job, uint32_t i, uint8_t *buf)
{
    uint64_t offset = (job->chunk + i) * COLO_DWIRE_CHUNK;
    uint64_t len = colo__disk_span(job->d, job->chunk + i, 1);
    uint8_t *hash = job->hashes + (size_t)i * COLO_DWIRE_HASH;
    int r = job->read(job->d, buf, len, offset);

    if (r == COLO_READ_ZEROS && len == COLO_DWIRE_CHUNK) {
        memcpy(hash, job->d->zero_hash, COLO_DWIRE_HASH);
        return 0;
    }
    if (r == COLO_READ_ZEROS)
        memset(buf, 0, len);
    else if (r)
        return r;
    hash_of(buf, len, hash);
    return 0;
}

static void *work(void *user)
{
    struct job *job = user;
    uint8_t *buf = colo__backing_buffer(job->d->backing);
    int r = buf ? 0 : ENOMEM, none = 0;

    while (!r && !job->r) {
        uint32_t i = job->next++;

        if (i >= job->n)
            break;
        r = hash_one(job, i, buf);
    }
    colo__backing_release(job->d->backing, buf);
    if (r)
        atomic_compare_exchange_strong(&job->r, &none, r);
    return NULL;
}

int colo__hash_chunks(struct colo_disk *d, colo_chunk_read_fn *read,
                      uint64_t chunk, uint32_t n, uint8_t *ret_hashes)
{
    struct job job = { .d = d, .read = read, .chunk = chunk, .n = n,
                       .hashes = ret_hashes };
    pthread_t helpers[HELPERS];
    pthread_attr_t attr;
    unsigned nr = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    while (nr < HELPERS && nr + 1 < n &&
           !pthread_create(&helpers[nr], &attr, work, &job))
        nr++;
    pthread_attr_destroy(&attr);
    (void)work(&job);
    while (nr)
        pthread_join(helpers[--nr], NULL);
    return job.r;
}
