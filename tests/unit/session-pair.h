/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of sessions: a primary and a secondary over simulated guests
 * and socket pairs, both driven by the thread of the test.
 */
#ifndef SESSION_PAIR_H
#define SESSION_PAIR_H

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../sim/hv-sim.h"
#include "parts.h"
#include "session-internal.h"

struct side {
    struct colo_config config;
    struct colo_session *session;
    struct colo_hv *hv;
    int rc;                  /* of the last process; 1 = goes on */
    int control_fd, bulk_fd; /* the session's ends, owned by it */
    struct colo_error err;
    int exit_code, exit_reason;
    uint64_t checkpoints;
    char warning[200];
    int states[64], nstates; /* as they came */
};

struct session_pair {
    struct sim_config sim;
    struct sim_guest *guest;
    struct side p, s;
};

static inline void side_event(void *user, const struct colo_event *ev)
{
    struct side *side = user;

    switch (ev->type) {
    case COLO_EVENT_STATE:
        if (side->nstates < 64)
            side->states[side->nstates++] = ev->state;
        break;
    case COLO_EVENT_CHECKPOINT:
        side->checkpoints++;
        break;
    case COLO_EVENT_WARNING:
        snprintf(side->warning, sizeof(side->warning), "%s", ev->text);
        break;
    case COLO_EVENT_EXIT:
        side->exit_code = ev->code;
        side->exit_reason = ev->reason;
        break;
    default:
        break;
    }
}

static inline void side_log(void *user, int level, int sys_errno,
                            const char *context, const char *text)
{
    (void)sys_errno;
    if (getenv("COLO_TEST_LOG"))
        fprintf(stderr, "%s %d %s: %s\n", (const char *)user, level, context,
                text);
}

static inline void side_init(struct side *side, int role)
{
    struct colo_config *c = &side->config;

    ck_assert_int_eq(colo_config_init(c, sizeof(*c)), 0);
    c->role = role;
    c->transport = COLO_TRANSPORT_FD;
    c->interval_ms = 10;
    c->heartbeat_ms = 20;
    /* what a busy machine may hold a test up for is no failure */
    c->dead_ms = 1200;
    c->stop_ms = 5000;
    c->commit_ms = 5000;
    c->audit_checkpoints = 8;
    c->event_fn = side_event;
    c->event_user = side;
    c->log.fn = side_log;
    c->log.user = role == COLO_ROLE_PRIMARY ? (void *)"P" : (void *)"S";
    side->rc = 1;
    side->exit_code = 999;
}

static inline void pair_init(struct session_pair *t)
{
    memset(t, 0, sizeof(*t));
    /* the simulated toolstack writes its seed in this process */
    signal(SIGPIPE, SIG_IGN);
    sim_config_init(&t->sim);
    side_init(&t->p, COLO_ROLE_PRIMARY);
    side_init(&t->s, COLO_ROLE_SECONDARY);
}

static inline void side_open(struct side *side, struct colo_hv *hv,
                             struct colo_parts *parts)
{
    static const char id[16] = "fifteen and one";
    int rc;

    side->hv = parts->hv = hv;
    parts->session_id = id;
    parts->watchdog_fd = -1;
    rc = colo__link_fd_new(side->control_fd, &parts->control, &side->err);
    ck_assert_msg(!rc, "%s", side->err.text);
    rc = colo__link_fd_new(side->bulk_fd, &parts->bulk, &side->err);
    ck_assert_msg(!rc, "%s", side->err.text);
    rc = colo__session_new(&side->config, parts, &side->session, &side->err);
    ck_assert_msg(!rc, "%s", side->err.text);
    ck_assert_int_eq(colo_set_replication(side->session, 1,
                                          side->config.role ==
                                              COLO_ROLE_PRIMARY,
                                          0, &side->err), 0);
}

/* what both sides have between them */
static inline void pair_connect(struct session_pair *t)
{
    int control[2], bulk[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, control), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, bulk), 0);
    t->p.control_fd = control[0];
    t->s.control_fd = control[1];
    t->p.bulk_fd = bulk[0];
    t->s.bulk_fd = bulk[1];
    ck_assert_int_eq(sim_guest_new(&t->sim, &t->guest, &t->p.err), 0);
}

/* parts may have things in them already (followers, a store) */
static inline void pair_open(struct session_pair *t, struct colo_parts *p,
                             struct colo_parts *s)
{
    struct colo_parts none_p = { 0 }, none_s = { 0 };

    pair_connect(t);
    side_open(&t->p, sim_hv_primary(t->guest), p ? p : &none_p);
    side_open(&t->s, sim_hv_secondary(&t->sim), s ? s : &none_s);
    ck_assert_int_eq(sim_guest_run(t->guest, &t->p.err), 0);
}

static inline uint64_t now_ms(void)
{
    return colo__now_us(&colo__clock_monotonic) / 1000;
}

static inline void side_process(struct side *side)
{
    if (side->session && side->rc > 0)
        side->rc = colo_session_process(side->session, &side->err);
}

/* Drive both until done says so; fails after ms, on a machine of its own. */
#define PAIR_PATIENCE 4
#define pair_until(t, ms, done)                                                \
    do {                                                                       \
        uint64_t until_ = now_ms() + (ms) * PAIR_PATIENCE;                     \
                                                                               \
        while (!(done)) {                                                      \
            ck_assert_msg(now_ms() < until_, "%s did not come: P %s (%s) S "   \
                          "%s (%s)", #done,                                    \
                          (t)->p.session ?                                     \
                          colo_state_name((t)->p.session->state) : "-",        \
                          (t)->p.err.text, (t)->s.session ?                    \
                          colo_state_name((t)->s.session->state) : "-",        \
                          (t)->s.err.text);                                    \
            pair_turn(t);                                                      \
        }                                                                      \
    } while (0)

static inline void pair_turn(struct session_pair *t)
{
    struct pollfd pfd[2] = { { -1, POLLIN, 0 }, { -1, POLLIN, 0 } };

    side_process(&t->p);
    side_process(&t->s);
    if (t->p.session && t->p.rc > 0)
        pfd[0].fd = colo_session_get_fd(t->p.session);
    if (t->s.session && t->s.rc > 0)
        pfd[1].fd = colo_session_get_fd(t->s.session);
    (void)poll(pfd, 2, 2);
}

static inline void pair_protected(struct session_pair *t, uint64_t n)
{
    pair_until(t, 10000, t->p.checkpoints >= n);
}

static inline bool pair_over(struct session_pair *t)
{
    return t->p.rc <= 0 && t->s.rc <= 0;
}

/* Drive until both have ended or the primary has made many checkpoints. */
static inline void pair_run_on(struct session_pair *t)
{
    uint64_t more = t->p.checkpoints + 20;
    uint64_t until = now_ms() + 15000 * PAIR_PATIENCE;

    while (!pair_over(t) && t->p.checkpoints < more) {
        ck_assert_msg(now_ms() < until, "hangs: P %s, S %s",
                      colo_state_name(t->p.session->state),
                      colo_state_name(t->s.session->state));
        pair_turn(t);
    }
    if (!pair_over(t)) {
        ck_assert_int_eq(colo_session_stop(t->p.session, NULL), 0);
        pair_until(t, 15000, pair_over(t));
    }
}

static inline void pair_close(struct session_pair *t)
{
    colo_session_close(t->p.session);
    colo_session_close(t->s.session);
    sim_guest_free(t->guest);
}

static inline int guest_state(const struct sim_guest *guest)
{
    struct sim_look look;

    sim_guest_look(guest, &look);
    return look.state;
}

#endif
