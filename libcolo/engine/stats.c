/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Medians over a ring of checkpoints.
 */
#include "stats.h"

#include <stdlib.h>

void colo__stats_add(struct colo_stats *stats, uint64_t now_us,
                     const struct colo_checkpoint_info *info)
{
    size_t i = stats->count++ % COLO_STATS_KEEP;

    stats->at_us[i] = now_us;
    stats->infos[i] = *info;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t quantile(uint64_t *sorted, size_t n, unsigned percent)
{
    size_t i = n * percent / 100;

    return sorted[i < n ? i : n - 1];
}

void colo__stats_fill(const struct colo_stats *stats, uint64_t now_us,
                      struct colo_status *status)
{
    uint64_t pause[COLO_STATS_KEEP], dirty[COLO_STATS_KEEP], bytes = 0;
    size_t n = stats->count < COLO_STATS_KEEP ? stats->count
                                              : COLO_STATS_KEEP;
    size_t last, oldest;
    uint64_t span;

    status->checkpoints = stats->count;
    if (!n)
        return;
    last = (stats->count - 1) % COLO_STATS_KEEP;
    oldest = (stats->count - n) % COLO_STATS_KEEP;
    for (size_t i = 0; i < n; i++) {
        pause[i] = stats->infos[i].pause_us;
        dirty[i] = stats->infos[i].dirty_pages;
        bytes += stats->infos[i].wire_bytes;
    }
    qsort(pause, n, sizeof(*pause), compare);
    qsort(dirty, n, sizeof(*dirty), compare);
    status->pause_median_us = quantile(pause, n, 50);
    status->pause_p95_us = quantile(pause, n, 95);
    status->dirty_pages_median = quantile(dirty, n, 50);
    /* the oldest one's bytes were sent before the span begins */
    span = stats->at_us[last] - stats->at_us[oldest];
    if (span)
        status->bytes_per_second =
            (uint64_t)((double)(bytes - stats->infos[oldest].wire_bytes) *
                       1e6 / (double)span);
    status->last = stats->infos[last];
    status->epoch = stats->infos[last].epoch;
    status->last_commit_ms = (now_us - stats->at_us[last]) / 1000;
    if (!status->last_commit_ms)
        status->last_commit_ms = 1; /* 0 means never */
}
