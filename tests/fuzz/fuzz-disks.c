/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: one byte count, the body of a DISKS message.
 */
#include "fuzz.h"

#include "pure/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct colo_disk_name disks[COLO_WIRE_DISKS];
    struct colo_msg msg = { .type = COLO_MSG_DISKS };
    struct colo_error err;
    uint8_t again[COLO_WIRE_MAX_CONTROL], *body;
    int rc, n;

    if (size < 1 || size > COLO_WIRE_MAX_CONTROL)
        return 0;
    msg.value = data[0];
    msg.len = (uint32_t)(size - 1);
    body = fuzz_copy(data + 1, msg.len);
    msg.body = body;
    rc = colo__disks_parse(&msg, disks, &err);
    if (rc) {
        fuzz_check_error(&err, rc);
        goto out;
    }
    n = colo__disks_build(disks, (uint32_t)msg.value, again, sizeof(again),
                          &err);
    MUST(n == (int)msg.len && memcmp(again, body, msg.len) == 0);
out:
    free(body);
    return 0;
}
