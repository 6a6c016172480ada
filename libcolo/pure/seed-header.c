/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See seed-header.h.  Called by colo-toolstack, the gate to stock Xen, and
 * seed-trim.c.
 */
#include <string.h>

#include "../bytes.h"
#include "seed-header.h"

#define SEED_VERSION 1u

static const uint8_t seed_magic[8] = {
    'C', 'L', 'S', 'E', 'E', 'D', '\r', '\n'
};

void seed_header_put(uint8_t buf[SEED_HEADER], uint32_t config_len)
{
    memcpy(buf, seed_magic, sizeof(seed_magic));
    colo__put_le(buf + 8, SEED_VERSION, 4);
    colo__put_le(buf + 12, config_len, 4);
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
    if (colo__le32(buf + 8) != SEED_VERSION)
        return -2;
    config_len = colo__le32(buf + 12);
    if (!config_len || config_len > SEED_CONFIG_MAX)
        return -3;
    *ret_config_len = config_len;
    return SEED_HEADER;
}

const char *seed_config_xml(const char *config, size_t len)
{
    size_t json = strnlen(config, len);

    return json + 1 < len && config[json + 1] ? config + json + 1 : NULL;
}
