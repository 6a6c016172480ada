/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers */
#include "edit.h"

/* The sum of the 16-bit words that four bytes are in, these bytes alone. */
static uint32_t words(const uint8_t *bytes, size_t distance)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < 4; i++)
        sum += (distance + i) % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

void colo__edit_add(uint8_t *frame, size_t at, uint32_t by, size_t from,
                    size_t sum)
{
    uint32_t s = get16(frame + sum) ^ 0xffffu;

    s += words(frame + at, at - from) ^ 0xffffu;
    put32(frame + at, get32(frame + at) + by);
    s += words(frame + at, at - from);
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    put16(frame + sum, (uint16_t)(s ^ 0xffffu));
}
