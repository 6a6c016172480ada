/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The comparator: one object for each network card of a guest that runs on
 * two hosts, on the primary.  It gets what either copy says, frame by frame,
 * and lets the primary's frames go when the copy is known to have said the
 * same.  The copy's frames never leave.  Pure: frames in memory, no clock of
 * its own, no I/O; frames are never believed.
 *
 * Who does what (the other side's object is rewrite.h, the stream between
 * the two twin.h):
 *
 *   primary guest > primary_out > compared > ops.release > world
 *   world > (1) colo__compare_input, (2) to the guest, (3) TWIN_INPUT
 *   copy > rewriter stamps the epoch > TWIN_OUTPUT > secondary_out
 *
 * The copies draw different initial sequence numbers and timestamps.  Only
 * the comparator sees both, so it learns the differences when the two SYNs
 * meet, and tells the rewriter (ops.flow > TWIN_FLOW) in the same stream and
 * ahead of any input that depends on them.  The SYN itself leaves when the
 * rewriter has answered (TWIN_TOLD > colo__compare_told): a host that dies
 * in between leaves no client with a number that the survivor does not know.
 * The copy's frames travel as its guest made them; the rewriter changes
 * them only after it took over.
 *
 * A checkpoint, in this order:
 *   colo__compare_checkpoint(N)  both guests stand still and all that the
 *                        primary had said was handed in (empty the socket)
 *   colo__compare_commit(N)      the copy is the primary: all that is held
 *                        leaves in the order it came, differences are 0
 * What the primary says in between belongs to N and waits for the commit;
 * so do frames of the copy stamped N.  The copy's older frames are dropped.
 *
 * A divergence is reported once (ops.diverged) until the next commit.  The
 * primary's frames are never dropped: when limits are reached that is
 * reported as a divergence, and colo__compare_room() says false until
 * there is room; the caller then leaves frames where they are.
 *
 * Threads  one at a time per object.  Callbacks must not call back in.
 * Units    now and deadlines in microseconds of CLOCK_MONOTONIC.
 */
#ifndef COLO_COMPARE_H
#define COLO_COMPARE_H

#include "flow-note.h"

/* What a datagram may be; see struct colo_compare_config. */
enum colo_compare_class {
    COLO_CLASS_UDP,    /* of no other class */
    COLO_CLASS_DNS,    /* UDP port 53 on either side */
    COLO_CLASS_QUIC,   /* UDP port 443 on either side */
    COLO_CLASS_ICMP,   /* ICMP and ICMPv6 but neighbour discovery, MLD */
    COLO_CLASS_SCTP,
    COLO_CLASS_OTHER,  /* any other protocol above IP */
    COLO_CLASS_COUNT
};

enum colo_compare_policy {
    COLO_POLICY_COMPARE,
    COLO_POLICY_PASS,  /* the primary's leaves, the copy's is dropped */
    COLO_POLICY_DROP,  /* neither leaves */
};

enum colo_compare_reason {
    COLO_DIFF_NONE,
    COLO_DIFF_PAYLOAD,   /* different bytes in a stream */
    COLO_DIFF_DATAGRAM,  /* different datagrams */
    COLO_DIFF_FLAGS,     /* FIN or RST at another place, SYN against none */
    COLO_DIFF_OPTIONS,   /* a SYN with other options, or signed segments */
    COLO_DIFF_SILENT,    /* one copy said what the other did not, in time */
    COLO_DIFF_ACK,       /* the copy lacks input that the primary has */
    COLO_DIFF_FRAGMENT,  /* fragments that make no datagram */
    COLO_DIFF_LIMIT,     /* no room for more frames, bytes or flows */
    COLO_DIFF_COUNT
};

struct colo_compare_config {
    uint32_t vnet_bytes;       /* virtio_net_hdr ahead of frames: 0, 10, 12 */
    uint32_t max_flows;        /* 0 below: the default */
    uint32_t max_frames;       /* held and waiting, both sides */
    uint64_t max_bytes;        /* the same in bytes, with history */
    uint32_t history_bytes;    /* per connection, for retransmissions */
    uint32_t data_timeout_us;  /* how long the other copy may be silent */
    uint32_t ack_timeout_us;   /* how long an acknowledgement waits */
    uint32_t idle_us;          /* a closed connection is forgotten after */
    uint8_t policy[COLO_CLASS_COUNT]; /* enum colo_compare_policy */
    uint64_t hash_seed;        /* random, so that nobody can aim */
};

/* colo__compare_defaults - fill *config; every class is compared. */
void colo__compare_defaults(struct colo_compare_config *config);

/* Frames and notes are borrowed until the callback returns. */
struct colo_compare_ops {
    /* to the world, vnet header first if there is one */
    void (*release)(void *user, const uint8_t *frame, size_t len);
    /* send as TWIN_FLOW with this number, before any later input */
    void (*flow)(void *user, uint64_t number,
                 const struct colo_flow_note *note);
    /* ask for a checkpoint; text is one line for people */
    void (*diverged)(void *user, int reason, const char *text);
};

struct colo_compare_stats {
    uint64_t primary_frames, secondary_frames, input_frames;
    uint64_t released;         /* frames to the world */
    uint64_t released_at_once; /* of those, never held */
    uint64_t held_us_total;    /* sum over those held */
    uint64_t matched_bytes;
    uint64_t dropped_policy;   /* primary's, by COLO_POLICY_DROP */
    uint64_t dropped_old;      /* the copy's, of an old epoch */
    uint64_t divergences;
    uint64_t reason[COLO_DIFF_COUNT];
    uint32_t flows, held_frames; /* now */
    uint64_t held_bytes;         /* now */
};

struct colo_compare;

/* colo__compare_new - epoch: what the copy stamps until the first commit.
 * Owner    ops and *config are copied.
 * Errors   COLO_E_INVAL, COLO_E_NOMEM */
int colo__compare_new(const struct colo_compare_config *config,
                      const struct colo_compare_ops *ops, void *user,
                      uint64_t epoch, struct colo_compare **ret_compare,
                      struct colo_error *err);
/* releases nothing: see colo__compare_solo */
void colo__compare_free(struct colo_compare *compare);

/* colo__compare_input - the world has sent this to the guest. */
void colo__compare_input(struct colo_compare *compare, const uint8_t *frame,
                         size_t len, uint64_t now);

/* colo__compare_primary_out - the primary's guest has sent this.
 * Returns  0, taken (and released already if it may leave)
 * Errors   COLO_E_LIMIT not taken: colo__compare_room() is false;
 *          hand it in again later
 *          COLO_E_NOMEM not taken, the same */
int colo__compare_primary_out(struct colo_compare *compare,
                              const uint8_t *frame, size_t len, uint64_t now);

/* colo__compare_secondary_out - the copy has sent this, in this epoch. */
void colo__compare_secondary_out(struct colo_compare *compare, uint64_t epoch,
                                 const uint8_t *frame, size_t len,
                                 uint64_t now);

/* colo__compare_told - the rewriter knows all notes up to this number.
 * Errors   COLO_E_PROTO no such note was made */
int colo__compare_told(struct colo_compare *compare, uint64_t number,
                       uint64_t now, struct colo_error *err);

/* see above; COLO_E_STATE if the epoch does not follow, or out of order */
int colo__compare_checkpoint(struct colo_compare *compare, uint64_t epoch,
                             struct colo_error *err);
int colo__compare_commit(struct colo_compare *compare, uint64_t epoch,
                         uint64_t now, struct colo_error *err);

/* colo__compare_solo - there is no copy any more (failover on the primary):
 * all that is held leaves in order, from now on frames go at once. */
void colo__compare_solo(struct colo_compare *compare, uint64_t now);

/* colo__compare_lease - frames leave while now < until; COLO_NEVER (the
 * default) is for ever.  What may leave but must not waits in order. */
void colo__compare_lease(struct colo_compare *compare, uint64_t until,
                         uint64_t now);

/* colo__compare_tick - look at deadlines.
 * Returns  when to call again at the latest, or COLO_NEVER. */
uint64_t colo__compare_tick(struct colo_compare *compare, uint64_t now);

bool colo__compare_room(const struct colo_compare *compare);
void colo__compare_stats(const struct colo_compare *compare,
                         struct colo_compare_stats *ret_stats);
const char *colo__compare_reason_name(int reason);

#endif
