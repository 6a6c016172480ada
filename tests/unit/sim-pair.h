/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of the simulated guest: a guest, its hv, and a replica that
 * is seeded from it, all in this process.
 */
#ifndef SIM_PAIR_H
#define SIM_PAIR_H

#include <check.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../sim/hv-sim.h"
#include "pure-common.h"

struct sim_pair {
    struct sim_config config;
    struct sim_guest *guest;
    struct colo_hv *hv;        /* of guest */
    struct colo_hv *replica_hv;
    struct sim_guest *replica; /* borrowed from it */
    struct colo_bitmap bm;
    struct colo_error err;
};

#define sim_ok(pair, call) \
    ck_assert_msg((call) == 0, "%s: %s", #call, (pair)->err.text)

/* Until one of the events; fails after 5 s.  Returns all that came. */
static inline uint32_t sim_wait(struct sim_pair *p, struct colo_hv *hv,
                                uint32_t events)
{
    const struct colo_hv_ops *ops = colo__hv_ops(hv);
    struct colo_hv_event ev;
    uint32_t seen = 0;

    while (!(seen & events)) {
        struct pollfd pfd = { .fd = ops->fd(hv), .events = POLLIN };

        ck_assert_msg(poll(&pfd, 1, 5000) == 1, "event %x did not come",
                      events);
        sim_ok(p, ops->poll(hv, &ev, &p->err));
        seen |= ev.events;
    }
    return seen;
}

/* config may be changed between init and start */
static inline void sim_pair_init(struct sim_pair *p)
{
    memset(p, 0, sizeof(*p));
    sim_config_init(&p->config);
    colo__bitmap_init(&p->bm);
}

static inline void sim_pair_start(struct sim_pair *p)
{
    sim_ok(p, sim_guest_new(&p->config, &p->guest, &p->err));
    p->hv = sim_hv_primary(p->guest);
    p->replica_hv = sim_hv_secondary(&p->config);
    sim_ok(p, sim_guest_run(p->guest, &p->err));
}

/* Afterwards both stand still and are equal, tracking is on. */
static inline void sim_pair_seed(struct sim_pair *p)
{
    const struct colo_hv_ops *ops = colo__hv_ops(p->hv);
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    sim_ok(p, ops->life->seed_out(p->hv, fds[0], &p->err));
    sim_ok(p, ops->life->seed_in(p->replica_hv, fds[1], &p->err));
    sim_wait(p, p->hv, COLO_HV_EV_SEEDED);
    sim_wait(p, p->replica_hv, COLO_HV_EV_SEEDED);
    p->replica = sim_hv_guest(p->replica_hv);
    sim_ok(p, ops->track(p->hv, 1, &p->err));
}

/* Take the dirty set and write it to the replica; returns its frames. */
static inline uint64_t sim_pair_copy(struct sim_pair *p, uint32_t flags,
                                     bool *ret_lost)
{
    const struct colo_hv_ops *ops = colo__hv_ops(p->hv);
    const struct colo_hv_ops *to = colo__hv_ops(p->replica_hv);
    uint8_t page[COLO_PAGE_SIZE], kind;
    uint64_t pos = 0, gfn;

    colo__bitmap_zero(&p->bm);
    sim_ok(p, ops->dirty(p->hv, &p->bm, flags, ret_lost, &p->err));
    while (colo__bitmap_scan(&p->bm, &pos, &gfn, 1)) {
        sim_ok(p, ops->read(p->hv, &gfn, 1, page, &kind, &p->err));
        if (kind != COLO_PAGE_SKIP)
            sim_ok(p, to->write(p->replica_hv, &gfn, 1,
                                kind == COLO_PAGE_GONE ? NULL : page,
                                &p->err));
    }
    return colo__bitmap_count(&p->bm);
}

/* One checkpoint: stop, copy, context, go on.  Returns what was copied. */
static inline uint64_t sim_pair_checkpoint(struct sim_pair *p, bool go_on)
{
    const struct colo_hv_ops *ops = colo__hv_ops(p->hv);
    const struct colo_hv_ops *to = colo__hv_ops(p->replica_hv);
    uint8_t context[4096];
    uint32_t len;
    uint64_t n;
    bool lost;

    sim_ok(p, ops->stop->request(p->hv, &p->err));
    sim_wait(p, p->hv, COLO_HV_EV_STOPPED);
    n = sim_pair_copy(p, COLO_DIRTY_CLEAN | COLO_DIRTY_FINAL, &lost);
    sim_ok(p, ops->machine->get(p->hv, context, sizeof(context), &len,
                                &p->err));
    sim_ok(p, to->machine->check(p->replica_hv, context, len, &p->err));
    sim_ok(p, to->machine->set(p->replica_hv, context, len, &p->err));
    if (go_on)
        sim_ok(p, ops->stop->resume(p->hv, &p->err));
    return n;
}

static inline void sim_pair_verify(struct sim_pair *p)
{
    char why[256] = "";

    ck_assert_msg(sim_guest_verify(p->replica, &p->config, why, sizeof(why)),
                  "replica: %s", why);
}

static inline void sim_pair_fini(struct sim_pair *p)
{
    if (p->hv)
        colo__hv_ops(p->hv)->close(p->hv);
    if (p->replica_hv)
        colo__hv_ops(p->replica_hv)->close(p->replica_hv);
    sim_guest_free(p->guest);
    colo__bitmap_fini(&p->bm);
}

#endif
