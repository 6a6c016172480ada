/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A backup that has only stock Xen, as a primary's sender sees it: a socket to
 * an `xl migrate-receive -r` (through ssh, or TCP).  Order of calls: open,
 * greet, seed, then for each checkpoint pages and gone in any number, commit.
 *
 * What a stock receiver does at the end of the connection, whatever the reason,
 * is to start the guest from the last whole checkpoint; there is no message to
 * end protection with.  But a checkpoint that cannot be loaded makes it give up
 * and destroy its domain, and that is what revoke sends.  Where that has not
 * worked, and the guest goes on here, the receiver's domain must be destroyed
 * ("xl destroy NAME--incoming" over there) before close; a sender that has lost
 * the peer must not be sure of anything.
 *
 * One thread at a time.  Every wait has the time given, without progress.
 */
#ifndef COLO_STOCK_SEND_H
#define COLO_STOCK_SEND_H

#include "internal.h"

struct colo_stock;

/* colo__stock_open - fd: a connected stream socket; owned, also on failure.
 * Errors   COLO_E_UNSUPPORTED of this socket it cannot be known what the peer
 *          has (acked.h); COLO_E_PEER, COLO_E_NOMEM */
int colo__stock_open(int fd, struct colo_stock **ret, struct colo_error *err);
void colo__stock_close(struct colo_stock *stock); /* NULL is fine */

/* colo__stock_fd - readable when the peer has ended, once it has the seed: it
 * has nothing more to say. */
int colo__stock_fd(const struct colo_stock *stock);

/* colo__stock_armed - would the peer start the guest at the end of the
 * connection?  From the last bytes of the seed on, as far as can be known. */
bool colo__stock_armed(const struct colo_stock *stock);

/* colo__stock_word - what commit means with this peer, see acked.h. */
const char *colo__stock_word(const struct colo_stock *stock);

/* colo__stock_wait - for xl's banner: then it is xl, and takes what comes.
 * Errors   COLO_E_PROTO the peer is something else; COLO_E_TIMEOUT it says
 *          nothing; COLO_E_PEER it is gone */
int colo__stock_wait(struct colo_stock *stock, uint32_t timeout_ms,
                     struct colo_error *err);

/* colo__stock_greet - that if it was not done, then header and configuration.
 * config   JSON of libxl; len: without its 0
 * Errors   as colo__stock_wait(); COLO_E_LIMIT config is too long */
int colo__stock_greet(struct colo_stock *stock, const char *config,
                      uint32_t len, uint32_t timeout_ms,
                      struct colo_error *err);

/* Bytes of the seed: at least 1 and at most cap; 0: its end; < 0: an error,
 * which is passed on. */
typedef int colo_stock_read_fn(void *user, uint8_t *buf, size_t cap,
                               struct colo_error *err);

/* colo__stock_seed - sends what was saved of the guest, which stands still, as
 * the first checkpoint, and waits until it is committed.
 * kind     COLO_STREAM_PLAIN: from libxl's header to its END; _REMUS: to the
 *          first CHECKPOINT_END (PV guests)
 * Errors   those of colo__stream_read() for what libxl saved, of read, and as
 *          colo__stock_commit() */
int colo__stock_seed(struct colo_stock *stock, uint8_t kind,
                     colo_stock_read_fn *read, void *user,
                     uint32_t timeout_ms, struct colo_error *err);

/* colo__stock_pages - frames and their pages, one behind the other.
 * colo__stock_gone - frames that do not exist any more. */
int colo__stock_pages(struct colo_stock *stock, const uint64_t *gfns,
                      const uint8_t *pages, uint32_t count,
                      uint32_t timeout_ms, struct colo_error *err);
int colo__stock_gone(struct colo_stock *stock, const uint64_t *gfns,
                     uint32_t count, uint32_t timeout_ms,
                     struct colo_error *err);

/* colo__stock_commit - the machine (pure/hvmctx.h) ends the checkpoint; returns
 * when all of it is committed, in the sense of colo__stock_word().
 * store    the device model's pairs in xenstore if they have changed since the
 *          seed or the last of these calls; store_len 0: they have not
 * Errors   COLO_E_PEER the peer is gone, or does not take or acknowledge
 *          anything: it may or may not have this checkpoint
 *          those of colo__hvmctx_parse(): nothing was sent */
int colo__stock_commit(struct colo_stock *stock, const uint8_t *container,
                       uint32_t len, const char *store, uint32_t store_len,
                       uint32_t timeout_ms, struct colo_error *err);

/* colo__stock_piece - a whole checkpoint of a PV guest, as libxenguest wrote it
 * (stream-piece.h); pages, gone and commit in one. */
int colo__stock_piece(struct colo_stock *stock, const uint8_t *piece,
                      uint32_t len, uint32_t timeout_ms,
                      struct colo_error *err);

/* colo__stock_revoke - the guest goes on here: the peer shall not start it.
 * Returns when the peer's end has been seen: it has no domain of this guest any
 * more, as far as it did what stock Xen does (its exit status, which ssh hands
 * on, is not 0 then).  Nothing can be sent afterwards.
 * Errors   COLO_E_STATE  a call has failed in the middle of a record: the peer
 *                        cannot be told
 *          COLO_E_PEER   it does not take the bytes; it may have started the
 *                        guest; COLO_E_TIMEOUT it does not end */
int colo__stock_revoke(struct colo_stock *stock, uint32_t timeout_ms,
                       struct colo_error *err);

#endif
