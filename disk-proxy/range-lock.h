/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One writer at a time for each byte of a disk, in the order of asking, so
 * that overlapping writes go to the stream in the order in which they went to
 * the disk.  The holder keeps the node on its own stack.
 */
#ifndef COLO_DISK_RANGE_LOCK_H
#define COLO_DISK_RANGE_LOCK_H

#include <pthread.h>

#include "../libcolo/internal.h"

struct colo_range {
    struct colo_range *prev, *next;
    uint64_t begin, end;
    bool waits;
    pthread_cond_t *cond; /* while it waits */
};

struct colo_range_lock {
    pthread_mutex_t lock;
    struct colo_range *first, *last; /* in the order of asking */
};

void colo__range_init(struct colo_range_lock *l);
void colo__range_fini(struct colo_range_lock *l);

/* colo__range_take - [offset, offset + len), len > 0; waits as long as those
 * before it, each of which does I/O only. */
void colo__range_take(struct colo_range_lock *l, struct colo_range *node,
                      uint64_t offset, uint64_t len);
void colo__range_give(struct colo_range_lock *l, struct colo_range *node);

#endif
