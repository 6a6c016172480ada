/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: 8 bytes frames of the guest, 2 bytes count of pages, the body of a
 * PAGES message.  What passes the check is used as the backup uses it.
 */
#include "fuzz.h"

#include "pure/delta.h"
#include "pure/wire.h"

static void use_entries(const struct colo_msg *msg, uint64_t nr_gfns)
{
    static const uint8_t base[COLO_PAGE_SIZE] = { 1, 2, 3 };
    uint8_t page[COLO_PAGE_SIZE], entry[COLO_WIRE_PAGE_ENTRY];
    size_t offset = 0, first = msg->value * COLO_WIRE_PAGE_ENTRY;
    uint64_t next = 0;

    for (uint32_t i = 0; i < msg->value; i++) {
        struct colo_wire_page p;
        struct colo_error err;
        int rc;

        colo__pages_entry(msg, i, &offset, &p);
        MUST(p.gfn < nr_gfns && p.gfn <= COLO_GFN_MAX && p.gfn >= next);
        next = p.gfn + 1;
        MUST(p.payload >= msg->body + first);
        MUST(p.payload + p.len == msg->body + first + offset);
        MUST(first + offset <= msg->len);
        colo__page_entry_build(entry, &p);
        MUST(memcmp(entry, msg->body + i * sizeof(entry),
                    sizeof(entry)) == 0);
        rc = colo__page_decode(p.coding, p.payload, p.len, base, p.hash,
                               page, &err);
        if (rc)
            fuzz_check_error(&err, rc);
        MUST(!rc || p.coding == COLO_CODING_LZ4 ||
             p.coding == COLO_CODING_XOR);
        MUST(rc == 0 || rc == COLO_E_CORRUPT);
    }
    MUST(first + offset == msg->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct colo_msg msg = { .type = COLO_MSG_PAGES };
    struct colo_error err;
    uint64_t nr_gfns;
    uint8_t *body;
    int rc;

    if (size < 10)
        return 0;
    nr_gfns = colo__get64(data);
    msg.value = colo__get16(data + 8);
    msg.len = (uint32_t)(size - 10);
    body = fuzz_copy(data + 10, msg.len);
    msg.body = body;
    rc = colo__pages_check(&msg, nr_gfns, &err);
    if (rc)
        fuzz_check_error(&err, rc);
    else
        use_entries(&msg, nr_gfns);
    free(body);
    return 0;
}
