/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Reading and writing the guest's memory over a fake Xen: no call per page,
 * nothing of Xen's or dom0's touched, whatever frame the peer names.
 */
#include "pure-common.h"

#include "fake-xen.h"
#include "hv/hv-xen.h"

static uint8_t pages[1024][COLO_PAGE_SIZE], kinds[1024];
static uint64_t gfns[1024];

struct setup {
    struct colo_hv *hv;
    const struct colo_hv_ops *ops;
    struct colo_error err;
};

static void begin(struct setup *t, bool secondary)
{
    memset(t, 0, sizeof(*t));
    t->hv = fake_xen_start(secondary ? NULL : "7");
    t->ops = colo__hv_ops(t->hv);
    if (secondary)
        ck_assert_int_eq(colo__hv_xen_adopt(colo__hv_xen(t->hv), FAKE_DOMID,
                                            &t->err), 0);
}

static size_t range(uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        gfns[i - from] = i;
    return to - from;
}

static void read_all(struct setup *t, size_t n)
{
    memset(kinds, 0xee, sizeof(kinds));
    ck_assert_int_eq(t->ops->read(t->hv, gfns, n, pages[0], kinds, &t->err),
                     0);
}

START_TEST(test_read)
{
    struct setup t;
    size_t n;

    begin(&t, false);
    for (uint64_t i = 0; i < FAKE_GFNS; i++)
        memset(fake.pages[i], (int)i, COLO_PAGE_SIZE);
    n = range(500, 1500);
    for (int round = 0; round < 3; round++) {
        memset(pages, 0, sizeof(pages));
        read_all(&t, n);
        for (size_t i = 0; i < n; i++) {
            ck_assert_int_eq(kinds[i], COLO_PAGE_DATA);
            ck_assert_int_eq(pages[i][0], (uint8_t)gfns[i]);
            ck_assert_int_eq(pages[i][4095], (uint8_t)gfns[i]);
        }
        /* three windows, mapped once */
        ck_assert_int_eq(fake.maps, 3);
    }
    t.ops->close(t.hv);
}
END_TEST

START_TEST(test_kinds)
{
    struct setup t;
    int maps;

    begin(&t, false);
    fake.is_xen[1600] = true; /* e.g. the shared info page */
    gfns[0] = 1535;
    gfns[1] = 1536;
    gfns[2] = 1600;
    gfns[3] = FAKE_STORE;
    read_all(&t, 4);
    ck_assert_int_eq(kinds[0], COLO_PAGE_DATA);
    ck_assert_int_eq(kinds[1], COLO_PAGE_GONE);
    ck_assert_int_eq(kinds[2], COLO_PAGE_SKIP);
    ck_assert_int_eq(kinds[3], COLO_PAGE_SKIP);
    /* Xen's are remembered, */
    maps = fake.maps;
    gfns[0] = 1600;
    read_all(&t, 1);
    ck_assert_int_eq(kinds[0], COLO_PAGE_SKIP);
    ck_assert_int_eq(fake.maps, maps);
    /* holes are not: they may fill */
    fake.has[1536] = true;
    memset(fake.pages[1536], 0x33, COLO_PAGE_SIZE);
    gfns[0] = 1536;
    read_all(&t, 1);
    ck_assert_int_eq(kinds[0], COLO_PAGE_DATA);
    ck_assert_int_eq(pages[0][0], 0x33);
    t.ops->close(t.hv);
}
END_TEST

START_TEST(test_read_beyond)
{
    static const uint64_t bad[] = {
        UINT64_C(1) << 21, UINT64_C(1) << 39, UINT64_C(1) << 40, UINT64_MAX,
        UINT64_MAX / 2,
    };
    struct setup t;

    begin(&t, true);
    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        gfns[0] = bad[i];
        ck_assert_int_eq(t.ops->read(t.hv, gfns, 1, pages[0], kinds,
                                     &t.err), COLO_E_INVAL);
        ck_assert_int_eq(t.ops->write(t.hv, gfns, 1, pages[0], &t.err),
                         COLO_E_INVAL);
        ck_assert_int_eq(t.ops->write(t.hv, gfns, 1, NULL, &t.err),
                         COLO_E_INVAL);
    }
    t.ops->close(t.hv);
}
END_TEST

START_TEST(test_write)
{
    struct setup t;
    size_t n;

    begin(&t, true);
    n = range(1000, 1700);
    for (size_t i = 0; i < n; i++)
        memset(pages[i], (int)(gfns[i] * 3), COLO_PAGE_SIZE);
    ck_assert_int_eq(t.ops->write(t.hv, gfns, n, pages[0], &t.err), 0);
    ck_assert_int_eq(fake.populated, 1700 - 1536);
    read_all(&t, n);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(kinds[i], COLO_PAGE_DATA);
        ck_assert_int_eq(pages[i][7], (uint8_t)(gfns[i] * 3));
    }
    /* again: nothing to populate */
    ck_assert_int_eq(t.ops->write(t.hv, gfns, n, pages[0], &t.err), 0);
    ck_assert_int_eq(fake.populated, 1700 - 1536);
    /* away with some, of which some are not there */
    n = range(1690, 1710);
    ck_assert_int_eq(t.ops->write(t.hv, gfns, n, NULL, &t.err), 0);
    ck_assert_int_eq(fake.taken, 10);
    ck_assert(fake.has[1689] && !fake.has[1690]);
    t.ops->close(t.hv);
    /* it is in the guest, not only in our copy */
    ck_assert_int_eq(fake.pages[1689][0], (uint8_t)(1689 * 3));
}
END_TEST

/* dom0's rings stay, whatever the peer says */
START_TEST(test_write_spares)
{
    struct setup t;

    begin(&t, true);
    memset(fake.pages[FAKE_STORE], 0x11, COLO_PAGE_SIZE);
    memset(fake.pages[FAKE_CONSOLE], 0x11, COLO_PAGE_SIZE);
    memset(pages, 0x99, sizeof(pages));
    gfns[0] = FAKE_STORE - 1;
    gfns[1] = FAKE_STORE;
    gfns[2] = FAKE_CONSOLE;
    ck_assert_int_eq(t.ops->write(t.hv, gfns, 3, pages[0], &t.err), 0);
    ck_assert_int_eq(t.ops->write(t.hv, gfns, 3, NULL, &t.err), 0);
    ck_assert_int_eq(fake.taken, 1);
    t.ops->close(t.hv);
    ck_assert_int_eq(fake.pages[FAKE_STORE][0], 0x11);
    ck_assert_int_eq(fake.pages[FAKE_CONSOLE][0], 0x11);
    ck_assert(fake.has[FAKE_STORE] && fake.has[FAKE_CONSOLE]);
}
END_TEST

START_TEST(test_too_much)
{
    struct setup t;
    size_t n;

    begin(&t, true);
    fake.tot_pages = FAKE_GFNS - 5;
    n = range(1600, 1606);
    ck_assert_int_eq(t.ops->write(t.hv, gfns, n, pages[0], &t.err),
                     COLO_E_NOMEM);
    ck_text(t.err, "6 more pages");
    t.ops->close(t.hv);
}
END_TEST

START_TEST(test_wrong_side)
{
    struct setup t;

    begin(&t, false);
    range(1, 2);
    ck_assert_int_eq(t.ops->write(t.hv, gfns, 1, pages[0], &t.err),
                     COLO_E_STATE);
    fake.gone = true;
    ck_assert_int_eq(t.ops->read(t.hv, gfns, 1, pages[0], kinds, &t.err),
                     COLO_E_GUEST);
    t.ops->close(t.hv);
}
END_TEST

PURE_MAIN("hv-xen-memory", test_read, test_kinds, test_read_beyond,
          test_write, test_write_spares, test_too_much, test_wrong_side)
