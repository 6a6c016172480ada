/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The parts a session is made of, so that tests can put it together from
 * fakes.  Whatever is set belongs to the session afterwards, also when
 * colo__session_new fails.
 */
#ifndef COLO_PARTS_H
#define COLO_PARTS_H

#include "arbiter.h"
#include "hv/hv.h"
#include "link/link.h"
#include "replication/replication.h"

struct colo_store;

#define COLO_MAX_REPLICATION 8

struct colo_parts {
    struct colo_hv *hv;                 /* needed */
    struct colo_link *control, *bulk;   /* both, or both NULL: bootstrap */
    struct colo_store *store;           /* NULL: no xenstore contract */
    struct colo_arbiter *arbiter;       /* NULL: none */
    struct colo_replication *replication[COLO_MAX_REPLICATION]; /* or NULL */
    const struct colo_clock *clock;     /* NULL: monotonic; not owned */
    bool hold_network;                  /* the guest has vifs on this host
                                           whose output can be held */
    int watchdog_fd, watchdog_pid;      /* see hv/watchdog.h; -1, 0: none */
    const char *session_id;             /* with control and bulk given: 16
                                           bytes that both sides know */
    /* called at named steps of the protocol ("captured", "sent", ...), so
     * that tests can break things there; NULL: nothing */
    void (*step_fn)(void *user, const char *step);
    void *step_user;
};

int colo__session_new(const struct colo_config *config,
                      struct colo_parts *parts,
                      struct colo_session **ret_session,
                      struct colo_error *err);

#endif
