/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Slow is not dead: copies, disks and whole processes that take longer than
 * "dead" cost nobody the guest, and never leave two of it.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "session-arbiter.h"
#include "session-follower.h"

#include "hv/watchdog.h"
#include "pure-common.h"

/* What is slow takes longer than "dead", in parts that do not; and "dead" is
 * longer than a sanitizer beside emulated machines keeps a test waiting. */
#define DEAD_MS 4000
#define SLOW_MS 6000

static void slow_init(struct session_pair *t)
{
    pair_init(t);
    t->p.config.dead_ms = t->s.config.dead_ms = DEAD_MS;
    /* a socket pair takes few of them from one who does not read meanwhile */
    t->p.config.heartbeat_ms = t->s.config.heartbeat_ms = 200;
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
    ck_assert_msg(sim_hv_calls(t->s.hv, SIM_OP_START) == 0, "both run");
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
        mark_until = now_ms() + 2700; /* it may take 3000 */
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
    t.p.config.dead_ms = t.s.config.dead_ms = 2200;
    pair_open(&t, &parts, NULL);
    pthread_create(&th, NULL, backup_main, &t.s);
    until = now_ms() + 60000;
    while (now_ms() < until && t.p.rc > 0 && t.p.checkpoints < 12)
        primary_turn(&t);
    ck_assert(mark_until);
    end_apart(&t, th);
}
END_TEST

/* one copy takes long: 1024 pages each time */
static struct session_pair *watched;
static struct colo_hv_ops slow_ops;
static const struct colo_hv_ops *real_ops;

/* A primary with calls of ours where they are not NULL, and its backup on a
 * thread. */
static pthread_t slow_open(struct session_pair *t,
                           int (*read)(struct colo_hv *, const uint64_t *,
                                       size_t, uint8_t *, uint8_t *,
                                       struct colo_error *),
                           const struct colo_stop_ops *stop)
{
    struct colo_parts pp = { 0 }, sp = { 0 };
    struct colo_hv *hv;
    pthread_t th;

    pair_connect(t);
    hv = sim_hv_primary(t->guest);
    real_ops = colo__hv_ops(hv);
    slow_ops = *real_ops;
    if (read)
        slow_ops.read = read;
    if (stop)
        slow_ops.stop = stop;
    *(const struct colo_hv_ops **)hv = &slow_ops;
    side_open(&t->p, hv, &pp);
    side_open(&t->s, sim_hv_secondary(&t->sim), &sp);
    ck_assert_int_eq(sim_guest_run(t->guest, &t->p.err), 0);
    ck_assert_int_eq(pthread_create(&th, NULL, backup_main, &t->s), 0);
    return th;
}

static int slow_reads;

static int slow_read(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                    uint8_t *dst, uint8_t *kinds, struct colo_error *err)
{
    if (watched->p.checkpoints >= 4 && slow_reads < 9 && n > 512) {
        slow_reads++;
        usleep(SLOW_MS * 1000 / 8);
    }
    return real_ops->read(hv, gfns, n, dst, kinds, err);
}

START_TEST(a_long_copy_is_no_death)
{
    struct session_pair t;
    uint64_t until;
    pthread_t th;

    watched = &t;
    slow_reads = 0;
    slow_init(&t);
    t.sim.nr_gfns = 10752;
    t.sim.max_gfns = 16384;
    th = slow_open(&t, slow_read, NULL);
    until = now_ms() + 60000;
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

/* ---- a guest that is slow to suspend -------------------------------------- */

static bool deaf;

static int deaf_request(struct colo_hv *hv, struct colo_error *err)
{
    return deaf ? 0 : real_ops->stop->request(hv, err);
}

/* It may yet do it, so it is waited for. */
static int slow_cancel(struct colo_hv *hv, bool *ret_stopped,
                       struct colo_error *err)
{
    if (!deaf)
        return real_ops->stop->cancel(hv, ret_stopped, err);
    usleep(SLOW_MS * 1000);
    *ret_stopped = false;
    return 0;
}

static int real_resume(struct colo_hv *hv, struct colo_error *err)
{
    return real_ops->stop->resume(hv, err);
}

START_TEST(a_slow_stop_is_no_death)
{
    static const struct colo_stop_ops stop = {
        .request = deaf_request, .cancel = slow_cancel, .resume = real_resume,
    };
    struct session_pair t;
    uint64_t until;
    pthread_t th;

    deaf = false;
    slow_init(&t);
    t.p.config.stop_ms = 20000;
    th = slow_open(&t, NULL, &stop);
    until = now_ms() + 60000;
    while (now_ms() < until && t.p.rc > 0 && t.p.checkpoints < 5)
        primary_turn(&t);
    deaf = true;
    while (now_ms() < until && t.p.rc > 0 &&
           t.p.session->state != COLO_STATE_STOPPING)
        primary_turn(&t);
    end_apart(&t, th);
}
END_TEST

/* The other one stands still for longer than "dead". */
static void alone(struct side *side)
{
    uint64_t until = now_ms() + 20000;

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

static int some_secret(struct colo_link *link, uint8_t *ret,
                       struct colo_error *err)
{
    (void)link, (void)err;
    memset(ret, 0xa5, COLO_LINK_SECRET);
    return 0;
}

static void part(struct colo_link *link, const void *data, size_t len)
{
    ck_assert_int_eq(send(colo__link_ops(link)->fd(link), data, len,
                          MSG_NOSIGNAL), (ssize_t)len);
}

/* Likewise, but it is killed and does not come back: its watchdog hears of the
 * takeover. */
START_TEST(a_primary_that_was_killed_instead)
{
    struct colo_link_ops ops;
    struct colo_link *link;
    struct session_pair t;
    struct colo_error err;
    uint8_t secret[COLO_LINK_SECRET];
    int words[2], control;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 5);
    link = t.s.session->parts.control;
    ops = *colo__link_ops(link);
    ops.secret = some_secret;
    ops.part = part;
    *(const struct colo_link_ops **)link = &ops;
    alone(&t.s);
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 1);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, words), 0);
    (void)some_secret(NULL, secret, NULL);
    link = t.p.session->parts.control;
    ck_assert_int_eq(colo__watchdog_lend(words[0],
                                         colo__link_ops(link)->fd(link),
                                         secret, &err), 0);
    close(words[0]);
    ck_assert_int_eq(colo__watchdog_wait(words[1], &control),
                     COLO_WATCHDOG_YIELDED);
    close(control);
    close(words[1]);
    pair_close(&t);
}
END_TEST

/* ---- words that cross ------------------------------------------------------ */

/* The primary comes back, and goes on alone, while a disk keeps the backup from
 * starting the replica. */
START_TEST(a_takeover_that_comes_late)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .failover_says = 1 };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;
    uint64_t until;

    pair_init(&t);
    pair_open(&t, NULL, &parts);
    pair_protected(&t, 5);
    until = now_ms() + 20000;
    while (now_ms() < until && !r.failovers) {
        side_process(&t.s);
        usleep(2000);
    }
    ck_assert_int_eq(r.failovers, 1);
    alone(&t.p);
    ck_assert_int_eq(t.p.rc, COLO_E_PEER);
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    r.failover_says = 0;
    pair_until(&t, 5000, t.s.rc <= 0);
    ck_assert_msg(sim_hv_calls(t.s.hv, SIM_OP_START) == 0, "both run");
    ck_assert_int_lt(t.s.rc, 0);
    ck_assert_uint_ge(sim_hv_calls(t.s.hv, SIM_OP_DESTROY), 1);
    /* or the disk would keep its copy for the newest */
    ck_assert_int_eq(r.undones, 1);
    ck_assert_int_eq(r.stops, 1);
    ck_assert_int_eq(r.speaks, 0);
    pair_close(&t);
}
END_TEST

/* The backup takes over while the primary still asks whether it may go on. */
START_TEST(an_answer_that_comes_late)
{
    struct colo_arbiter a = { .ops = &a_ops, .silent = true,
                              .allows = true };
    struct colo_parts parts = { .arbiter = &a };
    struct session_pair t;
    uint64_t until;

    pair_init(&t);
    pair_open(&t, &parts, NULL);
    pair_protected(&t, 5);
    until = now_ms() + 20000;
    while (now_ms() < until &&
           t.p.session->state != COLO_STATE_ARBITRATING) {
        side_process(&t.p);
        usleep(2000);
    }
    ck_assert_int_eq(t.p.session->state, COLO_STATE_ARBITRATING);
    alone(&t.s);
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 1);
    a.silent = false;
    pair_until(&t, 5000, t.p.rc <= 0);
    ck_assert_msg(guest_state(t.guest) == COLO_HV_GONE, "both run");
    ck_assert_int_eq(t.p.rc, COLO_E_REFUSED);
    pair_close(&t);
}
END_TEST

PURE_MAIN("session-slow", a_slow_mark_is_no_death, a_long_copy_is_no_death,
          a_slow_stop_is_no_death, a_backup_that_was_held_up,
          a_primary_that_was_held_up, a_primary_that_was_killed_instead,
          a_takeover_that_comes_late, an_answer_that_comes_late)
