/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See seed-pack.h.
 */
#include "seed-pack.h"

#include <lz4.h>

#define WHERE "seed"

uint32_t colo__seed_pack(struct colo_delta_scratch *scratch,
                         const uint8_t *raw, uint32_t len, uint8_t *out)
{
    /* less would not pay for the other side's unpacking */
    uint32_t most = len - (len + 7) / 8;
    int n = LZ4_compress_fast_extState(scratch->lz4_state, (const char *)raw,
                                       (char *)out, (int)len, (int)most, 1);

    return n > 0 ? (uint32_t)n : 0;
}

int colo__seed_unpack(const struct colo_msg *msg, uint8_t *room,
                      const uint8_t **ret_piece, uint32_t *ret_len,
                      struct colo_error *err)
{
    uint64_t len = msg->value ? msg->value : msg->len;
    int n;

    if (!msg->len || len > COLO_WIRE_SEED_CHUNK || msg->len > len)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "a piece of %llu bytes, which came as %u",
                          (unsigned long long)len, msg->len);
    if (!msg->value) {
        *ret_piece = msg->body;
        *ret_len = msg->len;
        return 0;
    }
    n = LZ4_decompress_safe((const char *)msg->body, (char *)room,
                            (int)msg->len, (int)len);
    if (n < 0 || (uint64_t)n != len)
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "a piece of %u bytes does not unpack to %llu",
                          msg->len, (unsigned long long)len);
    *ret_piece = room;
    *ret_len = (uint32_t)len;
    return 0;
}
