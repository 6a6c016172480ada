/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Whole sessions in mode colo over simulated guests: both copies run, are equal
 * at each checkpoint, and either goes on alone when the other is lost, at every
 * step of the transaction.
 */
#include "colo-pair.h"

#include "pure-common.h"

START_TEST(both_run)
{
    struct colo_pair c;
    struct colo_status st = { .size = sizeof(st) };

    colo_init(&c);
    colo_open(&c);
    pair_protected(&c.t, 20);
    ck_assert_uint_ge(c.compared, 20);
    ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_RUNNING);
    ck_assert(is_copy(&c));
    ck_assert_int_eq(colo_query_status(c.t.p.session, &st, NULL), 0);
    ck_assert_int_eq(st.mode, COLO_MODE_COLO);
    ck_assert_uint_gt(st.audit_pages, 0);
    ck_assert_uint_eq(st.audit_mismatches, 0);
    ck_assert_uint_gt(st.lockstep.total_sent_pages, 0);
    ck_assert_uint_gt(st.lockstep.total_bytes, 0);
    ck_assert_int_eq(colo_query_status(c.t.s.session, &st, NULL), 0);
    ck_assert_int_eq(st.mode, COLO_MODE_COLO);

    ck_assert_int_eq(colo_session_stop(c.t.p.session, NULL), 0);
    pair_until(&c.t, 5000, c.t.p.rc <= 0 && c.t.s.rc <= 0);
    ck_assert_msg(c.t.p.rc == 0, "%s", c.t.p.err.text);
    ck_assert_msg(c.t.s.rc == 0, "%s", c.t.s.err.text);
    ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_GONE);
    is_whole(&c, c.t.guest);
    pair_close(&c.t);
}
END_TEST

/* Both do the same work: nearly nothing travels. */
START_TEST(equal_pages_stay)
{
    struct colo_pair c;
    struct colo_status st = { .size = sizeof(st) };

    colo_init(&c);
    c.t.sim.lockstep = true;
    c.t.sim.step_us = 0;
    c.t.p.config.interval_ms = 600000;
    colo_open(&c);
    for (uint64_t goal = 200; goal <= 1000; goal += 200) {
        uint64_t n = c.t.p.checkpoints;

        sim_guest_goal(c.t.guest, goal);
        if (n)
            sim_guest_goal(replica(&c), goal);
        ck_assert(sim_guest_wait_steps(c.t.guest, goal, 5000));
        if (n) {
            ck_assert(sim_guest_wait_steps(replica(&c), goal, 5000));
            ck_assert_int_eq(colo_do_checkpoint(c.t.p.session, NULL), 0);
        }
        pair_until(&c.t, 5000, c.t.p.checkpoints > n);
    }
    ck_assert_int_eq(colo_query_status(c.t.p.session, &st, NULL), 0);
    ck_assert_uint_gt(st.lockstep.own_dirty_pages, 300);
    ck_assert_uint_eq(st.lockstep.own_dirty_pages,
                      st.lockstep.peer_dirty_pages);
    ck_assert_uint_eq(st.lockstep.sent_pages, c.t.sim.noise_pages);
    ck_assert_uint_eq(st.lockstep.equal_pages,
                      st.lockstep.own_dirty_pages - st.lockstep.sent_pages);
    ck_assert_uint_eq(c.compared, c.t.p.checkpoints);
    pair_close(&c.t);
}
END_TEST

/* The replica wrote, the guest did not: the guest's page comes back. */
START_TEST(the_replicas_own_writes_go)
{
    struct colo_pair c;
    uint64_t gfn = 700, n;

    colo_init(&c);
    c.t.sim.lockstep = true;
    c.t.sim.balloon_pages = 16;
    c.t.p.config.interval_ms = 600000;
    colo_open(&c);
    pair_protected(&c.t, 1);
    sim_guest_scribble(replica(&c), gfn, 77);
    sim_guest_mark(replica(&c), gfn);
    sim_guest_balloon(replica(&c), gfn + 1, 2, true);
    sim_guest_balloon(c.t.guest, gfn + 5, 2, true);
    n = c.t.p.checkpoints;
    ck_assert_int_eq(colo_do_checkpoint(c.t.p.session, NULL), 0);
    pair_until(&c.t, 5000, c.t.p.checkpoints > n);
    ck_assert_uint_eq(c.compared, 2);
    pair_close(&c.t);
}
END_TEST

/* Somebody else switched the record off: all is compared, on either side. */
START_TEST(lost_records)
{
    struct colo_pair c;
    struct colo_status st = { .size = sizeof(st) };

    colo_init(&c);
    colo_open(&c);
    for (int i = 0; i < 6; i++) {
        pair_protected(&c.t, c.t.p.checkpoints + 2);
        if (i != 1)
            sim_guest_track_off(replica(&c));
        if (i != 0)
            sim_guest_track_off(c.t.guest);
        sim_guest_scribble(replica(&c), 800, (uint64_t)i); /* not marked */
    }
    pair_protected(&c.t, c.t.p.checkpoints + 2);
    ck_assert_int_eq(colo_query_status(c.t.p.session, &st, NULL), 0);
    ck_assert_uint_ge(st.full_resyncs, 5);
    ck_assert_int_eq(c.t.p.rc, 1);
    pair_close(&c.t);
}
END_TEST

START_TEST(guest_grows)
{
    struct colo_pair c;

    colo_init(&c);
    c.t.sim.max_gfns = 2048;
    colo_open(&c);
    pair_protected(&c.t, 3);
    sim_guest_grow(c.t.guest, 64);
    pair_protected(&c.t, c.t.p.checkpoints + 3);
    sim_guest_grow(replica(&c), 64); /* by itself: it goes again */
    pair_protected(&c.t, c.t.p.checkpoints + 3);
    ck_assert_int_eq(c.t.p.rc, 1);
    pair_close(&c.t);
}
END_TEST

START_TEST(operator_takes_over)
{
    struct colo_pair c;
    struct colo_status st = { .size = sizeof(st) };

    colo_init(&c);
    colo_open(&c);
    pair_protected(&c.t, 5);
    ck_assert_int_eq(colo_set_replication(c.t.s.session, 0, 0, 1, NULL), 0);
    pair_until(&c.t, 5000, c.t.p.rc <= 0 && c.t.s.rc <= 0);
    ck_assert_msg(c.t.s.rc == 0, "%s", c.t.s.err.text);
    ck_assert_int_eq(c.t.p.rc, COLO_E_REFUSED);
    ck_assert_int_eq(guest_state(c.t.guest), COLO_HV_GONE);
    ck_assert(!is_copy(&c));
    is_whole(&c, replica(&c));
    ck_assert_int_eq(colo_query_status(c.t.s.session, &st, NULL), 0);
    ck_assert_int_eq(st.mode, COLO_MODE_NONE);
    ck_assert_int_eq(st.last_mode, COLO_MODE_COLO);
    ck_assert_int_eq(st.reason, COLO_REASON_REQUEST);
    pair_close(&c.t);
}
END_TEST

START_TEST(guest_powers_off)
{
    struct colo_pair c;

    colo_init(&c);
    colo_open(&c);
    pair_protected(&c.t, 5);
    sim_guest_shutdown(replica(&c), COLO_HV_POWEROFF);
    sim_guest_shutdown(c.t.guest, COLO_HV_POWEROFF);
    pair_until(&c.t, 5000, c.t.p.rc <= 0 && c.t.s.rc <= 0);
    ck_assert_int_eq(c.t.p.rc, COLO_E_GUEST);
    ck_assert_msg(c.t.s.rc == 0, "%s", c.t.s.err.text);
    ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_GONE);
    pair_close(&c.t);
}
END_TEST

/* Only the replica did: a checkpoint brings it back, and soon. */
START_TEST(replica_ends_by_itself)
{
    struct colo_pair c;

    colo_init(&c);
    c.t.p.config.interval_ms = 600000;
    colo_open(&c);
    pair_protected(&c.t, 1);
    sim_guest_shutdown(replica(&c), COLO_HV_CRASH);
    pair_until(&c.t, 3000, c.t.p.checkpoints >= 2);
    ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_RUNNING);
    ck_assert_uint_eq(c.compared, 2);
    pair_close(&c.t);
}
END_TEST

/* Nobody has said how often: as the seed has it, and it can be changed. */
START_TEST(the_seeds_delay)
{
    struct colo_pair c;
    struct colo_status st = { .size = sizeof(st) };

    colo_init(&c);
    c.t.p.config.interval_ms = 0;
    colo_open(&c);
    pair_protected(&c.t, 1);
    ck_assert_int_eq(colo_query_status(c.t.p.session, &st, NULL), 0);
    ck_assert_uint_eq(st.interval_ms, 20000);
    pair_turn(&c.t);
    ck_assert_uint_eq(c.t.p.checkpoints, 1);
    ck_assert_int_eq(colo_session_set_delay(c.t.p.session, 5, NULL), 0);
    pair_protected(&c.t, 5);
    pair_close(&c.t);
}
END_TEST

/* ---- the link breaks at every step ------------------------------------- */

static const char *const primary_steps[] = {
    "live", "stopped", "captured", "compared", "sent", "received",
    "committed", "resumed",
};
static const char *const secondary_steps[] = {
    "request", "halted", "reply", "whole", "received", "applied", "set",
    "loaded",
};

/* survivor: the other one does nothing any more */
static void break_at(int side, const char *step, uint32_t count, int survivor)
{
    struct colo_pair c;
    bool here = survivor == COLO_ROLE_PRIMARY;
    struct side *live, *dead;

    colo_init(&c);
    live = here ? &c.t.p : &c.t.s;
    dead = here ? &c.t.s : &c.t.p;
    c.break_at = step;
    c.break_side = side;
    c.break_count = count;
    colo_open(&c);
    pair_until(&c.t, 10000, c.broken);
    dead->rc = 0;
    pair_until(&c.t, 5000, live->rc <= 0);
    if (here) {
        ck_assert_int_eq(c.t.p.rc, COLO_E_PEER);
        is_whole(&c, c.t.guest);
    } else if (count > 1) { /* one epoch at least was whole */
        ck_assert_msg(c.t.s.rc == 0, "%s at %s: %s", step, "secondary",
                      c.t.s.err.text);
        ck_assert(!is_copy(&c));
        is_whole(&c, replica(&c));
    }
    pair_close(&c.t);
}

START_TEST(primary_is_lost_at_every_step)
{
    for (size_t i = 0; i < COLO_ARRAY_LEN(primary_steps); i++) {
        break_at(COLO_ROLE_PRIMARY, primary_steps[i], 3,
                 COLO_ROLE_SECONDARY);
        break_at(COLO_ROLE_PRIMARY, primary_steps[i], 1,
                 COLO_ROLE_SECONDARY);
    }
    for (size_t i = 0; i < COLO_ARRAY_LEN(secondary_steps); i++)
        break_at(COLO_ROLE_SECONDARY, secondary_steps[i], 3,
                 COLO_ROLE_SECONDARY);
}
END_TEST

START_TEST(secondary_is_lost_at_every_step)
{
    for (size_t i = 0; i < COLO_ARRAY_LEN(primary_steps); i++)
        break_at(COLO_ROLE_PRIMARY, primary_steps[i], 3, COLO_ROLE_PRIMARY);
    for (size_t i = 0; i < COLO_ARRAY_LEN(secondary_steps); i++) {
        break_at(COLO_ROLE_SECONDARY, secondary_steps[i], 3,
                 COLO_ROLE_PRIMARY);
        break_at(COLO_ROLE_SECONDARY, secondary_steps[i], 1,
                 COLO_ROLE_PRIMARY);
    }
}
END_TEST

PURE_MAIN("session-colo", both_run, equal_pages_stay,
          the_replicas_own_writes_go, lost_records, guest_grows,
          operator_takes_over, guest_powers_off, replica_ends_by_itself,
          the_seeds_delay,
          primary_is_lost_at_every_step, secondary_is_lost_at_every_step)
