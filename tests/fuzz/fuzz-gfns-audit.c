/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: one byte (which message), 8 bytes frames of the guest, 8 bytes
 * count, the body of a GONE, VMSTATE_LOADED, AUDIT or DIRTY message.
 */
#include "fuzz.h"

#include "pure/wire.h"

static int check(struct colo_msg *msg, uint8_t choice, uint64_t nr_gfns,
                 size_t *ret_entry, struct colo_error *err)
{
    *ret_entry = 8;
    switch (choice % 4) {
    case 0:
        msg->type = COLO_MSG_GONE;
        return colo__gfns_check(msg, nr_gfns, COLO_WIRE_MAX_GONE, err);
    case 1:
        msg->type = COLO_MSG_VMSTATE_LOADED;
        return colo__gfns_check(msg, nr_gfns, COLO_WIRE_MAX_DIFFER, err);
    case 3:
        *ret_entry = COLO_WIRE_DIRTY_ENTRY;
        msg->type = COLO_MSG_DIRTY;
        return colo__dirty_check(msg, nr_gfns, err);
    default:
        *ret_entry = 16;
        msg->type = COLO_MSG_AUDIT;
        return colo__audit_check(msg, nr_gfns, err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct colo_msg msg = { 0 };
    struct colo_error err;
    uint64_t nr_gfns, next = 0;
    size_t entry;
    uint8_t *body;
    int rc;

    if (size < 17)
        return 0;
    nr_gfns = colo__get64(data + 1);
    msg.value = colo__get64(data + 9);
    msg.len = (uint32_t)(size - 17);
    body = fuzz_copy(data + 17, msg.len);
    msg.body = body;
    rc = check(&msg, data[0], nr_gfns, &entry, &err);
    if (rc) {
        fuzz_check_error(&err, rc);
        goto out;
    }
    MUST(msg.value * entry == msg.len);
    for (uint64_t i = 0; i < msg.value; i++) {
        uint64_t gfn = colo__get64(body + i * entry);

        MUST(gfn >= next && gfn < nr_gfns && gfn <= COLO_GFN_MAX);
        if (msg.type == COLO_MSG_DIRTY) {
            struct colo_wire_dirty d;
            uint8_t out[COLO_WIRE_DIRTY_ENTRY];

            colo__dirty_entry(&msg, (uint32_t)i, &d);
            MUST(d.gfn == gfn);
            colo__dirty_entry_build(out, &d);
            MUST(!memcmp(out, body + i * entry, sizeof(out)));
        }
        next = gfn + 1;
    }
out:
    free(body);
    return 0;
}
