/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A follower that keeps a record, in memory that outlives its process: at
 * which step of the guest each epoch was cut, which epoch's output was let
 * go.  It also watches over the order of the calls, and may be slow to
 * answer, as a proxy in another process is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "chaos.h"

struct follower {
    const struct colo_replication_ops *ops; /* first */
    struct record *rec;
    int role, mode;
    struct colo_hv *hv;
    struct sim_guest *guest;
    int timer;               /* -1: answers at once */
    bool waiting;
    bool started;
    uint64_t checkpoint, commit;
};

static struct follower *of(struct colo_replication *r)
{
    return (struct follower *)r;
}

static void violated(struct follower *f, const char *call, uint64_t epoch)
{
    if (f->rec->violation[0])
        return;
    snprintf(f->rec->violation, sizeof(f->rec->violation),
             "%s: %s(%llu) after checkpoint(%llu) and commit(%llu)%s",
             colo_role_name(f->role), call, (unsigned long long)epoch,
             (unsigned long long)f->checkpoint,
             (unsigned long long)f->commit,
             f->waiting ? ", not yet answered" : "");
}

/* The answer comes 0.2 to 3 ms later. */
static void answer_later(struct follower *f, uint64_t epoch)
{
    struct itimerspec when = { 0 };

    if (f->timer < 0)
        return;
    when.it_value.tv_nsec = 200000 + (long)(epoch * 700001 % 2800000);
    f->waiting = true;
    timerfd_settime(f->timer, 0, &when, NULL);
}

static void f_close(struct colo_replication *r)
{
    struct follower *f = of(r);

    if (f->timer >= 0)
        close(f->timer);
    free(f);
}

static int f_fd(struct colo_replication *r)
{
    return of(r)->timer;
}

static int f_start(struct colo_replication *r, int mode,
                   struct colo_error *err)
{
    struct follower *f = of(r);

    (void)err;
    if (f->started || mode != f->mode)
        violated(f, "start", 0);
    f->started = true;
    if (f->role == COLO_ROLE_PRIMARY)
        atomic_store(&f->rec->primary_started, 1);
    return 0;
}

static void replica_stands_still(struct follower *f, const char *call,
                                 uint64_t epoch)
{
    struct sim_look look;

    sim_guest_look(sim_hv_guest(f->hv), &look);
    if (f->mode == COLO_MODE_COLO && look.state == COLO_HV_RUNNING)
        violated(f, call, epoch);
}

static int f_checkpoint(struct colo_replication *r, uint64_t epoch,
                        struct colo_error *err)
{
    struct follower *f = of(r);
    struct record *rec = f->rec;
    struct sim_look look;
    uint32_t n;

    (void)err;
    if (!f->started || epoch != f->checkpoint + 1)
        violated(f, "checkpoint", epoch);
    f->checkpoint = epoch;
    answer_later(f, epoch);
    if (f->role != COLO_ROLE_PRIMARY) {
        replica_stands_still(f, "checkpoint of a running replica", epoch);
        return 0;
    }
    sim_guest_look(f->guest, &look);
    if (look.state != COLO_HV_STOPPED)
        violated(f, "checkpoint of a running guest", epoch);
    n = atomic_load(&rec->count);
    if (n < RECORD_MAX) {
        rec->marks[n].epoch = epoch;
        rec->marks[n].step = look.context.step;
        atomic_store(&rec->count, n + 1);
    }
    return 0;
}

static int f_commit(struct colo_replication *r, uint64_t epoch,
                    struct colo_error *err)
{
    struct follower *f = of(r);

    (void)err;
    if (f->waiting || epoch != f->checkpoint || epoch != f->commit + 1)
        violated(f, "commit", epoch);
    f->commit = epoch;
    if (f->role == COLO_ROLE_PRIMARY) {
        atomic_store(&f->rec->committed, epoch);
        atomic_fetch_add(&f->rec->commits, 1);
    } else if (f->mode == COLO_MODE_COLO) {
        replica_stands_still(f, "commit of a running replica", epoch);
        atomic_store(&f->rec->applied, epoch);
        answer_later(f, epoch);
    }
    return 0;
}

static int f_failover(struct colo_replication *r, struct colo_error *err)
{
    struct follower *f = of(r);
    struct sim_look look;

    (void)err;
    f->waiting = false;
    if (f->role == COLO_ROLE_PRIMARY) {
        atomic_store(&f->rec->primary_failover, 1);
        return 0;
    }
    sim_guest_look(sim_hv_guest(f->hv), &look);
    atomic_store(&f->rec->takeover_step, look.context.step);
    atomic_store(&f->rec->secondary_failover, 1);
    return 0;
}

static int f_stop(struct colo_replication *r, struct colo_error *err)
{
    struct follower *f = of(r);

    (void)err;
    f->waiting = false;
    if (f->role == COLO_ROLE_PRIMARY)
        atomic_store(&f->rec->primary_stop, 1);
    return 0;
}

static int f_pending(struct colo_replication *r, bool *ret_diverged,
                     struct colo_error *err)
{
    struct follower *f = of(r);
    uint64_t ticks;

    (void)err;
    *ret_diverged = false;
    if (f->waiting && read(f->timer, &ticks, sizeof(ticks)) > 0)
        f->waiting = false;
    return f->waiting;
}

static const struct colo_replication_ops follower_ops = {
    .close = f_close,
    .fd = f_fd,
    .start = f_start,
    .checkpoint = f_checkpoint,
    .commit = f_commit,
    .failover = f_failover,
    .stop = f_stop,
    .pending = f_pending,
};

struct colo_replication *record_follower(struct record *rec,
                                         const struct plan *plan, int role,
                                         struct colo_hv *hv,
                                         struct sim_guest *guest)
{
    struct follower *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->ops = &follower_ops;
    f->rec = rec;
    f->role = role;
    f->mode = plan->mode;
    f->hv = hv;
    f->guest = guest;
    f->timer = plan->slow_follower
                   ? timerfd_create(CLOCK_MONOTONIC,
                                    TFD_CLOEXEC | TFD_NONBLOCK)
                   : -1;
    return (struct colo_replication *)f;
}
