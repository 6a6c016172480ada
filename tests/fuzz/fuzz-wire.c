/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: one byte that chooses the link and whether checksums are made
 * right (which a fuzzer would never find), then what a peer sends, read as
 * a session reads it.
 */
#include "fuzz.h"

#include "pure/wire.h"

/* what parse took must come out of build again */
static void check_rebuild(const uint8_t *buf, const struct colo_msg *msg)
{
    uint8_t header[COLO_WIRE_HEADER];
    struct colo_msg again = *msg;
    struct colo_error err;

    again.checksum = 0;
    MUST(colo__wire_build(&again, header, &err) == 0);
    MUST(again.checksum == msg->checksum);
    MUST(memcmp(header, buf, sizeof(header)) == 0);
}

static void fix_checksum(uint8_t *buf, size_t total)
{
    struct colo_msg msg = {
        .type = colo__get16(buf + 4), .len = (uint32_t)total - 40,
        .epoch = colo__get64(buf + 16), .value = colo__get64(buf + 24),
        .body = buf + 40,
    };
    uint8_t header[COLO_WIRE_HEADER];

    MUST(colo__wire_build(&msg, header, NULL) == 0);
    colo__put64(buf + 32, msg.checksum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t max_body;
    uint8_t *buf;
    size_t pos = 0;
    bool fix;

    if (size < 1)
        return 0;
    max_body = data[0] & 1 ? COLO_WIRE_MAX_BULK : COLO_WIRE_MAX_CONTROL;
    fix = data[0] & 2;
    size--;
    buf = fuzz_copy(data + 1, size);

    for (;;) {
        struct colo_msg msg = { .type = 0xdead };
        struct colo_error err;
        int64_t total, used;

        total = colo__wire_peek(buf + pos, size - pos, max_body, &err);
        if (total > 0) {
            MUST(total >= COLO_WIRE_HEADER);
            MUST(total <= COLO_WIRE_HEADER + (int64_t)max_body);
            if (fix && (size_t)total <= size - pos)
                fix_checksum(buf + pos, (size_t)total);
        }
        used = colo__wire_parse(buf + pos, size - pos, max_body, &msg, &err);
        if (used <= 0) {
            MUST(msg.type == 0xdead); /* untouched */
            if (used < 0)
                fuzz_check_error(&err, (int)used);
            MUST(used != COLO_E_CORRUPT || !fix);
            break;
        }
        MUST(used == total);
        MUST(msg.body == buf + pos + COLO_WIRE_HEADER);
        MUST(msg.len == used - COLO_WIRE_HEADER);
        MUST(strcmp(colo__msg_name(msg.type), "unknown"));
        check_rebuild(buf + pos, &msg);
        pos += (size_t)used;
    }
    free(buf);
    return 0;
}
