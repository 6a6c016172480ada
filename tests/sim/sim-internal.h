/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the files of hv-sim share: the control page (in shared memory, used by
 * several processes at once, so all that changes is atomic) and a process's
 * view of a guest.  Not for tests: they use hv-sim.h.
 *
 * The word `run` is the only truth about who may run; every change of it is
 * one compare-and-swap, so that a stop that is being answered and one that is
 * being taken back cannot both win.
 */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "hv-sim.h"

#define SIM_MAGIC UINT64_C(0x31306d69732d7668) /* "hv-sim01" */

/* values of run; SHUTDOWN carries its reason in the second byte */
#define SIM_RUNNING  1u
#define SIM_ASKED    2u /* runs until it takes notice of the stop */
#define SIM_STOPPED  3u
#define SIM_SHUTDOWN 4u
#define SIM_GONE     5u

/* Sizes that make a guest; travel with the seed. */
struct sim_layout {
    uint64_t nr_gfns; /* at the start */
    uint64_t max_gfns;
    struct pulse_params pulse;
    uint32_t ring_pages, special_pages, balloon_pages, hole_pages;
    uint32_t balloon_every, ring_every, context_pad, flags;
    uint32_t noise_pages, noise_every;
    char name[64];
    uint8_t uuid[16];
};
#define SIM_LAYOUT_SPARSE     1u
#define SIM_LAYOUT_UNRECORDED 2u
#define SIM_LAYOUT_LOCKSTEP   4u

struct sim_ctl {
    uint64_t magic;
    struct sim_layout layout;
    _Atomic uint32_t run;
    _Atomic uint32_t kick;   /* futex: something for the vCPU changed */
    _Atomic uint32_t paused; /* by somebody, or not yet started */
    _Atomic uint32_t stuck;  /* a stop is not answered */
    _Atomic uint32_t crippled;      /* no devices any more */
    _Atomic uint32_t cripple_event; /* ... and nobody was told yet */
    _Atomic uint32_t track;
    _Atomic uint32_t track_generation; /* counts switches-off */
    _Atomic uint32_t domid;
    _Atomic int32_t vcpu_pid;
    uint32_t step_us, stop_delay_us, life_ms, vcpu;
    _Atomic uint64_t nr_gfns, tot_pages;
    _Atomic uint64_t steps, bad;
    _Atomic uint64_t goal;     /* lockstep: no step beyond */
    _Atomic uint32_t in_step;  /* the vCPU is between two looks at run */
    _Atomic uint32_t copy;     /* life->run, and no start since */
    uint64_t salt;             /* of this copy's noise */
    _Atomic uint64_t stops, resumes, tracks, cleans, abandons;
    struct pulse_state origin;  /* registers of step 0 */
    struct pulse_state context; /* the vCPU's while it runs */
    struct pulse_report report;
};

struct sim_guest {
    struct sim_ctl *ctl;
    size_t ctl_bytes, mem_bytes;
    uint8_t *mem;
    _Atomic uint64_t *dirty, *present; /* behind *ctl */
    int event_in, event_out; /* readable when the session should look */
    uint32_t *touched;       /* pages of the step under way */
    uint32_t touched_count;
    pthread_t thread;
    bool has_thread;
    _Atomic bool quit;       /* this process's vCPU thread */
};

static inline uint64_t sim_words(uint64_t bits)
{
    return (bits + 63) / 64;
}

static inline uint64_t sim_ring_at(const struct sim_layout *layout)
{
    return layout->pulse.pages;
}

static inline uint64_t sim_special_at(const struct sim_layout *layout)
{
    return sim_ring_at(layout) + layout->ring_pages;
}

static inline uint64_t sim_balloon_at(const struct sim_layout *layout)
{
    return sim_special_at(layout) + layout->special_pages;
}

static inline uint64_t sim_static_at(const struct sim_layout *layout)
{
    return sim_balloon_at(layout) + layout->balloon_pages;
}

/* at the end, before the hole */
static inline uint64_t sim_noise_at(const struct sim_layout *layout)
{
    return layout->nr_gfns - layout->hole_pages - layout->noise_pages;
}

static inline bool sim_test(const _Atomic uint64_t *map, uint64_t bit)
{
    return atomic_load(&map[bit / 64]) >> (bit % 64) & 1;
}

/* guest.c.  fill: give it the content of step 0 (else: no memory yet). */
int sim__guest_make(const struct sim_config *config,
                    const struct sim_layout *layout, bool fill,
                    struct sim_guest **ret_guest, struct colo_error *err);
int sim__layout_check(const struct sim_layout *layout,
                      struct colo_error *err);
void sim__static_page(const struct sim_layout *layout, uint64_t gfn,
                      uint8_t *ret_page);
void sim__kick(struct sim_guest *guest);
void sim__tell(struct sim_guest *guest); /* the session should look */
void sim__present(struct sim_guest *guest, uint64_t gfn, bool on);
bool sim__run_change(struct sim_guest *guest, uint32_t from, uint32_t to);

/* verify.c: the registers of step 0; -1 if the parameters cannot be */
int sim__origin(const struct pulse_params *params,
                struct pulse_state *ret_state);

/* vcpu.c */
int sim__vcpu_start(struct sim_guest *guest, struct colo_error *err);
void sim__vcpu_join(struct sim_guest *guest);

/* context.c: the machine's state as bytes */
uint32_t sim__context_len(const struct sim_guest *guest);
void sim__context_get(const struct sim_guest *guest, uint8_t *out);
int sim__context_check(const struct sim_guest *guest, const uint8_t *buf,
                       uint32_t len, struct pulse_state *ret_state,
                       struct colo_error *err);

/* seed.c: one copy under way, on a thread of its own.  config NULL: out of
 * *guest; else: in, and *guest is made.  step gives the figures, and 1 not
 * over, 0 done, < 0 failed. */
struct sim_seed;
int sim__seed_start(struct sim_guest **guest, const struct sim_config *config,
                    int fd, int event_fd, struct sim_seed **ret_seed,
                    struct colo_error *err);
int sim__seed_look(struct sim_seed *seed, uint64_t *ret_done,
                   uint64_t *ret_total, struct colo_error *err);
void sim__seed_end(struct sim_seed *seed); /* cancel, join, free */

#endif
