/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Pages as they go over the wire.  Encode runs behind the running guest, on
 * a worker with its own scratch; decode runs where the epoch is received, on
 * bytes that nobody vouches for.  Neither allocates.
 *
 * What it costs (one core of a 2020s server): hash 0.25 us, a hopeless page
 * found out 0.15 us, LZ4 0.5 us (mostly zero) to 6 us (hard to compress).
 * So zero pages, unchanged pages and hopeless pages never reach LZ4.
 */
#include <string.h>

#include <lz4.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "delta.h"
#include "wire.h"

#define WHERE "delta"
#define PAGE_WORDS (COLO_PAGE_SIZE / 8)

/* Less saved than this is not worth the decoding. */
#define MARGIN 256
#define MAX_ENCODED (COLO_PAGE_SIZE - MARGIN)

/* A difference in more words than this will not compress. */
#define XOR_HOPEFUL_WORDS (PAGE_WORDS * 3 / 4)

/* Every 17th byte is looked at (odd, so that each byte of a word has its
 * turn): random ones show about 156 different values of 256, and what LZ4
 * can shorten nearly always less than 136. */
#define SAMPLE_STRIDE 17
#define SAMPLE_HOPELESS 136

_Static_assert(sizeof(((struct colo_delta_scratch *)0)->lz4_state) >=
                   sizeof(LZ4_stream_t), "scratch is too small for LZ4");

/* LZ4 of 4096 zero bytes: a page that was written and is as before. */
static const uint8_t lz4_of_zeros[] = {
    0x1f, 0x00, 0x01, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf6,
    0x50, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static uint64_t word_at(const uint8_t *page, size_t i)
{
    uint64_t word;

    memcpy(&word, page + i * 8, sizeof(word));
    return word;
}

bool colo__page_is_zero(const uint8_t *page)
{
    /* Most pages that are not zero say so in the first word; the rest is
     * tested by cache lines. */
    if (word_at(page, 0))
        return false;
    for (size_t i = 0; i < PAGE_WORDS; i += 8) {
        uint64_t any = 0;

        for (size_t k = 0; k < 8; k++)
            any |= word_at(page, i + k);
        if (any)
            return false;
    }
    return true;
}

uint64_t colo__page_hash(const uint8_t *page)
{
    return XXH3_64bits(page, COLO_PAGE_SIZE);
}

void colo__page_hash128(const uint8_t *page, uint64_t *ret_high,
                        uint64_t *ret_low)
{
    XXH128_hash_t hash = XXH3_128bits(page, COLO_PAGE_SIZE);

    *ret_high = hash.high64;
    *ret_low = hash.low64;
}

/* ---- encode ------------------------------------------------------------ */

/* Writes page XOR base to diff.  Returns the words that differ;
 * *ret_words = the words of page that are not zero. */
static size_t make_diff(const uint8_t *page, const uint8_t *base,
                        uint8_t *diff, size_t *ret_words)
{
    size_t differ = 0, words = 0;

    for (size_t i = 0; i < PAGE_WORDS; i++) {
        uint64_t word = word_at(page, i);
        uint64_t x = word ^ word_at(base, i);

        memcpy(diff + i * 8, &x, sizeof(x));
        differ += x != 0;
        words += word != 0;
    }
    *ret_words = words;
    return differ;
}

static bool looks_hopeless(const uint8_t *page)
{
    uint8_t seen[256] = { 0 };
    unsigned int different = 0;

    for (size_t i = 0; i < COLO_PAGE_SIZE; i += SAMPLE_STRIDE)
        seen[page[i]] = 1;
    for (size_t i = 0; i < sizeof(seen); i++)
        different += seen[i];
    return different >= SAMPLE_HOPELESS;
}

/* Returns the length, 0 when it is not worth it. */
static uint32_t try_lz4_of(struct colo_delta_scratch *scratch,
                           const uint8_t *src, uint8_t *out)
{
    int n = LZ4_compress_fast_extState(scratch->lz4_state, (const char *)src,
                                       (char *)out, COLO_PAGE_SIZE,
                                       MAX_ENCODED, 1);

    return n > 0 ? (uint32_t)n : 0;
}

uint32_t colo__page_encode(struct colo_delta_scratch *scratch,
                           const uint8_t *page, const uint8_t *base,
                           bool try_lz4, uint8_t *out, uint32_t *ret_len)
{
    size_t differ = PAGE_WORDS, words = PAGE_WORDS;
    bool xor_first;

    *ret_len = 0;
    if (colo__page_is_zero(page))
        return COLO_CODING_ZERO;
    if (!try_lz4)
        return COLO_CODING_RAW;

    if (base) {
        differ = make_diff(page, base, scratch->diff, &words);
        if (differ == 0) {
            memcpy(out, lz4_of_zeros, sizeof(lz4_of_zeros));
            *ret_len = sizeof(lz4_of_zeros);
            return COLO_CODING_XOR;
        }
    }

    /* A difference is worth more the more it blanks out.  When it blanks
     * less than half, the page itself may well be shorter. */
    xor_first = base && differ * 2 <= words;
    if (xor_first) {
        *ret_len = try_lz4_of(scratch, scratch->diff, out);
        if (*ret_len)
            return COLO_CODING_XOR;
    }
    if (!looks_hopeless(page)) {
        *ret_len = try_lz4_of(scratch, page, out);
        if (*ret_len)
            return COLO_CODING_LZ4;
    }
    if (base && !xor_first && differ <= XOR_HOPEFUL_WORDS) {
        *ret_len = try_lz4_of(scratch, scratch->diff, out);
        if (*ret_len)
            return COLO_CODING_XOR;
    }
    return COLO_CODING_RAW;
}

/* ---- decode ------------------------------------------------------------ */

static int unpack(const uint8_t *payload, uint32_t len, uint8_t *out,
                  struct colo_error *err)
{
    int n;

    if (len == 0 || len >= COLO_PAGE_SIZE)
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "a compressed page of %u bytes", len);
    n = LZ4_decompress_safe((const char *)payload, (char *)out, (int)len,
                            COLO_PAGE_SIZE);
    if (n != (int)COLO_PAGE_SIZE)
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "a compressed page of %u bytes does not unpack to "
                          "one page", len);
    return 0;
}

/* by words, as the two may not overlap */
static void xor_into(uint8_t *restrict out, const uint8_t *restrict base)
{
    for (size_t i = 0; i < PAGE_WORDS; i++) {
        uint64_t x = word_at(out, i) ^ word_at(base, i);

        memcpy(out + i * 8, &x, sizeof(x));
    }
}

int colo__page_decode(uint32_t coding, const uint8_t *payload, uint32_t len,
                      const uint8_t *base, uint64_t hash, uint8_t *out,
                      struct colo_error *err)
{
    int rc;

    switch (coding) {
    case COLO_CODING_RAW:
        if (len != COLO_PAGE_SIZE)
            return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                              "a raw page of %u bytes", len);
        memcpy(out, payload, COLO_PAGE_SIZE);
        return 0;
    case COLO_CODING_ZERO:
        if (len)
            return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                              "a zero page with %u bytes", len);
        memset(out, 0, COLO_PAGE_SIZE);
        return 0;
    case COLO_CODING_LZ4:
        rc = unpack(payload, len, out, err);
        if (rc) return rc;
        break;
    case COLO_CODING_XOR:
        if (!base)
            return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                              "a difference to a page that was never sent");
        if (len == sizeof(lz4_of_zeros) &&
            memcmp(payload, lz4_of_zeros, len) == 0) {
            memcpy(out, base, COLO_PAGE_SIZE);
            break;
        }
        rc = unpack(payload, len, out, err);
        if (rc) return rc;
        xor_into(out, base);
        break;
    default:
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "unknown page coding %u", coding);
    }

    if (colo__page_hash(out) != hash)
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "the hash of a page does not match (coding %u)",
                          coding);
    return 0;
}
