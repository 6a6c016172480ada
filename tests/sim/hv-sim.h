/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * hv-sim: a simulated guest behind libcolo/hv/hv.h, for unit tests, the
 * chaos campaign and native benchmarks.  The guest is memory and a control
 * page, both shared mappings, and a vCPU that runs the program of
 * ../pulse/pulse-core.h, so that what every byte must be is known.
 *
 * The vCPU is a thread, or a process of its own that outlives the session
 * (kill -9 of a session then leaves the guest as on a real host).  With a
 * directory, memory and control page are the files mem and ctl in it, and any
 * process can attach to look at them or to run a hazard.
 *
 * Frames: pulse area, rings, special frames, balloon range, static frames,
 * and a hole at the end.  Sizes are frames.
 */
#ifndef HV_SIM_H
#define HV_SIM_H

#include <sys/types.h>

#include "hv/hv.h"
#include "../pulse/pulse-core.h"

#define SIM_VCPU_NONE    0 /* steps are made by sim_guest_steps() only */
#define SIM_VCPU_THREAD  1
#define SIM_VCPU_PROCESS 2

struct sim_config {
    const char *dir;         /* NULL: memfd, reached by fork only */
    const char *name;
    uint64_t nr_gfns;
    uint64_t max_gfns;       /* may grow to this; 0 = nr_gfns */
    struct pulse_params pulse;
    uint32_t ring_pages;     /* written by a backend, never marked */
    uint32_t special_pages;  /* the hypervisor's: COLO_PAGE_SKIP */
    uint32_t balloon_pages;  /* given back and taken again by the guest ... */
    uint32_t balloon_every;  /* ... every so many steps; 0 never */
    uint32_t ring_every;     /* a backend writes each so many steps; 0 never */
    uint32_t hole_pages;     /* no memory there from the start */
    uint32_t noise_pages;    /* written differently by each copy, and marked */
    uint32_t noise_every;    /* ... one each so many steps; 0 never */
    uint32_t step_us;        /* rest between two steps; 0 none */
    uint32_t stop_delay_us;  /* a stop takes up to this, at random */
    uint32_t context_pad;    /* the context is longer by this */
    uint32_t life_ms;        /* the vCPU ends by itself then; 0 ten minutes */
    uint32_t vcpu;           /* SIM_VCPU_* */
    bool lockstep;           /* steps are made up to sim_guest_goal only */
    bool sparse;             /* static frames are zero: memory stays virtual */
    bool p2m_unrecorded;     /* as Xen before the p2m fix: ballooning is not in
                                the dirty record */
};

/* A small guest: 1024 frames, 512 of them pulse, thread, 200 us a step. */
void sim_config_init(struct sim_config *config);

struct sim_guest;

/* What a look at the control page tells. */
struct sim_look {
    int32_t state, reason;   /* COLO_HV_* */
    bool tracking, stop_asked;
    bool copy;               /* runs, but as a copy: not the guest */
    uint64_t steps, bad;     /* bad: errors that the program itself found */
    uint64_t stops, resumes, tracks, cleans, abandons;
    uint64_t nr_gfns, tot_pages;
    uint32_t domid;
    pid_t vcpu_pid;          /* SIM_VCPU_PROCESS, else 0 */
    struct pulse_state context;
    struct pulse_report report;
};

/* sim_guest_new - make a guest as of step 0, paused.
 * sim_guest_attach - another process's guest; COLO_E_NOTFOUND if dir has
 * none.
 * sim_guest_free - let go of it; ends a vCPU thread, not a vCPU process.
 * NULL is fine. */
int sim_guest_new(const struct sim_config *config,
                  struct sim_guest **ret_guest, struct colo_error *err);
int sim_guest_attach(const char *dir, struct sim_guest **ret_guest,
                     struct colo_error *err);
void sim_guest_free(struct sim_guest *guest);

/* sim_guest_run - start the vCPU and unpause.  May be called from a process
 * that then exits: the vCPU process goes on. */
int sim_guest_run(struct sim_guest *guest, struct colo_error *err);
/* sim_guest_steps - n steps on this thread; for SIM_VCPU_NONE. */
void sim_guest_steps(struct sim_guest *guest, uint64_t n);
void sim_guest_look(const struct sim_guest *guest, struct sim_look *ret_look);
/* sim_guest_wait_steps - until `steps` are done; false after timeout_ms. */
bool sim_guest_wait_steps(const struct sim_guest *guest, uint64_t steps,
                          uint32_t timeout_ms);
/* sim_guest_goal - lockstep: work has come in, up to this step: two copies with
 * the same goal do the same, each in its own time. */
void sim_guest_goal(struct sim_guest *guest, uint64_t steps);
uint8_t *sim_guest_page(const struct sim_guest *guest, uint64_t gfn);
bool sim_guest_present(const struct sim_guest *guest, uint64_t gfn);
/* false for rings, special frames and noise: what is there does not follow from
 * the step */
bool sim_guest_compared(const struct sim_guest *guest, uint64_t gfn);

/* sim_guest_verify - is this, byte for byte, the guest of config at the step
 * that its own context says?  Only while its vCPU stands still.  *why gets a
 * sentence if not. */
bool sim_guest_verify(const struct sim_guest *guest,
                      const struct sim_config *config, char *why, size_t cap);
/* sim_guest_differ - first compared frame where two guests differ (content
 * or presence), UINT64_MAX if none. */
uint64_t sim_guest_differ(const struct sim_guest *a,
                          const struct sim_guest *b);

/* ---- hazards: what others may do to a guest ---------------------------- */

void sim_guest_kill(struct sim_guest *guest);             /* GONE */
void sim_guest_shutdown(struct sim_guest *guest, int reason);
void sim_guest_suspend(struct sim_guest *guest);          /* by somebody */
void sim_guest_pause(struct sim_guest *guest, bool on);   /* xl pause */
void sim_guest_track_off(struct sim_guest *guest);        /* xl save */
void sim_guest_stuck(struct sim_guest *guest, bool on);   /* no answer */
/* its devices are gone: its state cannot be had or loaded, and though it can be
 * let go on, that is an error; tell: an event says so, too */
void sim_guest_cripple(struct sim_guest *guest, bool tell);
/* memory of n frames goes away, or comes (back) as zeros */
void sim_guest_balloon(struct sim_guest *guest, uint64_t gfn, uint64_t n,
                       bool out);
void sim_guest_grow(struct sim_guest *guest, uint64_t n);
/* a write by a backend: 8 bytes that follow from salt, not marked */
void sim_guest_scribble(struct sim_guest *guest, uint64_t gfn, uint64_t salt);
void sim_guest_mark(struct sim_guest *guest, uint64_t gfn);

/* ---- the seam ---------------------------------------------------------- */

/* sim_hv_primary - of a guest that is borrowed and must outlive it.
 * sim_hv_secondary - seed_in makes the guest: config tells dir, vcpu, step_us,
 * stop_delay_us and life_ms of the replica; the rest comes with the seed. */
struct colo_hv *sim_hv_primary(struct sim_guest *guest);
struct colo_hv *sim_hv_secondary(const struct sim_config *config);
/* The guest behind it; NULL before seed_in made one.  Borrowed until close. */
struct sim_guest *sim_hv_guest(struct colo_hv *hv);

#define SIM_XEN_VERSION (4u << 16 | 17) /* of both hosts */

#define SIM_OP_POLL      0
#define SIM_OP_INFO      1
#define SIM_OP_TRACK     2
#define SIM_OP_DIRTY     3
#define SIM_OP_UNMARKED  4
#define SIM_OP_READ      5
#define SIM_OP_WRITE     6
#define SIM_OP_REQUEST   7
#define SIM_OP_CANCEL    8
#define SIM_OP_RESUME    9
#define SIM_OP_GET      10
#define SIM_OP_CHECK    11
#define SIM_OP_SET      12
#define SIM_OP_SEED_OUT 13
#define SIM_OP_SEED_IN  14
#define SIM_OP_START    15
#define SIM_OP_DESTROY  16
#define SIM_OP_END      17
#define SIM_OP_ABANDON  18
#define SIM_OP_RUN      19
#define SIM_OP_COUNT    20

/* sim_hv_fail - let call number nth (1: the next) of op fail with code, and
 * all after it if `on` is set.  Nothing is done by a call that fails. */
void sim_hv_fail(struct colo_hv *hv, int op, uint32_t nth, int code, bool on);
/* how often op was called */
uint32_t sim_hv_calls(struct colo_hv *hv, int op);

/* ---- watchdog ---------------------------------------------------------- */

/* The one duty that must survive a SIGKILL of the session: a child that waits
 * for the end of a pipe, then switches tracking off and lets the guest go on.
 * Start it in the session's process.  end tells it that all is well. */
struct sim_watchdog;
struct sim_watchdog *sim_watchdog_start(struct sim_guest *guest);
void sim_watchdog_end(struct sim_watchdog *watchdog);
/* give - hand it to a session (watchdog_fd, watchdog_pid of its parts), which
 * ends it; frees watchdog. */
void sim_watchdog_give(struct sim_watchdog *watchdog, int *ret_fd,
                       int *ret_pid);

#endif
