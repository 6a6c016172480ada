/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See meta-format.h.
 */
#include <endian.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "meta-format.h"

#define VERSION 2u

static const char magic[8] = { 'C', 'O', 'L', 'O', 'm', 'e', 't', 'a' };

struct raw_header {
    char magic[8];
    uint32_t version;
    uint32_t chunk;
    uint64_t serial;
    uint64_t size;
    uint32_t state;
    uint32_t zero;
    uint8_t generation[COLO_META_GENERATION];
    uint64_t sum;    /* xxh3 of all before */
    /* since version 2 */
    uint8_t parent[COLO_META_GENERATION];
    uint64_t sum2;   /* xxh3 of all before */
};

_Static_assert(sizeof(struct raw_header) == COLO_META_HEADER_LEN,
               "the layout in the file");

static uint64_t header_sum(const struct raw_header *raw)
{
    return XXH3_64bits(raw, offsetof(struct raw_header, sum));
}

static uint64_t header_sum2(const struct raw_header *raw)
{
    return XXH3_64bits(raw, offsetof(struct raw_header, sum2));
}

void colo__meta_header_build(const struct colo_meta_header *header,
                             uint8_t *buf)
{
    struct raw_header raw;

    memset(&raw, 0, sizeof(raw));
    memcpy(raw.magic, magic, sizeof(magic));
    raw.version = htole32(VERSION);
    raw.chunk = htole32(COLO_META_CHUNK);
    raw.serial = htole64(header->serial);
    raw.size = htole64(header->size);
    raw.state = htole32((uint32_t)header->state);
    memcpy(raw.generation, header->generation, sizeof(raw.generation));
    raw.sum = htole64(header_sum(&raw));
    memcpy(raw.parent, header->parent, sizeof(raw.parent));
    raw.sum2 = htole64(header_sum2(&raw));
    memcpy(buf, &raw, sizeof(raw));
}

int colo__meta_header_parse(const uint8_t *buf, size_t len,
                            struct colo_meta_header *ret_header)
{
    struct raw_header raw;
    uint32_t state, version;

    if (len < offsetof(struct raw_header, parent))
        return COLO_E_CORRUPT;
    memset(&raw, 0, sizeof(raw));
    memcpy(&raw, buf, len < sizeof(raw) ? len : sizeof(raw));
    if (memcmp(raw.magic, magic, sizeof(magic)) ||
        le64toh(raw.sum) != header_sum(&raw))
        return COLO_E_CORRUPT;
    state = le32toh(raw.state);
    version = le32toh(raw.version);
    if (version < 1 || version > VERSION ||
        le32toh(raw.chunk) != COLO_META_CHUNK || raw.zero ||
        state < COLO_META_ALONE || state > COLO_META_LAST)
        return COLO_E_VERSION;
    if (version == 1)
        memset(raw.parent, 0, sizeof(raw.parent));
    else if (len < sizeof(raw) || le64toh(raw.sum2) != header_sum2(&raw))
        return COLO_E_CORRUPT;
    ret_header->serial = le64toh(raw.serial);
    ret_header->size = le64toh(raw.size);
    ret_header->state = (int32_t)state;
    memcpy(ret_header->generation, raw.generation, sizeof(raw.generation));
    memcpy(ret_header->parent, raw.parent, sizeof(raw.parent));
    return 0;
}

int colo__meta_headers_pick(const uint8_t *buf, size_t len,
                            struct colo_meta_header *ret_header)
{
    struct colo_meta_header one, two;
    int rc1 = COLO_E_CORRUPT, rc2 = COLO_E_CORRUPT;

    rc1 = colo__meta_header_parse(buf, len, &one);
    if (len > COLO_META_BLOCK)
        rc2 = colo__meta_header_parse(buf + COLO_META_BLOCK,
                                      len - COLO_META_BLOCK, &two);
    /* a copy of a layout to come may be the newer one: hands off */
    if (rc1 == COLO_E_VERSION || rc2 == COLO_E_VERSION)
        return COLO_E_VERSION;
    if (rc1 && rc2)
        return COLO_E_CORRUPT;
    if (rc1 || (!rc2 && two.serial > one.serial)) {
        *ret_header = two;
        return 1;
    }
    *ret_header = one;
    return 0;
}
