/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) the libcolo developers
 *
 * samples.h - the last few thousand durations, and what is typical of them.
 * Used by the guest program for its gaps and for its steps.
 */
#ifndef PULSE_SAMPLES_H
#define PULSE_SAMPLES_H

#include <stdint.h>

#define SAMPLES_KEPT 4096

struct samples {
    uint64_t count;              /* since the last reset */
    uint32_t us[SAMPLES_KEPT];   /* ring; number i is at i % SAMPLES_KEPT */
};

/* Of the kept ones; all 0 if there are none. */
struct samples_summary {
    uint32_t min, p50, p95, max;
};

void samples_add(struct samples *s, uint64_t us);
void samples_reset(struct samples *s);
uint32_t samples_kept(const struct samples *s);
struct samples_summary samples_summarize(const struct samples *s);

#endif
