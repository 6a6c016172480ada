/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The running colo-net: its state, and what its files tell each other.  One
 * thread; nothing in it waits, but for the loop in serve.c.
 */
#ifndef COLO_NET_SERVE_H
#define COLO_NET_SERVE_H

#include "../../proxy-source/source.h"
#include "../compare/compare.h"
#include "../learn.h"
#include "twin.h"

/* How frames go now. */
enum net_way {
    NET_PASS,    /* primary: between guest and world, nobody compares */
    NET_COMPARE, /* primary: output waits for the twin's, input goes to both */
    NET_QUIET,   /* secondary: the replica does not run yet; primary: the other
                  * side has the guest.  Nothing passes */
    NET_FOLLOW,  /* secondary: with its twin only */
    NET_ALONE,   /* secondary after a takeover: with the world */
};

struct net_options {
    const char *domain, *vif, *bridge, *id;
    const char *control, *stream; /* for tests */
    bool secondary;
    uint32_t hold_ms; /* the longest that output waits without a twin's */
    uint32_t linger_s; /* how long closed connections are rewritten */
    uint8_t policy[COLO_CLASSES]; /* COLO_POLICY_* + 1, 0: as usual */
};

struct net_flow; /* flow.c: the comparator or the rewriter */

struct net {
    const struct net_options *options;
    struct colo_nl nl;
    struct net_record record;
    int record_fd, life_fd;
    bool in_place;
    struct net_port port;
    struct net_twin twin;
    struct net_flow *flow;
    enum net_way way;
    uint8_t card;            /* the N of vifD.N */
    /* epochs */
    bool stands;             /* checkpoint came, commit did not */
    bool twin_waits;         /* what the twin said is of the next epoch */
    uint64_t committed;      /* primary: the newest; secondary: loaded */
    bool has_commit;
    uint64_t marked;         /* secondary: the newest EPOCH in the stream */
    /* control */
    struct colo_source *source;
    bool joined, leaving;
    bool said_lost, said_malformed;
    uint64_t next_look_us;   /* at the card */
    /* after a takeover */
    struct colo_learn learn;
    unsigned said_rounds;
    uint64_t next_say_us;
    uint64_t beyond_old_epoch, dropped; /* frames of the twin */
};

uint64_t net_now_us(void);

/* ---- control of it (requests.c) ---------------------------------------- */

/* net_join, net_requests - when the source may have something. */
void net_join(struct net *n);
void net_requests(struct net *n);
/* net_diverged - ask the session for one checkpoint. */
void net_diverged(struct net *n, const char *reason);
/* net_lost - the stream to the twin has ended. */
void net_lost(struct net *n);

/* ---- frames (move.c) --------------------------------------------------- */

/* Each moves what is there, up to a limit.  < 0: the interface has gone. */
int net_move_out(struct net *n);    /* from the guest */
int net_move_in(struct net *n);     /* from the world */
void net_move_twin(struct net *n);  /* from the twin */
bool net_wants_in(const struct net *n);
/* net_drain - all that the guest, which stands, has said. */
void net_drain(struct net *n);
/* net_announce - say where the guest is, if that is due; the deadline of the
 * next, or COLO_NEVER. */
uint64_t net_announce(struct net *n, uint64_t now_us);

/* ---- comparing and rewriting (flow.c) ---------------------------------- */

int net_flow_new(struct net *n, struct colo_error *err);
void net_flow_free(struct net_flow *f);
/* primary */
void net_flow_output(struct net *n, uint8_t *frame, size_t len);
void net_flow_input(struct net *n, const uint8_t *frame, size_t len);
void net_flow_twin(struct net *n, uint64_t epoch, const uint8_t *frame,
                   size_t len);
/* net_flow_told - number: of the last note that the twin has, be32 */
void net_flow_told(struct net *n, const uint8_t number[4]);
/* net_flow_full - no more output can be held: the guest must wait. */
bool net_flow_full(const struct net *n);
/* net_flow_commit - everything held goes out, in order; a new epoch. */
void net_flow_commit(struct net *n, uint64_t epoch);
/* net_flow_shut - nothing goes out until net_flow_release. */
void net_flow_shut(struct net *n);
/* net_flow_release - everything held goes out, and nothing is held later. */
void net_flow_release(struct net *n);
/* secondary; frame is changed in place, false: it must not go on */
bool net_flow_to_guest(struct net *n, uint8_t *frame, size_t len);
bool net_flow_from_guest(struct net *n, uint8_t *frame, size_t len);
/* net_flow_note - and the twin is told that it is known; false: it is not,
 * and the twin is told of none until the next load. */
bool net_flow_note(struct net *n, const uint8_t *body, size_t len);
void net_flow_loaded(struct net *n, uint64_t epoch);
/* net_flow_alone - there is no primary any more. */
void net_flow_alone(struct net *n);
/* net_flow_open - connections that still need rewriting. */
size_t net_flow_open(const struct net *n);
/* net_flow_tick - what is due; when it must be called again. */
uint64_t net_flow_tick(struct net *n, uint64_t now_us);

/* ---- the process (serve.c) --------------------------------------------- */

int net_serve(const struct net_options *options);

#endif
