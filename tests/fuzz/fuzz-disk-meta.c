/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: what is in a host's files about its disks, both as the begin of a
 * copy's metadata and as a supervisor's record.
 */
#include "fuzz.h"

#include "../disk-proxy/colo-disk.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_header(data, size);
    try_record(data, size);
    return 0;
}
