/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See twin-wire.h.
 */
#include <endian.h>
#include <linux/if_ether.h>
#include <string.h>

#include "twin-wire.h"

void net_wire_header(uint8_t out[NET_WIRE_HEADER], uint8_t type,
                     uint64_t epoch, uint32_t len)
{
    uint32_t l = htobe32(len);
    uint64_t e = htobe64(epoch);

    memset(out, 0, NET_WIRE_HEADER);
    memcpy(out, &l, 4);
    out[4] = type;
    memcpy(out + 8, &e, 8);
}

bool net_frame_ok(const uint8_t *frame, size_t len)
{
    struct virtio_net_hdr h;
    size_t bytes;

    if (len < NET_VNET + ETH_HLEN || len > NET_FRAME_MAX)
        return false;
    memcpy(&h, frame, sizeof(h));
    bytes = len - NET_VNET;
    if ((h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
        (size_t)h.csum_start + h.csum_offset + 2 > bytes)
        return false;
    return h.gso_type == VIRTIO_NET_HDR_GSO_NONE ||
           (h.gso_size && h.hdr_len <= bytes);
}

static bool body_ok(const struct net_msg *m)
{
    switch (m->type) {
    case NET_MSG_HELLO:
        return m->len == 2;
    case NET_MSG_EPOCH:
        return m->len == 0;
    case NET_MSG_INPUT:
    case NET_MSG_OUTPUT:
        return m->len > NET_VNET;
    case NET_MSG_NOTE:
        return m->len > 0;
    case NET_MSG_TOLD:
        return m->len == 4;
    default:
        return false;
    }
}

int net_wire_parse(const uint8_t *buf, size_t len, struct net_msg *ret)
{
    uint32_t l;
    uint64_t e;

    if (len < NET_WIRE_HEADER)
        return 0;
    memcpy(&l, buf, 4);
    memcpy(&e, buf + 8, 8);
    ret->len = be32toh(l);
    ret->type = buf[4];
    ret->epoch = be64toh(e);
    ret->body = buf + NET_WIRE_HEADER;
    if (buf[5] || buf[6] || buf[7] || ret->len > NET_WIRE_BODY_MAX ||
        !body_ok(ret))
        return COLO_E_PROTO;
    if (len - NET_WIRE_HEADER < ret->len)
        return 0;
    if ((ret->type == NET_MSG_INPUT || ret->type == NET_MSG_OUTPUT) &&
        !net_frame_ok(ret->body, ret->len))
        return COLO_E_PROTO;
    return (int)(NET_WIRE_HEADER + ret->len);
}
