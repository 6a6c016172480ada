/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Two streams of bytes, cut into segments as each side liked: a cursor moves
 * over what both have said.  Some bytes before it are remembered, as they may
 * be sent again and must then be the same.
 */
#include <stdlib.h>
#include <string.h>

#include "compare-internal.h"

#define PAST_MIN 4096u
#define PAST_MAX (256u << 10)

/* ---- what was equal ---------------------------------------------------- */

void cmp_past_drop(struct colo_compare *c, struct cmp_flow *f)
{
    c->counts.held_bytes -= f->past_size;
    free(f->past);
    f->past = NULL;
    f->past_size = f->past_len = 0;
}

/* Bytes at their sequence number modulo the size, so that what is kept does
 * not move. */
static void ring_put(uint8_t *ring, uint32_t size, uint32_t seq,
                     const uint8_t *data, uint32_t len)
{
    uint32_t at = seq & (size - 1), n = size - at;

    if (n > len)
        n = len;
    memcpy(ring + at, data, n);
    memcpy(ring, data + n, len - n);
}

/* As large as what the world has not acknowledged, within reason. */
static void past_grow(struct colo_compare *c, struct cmp_flow *f,
                      uint32_t more)
{
    uint32_t want = more, size = f->past_size ? f->past_size : PAST_MIN;
    uint8_t *ring;

    if (f->peer_acked)
        want += f->cursor - f->peer_ack;
    while (size < want && size < PAST_MAX)
        size *= 2;
    /* it is a second look: never at the cost of what must be held */
    if (size == f->past_size ||
        c->counts.held_bytes + size > c->set.max_bytes / 2)
        return;
    ring = malloc(size);
    if (!ring)
        return;
    for (uint32_t i = f->past_len; i; i--) {
        uint32_t seq = f->cursor - i;

        ring[seq & (size - 1)] = f->past[seq & (f->past_size - 1)];
    }
    c->counts.held_bytes += size - f->past_size;
    free(f->past);
    f->past = ring;
    f->past_size = size;
}

/* data is what is at the cursor, before that moves */
static void past_add(struct colo_compare *c, struct cmp_flow *f,
                     const uint8_t *data, uint32_t len)
{
    uint32_t skip = 0;

    past_grow(c, f, len);
    if (!f->past)
        return;
    if (len > f->past_size)
        skip = len - f->past_size;
    ring_put(f->past, f->past_size, f->cursor + skip, data + skip,
             len - skip);
    f->past_len = len - skip < f->past_size - f->past_len ?
                  f->past_len + (len - skip) : f->past_size;
}

bool cmp_past_equal(const struct cmp_flow *f, uint32_t seq,
                    const uint8_t *data, uint32_t len)
{
    uint32_t from = f->cursor - f->past_len;

    /* What the world has acknowledged is of no interest to it, as in the
     * byte that a keepalive makes up.  It may claim anything: what is read
     * is of the last past_len bytes. */
    if (f->peer_acked && seq_lt(from, f->peer_ack) &&
        seq_le(f->peer_ack, f->cursor))
        from = f->peer_ack;
    for (uint32_t i = seq_lt(seq, from) ? from - seq : 0; i < len; i++) {
        uint32_t at = seq + i;

        if (!seq_lt(at, f->cursor))
            break;
        if (f->past[at & (f->past_size - 1)] != data[i])
            return false;
    }
    return true;
}

/* ---- the cursor -------------------------------------------------------- */

void cmp_chunk_insert(struct cmp_side *s, struct cmp_chunk *k)
{
    struct cmp_chunk **at = &s->chunks;

    while (*at && seq_le((*at)->seq, k->seq))
        at = &(*at)->next;
    k->next = *at;
    *at = k;
}

/* A guest that makes numbers up has chunks in no order that the cursor could
 * go through. */
void cmp_chunk_unlink(struct cmp_side *s, struct cmp_chunk *k)
{
    struct cmp_chunk **at = &s->chunks;

    while (k->data && *at && *at != k)
        at = &(*at)->next;
    if (k->data && *at)
        *at = k->next;
    k->data = NULL;
}

/* Chunks that the cursor is in or has passed: look at what another one went
 * ahead of, and let go of those that are done. */
static bool pass_chunks(struct colo_compare *c, struct cmp_flow *f, int side)
{
    struct cmp_chunk **at = &f->side[side].chunks;

    while (*at && seq_le((*at)->seq, f->cursor)) {
        struct cmp_chunk *k = *at;
        uint32_t to = seq_lt(k->end, f->cursor) ? k->end : f->cursor;

        if (seq_lt(k->done, to)) {
            if (!cmp_past_equal(f, k->done, k->data + (k->done - k->seq),
                                to - k->done))
                return false;
            k->done = to;
        }
        if (seq_le(k->end, f->cursor)) {
            *at = k->next;
            if (side == SEC)
                cmp_chunk_free(c, k);
            else
                k->data = NULL; /* it is in no list */
        } else {
            at = &k->next;
        }
    }
    return true;
}

/* The first chunk if the cursor is in it. */
static struct cmp_chunk *here(const struct cmp_flow *f, int side)
{
    struct cmp_chunk *k = f->side[side].chunks;

    return k && seq_le(k->seq, f->cursor) ? k : NULL;
}

static bool ends_here(const struct cmp_flow *f, int side)
{
    return f->side[side].fin && f->side[side].fin_at == f->cursor;
}

/* A connection older than the epoch was taken up where its first bytes were
 * sent again: what lies behind them, and the world had before, is never said
 * again.  Only where both go on, or end, at the same place. */
static bool pass_claimed(struct cmp_flow *f)
{
    const struct cmp_side *p = &f->side[PRI], *s = &f->side[SEC];
    uint32_t to;

    if (!f->claimed)
        return false;
    if (p->chunks && s->chunks && p->chunks->seq == s->chunks->seq)
        to = p->chunks->seq;
    else if (!p->chunks && !s->chunks && p->fin && s->fin &&
             p->fin_at == s->fin_at)
        to = p->fin_at;
    else
        return false;
    if (!seq_lt(f->cursor, to) || !seq_le(to, f->claim))
        return false;
    f->cursor = to;
    f->past_len = 0;
    return true;
}

const char *cmp_stream_advance(struct colo_compare *c, struct cmp_flow *f)
{
    while (f->known) {
        struct cmp_chunk *p, *s;
        const uint8_t *a, *b;
        uint32_t n;

        if (!pass_chunks(c, f, PRI) || !pass_chunks(c, f, SEC))
            return "TCP: other bytes when sent again";
        if (pass_claimed(f))
            continue;
        p = here(f, PRI);
        s = here(f, SEC);
        if (!p || !s) {
            if (s && ends_here(f, PRI))
                return "TCP: the primary ends the stream earlier";
            if (p && ends_here(f, SEC))
                return "TCP: the secondary ends the stream earlier";
            if (!ends_here(f, PRI) || !ends_here(f, SEC))
                break;
            f->cursor++; /* both end it here */
            f->past_len = 0;
            continue;
        }
        n = (seq_lt(p->end, s->end) ? p->end : s->end) - f->cursor;
        a = p->data + (f->cursor - p->seq);
        b = s->data + (f->cursor - s->seq);
        if (memcmp(a, b, n) != 0)
            return "TCP: different bytes";
        past_add(c, f, a, n);
        f->cursor += n;
        p->done = s->done = f->cursor;
        c->counts.matched_bytes += n;
    }
    return NULL;
}
