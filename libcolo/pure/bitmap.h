/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A set of guest frame numbers as words: merged, scanned and cleared a word
 * at a time.  Pure; the caller serialises.
 */
#ifndef COLO_PURE_BITMAP_H
#define COLO_PURE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct colo_bitmap {
    uint64_t *words;
    uint64_t bits;      /* valid bits; the tail of the last word is zero */
    uint64_t cap_words; /* allocated */
};

/* init leaves an empty set; resize keeps what is set below both sizes and
 * returns 0 or COLO_E_NOMEM (unchanged then); fini takes a zeroed one. */
void colo__bitmap_init(struct colo_bitmap *bm);
int colo__bitmap_resize(struct colo_bitmap *bm, uint64_t bits);
void colo__bitmap_fini(struct colo_bitmap *bm);

void colo__bitmap_zero(struct colo_bitmap *bm);
void colo__bitmap_fill(struct colo_bitmap *bm); /* every valid bit */
uint64_t colo__bitmap_count(const struct colo_bitmap *bm);
/* dst |= src, dst &= ~src over the common length */
void colo__bitmap_or(struct colo_bitmap *dst, const struct colo_bitmap *src);
void colo__bitmap_andnot(struct colo_bitmap *dst,
                         const struct colo_bitmap *src);

/* colo__bitmap_scan - gather up to cap set bits from *pos on, ascending.
 * Returns  how many were put in out; *pos is where to go on, bits at the
 *          end.  A sparse map costs one test per word, not per bit. */
size_t colo__bitmap_scan(const struct colo_bitmap *bm, uint64_t *pos,
                         uint64_t *out, size_t cap);

/* out of range: set and clear do nothing, test is false */
static inline void colo__bitmap_set(struct colo_bitmap *bm, uint64_t bit)
{
    if (bit < bm->bits)
        bm->words[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void colo__bitmap_clear(struct colo_bitmap *bm, uint64_t bit)
{
    if (bit < bm->bits)
        bm->words[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

static inline bool colo__bitmap_test(const struct colo_bitmap *bm,
                                     uint64_t bit)
{
    return bit < bm->bits && (bm->words[bit / 64] >> (bit % 64) & 1);
}

#endif
