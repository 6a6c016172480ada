/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The figures of the last checkpoints, for status.  Session's thread.
 */
#ifndef COLO_STATS_H
#define COLO_STATS_H

#include "../internal.h"

#define COLO_STATS_KEEP 128

struct colo_stats {
    uint64_t count;                               /* checkpoints so far */
    uint64_t at_us[COLO_STATS_KEEP];              /* when committed */
    struct colo_checkpoint_info infos[COLO_STATS_KEEP];
};

void colo__stats_add(struct colo_stats *stats, uint64_t now_us,
                     const struct colo_checkpoint_info *info);
/* colo__stats_fill - the fields of status that come from checkpoints. */
void colo__stats_fill(const struct colo_stats *stats, uint64_t now_us,
                      struct colo_status *status);

#endif
