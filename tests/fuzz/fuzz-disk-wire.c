/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: one byte that says whether checksums are made right and whether the
 * size is known, then what a twin sends, read as a proxy reads it.
 */
#include "fuzz.h"

#include "../disk-proxy/wire.h"

#define DISK_SIZE (UINT64_C(1) << 30)

/* what parse took must come out of build again */
static void check_rebuild(const uint8_t *buf, const struct colo_dmsg *msg)
{
    uint8_t header[COLO_DWIRE_HEADER];

    colo__dwire_build(msg, header);
    MUST(memcmp(header, buf, sizeof(header)) == 0);
}

static void fix_checksum(uint8_t *buf, size_t total)
{
    struct colo_dmsg msg = { .len = (uint32_t)total - COLO_DWIRE_HEADER,
                             .body = buf + COLO_DWIRE_HEADER };
    uint8_t header[COLO_DWIRE_HEADER];

    msg.type = (uint16_t)(buf[4] << 8 | buf[5]);
    msg.flags = (uint16_t)(buf[6] << 8 | buf[7]);
    for (int i = 0; i < 8; i++) {
        msg.epoch = msg.epoch << 8 | buf[16 + i];
        msg.offset = msg.offset << 8 | buf[24 + i];
        msg.value = msg.value << 8 | buf[32 + i];
    }
    memset(buf + 12, 0, 4);
    colo__dwire_build(&msg, header);
    memcpy(buf + 40, header + 40, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t disk;
    uint8_t *buf;
    size_t pos = 0;
    bool fix;

    if (size < 1)
        return 0;
    fix = data[0] & 1;
    disk = data[0] & 2 ? 0 : DISK_SIZE;
    size--;
    buf = fuzz_copy(data + 1, size);

    for (;;) {
        struct colo_dmsg msg = { .type = 0xdead };
        struct colo_dhello hello;
        struct colo_error err;
        int64_t total, used;

        total = colo__dwire_peek(buf + pos, size - pos, &err);
        if (total > 0 && fix && (size_t)total <= size - pos)
            fix_checksum(buf + pos, (size_t)total);
        used = colo__dwire_parse(buf + pos, size - pos, disk, &msg, &err);
        if (used <= 0) {
            MUST(msg.type == 0xdead); /* untouched */
            if (used < 0)
                fuzz_check_error(&err, (int)used);
            MUST(used != COLO_E_CORRUPT || !fix);
            break;
        }
        MUST(used == total);
        MUST(msg.body == buf + pos + COLO_DWIRE_HEADER);
        MUST(strcmp(colo__dmsg_name(msg.type), "unknown"));
        if (msg.type == COLO_DMSG_WRITE)
            MUST(msg.offset + msg.len <= disk);
        if (msg.type == COLO_DMSG_ZERO)
            MUST(msg.value <= disk && msg.offset <= disk - msg.value);
        if (msg.type == COLO_DMSG_HELLO) {
            int rc = colo__dhello_parse(&msg, &hello, &err);

            if (rc)
                fuzz_check_error(&err, rc);
        }
        check_rebuild(buf + pos, &msg);
        pos += (size_t)used;
    }
    free(buf);
    return 0;
}
