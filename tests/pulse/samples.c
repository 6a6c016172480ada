/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) the libcolo developers
 *
 * samples.c - see samples.h.
 */
#include "samples.h"

#include <stdlib.h>
#include <string.h>

void samples_add(struct samples *s, uint64_t us)
{
    s->us[s->count++ % SAMPLES_KEPT] = us > UINT32_MAX ? UINT32_MAX : us;
}

void samples_reset(struct samples *s)
{
    s->count = 0;
}

uint32_t samples_kept(const struct samples *s)
{
    return s->count < SAMPLES_KEPT ? s->count : SAMPLES_KEPT;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

struct samples_summary samples_summarize(const struct samples *s)
{
    struct samples_summary sum = { 0, 0, 0, 0 };
    uint32_t sorted[SAMPLES_KEPT], n = samples_kept(s);

    if (!n)
        return sum;
    memcpy(sorted, s->us, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_size);
    sum.min = sorted[0];
    sum.p50 = sorted[n / 2];
    sum.p95 = sorted[(uint64_t)n * 95 / 100];
    sum.max = sorted[n - 1];
    return sum;
}
