/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The network output of a guest follows its checkpoints (Remus): what the
 * guest sent in epoch N leaves this host only after N was committed.  A
 * replication seam (replication.h), linked into the library; the session's
 * thread.  No state is kept anywhere but in the kernel.
 */
#ifndef COLO_NET_NETBUF_H
#define COLO_NET_NETBUF_H

#include "../libcolo/replication/replication.h"
#include "learn.h"

#define COLO_NETBUF_LIMIT (64u << 20)

struct colo_netbuf_config {
    uint32_t limit; /* bytes held for each interface, more is lost, and about
                     * so much of the host's memory, looked at now and then;
                     * 0: COLO_NETBUF_LIMIT, at most 2^31 - 1 */
    struct colo_learn *learn; /* NULL, or filled while protected; borrowed */
};

/* colo__netbuf_served - does a colo-net stand in the place of a guest's card,
 * or of its emulated one?  Then nothing of it could be held.  It is there in a
 * session of mode colo, and after a takeover for the connections from before.
 * @ret_tap, @cap:  the name of its interface, if so
 *
 * Any thread. */
bool colo__netbuf_served(uint32_t domid, uint32_t card, char *ret_tap,
                         size_t cap);

struct colo_netbuf_status {
    uint32_t ports;      /* interfaces whose output is held */
    uint32_t held;       /* bytes held at the last look, all together */
    uint32_t held_max;   /* the most that was seen */
    uint64_t drops;      /* frames lost, because the limit was reached */
    uint64_t epochs;     /* committed */
};

/* colo__netbuf_new - for the guest domid, of which nothing is touched before
 * start.  What the calls of the seam do:
 *   start       everything that the guest's interfaces send is held from now
 *               on, also of interfaces that appear later; COLO_E_EXISTS
 *               while colo-net serves one of them
 *   checkpoint  closes the epoch; one system call; the guest stands still
 *   commit      lets that epoch out
 *   failover    the other side has the guest: what is held is lost, and the
 *               interfaces stay shut as long as they exist
 *   stop        lets everything out and takes the buffers away; after
 *               failover it lets out nothing
 *   close       without stop or failover before it: what is held is lost
 *               and the interfaces are open again
 *   pending     never waits; *ret_diverged when a plug is half full, be it of
 *               bytes or of what small frames cost beside theirs
 * Errors  COLO_E_INVAL  limit
 *         COLO_E_SYS, COLO_E_NOMEM */
int colo__netbuf_new(uint32_t domid, const struct colo_netbuf_config *config,
                     const struct colo_log *log, struct colo_replication **ret,
                     struct colo_error *err);

/* colo__netbuf_status - r: what colo__netbuf_new gave. */
void colo__netbuf_status(struct colo_replication *r,
                         struct colo_netbuf_status *ret);

/* colo__netbuf_cleanup - take away what a killed session has left for domid:
 * buffers, redirections and what announce made.  Needs no state and no other
 * part of the library; finding nothing is a success.  Tries everything
 * and returns the first failure.
 * release  let out what is held (this side goes on), else it is lost
 * Blocks   up to 0.3 s for each interface with release.
 * Errors   COLO_E_SYS, COLO_E_NOMEM */
int colo__netbuf_cleanup(uint32_t domid, bool release, struct colo_error *err);

#endif
