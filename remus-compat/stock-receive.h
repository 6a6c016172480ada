/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A primary that has only stock Xen, as a backup's receiver sees it: a socket
 * from an `xl remus`.  Of PVH and HVM guests (a PV guest's seed can be
 * received, its checkpoints only by libxl).  Order of calls: open, greet unless
 * xl has done it, seed, then epoch for each checkpoint.
 *
 * A stock primary says nothing but its checkpoints: no heartbeat, no farewell.
 * When it is silent for longer than its interval and a pause can be, or the
 * connection ends, the replica holds the last whole epoch, and whether it may
 * run is the arbiter's business.  An epoch that was begun and not ended must
 * be thrown away by the caller.
 *
 * One thread at a time.  Every wait has the time given, without a byte.
 */
#ifndef COLO_STOCK_RECEIVE_H
#define COLO_STOCK_RECEIVE_H

#include "internal.h"
#include "pure/epoch.h"

struct colo_stock_rx;

/* colo__stock_rx_open - fd: a connected stream socket; owned, also on failure.
 * max_pfn  the last frame that the guest may have; 0: any
 * Errors   COLO_E_NOMEM, COLO_E_SYS */
int colo__stock_rx_open(int fd, uint64_t max_pfn, struct colo_stock_rx **ret,
                        struct colo_error *err);
void colo__stock_rx_close(struct colo_stock_rx *rx); /* NULL is fine */

/* colo__stock_rx_greet - xl's banner to the sender; its header and the guest's
 * configuration from it.
 * *ret     malloc'ed text, JSON
 * Errors   those of colo__xl_header() and colo__xl_config(); COLO_E_PEER,
 *          COLO_E_TIMEOUT */
int colo__stock_rx_greet(struct colo_stock_rx *rx, char **ret,
                         uint32_t timeout_ms, struct colo_error *err);

/* Takes len bytes, all of them; < 0: an error, which is passed on. */
typedef int colo_stock_write_fn(void *user, const uint8_t *bytes, size_t len,
                                struct colo_error *err);

/* colo__stock_rx_seed - the first checkpoint, as a plain stream that libxl can
 * restore from, to write.
 * Errors   those of colo__stream_read(), of write; COLO_E_PEER the sender has
 *          gone, COLO_E_TIMEOUT it is silent: there is no replica */
int colo__stock_rx_seed(struct colo_stock_rx *rx, colo_stock_write_fn *write,
                        void *user, uint32_t timeout_ms,
                        struct colo_error *err);

/* colo__stock_rx_epoch - the next checkpoint, whole: pages and machine, in the
 * epoch (empty before).  Where a frame comes twice, the later one counts.
 * Frames that do not exist are left out, as stock Xen does: they say nothing
 * about frames that existed.
 * Errors   COLO_E_PEER  the sender has gone
 *          COLO_E_TIMEOUT it has not sent a byte for timeout_ms; as long as
 *                       nothing of this checkpoint has come, the call may be
 *                       repeated
 *          COLO_E_LIMIT  more pages or a larger machine than fit
 *          those of colo__stream_read() and colo__hvmctx_parse() */
int colo__stock_rx_epoch(struct colo_stock_rx *rx, struct colo_epoch *epoch,
                         uint32_t timeout_ms, struct colo_error *err);

/* colo__stock_rx_skip - the next checkpoint, of any guest: read and checked,
 * and kept nowhere.
 * Errors   as colo__stock_rx_epoch() */
int colo__stock_rx_skip(struct colo_stock_rx *rx, uint32_t timeout_ms,
                        struct colo_error *err);

/* colo__stock_rx_pending - has something of the next checkpoint been read
 * already? */
bool colo__stock_rx_pending(const struct colo_stock_rx *rx);

/* colo__stock_rx_fd - to poll for the next checkpoint. */
int colo__stock_rx_fd(struct colo_stock_rx *rx);

#endif
