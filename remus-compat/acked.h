/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A stock backup never says that it holds a checkpoint.  What can be known
 * instead: how many of the bytes written to a connection have left this host's
 * keeping.  A checkpoint counts as committed when its last byte has.
 *
 * On a TCP connection the peer's kernel has acknowledged them: they survive the
 * loss of this host, but not of the peer's receiving process, which may not
 * have read them, and which nothing tells from one that has.  On a pipe or
 * local socket (ssh) only the local process at its other end has taken them:
 * they may be lost with this host.  Status says which, by colo__acked_word().
 *
 * One thread at a time; the descriptor is the caller's.
 */
#ifndef COLO_ACKED_H
#define COLO_ACKED_H

#include "internal.h"

struct colo_acked {
    int fd;
    int kind;          /* private */
    uint64_t written;  /* bytes, since colo__acked_init() */
    uint64_t acked;    /* of them, at the last look */
    uint32_t pause_us; /* when another look may tell more */
};

/* colo__acked_init - begin to count; what was written before is waited for,
 * too.
 * fd       a connected TCP socket, a local stream socket, or the end of a pipe
 *          that is written to
 * Errors   COLO_E_UNSUPPORTED of this descriptor nothing can be known */
int colo__acked_init(struct colo_acked *acked, int fd,
                     struct colo_error *err);

/* colo__acked_word - what commit means here: "unacknowledged" (TCP: the peer's
 * kernel has it), "written" (only a local process has it). */
const char *colo__acked_word(const struct colo_acked *acked);

/* colo__acked_wrote - n bytes more were written: what write() returned. */
void colo__acked_wrote(struct colo_acked *acked, size_t n);

/* colo__acked_look - sets acked->acked, which never becomes less.
 * Errors   COLO_E_PEER  the connection is no longer open in both directions:
 *                       what is acknowledged means nothing any more
 *          COLO_E_STATE the kernel holds more than was ever counted */
int colo__acked_look(struct colo_acked *acked, struct colo_error *err);

/* colo__acked_wait - until mark bytes (a value of acked->written) are
 * acknowledged.
 * deadline_us: of the clock.
 * Errors   COLO_E_TIMEOUT, and as colo__acked_look() */
int colo__acked_wait(struct colo_acked *acked, uint64_t mark,
                     const struct colo_clock *clock, uint64_t deadline_us,
                     struct colo_error *err);

#endif
