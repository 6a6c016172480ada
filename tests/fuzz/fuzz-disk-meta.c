/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: what is in a host's files about its disks, as the begin of a copy's
 * metadata, as a supervisor's record and as what dm-era noted.
 */
#include "fuzz.h"

#include "../disk-proxy/colo-disk.h"
#include "../disk-proxy/era-map.h"
#include "../disk-proxy/meta-format.h"

static void try_header(const uint8_t *data, size_t size)
{
    struct colo_meta_header header = { .state = 77 };
    uint8_t again[COLO_META_HEADER_LEN];
    int copy = colo__meta_headers_pick(data, size, &header);

    if (copy < 0) {
        MUST(copy == COLO_E_CORRUPT || copy == COLO_E_VERSION);
        MUST(header.state == 77);
        return;
    }
    MUST(copy <= 1);
    MUST(header.state >= COLO_META_ALONE && header.state <= COLO_META_LAST);
    colo__meta_header_build(&header, again);
    if (data[(size_t)copy * COLO_META_BLOCK + 8] == 2)
        MUST(!memcmp(again, data + (size_t)copy * COLO_META_BLOCK,
                     sizeof(again)));
}

static void try_record(const uint8_t *data, size_t size)
{
    struct disk_record record;
    char *text = malloc(size + 1);

    MUST(text);
    memcpy(text, data, size);
    text[size] = 0;
    if (disk_record_parse(text, &record)) {
        MUST(record.target[0] == '/' && record.meta[0]);
        MUST(memchr(record.target, 0, sizeof(record.target)));
        MUST(memchr(record.identifier, 0, sizeof(record.identifier)));
        MUST(record.nbd >= -1 && record.supervisor.pid > 0);
    }
    free(text);
}

/* With and without the fields that must be right. */
static void try_era(const uint8_t *data, size_t size)
{
    static const uint8_t head[][2] = {
        { 32, 0x7b }, { 33, 0x07 }, { 34, 0xc1 }, { 35, 0x7e }, { 40, 1 },
        { 173, 8 }, { 176, 8 }, { 180, 200 },
    };
    uint64_t disk = UINT64_C(200) << 20;
    uint8_t *bits = calloc(1, 400), *meta = malloc(size + 1);

    MUST(bits && meta);
    memcpy(meta, data, size);
    (void)colo__era_written(meta, size, disk, bits, NULL);
    if (size >= 4096) {
        memset(meta + 32, 0, 12);
        memset(meta + 172, 0, 12);
    }
    for (size_t i = 0; i < COLO_ARRAY_LEN(head) && size >= 4096; i++)
        meta[head[i][0]] = head[i][1];
    (void)colo__era_written(meta, size, disk, bits, NULL);
    free(meta);
    free(bits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_header(data, size);
    try_record(data, size);
    try_era(data, size);
    return 0;
}
