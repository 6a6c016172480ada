/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * All that is not a stream: the first of the primary that waits must equal
 * the first of the secondary that waits, in each flow.  Flows do not wait for
 * one another.
 */
#include <string.h>

#include "compare-internal.h"

#define QUOTED_MAX 64

/* What is said.  Of ICMP all after the checksum (its type is in the key); of
 * an error only what every copy must say equally of the packet it quotes, as
 * the secondary's quotes its own numbers. */
struct said {
    const uint8_t *data;
    size_t len;
    uint8_t quoted[QUOTED_MAX];
};

static bool is_error(const struct colo_packet *p)
{
    uint8_t type = (uint8_t)(p->key.guest_port >> 8);

    if (p->key.family == 6)
        return type < 128;
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* The rest of the error's header, the quoted header without what changes on
 * the way, and eight bytes of what it carries. */
static void quote(const uint8_t *icmp, size_t len, uint8_t family,
                  struct said *ret)
{
    const uint8_t *ip = icmp + 8;
    size_t n, head = family == 6 ? 40 : 20;

    if (len < 8 + head)
        return; /* as it is */
    if (family == 4) {
        head = (size_t)(ip[0] & 15) * 4;
        if (head < 20 || head > 40 || len < 8 + head)
            return;
    }
    n = len - 8 < head + 8 ? len - 8 : head + 8;
    memcpy(ret->quoted, icmp + 4, 4);
    memcpy(ret->quoted + 4, ip, n);
    if (family == 4) {
        ret->quoted[4 + 1] = 0;                 /* type of service */
        memset(ret->quoted + 4 + 4, 0, 2);      /* identification */
        ret->quoted[4 + 8] = 0;                 /* time to live */
        memset(ret->quoted + 4 + 10, 0, 2);     /* checksum */
    } else {
        ret->quoted[4 + 7] = 0;                 /* hop limit */
    }
    ret->data = ret->quoted;
    ret->len = 4 + n;
}

static void said(const struct cmp_in *in, struct said *ret)
{
    const struct colo_packet *p = in->p;
    const uint8_t *icmp = in->base + p->at;

    ret->data = in->base + p->body;
    ret->len = p->body_len;
    if (p->cls != COLO_CLASS_ICMP || p->len < 4)
        return;
    ret->data = icmp + 4;
    ret->len = p->len - 4;
    if (is_error(p))
        quote(icmp, p->len, p->key.family, ret);
}

static bool equal(const struct said *a, const uint8_t *data, size_t len)
{
    return a->len == len && memcmp(a->data, data, len) == 0;
}

/* A unit's body is that of its frame; what a quote leaves out is worked out
 * again, from type and family in the key. */
static void said_unit(const struct cmp_flow *f, const struct cmp_unit *u,
                      struct said *ret)
{
    struct colo_packet p = { .key = f->key };

    ret->data = u->body;
    ret->len = u->body_len;
    if (u->flags) { /* an error of ICMP: body is all after the checksum */
        p.cls = COLO_CLASS_ICMP;
        if (is_error(&p))
            quote(u->body - 4, u->body_len + 4, f->key.family, ret);
    }
}

static const char *differs(const struct colo_packet *p)
{
    switch (p->cls) {
    case COLO_CLASS_DNS:
        return "DNS: different datagrams";
    case COLO_CLASS_QUIC:
        return "QUIC: different datagrams";
    case COLO_CLASS_UDP:
        return "UDP: different datagrams";
    case COLO_CLASS_ICMP:
        return "ICMP: different messages";
    default:
        return "different packets of another kind";
    }
}

int cmp_datagram_primary(struct colo_compare *c, struct cmp_flow *f,
                         struct cmp_in *in)
{
    struct cmp_chunk *k = f->sec_first;
    struct cmp_unit u = { 0 };
    struct said a;

    said(in, &a);
    if (!f->diverged && !f->first && k) {
        if (equal(&a, k->data, k->end - k->seq)) {
            f->sec_first = k->next;
            if (!f->sec_first)
                f->sec_last = NULL;
            c->counts.matched_bytes += a.len;
            cmp_chunk_free(c, k);
            return cmp_release(c, in);
        }
        cmp_diverge(c, f, differs(in->p));
    }
    u.flags = in->p->cls == COLO_CLASS_ICMP && in->p->len >= 4;
    u.body = in->base + (u.flags ? in->p->at + 4 : in->p->body);
    u.body_len = u.flags ? in->p->len - 4 : in->p->body_len;
    return cmp_hold(c, f, in, &u) ? 0 : cmp_not_held(c, f, in);
}

void cmp_datagram_secondary(struct colo_compare *c, struct cmp_flow *f,
                            struct cmp_in *in)
{
    struct cmp_chunk *k;
    struct said b, a;

    if (f->diverged)
        return;
    said(in, &b);
    if (f->first) {
        said_unit(f, f->first, &a);
        if (equal(&a, b.data, b.len)) {
            c->counts.matched_bytes += b.len;
            cmp_release_unit(c, f, f->first);
        } else {
            cmp_diverge(c, f, differs(in->p));
        }
        return;
    }
    k = cmp_chunk_new(c, in->now_us, b.data, b.len);
    if (!k) {
        cmp_diverge(c, f, "as much is held as may be");
        return;
    }
    if (f->sec_last)
        f->sec_last->next = k;
    else
        f->sec_first = k;
    f->sec_last = k;
}
