/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the two colo-net of a network card tell each other.  Pure.
 *
 * A message is be32 length of the body, u8 type, three bytes of 0, be64 epoch,
 * and the body.  Both begin with HELLO.  The primary's EPOCH N comes after
 * all that belongs to the time before checkpoint N: input before it is a part
 * of the state that N brought, input after it must reach the replica after it
 * has loaded N.  The secondary's OUTPUT carries the epoch that its replica
 * goes on from.
 */
#ifndef COLO_NET_TWIN_WIRE_H
#define COLO_NET_TWIN_WIRE_H

#include "frame.h"

#define NET_WIRE_VERSION 1
#define NET_WIRE_HEADER 16u
#define NET_WIRE_BODY_MAX ((uint32_t)NET_FRAME_MAX)

enum net_msg_type {
    NET_MSG_HELLO = 1,  /* both: u8 version, u8 1 primary 2 secondary */
    NET_MSG_INPUT = 2,  /* primary: a frame that its guest was given */
    NET_MSG_OUTPUT = 3, /* secondary: a frame that its guest has sent */
    NET_MSG_EPOCH = 4,  /* primary: checkpoint `epoch` is committed */
    NET_MSG_NOTE = 5,   /* primary: what a rewriter must know; compare.h */
    NET_MSG_TOLD = 6,   /* secondary: be32, it has all notes up to this one */
};

struct net_msg {
    uint8_t type;
    uint64_t epoch;
    uint32_t len;
    const uint8_t *body;
};

void net_wire_header(uint8_t out[NET_WIRE_HEADER], uint8_t type,
                     uint64_t epoch, uint32_t len);

/* net_wire_parse - bytes used, 0 more needed, COLO_E_PROTO: never valid. */
int net_wire_parse(const uint8_t *buf, size_t len, struct net_msg *ret);

#endif
