/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The cache of what was last sent: it may forget, it may never mix up.
 */
#include "pure-common.h"

#include "pure/delta.h"

#define PAGE COLO_PAGE_SIZE

static void page_for(uint8_t *page, uint64_t gfn, uint64_t version)
{
    for (size_t i = 0; i < PAGE; i += 16) {
        memcpy(page + i, &gfn, 8);
        memcpy(page + i + 8, &version, 8);
    }
}

START_TEST(test_holds_nothing)
{
    struct colo_delta_cache *cache = colo__delta_cache_new(0);
    uint8_t page[PAGE] = { 0 };

    ck_assert_ptr_nonnull(cache);
    colo__delta_cache_put(cache, 1, page);
    ck_assert_ptr_null(colo__delta_cache_get(cache, 1));
    colo__delta_cache_drop(cache, 1);
    colo__delta_cache_clear(cache);
    colo__delta_cache_free(cache);
    colo__delta_cache_free(NULL);
}
END_TEST

START_TEST(test_last_put_is_got)
{
    struct colo_delta_cache *cache = colo__delta_cache_new(1);
    uint8_t page[PAGE];

    ck_assert_ptr_nonnull(cache);
    ck_assert_ptr_null(colo__delta_cache_get(cache, 0));
    for (uint64_t v = 0; v < 3; v++) {
        page_for(page, 5, v);
        colo__delta_cache_put(cache, 5, page);
        memset(page, 0, PAGE); /* it has a copy */
        page_for(page, 5, v);
        ck_assert_mem_eq(colo__delta_cache_get(cache, 5), page, PAGE);
    }
    ck_assert_ptr_null(colo__delta_cache_get(cache, 4));
    colo__delta_cache_put(cache, 4, page);
    colo__delta_cache_drop(cache, 4);
    colo__delta_cache_drop(cache, 3);
    ck_assert_ptr_null(colo__delta_cache_get(cache, 4));
    ck_assert_ptr_nonnull(colo__delta_cache_get(cache, 5));
    colo__delta_cache_clear(cache);
    ck_assert_ptr_null(colo__delta_cache_get(cache, 5));
    /* what marks an empty slot is no frame */
    colo__delta_cache_put(cache, UINT64_MAX, page);
    ck_assert_ptr_null(colo__delta_cache_get(cache, UINT64_MAX));
    colo__delta_cache_free(cache);
}
END_TEST

START_TEST(test_never_mixes_up)
{
    struct colo_delta_cache *cache = colo__delta_cache_new(2);
    uint64_t versions[2048] = { 0 }, seed = 17;
    unsigned int hits = 0;
    uint8_t page[PAGE];

    /* four times as many frames as it has room for */
    for (uint64_t i = 1; i <= 20000; i++) {
        uint64_t gfn = pure_random(&seed) % 2048;
        const uint8_t *got = colo__delta_cache_get(cache, gfn);

        if (got) {
            hits++;
            page_for(page, gfn, versions[gfn]);
            if (memcmp(got, page, PAGE))
                ck_abort_msg("frame %llu has another content",
                             (unsigned long long)gfn);
        }
        versions[gfn] = i;
        page_for(page, gfn, i);
        colo__delta_cache_put(cache, gfn, page);
        if (!colo__delta_cache_get(cache, gfn))
            ck_abort_msg("what was just put is gone");
    }
    ck_assert_uint_gt(hits, 20000 / 6);
    colo__delta_cache_free(cache);
}
END_TEST

START_TEST(test_uses_its_room)
{
    struct colo_delta_cache *cache = colo__delta_cache_new(4);
    uint8_t page[PAGE] = { 0 };
    unsigned int hits = 0;

    /* A run of frames that is half of the room stays in nearly whole, and
     * what is used again and again is not pushed out by a long run. */
    for (uint64_t gfn = 0; gfn < 512; gfn++)
        colo__delta_cache_put(cache, 0x7f000 + gfn, page);
    for (uint64_t gfn = 0; gfn < 512; gfn++)
        hits += colo__delta_cache_get(cache, 0x7f000 + gfn) != NULL;
    ck_assert_uint_gt(hits, 480);

    for (uint64_t gfn = 0; gfn < 20000; gfn++) {
        colo__delta_cache_put(cache, gfn, page);
        (void)colo__delta_cache_get(cache, 0x7f001);
    }
    ck_assert_ptr_nonnull(colo__delta_cache_get(cache, 0x7f001));
    ck_assert_ptr_null(colo__delta_cache_get(cache, 3));
    colo__delta_cache_free(cache);
}
END_TEST

PURE_MAIN("delta-cache", test_holds_nothing, test_last_put_is_got,
          test_never_mixes_up, test_uses_its_room)
