/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Numbers as bytes of a format that others have defined: little or big endian,
 * at any address.  Pure.
 */
#ifndef COLO_BYTES_H
#define COLO_BYTES_H

#include <stdint.h>

static inline uint16_t colo__le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t colo__le32(const uint8_t *p)
{
    return (uint32_t)colo__le16(p) | (uint32_t)colo__le16(p + 2) << 16;
}

static inline uint64_t colo__le64(const uint8_t *p)
{
    return (uint64_t)colo__le32(p) | (uint64_t)colo__le32(p + 4) << 32;
}

static inline void colo__put_le(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static inline void colo__put_be(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

static inline uint64_t colo__be(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

#endif
