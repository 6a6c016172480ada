/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The buffer that holds one epoch: page contents with their frame numbers,
 * removed frames, and the context.  Reused from epoch to epoch: address space
 * is reserved for the whole guest once, memory is touched as needed and kept
 * up to a high-water mark, so that nothing is allocated while the guest is
 * stopped.  Not thread-safe; owned by one side of a hand-over at a time.
 */
#ifndef COLO_PURE_EPOCH_H
#define COLO_PURE_EPOCH_H

#include <stdint.h>

#include "../internal.h"

struct colo_epoch {
    uint64_t number;
    uint64_t nr_gfns;      /* of the guest at capture */
    uint64_t count;        /* pages held */
    uint64_t cap;          /* pages that fit the reservation */
    uint64_t touched;      /* pages that have memory: kept by reset */
    uint64_t *gfns;        /* [count] */
    uint8_t *pages;        /* [count][COLO_PAGE_SIZE] */
    uint64_t gone_count, gone_cap;
    uint64_t *gone;        /* [gone_count] */
    uint8_t *state;        /* context of the machine, opaque */
    uint32_t state_len, state_cap;
    uint64_t audit_count, audit_cap;
    uint64_t *audit_gfns, *audit_hashes;
};

/* colo__epoch_init - reserve address space for cap_pages pages.
 * Returns 0, COLO_E_NOMEM.  fini takes a zeroed one. */
int colo__epoch_init(struct colo_epoch *epoch, uint64_t cap_pages,
                     struct colo_error *err);
void colo__epoch_fini(struct colo_epoch *epoch);
/* colo__epoch_grow - the guest got larger; content is kept. */
int colo__epoch_grow(struct colo_epoch *epoch, uint64_t cap_pages,
                     struct colo_error *err);
/* colo__epoch_reset - empty it for another epoch; memory above keep_pages
 * goes back to the system (UINT64_MAX keeps all). */
void colo__epoch_reset(struct colo_epoch *epoch, uint64_t number,
                       uint64_t keep_pages);
/* colo__epoch_prepare - give memory to the first pages now, so that a capture
 * of that many has no page faults.  Call it while the guest runs. */
void colo__epoch_prepare(struct colo_epoch *epoch, uint64_t pages);
/* append; COLO_E_LIMIT when full */
int colo__epoch_add_gone(struct colo_epoch *epoch, uint64_t gfn,
                         struct colo_error *err);
int colo__epoch_add_audit(struct colo_epoch *epoch, uint64_t gfn,
                          uint64_t hash, struct colo_error *err);
/* colo__epoch_state_grow - the context may have so many bytes (streamed guests,
 * whose memory is in it); content is kept.  COLO_E_NOMEM. */
int colo__epoch_state_grow(struct colo_epoch *epoch, uint32_t cap,
                           struct colo_error *err);
/* room for len bytes of context in all: returns epoch->state (state_len
 * unchanged), or NULL for more than state_cap */
uint8_t *colo__epoch_state_room(struct colo_epoch *epoch, uint32_t len);

static inline uint8_t *colo__epoch_page(const struct colo_epoch *epoch,
                                        uint64_t i)
{
    return epoch->pages + i * COLO_PAGE_SIZE;
}

#endif
