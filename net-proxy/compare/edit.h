/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Changing four bytes of a header in place, and its checksum with them
 * (RFC 1624).  Pure.
 */
#ifndef COLO_COMPARE_EDIT_H
#define COLO_COMPARE_EDIT_H

#include "parse.h"

/* colo__edit_add - the number at `at` grows by `by`; `sum` is where its
 * checksum is, `from` where what that covers begins: an odd distance swaps the
 * bytes. */
void colo__edit_add(uint8_t *frame, size_t at, uint32_t by, size_t from,
                    size_t sum);

/* colo__edit_tcp - the same in a TCP header.  A partial checksum covers the
 * pseudo header only, so it stays. */
static inline void colo__edit_tcp(uint8_t *frame, const struct colo_packet *p,
                                  size_t at, uint32_t by)
{
    if (!by)
        return;
    if (p->partial_checksum)
        put32(frame + at, get32(frame + at) + by);
    else
        colo__edit_add(frame, at, by, p->at, p->at + 16);
}

#endif
