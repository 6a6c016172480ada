/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Capture: what the guest changed goes into the epoch buffer, first (if it
 * pays) while it still runs, then, for the rest, while it stands still.
 * Called by the primary on the session's thread; the epoch is lent to transfer
 * between capture and commit.
 */
#ifndef COLO_CAPTURE_H
#define COLO_CAPTURE_H

#include "../hv/hv.h"
#include "../pure/bitmap.h"
#include "../pure/epoch.h"
#include "audit.h"

struct colo_capture {
    struct colo_hv *hv;
    const struct colo_log *log;
    const struct colo_clock *clock;
    struct colo_epoch epoch;
    struct colo_bitmap final;   /* frames of the final set of this epoch */
    struct colo_bitmap carry;   /* to be sent in the next epoch whatever the
                                   dirty bitmap says */
    struct colo_bitmap live;    /* frames of the live round of this epoch */
    uint64_t live_count;        /* epoch pages [0, live_count) were copied
                                   live; those also in final are void */
    struct colo_audit audit;
    uint32_t state_cap;         /* bytes the context took last time */
    uint8_t kinds[1024];
    /* live-round policy */
    int32_t live_mode;          /* -1 adaptive, 0 never, 1 always */
    uint32_t live_skip;         /* epochs until it is tried again */
    uint32_t live_bad;          /* times it did not pay in a row */
    uint64_t last_dirty;        /* pages of the last epoch */
    double us_per_page;         /* of the final copy, smoothed */
    bool live_lost;             /* the live round lost the record */
    /* mode colo, filled by match; otherwise empty */
    struct colo_bitmap equal;   /* frames that are equal on both sides: the
                                   epoch's pages of them are void */
    uint64_t rest_at;           /* from here on: what only the replica wrote */
    bool lost;                  /* the record of this epoch was */
    uint64_t resyncs;
    void (*beat)(void *user);   /* between parts of a long copy: the peer must
                                   not take it for our death; NULL: nobody's */
    void *beat_user;
};

int colo__capture_init(struct colo_capture *c, struct colo_hv *hv,
                       const struct colo_log *log,
                       const struct colo_clock *clock, int live_mode,
                       uint32_t audit_checkpoints, struct colo_error *err);
void colo__capture_fini(struct colo_capture *c); /* a zeroed one is fine */

/* colo__capture_begin - empty the buffer for epoch number; guest runs. */
int colo__capture_begin(struct colo_capture *c, uint64_t number,
                        struct colo_error *err);
/* colo__capture_live - the live round, if policy says so; guest runs. */
int colo__capture_live(struct colo_capture *c, struct colo_error *err);
/* colo__capture_final - the guest stands still.  Fills the page counts and
 * copy_us, state_us of *info. */
int colo__capture_final(struct colo_capture *c,
                        struct colo_checkpoint_info *info,
                        struct colo_error *err);
/* colo__capture_seeded - the seed is written and the guest stands still:
 * dirty tracking on (*tracking says so, also when what follows fails),
 * everything the seed may have missed to carry. */
int colo__capture_seeded(struct colo_capture *c, bool *tracking,
                         struct colo_error *err);

/* is page i of the epoch void (copied live, then changed; or not needed)? */
static inline bool colo__capture_void(const struct colo_capture *c,
                                      uint64_t i)
{
    return (i < c->live_count &&
            colo__bitmap_test(&c->final, c->epoch.gfns[i])) ||
           colo__bitmap_test(&c->equal, c->epoch.gfns[i]);
}

#endif
