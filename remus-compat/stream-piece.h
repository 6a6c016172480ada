/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A piece: one checkpoint of a PV guest behind the first, as libxenguest writes
 * it and we carry it.  What is in its pages is not ours to know (page tables
 * have a form of the stream's own), but that it is whole is.  Pure.
 */
#ifndef COLO_STREAM_PIECE_H
#define COLO_STREAM_PIECE_H

#include "stream.h"

/* The most bytes that a piece of a guest of so many frames can have: each of
 * them once, and the processors; UINT32_MAX: this build takes no more. */
uint32_t colo__stream_piece_max(uint64_t nr_pfns);

/* colo__stream_check_piece - libxc's records of exactly one checkpoint, then
 * libxl's CHECKPOINT_END, and nothing behind it.
 * max_pfn  the guest's last frame
 * *ret_pages  pages that it has; NULL is fine
 * Errors   those of colo__stream_read(); COLO_E_PROTO it is not whole, or more
 *          than one */
int colo__stream_check_piece(const uint8_t *buf, uint32_t len,
                             uint64_t max_pfn, uint64_t *ret_pages,
                             struct colo_error *err);

#endif
