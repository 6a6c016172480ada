/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What every fuzz target shares.  A target is one file with
 * LLVMFuzzerTestOneInput; libFuzzer calls it with input it makes up,
 * replay.c with the files of a corpus.  It reports by MUST.
 */
#ifndef COLO_FUZZ_H
#define COLO_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                     \
    do {                                                               \
        if (!(cond)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                   \
        }                                                              \
    } while (0)

/* An error has a code, a place and one printable line that ends. */
static inline void fuzz_check_error(const struct colo_error *err, int rc)
{
    size_t n = strnlen(err->text, sizeof(err->text));

    MUST(rc < 0 && err->code == rc);
    MUST(err->where[0] && n > 0 && n < sizeof(err->text));
    for (size_t i = 0; i < n; i++)
        MUST((unsigned char)err->text[i] >= 0x20);
}

/* A copy of exactly this size, so that a sanitizer sees a read beyond it. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    MUST(copy);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

#endif
