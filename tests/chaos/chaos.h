/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The chaos campaign: sessions over simulated guests, each side a process of
 * its own, one fault per run, and a judge that knows what every byte of the
 * replica must be.
 *
 *   campaign.c  many runs, several at once, the sum of them
 *   plan.c      what a run does: follows from (seed, number of the run)
 *   run.c       one run: processes, the moment of the fault, the wait
 *   side.c      what the process of one session does
 *   relay.c     the links between them, and what can happen to a link
 *   record.c    the follower of each side: what was released, and when
 *   judge.c     what must be true afterwards
 */
#ifndef CHAOS_H
#define CHAOS_H

#include <limits.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "colo.h"
#include "parts.h"
#include "../sim/hv-sim.h"

/* ---- plan.c ------------------------------------------------------------ */

/* name, weight: how often it is chosen */
#define FAULTS(X)                                                          \
    X(NONE, none, 2)                                                       \
    X(KILL_PRIMARY, kill_primary_session, 6) /* its host lives */          \
    X(KILL_HOST, kill_primary_host, 14)                                    \
    X(KILL_SECONDARY, kill_secondary, 6)                                   \
    X(KILL_BOTH, kill_both_sessions, 2)                                    \
    X(CUT, cut, 4)                                                         \
    X(CUT_CONTROL, cut_control, 2)                                         \
    X(CUT_BULK, cut_bulk, 2)                                               \
    X(SILENT, half_open, 3)                                                \
    X(SILENT_OUT, half_open_to_secondary, 2)                               \
    X(SILENT_BACK, half_open_to_primary, 2)                                \
    X(STALL, stall, 2)                                                     \
    X(DELAY, delay, 3)                                                     \
    X(FLIP_CONTROL, flip_control, 3)                                       \
    X(FLIP_BULK, flip_bulk, 3)                                             \
    X(HV_PRIMARY, hv_primary, 6)                                           \
    X(HV_SECONDARY, hv_secondary, 4)                                       \
    X(TRACK_OFF, tracking_off, 2)                                          \
    X(STUCK, stop_never_answers, 2)                                        \
    X(SUSPEND, foreign_suspend, 2)                                         \
    X(GUEST_END, guest_end, 3)                                             \
    X(GROW, guest_grows, 1)                                                \
    X(FAILOVER, operator_failover, 3)                                      \
    X(CRIPPLE, primarys_devices_end, 5)                                    \
    X(CRIPPLE_REPLICA, replicas_devices_end, 3)

enum {
#define X(id, name, weight) FAULT_##id,
    FAULTS(X)
#undef X
    FAULT_COUNT
};

struct plan {
    uint64_t seed;
    uint32_t run;
    int mode;              /* COLO_MODE_*; colo: both copies run */
    int fault;
    bool tls, relay;       /* relay false: the sockets themselves */
    bool gone_silent;      /* a dead host sends no reset */
    uint32_t latency_ms;   /* of the relay */
    bool slow_follower;    /* proxies answer after a moment */
    const char *step;      /* kill there (NULL: at a time) ... */
    uint32_t step_count;   /* ... the so manieth time */
    uint32_t after_epochs; /* the fault comes after so many commits ... */
    uint32_t delay_us;     /* ... and this */
    int hv_op, hv_code;
    uint32_t hv_nth;
    bool hv_on;
    int reason;            /* of the guest's end */
    bool told;             /* of the devices', or found out */
    uint32_t delay_ms;     /* DELAY: of each piece */
    struct sim_config guest;
    bool track_off_there;  /* TRACK_OFF in mode colo: the replica's, too */
    bool replica_runs;     /* a vCPU process for it, else it is only started */
    struct colo_config config;
};

void plan_make(struct plan *plan, uint64_t seed, uint32_t run, int mode);
const char *fault_name(int fault);
void plan_print(const struct plan *plan, char *buf, size_t cap);

/* ---- record.c: shared by all processes of a run ------------------------ */

#define RECORD_MAX 4096

struct record {
    _Atomic uint32_t count;
    struct {
        uint64_t epoch, step;
    } marks[RECORD_MAX];         /* the primary stood still there */
    _Atomic uint64_t committed;  /* last released epoch, 0 none */
    _Atomic uint64_t commits;
    _Atomic uint64_t applied;    /* colo: the replica is of this epoch */
    _Atomic uint32_t primary_started, primary_failover, primary_stop;
    _Atomic uint32_t secondary_failover;
    _Atomic uint64_t takeover_step; /* context of the replica then */
    _Atomic int32_t watchdog_pid;
    _Atomic uint32_t host_down;
    _Atomic uint32_t end_seen;   /* the session knows of the guest's end */
    _Atomic uint32_t injected;   /* a kill at a step has come */
    _Atomic uint64_t before;     /* commits, when the devices ended */
    _Atomic uint32_t starved;    /* somebody heard nothing for dead_ms */
    char violation[200];         /* of the order of calls; "" none */
    char error[2][200];          /* how each session ended */
    int32_t code[2];
};

/* role: of the side; guest: of it, asked when needed (secondary: made late) */
struct colo_replication *record_follower(struct record *rec,
                                         const struct plan *plan, int role,
                                         struct colo_hv *hv,
                                         struct sim_guest *guest);

/* ---- relay.c ----------------------------------------------------------- */

struct relay;

#define RELAY_CONTROL 1u
#define RELAY_BULK    2u
#define RELAY_OUT     4u  /* primary to secondary */
#define RELAY_BACK    8u

/* fds: [link][side]; all are the relay's.  down: set when the primary's host
 * dies, with what it had in its queues. */
struct relay *relay_start(const int fds[2][2], const _Atomic uint32_t *down);
void relay_stop(struct relay *relay);
void relay_cut(struct relay *relay, uint32_t which);
/* drop: what comes is swallowed; stall: what comes is not even read */
void relay_drop(struct relay *relay, uint32_t which);
void relay_stall(struct relay *relay, uint32_t which);
void relay_delay(struct relay *relay, uint32_t which, uint32_t ms);
void relay_flip(struct relay *relay, uint32_t which, uint64_t salt);
/* a side that closes is not told to the other */
void relay_keep_open(struct relay *relay);

/* ---- side.c ------------------------------------------------------------ */

struct side {
    const struct plan *plan;
    struct record *rec;
    int role;
    const char *dir;         /* of this side's guest */
    int fds[2];              /* control, bulk */
    int command;             /* 's' stop, 'f' failover */
    struct sim_guest *guest; /* primary */
    int log;
    struct colo_hv *hv;
    uint32_t steps_seen;
    bool do_steps;           /* the kill at a step is this side's */
};

#define EXIT_ERROR 3 /* of a session that ended by an error; 0: well */
_Noreturn void side_main(struct side *side);

/* ---- run.c, judge.c ---------------------------------------------------- */

struct run {
    const struct plan *plan;
    struct record *rec;
    char dir[PATH_MAX - 64], pdir[PATH_MAX], sdir[PATH_MAX];
    struct sim_guest *guest;
    struct relay *relay;
    pid_t pid[2];            /* primary, secondary; 0: ended */
    int command[2];
    bool killed[2];          /* by us or by itself, not ended */
    bool crashed[2];         /* an exit status that is not ours */
    bool host_dead;          /* the primary's */
    bool hung[2];
};

struct verdict {
    bool loss, stopped, hang, both_run;
    uint32_t took_over;
    bool starved;  /* a silence that was not asked for: a busy machine */
    uint64_t commits;
    char why[512];
};

/* One run; the verdict, and the logs' ends to stdout if it is bad. */
void run_one(const struct plan *plan, struct verdict *ret_verdict);
void judge(struct run *run, struct verdict *ret_verdict);

#endif
