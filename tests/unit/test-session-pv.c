/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Sessions of streamed guests (PV): every piece reaches the replica, whole and
 * in order; whatever fails, the guest goes on and no replica starts.
 */
#include "pv-sim.h"

#include "pure-common.h"

static void pv_open(struct session_pair *t)
{
    struct colo_parts p = { 0 }, s = { 0 };

    pair_connect(t);
    side_open(&t->p, pv_primary(t->guest), &p);
    side_open(&t->s, pv_secondary(&t->sim), &s);
    ck_assert_int_eq(sim_guest_run(t->guest, &t->p.err), 0);
}

static void pv_close(struct session_pair *t)
{
    pair_close(t);
    pv_fini();
}

/* both have ended, the guest runs here and nothing was started there */
static void expect_broken(struct session_pair *t, const char *text)
{
    pair_until(t, 8000, t->p.rc <= 0 && t->s.rc <= 0);
    ck_assert_int_lt(t->p.rc, 0);
    ck_assert_msg(strstr(t->p.err.text, text), "%s", t->p.err.text);
    ck_assert_int_eq(guest_state(t->guest), COLO_HV_RUNNING);
    ck_assert_uint_eq(sim_hv_calls(t->s.hv, SIM_OP_START), 0);
}

START_TEST(protects_and_stops)
{
    struct colo_status st = { .size = sizeof(st) };
    struct session_pair t;

    pair_init(&t);
    pv_open(&t);
    pair_protected(&t, 20);
    ck_assert_int_eq(colo_query_status(t.p.session, &st, NULL), 0);
    ck_assert_uint_ge(st.epoch, 20);
    /* nobody may believe that it was audited */
    ck_assert_uint_eq(st.audit_pages, 0);
    ck_assert_int_eq(st.audit_off, 1);
    ck_assert_uint_ge(pv.loads, 19);
    ck_assert_uint_gt(st.last.dirty_pages, 0);
    ck_assert_int_eq(colo_session_stop(t.p.session, NULL), 0);
    pair_until(&t, 5000, t.p.rc <= 0 && t.s.rc <= 0);
    ck_assert_msg(t.p.rc == 0, "%s", t.p.err.text);
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    ck_assert_uint_ge(sim_hv_calls(t.s.hv, SIM_OP_DESTROY), 1);
    ck_assert(!pv.ended);
    pv_close(&t);
}
END_TEST

START_TEST(takes_over)
{
    struct session_pair t;
    struct sim_guest *replica;
    char why[200];

    pair_init(&t);
    pv_open(&t);
    pair_protected(&t, 10);
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0; /* it does nothing any more */
    pair_until(&t, 5000, t.s.rc <= 0);
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    ck_assert(pv.ended);
    replica = sim_hv_guest(t.s.hv);
    ck_assert_int_eq(guest_state(replica), COLO_HV_RUNNING);
    ck_assert(sim_guest_wait_steps(replica, 200, 5000));
    sim_guest_pause(replica, true);
    ck_assert_msg(sim_guest_verify(replica, &t.sim, why, sizeof(why)), "%s",
                  why);
    pv_close(&t);
}
END_TEST

/* copying a large piece is no death */
START_TEST(takes_its_time)
{
    struct session_pair t;

    pair_init(&t);
    pv_open(&t);
    pv.other = &t.s;
    pv.slow_get = 7;
    pair_until(&t, 10000, t.p.checkpoints >= 12 || t.p.rc <= 0 ||
               t.s.rc <= 0);
    ck_assert_msg(t.p.rc == 1, "%s", t.p.err.text);
    ck_assert_msg(t.s.rc == 1, "%s", t.s.err.text);
    ck_assert_uint_ge(pv.gets, 12);
    ck_assert_int_eq(colo_session_stop(t.p.session, NULL), 0);
    pair_until(&t, 5000, t.p.rc <= 0 && t.s.rc <= 0);
    ck_assert_msg(t.p.rc == 0, "%s", t.p.err.text);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 0);
    pv_close(&t);
}
END_TEST

/* QEMU's state is guessed first, and a PV guest's piece asked for with room to
 * spare: neither is an end. */
START_TEST(asks_for_other_room_than_it_takes)
{
    struct session_pair t;

    pair_init(&t);
    pv_open(&t);
    pv.wishes = 2;
    pair_protected(&t, 3);
    ck_assert_int_eq(pv.wishes, 0);
    ck_assert_int_eq(colo_session_stop(t.p.session, NULL), 0);
    pair_until(&t, 5000, t.p.rc <= 0 && t.s.rc <= 0);
    ck_assert_msg(t.p.rc == 0, "%s", t.p.err.text);
    pv_close(&t);
}
END_TEST

/* the helper dies while the guest stands still */
START_TEST(get_fails)
{
    struct session_pair t;

    pair_init(&t);
    pv_open(&t);
    pv.fail_get = 7;
    expect_broken(&t, "the helper died");
    pv_close(&t);
}
END_TEST

START_TEST(half_a_piece)
{
    struct session_pair t;

    pair_init(&t);
    pv_open(&t);
    pv.cut_at = 7;
    expect_broken(&t, "not a whole one");
    ck_assert_uint_eq(pv.loads, 6);
    pv_close(&t);
}
END_TEST

START_TEST(load_fails)
{
    struct session_pair t;

    pair_init(&t);
    pv_open(&t);
    pv.fail_load = 7;
    expect_broken(&t, "the restore died");
    pv_close(&t);
}
END_TEST

START_TEST(peer_cannot)
{
    struct session_pair t;

    pair_init(&t);
    pv_open(&t);
    pv.s.life.expect_stream = NULL;
    expect_broken(&t, "cannot keep a replica of a PV guest");
    pv_close(&t);
}
END_TEST

START_TEST(not_on_both)
{
    struct session_pair t;

    pair_init(&t);
    t.p.config.mode = COLO_MODE_COLO;
    pv_open(&t);
    pv.s.life.run = pv.s.sim->life->run;
    expect_broken(&t, "cannot run on both hosts");
    pv_close(&t);
}
END_TEST

PURE_MAIN("session-pv", protects_and_stops, takes_over,
          takes_its_time, asks_for_other_room_than_it_takes, get_fails,
          half_a_piece, load_fails, peer_cannot,
          not_on_both)
