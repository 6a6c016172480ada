/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One message after another from the bulk link, for a worker's job that can be
 * told to end.
 */
#ifndef COLO_BULK_READ_H
#define COLO_BULK_READ_H

#include <stdatomic.h>

#include "../link/link.h"
#include "../pure/wire.h"

struct colo_bulk_read {
    struct colo_link *link;
    const struct colo_clock *clock;
    const _Atomic bool *abort;
    _Atomic uint64_t *heard_us; /* set when bytes come; NULL: nobody looks */
    uint32_t timeout_ms;        /* of silence; 0: somebody watches heard_us */
    const char *where;          /* of errors; static */
    const char *silent;         /* of timeout_ms: "... within N ms"; static */
    uint8_t *buf;               /* COLO_WIRE_HEADER + max_body, borrowed */
    uint32_t max_body;
};

/* colo__bulk_read - *ret_msg borrows the buffer, until the next call.
 * Errors   COLO_E_STATE: told to end; COLO_E_TIMEOUT; the link's and wire's */
int colo__bulk_read(const struct colo_bulk_read *r, struct colo_msg *ret_msg,
                    struct colo_error *err);

#endif
