/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Building the frames that tell a network where a guest now is.  Pure.
 */
#ifndef COLO_NET_FRAMES_H
#define COLO_NET_FRAMES_H

#include "learn.h"

#define COLO_FRAME_BYTES 90 /* the longest: neighbour advertisement, tagged */

/* colo__frame_rarp - "this MAC is here": a reverse ARP request, for any
 * entry. */
size_t colo__frame_rarp(const struct colo_learn_entry *e,
                        uint8_t frame[COLO_FRAME_BYTES]);

/* colo__frame_address - "this address is at this MAC": a gratuitous ARP, or
 * an unsolicited neighbour advertisement to all nodes.
 * All return the number of bytes, without checksum of the frame; 0: the entry
 * has no address. */
size_t colo__frame_address(const struct colo_learn_entry *e,
                           uint8_t frame[COLO_FRAME_BYTES]);

#endif
