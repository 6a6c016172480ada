/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seam to everything that must follow a checkpoint: disks and nets, in
 * process or in a process of their own (QEMU's replication_*_all).
 *
 * Each call begins something; pending() says when it is answered.  Order:
 * prepare, start, (checkpoint N, commit N)*, then failover (on the secondary
 * with speak after it) or stop.  prepare
 * comes when the guest's memory begins to be copied: what has a first copy of
 * its own makes it meanwhile, and start is not called before pending() gives
 * 0.  start comes when epochs begin: output is held from then on.  checkpoint
 * comes while the guest stands still, after everything else was answered.  On
 * the primary the guest waits for the answer: what it does afterwards must not
 * be taken for a part of N.  On the secondary the answer says that N is there,
 * and N is not committed without it.
 *
 * In mode colo both copies run, and both stand still from checkpoint until N
 * is in place.  On the secondary checkpoint comes when the replica stopped, and
 * commit when N's memory is in place and before the replica runs: it goes on
 * only when commit was answered (what it wrote to its disks by itself is gone
 * then).  On the primary commit comes when the backup has N, and the guest
 * goes on when N is loaded there and commit was answered here: what it says
 * from then on is compared as output after N.  On failover of the secondary,
 * either its copy goes on from where it runs (no commit since it began to), or
 * N was committed and its copy goes on from N: in both cases what it wrote
 * since then counts.
 *
 * stop is called also after a failed prepare or start.  On the secondary undone
 * may come between failover and stop: the guest was not started here, it goes
 * on at the peer.  One thread.
 */
#ifndef COLO_REPLICATION_H
#define COLO_REPLICATION_H

#include "../internal.h"

struct colo_replication; /* starts with const struct colo_replication_ops * */

struct colo_replication_ops {
    void (*close)(struct colo_replication *r);
    /* fd - readable when pending() may have changed, -1 = never */
    int (*fd)(struct colo_replication *r);
    /* prepare, start - NULL: nothing to do */
    int (*prepare)(struct colo_replication *r, int mode,
                   struct colo_error *err);
    int (*start)(struct colo_replication *r, int mode, struct colo_error *err);
    int (*checkpoint)(struct colo_replication *r, uint64_t epoch,
                      struct colo_error *err);
    int (*commit)(struct colo_replication *r, uint64_t epoch,
                  struct colo_error *err);
    int (*failover)(struct colo_replication *r, struct colo_error *err);
    /* speak - NULL: nothing to do.  A secondary's failover is two steps, for
     * what the world has heard cannot be taken back: what holds the guest's
     * output lets it out only here, when all have answered failover, the
     * primary has not come back meanwhile, and the guest has been started. */
    int (*speak)(struct colo_replication *r, struct colo_error *err);
    /* undone - NULL: nothing to do.  Asks for nothing yet: stop does. */
    void (*undone)(struct colo_replication *r);
    /* stop, release - one may be NULL.  What holds the guest's output lets it
     * out in release, which is called when all have answered stop, or have
     * had time to: by then the disks know durably that they go on alone. */
    int (*stop)(struct colo_replication *r, struct colo_error *err);
    int (*release)(struct colo_replication *r, struct colo_error *err);
    /* pending - 1 still waiting for answers, 0 all answered ok, < 0 somebody
     * said no or has gone: protection ends, *err says who and why.
     * *ret_diverged: somebody asked for a checkpoint; say it once for each
     * divergence.  What is said until both stand still is over with that
     * checkpoint.  On either side. */
    int (*pending)(struct colo_replication *r, bool *ret_diverged,
                   struct colo_error *err);
};

static inline const struct colo_replication_ops *
colo__replication_ops(struct colo_replication *r)
{
    return *(const struct colo_replication_ops *const *)r;
}

#endif
