/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the primary wrote and the secondary has not yet applied, epoch by
 * epoch.  The stream is received straight into segments of a MiB and stays
 * there; records only point into them.  Above the memory limit, closed
 * segments go to a file that has a limit of its own.
 *
 * Threads: one receiver (space, filled, add, barrier), one applier (next,
 * load, retire), and any for commit, interrupt, drop, overlay and stats.
 * Before drop the receiver is interrupted.
 */
#ifndef COLO_DISK_EPOCH_LOG_H
#define COLO_DISK_EPOCH_LOG_H

#include <time.h>

#include "backing.h"

/* a MiB of data, and room for the headers if it comes in 16 KiB or more */
#define COLO_ELOG_SEGMENT (1024u * 1024u + 4096u)
#define COLO_ELOG_RUN 64 /* records merged into one write */

#define COLO_REC_WRITE   1
#define COLO_REC_ZERO    2
#define COLO_REC_FLUSH   3
#define COLO_REC_BARRIER 4 /* offset: the epoch that ends */

struct colo_elog;
struct colo_elog_seg;

struct colo_elog_config {
    uint64_t memory_limit; /* bytes, at least 4 segments */
    const char *spill_dir; /* NULL: none; a file system with O_TMPFILE */
    uint64_t spill_limit;  /* bytes */
    unsigned wait_ms;      /* for the applier, when all is full */
};

struct colo_elog_stats {
    uint64_t memory, spilled;  /* bytes in use */
    uint64_t kept;             /* bytes of memory that are not */
    uint64_t records;          /* not applied yet */
    uint64_t applied;          /* last epoch that was */
    uint64_t committed;        /* last epoch that was */
};

/* what to apply next: records that touch each other, as one */
struct colo_elog_run {
    struct colo_elog_seg *seg;
    uint32_t n, first;   /* records of the segment */
    uint8_t type;        /* COLO_REC_* */
    bool fua, trim;
    uint64_t offset, len;
    struct { uint32_t pos, len; } part[COLO_ELOG_RUN]; /* of a WRITE */
};

int colo__elog_open(const struct colo_elog_config *config,
                    struct colo_elog **ret_log, struct colo_error *err);
void colo__elog_close(struct colo_elog *log); /* NULL is fine */

/* colo__elog_reset - empty, first epoch to come is any; nothing runs. */
void colo__elog_reset(struct colo_elog *log);

/* colo__elog_space - where to receive the next bytes.
 * Shape    need: bytes that the message at the unparsed place will have.
 * Errors   COLO_E_LIMIT memory and spill file are full; COLO_E_SYS spilling;
 *          COLO_E_PEER interrupted */
int colo__elog_space(struct colo_elog *log, size_t need, uint8_t **ret_p,
                     size_t *ret_cap, struct colo_error *err);
void colo__elog_filled(struct colo_elog *log, size_t n);
/* the bytes not parsed yet; valid until space */
const uint8_t *colo__elog_unparsed(struct colo_elog *log, size_t *ret_len);
void colo__elog_parsed(struct colo_elog *log, size_t n);

/* colo__elog_add - a record; data: of a WRITE, in the unparsed bytes.
 * Errors   COLO_E_NOMEM; COLO_E_PEER interrupted: it was not added */
int colo__elog_add(struct colo_elog *log, uint8_t type, uint64_t offset,
                   uint64_t len, const uint8_t *data, bool fua, bool trim,
                   struct colo_error *err);

/* colo__elog_at_once - what is added from now on is committed (or not). */
void colo__elog_at_once(struct colo_elog *log, bool on);

uint64_t colo__elog_barrier(struct colo_elog *log); /* last one, 0: none */

/* colo__elog_commit - epochs up to this may be applied.
 * Errors   COLO_E_STATE its barrier has not come */
int colo__elog_commit(struct colo_elog *log, uint64_t epoch,
                      struct colo_error *err);

/* colo__elog_interrupt - nothing is added any more before reset; whoever waits
 * for room returns. */
void colo__elog_interrupt(struct colo_elog *log);

/* colo__elog_drop - forget what is not committed.
 * Returns  records that are left to apply */
uint64_t colo__elog_drop(struct colo_elog *log);

/* colo__elog_next - wait for something to apply.
 * Returns  1 *ret_run filled, 0 nothing came within ms */
int colo__elog_next(struct colo_elog *log, struct colo_elog_run *ret_run,
                    unsigned ms);
/* the bytes of part i; NULL: the spill file could not be read */
const uint8_t *colo__elog_data(struct colo_elog *log,
                               const struct colo_elog_run *run, uint32_t i);
void colo__elog_retire(struct colo_elog *log, const struct colo_elog_run *run);

/* colo__elog_read - what the disk will hold when all of the log is applied.
 * Nothing may be added meanwhile.  The disk is read without a lock.
 * Returns  0 or an errno value */
int colo__elog_read(struct colo_elog *log, struct colo_backing *b, void *buf,
                    size_t len, uint64_t offset);

/* colo__elog_read_committed - when all of it that is committed is applied. */
int colo__elog_read_committed(struct colo_elog *log, struct colo_backing *b,
                              void *buf, size_t len, uint64_t offset);

/* colo__elog_wait_clear - until nothing of the range is left to apply.
 * Returns  0, ETIMEDOUT */
int colo__elog_wait_clear(struct colo_elog *log, uint64_t offset,
                          uint64_t len, unsigned ms);

/* ms from now, for the waits of these files (CLOCK_MONOTONIC) */
void colo__elog_deadline(struct timespec *ret, unsigned ms);

void colo__elog_stats(struct colo_elog *log, struct colo_elog_stats *ret);

#endif
