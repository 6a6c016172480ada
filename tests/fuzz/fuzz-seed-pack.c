/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: the value of a SEED_DATA, 8 bytes, then its body.  What unpacks is
 * packed again, and so is the body itself.
 */
#include "fuzz.h"

#include "bytes.h"
#include "pure/seed-pack.h"

static void there_and_back(const uint8_t *raw, uint32_t len)
{
    static struct colo_delta_scratch scratch;
    static uint8_t room[COLO_WIRE_SEED_CHUNK];
    uint8_t *out = malloc(len);
    const uint8_t *piece;
    struct colo_msg msg = { .type = COLO_MSG_SEED_DATA, .value = len };
    struct colo_error err;
    uint32_t n;

    MUST(out);
    n = colo__seed_pack(&scratch, raw, len, out);
    MUST(n <= len - len / 8);
    if (n) {
        msg.body = out;
        msg.len = n;
        MUST(colo__seed_unpack(&msg, room, &piece, &n, &err) == 0);
        MUST(n == len && !memcmp(piece, raw, len));
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct colo_msg msg = { .type = COLO_MSG_SEED_DATA };
    uint8_t *body, *room;
    const uint8_t *piece = NULL;
    struct colo_error err;
    uint32_t len = 0;
    int rc;

    if (size < 8 || size - 8 > COLO_WIRE_MAX_BULK)
        return 0;
    msg.value = colo__get64(data);
    msg.len = (uint32_t)(size - 8);
    msg.body = body = fuzz_copy(data + 8, size - 8);
    /* no byte more than it says: a sanitizer would see it */
    room = malloc(msg.value && msg.value < COLO_WIRE_SEED_CHUNK
                      ? msg.value : COLO_WIRE_SEED_CHUNK);
    MUST(room);
    rc = colo__seed_unpack(&msg, room, &piece, &len, &err);
    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(rc == COLO_E_PROTO || rc == COLO_E_CORRUPT);
        MUST(!piece && !len);
    } else {
        MUST(len >= 1 && len <= COLO_WIRE_SEED_CHUNK);
        MUST(msg.value ? piece == room && len == msg.value
                       : piece == body && len == msg.len);
        there_and_back(piece, len);
    }
    free(room);
    free(body);
    return 0;
}
