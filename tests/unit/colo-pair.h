/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of mode colo: a pair of sessions whose copies are compared, byte
 * for byte, whenever both stand still, and whose links can be cut at a step.
 */
#ifndef COLO_PAIR_H
#define COLO_PAIR_H

#include "session-pair.h"

struct colo_pair {
    struct session_pair t;
    struct colo_parts parts[2];
    uint64_t compared;       /* checkpoints at which both were equal */
    const char *break_at;    /* a step, of side break_side: links go */
    int break_side;
    uint32_t break_count;
    bool broken;
};

/* Every frame, noise too; both stand still. */
static inline void both_are_equal(struct colo_pair *c)
{
    struct sim_guest *a = c->t.guest, *b = sim_hv_guest(c->t.s.hv);
    struct sim_look la, lb;

    sim_guest_look(a, &la);
    sim_guest_look(b, &lb);
    ck_assert_int_eq(la.state, COLO_HV_STOPPED);
    ck_assert_int_ne(lb.state, COLO_HV_RUNNING);
    ck_assert_uint_eq(la.steps, lb.steps);
    for (uint64_t gfn = 0; gfn < la.nr_gfns; gfn++) {
        bool outside = gfn >= c->t.sim.pulse.pages &&
                       gfn < c->t.sim.pulse.pages + c->t.sim.ring_pages +
                                 c->t.sim.special_pages;

        if (outside)
            continue;
        ck_assert_int_eq(sim_guest_present(a, gfn),
                         sim_guest_present(b, gfn));
        ck_assert_msg(!sim_guest_present(a, gfn) ||
                          !memcmp(sim_guest_page(a, gfn),
                                  sim_guest_page(b, gfn), COLO_PAGE_SIZE),
                      "frame %llu differs", (unsigned long long)gfn);
    }
    c->compared++;
}

static inline void cut(struct colo_pair *c)
{
    shutdown(c->t.p.control_fd, SHUT_RDWR);
    shutdown(c->t.p.bulk_fd, SHUT_RDWR);
    c->broken = true;
}

static inline void on_step(struct colo_pair *c, int side, const char *step)
{
    /* once the link is cut, the guest goes on as soon as that is known */
    if (side == COLO_ROLE_SECONDARY && !strcmp(step, "set") && !c->broken)
        both_are_equal(c);
    if (c->break_at && side == c->break_side && !c->broken &&
        !strcmp(step, c->break_at) && !--c->break_count)
        cut(c);
}

static inline void step_p(void *user, const char *step)
{
    on_step(user, COLO_ROLE_PRIMARY, step);
}

static inline void step_s(void *user, const char *step)
{
    on_step(user, COLO_ROLE_SECONDARY, step);
}

static inline void colo_init(struct colo_pair *c)
{
    memset(c, 0, sizeof(*c));
    pair_init(&c->t);
    c->t.p.config.mode = COLO_MODE_COLO;
    c->t.p.config.interval_ms = 5;
    c->t.sim.noise_pages = 4;
    c->t.sim.noise_every = 3;
    for (int i = 0; i < 2; i++) {
        c->parts[i].step_fn = i ? step_s : step_p;
        c->parts[i].step_user = c;
    }
}

static inline void colo_open(struct colo_pair *c)
{
    pair_open(&c->t, &c->parts[0], &c->parts[1]);
}

static inline struct sim_guest *replica(struct colo_pair *c)
{
    return sim_hv_guest(c->t.s.hv);
}

static inline bool is_copy(struct colo_pair *c)
{
    struct sim_look look;

    sim_guest_look(replica(c), &look);
    return look.copy;
}

/* It runs on, and is one whole moment of the guest. */
static inline void is_whole(struct colo_pair *c, struct sim_guest *guest)
{
    struct sim_look look;
    char why[200];

    ck_assert_int_eq(guest_state(guest), COLO_HV_RUNNING);
    sim_guest_look(guest, &look);
    ck_assert(sim_guest_wait_steps(guest, look.steps + 20, 5000));
    sim_guest_suspend(guest);
    for (int i = 0; i < 1000 && guest_state(guest) != COLO_HV_STOPPED; i++)
        usleep(1000);
    ck_assert_int_eq(guest_state(guest), COLO_HV_STOPPED);
    ck_assert_msg(sim_guest_verify(guest, &c->t.sim, why, sizeof(why)), "%s",
                  why);
    sim_guest_look(guest, &look);
    ck_assert_uint_eq(look.bad, 0);
}

#endif
