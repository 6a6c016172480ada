/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The order of an epoch's pages, against a table of what was written last.
 */
#include "pure-common.h"

#include "../../remus-compat/gate/order.h"

#define FRAMES 64u

static void put(struct colo_epoch *e, uint64_t gfn, uint64_t mark)
{
    uint8_t *page = colo__epoch_page(e, e->count);

    memset(page, (int)mark, COLO_PAGE_SIZE);
    memcpy(page, &mark, sizeof(mark));
    memcpy(page + COLO_PAGE_SIZE - sizeof(mark), &mark, sizeof(mark));
    e->gfns[e->count++] = gfn;
}

static void check(struct colo_epoch *e, const uint64_t *last)
{
    uint64_t n = 0, top = 0;

    ck_assert_int_eq(gate_order(e, NULL), 0);
    for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
        const uint8_t *page = colo__epoch_page(e, n);

        if (!last[gfn])
            continue;
        ck_assert_uint_lt(n, e->count);
        ck_assert_uint_eq(e->gfns[n], gfn);
        ck_assert_int_eq(memcmp(page, &last[gfn], 8), 0);
        ck_assert_int_eq(memcmp(page + COLO_PAGE_SIZE - 8, &last[gfn], 8), 0);
        top = gfn;
        n++;
    }
    ck_assert_uint_eq(e->count, n);
    ck_assert_uint_eq(e->nr_gfns, top + 1);
}

START_TEST(any_order)
{
    struct colo_epoch e = { 0 };
    uint64_t state = 42;

    ck_assert_int_eq(colo__epoch_init(&e, 4 * FRAMES, NULL), 0);
    for (int round = 0; round < 300; round++) {
        uint64_t last[FRAMES] = { 0 }, n = pure_random(&state) % FRAMES;

        colo__epoch_reset(&e, 1, UINT64_MAX);
        for (uint64_t i = 0; i < 2 * n; i++) {
            uint64_t gfn = pure_random(&state) % FRAMES;

            /* what stock Xen sends, with some at the end: every other time */
            if (round % 2)
                gfn = i < n ? i : gfn;
            last[gfn] = i + 1;
            put(&e, gfn, i + 1);
        }
        check(&e, last);
    }
    colo__epoch_fini(&e);
}
END_TEST

START_TEST(in_order)
{
    struct colo_epoch e = { 0 };
    uint64_t last[FRAMES] = { 0 };

    ck_assert_int_eq(colo__epoch_init(&e, FRAMES, NULL), 0);
    check(&e, last); /* nothing */
    for (uint64_t gfn = 0; gfn < FRAMES; gfn += 3) {
        last[gfn] = gfn + 7;
        put(&e, gfn, gfn + 7);
    }
    check(&e, last);
    colo__epoch_fini(&e);
}
END_TEST

PURE_MAIN("gate-order", any_order, in_order)
