/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The audit: at each checkpoint the hashes of a slice of all pages go along,
 * and the backup compares them with what it holds, so that every page is
 * verified (or sent anyway) within a chosen number of checkpoints.  The hashes
 * are taken while the guest still runs: a page that is written afterwards is
 * in the epoch's dirty set, and is left out.  So the audit costs no pause, and
 * finds exactly what it is for: pages that changed without being marked.
 * Primary side; session's thread.  The backup's side is in apply.
 */
#ifndef COLO_AUDIT_H
#define COLO_AUDIT_H

#include "../hv/hv.h"
#include "../pure/bitmap.h"
#include "../pure/epoch.h"

#define COLO_AUDIT_OFF UINT32_MAX

struct colo_audit {
    struct colo_hv *hv;
    uint32_t checkpoints;   /* every page within so many; AUDIT_OFF */
    uint64_t cursor;        /* next frame to look at */
    uint64_t *gfns;         /* the slice, ascending */
    uint64_t *hashes;
    uint32_t count, cap;
    uint8_t *pages;         /* scratch: one batch */
    uint8_t kinds[64];
};

int colo__audit_init(struct colo_audit *a, struct colo_hv *hv,
                     uint32_t checkpoints, struct colo_error *err);
void colo__audit_fini(struct colo_audit *a);
/* colo__audit_prepare - choose and hash the slice; the guest runs.  Call it
 * after the last CLEAN of the epoch before and before the first of this one. */
int colo__audit_prepare(struct colo_audit *a, uint64_t nr_gfns,
                        uint64_t tot_pages, struct colo_error *err);
/* colo__audit_take - put into the epoch what is in neither of its dirty
 * sets. */
int colo__audit_take(const struct colo_audit *a,
                     const struct colo_bitmap *final,
                     const struct colo_bitmap *live, struct colo_epoch *epoch,
                     struct colo_error *err);

#endif
