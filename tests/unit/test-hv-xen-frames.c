/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Frames with a story: those that never travel, those that backends may
 * write, and whether this Xen notes that memory came or went.
 */
#include "pure-common.h"

#include "hv/compat-xen.h"
#include "hv/grant-scan.h"
#include "hv/skip-set.h"

START_TEST(test_skip_set)
{
    const uint64_t values[COLO_SKIP_PARAMS] = {
        [COLO_SKIP_STORE] = 0xfeffc,
        [COLO_SKIP_CONSOLE] = 0xfefff,
        [COLO_SKIP_IOREQ] = 0xfeffd,
        [COLO_SKIP_BUFIOREQ] = 0xfeffb,
        [COLO_SKIP_IDENT_PT] = 0xfeffe000,
        [COLO_SKIP_SERVER] = 0xfeff0,
        [COLO_SKIP_NR_SERVER] = 8,
    };
    uint64_t set[16];
    size_t n = colo__skip_set(values, set, 16);

    ck_assert_uint_eq(n, 13);
    for (size_t i = 1; i < n; i++)
        ck_assert_uint_lt(set[i - 1], set[i]);
    for (uint64_t gfn = 0xfefe0; gfn < 0xff010; gfn++) {
        bool skip = (gfn >= 0xfeff0 && gfn < 0xfeff8) ||
                    (gfn >= 0xfeffb && gfn <= 0xfefff);

        ck_assert_int_eq(colo__skip_has(set, n, gfn), skip);
    }
    ck_assert(!colo__skip_has(set, n, 0));
    ck_assert(!colo__skip_has(set, 0, 0xfeffc));
}
END_TEST

START_TEST(test_skip_set_bounded)
{
    uint64_t values[COLO_SKIP_PARAMS] = { [COLO_SKIP_STORE] = 5 };
    uint64_t set[4];

    ck_assert_uint_eq(colo__skip_set(values, set, 4), 1);
    /* twice the same frame is one */
    values[COLO_SKIP_CONSOLE] = 5;
    ck_assert_uint_eq(colo__skip_set(values, set, 4), 1);
    values[COLO_SKIP_SERVER] = 100;
    values[COLO_SKIP_NR_SERVER] = UINT64_MAX;
    ck_assert_uint_eq(colo__skip_set(values, set, 4), 4);
    ck_assert_uint_eq(set[3], 102);
}
END_TEST

static const struct {
    uint16_t flags;
    bool writable, writing;
} grants[] = {
    { 0, false, false },
    { GTF_permit_access, true, false },
    { GTF_permit_access | GTF_readonly, false, false },
    { GTF_permit_access | GTF_readonly | GTF_reading, false, false },
    { GTF_permit_access | GTF_reading, true, false },
    { GTF_permit_access | GTF_reading | GTF_writing, true, true },
    { GTF_accept_transfer, false, false },
    { GTF_transitive, false, false },
    { GTF_transitive | GTF_writing, false, false },
};

#define NR_GRANTS COLO_ARRAY_LEN(grants)

static void check_grants(const struct colo_bitmap *bm, int which)
{
    for (size_t i = 0; i < NR_GRANTS; i++)
        ck_assert_int_eq(colo__bitmap_test(bm, 100 + i),
                         which == COLO_XEN_GRANT_WRITABLE ?
                         grants[i].writable : grants[i].writing);
}

START_TEST(test_grants_v1)
{
    struct grant_entry_v1 table[NR_GRANTS + 1];
    struct colo_bitmap bm;

    for (size_t i = 0; i < NR_GRANTS; i++)
        table[i] = (struct grant_entry_v1){ grants[i].flags, 0,
                                            (uint32_t)(100 + i) };
    /* a guest can write any frame number */
    table[NR_GRANTS] = (struct grant_entry_v1){ GTF_permit_access, 0,
                                                UINT32_MAX };
    for (int which = COLO_XEN_GRANT_WRITABLE;
         which <= COLO_XEN_GRANT_WRITING; which++) {
        colo__bitmap_init(&bm);
        ck_assert_int_eq(colo__bitmap_resize(&bm, 200), 0);
        colo__grant_scan_v1(table, NR_GRANTS + 1, which, &bm);
        check_grants(&bm, which);
        colo__bitmap_fini(&bm);
    }
}
END_TEST

START_TEST(test_grants_v2)
{
    union grant_entry_v2 table[NR_GRANTS] = { 0 };
    uint16_t status[NR_GRANTS];
    struct colo_bitmap bm;

    /* reading and writing are in the status words, and only there */
    for (size_t i = 0; i < NR_GRANTS; i++) {
        table[i].hdr.flags = grants[i].flags &
                             (uint16_t)~(GTF_reading | GTF_writing);
        table[i].full_page.frame = 100 + i;
        status[i] = grants[i].flags & (GTF_reading | GTF_writing);
    }
    table[1].sub_page.page_off = 16;
    table[1].hdr.flags |= GTF_sub_page;
    for (int which = COLO_XEN_GRANT_WRITABLE;
         which <= COLO_XEN_GRANT_WRITING; which++) {
        colo__bitmap_init(&bm);
        ck_assert_int_eq(colo__bitmap_resize(&bm, 200), 0);
        colo__grant_scan_v2(table, status, NR_GRANTS, which, &bm);
        check_grants(&bm, which);
        colo__bitmap_fini(&bm);
    }
}
END_TEST

START_TEST(test_p2m_tracked)
{
    static const struct {
        unsigned major, minor;
        const char *extra;
        bool tracked;
    } cases[] = {
        { 4, 17, ".7", false }, { 4, 18, ".99", false },
        { 4, 19, ".4", false }, { 4, 19, ".5", true },
        { 4, 19, ".5-pre", false }, { 4, 19, ".6-pre", true },
        { 4, 20, ".2", false }, { 4, 20, ".3", true },
        { 4, 20, ".5-pre", true }, { 4, 20, ".4+63-g7abfd2bce2", true },
        { 4, 21, ".0", false }, { 4, 21, ".1", true },
        { 4, 21, "-unstable", false }, { 4, 21, "", false },
        { 4, 21, ".", false }, { 4, 21, ".0-pre", false },
        { 4, 22, "", true }, { 5, 0, "", true }, { 3, 99, ".9", false },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++)
        ck_assert_int_eq(compat_p2m_is_tracked(cases[i].major,
                                               cases[i].minor,
                                               cases[i].extra),
                         cases[i].tracked);
}
END_TEST

PURE_MAIN("hv-xen-frames", test_skip_set, test_skip_set_bounded,
          test_grants_v1, test_grants_v2, test_p2m_tracked)
