/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A TCP connection of two copies of a guest: when a segment of the primary may
 * go out.  Its bytes, SYN and FIN must be before the cursor (stream.c), and
 * what it acknowledges must be acknowledged by the secondary, too: else the
 * world forgets data that the secondary has never seen.  A reset goes out
 * with an equal one only.
 */
#include <stdlib.h>
#include <string.h>

#include "compare-internal.h"

static uint64_t us(uint32_t ms)
{
    return 1000u * (uint64_t)ms;
}

/* ---- the beginning ----------------------------------------------------- */

/* Both have said their SYN. */
static void meet(struct colo_compare *c, struct cmp_flow *f)
{
    struct cmp_side *p = &f->side[PRI], *s = &f->side[SEC];
    uint8_t bytes[COLO_NOTE_BYTES];
    struct colo_note note;

    if (f->synced || !p->syn || !s->syn)
        return;
    f->waits_us = 0;
    if (p->syn_flags != s->syn_flags || p->syn_ack != s->syn_ack ||
        p->syn_opts_len != s->syn_opts_len ||
        memcmp(p->syn_opts, s->syn_opts, p->syn_opts_len) != 0) {
        cmp_diverge(c, f, "TCP: different options at the beginning");
        return;
    }
    if (p->syn_signed) {
        cmp_diverge(c, f, "TCP: a connection that signs its headers");
        return;
    }
    f->synced = f->known = true;
    f->peer_acked = false; /* nothing has gone out that it could have */
    f->delta = s->isn - p->isn;
    f->ts_delta = p->syn_ts ? s->syn_ts_val - p->syn_ts_val : 0;
    f->cursor = p->isn + 1;
    for (struct cmp_chunk *k = s->chunks; k; k = k->next) {
        k->seq -= f->delta; /* data with the SYN came before delta */
        k->end -= f->delta;
        k->done -= f->delta;
    }
    if (s->fin)
        s->fin_at -= f->delta;
    f->note = ++c->notes;
    note = (struct colo_note){
        .key = f->key, .seq_delta = f->delta, .ts_delta = f->ts_delta,
        .isn = p->isn, .passive = (p->syn_flags & TCP_ACK) != 0,
        .peer_isn = p->syn_flags & TCP_ACK ? p->syn_ack - 1 : 0,
        .number = f->note,
    };
    colo__note_write(&note, bytes);
    c->ops.note(c->user, bytes);
}

/* The same ports for a new connection. */
static bool begin_again(struct colo_compare *c, struct cmp_flow *f)
{
    struct cmp_flow clean = { 0 };

    if (f->first) {
        cmp_diverge(c, f, "TCP: a new connection before the old one's end");
        return false;
    }
    cmp_flow_drop_secondary(c, f);
    cmp_past_drop(c, f);
    cmp_window_drop(f);
    clean.chain = f->chain;
    clean.newer = f->newer;
    clean.older = f->older;
    clean.key = f->key;
    clean.seen_us = f->seen_us;
    clean.tcp = true;
    *f = clean;
    return true;
}

/* Something was said on these ports before, though nobody saw it begin. */
static bool has_past(const struct cmp_flow *f)
{
    return f->known || f->pri_sent || f->pri_acked || f->sec_acked ||
           f->reset;
}

/* Compared from the commit on, which must not take the numbers of the
 * connection before for its own. */
static void begin_diverged(struct cmp_flow *f, const struct colo_packet *p)
{
    struct cmp_side *s = &f->side[PRI];

    if (s->syn && s->isn == p->seq)
        return;
    s->syn = true;
    s->isn = p->seq;
    s->fin = false;
    f->known = f->pri_sent = f->pri_acked = false;
    f->peer_acked = f->peer_fin = f->reset = false;
    f->edged[PRI] = f->out_edged = false;
    f->scale = p->has_scale ? p->scale : 0;
    cmp_window_drop(f);
}

static void on_syn(struct colo_compare *c, struct cmp_flow *f, int side,
                   const struct cmp_in *in)
{
    const struct colo_packet *p = in->p;
    struct cmp_side *s = &f->side[side];
    size_t n;

    if (s->syn && s->isn == p->seq)
        return; /* once more */
    /* also where only the copy has answered the new one so far */
    if ((s->syn || (side == PRI && f->first) ||
         (!f->side[!side].syn && has_past(f))) && !begin_again(c, f))
        return;
    if (side == PRI) /* it was the connection before that said anything */
        f->pri_sent = f->pri_acked = f->edged[PRI] = s->fin = false;
    s->syn = true;
    s->isn = p->seq;
    s->syn_flags = p->flags & (TCP_SYN | TCP_ACK);
    s->syn_ack = p->flags & TCP_ACK ? p->ack : 0;
    s->syn_ts = p->has_ts;
    s->syn_ts_val = p->ts_val;
    if (side == PRI || !f->side[PRI].syn)
        f->scale = p->has_scale ? p->scale : 0;
    n = colo__packet_synopts(in->base + p->opts, p->opts_len, s->syn_opts,
                             &s->syn_signed);
    s->syn_opts_len = (uint8_t)n;
    if (side == SEC && !f->side[PRI].syn) {
        f->waits_us = in->now_us;
        cmp_due(c, in->now_us + us(c->set.hold_ms));
    }
    meet(c, f);
}

/* ---- resets ------------------------------------------------------------ */

static bool reset_seen(const struct cmp_side *s, uint32_t seq, uint32_t ack)
{
    unsigned n = s->rsts < CMP_RSTS ? s->rsts : CMP_RSTS;

    for (unsigned i = 0; i < n; i++) {
        if (s->rst_seq[i] == seq && s->rst_ack[i] == ack)
            return true;
    }
    return false;
}

/* None of the secondary's waits for the primary's. */
static bool resets_met(const struct cmp_flow *f)
{
    const struct cmp_side *s = &f->side[SEC];
    unsigned n = s->rsts < CMP_RSTS ? s->rsts : CMP_RSTS;

    for (unsigned i = 0; i < n; i++) {
        if (!reset_seen(&f->side[PRI], s->rst_seq[i], s->rst_ack[i]))
            return false;
    }
    return true;
}

static void on_reset(struct colo_compare *c, struct cmp_flow *f, int side,
                     uint64_t now_us, uint32_t seq, uint32_t ack)
{
    struct cmp_side *s = &f->side[side];

    if (!reset_seen(s, seq, ack)) {
        s->rst_seq[s->rsts % CMP_RSTS] = seq;
        s->rst_ack[s->rsts++ % CMP_RSTS] = ack;
    }
    if (reset_seen(&f->side[!side], seq, ack)) {
        f->reset = true;
        f->waits_us = 0;
    } else if (side == SEC) {
        f->waits_us = now_us;
        cmp_due(c, now_us + us(c->set.hold_ms));
    }
}

/* ---- what may go ------------------------------------------------------- */

/* The rewriter has this connection's differences. */
static bool told(const struct colo_compare *c, const struct cmp_flow *f)
{
    return !f->note || seq_le(f->note, c->told);
}

static bool ready(const struct colo_compare *c, const struct cmp_flow *f,
                  const struct cmp_unit *u, bool *ret_waits_ack)
{
    *ret_waits_ack = false;
    if (f->diverged)
        return false;
    if (u->flags & TCP_RST) /* must not overtake what was said before it */
        return (!f->first || f->first == u) &&
               reset_seen(&f->side[SEC], u->seq,
                          u->flags & TCP_ACK ? u->ack : 0);
    if ((u->flags & TCP_SYN) &&
        !(f->synced && u->seq == f->side[PRI].isn && told(c, f)))
        return false;
    if (u->seq != u->end && !(f->known && seq_le(u->end, f->cursor)))
        return false;
    if (!(u->flags & TCP_ACK) ||
        (f->sec_acked && seq_le(u->ack, f->sec_ack)))
        return true;
    *ret_waits_ack = true;
    return false;
}

static void release_ready(struct colo_compare *c, struct cmp_flow *f,
                          uint64_t now_us)
{
    struct cmp_unit *next;

    for (struct cmp_unit *u = f->first; u; u = next) {
        bool waits_ack;

        next = u->next;
        if (ready(c, f, u, &waits_ack)) {
            cmp_window_out(c, f, u, u->frames->data);
            cmp_release_unit(c, f, u);
        } else if (waits_ack && !u->waits_ack) {
            u->waits_ack = true;
            u->since_us = now_us;
            cmp_due(c, now_us + us(c->set.ack_ms));
        }
    }
}

void cmp_tcp_told(struct colo_compare *c, uint64_t now_us)
{
    struct cmp_frame *h = c->held;

    while (h) {
        const struct cmp_unit *u = h->unit;
        bool waits_ack;

        if (u && u->flow && u->flow->tcp && (u->flags & TCP_SYN) &&
            ready(c, u->flow, u, &waits_ack)) {
            release_ready(c, u->flow, now_us);
            h = c->held; /* it has changed */
        } else {
            h = h->next;
        }
    }
}

/* Nothing else makes ready what waits, but that a note is told. */
static bool moved(struct cmp_flow *f)
{
    struct cmp_walked now = {
        .known = f->known, .sec_acked = f->sec_acked, .cursor = f->cursor,
        .sec_ack = f->sec_ack, .rsts = f->side[SEC].rsts,
    }, *was = &f->walked;
    bool same = now.known == was->known && now.sec_acked == was->sec_acked &&
                now.cursor == was->cursor && now.sec_ack == was->sec_ack &&
                now.rsts == was->rsts;

    *was = now;
    return !same;
}

static void advance(struct colo_compare *c, struct cmp_flow *f,
                    uint64_t now_us)
{
    const char *reason = f->diverged ? NULL : cmp_stream_advance(c, f);

    if (reason)
        cmp_diverge(c, f, reason);
    if (moved(f))
        release_ready(c, f, now_us);
}

/* ---- the primary ------------------------------------------------------- */

/* A connection older than this epoch: both go on from the same place. */
static void begin_middle(struct cmp_flow *f, const struct cmp_unit *u)
{
    if (f->known || f->side[PRI].syn || f->side[SEC].syn)
        return;
    f->known = f->middle = true;
    f->cursor = u->seq;
    if (f->peer_acked && seq_lt(u->seq, f->peer_ack) &&
        seq_le(f->peer_ack, u->end))
        f->cursor = f->peer_ack;
    else if (f->peer_acked && seq_lt(f->cursor, f->peer_ack)) {
        f->peer_acked = false; /* no more than a claim */
        seq_later(&f->claimed, &f->claim, f->peer_ack);
    }
}

static void primary_bytes(struct colo_compare *c, struct cmp_flow *f,
                          struct cmp_unit *u, const struct colo_packet *p)
{
    struct cmp_chunk *k = &u->chunk;
    uint32_t from = p->seq + ((p->flags & TCP_SYN) != 0);

    if (p->flags & TCP_FIN) {
        if (!f->side[PRI].fin)
            f->side[PRI].fin_at = u->end - 1;
        f->side[PRI].fin = true;
        if (f->side[SEC].fin && resets_met(f))
            f->waits_us = 0;
    }
    if (!p->body_len)
        return;
    k->seq = k->done = from;
    k->end = from + (uint32_t)p->body_len;
    k->data = u->body;
    if (f->known && seq_le(k->end, f->cursor)) {
        if (!cmp_past_equal(f, k->seq, k->data, k->end - k->seq))
            cmp_diverge(c, f, "TCP: other bytes when sent again");
        return;
    }
    cmp_chunk_insert(&f->side[PRI], k);
}

/* The chunk of a unit on the stack is now another, or none. */
static void move_chunk(struct cmp_flow *f, const struct cmp_chunk *from,
                       struct cmp_unit *u)
{
    for (struct cmp_chunk **at = &f->side[PRI].chunks; *at;
         at = &(*at)->next) {
        if (*at != from)
            continue;
        if (u) {
            u->chunk = *from;
            u->chunk.data = u->body;
            *at = &u->chunk;
        } else {
            *at = from->next;
        }
        return;
    }
}

int cmp_tcp_primary(struct colo_compare *c, struct cmp_flow *f,
                    struct cmp_in *in)
{
    const struct colo_packet *p = in->p;
    struct cmp_unit u = { 0 }, *held;
    bool waits_ack;

    u.seq = p->seq;
    u.ack = p->ack;
    u.flags = p->flags;
    u.body = in->base + p->body;
    u.body_len = p->body_len;
    u.end = p->seq + (uint32_t)p->body_len +
            ((p->flags & TCP_SYN) != 0) + ((p->flags & TCP_FIN) != 0);
    if (!f->diverged && (p->flags & TCP_SYN))
        on_syn(c, f, PRI, in);
    if (f->diverged && (p->flags & TCP_SYN))
        begin_diverged(f, p);
    if (p->flags & TCP_RST) {
        on_reset(c, f, PRI, in->now_us, p->seq,
                 p->flags & TCP_ACK ? p->ack : 0);
    } else {
        f->reset = false; /* it goes on: that was none for it */
        if (u.end != u.seq)
            seq_later(&f->pri_sent, &f->pri_top, u.end);
        if (p->flags & TCP_ACK)
            seq_later(&f->pri_acked, &f->pri_ack, p->ack);
        cmp_window_said(f, PRI, in);
        if (!f->diverged && u.end != u.seq) {
            begin_middle(f, &u);
            primary_bytes(c, f, &u, p);
        }
    }
    advance(c, f, in->now_us);
    cmp_window_unit(f, in, &u);
    if (ready(c, f, &u, &waits_ack)) {
        cmp_window_out(c, f, &u, in->frame);
        cmp_chunk_unlink(&f->side[PRI], &u.chunk);
        return cmp_release(c, in);
    }
    u.waits_ack = waits_ack;
    held = cmp_hold(c, f, in, &u);
    move_chunk(f, &u.chunk, held);
    return held ? 0 : cmp_not_held(c, f, in);
}

/* ---- the secondary ----------------------------------------------------- */

static void secondary_bytes(struct colo_compare *c, struct cmp_flow *f,
                            const struct cmp_in *in, uint32_t seq)
{
    const struct colo_packet *p = in->p;
    const uint8_t *data = in->base + p->body;
    uint32_t from = seq + ((p->flags & TCP_SYN) != 0), skip = 0;
    uint32_t end = from + (uint32_t)p->body_len;
    struct cmp_side *s = &f->side[SEC];
    struct cmp_chunk *k;

    if (p->flags & TCP_FIN) {
        if (s->fin && s->fin_at != end) {
            cmp_diverge(c, f, "TCP: the secondary ends the stream twice");
            return;
        }
        if (!s->fin && !f->side[PRI].fin &&
            !(f->known && seq_lt(end, f->cursor))) {
            f->waits_us = in->now_us;
            cmp_due(c, in->now_us + us(c->set.hold_ms));
        }
        s->fin = true;
        s->fin_at = end;
    }
    if (!p->body_len)
        return;
    if (f->known && seq_lt(from, f->cursor)) {
        uint32_t old = f->cursor - from;

        skip = old < end - from ? old : end - from;
        if (!cmp_past_equal(f, from, data, skip)) {
            cmp_diverge(c, f, "TCP: other bytes when sent again");
            return;
        }
        if (skip == end - from) {
            c->counts.again++;
            return;
        }
    }
    k = cmp_chunk_new(c, in->now_us, data + skip, end - from - skip);
    if (!k) {
        cmp_diverge(c, f, "as much is held as may be");
        return;
    }
    k->seq = k->done = from + skip;
    k->end = end;
    cmp_chunk_insert(s, k);
}

static void secondary_acks(struct cmp_flow *f, const struct cmp_in *in)
{
    if (!f->sec_acked || seq_lt(f->sec_ack, in->p->ack))
        f->moved_us = in->now_us;
    seq_later(&f->sec_acked, &f->sec_ack, in->p->ack);
    cmp_window_said(f, SEC, in);
}

void cmp_tcp_secondary(struct colo_compare *c, struct cmp_flow *f,
                       struct cmp_in *in)
{
    const struct colo_packet *p = in->p;
    uint32_t seq;

    if (f->diverged)
        return;
    if (p->flags & TCP_SYN)
        on_syn(c, f, SEC, in);
    if (f->diverged)
        return;
    seq = p->seq - f->delta;
    if (p->flags & TCP_RST) {
        /* of a port that is closed: 0, and no connection's number */
        on_reset(c, f, SEC, in->now_us, p->seq ? seq : 0,
                 p->flags & TCP_ACK ? p->ack : 0);
    } else {
        /* of the connection before, whose ports the primary uses again */
        if (f->side[PRI].syn && !f->side[SEC].syn && !f->known)
            return;
        if (p->flags & TCP_ACK)
            secondary_acks(f, in);
        secondary_bytes(c, f, in, seq);
    }
    advance(c, f, in->now_us);
    cmp_window_tell(c, f, in->now_us);
}

/* ---- the world, and checkpoints ---------------------------------------- */

void cmp_tcp_input(struct cmp_flow *f, const struct colo_packet *p)
{
    /* before the guest's first word it has asked for it: a refusal */
    if ((p->flags & TCP_RST) &&
        (!f->pri_acked || p->seq - f->pri_ack < TCP_RESET_FITS))
        f->reset = true;
    if (p->flags & TCP_SYN) {
        if ((p->flags & TCP_ACK) && !p->has_scale)
            f->scale = 0; /* only if both can */
        return;
    }
    if (p->flags & TCP_FIN)
        f->peer_fin = true;
    if (!(p->flags & TCP_ACK))
        return;
    /* it cannot have what has not gone out, unless that was before us */
    if (!f->known || seq_le(p->ack, f->cursor))
        seq_later(&f->peer_acked, &f->peer_ack, p->ack);
    else if (f->middle)
        seq_later(&f->claimed, &f->claim, p->ack);
}

void cmp_tcp_commit(struct colo_compare *c, struct cmp_flow *f,
                    uint64_t now_us)
{
    struct cmp_side *p = &f->side[PRI], *s = &f->side[SEC];

    cmp_window_settle(c, f, now_us);
    cmp_flow_drop_secondary(c, f);
    p->chunks = NULL;
    f->diverged = f->middle = f->claimed = false;
    f->delta = f->ts_delta = f->note = 0;
    p->rsts = s->rsts = 0;
    if (f->known && (!f->pri_sent || seq_lt(f->pri_top, f->cursor)))
        seq_later(&f->pri_sent, &f->pri_top, f->cursor);
    if (!f->known || f->cursor != f->pri_top)
        f->past_len = 0; /* some went out uncompared */
    f->known = f->pri_sent;
    f->cursor = f->pri_top;
    if (f->known && f->peer_acked && seq_lt(f->cursor, f->peer_ack))
        f->peer_acked = false; /* no more than a claim */
    f->sec_acked = f->pri_acked;
    f->sec_ack = f->pri_ack;
    f->synced = p->syn;
    *s = *p;
}
