/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See seed-header.h.  Called by cmd-save.c and cmd-restore.c.
 */
#include <string.h>

#include "seed-header.h"

#define SEED_VERSION 1u

static const uint8_t seed_magic[8] = {
    'C', 'L', 'S', 'E', 'E', 'D', '\r', '\n'
};

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

void seed_header_put(uint8_t buf[SEED_HEADER], uint32_t config_len)
{
    memcpy(buf, seed_magic, sizeof(seed_magic));
    put32(buf + 8, SEED_VERSION);
    put32(buf + 12, config_len);
}

int seed_header_parse(const uint8_t *buf, size_t len,
                      uint32_t *ret_config_len)
{
    size_t n = len < sizeof(seed_magic) ? len : sizeof(seed_magic);
    uint32_t config_len;

    if (memcmp(buf, seed_magic, n))
        return -1;
    if (len < SEED_HEADER)
        return 0;
    if (get32(buf + 8) != SEED_VERSION)
        return -2;
    config_len = get32(buf + 12);
    if (!config_len || config_len > SEED_CONFIG_MAX)
        return -3;
    *ret_config_len = config_len;
    return SEED_HEADER;
}
