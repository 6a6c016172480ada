/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Every call of the hypervisor seam fails once, at the first use and in the
 * middle of protection, on either side; and the guest changes between two looks
 * at it.  The session ends with that error or goes on, the primary's guest
 * runs, the replica is gone or right, and nothing hangs.
 */
#include "session-pair.h"

#include "pure-common.h"

static const char *const op_names[SIM_OP_COUNT] = {
    "poll", "info", "track", "dirty", "unmarked", "read", "write", "request",
    "cancel", "resume", "get", "check", "set", "seed_out", "seed_in", "start",
    "destroy", "end", "abandon", "run",
};

static void judge(struct session_pair *t, const char *side, int op, int when)
{
    struct sim_guest *replica = sim_hv_guest(t->s.hv);
    int runs_here = guest_state(t->guest) == COLO_HV_RUNNING;

    ck_assert_msg(runs_here, "%s %s (%d): the primary's guest is in state %d",
                  side, op_names[op], when, guest_state(t->guest));
    if (replica)
        ck_assert_msg(guest_state(replica) != COLO_HV_RUNNING,
                      "%s %s (%d): both run", side, op_names[op], when);
}

static void try_fault(bool primary, int op, int when)
{
    struct session_pair t;
    struct side *side;

    pair_init(&t);
    t.p.config.interval_ms = 1;
    pair_open(&t, NULL, NULL);
    side = primary ? &t.p : &t.s;
    if (when == 0)
        sim_hv_fail(side->hv, op, 1, COLO_E_HV, false);
    else
        pair_protected(&t, 5);
    if (when == 1)
        sim_hv_fail(side->hv, op, 1, COLO_E_HV, false);
    pair_run_on(&t);
    judge(&t, primary ? "primary" : "secondary", op, when);
    pair_close(&t);
}

START_TEST(primary_calls_fail)
{
    for (int op = 0; op < SIM_OP_COUNT; op++) {
        try_fault(true, op, 0);
        try_fault(true, op, 1);
    }
}
END_TEST

START_TEST(secondary_calls_fail)
{
    for (int op = 0; op < SIM_OP_COUNT; op++) {
        try_fault(false, op, 0);
        try_fault(false, op, 1);
    }
}
END_TEST

/* ---- what the guest does between two looks ------------------------------ */

static struct session_pair *watched;
static int steps_done;

static void grow_at_live(void *user, const char *step)
{
    (void)user;
    if (!strcmp(step, "live") && watched->p.checkpoints >= 3 && !steps_done++)
        sim_guest_grow(watched->guest, 8);
}

START_TEST(grows_before_the_stop)
{
    struct colo_parts parts = { .step_fn = grow_at_live };
    struct session_pair t;

    steps_done = 0;
    watched = &t;
    pair_init(&t);
    t.sim.max_gfns = 2048;
    pair_open(&t, &parts, NULL);
    pair_until(&t, 10000, t.p.checkpoints >= 8 || t.p.rc <= 0);
    ck_assert_msg(t.p.rc == 1, "%s / %s", t.p.err.text, t.s.err.text);
    pair_close(&t);
}
END_TEST

static void go_at_steps(void *user, const char *step)
{
    uint64_t at = watched->sim.pulse.pages + watched->sim.ring_pages +
                  watched->sim.special_pages;

    (void)user;
    if (watched->p.checkpoints >= 3 && steps_done == 0 &&
        !strcmp(step, "committed")) {
        sim_guest_balloon(watched->guest, at + 10, 1, true);
        steps_done = 1;
    } else if (steps_done == 1 && !strcmp(step, "live")) {
        sim_guest_balloon(watched->guest, at + 3, 1, true);
        steps_done = 2;
    }
}

START_TEST(gone_in_both_rounds)
{
    struct colo_parts parts = { .step_fn = go_at_steps };
    struct session_pair t;

    steps_done = 0;
    watched = &t;
    pair_init(&t);
    t.sim.balloon_pages = 32;
    t.p.config.live_round = 1;
    pair_open(&t, &parts, NULL);
    pair_until(&t, 10000, t.p.checkpoints >= 8 || t.p.rc <= 0);
    ck_assert_int_eq(steps_done, 2);
    ck_assert_msg(t.p.rc == 1, "%s / %s", t.p.err.text, t.s.err.text);
    pair_close(&t);
}
END_TEST

PURE_MAIN("session-faults", primary_calls_fail, secondary_calls_fail,
          grows_before_the_stop, gone_in_both_rounds)
