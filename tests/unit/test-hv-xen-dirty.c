/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The record of writes over a fake Xen: what is reported, what never is, and
 * every way in which the record can be lost without Xen saying so.
 */
#include "pure-common.h"

#include <unistd.h>

#include "fake-xen.h"
#include "hv/hv-xen.h"

#define FINAL (COLO_DIRTY_CLEAN | COLO_DIRTY_FINAL)

struct setup {
    struct colo_hv *hv;
    const struct colo_hv_ops *ops;
    struct colo_bitmap bm;
    struct colo_error err;
    bool lost;
};

static void begin(struct setup *t)
{
    memset(t, 0, sizeof(*t));
    t->hv = fake_xen_start("7");
    t->ops = colo__hv_ops(t->hv);
    ck_assert_int_eq(t->ops->track(t->hv, 1, &t->err), 0);
}

static void end(struct setup *t)
{
    t->ops->close(t->hv);
    colo__bitmap_fini(&t->bm);
    /* tracking does not outlive us */
    ck_assert(!fake.log_dirty);
}

/* how many frames are reported */
static uint64_t dirty(struct setup *t, uint32_t flags)
{
    colo__bitmap_zero(&t->bm);
    t->lost = false;
    ck_assert_int_eq(t->ops->dirty(t->hv, &t->bm, flags, &t->lost, &t->err),
                     0);
    return colo__bitmap_count(&t->bm);
}

START_TEST(test_plain)
{
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->track(t.hv, 1, &t.err), COLO_E_EXISTS);
    fake_xen_touch(5);
    fake_xen_touch(1535);
    fake_xen_touch(FAKE_STORE);
    fake_xen_touch(FAKE_CONSOLE);
    ck_assert_uint_eq(dirty(&t, 0), 2);
    ck_assert_uint_eq(dirty(&t, FINAL), 2);
    ck_assert(colo__bitmap_test(&t.bm, 5) && colo__bitmap_test(&t.bm, 1535));
    ck_assert(!t.lost);
    ck_assert_int_eq(fake.peeks, 1);
    ck_assert_int_eq(fake.cleans, 1);
    ck_assert_int_eq(fake.finals, 1);
    /* a live round may find nothing */
    ck_assert_uint_eq(dirty(&t, COLO_DIRTY_CLEAN), 0);
    ck_assert(!t.lost);
    /* what is there already stays */
    fake_xen_touch(9);
    colo__bitmap_set(&t.bm, 6);
    ck_assert_int_eq(t.ops->dirty(t.hv, &t.bm, COLO_DIRTY_CLEAN, &t.lost,
                                  &t.err), 0);
    ck_assert(colo__bitmap_test(&t.bm, 6) && colo__bitmap_test(&t.bm, 9));
    end(&t);
}
END_TEST

START_TEST(test_not_tracking)
{
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->track(t.hv, 0, &t.err), 0);
    ck_assert_int_eq(t.ops->dirty(t.hv, &t.bm, FINAL, &t.lost, &t.err),
                     COLO_E_STATE);
    end(&t);
}
END_TEST

/* lost: all memory, without what never travels; then all is well again */
static void expect_lost(struct setup *t, const char *why, uint64_t count)
{
    ck_assert_uint_eq(dirty(t, FINAL), count);
    ck_assert(t->lost);
    ck_text(t->err, why);
    ck_assert(!colo__bitmap_test(&t->bm, FAKE_STORE));
    fake_xen_touch(3);
    ck_assert_uint_eq(dirty(t, FINAL), 1);
    ck_assert(!t->lost);
}

START_TEST(test_somebody_off)
{
    struct setup t;

    begin(&t);
    fake_xen_touch(5);
    xc_shadow_control(NULL, FAKE_DOMID, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
    fake_xen_touch(6);
    expect_lost(&t, "switched", 1536);
    end(&t);
}
END_TEST

/* what a save by libxl does first: no call fails, nothing is zero */
START_TEST(test_somebody_off_and_on)
{
    struct setup t;

    begin(&t);
    fake_xen_touch(5);
    xc_shadow_control(NULL, FAKE_DOMID, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
    xc_shadow_control(NULL, FAKE_DOMID,
                      XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0);
    fake_xen_touch(6);
    fake_xen_touch(FAKE_STORE);
    expect_lost(&t, "somebody else", 1536);
    end(&t);
}
END_TEST

START_TEST(test_somebody_cleaned)
{
    struct setup t;

    begin(&t);
    fake_xen_touch(5);
    memset(fake.dirty, 0, sizeof(fake.dirty));
    fake_xen_touch(6);
    fake_xen_touch(FAKE_STORE);
    expect_lost(&t, "somebody else", 1536);
    end(&t);
}
END_TEST

START_TEST(test_nothing_at_all)
{
    struct setup t;

    begin(&t);
    expect_lost(&t, "nothing was recorded", 1536);
    /* not for a guest that does not suspend itself, nor after a seed */
    ck_assert_uint_eq(dirty(&t, FINAL | COLO_DIRTY_SEED), 0);
    ck_assert(!t.lost);
    end(&t);
}
END_TEST

/* nowhere to leave a mark: not every look may cry wolf */
START_TEST(test_no_sentinel)
{
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->track(t.hv, 0, &t.err), 0);
    fake.has[FAKE_PAGING] = false;
    fake.tot_pages--;
    ck_assert_int_eq(t.ops->track(t.hv, 1, &t.err), 0);
    fake_xen_touch(5);
    ck_assert_uint_eq(dirty(&t, FINAL), 1);
    ck_assert(!t.lost);
    end(&t);
}
END_TEST

START_TEST(test_no_memory)
{
    struct setup t;

    begin(&t);
    fake_xen_touch(5);
    fake.enomem = true;
    expect_lost(&t, "memory", 1536);
    ck_assert_int_eq(fake.offs, 1);
    ck_assert(fake.log_dirty);
    end(&t);
}
END_TEST

static void balloon(uint64_t gfn, bool in)
{
    fake.has[gfn] = in;
    fake.tot_pages += in ? 1 : (uint64_t)-1;
}

START_TEST(test_balloon)
{
    uint64_t gfns[3] = { 10, 11, 12 };
    uint8_t pages[3][COLO_PAGE_SIZE], kinds[3];
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->read(t.hv, gfns, 3, pages[0], kinds, &t.err), 0);
    fake_xen_touch(5);
    balloon(11, false);
    /* the one that had memory is in the set, so that its loss is seen */
    ck_assert_uint_eq(dirty(&t, FINAL), 1536);
    ck_assert(t.lost);
    ck_text(t.err, "grown or shrunk");
    ck_assert_int_eq(t.ops->read(t.hv, gfns, 3, pages[0], kinds, &t.err), 0);
    ck_assert_int_eq(kinds[0], COLO_PAGE_DATA);
    ck_assert_int_eq(kinds[1], COLO_PAGE_GONE);
    ck_assert_int_eq(kinds[2], COLO_PAGE_DATA);
    balloon(11, true);
    memset(fake.pages[11], 0x77, COLO_PAGE_SIZE);
    ck_assert_uint_eq(dirty(&t, FINAL), 1536);
    ck_assert(t.lost);
    ck_assert_int_eq(t.ops->read(t.hv, gfns, 3, pages[0], kinds, &t.err), 0);
    ck_assert_int_eq(kinds[1], COLO_PAGE_DATA);
    ck_assert_int_eq(pages[1][0], 0x77);
    end(&t);
}
END_TEST

/* A Xen that marks what came: no full resync, but no stale map either. */
START_TEST(test_balloon_tracked)
{
    uint64_t gfn = 2000;
    uint8_t page[COLO_PAGE_SIZE], kind;
    struct setup t;

    begin(&t);
    colo__hv_xen(t.hv)->dirty.p2m_tracked = true;
    gfn = 11;
    ck_assert_int_eq(t.ops->read(t.hv, &gfn, 1, page, &kind, &t.err), 0);
    fake_xen_touch(5);
    balloon(12, false);
    memset(fake.pages[11], 0x55, COLO_PAGE_SIZE);
    ck_assert_uint_eq(dirty(&t, FINAL), 1);
    ck_assert(!t.lost);
    ck_assert_int_eq(t.ops->read(t.hv, &gfn, 1, page, &kind, &t.err), 0);
    ck_assert_int_eq(page[0], 0x55);
    end(&t);
}
END_TEST

START_TEST(test_grows)
{
    struct setup t;

    begin(&t);
    fake_xen_touch(1);
    ck_assert_uint_eq(dirty(&t, FINAL), 1);
    ck_assert_uint_eq(t.bm.bits, FAKE_GFNS);
    fake.nr_gfns = FAKE_MAX_GFNS - 3;
    fake_xen_touch(FAKE_MAX_GFNS - 4);
    fake_xen_touch(1);
    ck_assert_uint_eq(dirty(&t, FINAL), 2);
    ck_assert_uint_eq(t.bm.bits, FAKE_MAX_GFNS - 3);
    ck_assert(!t.lost);
    end(&t);
}
END_TEST

START_TEST(test_grants)
{
    struct setup t;

    begin(&t);
    fake.grant_frames = 2;
    fake.grants[8][0] = 1;              /* writable */
    fake.grants[8][1] = 200;
    fake.grants[9][0] = 1 | 4;          /* read-only */
    fake.grants[9][1] = 201;
    fake.grants[1023][0] = 1 | 8 | 16;  /* mapped for writing */
    fake.grants[1023][1] = 202;
    fake_xen_touch(1);
    ck_assert_uint_eq(dirty(&t, COLO_DIRTY_CLEAN), 1);
    fake_xen_touch(1);
    ck_assert_uint_eq(dirty(&t, FINAL), 2);
    ck_assert(colo__bitmap_test(&t.bm, 202));
    ck_assert_uint_eq(dirty(&t, COLO_DIRTY_SEED), 2);
    ck_assert(colo__bitmap_test(&t.bm, 200) &&
              colo__bitmap_test(&t.bm, 202));
    colo__bitmap_zero(&t.bm);
    ck_assert_int_eq(t.ops->unmarked(t.hv, &t.bm, &t.err), 0);
    ck_assert_uint_eq(colo__bitmap_count(&t.bm), 2);
    /* the table grows, and is mapped as it is then */
    fake.grant_frames = 1;
    fake_xen_touch(1);
    ck_assert_uint_eq(dirty(&t, FINAL), 1);
    end(&t);
}
END_TEST

START_TEST(test_gone)
{
    struct setup t;

    begin(&t);
    fake.gone = true;
    ck_assert_int_eq(t.ops->dirty(t.hv, &t.bm, FINAL, &t.lost, &t.err),
                     COLO_E_GUEST);
    ck_assert_int_eq(t.ops->track(t.hv, 0, &t.err), COLO_E_GUEST);
    t.ops->close(t.hv);
    colo__bitmap_fini(&t.bm);
}
END_TEST

/* The target's watch fires once at once; later it means that the balloon
 * moves: then nothing stays mapped. */
START_TEST(test_target)
{
    uint64_t gfn = 5;
    uint8_t page[COLO_PAGE_SIZE], kind;
    struct setup t;

    begin(&t);
    fake.fired = "target";
    for (int i = 0; i < 2; i++) {
        int maps;

        ck_assert_int_eq(write(fake.watch_fd[1], "w", 1), 1);
        ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
        fake_xen_touch(5);
        dirty(&t, FINAL);
        ck_assert_int_eq(t.ops->read(t.hv, &gfn, 1, page, &kind, &t.err), 0);
        maps = fake.maps;
        fake_xen_touch(5);
        dirty(&t, FINAL);
        ck_assert_int_eq(t.ops->read(t.hv, &gfn, 1, page, &kind, &t.err), 0);
        ck_assert_int_eq(fake.maps, maps + i);
        ck_assert(!t.lost);
    }
    end(&t);
}
END_TEST

PURE_MAIN("hv-xen-dirty", test_plain, test_not_tracking, test_somebody_off,
          test_somebody_off_and_on, test_somebody_cleaned,
          test_nothing_at_all, test_no_sentinel, test_no_memory, test_balloon,
          test_balloon_tracked, test_grows, test_grants, test_gone,
          test_target)
