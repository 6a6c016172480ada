/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The metadata of a copy while it is open: see meta.h, and meta-format.h for
 * the file.
 *
 * The activity log is the bitmap's file itself.  An extent has one word.  When
 * a chunk of an extent is marked that is not hot, the whole word is written
 * as ones and synced, and the extent is hot: marking more of it costs memory
 * only.  When it cools down, the true word is written, lazily.  So the file
 * always has at least the bits that memory has, and after a crash the extents
 * that were hot count as marked.
 *
 * Threads: bits and hot are atomic.  A marker sets its bits first and then
 * looks at hot; cooling clears hot first and then reads the bits: one of the
 * two sees the other.  Everything else is under lock.
 */
#include <endian.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta-file.h"

#define WHERE "disk-meta"
#define HOT_SLOTS 1024u   /* 4 GiB that a crash leaves to be compared */
#define HEAT_AHEAD 4u     /* extents, for who writes in sequence */
#define CHUNKS (COLO_META_EXTENT / COLO_META_CHUNK)
#define ALL (~UINT64_C(0))

_Static_assert(CHUNKS == 64, "an extent is one word");

struct colo_meta {
    int fd;
    int copy;                      /* which header copy is the newest */
    struct colo_meta_header header;
    uint64_t n;                    /* extents */
    _Atomic uint64_t *bits;
    atomic_uchar *hot;             /* 1 hot, 2 hot and used since looked at */
    uint64_t *on_disk;             /* what the file's words are */
    uint64_t *slots;               /* hot extents, a ring */
    uint32_t n_slots, hand;
    pthread_mutex_t lock;
};

/* ---- file ---------------------------------------------------------------- */

static int write_header(struct colo_meta *meta,
                        const struct colo_meta_header *header,
                        struct colo_error *err)
{
    int copy = !meta->copy, rc;

    rc = colo__meta_write_header(meta->fd, copy, header, err);
    if (rc)
        return rc;
    meta->copy = copy;
    meta->header = *header;
    return 0;
}

/* Words [from, to) to the file where they differ; not synced. */
static int write_words(struct colo_meta *meta, uint64_t from, uint64_t to,
                       const uint64_t *words, struct colo_error *err)
{
    uint64_t raw[512];
    uint64_t e = from;

    while (e < to) {
        uint64_t begin, i = 0;
        size_t len;

        if (words[e - from] == meta->on_disk[e]) {
            e++;
            continue;
        }
        begin = e;
        while (e < to && i < COLO_ARRAY_LEN(raw) &&
               words[e - from] != meta->on_disk[e])
            raw[i++] = htole64(words[e++ - from]);
        len = i * sizeof(raw[0]);
        if (colo__meta_pwrite(meta->fd, raw, len,
                              COLO_META_BITMAP_AT + begin * sizeof(raw[0])))
            return colo__fail(err, COLO_E_SYS, errno, WHERE,
                              "cannot write the bitmap");
        memcpy(&meta->on_disk[begin], &words[begin - from], len);
    }
    return 0;
}

static int sync_file(struct colo_meta *meta, struct colo_error *err)
{
    if (fdatasync(meta->fd))
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot sync the metadata");
    return 0;
}

/* The true words of all extents that are not hot; hot ones stay all ones. */
static int write_all(struct colo_meta *meta, struct colo_error *err)
{
    uint64_t words[64];
    int rc;

    for (uint64_t e = 0; e < meta->n; e += COLO_ARRAY_LEN(words)) {
        uint64_t n = meta->n - e;

        if (n > COLO_ARRAY_LEN(words))
            n = COLO_ARRAY_LEN(words);
        for (uint64_t i = 0; i < n; i++)
            words[i] = atomic_load(&meta->hot[e + i]) ? ALL
                       : atomic_load(&meta->bits[e + i]);
        rc = write_words(meta, e, e + n, words, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* All of it, durably.  lock is held */
static int sync_all(struct colo_meta *meta, struct colo_error *err)
{
    int rc;

    rc = write_all(meta, err);
    if (!rc)
        rc = sync_file(meta, err);
    /* After a failed sync nobody knows what the file has: every word that has
     * a bit is written again.  Of the others it may have too many. */
    if (rc)
        memset(meta->on_disk, 0, meta->n * sizeof(*meta->on_disk));
    return rc;
}

/* ---- open and close ------------------------------------------------------ */

static int load_bits(struct colo_meta *meta, struct colo_error *err)
{
    uint64_t n = meta->n;
    ssize_t want = (ssize_t)(n * sizeof(uint64_t));

    meta->bits = calloc(n + 1, sizeof(*meta->bits));
    meta->hot = calloc(n + 1, sizeof(*meta->hot));
    meta->on_disk = calloc(n + 1, sizeof(*meta->on_disk));
    meta->slots = calloc(HOT_SLOTS, sizeof(*meta->slots));
    if (!meta->bits || !meta->hot || !meta->on_disk || !meta->slots)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "bitmap");
    if (colo__meta_pread(meta->fd, meta->on_disk, (size_t)want,
                         COLO_META_BITMAP_AT) != want)
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "the bitmap is cut short");
    for (uint64_t e = 0; e < n; e++) {
        meta->on_disk[e] = le64toh(meta->on_disk[e]);
        atomic_init(&meta->bits[e], meta->on_disk[e]);
    }
    return 0;
}

int colo__meta_settle(struct colo_meta *meta, const uint8_t *bits, size_t len,
                      struct colo_error *err)
{
    struct colo_meta_header header = meta->header;
    bool untracked;
    int rc;

    rc = colo__meta_is_untracked(meta->fd, &untracked, err);
    if (rc || !untracked)
        return rc;
    if (header.state == COLO_META_PRIMARY)
        header.state = COLO_META_ALONE;
    header.serial++;
    if (bits) {
        rc = colo__meta_merge(meta, bits, len, err);
    } else {
        memset(header.parent, 0, sizeof(header.parent));
        rc = colo__meta_random(header.generation, err);
    }
    if (rc)
        return rc;
    rc = write_header(meta, &header, err);
    if (rc)
        return rc;
    /* only now: a crash before it makes one generation more */
    return colo__meta_set_untracked(meta->fd, false, err);
}

/* The disk was grown, or is another one.  What a guest of this host has had
 * stays what it was, and so does what a primary may overwrite; with another
 * generation and all bits everything is compared.  Whether a copy of the other
 * kind may be used as it is now, an operator says. */
static int take_size(struct colo_meta *meta, const char *path, uint64_t size,
                     int made_as, struct colo_error *err)
{
    int state = meta->header.state, rc;
    bool untracked, alone;

    if (meta->header.size == size)
        return 0;
    rc = colo__meta_is_untracked(meta->fd, &untracked, err);
    if (rc)
        return rc;
    if (state == COLO_META_PRIMARY && untracked)
        state = COLO_META_ALONE; /* its guest went on without a proxy */
    alone = state == COLO_META_ALONE;
    if (made_as && alone != (made_as == COLO_META_ALONE))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "%s is of a disk of %llu bytes, not of %llu; if the "
                          "disk was resized: colo-disk %s TARGET", path,
                          (unsigned long long)meta->header.size,
                          (unsigned long long)size,
                          alone ? "discard" : "force");
    rc = colo__meta_file_replace(path, size, state, &meta->fd, err);
    if (rc)
        return rc;
    return colo__meta_read_header(meta->fd, path, &meta->header, &meta->copy,
                                  err);
}

int colo__meta_open_pending(const char *path, uint64_t size, int made_as,
                            struct colo_meta **ret_meta,
                            struct colo_error *err)
{
    struct colo_meta *meta = NULL;
    int rc;

    if (!size || size > INT64_MAX)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE, "an empty disk");
    meta = calloc(1, sizeof(*meta));
    if (!meta)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "metadata");
    meta->fd = -1;
    pthread_mutex_init(&meta->lock, NULL);
    rc = colo__meta_file_open(path, size, made_as, &meta->fd, err);
    if (rc)
        goto out;
    rc = colo__meta_read_header(meta->fd, path, &meta->header, &meta->copy,
                                err);
    if (rc)
        goto out;
    rc = take_size(meta, path, size, made_as, err);
    if (rc)
        goto out;
    meta->n = (size + COLO_META_EXTENT - 1) / COLO_META_EXTENT;
    rc = load_bits(meta, err);
    if (rc)
        goto out;
    *ret_meta = meta;
    meta = NULL;
    rc = 0;
out:
    if (meta) {
        meta->n = 0;  /* nothing is written on the way out */
        colo__meta_close(meta);
    }
    return rc;
}

int colo__meta_open(const char *path, uint64_t size, int made_as,
                    struct colo_meta **ret_meta, struct colo_error *err)
{
    struct colo_meta *meta = NULL;
    int rc;

    rc = colo__meta_open_pending(path, size, made_as, &meta, err);
    if (rc)
        return rc;
    rc = colo__meta_settle(meta, NULL, 0, err);
    if (rc) {
        meta->n = 0;  /* nothing is written on the way out */
        colo__meta_close(meta);
        return rc;
    }
    *ret_meta = meta;
    return 0;
}

void colo__meta_close(struct colo_meta *meta)
{
    if (!meta)
        return;
    for (uint64_t e = 0; e < meta->n; e++)
        atomic_store(&meta->hot[e], 0);
    /* what fails here was lazy: the file then has more bits than needed */
    if (meta->n && !write_all(meta, NULL))
        sync_file(meta, NULL);
    if (meta->fd >= 0)
        close(meta->fd);
    pthread_mutex_destroy(&meta->lock);
    free(meta->bits);
    free(meta->hot);
    free(meta->on_disk);
    free(meta->slots);
    free(meta);
}

/* ---- state --------------------------------------------------------------- */

int colo__meta_state(const struct colo_meta *meta)
{
    return meta->header.state;
}

const uint8_t *colo__meta_generation(const struct colo_meta *meta)
{
    return meta->header.generation;
}

const uint8_t *colo__meta_parent(const struct colo_meta *meta)
{
    return meta->header.parent;
}

bool colo__meta_is_child(const uint8_t *parent, const uint8_t *generation)
{
    static const uint8_t none[COLO_META_GENERATION];

    return memcmp(parent, none, sizeof(none)) &&
        !memcmp(parent, generation, sizeof(none));
}

static int change(struct colo_meta *meta, int state,
                  const uint8_t *generation, bool derive,
                  struct colo_error *err)
{
    struct colo_meta_header header;
    int rc;

    if (state < COLO_META_ALONE || state > COLO_META_LAST)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE, "state %d", state);
    pthread_mutex_lock(&meta->lock);
    header = meta->header;
    header.state = state;
    header.serial++;
    if (derive)
        memcpy(header.parent, header.generation, sizeof(header.parent));
    else if (generation)
        memset(header.parent, 0, sizeof(header.parent));
    if (generation)
        memcpy(header.generation, generation, sizeof(header.generation));
    /* the bits belong to the new state: they must be there first */
    rc = sync_all(meta, err);
    if (!rc)
        rc = write_header(meta, &header, err);
    pthread_mutex_unlock(&meta->lock);
    return rc;
}

int colo__meta_set(struct colo_meta *meta, int state,
                   const uint8_t *generation, struct colo_error *err)
{
    return change(meta, state, generation, false, err);
}

int colo__meta_derive(struct colo_meta *meta, int state,
                      const uint8_t *generation, struct colo_error *err)
{
    return change(meta, state, generation, true, err);
}

/* ---- bits ---------------------------------------------------------------- */

/* The chunks of extent e that [first, last] of all chunks touches. */
static uint64_t word_mask(uint64_t e, uint64_t first, uint64_t last)
{
    uint64_t mask = ALL;

    if (first > e * CHUNKS)
        mask &= ALL << (first - e * CHUNKS);
    if (last < e * CHUNKS + CHUNKS - 1)
        mask &= ALL >> (e * CHUNKS + CHUNKS - 1 - last);
    return mask;
}

static int check_range(const struct colo_meta *meta, uint64_t offset,
                       uint64_t len, struct colo_error *err)
{
    if (offset > meta->header.size || len > meta->header.size - offset)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "%llu bytes at %llu are beyond the disk's end",
                          (unsigned long long)len, (unsigned long long)offset);
    return 0;
}

/* Makes room for one hot extent: the first that was not used since the hand
 * came by last. */
static int cool_one(struct colo_meta *meta, struct colo_error *err)
{
    uint64_t e, word;
    int rc;

    for (uint32_t i = 0; i < HOT_SLOTS; i++) {
        e = meta->slots[meta->hand];
        if (atomic_load(&meta->hot[e]) != 2)
            break;
        atomic_store(&meta->hot[e], 1);
        meta->hand = (meta->hand + 1) % HOT_SLOTS;
    }
    e = meta->slots[meta->hand];
    atomic_store(&meta->hot[e], 0);
    word = atomic_load(&meta->bits[e]);
    rc = write_words(meta, e, e + 1, &word, err);
    if (rc)
        atomic_store(&meta->hot[e], 1);
    return rc;
}

static int add_slot(struct colo_meta *meta, uint64_t e, struct colo_error *err)
{
    int rc;

    if (meta->n_slots < HOT_SLOTS) {
        meta->slots[meta->n_slots++] = e;
        return 0;
    }
    rc = cool_one(meta, err);
    if (rc)
        return rc;
    meta->slots[meta->hand] = e;
    meta->hand = (meta->hand + 1) % HOT_SLOTS;
    return 0;
}

/* Extents [from, to] become hot with one sync.  The caller has set its bits. */
static int heat(struct colo_meta *meta, uint64_t from, uint64_t to,
                struct colo_error *err)
{
    uint64_t all = ALL;
    int rc = 0;

    pthread_mutex_lock(&meta->lock);
    if (from && atomic_load(&meta->hot[from - 1])) {
        to += HEAT_AHEAD;
        if (to > meta->n - 1)
            to = meta->n - 1;
    }
    for (uint64_t e = from; e <= to && !rc; e++)
        rc = write_words(meta, e, e + 1, &all, err);
    if (!rc)
        rc = sync_file(meta, err);
    /* after a failed sync nobody knows what the file has: write it again */
    for (uint64_t e = from; e <= to && rc; e++)
        meta->on_disk[e] = 0;
    /* a range of more than all slots simply does not stay hot */
    for (uint64_t e = from; e <= to && !rc; e++) {
        if (atomic_load(&meta->hot[e]))
            continue;
        rc = add_slot(meta, e, err);
        if (!rc)
            atomic_store(&meta->hot[e], 1);
    }
    pthread_mutex_unlock(&meta->lock);
    return rc;
}

/* Is it hot?  Then it is used, too. */
static bool use_hot(struct colo_meta *meta, uint64_t e)
{
    unsigned char hot = atomic_load(&meta->hot[e]);

    if (hot == 1)
        /* on failure hot is what it has become meanwhile */
        atomic_compare_exchange_strong(&meta->hot[e], &hot, 2);
    return hot;
}

int colo__meta_mark(struct colo_meta *meta, uint64_t offset, uint64_t len,
                    struct colo_error *err)
{
    uint64_t first, last, cold_from = UINT64_MAX, cold_to = 0;
    int rc;

    rc = check_range(meta, offset, len, err);
    if (rc || !len)
        return rc;
    first = offset / COLO_META_CHUNK;
    last = (offset + len - 1) / COLO_META_CHUNK;
    for (uint64_t e = first / CHUNKS; e <= last / CHUNKS; e++) {
        uint64_t mask = word_mask(e, first, last);

        if ((atomic_load(&meta->bits[e]) & mask) != mask)
            atomic_fetch_or(&meta->bits[e], mask);
        if (use_hot(meta, e))
            continue;
        if (cold_from == UINT64_MAX)
            cold_from = e;
        cold_to = e;
    }
    return cold_from == UINT64_MAX ? 0 : heat(meta, cold_from, cold_to, err);
}

int colo__meta_clear(struct colo_meta *meta, uint64_t offset, uint64_t len,
                     struct colo_error *err)
{
    uint64_t first, last;
    int rc;

    rc = check_range(meta, offset, len, err);
    if (rc || !len)
        return rc;
    first = offset / COLO_META_CHUNK;
    last = (offset + len - 1) / COLO_META_CHUNK;
    for (uint64_t e = first / CHUNKS; e <= last / CHUNKS; e++)
        atomic_fetch_and(&meta->bits[e], ~word_mask(e, first, last));
    return 0;
}

bool colo__meta_next(const struct colo_meta *meta, uint64_t *offset_inout,
                     uint64_t *ret_len)
{
    uint64_t n = (meta->header.size + COLO_META_CHUNK - 1) / COLO_META_CHUNK;
    uint64_t c = *offset_inout / COLO_META_CHUNK, begin, end;
    uint64_t word = 0;

    for (; c < n; c = (c / CHUNKS + 1) * CHUNKS) {
        word = atomic_load(&meta->bits[c / CHUNKS]) >> (c % CHUNKS);
        if (word)
            break;
    }
    if (c < n)
        c += (uint64_t)__builtin_ctzll(word);
    if (c >= n)
        return false;
    begin = c;
    while (c < n) {
        word = ~atomic_load(&meta->bits[c / CHUNKS]) >> (c % CHUNKS);
        if (word) {
            c += (uint64_t)__builtin_ctzll(word);
            break;
        }
        c = (c / CHUNKS + 1) * CHUNKS;
    }
    end = c < n ? c * COLO_META_CHUNK : meta->header.size;
    *offset_inout = begin * COLO_META_CHUNK;
    *ret_len = end - begin * COLO_META_CHUNK;
    return true;
}

int colo__meta_merge(struct colo_meta *meta, const uint8_t *bits, size_t len,
                     struct colo_error *err)
{
    uint64_t n = (meta->header.size + COLO_META_CHUNK - 1) / COLO_META_CHUNK;
    int rc;

    pthread_mutex_lock(&meta->lock);
    for (uint64_t c = 0; c < n && c / 8 < len; c++) {
        if (bits[c / 8] >> (c % 8) & 1)
            atomic_fetch_or(&meta->bits[c / CHUNKS],
                            UINT64_C(1) << (c % CHUNKS));
    }
    rc = sync_all(meta, err);
    pthread_mutex_unlock(&meta->lock);
    return rc;
}
