/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A device model that ends under its guest.  The primary's: the other side goes
 * on with the guest, from a whole epoch, and it is the only one.  The
 * replica's: protection ends at once, and the guest goes on where it is.
 */
#include "colo-pair.h"

#include "pure-common.h"

static bool both_over(struct session_pair *t)
{
    return t->p.rc <= 0 && t->s.rc <= 0;
}

static void open_mode(struct colo_pair *c, int mode)
{
    colo_init(c);
    c->t.p.config.mode = mode;
    if (mode == COLO_MODE_REMUS) {
        c->parts[0].step_fn = c->parts[1].step_fn = NULL;
        c->t.sim.noise_pages = 0;
    }
    colo_open(c);
}

static void the_other_side_has_it(struct colo_pair *c)
{
    pair_until(&c->t, 8000, both_over(&c->t));
    ck_assert_int_eq(c->t.p.rc, COLO_E_REFUSED);
    ck_assert_msg(strstr(c->t.p.err.text, "QEMU") != NULL, "%s",
                  c->t.p.err.text);
    ck_assert_msg(c->t.s.rc == 0, "%s", c->t.s.err.text);
    ck_assert_int_eq(c->t.p.exit_reason, COLO_REASON_ERROR);
    ck_assert_int_eq(c->t.s.exit_reason, COLO_REASON_ERROR);
    ck_assert_int_eq(guest_state(c->t.guest), COLO_HV_GONE);
    ck_assert(!is_copy(c));
    is_whole(c, replica(c));
}

START_TEST(the_primarys_ends)
{
    static const int modes[] = { COLO_MODE_REMUS, COLO_MODE_COLO };

    for (int i = 0; i < 4; i++) {
        struct colo_pair c;

        open_mode(&c, modes[i % 2]);
        pair_protected(&c.t, 3);
        /* told at once, or shown by the next call that fails */
        sim_guest_cripple(c.t.guest, i < 2);
        the_other_side_has_it(&c);
        pair_close(&c.t);
    }
}
END_TEST

/* ---- at a step of a checkpoint ----------------------------------------- */

struct at_step {
    struct colo_pair *c;
    const char *step;
    int role, mine;
    bool done, tell;
};

static void on_this_step(void *user, const char *step)
{
    struct at_step *at = user;

    if (at->done || at->mine != at->role || strcmp(step, at->step) ||
        at->c->t.p.checkpoints < 2)
        return;
    at->done = true;
    sim_guest_cripple(at->c->t.guest, at->tell);
}

static void ends_at(int role, const char *step, bool tell)
{
    struct colo_pair c;
    struct at_step at[2] = {
        { .c = &c, .step = step, .role = role, .mine = COLO_ROLE_PRIMARY,
          .tell = tell },
        { .c = &c, .step = step, .role = role, .mine = COLO_ROLE_SECONDARY,
          .tell = tell },
    };

    colo_init(&c);
    for (int i = 0; i < 2; i++) {
        c.parts[i].step_fn = on_this_step;
        c.parts[i].step_user = &at[i];
    }
    colo_open(&c);
    pair_until(&c.t, 8000, at[0].done || at[1].done);
    the_other_side_has_it(&c);
    pair_close(&c.t);
}

START_TEST(the_primarys_ends_at_any_step)
{
    static const char *const p[] = {
        "live", "stopped", "captured", "compared", "sent", "received",
        "committed", "resumed",
    }, *const s[] = {
        "request", "halted", "reply", "whole", "received", "applied", "set",
        "loaded",
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(p); i++) {
        ends_at(COLO_ROLE_PRIMARY, p[i], true);
        ends_at(COLO_ROLE_PRIMARY, p[i], false);
    }
    for (size_t i = 0; i < COLO_ARRAY_LEN(s); i++) {
        ends_at(COLO_ROLE_SECONDARY, s[i], true);
        ends_at(COLO_ROLE_SECONDARY, s[i], false);
    }
}
END_TEST

/* ---- with a disk ------------------------------------------------------- */

/* The primary's proxy closes the stream when it is told failover, long before
 * the guest is destroyed and this side hears of it. */
struct fake_disk {
    const struct colo_replication_ops *ops;
    struct fake_disk *twin;
    struct side *other;
    bool lost, asked;
};

static struct fake_disk *fake(struct colo_replication *r)
{
    return (struct fake_disk *)r;
}

static void fake_close(struct colo_replication *r)
{
    (void)r;
}

static int fake_fd(struct colo_replication *r)
{
    (void)r;
    return -1;
}

static int fake_epoch(struct colo_replication *r, uint64_t n,
                      struct colo_error *err)
{
    (void)r, (void)n, (void)err;
    return 0;
}

static int fake_failover(struct colo_replication *r, struct colo_error *err)
{
    struct fake_disk *d = fake(r);

    (void)err;
    d->asked = true;
    d->lost = false;
    if (!d->twin)
        return 0;
    d->twin->lost = true;
    /* the toolstack takes its time to destroy the guest */
    for (int i = 0; i < 10; i++) {
        side_process(d->other);
        usleep(1000);
    }
    return 0;
}

static int fake_stop(struct colo_replication *r, struct colo_error *err)
{
    (void)r, (void)err;
    return 0;
}

static int fake_pending(struct colo_replication *r, bool *ret_diverged,
                        struct colo_error *err)
{
    *ret_diverged = false;
    if (!fake(r)->lost || fake(r)->asked)
        return 0;
    return colo__fail(err, COLO_E_PEER_SAID, 0, "fake",
                      "the twin closed the stream");
}

START_TEST(with_a_disk)
{
    static const struct colo_replication_ops ops = {
        .close = fake_close, .fd = fake_fd, .checkpoint = fake_epoch,
        .commit = fake_epoch, .failover = fake_failover, .stop = fake_stop,
        .pending = fake_pending,
    };
    static const int modes[] = { COLO_MODE_REMUS, COLO_MODE_COLO };

    for (int i = 0; i < 2; i++) {
        struct fake_disk s = { .ops = &ops }, p = { .ops = &ops, .twin = &s };
        struct colo_pair c;

        colo_init(&c);
        c.t.p.config.mode = modes[i];
        if (modes[i] == COLO_MODE_REMUS) {
            c.parts[0].step_fn = c.parts[1].step_fn = NULL;
            c.t.sim.noise_pages = 0;
        }
        p.other = &c.t.s;
        c.parts[0].replication[0] = (struct colo_replication *)&p;
        c.parts[1].replication[0] = (struct colo_replication *)&s;
        colo_open(&c);
        pair_protected(&c.t, 3);
        sim_guest_cripple(c.t.guest, true);
        the_other_side_has_it(&c);
        pair_close(&c.t);
    }
}
END_TEST

/* ---- where nobody is to go on ------------------------------------------ */

/* Before the first epoch there is nothing to go on from. */
START_TEST(no_epoch_yet)
{
    struct colo_pair c;

    colo_init(&c);
    c.t.p.config.interval_ms = 600000;
    c.t.sim.stop_delay_us = 200000;
    colo_open(&c);
    pair_until(&c.t, 5000, sim_hv_calls(c.t.p.hv, SIM_OP_SEED_OUT));
    sim_guest_cripple(c.t.guest, true);
    pair_until(&c.t, 8000, both_over(&c.t));
    ck_assert_int_eq(c.t.p.rc, COLO_E_HV);
    ck_assert_int_ne(guest_state(c.t.guest), COLO_HV_GONE);
    ck_assert(!replica(&c) || guest_state(replica(&c)) == COLO_HV_GONE);
    pair_close(&c.t);
}
END_TEST

/* A stock peer goes on after the loss of this host only; it cannot be asked. */
START_TEST(a_stock_peer)
{
    struct colo_pair c;

    open_mode(&c, COLO_MODE_REMUS);
    pair_protected(&c.t, 3);
    c.t.p.session->stock = true;
    sim_guest_cripple(c.t.guest, true);
    pair_until(&c.t, 8000, both_over(&c.t));
    ck_assert_int_eq(c.t.p.rc, COLO_E_HV);
    ck_assert_int_ne(guest_state(c.t.guest), COLO_HV_GONE);
    ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_GONE);
    pair_close(&c.t);
}
END_TEST

/* Somebody destroys the guest: it must not come to life on the other side. */
START_TEST(destroyed)
{
    static const int modes[] = { COLO_MODE_REMUS, COLO_MODE_COLO };

    for (int i = 0; i < 2; i++) {
        struct colo_pair c;
        uint64_t begin;

        colo_init(&c);
        c.t.p.config.mode = modes[i];
        c.t.p.config.interval_ms = 600000;
        colo_open(&c);
        pair_protected(&c.t, 1);
        sim_guest_pause(c.t.guest, true);
        sim_guest_cripple(c.t.guest, true);
        begin = now_ms();
        pair_until(&c.t, 2000, now_ms() > begin + 50);
        ck_assert_int_eq(c.t.p.rc, 1);
        sim_guest_kill(c.t.guest);
        pair_until(&c.t, 8000, both_over(&c.t));
        ck_assert_int_eq(c.t.p.rc, COLO_E_GUEST);
        ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_GONE);
        ck_assert_uint_eq(sim_hv_calls(c.t.s.hv, SIM_OP_START), 0);
        pair_close(&c.t);
    }
}
END_TEST

START_TEST(the_replicas_ends)
{
    static const int modes[] = { COLO_MODE_REMUS, COLO_MODE_COLO };

    for (int i = 0; i < 2; i++) {
        struct colo_pair c;

        open_mode(&c, modes[i]);
        pair_protected(&c.t, 3);
        sim_guest_cripple(replica(&c), true);
        pair_until(&c.t, 8000, both_over(&c.t));
        ck_assert_int_eq(c.t.s.rc, COLO_E_HV);
        ck_assert_int_eq(c.t.p.rc, COLO_E_PEER_SAID);
        ck_assert_msg(strstr(c.t.p.err.text, "QEMU") != NULL, "%s",
                      c.t.p.err.text);
        ck_assert_int_eq(guest_state(replica(&c)), COLO_HV_GONE);
        is_whole(&c, c.t.guest);
        pair_close(&c.t);
    }
}
END_TEST

PURE_MAIN("session-crippled", the_primarys_ends,
          the_primarys_ends_at_any_step, with_a_disk, no_epoch_yet,
          a_stock_peer, destroyed, the_replicas_ends)
