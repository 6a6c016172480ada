/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Who goes on with the guest: an arbiter that says no, in its own time, and a
 * primary that gives its guest to the other side.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session-arbiter.h"

#include "pure-common.h"

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

/* ---- what the primary's watchdog is told ------------------------------- */

static const struct colo_hv_ops *real_ops;
static int watchdog[2]; /* the session's end, the watchdog's */
static char words_before[8];

/* One after the other: what came with a descriptor ends a read. */
static void hear(char *words, size_t len)
{
    size_t n = 0;

    while (n < len - 1 &&
           recv(watchdog[1], words + n, 1, MSG_DONTWAIT) == 1) {
        if (words[n] != 'f') /* the link, lent */
            n++;
    }
    words[n] = 0;
}

static int listen_and_destroy(struct colo_hv *hv, struct colo_error *err)
{
    hear(words_before, sizeof(words_before));
    return real_ops->life->destroy(hv, err);
}

/* A primary that is killed while it ends its guest for the other side must not
 * have it back; one that cannot end it, must. */
START_TEST(the_watchdog_knows)
{
    for (int refuses = 0; refuses < 2; refuses++) {
        struct colo_life_ops life;
        struct colo_hv_ops ops;
        struct session_pair t;
        char words[8];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, watchdog), 0);
        pair_init(&t);
        pair_open(&t, NULL, NULL);
        real_ops = colo__hv_ops(t.p.hv);
        life = *real_ops->life;
        life.destroy = listen_and_destroy;
        ops = *real_ops;
        ops.life = &life;
        *(const struct colo_hv_ops **)t.p.hv = &ops;
        t.p.session->parts.watchdog_fd = watchdog[0];
        words_before[0] = 0;
        pair_protected(&t, 5);
        if (refuses)
            sim_hv_fail(t.p.hv, SIM_OP_DESTROY, 1, COLO_E_HV, false);
        ck_assert_int_eq(colo_session_failover(t.s.session, &t.s.err), 0);
        pair_until(&t, 20000, pair_over(&t));
        ck_assert_str_eq(words_before, "y");
        hear(words, sizeof(words));
        ck_assert_str_eq(words, refuses ? "kq" : "q");
        ck_assert_int_eq(guest_state(t.guest),
                         refuses ? COLO_HV_RUNNING : COLO_HV_GONE);
        pair_close(&t);
        close(watchdog[1]);
    }
}
END_TEST

/* ---- closed in the middle ---------------------------------------------- */

static atomic_bool started;

static void *close_it(void *arg)
{
    struct side *side = arg;

    colo_session_close(side->session);
    return NULL;
}

static void note_started(void *user, const char *step)
{
    (void)user;
    if (!strcmp(step, "started"))
        atomic_store(&started, true);
}

/* By then the primary ends its guest: there is no other left. */
START_TEST(closed_while_it_takes_over)
{
    struct colo_parts parts = { .step_fn = note_started };
    struct session_pair t;
    pthread_t th;

    atomic_store(&started, false);
    pair_init(&t);
    pair_open(&t, NULL, &parts);
    pair_protected(&t, 5);
    ck_assert_int_eq(colo_session_failover(t.s.session, &t.s.err), 0);
    while (t.s.session->state != COLO_STATE_ARBITRATING)
        side_process(&t.s);
    ck_assert_int_eq(pthread_create(&th, NULL, close_it, &t.s), 0);
    poll(NULL, 0, 1500); /* longer than a session that is closed has */
    pair_until(&t, 5000, (side_process(&t.p), t.p.rc <= 0));
    pthread_join(th, NULL);
    ck_assert(atomic_load(&started));
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_GONE);
    t.s.session = NULL;
    pair_close(&t);
}
END_TEST

PURE_MAIN("session-arbiter", the_arbiter_refuses_the_secondary,
          the_arbiter_refuses_the_primary, the_dead_peer_wakes_nobody,
          the_watchdog_knows, closed_while_it_takes_over)
