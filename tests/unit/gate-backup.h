/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A session's primary, the gate, and an xl that receives: set up, and joined.
 */
#ifndef GATE_BACKUP_H
#define GATE_BACKUP_H

#include "gate-common.h"

struct all {
    struct session_pair t;
    struct xl xl;
    struct gate gate;
    int control[2], bulk[2], stream[2];
    pthread_t thread;
    int rc;
    struct colo_error err;
    char armed[64];
    int destroyed, destroy_rc; /* how often, and what comes of it */
};

static inline int on_armed(void *user, const char *name, int fd,
                           struct colo_error *err)
{
    struct all *a = user;

    (void)err;
    ck_assert_int_ge(fd, 0);
    snprintf(a->armed, sizeof(a->armed), "%s", name);
    return 0;
}

static inline int on_destroy(void *user, const char *name,
                             struct colo_error *err)
{
    struct all *a = user;

    a->destroyed++;
    return a->destroy_rc ? colo__fail(err, a->destroy_rc, 0, "test",
                                      "%s is not destroyed", name) : 0;
}

/* as ssh hands it on */
static inline int on_ended(void *user, bool revoked, struct colo_error *err)
{
    struct all *a = user;
    int end = atomic_load(&a->xl.end);

    (void)revoked;
    if (end == XL_GAVE_UP || end == XL_CONFUSED)
        return colo__fail(err, COLO_E_PEER_SAID, 0, "test", "xl has ended");
    return colo__fail(err, COLO_E_PEER, 0, "test", "the connection is lost");
}

static inline void *gate_main(void *arg)
{
    struct all *a = arg;

    a->rc = gate_to_backup(&a->gate, &a->err);
    colo__link_ops(a->gate.control)->close(a->gate.control);
    colo__link_ops(a->gate.bulk)->close(a->gate.bulk);
    return NULL;
}

static inline void all_init(struct all *a)
{
    memset(a, 0, sizeof(*a));
    pair_init(&a->t);
    a->t.p.config.dead_ms = 2000;
    a->gate.greet_ms = a->gate.send_ms = a->gate.end_ms = 5000;
}

/* primary: a simulated guest's hv */
static inline void all_start(struct all *a,
                             struct colo_hv *(*primary)(struct sim_guest *g))
{
    static const char id[16] = "fifteen and one";
    struct colo_parts parts = { 0 };
    struct session_pair *t = &a->t;

    xl_make(&a->xl, &t->sim);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a->control), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a->bulk), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a->stream), 0);
    a->xl.fd = a->stream[1];
    a->gate.fd = a->stream[0];
    a->gate.user = a;
    a->gate.armed = on_armed;
    a->gate.destroy = on_destroy;
    a->gate.ended = on_ended;
    a->gate.log = &a->t.p.config.log;
    memcpy(a->gate.session, id, sizeof(id));
    ck_assert_int_eq(colo__link_fd_new(a->control[1], &a->gate.control, NULL),
                     0);
    ck_assert_int_eq(colo__link_fd_new(a->bulk[1], &a->gate.bulk, NULL), 0);
    ck_assert_int_eq(pthread_create(&a->xl.thread, NULL, xl_main, &a->xl), 0);
    ck_assert_int_eq(pthread_create(&a->thread, NULL, gate_main, a), 0);
    t->p.control_fd = a->control[0];
    t->p.bulk_fd = a->bulk[0];
    ck_assert_int_eq(sim_guest_new(&t->sim, &t->guest, &t->p.err), 0);
    side_open(&t->p, primary(t->guest), &parts);
    ck_assert_int_eq(sim_guest_run(t->guest, &t->p.err), 0);
}

/* The gate and xl have ended, too. */
static inline void all_join(struct all *a)
{
    pthread_join(a->thread, NULL);
    pthread_join(a->xl.thread, NULL);
    close(a->xl.fd);
}

#endif
