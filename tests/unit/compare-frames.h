/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Frames for the tests of the comparator and the rewriter: a guest 10.0.0.1 and
 * a world 10.0.0.9, Ethernet, IPv4, whole checksums.  No virtio_net_hdr.
 */
#ifndef COLO_TEST_COMPARE_FRAMES_H
#define COLO_TEST_COMPARE_FRAMES_H

#include "../../net-proxy/compare/parse.h"
#include "pure-common.h"

#define FRAME_MAX 2048
#define IP_AT 14
#define TCP_AT 34

struct seg {
    bool in;              /* from the world */
    uint16_t guest_port, peer_port; /* 0: 80 and 4000 */
    uint32_t seq, ack;
    uint8_t flags;        /* TCP_*; ACK is not implied */
    uint16_t window;      /* 0: 1000, unless shut */
    bool shut;
    const uint8_t *opts;
    size_t opts_len;      /* padded by the builder to four */
    const void *data;
    size_t len;
    uint16_t ip_id;
    size_t padding;       /* of Ethernet, not said by anybody */
};

static inline uint32_t sum_of(const uint8_t *p, size_t n, uint32_t sum)
{
    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    return sum;
}

static inline uint16_t folded(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Addresses, protocol and length, as TCP and UDP count them. */
static inline uint32_t pseudo_sum(const uint8_t *frame, size_t len)
{
    return sum_of(frame + IP_AT + 12, 8, frame[IP_AT + 9] + (uint32_t)len);
}

static inline bool tcp_sum_good(const uint8_t *frame)
{
    size_t n = get16(frame + IP_AT + 2) - 20u;

    return folded(sum_of(frame + TCP_AT, n, pseudo_sum(frame, n))) == 0;
}

static inline void put_ip(uint8_t *frame, bool in, uint8_t proto, size_t body,
                          uint16_t id, uint16_t frag)
{
    static const uint8_t guest[] = { 10, 0, 0, 1 }, peer[] = { 10, 0, 0, 9 };

    memset(frame, 0, IP_AT + 20);
    memset(frame, in ? 1 : 2, 12);
    put16(frame + 12, 0x0800);
    frame[IP_AT] = 0x45;
    put16(frame + IP_AT + 2, (uint16_t)(20 + body));
    put16(frame + IP_AT + 4, id);
    put16(frame + IP_AT + 6, frag);
    frame[IP_AT + 8] = 64;
    frame[IP_AT + 9] = proto;
    memcpy(frame + IP_AT + 12, in ? peer : guest, 4);
    memcpy(frame + IP_AT + 16, in ? guest : peer, 4);
    put16(frame + IP_AT + 10, folded(sum_of(frame + IP_AT, 20, 0)));
}

static inline size_t put_seg(uint8_t *frame, const struct seg *s)
{
    uint16_t guest = s->guest_port ? s->guest_port : 80;
    uint16_t peer = s->peer_port ? s->peer_port : 4000;
    size_t opts = (s->opts_len + 3) / 4 * 4, n = 20 + opts + s->len;
    uint8_t *t = frame + TCP_AT;

    put_ip(frame, s->in, 6, n, s->ip_id, 0);
    memset(t, 0, 20 + opts);
    put16(t, s->in ? peer : guest);
    put16(t + 2, s->in ? guest : peer);
    put32(t + 4, s->seq);
    put32(t + 8, s->ack);
    t[12] = (uint8_t)((20 + opts) / 4 << 4);
    t[13] = s->flags;
    put16(t + 14, s->window || s->shut ? s->window : 1000);
    if (s->opts_len)
        memcpy(t + 20, s->opts, s->opts_len);
    if (s->len)
        memcpy(t + 20 + opts, s->data, s->len);
    put16(t + 16, folded(sum_of(t, n, pseudo_sum(frame, n))));
    memset(t + n, 0xee, s->padding);
    return TCP_AT + n + s->padding;
}

/* UDP, or with at > 0 or more a piece of it: body is what follows IP. */
static inline size_t put_udp_part(uint8_t *frame, bool in, uint16_t id,
                                  size_t at, bool more, const void *body,
                                  size_t len)
{
    put_ip(frame, in, 17, len, id, (uint16_t)((more ? 0x2000 : 0) | at / 8));
    memcpy(frame + TCP_AT, body, len);
    return TCP_AT + len;
}

static inline size_t put_udp(uint8_t *frame, bool in, uint16_t peer_port,
                             const void *data, size_t len)
{
    uint8_t body[FRAME_MAX] = { 0 };

    put16(body, in ? peer_port : 5000);
    put16(body + 2, in ? 5000 : peer_port);
    put16(body + 4, (uint16_t)(8 + len));
    memcpy(body + 8, data, len);
    return put_udp_part(frame, in, 1, 0, false, body, 8 + len);
}

#endif
