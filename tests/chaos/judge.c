/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What must be true after a run, whatever happened:
 *  - in mode colo, a replica that took over is its own running copy or a whole
 *    epoch, never a mix, and not of an earlier epoch than the last released;
 *  - in mode remus, a replica that took over is, to the byte, one moment at
 *    which an epoch was cut, and not an earlier one than the last whose output
 *    was released;
 *  - the guest runs somewhere, unless it ended by itself, or its host died
 *    before anything was released;
 *  - on a primary's host that lives, it is not left stopped or tracked;
 *  - a session that was not killed has ended;
 *  - both do not run, unless the links were broken.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "chaos.h"

#define RUN_MS 4000

static void nap(void)
{
    struct timespec ts = { .tv_nsec = 1000000 };

    nanosleep(&ts, NULL);
}

/* Does it make steps (within RUN_MS, for the watchdog may be at work)? */
static bool guest_runs(struct sim_guest *guest)
{
    struct sim_look look;
    uint64_t first;

    sim_guest_look(guest, &look);
    first = look.steps;
    for (int i = 0; i < RUN_MS; i++, nap()) {
        sim_guest_look(guest, &look);
        if (look.state == COLO_HV_GONE || look.state == COLO_HV_SHUTDOWN)
            return false;
        if (look.state == COLO_HV_RUNNING && look.steps != first &&
            !look.tracking)
            return true;
    }
    return false;
}

/* Without an arbiter the survivor of the link runs, on each side. */
static bool links_broken(const struct run *run)
{
    int fault = run->plan->fault;

    return (fault >= FAULT_CUT && fault <= FAULT_FLIP_BULK) ||
           atomic_load(&run->rec->starved);
}

static void bad(struct verdict *v, bool *flag, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void bad(struct verdict *v, bool *flag, const char *fmt, ...)
{
    size_t at = strlen(v->why);
    va_list ap;

    *flag = true;
    va_start(ap, fmt);
    vsnprintf(v->why + at, sizeof(v->why) - at, fmt, ap);
    va_end(ap);
    at = strlen(v->why);
    snprintf(v->why + at, sizeof(v->why) - at, "; ");
}

/* The epoch that was cut at this step; 0 none. */
static uint64_t epoch_of(const struct record *rec, uint64_t step)
{
    for (uint32_t i = atomic_load(&rec->count); i-- > 0;)
        if (rec->marks[i].step == step)
            return rec->marks[i].epoch;
    return 0;
}

static void not_too_old(const struct record *rec, struct verdict *v)
{
    uint64_t epoch = atomic_load(&rec->applied);
    uint64_t released = atomic_load(&rec->committed);

    if (!epoch || epoch < released)
        bad(v, &v->loss, "the replica goes on from epoch %llu, epoch %llu was "
            "released", (unsigned long long)epoch,
            (unsigned long long)released);
}

/* Run on for long enough that the program has met every page of its area,
 * then look at every byte again. */
static void runs_on(struct run *run, struct sim_guest *replica, uint64_t from,
                    struct verdict *v)
{
    struct sim_look look;
    struct sim_config config = run->plan->guest;
    char why[256];

    if (run->plan->replica_runs) {
        sim_guest_wait_steps(replica, from + 150, RUN_MS);
        sim_guest_suspend(replica);
        for (int i = 0; i < RUN_MS; i++, nap()) {
            sim_guest_look(replica, &look);
            if (look.state == COLO_HV_STOPPED)
                break;
        }
    } else {
        sim_guest_steps(replica, 150);
    }
    sim_guest_look(replica, &look);
    if (look.steps < from + 100)
        bad(v, &v->loss, "the replica does not run on: step %llu of %llu",
            (unsigned long long)look.steps, (unsigned long long)from);
    if (look.bad)
        bad(v, &v->loss, "the replica's program found %llu errors",
            (unsigned long long)look.bad);
    if (run->plan->fault != FAULT_GROW &&
        !sim_guest_verify(replica, &config, why, sizeof(why)))
        bad(v, &v->loss, "replica, having run on: %s", why);
}

static void judge_replica(struct run *run, struct sim_guest *replica,
                          struct verdict *v)
{
    const struct record *rec = run->rec;
    uint64_t step = atomic_load(&rec->takeover_step), epoch, released;
    struct sim_config config = run->plan->guest;
    char why[256];

    v->took_over = 1;
    if (run->plan->mode == COLO_MODE_COLO) {
        not_too_old(rec, v);
        runs_on(run, replica, step, v);
        return;
    }
    epoch = epoch_of(rec, step);
    released = atomic_load(&rec->committed);
    if (!epoch)
        bad(v, &v->loss, "the replica took over at step %llu, where no "
            "epoch was cut", (unsigned long long)step);
    else if (epoch < released)
        bad(v, &v->loss, "the replica is of epoch %llu, epoch %llu was "
            "released", (unsigned long long)epoch,
            (unsigned long long)released);
    if (!run->plan->replica_runs && run->plan->fault != FAULT_GROW &&
        !sim_guest_verify(replica, &config, why, sizeof(why)))
        bad(v, &v->loss, "replica of epoch %llu: %s",
            (unsigned long long)epoch, why);
    runs_on(run, replica, step, v);
}

/* *ret_runs: the replica is the guest now */
static void look_at_replica(struct run *run, bool *ret_runs,
                            struct verdict *v)
{
    struct sim_guest *replica = NULL;
    struct colo_error err;
    struct sim_look look;

    *ret_runs = false;
    if (sim_guest_attach(run->sdir, &replica, &err))
        return;
    sim_guest_look(replica, &look);
    if (look.state == COLO_HV_RUNNING && !look.copy) {
        *ret_runs = true;
        judge_replica(run, replica, v);
    } else if (look.state != COLO_HV_GONE && !run->killed[1] &&
               !run->hung[1] && run->plan->fault != FAULT_HV_SECONDARY) {
        bad(v, &v->hang, "a replica was left behind");
    }
    sim_guest_kill(replica);
    sim_guest_free(replica);
}

static void judge_primary(struct run *run, bool replica_runs,
                          struct verdict *v)
{
    const struct plan *plan = run->plan;
    struct sim_look look;

    /* it makes steps here, but nobody would see them */
    if (plan->fault == FAULT_CRIPPLE && atomic_load(&run->rec->before) &&
        !replica_runs)
        bad(v, &v->loss, "the devices ended after epoch %llu and the other "
            "side did not go on",
            (unsigned long long)atomic_load(&run->rec->before));

    if (run->host_dead) {
        if (!replica_runs && atomic_load(&run->rec->committed) &&
            !run->killed[1])
            bad(v, &v->loss, "the host died after epoch %llu was released "
                "and nobody took over",
                (unsigned long long)atomic_load(&run->rec->committed));
        return;
    }
    if (guest_runs(run->guest)) {
        if (replica_runs && !links_broken(run))
            bad(v, &v->both_run, "both run");
        sim_guest_look(run->guest, &look);
        if (look.bad)
            bad(v, &v->loss, "the guest's program found %llu errors",
                (unsigned long long)look.bad);
        return;
    }
    sim_guest_look(run->guest, &look);
    if (look.state == COLO_HV_GONE &&
        (replica_runs || plan->fault == FAULT_GUEST_END))
        return;
    /* its end came after the session's: the toolstack's business */
    if (plan->fault == FAULT_GUEST_END && look.state == COLO_HV_SHUTDOWN &&
        !atomic_load(&run->rec->end_seen))
        return;
    bad(v, &v->stopped, "the primary's guest does not run: state %d%s%s",
        look.state, look.stop_asked ? ", stop asked" : "",
        look.tracking ? ", tracked" : "");
    if (look.state == COLO_HV_GONE)
        bad(v, &v->loss, "the guest runs nowhere");
}

void judge(struct run *run, struct verdict *v)
{
    bool replica_runs;

    v->commits = atomic_load(&run->rec->commits);
    v->starved = atomic_load(&run->rec->starved) &&
                 !(run->plan->fault == FAULT_KILL_HOST ||
                   (run->plan->fault >= FAULT_CUT &&
                    run->plan->fault <= FAULT_STALL));
    for (int i = 0; i < 2; i++)
        if (run->hung[i])
            bad(v, &v->hang, "the %s did not end", i ? "secondary"
                                                     : "primary");
    /* a stop that is never answered is answered at last, or not at all */
    sim_guest_stuck(run->guest, false);
    for (int i = 0; i < 2; i++)
        if (run->crashed[i])
            bad(v, &v->hang, "the %s crashed", i ? "secondary" : "primary");
    if (run->rec->violation[0])
        bad(v, &v->hang, "%s", run->rec->violation);
    look_at_replica(run, &replica_runs, v);
    judge_primary(run, replica_runs, v);
}
