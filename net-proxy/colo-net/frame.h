/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A frame in memory: a virtio_net_hdr of 10 bytes, then Ethernet without its
 * checksum, VLAN tags in it.  Pure.
 */
#ifndef COLO_NET_FRAME_H
#define COLO_NET_FRAME_H

#include <linux/virtio_net.h>

#include "../../libcolo/internal.h"

#define NET_VNET ((size_t)sizeof(struct virtio_net_hdr))
/* a super-frame, its header and a tag */
#define NET_FRAME_MAX (NET_VNET + 65535 + 18 + 4 + 64)

/* net_frame_ok - does the header speak of bytes inside the frame? */
bool net_frame_ok(const uint8_t *frame, size_t len);

#endif
