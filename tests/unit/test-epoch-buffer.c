/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The epoch buffer: reserves much, uses little, keeps content when it
 * grows, and gives memory back above the mark.
 */
#include "pure-common.h"

#include <sys/mman.h>

#include "pure/epoch.h"

#define GIB_PAGES (UINT64_C(1) << 18)

/* pages of [p, p + n) that have memory */
static size_t resident(const uint8_t *p, size_t n)
{
    unsigned char *vec = malloc(n);
    size_t count = 0;

    ck_assert_ptr_nonnull(vec);
    ck_assert_int_eq(mincore((void *)(uintptr_t)p, n * COLO_PAGE_SIZE, vec),
                     0);
    for (size_t i = 0; i < n; i++)
        count += vec[i] & 1;
    free(vec);
    return count;
}

static void put_page(struct colo_epoch *epoch, uint64_t gfn)
{
    ck_assert_uint_lt(epoch->count, epoch->cap);
    epoch->gfns[epoch->count] = gfn;
    memset(colo__epoch_page(epoch, epoch->count), (int)(gfn % 251) + 1,
           COLO_PAGE_SIZE);
    epoch->count++;
}

START_TEST(test_large_reservation)
{
    struct colo_epoch epoch;
    struct colo_error err;

    /* a guest of 16 GiB costs address space only (valgrind has no room
     * for much more) */
    ck_assert_int_eq(colo__epoch_init(&epoch, 16 * GIB_PAGES, &err), 0);
    ck_assert_uint_eq(epoch.cap, 16 * GIB_PAGES);
    ck_assert_uint_eq(epoch.count, 0);
    put_page(&epoch, 1);
    epoch.gfns[epoch.cap - 1] = 5;
    memset(colo__epoch_page(&epoch, epoch.cap - 1), 1, COLO_PAGE_SIZE);
    colo__epoch_fini(&epoch);
    ck_assert_ptr_null(epoch.pages);
    colo__epoch_fini(&epoch);
}
END_TEST

START_TEST(test_absurd_size)
{
    struct colo_epoch epoch;
    struct colo_error err;

    ck_assert_int_eq(colo__epoch_init(&epoch, UINT64_MAX, &err),
                     COLO_E_NOMEM);
    ck_text(err, "too large");
    ck_assert_ptr_null(epoch.pages);
    /* below the limit, but more than there are addresses */
    ck_assert_int_eq(colo__epoch_init(&epoch, UINT64_C(1) << 40, &err),
                     COLO_E_NOMEM);
    ck_text(err, "address space");
    ck_assert_ptr_null(epoch.pages);
    colo__epoch_fini(&epoch);
}
END_TEST

START_TEST(test_grow_keeps)
{
    struct colo_epoch epoch;
    struct colo_error err;
    uint8_t *state;

    ck_assert_int_eq(colo__epoch_init(&epoch, 100, &err), 0);
    colo__epoch_reset(&epoch, 42, UINT64_MAX);
    for (uint64_t i = 0; i < 100; i++)
        put_page(&epoch, i * 3);
    for (uint64_t i = 0; i < 100; i++) {
        ck_assert_int_eq(colo__epoch_add_gone(&epoch, i, &err), 0);
        ck_assert_int_eq(colo__epoch_add_audit(&epoch, i, ~i, &err), 0);
    }
    state = colo__epoch_state_room(&epoch, 10);
    memset(state, 7, 10);
    epoch.state_len = 10;

    ck_assert_int_eq(colo__epoch_grow(&epoch, 50, &err), 0);
    ck_assert_uint_eq(epoch.cap, 100);
    ck_assert_int_eq(colo__epoch_grow(&epoch, GIB_PAGES, &err), 0);
    ck_assert_uint_eq(epoch.cap, GIB_PAGES);
    ck_assert_uint_eq(epoch.number, 42);
    ck_assert_uint_eq(epoch.count, 100);
    for (uint64_t i = 0; i < 100; i++) {
        ck_assert_uint_eq(epoch.gfns[i], i * 3);
        ck_assert_uint_eq(colo__epoch_page(&epoch, i)[4095],
                          i * 3 % 251 + 1);
        ck_assert_uint_eq(epoch.gone[i], i);
        ck_assert_uint_eq(epoch.audit_gfns[i], i);
        ck_assert_uint_eq(epoch.audit_hashes[i], ~i);
    }
    ck_assert_ptr_eq(epoch.state, state);
    ck_assert_uint_eq(state[9], 7);
    put_page(&epoch, 1000);

    /* what cannot be had changes nothing */
    ck_assert_int_eq(colo__epoch_grow(&epoch, UINT64_C(1) << 40, &err),
                     COLO_E_NOMEM);
    ck_assert_int_eq(colo__epoch_grow(&epoch, UINT64_MAX, &err),
                     COLO_E_NOMEM);
    ck_assert_uint_eq(epoch.cap, GIB_PAGES);
    ck_assert_uint_eq(epoch.gfns[100], 1000);
    ck_assert_uint_eq(colo__epoch_page(&epoch, 99)[0], 99 * 3 % 251 + 1);
    colo__epoch_fini(&epoch);
}
END_TEST

START_TEST(test_full)
{
    struct colo_epoch epoch;
    struct colo_error err;

    ck_assert_int_eq(colo__epoch_init(&epoch, 2, &err), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(colo__epoch_add_gone(&epoch, 1, &err), 0);
        ck_assert_int_eq(colo__epoch_add_audit(&epoch, 1, 1, &err), 0);
    }
    ck_assert_int_eq(colo__epoch_add_gone(&epoch, 1, &err), COLO_E_LIMIT);
    ck_text(err, "removed");
    ck_assert_int_eq(colo__epoch_add_audit(&epoch, 1, 1, &err),
                     COLO_E_LIMIT);
    ck_text(err, "audited");
    ck_assert_uint_eq(epoch.gone_count, 2);
    ck_assert_uint_eq(epoch.audit_count, 2);
    ck_assert_ptr_eq(colo__epoch_state_room(&epoch, epoch.state_cap),
                     epoch.state);
    ck_assert_ptr_null(colo__epoch_state_room(&epoch, epoch.state_cap + 1));
    ck_assert_ptr_null(colo__epoch_state_room(&epoch, UINT32_MAX));
    colo__epoch_fini(&epoch);

    ck_assert_int_eq(colo__epoch_init(&epoch, 0, &err), 0);
    ck_assert_int_eq(colo__epoch_add_gone(&epoch, 1, &err), COLO_E_LIMIT);
    colo__epoch_fini(&epoch);
}
END_TEST

START_TEST(test_reset_trims)
{
    struct colo_epoch epoch;
    struct colo_error err;

    ck_assert_int_eq(colo__epoch_init(&epoch, GIB_PAGES, &err), 0);
    for (uint64_t i = 0; i < 2048; i++)
        put_page(&epoch, i);
    colo__epoch_add_gone(&epoch, 1, &err);
    epoch.state_len = 3;
    epoch.nr_gfns = 9;

    colo__epoch_reset(&epoch, 8, UINT64_MAX);
    ck_assert_uint_eq(epoch.number, 8);
    ck_assert_uint_eq(epoch.count, 0);
    ck_assert_uint_eq(epoch.gone_count, 0);
    ck_assert_uint_eq(epoch.state_len, 0);
    ck_assert_uint_eq(epoch.nr_gfns, 0);
    ck_assert_uint_eq(resident(epoch.pages, 2048), 2048);

    /* the mark is of earlier epochs too, not of the last alone */
    put_page(&epoch, 1);
    colo__epoch_reset(&epoch, 9, 1024);
    ck_assert_uint_eq(resident(epoch.pages, 1024), 1024);
    ck_assert_uint_eq(resident(colo__epoch_page(&epoch, 1024), 1024), 0);
    ck_assert_uint_eq(epoch.touched, 1024);

    /* and what was given back is there again, empty */
    ck_assert_uint_eq(colo__epoch_page(&epoch, 2000)[0], 0);
    colo__epoch_fini(&epoch);
}
END_TEST

START_TEST(test_prepare)
{
    struct colo_epoch epoch;
    struct colo_error err;

    ck_assert_int_eq(colo__epoch_init(&epoch, 700, &err), 0);
    colo__epoch_prepare(&epoch, 300);
    if (epoch.touched == 0) /* a kernel before 5.14, or an emulator */
        goto out;
    ck_assert_uint_eq(epoch.touched, 300);
    ck_assert_uint_eq(resident(epoch.pages, 300), 300);
    colo__epoch_prepare(&epoch, 200);
    ck_assert_uint_eq(epoch.touched, 300);
    colo__epoch_prepare(&epoch, UINT64_MAX);
    ck_assert_uint_eq(epoch.touched, 700);
    ck_assert_uint_eq(resident(epoch.pages, 700), 700);
    colo__epoch_reset(&epoch, 1, 0);
    ck_assert_uint_eq(resident(epoch.pages, 700), 0);
    ck_assert_uint_eq(epoch.touched, 0);
out:
    colo__epoch_fini(&epoch);
}
END_TEST

PURE_MAIN("epoch-buffer", test_large_reservation, test_absurd_size,
          test_grow_keeps, test_full, test_reset_trims, test_prepare)
