/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Sets of frames: sizes, merging, and that nothing outside is touched.
 */
#include "pure-common.h"

#include "pure/bitmap.h"

static void make(struct colo_bitmap *bm, uint64_t bits)
{
    colo__bitmap_init(bm);
    ck_assert_int_eq(colo__bitmap_resize(bm, bits), 0);
}

START_TEST(test_resize_keeps)
{
    struct colo_bitmap bm;

    make(&bm, 100);
    colo__bitmap_fill(&bm);
    ck_assert_uint_eq(colo__bitmap_count(&bm), 100);
    ck_assert_int_eq(colo__bitmap_resize(&bm, 1000), 0);
    ck_assert_uint_eq(colo__bitmap_count(&bm), 100);
    ck_assert(!colo__bitmap_test(&bm, 100));
    ck_assert_int_eq(colo__bitmap_resize(&bm, 70), 0);
    ck_assert_uint_eq(colo__bitmap_count(&bm), 70);
    /* what was cut off does not come back */
    ck_assert_int_eq(colo__bitmap_resize(&bm, 1000), 0);
    ck_assert_uint_eq(colo__bitmap_count(&bm), 70);
    ck_assert_int_eq(colo__bitmap_resize(&bm, 64), 0);
    ck_assert_int_eq(colo__bitmap_resize(&bm, 128), 0);
    ck_assert_uint_eq(colo__bitmap_count(&bm), 64);
    ck_assert_int_eq(colo__bitmap_resize(&bm, 0), 0);
    ck_assert_int_eq(colo__bitmap_resize(&bm, 128), 0);
    ck_assert_uint_eq(colo__bitmap_count(&bm), 0);
    colo__bitmap_fini(&bm);
    colo__bitmap_fini(&bm);
}
END_TEST

START_TEST(test_too_large)
{
    struct colo_bitmap bm;

    make(&bm, 100);
    colo__bitmap_set(&bm, 99);
    ck_assert_int_eq(colo__bitmap_resize(&bm, UINT64_MAX), COLO_E_NOMEM);
    ck_assert_uint_eq(bm.bits, 100);
    ck_assert(colo__bitmap_test(&bm, 99));
    colo__bitmap_fini(&bm);
}
END_TEST

START_TEST(test_out_of_range)
{
    struct colo_bitmap bm;

    make(&bm, 65);
    colo__bitmap_set(&bm, 65);
    colo__bitmap_set(&bm, 127);
    colo__bitmap_set(&bm, UINT64_MAX);
    ck_assert_uint_eq(colo__bitmap_count(&bm), 0);
    ck_assert_uint_eq(bm.words[1], 0);
    colo__bitmap_fill(&bm);
    ck_assert_uint_eq(bm.words[1], 1);
    colo__bitmap_clear(&bm, 66);
    colo__bitmap_clear(&bm, UINT64_MAX);
    ck_assert_uint_eq(colo__bitmap_count(&bm), 65);
    ck_assert(!colo__bitmap_test(&bm, 65));
    ck_assert(!colo__bitmap_test(&bm, UINT64_MAX));
    colo__bitmap_fini(&bm);
}
END_TEST

START_TEST(test_or_andnot)
{
    static const uint64_t sizes[] = { 1, 64, 70, 128, 129, 300 };
    uint64_t seed = 3;

    for (size_t i = 0; i < COLO_ARRAY_LEN(sizes); i++) {
        for (size_t k = 0; k < COLO_ARRAY_LEN(sizes); k++) {
            struct colo_bitmap a, b, either, minus;

            make(&a, sizes[i]);
            make(&b, sizes[k]);
            make(&either, sizes[i]);
            make(&minus, sizes[i]);
            for (uint64_t bit = 0; bit < 300; bit++) {
                if (pure_random(&seed) & 1)
                    colo__bitmap_set(&a, bit);
                if (pure_random(&seed) & 1)
                    colo__bitmap_set(&b, bit);
            }
            colo__bitmap_or(&either, &a);
            colo__bitmap_or(&minus, &a);
            colo__bitmap_or(&either, &b);
            colo__bitmap_andnot(&minus, &b);
            for (uint64_t bit = 0; bit < sizes[i]; bit++) {
                bool in_a = colo__bitmap_test(&a, bit);
                bool in_b = colo__bitmap_test(&b, bit);

                if (colo__bitmap_test(&either, bit) != (in_a || in_b))
                    ck_abort_msg("or, frame %d", (int)bit);
                if (colo__bitmap_test(&minus, bit) != (in_a && !in_b))
                    ck_abort_msg("andnot, frame %d", (int)bit);
            }
            /* the tail of a shorter set stays zero */
            ck_assert_uint_le(colo__bitmap_count(&either), sizes[i]);
            ck_assert_int_eq(colo__bitmap_resize(&either, 400), 0);
            for (uint64_t bit = sizes[i]; bit < 400; bit++)
                ck_assert(!colo__bitmap_test(&either, bit));
            colo__bitmap_fini(&a);
            colo__bitmap_fini(&b);
            colo__bitmap_fini(&either);
            colo__bitmap_fini(&minus);
        }
    }
}
END_TEST

START_TEST(test_empty)
{
    struct colo_bitmap none, some;

    colo__bitmap_init(&none);
    make(&some, 10);
    colo__bitmap_set(&some, 3);
    colo__bitmap_zero(&none);
    colo__bitmap_fill(&none);
    colo__bitmap_or(&none, &some);
    colo__bitmap_or(&some, &none);
    colo__bitmap_andnot(&some, &none);
    ck_assert_uint_eq(colo__bitmap_count(&none), 0);
    ck_assert_uint_eq(colo__bitmap_count(&some), 1);
    colo__bitmap_fini(&none);
    colo__bitmap_fini(&some);
}
END_TEST

PURE_MAIN("bitmap-sets", test_resize_keeps, test_too_large,
          test_out_of_range, test_or_andnot, test_empty)
