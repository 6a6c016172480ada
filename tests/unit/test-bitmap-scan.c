/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo__bitmap_scan finds every set bit once, in order, whatever the
 * density, the length and the cap are.
 */
#include "pure-common.h"

#include "pure/bitmap.h"

/* scan with this cap until the end and compare with bit by bit; an assertion
 * of the test library per bit would take most of the time */
static void check_scan(const struct colo_bitmap *bm, size_t cap)
{
    uint64_t *out = malloc(cap * sizeof(*out));
    uint64_t pos = 0, bit = 0;

    ck_assert_ptr_nonnull(out);
    for (;;) {
        size_t n = colo__bitmap_scan(bm, &pos, out, cap);

        ck_assert_uint_le(n, cap);
        for (size_t i = 0; i < n; i++) {
            while (bit < bm->bits && !colo__bitmap_test(bm, bit))
                bit++;
            if (out[i] != bit++)
                ck_abort_msg("frame %llu instead of %llu",
                             (unsigned long long)out[i],
                             (unsigned long long)bit - 1);
        }
        if (pos >= bm->bits)
            break;
        /* it only stops early when full */
        ck_assert_uint_eq(n, cap);
    }
    ck_assert_uint_eq(pos, bm->bits);
    while (bit < bm->bits) {
        if (colo__bitmap_test(bm, bit++))
            ck_abort_msg("frame %llu was left out",
                         (unsigned long long)bit - 1);
    }
    free(out);
}

START_TEST(test_against_bit_by_bit)
{
    static const uint64_t lengths[] = { 1, 63, 64, 65, 511, 512, 513, 1000,
                                        4096, 5003 };
    static const unsigned int one_in[] = { 1, 2, 3, 64, 700, 100000 };
    static const size_t caps[] = { 1, 2, 63, 64, 65, 128, 1000, 10000 };
    uint64_t seed = 7;

    for (size_t l = 0; l < COLO_ARRAY_LEN(lengths); l++) {
        for (size_t d = 0; d < COLO_ARRAY_LEN(one_in); d++) {
            struct colo_bitmap bm;

            colo__bitmap_init(&bm);
            ck_assert_int_eq(colo__bitmap_resize(&bm, lengths[l]), 0);
            for (uint64_t i = 0; i < lengths[l]; i++) {
                if (pure_random(&seed) % one_in[d] == 0)
                    colo__bitmap_set(&bm, i);
            }
            for (size_t c = 0; c < COLO_ARRAY_LEN(caps); c++)
                check_scan(&bm, caps[c]);
            colo__bitmap_fini(&bm);
        }
    }
}
END_TEST

START_TEST(test_every_position)
{
    struct colo_bitmap bm;

    /* a lone bit is found wherever it is in a cache line and beyond */
    colo__bitmap_init(&bm);
    ck_assert_int_eq(colo__bitmap_resize(&bm, 1300), 0);
    for (uint64_t bit = 0; bit < 1300; bit++) {
        uint64_t out[64], pos = 0;

        colo__bitmap_zero(&bm);
        colo__bitmap_set(&bm, bit);
        ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 64), 1);
        ck_assert_uint_eq(out[0], bit);
        ck_assert_uint_eq(pos, 1300);
        pos = bit + 1;
        ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 64), 0);
        pos = bit;
        ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 64), 1);
    }
    colo__bitmap_fini(&bm);
}
END_TEST

START_TEST(test_edges)
{
    struct colo_bitmap bm;
    uint64_t out[4] = { 9, 9, 9, 9 }, pos = 0;

    colo__bitmap_init(&bm);
    ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 4), 0);
    ck_assert_uint_eq(pos, 0);
    pos = 77; /* beyond the end: to the end */
    ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 4), 0);
    ck_assert_uint_eq(pos, 0);

    ck_assert_int_eq(colo__bitmap_resize(&bm, 130), 0);
    colo__bitmap_set(&bm, 129);
    ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 0), 0);
    ck_assert_uint_eq(pos, 129); /* no room: on the bit to go on with */
    ck_assert_uint_eq(out[0], 9);
    pos = UINT64_MAX;
    ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 4), 0);
    ck_assert_uint_eq(pos, 130);
    colo__bitmap_fini(&bm);
}
END_TEST

START_TEST(test_bits_set_during_a_scan)
{
    struct colo_bitmap bm;
    uint64_t out[1], pos = 0;

    /* what comes in above the position is still seen */
    colo__bitmap_init(&bm);
    ck_assert_int_eq(colo__bitmap_resize(&bm, 200), 0);
    colo__bitmap_set(&bm, 5);
    colo__bitmap_set(&bm, 9);
    ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 1), 1);
    colo__bitmap_set(&bm, 100);
    ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 1), 1);
    ck_assert_uint_eq(out[0], 9);
    ck_assert_uint_eq(colo__bitmap_scan(&bm, &pos, out, 1), 1);
    ck_assert_uint_eq(out[0], 100);
    colo__bitmap_fini(&bm);
}
END_TEST

PURE_MAIN("bitmap-scan", test_against_bit_by_bit, test_every_position,
          test_edges, test_bits_set_during_a_scan)
