/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The comparator's state, and what its files tell each other.
 *
 * A frame of the primary is in the list of all that is held, in the order of
 * arrival, and belongs to a unit: a segment or a datagram, of more than one
 * frame if it was fragmented.  A unit waits in its flow.  Sequence numbers of
 * a flow are the primary's; the secondary's become so by subtracting delta.
 */
#ifndef COLO_COMPARE_INTERNAL_H
#define COLO_COMPARE_INTERNAL_H

#include "parse.h"

enum { PRI, SEC };

struct cmp_unit;

struct cmp_frame {
    struct cmp_frame *next, *prev; /* all held, in order of arrival */
    struct cmp_frame *part;        /* the next of its unit */
    struct cmp_unit *unit;         /* NULL: a fragment, or waits for nothing */
    uint64_t since_us;
    bool ready;                    /* may go, the gate is closed */
    size_t len;
    uint8_t data[];
};

/* What one side has said and the cursor has not passed. */
struct cmp_chunk {
    struct cmp_chunk *next;
    uint64_t since_us;
    uint32_t seq, end;
    uint32_t done;       /* compared up to here */
    const uint8_t *data; /* of seq */
    uint8_t own[];       /* the secondary's: a copy */
};

#define CMP_HEAD_MAX 192

/* Where TCP's header is in a frame; len 0: it must not be changed. */
struct cmp_head {
    uint16_t ip, at, len, sack_at, sack_len, ts_at; /* 0: it has none */
    bool partial_checksum;
};

struct cmp_unit {
    struct cmp_unit *next, *prev; /* of the flow */
    struct cmp_flow *flow;
    struct cmp_frame *frames;
    uint8_t *own;                 /* a datagram that was put together */
    uint64_t since_us;
    bool waits_ack;               /* its bytes are equal */
    const uint8_t *body;
    size_t body_len;
    /* TCP */
    uint32_t seq, end, ack, edge; /* edge: where its window ends */
    uint8_t flags;
    struct cmp_head head;
    struct cmp_chunk chunk;       /* has no own bytes */
};

/* Headers of the last that went out, to make an acknowledgement of. */
struct cmp_owed {
    uint32_t seq;
    struct cmp_head head;
    uint8_t bytes[CMP_HEAD_MAX];
};

#define CMP_RSTS 4

/* Of one side of a connection, in its own numbers if there is a SYN. */
struct cmp_side {
    bool syn, fin, syn_ts, syn_signed;
    uint8_t syn_flags, syn_opts_len;
    uint32_t isn, syn_ack, syn_ts_val;
    uint8_t syn_opts[PACKET_SYNOPTS];
    uint32_t fin_at;     /* in the primary's numbers */
    struct cmp_chunk *chunks; /* sorted by seq */
    /* resets: sequence number, and acknowledgement if it has one */
    uint32_t rst_seq[CMP_RSTS], rst_ack[CMP_RSTS];
    unsigned rsts;       /* that came; the last CMP_RSTS are kept */
};

/* What made a waiting segment ready, or not, when they were last looked at. */
struct cmp_walked {
    bool known, sec_acked;
    uint32_t cursor, sec_ack;
    unsigned rsts;       /* the secondary's */
};

struct cmp_flow {
    struct cmp_flow *chain, *newer, *older;
    struct colo_flow_key key;
    uint64_t seen_us;
    uint64_t waits_us;   /* the secondary's SYN, FIN or RST without a twin; 0 */
    struct cmp_unit *first, *last;       /* of the primary, waiting */
    struct cmp_chunk *sec_first, *sec_last; /* datagrams of the secondary */
    bool diverged, tcp;
    /* TCP */
    bool known;          /* cursor is */
    bool synced;         /* the SYNs of both were equal */
    bool peer_acked, sec_acked, pri_sent, pri_acked, peer_fin, reset;
    bool middle;         /* taken up in this epoch, without its beginning */
    bool claimed;        /* and the world has more of it than the cursor */
    uint32_t claim;      /* all before this, it says */
    uint32_t cursor;     /* all before is equal */
    uint32_t peer_ack;   /* the world has all before */
    uint32_t sec_ack, pri_ack, pri_top;
    uint32_t delta, ts_delta;
    uint32_t note;       /* that told of delta; 0: none has to be known */
    uint64_t moved_us;   /* when sec_ack grew */
    struct cmp_walked walked;
    /* window.c */
    uint8_t scale;
    bool edged[2], out_edged;
    uint32_t edge[2], out_edge; /* where a side's window ends, the world's */
    struct cmp_owed *owed;      /* NULL: the world was told all there is */
    struct cmp_side side[2];
    /* the last bytes before cursor, to look at what is sent again */
    uint8_t *past;
    uint32_t past_size, past_len; /* size: a power of two */
};

struct cmp_table {
    struct cmp_flow **bucket;
    uint32_t buckets, count, max;
    uint64_t seed;
    struct cmp_flow *oldest, *newest;
};

#define CMP_PIECES 64

struct cmp_frag {
    struct cmp_frag *next;
    struct colo_flow_key key;
    uint32_t id;
    uint64_t since_us;
    uint8_t *buf;
    uint32_t cap, have, total; /* total: 0 until the last has come */
    struct { uint32_t from, to; } piece[CMP_PIECES];
    unsigned pieces;
    struct cmp_frame *frames, *frames_last;
    bool gone;           /* some went with a checkpoint: so does the rest */
};

struct colo_compare {
    struct colo_compare_settings set;
    struct colo_compare_ops ops;
    void *user;
    struct colo_compare_counts counts;
    struct cmp_table table;
    struct cmp_frame *held, *held_last;
    struct cmp_frag *frags[2];
    unsigned frag_count[2];
    struct colo_compare_where where;
    uint64_t epoch;
    uint32_t notes, told; /* the last that was sent, and confirmed */
    uint64_t due_us;     /* nothing can be due before */
    bool asked, full, alone, gate;
};

/* A segment or datagram that has come, not held yet. */
struct cmp_in {
    uint64_t now_us;
    const struct colo_packet *p;
    const uint8_t *base;  /* what p's places are in */
    uint8_t *frame;       /* as it came; NULL: parts, or the secondary's */
    size_t len;
    struct cmp_frame *parts; /* held already */
    uint8_t *own;            /* base of parts */
};

/* ---- held.c: frames and units ------------------------------------------ */

/* cmp_release - it goes out now, or when the gate opens; COLO_E_NOMEM. */
int cmp_release(struct colo_compare *c, struct cmp_in *in);
void cmp_release_unit(struct colo_compare *c, struct cmp_flow *f,
                      struct cmp_unit *u);
void cmp_discard(struct colo_compare *c, struct cmp_in *in);
/* cmp_hold - u, on the caller's stack, becomes one of the flow (NULL: of none).
 * NULL: no memory, nothing has changed. */
struct cmp_unit *cmp_hold(struct colo_compare *c, struct cmp_flow *f,
                          struct cmp_in *in, const struct cmp_unit *u);
/* cmp_not_held - there was no memory for it.  Fragments are held already, and
 * wait for the checkpoint.  Returns 0 or COLO_E_NOMEM. */
int cmp_not_held(struct colo_compare *c, struct cmp_flow *f,
                 struct cmp_in *in);
/* cmp_hold_frame - in the list, without a unit. */
struct cmp_frame *cmp_hold_frame(struct colo_compare *c, uint64_t now_us,
                                 const uint8_t *frame, size_t len);
void cmp_ready_frames(struct colo_compare *c, struct cmp_frame *parts);
/* cmp_flush - everything held goes, whatever it waits for. */
void cmp_flush(struct colo_compare *c);
/* cmp_gate_opened - what is ready goes. */
void cmp_gate_opened(struct colo_compare *c);
/* cmp_take, cmp_give - memory; false: a limit is reached. */
bool cmp_take(struct colo_compare *c, size_t bytes);
void cmp_give(struct colo_compare *c, size_t bytes);
struct cmp_chunk *cmp_chunk_new(struct colo_compare *c, uint64_t now_us,
                                const uint8_t *data, size_t len);
void cmp_chunk_free(struct colo_compare *c, struct cmp_chunk *k);
void cmp_due(struct colo_compare *c, uint64_t at_us);
/* cmp_diverge - f may be NULL. */
void cmp_diverge(struct colo_compare *c, struct cmp_flow *f,
                 const char *reason);

/* ---- flows.c ----------------------------------------------------------- */

int cmp_table_new(struct cmp_table *t, uint32_t max, uint64_t seed);
struct cmp_flow *cmp_flow_find(struct cmp_table *t,
                               const struct colo_flow_key *key);
/* cmp_flow_get - found or made; NULL: no room, or no memory. */
struct cmp_flow *cmp_flow_get(struct colo_compare *c, uint64_t now_us,
                              const struct colo_packet *p);
/* cmp_flow_forget - what it holds of the secondary, and what it is. */
void cmp_flow_forget(struct colo_compare *c, struct cmp_flow *f);
void cmp_flow_drop_secondary(struct colo_compare *c, struct cmp_flow *f);
void cmp_flows_expire(struct colo_compare *c, uint64_t now_us);
void cmp_table_free(struct colo_compare *c);

/* ---- stream.c ---------------------------------------------------------- */

void cmp_chunk_insert(struct cmp_side *s, struct cmp_chunk *k);
/* cmp_chunk_unlink - of a unit that goes; it may have left already. */
void cmp_chunk_unlink(struct cmp_side *s, struct cmp_chunk *k);
/* cmp_past_equal - false: bytes before the cursor that were others. */
bool cmp_past_equal(const struct cmp_flow *f, uint32_t seq,
                    const uint8_t *data, uint32_t len);
/* cmp_stream_advance - NULL, or why the streams differ. */
const char *cmp_stream_advance(struct colo_compare *c, struct cmp_flow *f);
void cmp_past_drop(struct colo_compare *c, struct cmp_flow *f);

/* ---- window.c ---------------------------------------------------------- */

void cmp_window_said(struct cmp_flow *f, int side, const struct cmp_in *in);
/* cmp_window_unit - what has to be known of u for the rest. */
void cmp_window_unit(const struct cmp_flow *f, const struct cmp_in *in,
                     struct cmp_unit *u);
/* cmp_window_out - u is going out with this frame, which may be changed. */
void cmp_window_out(struct colo_compare *c, struct cmp_flow *f,
                    const struct cmp_unit *u, uint8_t *frame);
/* cmp_window_flushed - it has gone, unchanged. */
void cmp_window_flushed(struct cmp_flow *f, const struct cmp_unit *u);
/* cmp_window_tell - the secondary may have made room. */
void cmp_window_tell(struct colo_compare *c, struct cmp_flow *f,
                     uint64_t now_us);
/* cmp_window_settle - the primary's window is the only one. */
void cmp_window_settle(struct colo_compare *c, struct cmp_flow *f,
                       uint64_t now_us);
void cmp_window_drop(struct cmp_flow *f);

/* ---- tcp.c, datagram.c, fragments.c ------------------------------------ */

int cmp_tcp_primary(struct colo_compare *c, struct cmp_flow *f,
                    struct cmp_in *in);
void cmp_tcp_secondary(struct colo_compare *c, struct cmp_flow *f,
                       struct cmp_in *in);
void cmp_tcp_input(struct cmp_flow *f, const struct colo_packet *p);
/* cmp_tcp_told - of those whose notes are known now. */
void cmp_tcp_told(struct colo_compare *c, uint64_t now_us);
/* cmp_tcp_commit - the secondary's guest is the primary's. */
void cmp_tcp_commit(struct colo_compare *c, struct cmp_flow *f,
                    uint64_t now_us);

int cmp_datagram_primary(struct colo_compare *c, struct cmp_flow *f,
                         struct cmp_in *in);
void cmp_datagram_secondary(struct colo_compare *c, struct cmp_flow *f,
                            struct cmp_in *in);

/* cmp_fragment - 1: in and p are the whole datagram now; 0: kept, wait.
 * < 0: COLO_E_NOMEM, the frame is the caller's. */
int cmp_fragment(struct colo_compare *c, int side, struct cmp_in *in,
                 struct colo_packet *p);
/* cmp_frags_commit - what is held of them goes; cmp_frags_drop - forgotten. */
void cmp_frags_commit(struct colo_compare *c, uint64_t now_us);
void cmp_frags_drop(struct colo_compare *c);
void cmp_frags_expire(struct colo_compare *c, uint64_t now_us);

#endif
