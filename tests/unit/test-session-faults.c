/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Every call of the hypervisor seam fails once, at the first use and in the
 * middle of protection, on either side; so do a follower and the arbiter.  The
 * session ends with that error or goes on, the primary's guest runs, the
 * replica is gone or right, and nothing hangs.
 */
#include <pthread.h>
#include <poll.h>
#include <limits.h>

#include "session-pair.h"

#include "pure-common.h"

static const char *const op_names[SIM_OP_COUNT] = {
    "poll", "info", "track", "dirty", "unmarked", "read", "write", "request",
    "cancel", "resume", "get", "check", "set", "seed_out", "seed_in", "start",
    "destroy", "end", "abandon", "run",
};

static bool both_over(struct session_pair *t)
{
    return t->p.rc <= 0 && t->s.rc <= 0;
}

/* Drive until both have ended or the primary has made many checkpoints. */
static void run_on(struct session_pair *t)
{
    uint64_t more = t->p.checkpoints + 20;
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
    run_on(&t);
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

/* ---- a follower that refuses ------------------------------------------- */

enum { F_PREPARE, F_START, F_CHECKPOINT, F_COMMIT, F_PENDING, F_NOTHING };

struct colo_replication {
    const struct colo_replication_ops *ops;
    int refuse;
    int starts, checkpoints, commits, stops, closes;
    uint64_t committed;
    bool pending_forever;
    int prepares, behind;   /* looks until its first copy is made */
    struct sim_guest *guest; /* set: it must stand still until marked */
    int marks;              /* looks until the end of an epoch is marked */
    int failovers;
    int failover_says;      /* then pending: 1 waits, 0, or an error */
};

static int maybe(struct colo_replication *r, int what, struct colo_error *err)
{
    if (r->refuse == what)
        return colo__fail(err, COLO_E_PEER_SAID, 0, "follower", "refused");
    return 0;
}

static void f_close(struct colo_replication *r)
{
    r->closes++;
}

static int f_fd(struct colo_replication *r)
{
    (void)r;
    return -1;
}

static int f_prepare(struct colo_replication *r, int mode,
                     struct colo_error *err)
{
    ck_assert_int_eq(mode, COLO_MODE_REMUS);
    ck_assert_int_eq(r->starts, 0);
    r->prepares++;
    return maybe(r, F_PREPARE, err);
}

static int f_start(struct colo_replication *r, int mode,
                   struct colo_error *err)
{
    ck_assert_int_eq(mode, COLO_MODE_REMUS);
    r->starts++;
    return maybe(r, F_START, err);
}

static int f_checkpoint(struct colo_replication *r, uint64_t epoch,
                        struct colo_error *err)
{
    /* one closed epoch at a time */
    ck_assert_uint_eq(epoch, r->committed + 1);
    r->checkpoints++;
    r->marks = r->guest ? 5 : 0;
    return maybe(r, F_CHECKPOINT, err);
}

static int f_commit(struct colo_replication *r, uint64_t epoch,
                    struct colo_error *err)
{
    ck_assert_uint_eq(epoch, r->committed + 1);
    r->committed = epoch;
    r->commits++;
    return maybe(r, F_COMMIT, err);
}

static int f_end(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    r->stops++;
    return 0;
}

static int f_failover(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    r->failovers++;
    return 0;
}

static int f_pending(struct colo_replication *r, bool *ret_diverged,
                     struct colo_error *err)
{
    (void)ret_diverged;
    if (r->failovers && r->failover_says < 0)
        return colo__fail(err, r->failover_says, 0, "follower", "no disk");
    if (r->failovers)
        return r->failover_says;
    if (r->marks > 0) {
        ck_assert_int_eq(guest_state(r->guest), COLO_HV_STOPPED);
        r->marks--;
        return 1;
    }
    if (r->behind > 0 && r->behind--)
        return 1;
    if (r->checkpoints > 2 && r->pending_forever)
        return 1;
    return r->checkpoints > 2 ? maybe(r, F_PENDING, err) : 0;
}

static const struct colo_replication_ops f_ops = {
    .close = f_close,
    .fd = f_fd,
    .prepare = f_prepare,
    .start = f_start,
    .checkpoint = f_checkpoint,
    .commit = f_commit,
    .failover = f_failover,
    .stop = f_end,
    .pending = f_pending,
};

START_TEST(followers_refuse)
{
    for (int refuse = 0; refuse <= F_NOTHING; refuse++) {
        struct colo_replication r = { .ops = &f_ops, .refuse = refuse };
        struct colo_parts parts = { .replication = { &r } };
        struct session_pair t;

        pair_init(&t);
        t.p.config.interval_ms = 1;
        pair_open(&t, &parts, NULL);
        run_on(&t);
        ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
        if (refuse == F_NOTHING)
            ck_assert_int_eq(t.p.rc, 0);
        else
            ck_assert_int_eq(t.p.rc, COLO_E_PEER_SAID);
        ck_assert_int_eq(r.stops, 1);
        pair_close(&t);
        ck_assert_int_eq(r.closes, 1);
    }
}
END_TEST

/* Memory is there long before the disk: no epoch begins. */
START_TEST(no_epoch_before_the_first_copies)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .behind = INT_MAX };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;
    uint64_t begin;

    pair_init(&t);
    t.p.config.interval_ms = 1;
    t.p.config.seed_ms = 300; /* of silence; a follower has its own limits */
    pair_open(&t, &parts, NULL);
    begin = now_ms();
    pair_until(&t, 5000, t.p.rc <= 0 || now_ms() > begin + 1500);
    ck_assert_int_eq(t.p.rc, 1);
    ck_assert_int_eq(r.prepares, 1);
    ck_assert_int_eq(r.starts, 0);
    r.behind = 0;
    pair_until(&t, 10000, r.commits >= 2);
    ck_assert_int_eq(r.starts, 1);
    ck_assert_int_ge(r.commits, 2);
    pair_close(&t);
}
END_TEST

/* What the guest does next must not be taken for a part of the epoch. */
START_TEST(the_guest_waits_for_the_mark)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;

    pair_init(&t);
    t.p.config.interval_ms = 1;
    pair_open(&t, &parts, NULL);
    r.guest = t.guest;
    pair_until(&t, 10000, r.commits >= 3);
    ck_assert_int_eq(r.marks, 0);
    ck_assert_int_eq(t.p.rc, 1);
    pair_close(&t);
}
END_TEST

/* The epoch is at the backup, but a disk has not answered: no commit. */
START_TEST(no_commit_before_the_followers)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .pending_forever = true };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;

    pair_init(&t);
    t.p.config.interval_ms = 1;
    t.p.config.commit_ms = 500;
    pair_open(&t, &parts, NULL);
    pair_until(&t, 10000, t.p.rc <= 0);
    ck_assert_int_eq(t.p.rc, COLO_E_TIMEOUT);
    ck_assert_int_eq(r.commits, 2);
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    pair_close(&t);
}
END_TEST

/* The replica starts when its disks are at the last epoch, and not before. */
START_TEST(the_disks_come_first)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .failover_says = 1 };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;
    uint64_t begin;

    pair_init(&t);
    pair_open(&t, NULL, &parts);
    pair_protected(&t, 2);
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0;
    pair_until(&t, 10000, r.failovers);
    begin = now_ms();
    pair_until(&t, 5000, t.s.rc <= 0 || now_ms() > begin + 300);
    ck_assert_int_eq(t.s.rc, 1);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 0);
    r.failover_says = 0;
    pair_until(&t, 10000, t.s.rc <= 0);
    ck_assert_int_eq(t.s.rc, 0);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 1);
    pair_close(&t);
}
END_TEST

/* A disk that is not there: better no guest than one with another disk. */
START_TEST(no_takeover_without_the_disks)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .failover_says = COLO_E_NOTFOUND };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, &parts);
    pair_protected(&t, 2);
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0;
    pair_until(&t, 10000, t.s.rc <= 0);
    ck_assert_int_eq(t.s.rc, COLO_E_NOTFOUND);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 0);
    pair_close(&t);
}
END_TEST

/* ---- an arbiter that says no, in its own time ---------------------------- */

struct colo_arbiter {
    const struct colo_arbiter_ops *ops;
    int asked;
    bool silent;
};

static void a_close(struct colo_arbiter *a)
{
    (void)a;
}

static int a_fd(struct colo_arbiter *a)
{
    (void)a;
    return -1;
}

static int a_ask(struct colo_arbiter *a, int role, struct colo_error *err)
{
    (void)role;
    (void)err;
    a->asked++;
    return 0;
}

static int a_answer(struct colo_arbiter *a, struct colo_error *err)
{
    if (a->silent)
        return 1;
    return colo__fail(err, COLO_E_REFUSED, 0, "arbiter", "no");
}

static const struct colo_arbiter_ops a_ops = { a_close, a_fd, a_ask,
                                               a_answer };

/* A protected guest whose primary is no more. */
static void primary_lost(struct session_pair *t, struct colo_parts *parts)
{
    pair_init(t);
    pair_open(t, NULL, parts);
    pair_protected(t, 5);
    shutdown(t->p.control_fd, SHUT_RDWR);
    t->p.rc = 0;
}

START_TEST(the_arbiter_refuses_the_secondary)
{
    struct colo_arbiter a = { .ops = &a_ops };
    struct colo_parts parts = { .arbiter = &a };
    struct session_pair t;

    primary_lost(&t, &parts);
    pair_until(&t, 10000, t.s.rc <= 0);
    ck_assert_int_eq(a.asked, 1);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 0);
    ck_assert_uint_ge(sim_hv_calls(t.s.hv, SIM_OP_DESTROY), 1);
    pair_close(&t);
}
END_TEST

START_TEST(the_arbiter_refuses_the_primary)
{
    struct colo_arbiter a = { .ops = &a_ops };
    struct colo_parts parts = { .arbiter = &a };
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, &parts, NULL);
    pair_protected(&t, 5);
    shutdown(t.s.control_fd, SHUT_RDWR);
    t.s.rc = 0;
    pair_until(&t, 10000, t.p.rc <= 0);
    ck_assert_int_eq(a.asked, 1);
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_GONE);
    pair_close(&t);
}
END_TEST

/* A stream that has ended can be read for ever: a session that has something
 * else to wait for takes no processor meanwhile. */
START_TEST(the_dead_peer_wakes_nobody)
{
    struct colo_arbiter a = { .ops = &a_ops, .silent = true };
    struct colo_parts parts = { .arbiter = &a };
    struct pollfd pfd = { .events = POLLIN };
    struct session_pair t;

    primary_lost(&t, &parts);
    pair_until(&t, 10000, t.s.session->state == COLO_STATE_ARBITRATING);
    for (int i = 0; i < 10; i++)
        side_process(&t.s);
    pfd.fd = colo_session_get_fd(t.s.session);
    ck_assert_int_eq(poll(&pfd, 1, 0), 0);
    ck_assert_uint_gt(colo_session_get_deadline(t.s.session), now_ms());
    a.silent = false;
    pair_until(&t, 10000, t.s.rc <= 0);
    pair_close(&t);
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

/* ---- slow is not dead: with the backup on a thread of its own ------------ */

/* what is slow takes longer than "dead", in parts that do not */
static void slow_init(struct session_pair *t)
{
    pair_init(t);
    t->p.config.dead_ms = t->s.config.dead_ms = 1500;
    t->p.config.commit_ms = t->s.config.commit_ms = 20000;
}

static void *backup_main(void *arg)
{
    struct side *side = arg;

    side->rc = colo_session_run(side->session, &side->err);
    return NULL;
}

static void primary_turn(struct session_pair *t)
{
    struct pollfd pfd = { -1, POLLIN, 0 };

    side_process(&t->p);
    if (t->p.rc > 0)
        pfd.fd = colo_session_get_fd(t->p.session);
    poll(&pfd, 1, 2);
}

/* Both are still there, and end in order. */
static void end_apart(struct session_pair *t, pthread_t backup)
{
    ck_assert_msg(t->p.rc == 1, "P: %d %s; S: %d; started %u, guest %d",
                  t->p.rc, t->p.err.text, t->s.rc,
                  (unsigned)sim_hv_calls(t->s.hv, SIM_OP_START),
                  guest_state(t->guest));
    colo_session_stop(t->p.session, NULL);
    while (t->p.rc > 0)
        primary_turn(t);
    pthread_join(backup, NULL);
    t->s.rc = 0;
    pair_close(t);
}

static uint64_t mark_until;

static int slow_pending(struct colo_replication *r, bool *ret_diverged,
                       struct colo_error *err)
{
    (void)ret_diverged;
    (void)err;
    if (r->checkpoints == 5 && !mark_until)
        mark_until = now_ms() + 2500;
    return r->checkpoints == 5 && now_ms() < mark_until;
}

/* A follower that is slow is no dead host. */
START_TEST(a_slow_mark_is_no_death)
{
    struct colo_replication_ops ops = f_ops;
    struct colo_replication r = { .ops = &ops, .refuse = F_NOTHING };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;
    uint64_t until;
    pthread_t th;

    ops.pending = slow_pending;
    mark_until = 0;
    slow_init(&t);
    pair_open(&t, &parts, NULL);
    pthread_create(&th, NULL, backup_main, &t.s);
    until = now_ms() + 30000;
    while (now_ms() < until && t.p.rc > 0 && t.p.checkpoints < 12)
        primary_turn(&t);
    ck_assert(mark_until);
    end_apart(&t, th);
}
END_TEST

/* one copy takes long: 1024 pages each time */
static struct colo_hv_ops slow_ops;
static const struct colo_hv_ops *real_ops;
static int slow_reads;

static int slow_read(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                    uint8_t *dst, uint8_t *kinds, struct colo_error *err)
{
    if (watched->p.checkpoints >= 4 && slow_reads < 9 && n > 512) {
        slow_reads++;
        usleep(300000);
    }
    return real_ops->read(hv, gfns, n, dst, kinds, err);
}

START_TEST(a_long_copy_is_no_death)
{
    struct session_pair t;
    struct colo_parts pp = { 0 }, sp = { 0 };
    struct colo_hv *hv;
    uint64_t until;
    pthread_t th;

    watched = &t;
    slow_reads = 0;
    slow_init(&t);
    t.sim.nr_gfns = 10752;
    t.sim.max_gfns = 16384;
    pair_connect(&t);
    hv = sim_hv_primary(t.guest);
    real_ops = colo__hv_ops(hv);
    slow_ops = *real_ops;
    slow_ops.read = slow_read;
    *(const struct colo_hv_ops **)hv = &slow_ops;
    side_open(&t.p, hv, &pp);
    side_open(&t.s, sim_hv_secondary(&t.sim), &sp);
    ck_assert_int_eq(sim_guest_run(t.guest, &t.p.err), 0);
    pthread_create(&th, NULL, backup_main, &t.s);
    until = now_ms() + 40000;
    while (now_ms() < until && t.p.rc > 0 && t.p.checkpoints < 12) {
        if (t.p.checkpoints == 4)
            for (uint64_t g = 0; g < 10000; g++)
                sim_guest_mark(t.guest, g);
        primary_turn(&t);
    }
    ck_assert_int_gt(slow_reads, 5);
    end_apart(&t, th);
}
END_TEST

/* The other one stands still for longer than "dead". */
static void alone(struct side *side)
{
    uint64_t until = now_ms() + 3000;

    while (side->rc > 0 && now_ms() < until) {
        side_process(side);
        usleep(2000);
    }
}

/* The backup stands still for longer than "dead", and comes back. */
START_TEST(a_backup_that_was_held_up)
{
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 5);
    alone(&t.p);
    ck_assert_int_eq(t.p.rc, COLO_E_PEER);
    colo_session_close(t.p.session);
    t.p.session = NULL;
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    pair_until(&t, 5000, t.s.rc <= 0);
    ck_assert_msg(sim_hv_calls(t.s.hv, SIM_OP_START) == 0, "both run");
    pair_close(&t);
}
END_TEST

/* The same the other way: its guest was taken over, and must not run twice. */
START_TEST(a_primary_that_was_held_up)
{
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 5);
    alone(&t.s);
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 1);
    pair_until(&t, 5000, t.p.rc <= 0);
    ck_assert_msg(t.p.rc == COLO_E_REFUSED, "%d: %s", t.p.rc, t.p.err.text);
    ck_assert_msg(guest_state(t.guest) == COLO_HV_GONE, "both run");
    pair_close(&t);
}
END_TEST

PURE_MAIN("session-faults", primary_calls_fail, secondary_calls_fail,
          followers_refuse, no_epoch_before_the_first_copies,
          the_guest_waits_for_the_mark, no_commit_before_the_followers,
          the_disks_come_first, no_takeover_without_the_disks,
          the_arbiter_refuses_the_secondary, the_arbiter_refuses_the_primary,
          the_dead_peer_wakes_nobody, grows_before_the_stop,
          gone_in_both_rounds, a_slow_mark_is_no_death,
          a_long_copy_is_no_death, a_backup_that_was_held_up,
          a_primary_that_was_held_up)
