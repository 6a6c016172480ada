/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Reading a frame, for comparing and for rewriting.  Pure; nothing in a frame
 * is believed before it is checked against its length.
 */
#ifndef COLO_COMPARE_PARSE_H
#define COLO_COMPARE_PARSE_H

#include "compare.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* What the world resets must fit what the guest has acknowledged, as it must
 * for the guest: anybody can send one.  So far a guest may be behind with
 * acknowledging what it has. */
#define TCP_RESET_FITS (1u << 18)

#define PACKET_SYNOPTS 40

struct colo_packet {
    uint8_t cls;             /* enum colo_compare_class */
    bool readable;           /* false: body is all after the type */
    bool fragment, more;     /* then there are no ports, and cls is OTHER */
    bool partial_checksum;   /* only the pseudo header's sum is in place */
    struct colo_flow_key key;
    uint32_t frag_id, frag_at;
    /* of the frame: the transport's header, as long as IP says */
    size_t at, len;
    size_t ip;               /* of the frame: where IP begins */
    /* what is said: payload of TCP and UDP, else all of the transport */
    size_t body, body_len;
    /* TCP */
    uint32_t seq, ack;
    uint8_t flags;
    size_t opts, opts_len;
    bool has_ts;
    uint32_t ts_val, ts_echo;
    size_t ts_at;            /* of ts_val in the frame; ts_echo follows */
    size_t sack_at, sack_len; /* the edges, 4 bytes each */
    bool has_scale;          /* of a SYN: of windows */
    uint8_t scale;
    bool is_signed;          /* nobody may change the header */
};

/* colo__packet_parse - out: the guest has sent it, so it is the source.
 * A frame that cannot be read is one of class OTHER, or LINK if it is not IP.
 * Returns  false: not even Ethernet. */
bool colo__packet_parse(const uint8_t *frame, size_t len, uint32_t vnet,
                        bool out, struct colo_packet *ret);

/* colo__packet_transport - the part after IP; called for a whole datagram that
 * was put together, too, with frame being its body alone: at 0, len set, and
 * family, proto and addresses in key. */
void colo__packet_transport(const uint8_t *frame, bool out,
                            struct colo_packet *p);

/* The options of a SYN that must be equal, sorted and without timestamps.
 * Returns  the length; *ret_signed: one of them forbids rewriting. */
size_t colo__packet_synopts(const uint8_t *opts, size_t len,
                            uint8_t ret[PACKET_SYNOPTS], bool *ret_signed);

/* colo__flow_hash - seed: what the world cannot guess. */
uint64_t colo__flow_hash(const struct colo_flow_key *key, uint64_t seed);

static inline uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
           (uint32_t)p[2] << 8 | p[3];
}
static inline void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)(v >> 16));
    put16(p + 2, (uint16_t)v);
}

/* Serial arithmetic: true over less than half of the circle. */
static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}
static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}
/* *most is v if that is more, or if nothing was known. */
static inline void seq_later(bool *known, uint32_t *most, uint32_t v)
{
    if (!*known || seq_lt(*most, v))
        *most = v;
    *known = true;
}

#endif
