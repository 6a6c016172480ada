/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Match: in mode colo the primary learns which frames the replica has written
 * and what their pages' hashes are (report's list), and finds the pages that
 * are equal on both sides.  An equal one does not travel; one that only the
 * replica has written, and that differs, is added to the epoch.  Both guests
 * stand still meanwhile.
 */
#ifndef COLO_MATCH_H
#define COLO_MATCH_H

#include <stdatomic.h>

#include "../link/link.h"
#include "../pure/bitmap.h"
#include "../pure/delta.h"
#include "../pure/wire.h"
#include "capture.h"

struct colo_match {
    struct colo_link *bulk;
    const struct colo_clock *clock;
    struct colo_capture *capture;
    struct colo_delta_cache *cache; /* of what was sent: the replica's own
                                       writes make it stale */
    const _Atomic bool *abort;
    uint32_t timeout_ms;            /* without anything of the list */
    uint8_t *buf;                   /* one message */
    void *digest;
    struct colo_wire_dirty *entries;
    uint64_t count, cap;
    uint32_t *slot;                 /* of a frame in open: its entry */
    uint64_t slots;
    struct colo_bitmap open;        /* listed, and not yet compared */
    uint64_t peer_gfns;             /* frames of the replica */
    uint64_t rest_pos, own_gfns;    /* how far the rest is; guest's frames */
    /* figures of this epoch */
    uint64_t listed, equal, added, bytes;
    uint64_t both;                  /* of equal: written by both */
};

int colo__match_init(struct colo_match *m, struct colo_link *bulk,
                     struct colo_capture *capture,
                     struct colo_delta_cache *cache,
                     const struct colo_clock *clock,
                     const _Atomic bool *abort, uint32_t timeout_ms,
                     struct colo_error *err);
void colo__match_fini(struct colo_match *m); /* zeroed is fine */

/* job; arg is the struct colo_match: take the list, and settle every frame of
 * it that is in the epoch. */
int colo__match_job(void *arg, struct colo_error *err);
/* colo__match_rest - session's thread, afterwards: settle what only the replica
 * has written, so many frames of it at a time that nobody takes the silence for
 * death.  *ret_more: call again. */
int colo__match_rest(struct colo_match *m, bool *ret_more,
                     struct colo_error *err);

#endif
