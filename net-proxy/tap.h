/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A packet socket that listens to what an interface receives.  Its first use
 * is that it exists: as soon as anybody listens, the kernel copies frames
 * that a guest has only lent to it.  Held without that copy, they would keep
 * the guest's transmit ring full.  Its second use: it learns addresses.
 */
#ifndef COLO_NET_TAP_H
#define COLO_NET_TAP_H

#include "learn.h"

/* colo__tap_open - learn: the socket is given every frame, else nothing. */
int colo__tap_open(int dev, bool learn, int *ret_fd, struct colo_error *err);

/* colo__tap_read - learn from what has come, without waiting, a bounded
 * number of frames.  card: the N of vifD.N.  Was there anything? */
bool colo__tap_read(int fd, uint8_t card, struct colo_learn *learn);

/* colo__tap_calm - from now on give it ARP, neighbour discovery and a sample
 * of the rest only. */
void colo__tap_calm(int fd);

#endif
