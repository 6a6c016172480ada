/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What epoch-log.c (records) and epoch-log-segment.c (memory, spill file)
 * share.
 */
#ifndef COLO_DISK_EPOCH_LOG_INTERNAL_H
#define COLO_DISK_EPOCH_LOG_INTERNAL_H

#include <pthread.h>

#include "epoch-log.h"
#include "wire.h"

#define WHERE "epoch log"

struct rec {
    uint64_t offset, len;
    uint32_t pos; /* of the data in the segment */
    uint8_t type;
    bool fua, trim;
};

struct colo_elog_seg {
    struct colo_elog_seg *next;
    uint8_t *mem;          /* NULL: in the spill file */
    uint64_t slot;         /* there */
    uint64_t first_seq;    /* number of the first record */
    uint64_t low, high;    /* the records' range of the disk */
    uint32_t fill, parsed; /* bytes */
    uint32_t n, cap, applied;
    bool spilled;
    bool busy;     /* the applier has a run of it */
    bool spilling; /* on its way to the file */
    struct rec *recs;
};

struct colo_elog {
    struct colo_elog_config config;
    int spill_fd;
    pthread_rwlock_t hold;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work, freed;
    struct colo_elog_seg *head, *tail;
    void *spare;           /* memory of segments, kept; each points on */
    uint64_t nr_mem;       /* segments in memory */
    uint64_t nr_spare;     /* what is kept */
    uint64_t nr_spilled, nr_slots;
    uint64_t *free_slots;  /* of the spill file, nr_free of nr_slots */
    uint64_t nr_free;
    uint64_t next_seq;     /* number of the next record */
    uint64_t barrier, barrier_seq, committed, commit_seq, applied;
    bool at_once; /* what comes is committed already */
    bool ended;   /* nothing comes any more */
};


/* frees what is applied at the front; lock held */
void colo__elog_prune(struct colo_elog *log);
/* frees the first segment, which is applied; returns the next; lock held */
struct colo_elog_seg *colo__elog_free_head(struct colo_elog *log);
/* bytes of a segment, wherever they are; 0 or errno */
int colo__elog_copy(struct colo_elog *log, struct colo_elog_seg *seg,
                    uint64_t pos, uint8_t *buf, uint64_t len);

#endif
