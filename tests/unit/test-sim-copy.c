/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The simulated guest can be copied: a seed, live rounds while it runs, and
 * what is left after a stop make a replica that is exactly one step of it,
 * and that runs on.
 */
#include "sim-pair.h"

static void fast_guest(struct sim_pair *p)
{
    sim_pair_init(p);
    p->config.step_us = 0; /* writes while we copy, all the time */
    p->config.ring_every = 3;
    p->config.context_pad = 100;
}

START_TEST(seed_is_one_step)
{
    struct sim_pair p;

    fast_guest(&p);
    sim_pair_start(&p);
    ck_assert(sim_guest_wait_steps(p.guest, 20, 5000));
    sim_pair_seed(&p);
    sim_pair_verify(&p);
    ck_assert_uint_eq(sim_guest_differ(p.guest, p.replica), UINT64_MAX);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(live_rounds_lose_nothing)
{
    struct sim_pair p;
    struct sim_look look;
    bool lost;

    fast_guest(&p);
    sim_pair_start(&p);
    sim_pair_seed(&p);
    sim_ok(&p, colo__hv_ops(p.hv)->stop->resume(p.hv, &p.err));
    for (int i = 0; i < 60; i++) {
        for (int live = 0; live < 3; live++) {
            sim_pair_copy(&p, COLO_DIRTY_CLEAN, &lost);
            ck_assert(!lost);
        }
        sim_pair_checkpoint(&p, true);
        sim_pair_verify(&p);
    }
    sim_pair_checkpoint(&p, false);
    ck_assert_uint_eq(sim_guest_differ(p.guest, p.replica), UINT64_MAX);
    sim_guest_look(p.guest, &look);
    ck_assert_uint_gt(look.steps, 60);
    ck_assert_uint_eq(look.bad, 0);
    sim_pair_fini(&p);
}
END_TEST

/* The guard of the two above: a copy that leaves one frame out, or takes the
 * set and copies nothing of it, is told. */
START_TEST(a_lost_page_is_seen)
{
    struct sim_pair p;
    char why[256];
    bool lost;

    sim_pair_init(&p);
    p.config.vcpu = SIM_VCPU_NONE;
    sim_pair_start(&p);
    sim_pair_seed(&p);
    sim_ok(&p, colo__hv_ops(p.hv)->stop->resume(p.hv, &p.err));
    sim_guest_steps(p.guest, 1);
    sim_ok(&p, colo__hv_ops(p.hv)->dirty(p.hv, &p.bm, COLO_DIRTY_CLEAN, &lost,
                                         &p.err));
    ck_assert_uint_gt(colo__bitmap_count(&p.bm), 10);
    sim_guest_steps(p.guest, 1);
    sim_pair_checkpoint(&p, true);
    ck_assert(!sim_guest_verify(p.replica, &p.config, why, sizeof(why)));
    ck_assert_uint_ne(sim_guest_differ(p.guest, p.replica), UINT64_MAX);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(replica_runs_on)
{
    struct sim_pair p;
    struct sim_look look;

    fast_guest(&p);
    sim_pair_start(&p);
    sim_pair_seed(&p);
    sim_ok(&p, colo__hv_ops(p.hv)->stop->resume(p.hv, &p.err));
    ck_assert(sim_guest_wait_steps(p.guest, 50, 5000));
    sim_pair_checkpoint(&p, false);
    sim_guest_look(p.replica, &look);
    ck_assert_int_eq(look.state, COLO_HV_PAUSED);
    sim_ok(&p, colo__hv_ops(p.replica_hv)->life->start(p.replica_hv, &p.err));
    ck_assert(sim_guest_wait_steps(p.replica, look.steps + 600, 5000));
    sim_guest_look(p.replica, &look);
    ck_assert_int_eq(look.state, COLO_HV_RUNNING);
    ck_assert_uint_eq(look.bad, 0);
    sim_ok(&p, colo__hv_ops(p.replica_hv)->life->destroy(p.replica_hv,
                                                         &p.err));
    sim_guest_look(p.replica, &look);
    ck_assert_int_eq(look.state, COLO_HV_GONE);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(context_is_checked)
{
    struct sim_pair p;
    const struct colo_machine_ops *to;
    uint8_t buf[1024];
    uint32_t len;

    fast_guest(&p);
    sim_pair_start(&p);
    sim_pair_seed(&p);
    to = colo__hv_ops(p.replica_hv)->machine;
    ck_assert_int_eq(colo__hv_ops(p.hv)->machine->get(p.hv, buf, 16, &len,
                                                      &p.err),
                     COLO_E_LIMIT);
    ck_assert_uint_gt(len, 100);
    sim_ok(&p, colo__hv_ops(p.hv)->machine->get(p.hv, buf, sizeof(buf), &len,
                                                &p.err));
    sim_ok(&p, to->check(p.replica_hv, buf, len, &p.err));
    ck_assert_int_lt(to->check(p.replica_hv, buf, len - 1, &p.err), 0);
    ck_assert_int_lt(to->check(p.replica_hv, buf, 0, &p.err), 0);
    for (uint32_t i = 0; i < len; i++) {
        buf[i] ^= 1;
        ck_assert_msg(to->check(p.replica_hv, buf, len, &p.err) < 0,
                      "byte %u", i);
        ck_assert_int_lt(to->set(p.replica_hv, buf, len, &p.err), 0);
        buf[i] ^= 1;
    }
    sim_pair_verify(&p);
    sim_pair_fini(&p);
}
END_TEST

PURE_MAIN("sim-copy", seed_is_one_step, live_rounds_lose_nothing,
          a_lost_page_is_seen, replica_runs_on, context_is_checked)
