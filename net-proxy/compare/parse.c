/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Ethernet, VLAN, IPv4, IPv6 with its extension headers, TCP, UDP, ICMP; see
 * parse.h.  Lengths are those of the IP header: a short frame has padding
 * that nobody said.
 */
#include <string.h>

#include <linux/virtio_net.h>

#include "parse.h"

#define MAX_EXTENSIONS 8

enum {
    P_HOPOPTS = 0, P_ICMP = 1, P_IGMP = 2, P_TCP = 6, P_UDP = 17,
    P_ROUTING = 43, P_FRAGMENT = 44, P_ICMP6 = 58, P_DSTOPTS = 60,
};

/* ---- TCP --------------------------------------------------------------- */

static void tcp_options(const uint8_t *frame, struct colo_packet *p)
{
    size_t at = p->opts, end = p->opts + p->opts_len;

    while (at < end && frame[at] != 0) {
        size_t n;

        if (frame[at] == 1) {
            at++;
            continue;
        }
        if (at + 2 > end)
            return;
        n = frame[at + 1];
        if (n < 2 || at + n > end)
            return;
        if (frame[at] == 8 && n == 10) {
            p->has_ts = true;
            p->ts_at = at + 2;
            p->ts_val = get32(frame + at + 2);
            p->ts_echo = get32(frame + at + 6);
        } else if (frame[at] == 5 && (n - 2) % 8 == 0) {
            p->sack_at = at + 2;
            p->sack_len = n - 2;
        } else if (frame[at] == 3 && n == 3) {
            p->has_scale = true;
            p->scale = frame[at + 2] > 14 ? 14 : frame[at + 2];
        }
        p->is_signed |= frame[at] == 19 || frame[at] == 29;
        at += n;
    }
}

static bool tcp(const uint8_t *frame, struct colo_packet *p)
{
    const uint8_t *h = frame + p->at;
    size_t n;

    if (p->len < 20)
        return false;
    n = (size_t)(h[12] >> 4) * 4;
    if (n < 20 || n > p->len)
        return false;
    p->seq = get32(h + 4);
    p->ack = get32(h + 8);
    p->flags = h[13];
    p->opts = p->at + 20;
    p->opts_len = n - 20;
    p->body = p->at + n;
    p->body_len = p->len - n;
    tcp_options(frame, p);
    return true;
}

size_t colo__packet_synopts(const uint8_t *opts, size_t len,
                            uint8_t ret[PACKET_SYNOPTS], bool *ret_signed)
{
    size_t used = 0;

    *ret_signed = false;
    /* by kind, so that the order in the frame does not matter */
    for (int kind = 2; kind < 256; kind++) {
        for (size_t at = 0; at < len && opts[at] != 0;) {
            size_t n = 1;

            if (opts[at] != 1) {
                if (at + 2 > len || opts[at + 1] < 2 ||
                    at + opts[at + 1] > len)
                    break;
                n = opts[at + 1];
            }
            if (opts[at] == kind && used + n <= PACKET_SYNOPTS) {
                memcpy(ret + used, opts + at, n);
                if (kind == 8 && n == 10)
                    memset(ret + used + 2, 0, 8); /* values may differ */
                used += n;
                *ret_signed |= kind == 19 || kind == 29;
            }
            at += n;
        }
    }
    return used;
}

/* ---- above IP ---------------------------------------------------------- */

static bool udp(const uint8_t *frame, struct colo_packet *p)
{
    size_t n;

    if (p->len < 8)
        return false;
    n = get16(frame + p->at + 4);
    if (n < 8 || n > p->len)
        n = p->len; /* 0: a super-frame's; else what IP says is the truth */
    p->body = p->at + 8;
    p->body_len = n - 8;
    return true;
}

static uint8_t udp_class(uint16_t a, uint16_t b, uint8_t family)
{
    if (family == 4 && (a == 67 || a == 68) && (b == 67 || b == 68))
        return COLO_CLASS_LINK; /* DHCP */
    if (family == 6 && (a == 546 || a == 547) && (b == 546 || b == 547))
        return COLO_CLASS_LINK;
    if (a == 53 || b == 53)
        return COLO_CLASS_DNS;
    if (a == 443 || b == 443)
        return COLO_CLASS_QUIC;
    return COLO_CLASS_UDP;
}

static void icmp(const uint8_t *frame, struct colo_packet *p)
{
    const uint8_t *h = frame + p->at;
    bool echo;

    p->cls = COLO_CLASS_ICMP;
    if (p->len < 4)
        return;
    p->key.guest_port = get16(h);
    if (p->key.proto == P_ICMP) {
        echo = h[0] == 0 || h[0] == 8;
    } else {
        /* MLD, router and neighbour discovery, MLDv2 */
        if ((h[0] >= 130 && h[0] <= 137) || h[0] == 143)
            p->cls = COLO_CLASS_LINK;
        echo = h[0] == 128 || h[0] == 129;
    }
    if (echo && p->len >= 6)
        p->key.peer_port = get16(h + 4);
}

void colo__packet_transport(const uint8_t *frame, bool out,
                            struct colo_packet *p)
{
    uint8_t proto = p->key.proto;
    uint16_t from, to;

    p->cls = COLO_CLASS_OTHER;
    p->readable = true;
    p->body = p->at;
    p->body_len = p->len;
    if (proto == P_ICMP || proto == P_ICMP6) {
        icmp(frame, p);
        return;
    }
    if (proto == P_IGMP) {
        p->cls = COLO_CLASS_LINK;
        return;
    }
    if (proto != P_TCP && proto != P_UDP)
        return;
    if (proto == P_TCP ? !tcp(frame, p) : !udp(frame, p)) {
        p->readable = false;
        return;
    }
    from = get16(frame + p->at);
    to = get16(frame + p->at + 2);
    p->key.guest_port = out ? from : to;
    p->key.peer_port = out ? to : from;
    p->cls = proto == P_TCP ? COLO_CLASS_TCP :
                              udp_class(from, to, p->key.family);
}

/* ---- IP ---------------------------------------------------------------- */

static bool ipv4(const uint8_t *frame, size_t at, size_t len, bool gso,
                 bool out, struct colo_packet *p)
{
    const uint8_t *h = frame + at;
    size_t head, total;
    uint16_t frag;

    if (len < 20 || h[0] >> 4 != 4)
        return false;
    head = (size_t)(h[0] & 15) * 4;
    total = get16(h + 2);
    if (!total && gso)
        total = len; /* more than 16 bits can say */
    if (head < 20 || total < head || total > len)
        return false;
    p->key.family = 4;
    p->key.proto = h[9];
    memcpy(out ? p->key.guest : p->key.peer, h + 12, 4);
    memcpy(out ? p->key.peer : p->key.guest, h + 16, 4);
    p->at = at + head;
    p->len = total - head;
    frag = get16(h + 6);
    p->more = frag & 0x2000;
    p->frag_at = (uint32_t)(frag & 0x1fff) * 8;
    p->frag_id = get16(h + 4);
    p->fragment = p->more || p->frag_at;
    return true;
}

/* The extension headers; what is left is p->at and p->len. */
static bool ipv6_rest(const uint8_t *frame, uint8_t next,
                      struct colo_packet *p)
{
    for (int i = 0; i < MAX_EXTENSIONS; i++) {
        const uint8_t *h = frame + p->at;
        size_t n;

        p->key.proto = next;
        if (next != P_HOPOPTS && next != P_ROUTING && next != P_DSTOPTS &&
            next != P_FRAGMENT)
            return true;
        if (p->len < 8)
            return false;
        n = next == P_FRAGMENT ? 8 : ((size_t)h[1] + 1) * 8;
        if (n > p->len)
            return false;
        p->at += n;
        p->len -= n;
        if (next == P_FRAGMENT) {
            p->more = h[3] & 1;
            p->frag_at = get16(h + 2) & 0xfff8u;
            p->frag_id = get32(h + 4);
            /* one that is all of it is none (RFC 6946) */
            p->fragment = p->more || p->frag_at;
            if (p->fragment) {
                p->key.proto = h[0];
                return true;
            }
        }
        next = h[0];
    }
    return false;
}

static bool ipv6(const uint8_t *frame, size_t at, size_t len, bool gso,
                 bool out, struct colo_packet *p)
{
    const uint8_t *h = frame + at;
    size_t total;

    if (len < 40 || h[0] >> 4 != 6)
        return false;
    total = get16(h + 4);
    if (!total && gso)
        total = len - 40;
    if (total > len - 40)
        return false;
    p->key.family = 6;
    memcpy(out ? p->key.guest : p->key.peer, h + 8, 16);
    memcpy(out ? p->key.peer : p->key.guest, h + 24, 16);
    p->at = at + 40;
    p->len = total;
    return ipv6_rest(frame, h[6], p);
}

/* ---- Ethernet ---------------------------------------------------------- */

static void unreadable(struct colo_packet *p, size_t at, size_t len)
{
    struct colo_flow_key key = { .tag = { p->key.tag[0], p->key.tag[1] } };

    p->key = key;
    p->readable = p->fragment = p->more = false;
    p->cls = COLO_CLASS_OTHER;
    p->at = p->body = at;
    p->len = p->body_len = len - at;
}

bool colo__packet_parse(const uint8_t *frame, size_t len, uint32_t vnet,
                        bool out, struct colo_packet *ret)
{
    struct colo_packet *p = ret;
    bool gso = false, ok;
    size_t at = vnet + 14;
    unsigned tags = 0;
    uint16_t type;

    memset(p, 0, sizeof(*p));
    if (len < at)
        return false;
    if (vnet >= 2) {
        p->partial_checksum = frame[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM;
        gso = frame[1] != VIRTIO_NET_HDR_GSO_NONE;
    }
    type = get16(frame + at - 2);
    for (int i = 0; i < 2 && (type == 0x8100 || type == 0x88a8); i++) {
        uint16_t id;

        if (len < at + 4) {
            unreadable(p, at, len);
            return true;
        }
        id = get16(frame + at) & 0xfff;
        if (id) /* 0: a priority, which one way of a connection may have */
            p->key.tag[tags++] = (uint16_t)(id + 1);
        type = get16(frame + at + 2);
        at += 4;
    }
    if (type != 0x0800 && type != 0x86dd) {
        unreadable(p, at, len);
        p->cls = COLO_CLASS_LINK;
        return true;
    }
    p->ip = at;
    ok = type == 0x0800 ? ipv4(frame, at, len - at, gso, out, p) :
                          ipv6(frame, at, len - at, gso, out, p);
    if (!ok) {
        unreadable(p, at, len);
        return true;
    }
    if (p->fragment) {
        p->readable = true;
        p->cls = COLO_CLASS_OTHER;
        p->body = p->at;
        p->body_len = p->len;
        return true;
    }
    colo__packet_transport(frame, out, p);
    return true;
}
