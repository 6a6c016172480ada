/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A plain stream of one guest that stands still, and a checkpointed one up to
 * its first CHECKPOINT_END, differ in two records.  So what libxl saves can
 * begin a stream for a stock peer that waits for checkpoints, and what a stock
 * primary sends first can be given to libxl as a plain restore.  Pure.
 */
#ifndef COLO_STREAM_CONVERT_H
#define COLO_STREAM_CONVERT_H

#include "stream-read.h"

/* colo__stream_convert - what is to be sent for an item.
 * item     as colo__stream_read() gave it, of a plain or checkpointed stream;
 *          raw: the bytes that it was read from
 * mode     what the outcome is: COLO_STREAM_PLAIN, _REMUS or _COLO
 * *ret     raw, or spare, which is then filled: as many bytes either way
 * Errors   COLO_E_UNSUPPORTED the item has no place in the other kind: the
 *          debugging record VERIFY; what comes behind the first checkpoint. */
int colo__stream_convert(const struct colo_stream_item *item, uint8_t mode,
                         const uint8_t *raw, uint8_t spare[COLO_STREAM_HEAD],
                         const uint8_t **ret, struct colo_error *err);

/* colo__stream_first_done - is this item the last of the first checkpoint, or
 * of a plain stream? */
bool colo__stream_first_done(const struct colo_stream_item *item);

#endif
