/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: the body of a HELLO.
 */
#include "fuzz.h"

#include "pure/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct colo_hello hello = { .role = 0xdead };
    uint8_t again[COLO_WIRE_HELLO_MAX];
    struct colo_error err;
    int rc;

    rc = colo__hello_parse(data, size, &hello, &err);
    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(hello.role == 0xdead);
        return 0;
    }
    MUST(memchr(hello.name, 0, sizeof(hello.name)));
    rc = colo__hello_build(&hello, again, sizeof(again), &err);
    MUST(rc == (int)size);
    MUST(memcmp(again, data, size) == 0);
    return 0;
}
