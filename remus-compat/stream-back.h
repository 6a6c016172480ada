/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a stock backup tells its primary in mode COLO, the only thing that stock
 * Xen ever sends back: CHECKPOINT_STATE records of libxl, without a header
 * before them, and one DIRTY_PFN_LIST of libxc.  Pure.  In mode Remus nothing
 * comes.
 *
 * For each checkpoint: READY (it holds it), RESUMED (its copy runs), then, when
 * the primary has said NEW, SUSPENDED and the list of the frames that the copy
 * wrote.  Written with colo__stream_out_state() and colo__stream_out_dirty().
 */
#ifndef COLO_STREAM_BACK_H
#define COLO_STREAM_BACK_H

#include "stream-write.h"

#define COLO_BACK_STATE 1 /* state */
#define COLO_BACK_LIST  2 /* count: how many frames the list has */
#define COLO_BACK_PFNS  3 /* count: the next of them, from pfns on, 8 bytes
                             each; see colo__le64() */

struct colo_back_item {
    int kind;
    uint32_t state;
    uint32_t count;
    const uint8_t *pfns;
};

/* colo_back_reader - owned by the caller, nothing to free. */
struct colo_back_reader {
    uint64_t max_pfn;
    uint32_t left;  /* frames of the list that are still to come */
    uint8_t next;   /* which row of the order is expected */
    bool broken;
};

/* max_pfn: the last frame that may come */
void colo__back_reader_init(struct colo_back_reader *reader,
                            uint64_t max_pfn);

/* colo__back_read - the next item; needs no more than 16 bytes to go on.
 * Returns  as colo__stream_read() (stream-read.h). */
int colo__back_read(struct colo_back_reader *reader, const uint8_t *buf,
                    size_t len, struct colo_back_item *ret,
                    struct colo_error *err);

/* colo__stream_out_dirty - the whole list. */
void colo__stream_out_dirty(struct colo_stream_out *out, const uint64_t *pfns,
                            uint32_t count);

#endif
