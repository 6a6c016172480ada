/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A follower of checkpoints for tests of sessions: it counts what it is told,
 * refuses what it shall, and takes its time where it is told to.
 */
#ifndef COLO_TESTS_SESSION_FOLLOWER_H
#define COLO_TESTS_SESSION_FOLLOWER_H

#include "session-pair.h"

enum { F_PREPARE, F_START, F_CHECKPOINT, F_COMMIT, F_PENDING, F_NOTHING };

struct colo_replication {
    const struct colo_replication_ops *ops;
    int refuse;
    int starts, checkpoints, commits, stops, closes;
    uint64_t committed;
    bool pending_forever;
    int prepares, behind;   /* looks until its first copy is made */
    struct sim_guest *guest; /* set: it must stand still until marked */
    int marks;              /* looks until the end of an epoch is marked */
    int failovers;
    int failover_says;      /* then pending: 1 waits, 0, or an error */
    int undones;
    int speaks;
};

static int maybe(struct colo_replication *r, int what, struct colo_error *err)
{
    if (r->refuse == what)
        return colo__fail(err, COLO_E_PEER_SAID, 0, "follower", "refused");
    return 0;
}

static void f_close(struct colo_replication *r)
{
    r->closes++;
}

static int f_fd(struct colo_replication *r)
{
    (void)r;
    return -1;
}

static int f_prepare(struct colo_replication *r, int mode,
                     struct colo_error *err)
{
    ck_assert_int_eq(mode, COLO_MODE_REMUS);
    ck_assert_int_eq(r->starts, 0);
    r->prepares++;
    return maybe(r, F_PREPARE, err);
}

static int f_start(struct colo_replication *r, int mode,
                   struct colo_error *err)
{
    ck_assert_int_eq(mode, COLO_MODE_REMUS);
    r->starts++;
    return maybe(r, F_START, err);
}

static int f_checkpoint(struct colo_replication *r, uint64_t epoch,
                        struct colo_error *err)
{
    /* one closed epoch at a time */
    ck_assert_uint_eq(epoch, r->committed + 1);
    r->checkpoints++;
    r->marks = r->guest ? 5 : 0;
    return maybe(r, F_CHECKPOINT, err);
}

static int f_commit(struct colo_replication *r, uint64_t epoch,
                    struct colo_error *err)
{
    ck_assert_uint_eq(epoch, r->committed + 1);
    r->committed = epoch;
    r->commits++;
    return maybe(r, F_COMMIT, err);
}

static int f_end(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    r->stops++;
    return 0;
}

static int f_failover(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    r->failovers++;
    return 0;
}

static int f_speak(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    ck_assert_int_gt(r->failovers, 0);
    ck_assert_int_eq(r->undones, 0);
    r->speaks++;
    return 0;
}

static void f_undone(struct colo_replication *r)
{
    ck_assert_int_gt(r->failovers, 0);
    ck_assert_int_eq(r->stops, 0);
    r->undones++;
}

static int f_pending(struct colo_replication *r, bool *ret_diverged,
                     struct colo_error *err)
{
    (void)ret_diverged;
    if (r->failovers && r->failover_says < 0)
        return colo__fail(err, r->failover_says, 0, "follower", "no disk");
    if (r->failovers)
        return r->failover_says;
    if (r->marks > 0) {
        ck_assert_int_eq(guest_state(r->guest), COLO_HV_STOPPED);
        r->marks--;
        return 1;
    }
    if (r->behind > 0 && r->behind--)
        return 1;
    if (r->checkpoints > 2 && r->pending_forever)
        return 1;
    return r->checkpoints > 2 ? maybe(r, F_PENDING, err) : 0;
}

static const struct colo_replication_ops f_ops = {
    .close = f_close,
    .fd = f_fd,
    .prepare = f_prepare,
    .start = f_start,
    .checkpoint = f_checkpoint,
    .commit = f_commit,
    .failover = f_failover,
    .speak = f_speak,
    .undone = f_undone,
    .stop = f_end,
    .pending = f_pending,
};

#endif
