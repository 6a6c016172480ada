/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Two copies of a guest, one of which the world sees: what must be equal
 * before it may hear an answer.  The comparator stands beside the primary,
 * the rewriter beside the secondary, one of each for a network card.  Pure:
 * frames in memory, no clock, no socket; one thread for each object.
 *
 * Who knows what.  Each copy of a guest chooses its own initial sequence
 * numbers and timestamps.  The secondary's output travels as its guest made
 * it.  The comparator sees the SYN or SYN-ACK of both, which it holds until
 * they agree, so it knows the differences first, and tells the rewriter with
 * a note on the same ordered stream that carries the input: the world answers
 * a SYN only after it went out, so the note is always ahead of the first input
 * that needs it.  The SYN itself waits until the rewriter has confirmed the
 * note: a survivor that did not know it could not speak to that client.  From
 * then on the rewriter changes the input of its guest,
 * and has what it needs to change output, too, once it is alone.
 *
 * A frame is `vnet` bytes of virtio_net_hdr (10, or 0: there is none) and
 * Ethernet without its checksum, tags in it.  It is borrowed for the call.
 *
 * A divergence is told once; everything of that connection is held from then
 * on, and the next commit lets it go and makes all differences 0, as the
 * secondary's guest is then the primary's.
 */
#ifndef COLO_COMPARE_H
#define COLO_COMPARE_H

#include "../../libcolo/internal.h"

/* A connection, seen from the guest. */
struct colo_flow_key {
    uint8_t family;      /* 4, 6; 0: not IP, or not readable */
    uint8_t proto;       /* of IP */
    uint16_t tag[2];     /* VLAN id + 1, outer first; 0: none */
    uint16_t guest_port, peer_port; /* ICMP: type and code, identifier */
    uint8_t guest[16], peer[16];    /* IPv4 in the first four bytes */
};

/* ---- settings ---------------------------------------------------------- */

enum colo_compare_class {
    COLO_CLASS_LINK,  /* ARP, neighbours, IGMP, MLD, DHCP, not IP */
    COLO_CLASS_TCP,
    COLO_CLASS_UDP,
    COLO_CLASS_DNS,   /* UDP from or to port 53 */
    COLO_CLASS_QUIC,  /* UDP from or to port 443 */
    COLO_CLASS_ICMP,
    COLO_CLASS_OTHER, /* the rest of IP, and what cannot be read */
    COLO_CLASSES
};

enum colo_compare_policy {
    COLO_POLICY_COMPARE,
    COLO_POLICY_PASS, /* the primary's goes out, the secondary's is dropped */
    COLO_POLICY_DROP, /* nobody's goes out */
};

struct colo_compare_settings {
    uint32_t vnet;         /* bytes of virtio_net_hdr: 0 or 10 */
    uint32_t max_flows;
    uint32_t max_frames;   /* held, of both */
    uint64_t max_bytes;    /* held, and remembered, of both */
    uint32_t hold_ms;      /* the longest that something waits for its twin */
    uint32_t ack_ms;       /* the same where an acknowledgement is missing */
    uint32_t idle_s;       /* a connection at rest is forgotten after */
    uint32_t closed_s;     /* and a closed one after */
    uint8_t policy[COLO_CLASSES]; /* LINK and TCP, too */
    uint64_t seed;         /* of the hashes: what the world cannot guess */
};

/* colo__compare_defaults - 8192 flows, 16384 frames, 64 MiB, 3 s, 400 ms, an
 * hour, one minute; everything is compared, LINK passes. */
void colo__compare_defaults(struct colo_compare_settings *s);

/* colo__compare_hold - patience as a user gives it; an acknowledgement waits
 * for an eighth of that, but not less than by default. */
void colo__compare_hold(struct colo_compare_settings *s, uint32_t hold_ms);

/* colo__compare_policy - "CLASS=POLICY", e.g. "dns=pass".  False: it is not. */
bool colo__compare_policy(const char *text, uint8_t *ret_class,
                          uint8_t *ret_policy);

/* ---- the comparator ---------------------------------------------------- */

#define COLO_NOTE_BYTES 64u

/* None of them may call back into the comparator. */
struct colo_compare_ops {
    /* a frame of the primary may go out: as it came, but that the window of
     * TCP is made smaller where the secondary has less room; or an
     * acknowledgement that was made when it has more again */
    void (*release)(void *user, const uint8_t *frame, size_t len);
    /* for colo__rewrite_note, before any input that comes after this */
    void (*note)(void *user, const uint8_t note[COLO_NOTE_BYTES]);
    /* a checkpoint is needed; once until the next commit */
    void (*diverged)(void *user, const char *reason);
};

struct colo_compare_counts {
    uint64_t primary, secondary;  /* frames that came */
    uint64_t released, at_once;   /* at_once: without being held */
    uint64_t old_epoch;           /* of the secondary, dropped */
    uint64_t again;               /* sent again: of the secondary, dropped */
    uint64_t divergences;         /* also those that were not told */
    uint64_t matched_bytes;
    uint64_t limited, made;       /* windows made smaller; acknowledgements */
    uint64_t held_frames, held_bytes; /* now, of both */
    uint64_t flows;                   /* now */
};

struct colo_compare;

/* colo__compare_new - Owner  copies settings and ops.
 * Errors   COLO_E_NOMEM; COLO_E_INVAL: settings that cannot be. */
int colo__compare_new(const struct colo_compare_settings *settings,
                      const struct colo_compare_ops *ops, void *user,
                      struct colo_compare **ret, struct colo_error *err);
void colo__compare_free(struct colo_compare *c);

/* colo__compare_input - the guest was given this frame of the world. */
void colo__compare_input(struct colo_compare *c, uint64_t now_us,
                         const uint8_t *frame, size_t len);

/* colo__compare_primary - the primary's guest has sent this: released during
 * the call, or held.  Its window may be changed in place.
 * Errors   COLO_E_NOMEM: neither, the frame is still the caller's; a
 *          checkpoint was asked for. */
int colo__compare_primary(struct colo_compare *c, uint64_t now_us,
                          uint8_t *frame, size_t len);

/* colo__compare_secondary - the secondary's guest has sent this, going on
 * from checkpoint `epoch`.  May release. */
void colo__compare_secondary(struct colo_compare *c, uint64_t now_us,
                             uint64_t epoch, const uint8_t *frame,
                             size_t len);

/* colo__compare_told - the rewriter has all notes up to this number; what
 * waited for that goes out. */
void colo__compare_told(struct colo_compare *c, uint64_t now_us,
                        uint32_t number);

/* colo__compare_full - a limit is reached: read no more output of the guest
 * until the commit, which was asked for.  Nothing is dropped otherwise. */
bool colo__compare_full(const struct colo_compare *c);

/* colo__compare_commit - the secondary has acknowledged checkpoint `epoch`:
 * everything held goes out in the order it came, what the secondary said is
 * dropped, all differences are 0. */
void colo__compare_commit(struct colo_compare *c, uint64_t now_us,
                          uint64_t epoch);

/* colo__compare_alone - there is no secondary any more: everything held goes
 * out, and so does all that comes. */
void colo__compare_alone(struct colo_compare *c, uint64_t now_us);

/* colo__compare_gate - false: whatever may go out waits (a lease has ended);
 * true, as in the beginning: it goes, in order. */
void colo__compare_gate(struct colo_compare *c, bool open);

/* colo__compare_tick - see what has waited too long.  Cheap if nothing is due.
 * Returns  when to call again, or COLO_NEVER. */
uint64_t colo__compare_tick(struct colo_compare *c, uint64_t now_us);

void colo__compare_counts(const struct colo_compare *c,
                          struct colo_compare_counts *ret);

/* Of the divergence that was told last. */
struct colo_compare_where {
    bool has_flow, has_stream;
    struct colo_flow_key flow;
    uint32_t seq;        /* TCP: the primary's number of what differs, or of
                          * what did not come */
    uint32_t offset;     /* the same, from the beginning of its stream */
    bool from_start;     /* that was seen: offset is known */
};

/* colo__compare_where - also from within diverged. */
void colo__compare_where(const struct colo_compare *c,
                         struct colo_compare_where *ret);

/* ---- the note ---------------------------------------------------------- */

struct colo_note {
    struct colo_flow_key key;
    uint32_t seq_delta;  /* the secondary's sequence numbers - primary's */
    uint32_t ts_delta;   /* the same of timestamps; 0 if there are none */
    uint32_t isn;        /* the primary's first sequence number */
    uint32_t peer_isn;   /* the world's, where the world began */
    bool passive;        /* it did */
    uint32_t number;     /* of the note, from 1, in order */
};

/* 64 bytes, numbers big-endian: u8 1, u8 family, u8 proto, u8 passive,
 * u16 tag[2], u16 guest_port, u16 peer_port, guest[16], peer[16],
 * u32 seq_delta, u32 ts_delta, u32 isn, u32 peer_isn, u32 number. */
void colo__note_write(const struct colo_note *note,
                      uint8_t out[COLO_NOTE_BYTES]);
/* colo__note_parse - 0, or COLO_E_PROTO: not TCP, or not ours. */
int colo__note_parse(const uint8_t *buf, size_t len, struct colo_note *ret);

/* ---- the rewriter ------------------------------------------------------ */

struct colo_rewrite_settings {
    uint32_t vnet;
    uint32_t max_flows;
    uint32_t idle_s, closed_s;
    uint64_t seed;
};

/* 16384 flows, three hours, two minutes */
void colo__rewrite_defaults(struct colo_rewrite_settings *s);

struct colo_rewrite;

int colo__rewrite_new(const struct colo_rewrite_settings *settings,
                      struct colo_rewrite **ret, struct colo_error *err);
void colo__rewrite_free(struct colo_rewrite *r);

/* colo__rewrite_loaded - the guest is now the primary's of a checkpoint: no
 * connection differs. */
void colo__rewrite_loaded(struct colo_rewrite *r);

/* colo__rewrite_note - *ret_number: for colo__compare_told.
 * Returns  false: not a note, or no room for one more. */
bool colo__rewrite_note(struct colo_rewrite *r, uint64_t now_us,
                        const uint8_t *note, size_t len,
                        uint32_t *ret_number);

/* colo__rewrite_to_guest - input, changed in place: acknowledgement, SACK
 * edges, echoed timestamp.  False: it must not reach the guest (it cannot be
 * changed as it must be). */
bool colo__rewrite_to_guest(struct colo_rewrite *r, uint64_t now_us,
                            uint8_t *frame, size_t len);

/* colo__rewrite_from_guest - output.  Beside a primary it is looked at only;
 * alone, sequence number and timestamp are changed in place.  False: it must
 * not reach the world. */
bool colo__rewrite_from_guest(struct colo_rewrite *r, uint64_t now_us,
                              uint8_t *frame, size_t len);

/* colo__rewrite_alone - there is no primary any more; connections keep being
 * rewritten until they are forgotten: what was lost of the last words is said
 * again after both ends were heard. */
void colo__rewrite_alone(struct colo_rewrite *r);

/* colo__rewrite_open - connections that differ and are not forgotten. */
size_t colo__rewrite_open(const struct colo_rewrite *r);

/* colo__rewrite_tick - forget what is closed or at rest; when to call again,
 * or COLO_NEVER. */
uint64_t colo__rewrite_tick(struct colo_rewrite *r, uint64_t now_us);

#endif
