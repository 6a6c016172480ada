/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The network cards of a session in mode colo: which ones the guest has, a
 * colo-net process for each, and the stream between it and its twin.  As
 * disks.h; a card's streams come after the disks'.  Session's thread.
 */
#ifndef COLO_NETS_H
#define COLO_NETS_H

#include "../xenstore/store.h"
#include "proxy-process.h"
#include "pure/wire.h"

struct colo_session;

struct colo_net {
    struct colo_net_name name;
    char id[16]; /* its proxy's, "0" or "0-emu" */
    struct colo_proxy_process process;
};

struct colo_nets {
    uint32_t count;
    bool started;
    bool looked_at; /* secondary: the replica's are these */
    struct colo_net net[COLO_WIRE_NETS];
};

/* The words of config.net_policy. */
struct colo_nets_policy {
    unsigned count;
    const char *word[16]; /* of text */
    char text[256];
};

/* colo__nets_policy - text: NULL is none.
 * Errors   COLO_E_INVAL */
int colo__nets_policy(const char *text, struct colo_nets_policy *ret,
                      struct colo_error *err);
/* colo__nets_find - the cards of a guest on this host.  Of a card that is
 * emulated and not, the emulated half counts: a guest with drivers of Xen's
 * own is none for mode colo.
 * Errors   COLO_E_LIMIT, COLO_E_STORE */
int colo__nets_find(struct colo_store *store, uint32_t domid,
                    struct colo_nets *ret_nets, struct colo_error *err);
/* colo__nets_say - primary: tell the peer which they are. */
int colo__nets_say(struct colo_session *s, struct colo_error *err);
/* colo__nets_take - secondary: the primary's NETS has come. */
int colo__nets_take(struct colo_session *s, const struct colo_msg *msg,
                    struct colo_error *err);
/* colo__nets_match - secondary: has the replica, domain domid, the cards that
 * the primary has told of, and no other?  A card without a proxy would stay in
 * its bridge, and the world hear two machines with one address.
 * Errors   COLO_E_UNSUPPORTED it has not; COLO_E_STORE */
int colo__nets_match(const struct colo_nets *nets, struct colo_store *store,
                     uint32_t domid, struct colo_error *err);
/* colo__nets_start - once; s->info.domid is the guest's or the replica's. */
int colo__nets_start(struct colo_session *s, struct colo_error *err);
/* colo__nets_poll - after anything happened; raises what has failed. */
void colo__nets_poll(struct colo_session *s);
/* colo__nets_cut - the peer is lost, and it is not known yet who goes on: no
 * card says anything until that is told. */
void colo__nets_cut(struct colo_session *s);
/* colo__nets_stop - let the processes leave.  One that has taken over lives
 * on until no connection needs it. */
void colo__nets_stop(struct colo_session *s);
void colo__nets_free(struct colo_nets *nets, uint64_t until_us);

#endif
