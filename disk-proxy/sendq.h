/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The way out to the twin: messages of any thread, sent in the order in which
 * they were put, by a thread of its own.  The memory is one ring of fixed
 * size; when it is full, put waits: that is the back-pressure on the guest.
 * Numbering belongs to it: each message carries the last BARRIER's epoch.
 *
 * Threads: put by any, stop by any, close by one when nobody else uses it.
 */
#ifndef COLO_DISK_SENDQ_H
#define COLO_DISK_SENDQ_H

#include "wire.h"

struct colo_sendq;

/* told once, by any thread, when the stream can take no more */
typedef void colo_sendq_lost_fn(void *user, const struct colo_error *err);

/* colo__sendq_open - send over fd, which is borrowed.
 * Units    bytes: of the ring, at least 1 MiB; silent_ms: the twin is lost
 *          when it has taken nothing for so long. */
int colo__sendq_open(int fd, size_t bytes, unsigned silent_ms,
                     colo_sendq_lost_fn *lost, void *user,
                     struct colo_sendq **ret_q, struct colo_error *err);

/* colo__sendq_put - copies the body.
 * Shape    msg->epoch is not looked at.  A BARRIER may use a part of the ring
 *          that others may not, and so does not wait in practice.
 * Returns  0, COLO_E_PEER if the queue has stopped (nothing was put) */
int colo__sendq_put(struct colo_sendq *q, const struct colo_dmsg *msg,
                    uint64_t *ret_epoch);

/* colo__sendq_stop - no more goes out; whoever waits in put returns. */
void colo__sendq_stop(struct colo_sendq *q);
/* colo__sendq_drain - wait until all is sent, at most ms. */
void colo__sendq_drain(struct colo_sendq *q, unsigned ms);
void colo__sendq_close(struct colo_sendq *q); /* NULL is fine */

uint64_t colo__sendq_sent(struct colo_sendq *q); /* bytes so far */

#endif
