/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One checkpoint of a PVH or HVM guest, between libcolo's form (the container
 * of pure/hvmctx.h, frames and pages) and the records of stock Xen.  Pure.
 *
 * A stock receiver has the rest from the first checkpoint: the parameters that
 * do not change, and the time stamp counter's frequency.  The pages of
 * xenstore's and the console's ring must not be sent again; libcolo's
 * capture leaves them out.
 */
#ifndef COLO_STREAM_EPOCH_H
#define COLO_STREAM_EPOCH_H

#include <sys/uio.h>

#include "pure/hvmctx.h"
#include "stream-read.h"
#include "stream-write.h"

/* ---- to a stock peer ---------------------------------------------------- */

/* colo__stream_out_frames - the head of PAGE_DATA for up to
 * COLO_STREAM_MAX_PFNS frames of one kind: with a page each, which the caller
 * sends in this order, or without (gone: they do not exist any more). */
void colo__stream_out_frames(struct colo_stream_out *out,
                             const uint64_t *gfns, uint32_t count, bool gone);

#define COLO_STREAM_TAIL_ROOM 256u /* bytes of heads */
#define COLO_STREAM_TAIL_PARTS 7

/* colo__stream_tail - all behind the pages, from the state of a machine to
 * CHECKPOINT_END.
 * Shape    container: as it travels between two sessions; store: the device
 *          model's pairs as in colo__stream_out_store(), if they have changed
 *          (an HVM guest has moved its video memory), else store_len is 0;
 *          room: COLO_STREAM_TAIL_ROOM bytes; parts: COLO_STREAM_TAIL_PARTS, in
 *          order, which point into all three
 * Errors   those of colo__hvmctx_parse(); COLO_E_LIMIT a state that is longer
 *          than stock Xen takes; COLO_E_INVAL pairs that do not end with 0, or
 *          of a guest without device model */
int colo__stream_tail(const uint8_t *container, uint32_t len,
                      const char *store, uint32_t store_len, uint8_t *room,
                      struct iovec *parts, int *ret_parts,
                      struct colo_error *err);

#define COLO_STREAM_REVOKE 32u

/* colo__stream_revoke - a checkpoint, between two records of libxc, that makes
 * a stock receiver give up: it holds frames, and none.  libxc loads a
 * checkpoint when it is whole, in order, and what cannot be loaded is an error
 * and not the loss of the primary; libxl then destroys the domain.
 * Source: Xen 4.17.7 and 4.22.0, xg_sr_restore.c (handle_page_data,
 * handle_checkpoint), libxl_stream_read.c, libxl_create.c
 * (domcreate_complete). */
void colo__stream_revoke(uint8_t bytes[COLO_STREAM_REVOKE]);

/* ---- from a stock peer -------------------------------------------------- */

/* colo_stream_gather - what has been read of a checkpoint's machine; owned by
 * the caller, nothing to free.  buf: the caller's, cap bytes. */
struct colo_stream_gather {
    uint8_t *buf;
    uint32_t cap;
    uint32_t xen_version;
    uint32_t context_len;  /* 0: not there yet */
    uint32_t devices_len;  /* 0: none */
    uint64_t params[COLO_HVMCTX_MAX_PARAMS];
};

/* cap: at most COLO_HVMCTX_MAX counts */
void colo__stream_gather_init(struct colo_stream_gather *gather, uint8_t *buf,
                              uint32_t cap);

/* colo__stream_gather_add - takes what belongs to the machine out of any item;
 * what comes again replaces what was there.
 * EMULATOR_XENSTORE_DATA is left out: it is for who keeps xenstore.
 * Errors   COLO_E_LIMIT  it does not fit in buf */
int colo__stream_gather_add(struct colo_stream_gather *gather,
                            const struct colo_stream_item *item,
                            struct colo_error *err);

/* colo__stream_gather_end - at CHECKPOINT_END: the container, in buf, and ready
 * for the next checkpoint.  The parameters that a guest can change keep their
 * values until they come again.
 * Errors   those of colo__hvmctx_parse(): what the peer sent is no machine */
int colo__stream_gather_end(struct colo_stream_gather *gather,
                            uint32_t *ret_len, struct colo_error *err);

#endif
