/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * How much the world may send: what both copies have room for.  A copy that
 * reads more slowly than the other has less room, and throws away what comes
 * beyond it, though the world was told of the other's: so the window that goes
 * out ends where the lesser of both ends.  When the lesser grows and the
 * primary, which believes to have said more, is silent, an acknowledgement of
 * it is made here from the last one that went out.
 *
 * Of a connection whose beginning nobody saw the scale is not known.  Then it
 * counts as 0: right where both acknowledge the same, and never less than the
 * secondary's own window.
 */
#include <stdlib.h>
#include <string.h>

#include "edit.h"
#include "compare-internal.h"

void cmp_window_drop(struct cmp_flow *f)
{
    free(f->owed);
    f->owed = NULL;
}

static uint8_t scale_of(const struct cmp_flow *f, uint8_t flags)
{
    return flags & TCP_SYN ? 0 : f->scale;
}

/* ---- what the copies say ------------------------------------------------ */

static bool says_window(uint8_t flags)
{
    return (flags & (TCP_ACK | TCP_RST)) == TCP_ACK;
}

void cmp_window_said(struct cmp_flow *f, int side, const struct cmp_in *in)
{
    const struct colo_packet *p = in->p;
    uint32_t window = get16(in->base + p->at + 14);

    if (says_window(p->flags))
        seq_later(&f->edged[side], &f->edge[side],
                  p->ack + (window << scale_of(f, p->flags)));
}

void cmp_window_unit(const struct cmp_flow *f, const struct cmp_in *in,
                     struct cmp_unit *u)
{
    const struct colo_packet *p = in->p;
    uint32_t window = get16(in->base + p->at + 14);
    size_t len = 20 + p->opts_len;

    u->edge = p->ack + (window << scale_of(f, p->flags));
    /* Not of fragments, whose checksum may be in another one; nor where the
     * header is signed.  Then the world may send what is lost. */
    if (in->parts || p->is_signed || p->at + len > CMP_HEAD_MAX)
        return;
    u->head.ip = (uint16_t)p->ip;
    u->head.at = (uint16_t)p->at;
    u->head.len = (uint16_t)len;
    u->head.sack_at = (uint16_t)p->sack_at;
    u->head.sack_len = (uint16_t)p->sack_len;
    u->head.ts_at = p->has_ts ? (uint16_t)p->ts_at : 0;
    u->head.partial_checksum = p->partial_checksum;
}

/* ---- what goes out ------------------------------------------------------ */

/* The window of a frame ends at the secondary's edge, or a little before. */
static uint32_t lower(const struct cmp_flow *f, const struct cmp_unit *u,
                      uint8_t *frame)
{
    const struct colo_packet p = {
        .at = u->head.at, .partial_checksum = u->head.partial_checksum,
    };
    uint8_t scale = scale_of(f, u->flags);
    uint32_t was = get16(frame + p.at + 14), now = 0;

    if (seq_le(u->ack, f->edge[SEC]))
        now = (f->edge[SEC] - u->ack) >> scale;
    if (now >= was)
        return u->edge;
    colo__edit_tcp(frame, &p, p.at + 12, now - was);
    return u->ack + (now << scale);
}

/* Its timestamp is less than that of what went out: the world would take no
 * more notice of it. */
static bool is_old(const struct cmp_owed *o, const struct cmp_unit *u,
                   const uint8_t *frame)
{
    return u->head.ts_at && o->head.ts_at &&
           seq_lt(get32(frame + u->head.ts_at),
                  get32(o->bytes + o->head.ts_at));
}

/* The headers, to say more of the same later; of the newest one. */
static void remember(struct cmp_flow *f, const struct cmp_unit *u,
                     const uint8_t *frame, bool limited)
{
    struct cmp_owed *o = f->owed;

    if (!u->head.len || (u->flags & TCP_SYN))
        return;
    if (!o) {
        /* no memory: the world will ask whether there is room by itself */
        o = limited ? malloc(sizeof(*o)) : NULL;
        if (!o)
            return;
        f->owed = o;
        o->seq = u->end;
    } else if (is_old(o, u, frame)) {
        return;
    }
    if (seq_lt(o->seq, u->end)) /* else it was sent again */
        o->seq = u->end;
    o->head = u->head;
    memcpy(o->bytes, frame, u->head.at + (size_t)u->head.len);
    if (u->head.sack_len) /* it would be old, and read as another thing */
        memset(o->bytes + u->head.sack_at - 2, 1, u->head.sack_len + 2u);
}

void cmp_window_out(struct colo_compare *c, struct cmp_flow *f,
                    const struct cmp_unit *u, uint8_t *frame)
{
    uint32_t edge = u->edge;

    if (!says_window(u->flags))
        return;
    if (u->head.len && f->edged[SEC] && seq_lt(f->edge[SEC], edge))
        edge = lower(f, u, frame);
    c->counts.limited += edge != u->edge;
    seq_later(&f->out_edged, &f->out_edge, edge);
    remember(f, u, frame, edge != u->edge);
}

void cmp_window_flushed(struct cmp_flow *f, const struct cmp_unit *u)
{
    if (says_window(u->flags))
        seq_later(&f->out_edged, &f->out_edge, u->edge);
}

/* ---- what is made ------------------------------------------------------- */

static uint32_t words(const uint8_t *p, size_t n, uint32_t sum)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += get16(p + i);
    return sum;
}

static uint16_t folded(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Lengths and checksums of IP and TCP; false: not a plain IP header. */
static bool finish(uint8_t *frame, const struct cmp_head *h, uint8_t family)
{
    uint8_t *ip = frame + h->ip, *tcp = frame + h->at;
    size_t before = (size_t)h->at - h->ip;
    uint32_t sum = 6u + h->len;

    if (family == 4) {
        put16(ip + 2, (uint16_t)(before + h->len));
        put16(ip + 10, 0);
        put16(ip + 10, folded(words(ip, before, 0)));
        sum = words(ip + 12, 8, sum);
    } else {
        if (before != 40)
            return false;
        put16(ip + 4, h->len);
        sum = words(ip + 8, 32, sum);
    }
    put16(tcp + 16, 0);
    put16(tcp + 16, folded(words(tcp, h->len, sum)));
    return true;
}

/* An acknowledgement without data; only if that tells the world more. */
static void tell(struct colo_compare *c, struct cmp_flow *f, uint64_t now_us,
                 uint32_t ack, uint32_t edge)
{
    const struct cmp_owed *o = f->owed;
    size_t len = o->head.at + (size_t)o->head.len;
    uint32_t window = seq_lt(ack, edge) ? (edge - ack) >> f->scale : 0;
    uint8_t frame[CMP_HEAD_MAX], *tcp = frame + o->head.at;
    struct cmp_in in = { .now_us = now_us, .frame = frame, .len = len };

    if (window > UINT16_MAX)
        window = UINT16_MAX;
    edge = ack + (window << f->scale);
    if (!seq_lt(f->out_edge, edge))
        return;
    memcpy(frame, o->bytes, len);
    memset(frame, 0, c->set.vnet);
    put32(tcp + 4, o->seq);
    put32(tcp + 8, ack);
    tcp[13] = TCP_ACK;
    put16(tcp + 14, (uint16_t)window);
    put16(tcp + 18, 0);
    if (!finish(frame, &o->head, f->key.family))
        return;
    f->out_edge = edge;
    c->counts.made += cmp_release(c, &in) == 0;
}

void cmp_window_tell(struct colo_compare *c, struct cmp_flow *f,
                     uint64_t now_us)
{
    uint32_t ack, edge;

    if (!f->owed || f->diverged || f->reset || !f->pri_acked ||
        !f->sec_acked || !f->edged[SEC])
        return;
    ack = seq_lt(f->sec_ack, f->pri_ack) ? f->sec_ack : f->pri_ack;
    edge = seq_lt(f->edge[SEC], f->edge[PRI]) ? f->edge[SEC] : f->edge[PRI];
    tell(c, f, now_us, ack, edge);
}

void cmp_window_settle(struct colo_compare *c, struct cmp_flow *f,
                       uint64_t now_us)
{
    if (f->owed && !f->reset && f->pri_acked)
        tell(c, f, now_us, f->pri_ack, f->edge[PRI]);
    cmp_window_drop(f);
    f->edge[SEC] = f->edge[PRI];
    f->edged[SEC] = f->edged[PRI];
}
