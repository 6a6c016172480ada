/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the files that make up the seam of hv-sim share: hv.c (failure
 * injection, events, making), hv-memory.c, hv-life.c.
 */
#ifndef SIM_HV_INTERNAL_H
#define SIM_HV_INTERNAL_H

#include "sim-internal.h"

struct sim_hv {
    const struct colo_hv_ops *ops; /* first */
    struct sim_guest *guest;       /* NULL: secondary before the seed */
    bool secondary;                /* then the guest is ours */
    struct sim_config config;      /* secondary: for the replica */
    int epoll, own_event;
    struct sim_seed *seed;
    bool seeded;
    bool stop_asked, guest_told, ended;
    bool tracking;                 /* we switched it on */
    uint32_t generation;           /* of the switch, at that time */
    uint64_t tot_pages;            /* at the last dirty */
    _Atomic uint32_t calls[SIM_OP_COUNT];
    uint32_t fail_at[SIM_OP_COUNT]; /* 0 never */
    int fail_code[SIM_OP_COUNT];
    bool fail_on[SIM_OP_COUNT];
};

static inline struct sim_hv *sim(struct colo_hv *hv)
{
    return (struct sim_hv *)hv;
}

/* hv.c.  Count the call; the code that it is to fail with, or 0.  With a guest:
 * also if there is none, or it is gone. */
int sim__enter(struct sim_hv *h, int op, struct colo_error *err);
int sim__enter_guest(struct sim_hv *h, int op, struct colo_error *err);

/* an error if its devices are gone */
int sim__devices(const struct sim_hv *h, struct colo_error *err);

/* hv-memory.c */
int sim__track(struct colo_hv *hv, int on, struct colo_error *err);
int sim__dirty(struct colo_hv *hv, struct colo_bitmap *bm, uint32_t flags,
               bool *ret_lost, struct colo_error *err);
int sim__unmarked(struct colo_hv *hv, struct colo_bitmap *bm,
                  struct colo_error *err);
int sim__read(struct colo_hv *hv, const uint64_t *gfns, size_t n,
              uint8_t *dst, uint8_t *kinds, struct colo_error *err);
int sim__write(struct colo_hv *hv, const uint64_t *gfns, size_t n,
               const uint8_t *src, struct colo_error *err);

/* hv-life.c */
extern const struct colo_stop_ops sim__stop_ops;
extern const struct colo_machine_ops sim__machine_ops;
extern const struct colo_life_ops sim__life_ops;

#endif
