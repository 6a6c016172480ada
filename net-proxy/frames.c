/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See frames.h.  Sources: RFC 903, RFC 826, RFC 5944 section 4.6 (gratuitous
 * ARP), RFC 4861 sections 4.4 and 7.2.6, RFC 2464 section 7.
 */
#include <string.h>

#include "frames.h"

#define MIN_BYTES 60 /* shorter frames are filled up with zeros */

static size_t put(uint8_t *p, const void *from, size_t len)
{
    memcpy(p, from, len);
    return len;
}

static size_t put16(uint8_t *p, unsigned int v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return 2;
}

static size_t put_ethernet(uint8_t *frame, const uint8_t *to,
                           const struct colo_learn_entry *e, unsigned int type)
{
    size_t at = 0;

    memset(frame, 0, COLO_FRAME_BYTES);
    at += put(frame + at, to, 6);
    at += put(frame + at, e->mac, 6);
    if (e->vlan) {
        at += put16(frame + at, 0x8100);
        at += put16(frame + at, e->vlan);
    }
    return at + put16(frame + at, type);
}

static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static size_t put_arp(uint8_t *p, unsigned int operation,
                      const struct colo_learn_entry *e, const uint8_t *ip)
{
    size_t at = 0;

    at += put(p + at, "\x00\x01\x08\x00\x06\x04", 6);
    at += put16(p + at, operation);
    at += put(p + at, e->mac, 6);
    at += put(p + at, ip, 4);
    at += put(p + at, e->mac, 6);
    return at + put(p + at, ip, 4);
}

size_t colo__frame_rarp(const struct colo_learn_entry *e,
                        uint8_t frame[COLO_FRAME_BYTES])
{
    static const uint8_t no_ip[4];
    size_t at = put_ethernet(frame, everybody, e, 0x8035);

    at += put_arp(frame + at, 3, e, no_ip);
    return at < MIN_BYTES ? MIN_BYTES : at;
}

static size_t gratuitous_arp(const struct colo_learn_entry *e, uint8_t *frame)
{
    size_t at = put_ethernet(frame, everybody, e, 0x0806);

    at += put_arp(frame + at, 1, e, e->addr);
    return at < MIN_BYTES ? MIN_BYTES : at;
}

/* Over the pseudo-header and the message; both even in length. */
static unsigned int icmp6_sum(const uint8_t *ip6, const uint8_t *icmp,
                              size_t len)
{
    uint32_t sum = (uint32_t)len + 58;

    for (size_t i = 8; i < 40; i += 2)
        sum += (uint32_t)(ip6[i] << 8 | ip6[i + 1]);
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)(icmp[i] << 8 | icmp[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static size_t advertisement(const struct colo_learn_entry *e, uint8_t *frame)
{
    static const uint8_t all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
    static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };
    size_t at = put_ethernet(frame, all_nodes_mac, e, 0x86dd);
    uint8_t *ip6 = frame + at, *icmp = ip6 + 40;

    ip6[0] = 0x60;
    put16(ip6 + 4, 32);
    ip6[6] = 58;
    ip6[7] = 255; /* anything less is refused: it has crossed a router */
    put(ip6 + 8, e->addr, 16);
    put(ip6 + 24, all_nodes, 16);
    icmp[0] = 136;
    icmp[4] = 0x20; /* override; not known whether it is a router */
    put(icmp + 8, e->addr, 16);
    icmp[24] = 2; /* target link-layer address, in units of 8 bytes */
    icmp[25] = 1;
    put(icmp + 26, e->mac, 6);
    put16(icmp + 2, icmp6_sum(ip6, icmp, 32));
    return at + 72;
}

size_t colo__frame_address(const struct colo_learn_entry *e,
                           uint8_t frame[COLO_FRAME_BYTES])
{
    if (e->family == 4)
        return gratuitous_arp(e, frame);
    return e->family == 6 ? advertisement(e, frame) : 0;
}
