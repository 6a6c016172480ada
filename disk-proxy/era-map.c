/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See era-map.h.  The superblock has three roots: the writeset of the present
 * era (a bitset), a tree of the writesets that are archived (era -> bitset),
 * and an array with the last era of each block, for those that were digested.
 * A bitset is an array of 64 bit words; an array is a tree whose values are
 * the places of array blocks.  Checksums are not looked at: it was this
 * host's kernel that wrote it, in this host's memory.
 */
#include <string.h>

#include "../libcolo/bytes.h"
#include "era-map.h"
#include "meta.h"

#define WHERE "disk era"
#define BLOCK 4096u
#define MAGIC UINT64_C(2126579579)
#define DEPTH 8           /* of a tree; more than 2^31 blocks need */
#define NODE 32u          /* header of a node */
#define ARRAY 24u         /* header of an array block */
#define INTERNAL 1u
#define LEAF 2u

struct map {
    const uint8_t *meta;
    uint64_t blocks;      /* of the metadata */
    uint64_t left;        /* of them that may still be looked at */
    uint64_t size;        /* of the disk */
    uint32_t nr;          /* blocks of the disk */
    uint8_t *bits;
};

typedef bool value_fn(struct map *m, uint64_t key, const uint8_t *value,
                      int depth);

/* NULL: there is none, or this walk goes around in circles */
static const uint8_t *block_at(struct map *m, uint64_t n)
{
    if (n >= m->blocks || !m->left)
        return NULL;
    m->left--;
    return m->meta + n * BLOCK;
}

static void mark(struct map *m, uint64_t block)
{
    uint64_t chunk = block * (COLO_ERA_BLOCK / COLO_META_CHUNK);
    uint64_t end = (m->size + COLO_META_CHUNK - 1) / COLO_META_CHUNK;

    for (unsigned i = 0; i < COLO_ERA_BLOCK / COLO_META_CHUNK; i++, chunk++) {
        if (chunk < end)
            m->bits[chunk / 8] |= (uint8_t)(1u << (chunk % 8));
    }
}

/* every value of a tree, from the node at n on */
static bool walk(struct map *m, uint64_t n, uint32_t value_size,
                 value_fn *value, int depth)
{
    const uint8_t *node = block_at(m, n);
    uint32_t flags, entries, max, width;

    if (!node || !depth)
        return false;
    flags = colo__le32(node + 4);
    entries = colo__le32(node + 16);
    max = colo__le32(node + 20);
    width = colo__le32(node + 24);
    if (flags != LEAF && flags != INTERNAL)
        return false;
    if (max > (BLOCK - NODE) / 8 || entries > max ||
        width != (flags == LEAF ? value_size : 8) ||
        NODE + max * (8 + width) > BLOCK)
        return false;
    for (uint32_t i = 0; i < entries; i++) {
        const uint8_t *p = node + NODE + max * 8 + (size_t)i * width;

        if (flags == INTERNAL ?
            !walk(m, colo__le64(p), value_size, value, depth - 1) :
            !value(m, colo__le64(node + NODE + i * 8), p, depth - 1))
            return false;
    }
    return true;
}

/* the array block at p: its number of entries, or -1; key is its index */
static int64_t array_block(struct map *m, uint64_t key, const uint8_t *p,
                           uint32_t width, const uint8_t **ret_values,
                           uint64_t *ret_first)
{
    const uint8_t *block = block_at(m, colo__le64(p));
    uint32_t max, entries;

    if (!block)
        return -1;
    max = colo__le32(block + 4);
    entries = colo__le32(block + 8);
    if (colo__le32(block + 12) != width || max > (BLOCK - ARRAY) / width ||
        entries > max || key > m->nr)
        return -1;
    *ret_values = block + ARRAY;
    *ret_first = key * max;
    return entries;
}

/* words of a bitset */
static bool take_words(struct map *m, uint64_t key, const uint8_t *p,
                       int depth)
{
    const uint8_t *values;
    uint64_t first;
    int64_t n = array_block(m, key, p, 8, &values, &first);

    (void)depth;
    for (int64_t i = 0; i < n; i++) {
        uint64_t word = colo__le64(values + i * 8);

        for (; word; word &= word - 1)
            mark(m, (first + (uint64_t)i) * 64 +
                 (unsigned)__builtin_ctzll(word));
    }
    return n >= 0;
}

/* eras of blocks; 0: it was never written */
static bool take_eras(struct map *m, uint64_t key, const uint8_t *p, int depth)
{
    const uint8_t *values;
    uint64_t first;
    int64_t n = array_block(m, key, p, 4, &values, &first);

    (void)depth;
    for (int64_t i = 0; i < n; i++) {
        if (colo__le32(values + i * 4))
            mark(m, first + (uint64_t)i);
    }
    return n >= 0;
}

/* a writeset: u32 bits, u64 root; root 0: there is none */
static bool take_writeset(struct map *m, uint64_t key, const uint8_t *p,
                          int depth)
{
    (void)key;
    (void)depth;
    return !colo__le64(p + 4) ||
           walk(m, colo__le64(p + 4), 8, take_words, DEPTH);
}

int colo__era_written(const uint8_t *meta, size_t len, uint64_t size,
                      uint8_t *bits, struct colo_error *err)
{
    struct map m = { .meta = meta, .blocks = len / BLOCK, .size = size,
                     .left = len / BLOCK * 2, .bits = bits };
    uint64_t nr = (size + COLO_ERA_BLOCK - 1) / COLO_ERA_BLOCK;

    if (!m.blocks || colo__le64(meta + 32) != MAGIC ||
        colo__le32(meta + 40) != 1 ||
        colo__le32(meta + 172) != COLO_ERA_BLOCK / 512 ||
        colo__le32(meta + 176) != BLOCK / 512 || colo__le32(meta + 180) != nr)
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "that is not what was made for this disk");
    m.nr = (uint32_t)nr;
    if (!take_writeset(&m, 0, meta + 188, 0) ||
        !walk(&m, colo__le64(meta + 200), 12, take_writeset, DEPTH) ||
        !walk(&m, colo__le64(meta + 208), 8, take_eras, DEPTH))
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "what dm-era noted cannot be read");
    return 0;
}

uint64_t colo__era_bytes(uint64_t size)
{
    uint64_t nr = (size + COLO_ERA_BLOCK - 1) / COLO_ERA_BLOCK;

    /* an era, and two bits; twice, as what changes is copied first */
    return (UINT64_C(1) << 20) + (nr * 16 + BLOCK - 1) / BLOCK * BLOCK;
}
