/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The rewriter: one object for each network card, on the secondary.  Input
 * that was meant for the primary's guest becomes what the copy would have
 * got (acknowledgements, SACK edges and echoed timestamps in its own
 * numbers).  What the copy says gets the epoch's stamp and goes to the
 * comparator as it is; after a takeover it goes to the world in the numbers
 * that clients know, until each connection has ended.  See compare.h.
 *
 * Order at a checkpoint, in the process that calls:
 *   colo__rewrite_checkpoint(N) the copy stands still.  Input is held from
 *                    now on: its numbers depend on what comes.
 *   colo__rewrite_commit(N) the copy was loaded and is the primary: no
 *                    differences any more; held input goes to the guest.
 *   colo__rewrite_failover() this side is alone.  If a checkpoint had begun
 *                    and the load was finished, call commit first; without
 *                    it the old copy goes on and so do its differences.
 *
 * Threads  one at a time per object.  Callbacks must not call back in.
 */
#ifndef COLO_REWRITE_H
#define COLO_REWRITE_H

#include "flow-note.h"

struct colo_rewrite_config {
    uint32_t vnet_bytes;    /* virtio_net_hdr ahead of frames: 0, 10, 12 */
    uint32_t max_flows;     /* 0: the default */
    uint64_t max_hold;      /* bytes of input held between checkpoint and
                             * commit; more is dropped, like on any wire */
    uint64_t hash_seed;
};
void colo__rewrite_defaults(struct colo_rewrite_config *config);

/* Frames are borrowed until the callback returns. */
struct colo_rewrite_ops {
    void (*to_guest)(void *user, const uint8_t *frame, size_t len);
    /* before failover: send as TWIN_OUTPUT with this stamp */
    void (*to_twin)(void *user, uint64_t epoch, const uint8_t *frame,
                    size_t len);
    /* after failover */
    void (*to_world)(void *user, const uint8_t *frame, size_t len);
};

struct colo_rewrite_stats {
    uint64_t input_frames, input_rewritten, input_held, input_dropped;
    uint64_t output_frames, output_rewritten;
    uint32_t flows; /* now, with a difference */
};

struct colo_rewrite;

/* Errors   COLO_E_INVAL, COLO_E_NOMEM */
int colo__rewrite_new(const struct colo_rewrite_config *config,
                      const struct colo_rewrite_ops *ops, void *user,
                      uint64_t epoch, struct colo_rewrite **ret_rewrite,
                      struct colo_error *err);
void colo__rewrite_free(struct colo_rewrite *rewrite);

/* colo__rewrite_flow - a TWIN_FLOW came, made in this epoch; an older
 * one's is ignored.  Answer 0 with TWIN_TOLD and the same number.
 * Errors   COLO_E_LIMIT, COLO_E_NOMEM: do not answer; the comparator then
 *          asks for a checkpoint by itself, after its timeout */
int colo__rewrite_flow(struct colo_rewrite *rewrite, uint64_t epoch,
                       const struct colo_flow_note *note,
                       struct colo_error *err);

/* colo__rewrite_to_guest - a frame of the world: TWIN_INPUT, and after the
 * failover what our own port gets.  Changed in place. */
void colo__rewrite_to_guest(struct colo_rewrite *rewrite, uint8_t *frame,
                            size_t len);

/* colo__rewrite_from_guest - a frame of the copy.  Changed in place. */
void colo__rewrite_from_guest(struct colo_rewrite *rewrite, uint8_t *frame,
                              size_t len);

int colo__rewrite_checkpoint(struct colo_rewrite *rewrite, uint64_t epoch,
                             struct colo_error *err);
int colo__rewrite_commit(struct colo_rewrite *rewrite, uint64_t epoch,
                         struct colo_error *err);
void colo__rewrite_failover(struct colo_rewrite *rewrite);

void colo__rewrite_stats(const struct colo_rewrite *rewrite,
                         struct colo_rewrite_stats *ret_stats);

#endif
