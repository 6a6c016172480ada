/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The audit: at each checkpoint the hashes of a slice of all pages go along,
 * and the backup compares them with what it holds, so that every page is
 * verified within a chosen number of checkpoints.  Primary side; session's
 * thread.  The backup's side is in apply.
 */
#ifndef COLO_AUDIT_H
#define COLO_AUDIT_H

#include "../hv/hv.h"
#include "../pure/epoch.h"

#define COLO_AUDIT_OFF UINT32_MAX

struct colo_audit {
    struct colo_hv *hv;
    uint32_t checkpoints;   /* every page within so many; AUDIT_OFF */
    uint64_t cursor;        /* next frame to look at */
    uint64_t *gfns;         /* the slice for the coming stop */
    uint32_t count, cap;
    uint8_t *pages;         /* scratch: AUDIT_BATCH pages */
    uint8_t kinds[64];
};

int colo__audit_init(struct colo_audit *a, struct colo_hv *hv,
                     uint32_t checkpoints, struct colo_error *err);
void colo__audit_fini(struct colo_audit *a);
/* colo__audit_prepare - choose the slice while the guest runs: holes are
 * passed over here and not in the pause. */
int colo__audit_prepare(struct colo_audit *a, uint64_t nr_gfns,
                        uint64_t tot_pages, struct colo_error *err);
/* colo__audit_take - hash the slice into the epoch; the guest is stopped. */
int colo__audit_take(struct colo_audit *a, struct colo_epoch *epoch,
                     struct colo_error *err);

#endif
