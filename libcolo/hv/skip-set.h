/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The frames that each host keeps for itself: rings of xenstored, xenconsoled
 * and the device model, and Xen's own helpers.  Never read, sent or written.
 * Pure.
 */
#ifndef COLO_HV_SKIP_SET_H
#define COLO_HV_SKIP_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* what HVM parameters say; 0 = not set */
enum {
    COLO_SKIP_STORE,
    COLO_SKIP_CONSOLE,
    COLO_SKIP_IOREQ,
    COLO_SKIP_BUFIOREQ,
    COLO_SKIP_PAGING,
    COLO_SKIP_MONITOR,
    COLO_SKIP_SHARING,
    COLO_SKIP_IDENT_PT,  /* an address, not a frame */
    COLO_SKIP_SERVER,    /* the first of ... */
    COLO_SKIP_NR_SERVER, /* ... so many */
    COLO_SKIP_PARAMS
};

/* colo__skip_set - frames to out, ascending, each once.
 * Returns how many; the pool of the device model is cut at cap. */
size_t colo__skip_set(const uint64_t values[COLO_SKIP_PARAMS], uint64_t *out,
                      size_t cap);

/* set: ascending */
bool colo__skip_has(const uint64_t *set, size_t n, uint64_t gfn);

#endif
