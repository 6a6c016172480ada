/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: the length of a piece, then a seed that comes in such pieces.
 */
#include "fuzz.h"

#include "pure/seed-trim.h"

static size_t trim(const uint8_t *seed, size_t size, size_t piece,
                   uint8_t *ret)
{
    struct colo_seed_trim t = { 0 };
    size_t n = 0;

    for (size_t pos = 0; pos < size; pos += piece) {
        size_t len = size - pos < piece ? size - pos : piece, used;
        uint8_t *in = fuzz_copy(seed + pos, len);
        uint8_t *out = malloc(len + COLO_SEED_TRIM_ROOM);

        MUST(out);
        used = colo__seed_trim(&t, in, len, out);
        MUST(used <= len + COLO_SEED_TRIM_ROOM && n + used <= pos + len);
        memcpy(ret + n, out, used);
        n += used;
        free(in);
        free(out);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *whole, *parts;
    size_t n;

    if (size < 2)
        return 0;
    whole = fuzz_copy(data + 1, size - 1);
    parts = fuzz_copy(data + 1, size - 1);
    n = trim(data + 1, size - 1, size - 1, whole);
    MUST(trim(data + 1, size - 1, 1u + data[0], parts) == n);
    MUST(!memcmp(whole, parts, n));
    free(whole);
    free(parts);
    return 0;
}
