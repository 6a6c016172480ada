/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The hazards that the simulated guest can be put to do what they say, so
 * that tests of the session may rest on them.
 */
#include "sim-pair.h"

static void still_guest(struct sim_pair *p)
{
    sim_pair_init(p);
    p->config.vcpu = SIM_VCPU_NONE;
    p->config.max_gfns = 1200;
    p->config.balloon_pages = 32;
}

static void seeded(struct sim_pair *p)
{
    sim_pair_start(p);
    sim_pair_seed(p);
    sim_ok(p, colo__hv_ops(p->hv)->stop->resume(p->hv, &p->err));
}

static uint64_t balloon_at(const struct sim_pair *p)
{
    return p->config.pulse.pages + p->config.ring_pages +
           p->config.special_pages;
}

START_TEST(tracking_switched_off)
{
    struct sim_pair p;
    bool lost;

    still_guest(&p);
    seeded(&p);
    ck_assert_int_eq(colo__hv_ops(p.hv)->track(p.hv, 1, &p.err),
                     COLO_E_EXISTS);
    sim_guest_steps(p.guest, 1);
    sim_guest_track_off(p.guest);
    ck_assert_uint_eq(sim_pair_copy(&p, COLO_DIRTY_CLEAN, &lost), 1024);
    ck_assert(lost);
    ck_text(p.err, "switched off");
    ck_assert_uint_eq(sim_guest_differ(p.guest, p.replica), UINT64_MAX);
    /* and it is on again */
    sim_guest_steps(p.guest, 1);
    ck_assert_uint_lt(sim_pair_copy(&p, COLO_DIRTY_CLEAN, &lost), 100);
    ck_assert(!lost);
    ck_assert_uint_eq(sim_guest_differ(p.guest, p.replica), UINT64_MAX);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(balloon_recorded)
{
    struct sim_pair p;
    struct colo_hv_info info;
    uint64_t before;
    bool lost;

    still_guest(&p);
    seeded(&p);
    sim_ok(&p, colo__hv_ops(p.hv)->info(p.hv, &info, &p.err));
    before = info.tot_pages;
    sim_guest_balloon(p.guest, balloon_at(&p), 32, true);
    sim_pair_copy(&p, COLO_DIRTY_CLEAN, &lost);
    ck_assert(!lost);
    sim_ok(&p, colo__hv_ops(p.hv)->info(p.hv, &info, &p.err));
    ck_assert_uint_eq(info.tot_pages, before - 32);
    ck_assert(!sim_guest_present(p.replica, balloon_at(&p)));
    sim_guest_balloon(p.guest, balloon_at(&p), 32, false);
    sim_pair_copy(&p, COLO_DIRTY_CLEAN, &lost);
    ck_assert(sim_guest_present(p.replica, balloon_at(&p)));
    ck_assert_uint_eq(sim_guest_differ(p.guest, p.replica), UINT64_MAX);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(balloon_unrecorded)
{
    struct sim_pair p;
    bool lost;

    still_guest(&p);
    p.config.p2m_unrecorded = true;
    seeded(&p);
    sim_guest_balloon(p.guest, balloon_at(&p), 8, true);
    ck_assert_uint_eq(sim_pair_copy(&p, COLO_DIRTY_CLEAN, &lost), 1024);
    ck_assert(lost);
    ck_assert_uint_eq(sim_guest_differ(p.guest, p.replica), UINT64_MAX);
    /* out and in again within one epoch: what such a Xen cannot tell */
    sim_guest_balloon(p.guest, balloon_at(&p) + 16, 8, true);
    sim_guest_balloon(p.guest, balloon_at(&p) + 16, 8, false);
    sim_pair_copy(&p, COLO_DIRTY_CLEAN, &lost);
    ck_assert(!lost);
    ck_assert_uint_eq(sim_guest_differ(p.guest, p.replica),
                      balloon_at(&p) + 16);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(growth)
{
    struct sim_pair p;
    struct colo_hv_info info;
    bool lost;

    still_guest(&p);
    seeded(&p);
    sim_guest_grow(p.guest, 100);
    memset(sim_guest_page(p.guest, 1100), 7, COLO_PAGE_SIZE);
    sim_guest_mark(p.guest, 1100);
    sim_pair_copy(&p, COLO_DIRTY_CLEAN, &lost);
    sim_ok(&p, colo__hv_ops(p.replica_hv)->info(p.replica_hv, &info, &p.err));
    ck_assert_uint_eq(info.nr_gfns, 1124);
    ck_assert_uint_eq(sim_guest_differ(p.guest, p.replica), UINT64_MAX);
    sim_guest_grow(p.guest, 1000); /* no further than max_gfns */
    sim_ok(&p, colo__hv_ops(p.hv)->info(p.hv, &info, &p.err));
    ck_assert_uint_eq(info.nr_gfns, 1200);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(kinds_of_frames)
{
    struct sim_pair p;
    uint64_t gfns[4], ring;
    uint8_t *pages = malloc(4 * COLO_PAGE_SIZE), kinds[4];
    bool lost;

    still_guest(&p);
    seeded(&p);
    ring = p.config.pulse.pages;
    gfns[0] = 0;
    gfns[1] = ring + p.config.ring_pages; /* special */
    gfns[2] = 1023;                       /* the hole */
    gfns[3] = 5000;                       /* no such frame */
    sim_ok(&p, colo__hv_ops(p.hv)->read(p.hv, gfns, 4, pages, kinds, &p.err));
    ck_assert_int_eq(kinds[0], COLO_PAGE_DATA);
    ck_assert_int_eq(kinds[1], COLO_PAGE_SKIP);
    ck_assert_int_eq(kinds[2], COLO_PAGE_GONE);
    ck_assert_int_eq(kinds[3], COLO_PAGE_GONE);
    sim_ok(&p, colo__hv_ops(p.hv)->dirty(p.hv, &p.bm, COLO_DIRTY_CLEAN, &lost,
                                         &p.err));
    colo__bitmap_zero(&p.bm);
    sim_guest_scribble(p.guest, ring, 1);
    sim_ok(&p, colo__hv_ops(p.hv)->dirty(p.hv, &p.bm, COLO_DIRTY_CLEAN, &lost,
                                         &p.err));
    ck_assert_uint_eq(colo__bitmap_count(&p.bm), 0);
    sim_ok(&p, colo__hv_ops(p.hv)->dirty(p.hv, &p.bm, COLO_DIRTY_FINAL, &lost,
                                         &p.err));
    ck_assert(colo__bitmap_test(&p.bm, ring));
    colo__bitmap_zero(&p.bm);
    sim_ok(&p, colo__hv_ops(p.hv)->unmarked(p.hv, &p.bm, &p.err));
    ck_assert_uint_eq(colo__bitmap_count(&p.bm), p.config.ring_pages);
    ck_assert(colo__bitmap_test(&p.bm, ring));
    free(pages);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(failures_as_asked_for)
{
    struct sim_pair p;
    struct colo_hv_info info;
    const struct colo_hv_ops *ops;

    still_guest(&p);
    seeded(&p);
    ops = colo__hv_ops(p.hv);
    sim_hv_fail(p.hv, SIM_OP_INFO, 2, COLO_E_HV, false);
    sim_ok(&p, ops->info(p.hv, &info, &p.err));
    ck_assert_int_eq(ops->info(p.hv, &info, &p.err), COLO_E_HV);
    ck_text(p.err, "info");
    sim_ok(&p, ops->info(p.hv, &info, &p.err));
    sim_hv_fail(p.hv, SIM_OP_REQUEST, 1, COLO_E_GUEST, true);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(ops->stop->request(p.hv, &p.err), COLO_E_GUEST);
    ck_assert_uint_eq(sim_hv_calls(p.hv, SIM_OP_REQUEST), 3);
    sim_pair_fini(&p);
}
END_TEST

PURE_MAIN("sim-hazards", tracking_switched_off, balloon_recorded,
          balloon_unrecorded, growth, kinds_of_frames, failures_as_asked_for)
