/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Page coding: every page comes back as it was, the short form is chosen
 * where there is one, and bytes that are not a page are refused.
 */
#include "pure-common.h"

#include <lz4.h>

#include "pure/delta.h"
#include "pure/wire.h"

#define PAGE COLO_PAGE_SIZE

struct fixture {
    struct colo_delta_scratch scratch;
    uint8_t page[PAGE], base[PAGE], out[PAGE], back[PAGE];
    uint64_t seed;
};

static struct fixture *new_fixture(void)
{
    /* not cleared: encode may not depend on what scratch held */
    struct fixture *f = malloc(sizeof(*f));

    ck_assert_ptr_nonnull(f);
    f->seed = 11;
    pure_random_fill(&f->seed, (uint8_t *)&f->scratch, sizeof(f->scratch));
    memset(f->page, 0, PAGE);
    memset(f->base, 0, PAGE);
    return f;
}

/* text of a few words */
static void fill_text(struct fixture *f, uint8_t *p)
{
    static const char words[16][9] = {
        "guest   ", "of the  ", "and its ", "page by ", "one more", "epoch   ",
        "or not  ", "frame   ", "that was", "sent    ", "before  ", "it could",
        "be read ", "from    ", "there, s", "o it is ",
    };

    for (size_t i = 0; i < PAGE; i += 8)
        memcpy(p + i, words[pure_random(&f->seed) >> 60], 8);
}

/* encode, decode, compare; returns the coding, *ret_len its bytes */
static uint32_t there_and_back(struct fixture *f, const uint8_t *base,
                               bool try_lz4, uint32_t *ret_len)
{
    uint32_t coding, len = 12345;
    struct colo_error err;
    const uint8_t *payload;

    coding = colo__page_encode(&f->scratch, f->page, base, try_lz4, f->out,
                               &len);
    ck_assert_uint_lt(len, PAGE);
    *ret_len = len;
    payload = f->out;
    if (coding == COLO_CODING_RAW) {
        ck_assert_uint_eq(len, 0);
        payload = f->page;
        len = PAGE;
    }
    memset(f->back, 0xee, PAGE);
    ck_assert_int_eq(colo__page_decode(coding, payload, len, base,
                                       colo__page_hash(f->page), f->back,
                                       &err), 0);
    ck_assert_mem_eq(f->back, f->page, PAGE);
    return coding;
}

START_TEST(test_zero)
{
    struct fixture *f = new_fixture();
    uint32_t len;

    ck_assert(colo__page_is_zero(f->page));
    ck_assert_uint_eq(there_and_back(f, NULL, true, &len), COLO_CODING_ZERO);
    ck_assert_uint_eq(len, 0);
    ck_assert_uint_eq(there_and_back(f, NULL, false, &len), COLO_CODING_ZERO);
    ck_assert_uint_eq(there_and_back(f, f->base, true, &len),
                      COLO_CODING_ZERO);
    for (size_t i = 0; i < PAGE; i++) {
        f->page[i] = 0x80;
        if (colo__page_is_zero(f->page))
            ck_abort_msg("byte %zu was not seen", i);
        f->page[i] = 0;
    }
    free(f);
}
END_TEST

START_TEST(test_hash_is_xxh3)
{
    struct fixture *f = new_fixture();

    /* of 4096 zero bytes, and of the bytes 0, 1, ... 255, 0, ...: as libxxhash
     * has them */
    ck_assert_uint_eq(colo__page_hash(f->page),
                      UINT64_C(0x93d76fe148c689ba));
    for (size_t i = 0; i < PAGE; i++)
        f->page[i] = (uint8_t)i;
    ck_assert_uint_eq(colo__page_hash(f->page),
                      UINT64_C(0xeb4b7c3707879151));
    free(f);
}
END_TEST

START_TEST(test_unchanged)
{
    struct fixture *f = new_fixture();
    uint8_t zeros[PAGE];
    uint32_t len;

    pure_random_fill(&f->seed, f->page, PAGE);
    memcpy(f->base, f->page, PAGE);
    ck_assert_uint_eq(there_and_back(f, f->base, true, &len),
                      COLO_CODING_XOR);
    ck_assert_uint_lt(len, 32);
    /* it is LZ4 like any other */
    ck_assert_int_eq(LZ4_decompress_safe((char *)f->out, (char *)zeros,
                                         (int)len, PAGE), PAGE);
    ck_assert(colo__page_is_zero(zeros));
    free(f);
}
END_TEST

START_TEST(test_choice)
{
    struct fixture *f = new_fixture();
    uint32_t len;

    /* random: nothing helps, with or without an unrelated base */
    pure_random_fill(&f->seed, f->page, PAGE);
    pure_random_fill(&f->seed, f->base, PAGE);
    ck_assert_uint_eq(there_and_back(f, NULL, true, &len), COLO_CODING_RAW);
    ck_assert_uint_eq(there_and_back(f, f->base, true, &len),
                      COLO_CODING_RAW);

    /* random, a few bytes written */
    memcpy(f->base, f->page, PAGE);
    for (int i = 0; i < 10; i++)
        f->page[pure_random(&f->seed) % PAGE]++;
    ck_assert_uint_eq(there_and_back(f, f->base, true, &len),
                      COLO_CODING_XOR);
    ck_assert_uint_lt(len, 150);

    /* random, more than half of it written: still worth a difference */
    memcpy(f->base, f->page, PAGE);
    pure_random_fill(&f->seed, f->page, PAGE * 5 / 8);
    ck_assert_uint_eq(there_and_back(f, f->base, true, &len),
                      COLO_CODING_XOR);
    ck_assert_uint_lt(len, PAGE * 6 / 8);

    /* a page of one byte over a base of random: itself is shorter */
    memset(f->page, 'x', PAGE);
    ck_assert_uint_eq(there_and_back(f, f->base, true, &len),
                      COLO_CODING_LZ4);
    ck_assert_uint_lt(len, 64);

    /* so, too, when the difference would not be hopeless */
    memset(f->base, 'x', PAGE / 4);
    ck_assert_uint_eq(there_and_back(f, f->base, true, &len),
                      COLO_CODING_LZ4);
    ck_assert_uint_lt(len, 64);

    /* no coder: raw, and base is not looked at */
    ck_assert_uint_eq(there_and_back(f, f->base, false, &len),
                      COLO_CODING_RAW);
    free(f);
}
END_TEST

START_TEST(test_not_for_little_gain)
{
    struct fixture *f = new_fixture();
    uint32_t longest = 0, len;

    /* What is encoded saves at least 256 bytes.  Of 7 bits, as what looks
     * hopeless is not even tried. */
    for (size_t random = 0; random <= PAGE; random += 32) {
        memset(f->page, 'y', PAGE);
        pure_random_fill(&f->seed, f->page, random);
        for (size_t i = 0; i < random; i++)
            f->page[i] &= 0x7f;
        if (there_and_back(f, NULL, true, &len) != COLO_CODING_RAW &&
            len > longest)
            longest = len;
    }
    ck_assert_uint_le(longest, PAGE - 256);
    ck_assert_uint_ge(longest, PAGE - 320);
    free(f);
}
END_TEST

START_TEST(test_many)
{
    struct fixture *f = new_fixture();
    uint32_t seen[4] = { 0 }, len;

    for (int round = 0; round < 1500; round++) {
        uint64_t r = pure_random(&f->seed);

        if (r & 1)
            fill_text(f, f->page);
        else
            pure_random_fill(&f->seed, f->page, r >> 8 & 4095);
        if (r & 2)
            memset(f->page + (r >> 20 & 2047), 0, r >> 32 & 2047);
        seen[there_and_back(f, r & 4 ? f->base : NULL, r & 0x70, &len)]++;
        if (r & 0x80)
            memcpy(f->base, f->page, PAGE);
        for (uint64_t i = 0; i < (r >> 44 & 63); i++)
            f->page[pure_random(&f->seed) % PAGE] ^= 1;
        seen[there_and_back(f, f->base, true, &len)]++;
    }
    ck_assert_uint_gt(seen[COLO_CODING_RAW], 100);
    ck_assert_uint_gt(seen[COLO_CODING_LZ4], 100);
    ck_assert_uint_gt(seen[COLO_CODING_XOR], 100);
    free(f);
}
END_TEST

START_TEST(test_decode_refuses)
{
    struct fixture *f = new_fixture();
    struct colo_error err;
    uint32_t coding, len;
    uint64_t hash;

    fill_text(f, f->page);
    hash = colo__page_hash(f->page);
    coding = colo__page_encode(&f->scratch, f->page, NULL, true, f->out,
                               &len);
    ck_assert_uint_eq(coding, COLO_CODING_LZ4);

#define DECODE(coding, len, base, hash) \
    colo__page_decode(coding, f->out, len, base, hash, f->back, &err)

    ck_assert_int_eq(DECODE(coding, len, NULL, hash), 0);
    ck_assert_int_eq(DECODE(coding, len, NULL, hash + 1), COLO_E_CORRUPT);
    ck_text(err, "hash");
    ck_assert_str_eq(err.where, "delta");
    ck_assert_int_eq(DECODE(coding, len - 1, NULL, hash), COLO_E_CORRUPT);
    ck_text(err, "does not unpack");
    ck_assert_int_eq(DECODE(coding, 0, NULL, hash), COLO_E_CORRUPT);
    ck_assert_int_eq(DECODE(coding, PAGE, NULL, hash), COLO_E_CORRUPT);
    ck_assert_int_eq(DECODE(coding, UINT32_MAX, NULL, hash), COLO_E_CORRUPT);

    ck_assert_int_eq(DECODE(COLO_CODING_XOR, len, NULL, hash), COLO_E_PROTO);
    ck_text(err, "never sent");
    ck_assert_int_eq(DECODE(COLO_CODING_XOR, len, f->base, hash), 0);
    f->base[4095] = 1; /* another base gives another page */
    ck_assert_int_eq(DECODE(COLO_CODING_XOR, len, f->base, hash),
                     COLO_E_CORRUPT);

    ck_assert_int_eq(DECODE(COLO_CODING_RAW, len, NULL, 0), COLO_E_CORRUPT);
    ck_assert_int_eq(DECODE(COLO_CODING_ZERO, 1, NULL, 0), COLO_E_CORRUPT);
    ck_assert_int_eq(DECODE(4, len, f->base, hash), COLO_E_PROTO);
    ck_text(err, "coding 4");
    ck_assert_int_eq(DECODE(UINT32_MAX, len, f->base, hash), COLO_E_PROTO);

    /* one short of a page, and one more than a page */
    memset(f->page, 1, PAGE);
    len = (uint32_t)LZ4_compress_default((char *)f->page, (char *)f->out,
                                         PAGE - 1, PAGE);
    ck_assert_int_eq(DECODE(COLO_CODING_LZ4, len, NULL, hash),
                     COLO_E_CORRUPT);
    ck_text(err, "does not unpack");
    {
        uint8_t longer[PAGE + 1] = { 0 };

        len = (uint32_t)LZ4_compress_default((char *)longer, (char *)f->out,
                                             PAGE + 1, PAGE);
    }
    ck_assert_int_eq(DECODE(COLO_CODING_LZ4, len, NULL, hash),
                     COLO_E_CORRUPT);
    ck_text(err, "does not unpack");
    free(f);
}
END_TEST

START_TEST(test_longer_than_a_page)
{
    /* LZ4 that holds a page as literals: 4081 = 16 * 255 + 1 */
    uint8_t packed[18 + PAGE], page[PAGE], out[PAGE];
    struct colo_error err;
    uint64_t seed = 3;

    pure_random_fill(&seed, page, PAGE);
    memset(packed, 0xff, 17);
    packed[0] = 0xf0;
    packed[17] = 1;
    memcpy(packed + 18, page, PAGE);
    ck_assert_int_eq(LZ4_decompress_safe((char *)packed, (char *)out,
                                         sizeof(packed), PAGE), PAGE);
    ck_assert_int_eq(colo__page_decode(COLO_CODING_LZ4, packed,
                                       sizeof(packed), NULL,
                                       colo__page_hash(page), out, &err),
                     COLO_E_CORRUPT);
    ck_text(err, "4114 bytes");
}
END_TEST

START_TEST(test_decode_of_broken_bytes)
{
    struct fixture *f = new_fixture();
    struct colo_error err;
    uint64_t hash;
    uint32_t len;

    fill_text(f, f->page);
    hash = colo__page_hash(f->page);
    colo__page_encode(&f->scratch, f->page, NULL, true, f->out, &len);
    for (int i = 0; i < 3000; i++) {
        /* an exact allocation, so that a read beyond it is found */
        uint32_t n = 1 + (uint32_t)(pure_random(&f->seed) % len);
        uint8_t *broken = malloc(n);

        ck_assert_ptr_nonnull(broken);
        memcpy(broken, f->out, n);
        broken[pure_random(&f->seed) % n] ^=
            (uint8_t)(1 + pure_random(&f->seed) % 255);
        if (colo__page_decode(COLO_CODING_LZ4, broken, n, NULL, hash,
                              f->back, &err) != COLO_E_CORRUPT)
            ck_abort_msg("broken bytes were taken");
        free(broken);
    }
    free(f);
}
END_TEST

PURE_MAIN("delta-pages", test_zero, test_hash_is_xxh3, test_unchanged,
          test_choice, test_not_for_little_gain, test_many,
          test_decode_refuses, test_longer_than_a_page,
          test_decode_of_broken_bytes)
