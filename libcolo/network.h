/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The guest's network in a session: its output is held on the primary
 * (net-proxy/netbuf), its addresses are told to the backup, which announces
 * them when it has taken over.  Session's thread.
 */
#ifndef COLO_NETWORK_H
#define COLO_NETWORK_H

#include "../net-proxy/announce.h"
#include "../net-proxy/netbuf.h"
#include "pure/wire.h"

struct colo_session;
struct colo_store;

struct colo_network {
    struct colo_learn learn;        /* primary: fed by netbuf; else by the
                                       peer */
    uint32_t told;                  /* learn.changes when the peer was told */
    struct colo_replication *buffer; /* in parts.replication too, or NULL */
    struct colo_announce *announce;
};

/* colo__network_hold - primary: make the buffer a follower of the session. */
int colo__network_hold(struct colo_session *s, struct colo_error *err);
/* colo__network_tell - primary: tell the peer if addresses have changed. */
void colo__network_tell(struct colo_session *s);
/* colo__network_take - secondary: ADDRESSES has come. */
int colo__network_take(struct colo_session *s, const struct colo_msg *msg,
                       struct colo_error *err);
/* colo__network_configured - a card that was never heard has a MAC all the
 * same, in its backend's nodes. */
void colo__network_configured(struct colo_store *store, uint32_t domid,
                              struct colo_learn *learn);
/* colo__network_announce - the guest runs here now.  What goes wrong is logged
 * only. */
void colo__network_announce(struct colo_session *s);
/* colo__network_announced - say what is due; all has been said. */
bool colo__network_announced(struct colo_session *s);
uint64_t colo__network_deadline(const struct colo_session *s);
void colo__network_free(struct colo_network *n);

#endif
