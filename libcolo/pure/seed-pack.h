/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A piece of the seed as the body of SEED_DATA: packed where that is worth it,
 * for most of a young guest is zeros.  Pure; called by the workers of both
 * sides.  Source: libcolo-wire(7).
 */
#ifndef COLO_PURE_SEED_PACK_H
#define COLO_PURE_SEED_PACK_H

#include "delta.h"
#include "wire.h"

/* colo__seed_pack - LZ4 of raw[0..len), at most COLO_WIRE_SEED_CHUNK bytes, to
 * out, which has room for len and does not overlap it.
 * Returns  the bytes there, or 0: they would not be fewer by an eighth. */
uint32_t colo__seed_pack(struct colo_delta_scratch *scratch,
                         const uint8_t *raw, uint32_t len, uint8_t *out);

/* colo__seed_unpack - what a SEED_DATA has, *ret_len bytes at *ret_piece: its
 * own body, or in room (COLO_WIRE_SEED_CHUNK bytes).  Nothing is returned
 * that is not whole.
 * Errors   COLO_E_PROTO a size that cannot be; COLO_E_CORRUPT it does not
 *          unpack to exactly the size that it names. */
int colo__seed_unpack(const struct colo_msg *msg, uint8_t *room,
                      const uint8_t **ret_piece, uint32_t *ret_len,
                      struct colo_error *err);

#endif
