/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Apply: a whole, verified epoch goes into the replica, and the audited slice
 * is compared.  A job of the secondary's worker; nothing interrupts it, so
 * that the replica is never left between two epochs.
 */
#ifndef COLO_APPLY_H
#define COLO_APPLY_H

#include "../hv/hv.h"
#include "../pure/epoch.h"
#include "../pure/wire.h"

struct colo_apply {
    struct colo_hv *hv;
    const struct colo_epoch *epoch;
    uint8_t *scratch;             /* pages read back by the audit */
    /* results */
    uint64_t audited;
    uint32_t differ;              /* found different, at most MAX_DIFFER */
    uint64_t differ_gfns[COLO_WIRE_MAX_DIFFER];
};

int colo__apply_init(struct colo_apply *a, struct colo_hv *hv,
                     const struct colo_epoch *epoch, struct colo_error *err);
void colo__apply_fini(struct colo_apply *a);
/* arg: struct colo_apply. An error leaves the replica unusable. */
int colo__apply_job(void *arg, struct colo_error *err);

#endif
