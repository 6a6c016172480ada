/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Frame sets as words.  A guest of 64 GiB has 16 Mi frames, 256 Ki words; at
 * most checkpoints few of them are set, and all of them are looked at while
 * the guest stands still.  So everything here goes by words, and scan skips
 * zeros by cache lines.  Pure; the caller serialises.
 */
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "../colo.h"

#define WORD_BITS 64
#define MAX_BITS (UINT64_C(1) << 40) /* frames of 4 PiB; words: 128 GiB */
#define LINE_WORDS 8 /* one cache line, tested at once by scan */

static uint64_t words_of(uint64_t bits)
{
    return bits / WORD_BITS + (bits % WORD_BITS != 0);
}

/* which bits of the last word are valid */
static uint64_t tail_mask(uint64_t bits)
{
    return bits % WORD_BITS ? (UINT64_C(1) << (bits % WORD_BITS)) - 1
                            : UINT64_MAX;
}

void colo__bitmap_init(struct colo_bitmap *bm)
{
    memset(bm, 0, sizeof(*bm));
}

void colo__bitmap_fini(struct colo_bitmap *bm)
{
    free(bm->words);
    memset(bm, 0, sizeof(*bm));
}

int colo__bitmap_resize(struct colo_bitmap *bm, uint64_t bits)
{
    uint64_t old_words = words_of(bm->bits);
    uint64_t new_words = words_of(bits);

    if (new_words > bm->cap_words) {
        uint64_t *words;

        if (bits > MAX_BITS)
            return COLO_E_NOMEM;
        words = realloc(bm->words, new_words * sizeof(*words));
        if (!words)
            return COLO_E_NOMEM;
        bm->words = words;
        bm->cap_words = new_words;
    }

    if (new_words > old_words) {
        memset(bm->words + old_words, 0,
               (new_words - old_words) * sizeof(*bm->words));
    } else if (new_words > 0) {
        bm->words[new_words - 1] &= tail_mask(bits);
    }
    bm->bits = bits;
    return 0;
}

void colo__bitmap_zero(struct colo_bitmap *bm)
{
    if (bm->bits)
        memset(bm->words, 0, words_of(bm->bits) * sizeof(*bm->words));
}

void colo__bitmap_fill(struct colo_bitmap *bm)
{
    uint64_t n = words_of(bm->bits);

    if (!n)
        return;
    memset(bm->words, 0xff, n * sizeof(*bm->words));
    bm->words[n - 1] = tail_mask(bm->bits);
}

void colo__bitmap_or(struct colo_bitmap *dst, const struct colo_bitmap *src)
{
    uint64_t bits = dst->bits < src->bits ? dst->bits : src->bits;
    uint64_t n = words_of(bits);

    if (!n)
        return;
    for (uint64_t i = 0; i < n - 1; i++)
        dst->words[i] |= src->words[i];
    dst->words[n - 1] |= src->words[n - 1] & tail_mask(bits);
}

void colo__bitmap_andnot(struct colo_bitmap *dst,
                         const struct colo_bitmap *src)
{
    uint64_t bits = dst->bits < src->bits ? dst->bits : src->bits;
    uint64_t n = words_of(bits);

    for (uint64_t i = 0; i < n; i++)
        dst->words[i] &= ~src->words[i];
}

/* ---- looking through it ------------------------------------------------ */

/* the next word from i on that is not zero, or n */
static uint64_t skip_zeros(const uint64_t *words, uint64_t i, uint64_t n)
{
    while (i < n && i % LINE_WORDS) {
        if (words[i])
            return i;
        i++;
    }
    while (n - i >= LINE_WORDS) {
        const uint64_t *w = words + i;

        if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])
            break;
        i += LINE_WORDS;
    }
    while (i < n && !words[i])
        i++;
    return i;
}

uint64_t colo__bitmap_count(const struct colo_bitmap *bm)
{
    uint64_t n = words_of(bm->bits);
    uint64_t count = 0;

    for (uint64_t i = skip_zeros(bm->words, 0, n); i < n;
         i = skip_zeros(bm->words, i + 1, n))
        count += (uint64_t)__builtin_popcountll(bm->words[i]);
    return count;
}

/* All set bits of one word, whose first bit is number base.  There must be
 * room for 64. */
static size_t emit_word(uint64_t word, uint64_t base, uint64_t *out)
{
    size_t n = 0;

    if (word == UINT64_MAX) {
        for (; n < WORD_BITS; n++)
            out[n] = base + n;
        return n;
    }
    while (word) {
        out[n++] = base + (uint64_t)__builtin_ctzll(word);
        word &= word - 1;
    }
    return n;
}

size_t colo__bitmap_scan(const struct colo_bitmap *bm, uint64_t *pos,
                         uint64_t *out, size_t cap)
{
    uint64_t n = words_of(bm->bits);
    uint64_t i = *pos / WORD_BITS;
    size_t got = 0;
    uint64_t word;

    if (*pos >= bm->bits) {
        *pos = bm->bits;
        return 0;
    }

    /* bits below *pos are of an earlier call */
    word = bm->words[i] & (UINT64_MAX << (*pos % WORD_BITS));
    for (;;) {
        if (cap - got >= WORD_BITS) {
            got += emit_word(word, i * WORD_BITS, out + got);
        } else {
            while (word && got < cap) {
                out[got++] = i * WORD_BITS + (uint64_t)__builtin_ctzll(word);
                word &= word - 1;
            }
            if (word) {
                *pos = i * WORD_BITS + (uint64_t)__builtin_ctzll(word);
                return got;
            }
        }
        i = skip_zeros(bm->words, i + 1, n);
        if (i >= n)
            break;
        word = bm->words[i];
    }
    *pos = bm->bits;
    return got;
}
