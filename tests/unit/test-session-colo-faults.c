/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Mode colo when something fails: every call of the hypervisor seam on either
 * side, the followers and their order, messages that are not due, pages that
 * changed unseen.  The primary's guest runs afterwards, and only one guest
 * does.
 */
#include "colo-pair.h"

#include "pure-common.h"

#include "../fake-store.h"

static bool both_over(struct session_pair *t)
{
    return t->p.rc <= 0 && t->s.rc <= 0;
}

static void run_on(struct colo_pair *c)
{
    struct session_pair *t = &c->t;
    uint64_t more = t->p.checkpoints + 8;
    uint64_t until = now_ms() + 15000 * PAIR_PATIENCE;

    while (!both_over(t) && t->p.checkpoints < more) {
        ck_assert_msg(now_ms() < until, "hangs: P %s, S %s",
                      colo_state_name(t->p.session->state),
                      colo_state_name(t->s.session->state));
        pair_turn(t);
    }
    if (!both_over(t)) {
        ck_assert_int_eq(colo_session_stop(t->p.session, NULL), 0);
        pair_until(t, 15000, both_over(t));
    }
}

static void try_fault(bool primary, int op, int when, int live)
{
    struct colo_pair c;
    struct side *side;

    colo_init(&c);
    c.t.p.config.interval_ms = 1;
    c.t.p.config.live_round = c.t.s.config.live_round = live;
    colo_open(&c);
    side = primary ? &c.t.p : &c.t.s;
    if (when)
        pair_protected(&c.t, 3);
    sim_hv_fail(side->hv, op, 1, COLO_E_HV, false);
    run_on(&c);
    ck_assert_msg(guest_state(c.t.guest) == COLO_HV_RUNNING,
                  "%s op %d (%d): the guest is in state %d",
                  primary ? "primary" : "secondary", op, when,
                  guest_state(c.t.guest));
    if (replica(&c))
        ck_assert_msg(guest_state(replica(&c)) != COLO_HV_RUNNING,
                      "%s op %d (%d): both run",
                      primary ? "primary" : "secondary", op, when);
    pair_close(&c.t);
}

START_TEST(primary_calls_fail)
{
    for (int op = 0; op < SIM_OP_COUNT; op++) {
        try_fault(true, op, 0, 0);
        try_fault(true, op, 1, 1);
    }
}
END_TEST

START_TEST(secondary_calls_fail)
{
    for (int op = 0; op < SIM_OP_COUNT; op++) {
        try_fault(false, op, 0, 0);
        try_fault(false, op, 1, 1);
    }
}
END_TEST

/* ---- followers --------------------------------------------------------- */

struct colo_replication {
    const struct colo_replication_ops *ops;
    struct colo_pair *c;
    bool primary;
    uint64_t closed, committed; /* epochs */
    int behind;                 /* looks until an answer */
    int diverged;               /* so often it says so */
    int failovers, stops;
};

static void f_close(struct colo_replication *r)
{
    (void)r;
}

static int f_fd(struct colo_replication *r)
{
    (void)r;
    return -1;
}

static int f_start(struct colo_replication *r, int mode,
                   struct colo_error *err)
{
    (void)r;
    (void)err;
    ck_assert_int_eq(mode, COLO_MODE_COLO);
    return 0;
}

static bool stands_still(struct colo_replication *r)
{
    return r->primary ? guest_state(r->c->t.guest) == COLO_HV_STOPPED
                      : guest_state(replica(r->c)) != COLO_HV_RUNNING;
}

static int f_checkpoint(struct colo_replication *r, uint64_t epoch,
                        struct colo_error *err)
{
    (void)err;
    ck_assert_uint_eq(epoch, r->committed + 1);
    ck_assert(stands_still(r));
    ck_assert_int_ne(guest_state(replica(r->c)), COLO_HV_RUNNING);
    r->closed = epoch;
    r->behind = 3;
    return 0;
}

static int f_commit(struct colo_replication *r, uint64_t epoch,
                    struct colo_error *err)
{
    (void)err;
    ck_assert_uint_eq(epoch, r->closed);
    ck_assert(stands_still(r));
    r->committed = epoch;
    r->behind = 3;
    return 0;
}

static int f_failover(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    r->failovers++;
    return 0;
}

static int f_stop(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    r->stops++;
    return 0;
}

static int f_pending(struct colo_replication *r, bool *ret_diverged,
                     struct colo_error *err)
{
    (void)err;
    if (r->behind > 0) {
        ck_assert(stands_still(r)); /* until it has answered */
        r->behind--;
        return 1;
    }
    if (r->diverged && !stands_still(r)) {
        r->diverged--;
        *ret_diverged = true;
    }
    return 0;
}

static const struct colo_replication_ops f_ops = {
    .close = f_close,
    .fd = f_fd,
    .start = f_start,
    .checkpoint = f_checkpoint,
    .commit = f_commit,
    .failover = f_failover,
    .stop = f_stop,
    .pending = f_pending,
};

/* Either copy goes on when those that follow it have, and not before. */
START_TEST(followers_are_told_in_order)
{
    struct colo_pair c;
    struct colo_replication p = { .ops = &f_ops, .c = &c, .primary = true };
    struct colo_replication s = { .ops = &f_ops, .c = &c };

    colo_init(&c);
    c.parts[0].replication[0] = &p;
    c.parts[1].replication[0] = &s;
    colo_open(&c);
    pair_protected(&c.t, 10);
    ck_assert_uint_ge(p.committed, 10);
    ck_assert_uint_ge(s.committed, 10);
    ck_assert_int_eq(c.t.p.rc, 1);
    run_on(&c);
    ck_assert_int_eq(c.t.p.rc, 0);
    ck_assert_int_eq(p.stops, 1);
    pair_close(&c.t);
}
END_TEST

/* A difference in output, seen on either host: one checkpoint, at once. */
START_TEST(divergence_asks_for_a_checkpoint)
{
    for (int side = 0; side < 2; side++) {
        struct colo_pair c;
        struct colo_replication p = { .ops = &f_ops, .c = &c,
                                      .primary = true };
        struct colo_replication s = { .ops = &f_ops, .c = &c };
        uint64_t begin;

        colo_init(&c);
        c.t.p.config.interval_ms = 600000;
        c.parts[0].replication[0] = &p;
        c.parts[1].replication[0] = &s;
        colo_open(&c);
        pair_protected(&c.t, 1);
        begin = now_ms();
        pair_until(&c.t, 2000, now_ms() > begin + 100);
        ck_assert_uint_eq(c.t.p.checkpoints, 1);
        *(side ? &s.diverged : &p.diverged) = 1;
        pair_until(&c.t, 2000, c.t.p.checkpoints == 2);
        begin = now_ms();
        pair_until(&c.t, 2000, now_ms() > begin + 100);
        ck_assert_uint_eq(c.t.p.checkpoints, 2);
        pair_close(&c.t);
    }
}
END_TEST

/* ---- what nobody marked ------------------------------------------------ */

START_TEST(the_audit_finds_and_repairs)
{
    struct colo_pair c;
    struct colo_status st = { .size = sizeof(st) };
    uint64_t n;

    colo_init(&c);
    c.t.p.config.audit_checkpoints = 1; /* all, each time */
    c.t.p.config.interval_ms = 600000;
    colo_open(&c);
    pair_protected(&c.t, 1);
    sim_guest_scribble(replica(&c), 800, 5);
    ck_assert_int_eq(colo_do_checkpoint(c.t.p.session, NULL), 0);
    c.broken = true; /* no comparison this time */
    n = c.t.p.checkpoints;
    pair_until(&c.t, 5000, c.t.p.checkpoints > n);
    c.broken = false;
    ck_assert_int_eq(colo_query_status(c.t.p.session, &st, NULL), 0);
    ck_assert_uint_eq(st.audit_mismatches, 1);
    ck_assert_uint_gt(st.audit_pages, 900);
    ck_assert_int_eq(colo_do_checkpoint(c.t.p.session, NULL), 0);
    n = c.t.p.checkpoints;
    pair_until(&c.t, 5000, c.t.p.checkpoints > n);
    ck_assert_uint_eq(c.compared, 2);
    ck_assert_int_eq(colo_query_status(c.t.p.session, &st, NULL), 0);
    ck_assert_uint_eq(st.audit_mismatches, 1);
    pair_close(&c.t);
}
END_TEST

/* Hashed while it ran: what was written afterwards counts. */
START_TEST(live_rounds)
{
    struct colo_pair c;
    struct colo_status st = { .size = sizeof(st) };

    colo_init(&c);
    c.t.sim.step_us = 0;
    c.t.sim.stop_delay_us = 2000;
    c.t.p.config.interval_ms = 1;
    c.t.p.config.live_round = c.t.s.config.live_round = 1;
    c.t.p.config.audit_checkpoints = 1;
    colo_open(&c);
    pair_protected(&c.t, 40);
    ck_assert_uint_ge(c.compared, 40);
    ck_assert_uint_ge(sim_hv_calls(c.t.s.hv, SIM_OP_DIRTY), 78);
    ck_assert_int_eq(colo_query_status(c.t.p.session, &st, NULL), 0);
    ck_assert_uint_eq(st.audit_mismatches, 0);
    pair_close(&c.t);
}
END_TEST

/* ---- a guest that does not stop ---------------------------------------- */

START_TEST(one_does_not_stop)
{
    for (int side = 0; side < 2; side++) {
        struct colo_pair c;

        colo_init(&c);
        c.t.p.config.stop_ms = c.t.s.config.stop_ms = 300;
        c.t.p.config.commit_ms = 500;
        colo_open(&c);
        pair_protected(&c.t, 2);
        sim_guest_stuck(side ? replica(&c) : c.t.guest, true);
        pair_until(&c.t, 5000, both_over(&c.t));
        ck_assert_int_ne(c.t.p.rc, 0);
        ck_assert_int_eq(guest_state(c.t.guest), COLO_HV_RUNNING);
        ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_GONE);
        pair_close(&c.t);
    }
}
END_TEST

/* Another tool's save or migrate of the guest, of the replica. */
START_TEST(somebody_suspends_one)
{
    for (int side = 0; side < 2; side++) {
        struct colo_pair c;

        colo_init(&c);
        c.t.p.config.interval_ms = 600000;
        colo_open(&c);
        pair_protected(&c.t, 1);
        sim_guest_suspend(side ? replica(&c) : c.t.guest);
        pair_until(&c.t, 3000, *(side ? c.t.s.warning : c.t.p.warning));
        ck_assert_int_eq(guest_state(side ? replica(&c) : c.t.guest),
                         COLO_HV_RUNNING);
        ck_assert_int_eq(colo_do_checkpoint(c.t.p.session, NULL), 0);
        pair_until(&c.t, 3000, c.t.p.checkpoints == 2);
        pair_close(&c.t);
    }
}
END_TEST

START_TEST(the_replica_is_destroyed)
{
    struct colo_pair c;

    colo_init(&c);
    colo_open(&c);
    pair_protected(&c.t, 2);
    sim_guest_kill(replica(&c));
    pair_until(&c.t, 5000, both_over(&c.t));
    ck_assert_int_eq(c.t.s.rc, COLO_E_GUEST);
    ck_assert_int_eq(guest_state(c.t.guest), COLO_HV_RUNNING);
    pair_close(&c.t);
}
END_TEST

static int pending_until_lost(struct colo_replication *r, bool *ret_diverged,
                            struct colo_error *err)
{
    (void)ret_diverged;
    if (r->c->broken && !r->failovers && !r->c->t.s.session->link_dead)
        return 1;
    if (r->c->broken && !r->failovers)
        return colo__fail(err, COLO_E_PEER_SAID, 0, "replication",
                          "proxy disk/xvda error the twin closed the stream");
    return 0;
}

/* The primary is lost in the middle of a load; follower: the backup's. */
static void lost_while_loading(struct colo_pair *c,
                               struct colo_replication *follower)
{
    colo_init(c);
    c->parts[1].replication[0] = follower;
    colo_open(c);
    pair_protected(&c->t, 3);
    pair_until(&c->t, 10000, c->t.s.session->state == COLO_STATE_LOADING);
    c->broken = true;
    c->t.p.rc = 0;
}

START_TEST(a_twin_lost_while_loading)
{
    struct colo_pair c;
    struct colo_replication_ops ops = f_ops;
    struct colo_replication s = { .ops = &ops, .c = &c };

    ops.pending = pending_until_lost;
    lost_while_loading(&c, &s);
    pair_until(&c.t, 15000, c.t.s.rc <= 0);
    ck_assert_msg(c.t.s.rc == 0, "%d: %s", c.t.s.rc, c.t.s.err.text);
    pair_close(&c.t);
}
END_TEST

/* A card without a proxy, whatever the primary has been told: two that run
 * would have one address. */
START_TEST(a_replica_with_a_card_that_nobody_told_of)
{
    struct fake_tree *tree = fake_tree_new();
    struct sim_look look;
    struct colo_pair c;
    char path[80];

    colo_init(&c);
    c.parts[1].store = fake_store_open(tree);
    colo_open(&c);
    sim_guest_look(c.t.guest, &look); /* a copy of it has its number */
    snprintf(path, sizeof(path), "/libxl/%u/device/vif/0/backend",
             look.domid);
    fake_tree_set(tree, path, "/local/domain/0/backend/vif/7/0");
    pair_until(&c.t, 15000, both_over(&c.t));
    ck_assert_int_eq(c.t.s.rc, COLO_E_UNSUPPORTED);
    ck_text(c.t.s.err, "has 1 network cards");
    ck_assert_uint_eq(c.t.p.checkpoints, 0);
    ck_assert_int_eq(guest_state(c.t.guest), COLO_HV_RUNNING);
    ck_assert(!replica(&c) || guest_state(replica(&c)) != COLO_HV_RUNNING);
    pair_close(&c.t);
    fake_tree_free(tree);
}
END_TEST

/* The primary is lost while an epoch is loaded, and the devices do not take
 * their state: not at once, or not at all. */
START_TEST(a_load_that_fails_in_a_takeover)
{
    for (int always = 0; always < 2; always++) {
        struct colo_pair c;
        struct colo_replication_ops ops = f_ops;
        struct colo_replication s = { .ops = &ops, .c = &c };

        ops.pending = pending_until_lost;
        lost_while_loading(&c, &s);
        sim_hv_fail(c.t.s.hv, SIM_OP_SET, 1, COLO_E_HV, always);
        pair_until(&c.t, 15000, c.t.s.rc <= 0);
        ck_assert_uint_eq(sim_hv_calls(c.t.s.hv, SIM_OP_DESTROY), 0);
        if (always) {
            ck_assert_int_lt(c.t.s.rc, 0);
            ck_assert_ptr_nonnull(strstr(c.t.s.warning, "left standing"));
            ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_STOPPED);
        } else {
            ck_assert_msg(c.t.s.rc == 0, "%s", c.t.s.err.text);
            is_whole(&c, replica(&c));
        }
        pair_close(&c.t);
    }
}
END_TEST

static struct {
    struct colo_pair *c;
    struct colo_hv_ops ops;
    struct colo_machine_ops machine;
    const struct colo_machine_ops *real;
    void (*beat)(void *user);
    void *user;
    bool slow;
} model;

static void model_set_beat(struct colo_hv *hv, void (*beat)(void *user),
                           void *user, uint32_t limit_ms)
{
    (void)hv;
    ck_assert_uint_gt(limit_ms, 0);
    model.beat = beat;
    model.user = user;
}

static int slow_set(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                    struct colo_error *err)
{
    uint64_t until = now_ms() + 2 * model.c->t.p.config.dead_ms;

    while (model.slow && now_ms() < until) {
        if (model.beat)
            model.beat(model.user);
        side_process(&model.c->t.p);
        usleep(2000);
    }
    model.slow = false;
    return model.real->set(hv, buf, len, err);
}

/* The devices take their state for longer than "dead". */
START_TEST(a_slow_load_is_no_death)
{
    struct colo_pair c;
    const struct colo_hv_ops *real;

    memset(&model, 0, sizeof(model));
    model.c = &c;
    colo_init(&c);
    c.t.p.config.commit_ms = 5000;
    colo_open(&c);
    real = colo__hv_ops(c.t.s.hv);
    model.ops = *real;
    model.real = real->machine;
    model.machine = *real->machine;
    model.machine.set = slow_set;
    model.machine.set_beat = model_set_beat;
    model.ops.machine = &model.machine;
    *(const struct colo_hv_ops **)c.t.s.hv = &model.ops;
    pair_protected(&c.t, 3);
    model.slow = true;
    pair_until(&c.t, 15000, !model.slow);
    pair_protected(&c.t, c.t.p.checkpoints + 3);
    ck_assert_msg(c.t.p.rc == 1, "%s", c.t.p.err.text);
    pair_close(&c.t);
}
END_TEST

/* It ended by itself, and the primary is lost before a checkpoint undoes it. */
START_TEST(a_replica_that_has_ended_is_not_started)
{
    struct colo_pair c;

    colo_init(&c);
    c.t.p.config.interval_ms = 600000;
    colo_open(&c);
    pair_protected(&c.t, 1);
    pair_until(&c.t, 5000, c.t.s.session->state == COLO_STATE_READY);
    sim_guest_shutdown(replica(&c), COLO_HV_POWEROFF);
    cut(&c);
    c.t.p.rc = 0;
    pair_until(&c.t, 15000, c.t.s.rc <= 0);
    ck_assert_int_eq(c.t.s.rc, COLO_E_GUEST);
    ck_text(c.t.s.err, "has shut down by itself");
    ck_assert_uint_eq(sim_hv_calls(c.t.s.hv, SIM_OP_START), 0);
    ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_SHUTDOWN);
    pair_close(&c.t);
}
END_TEST

PURE_MAIN("session-colo-faults", primary_calls_fail, secondary_calls_fail,
          followers_are_told_in_order, divergence_asks_for_a_checkpoint,
          the_audit_finds_and_repairs, live_rounds, one_does_not_stop,
          somebody_suspends_one, the_replica_is_destroyed,
          a_twin_lost_while_loading, a_load_that_fails_in_a_takeover,
          a_slow_load_is_no_death, a_replica_that_has_ended_is_not_started,
          a_replica_with_a_card_that_nobody_told_of)
