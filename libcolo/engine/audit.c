/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Choosing and hashing the audited slice.
 */
#include "audit.h"

#include <stdlib.h>

#include "../pure/delta.h"

#define AUDIT_BATCH 64
/* frames looked at per checkpoint at most: bounds the walk through holes */
#define AUDIT_LOOK 16384

int colo__audit_init(struct colo_audit *a, struct colo_hv *hv,
                     uint32_t checkpoints, struct colo_error *err)
{
    a->hv = hv;
    a->checkpoints = checkpoints;
    if (checkpoints == COLO_AUDIT_OFF)
        return 0;
    a->pages = malloc((size_t)AUDIT_BATCH * COLO_PAGE_SIZE);
    if (!a->pages)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "audit", "scratch");
    return 0;
}

void colo__audit_fini(struct colo_audit *a)
{
    free(a->pages);
    free(a->gfns);
    a->pages = NULL;
    a->gfns = NULL;
}

static int reserve(struct colo_audit *a, uint64_t want, struct colo_error *err)
{
    uint64_t *p;

    if (want <= a->cap)
        return 0;
    p = realloc(a->gfns, want * sizeof(*p));
    if (!p)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "audit", "slice");
    a->gfns = p;
    a->cap = (uint32_t)want;
    return 0;
}

int colo__audit_prepare(struct colo_audit *a, uint64_t nr_gfns,
                        uint64_t tot_pages, struct colo_error *err)
{
    const struct colo_hv_ops *ops = colo__hv_ops(a->hv);
    uint64_t want, looked = 0;
    int rc;

    a->count = 0;
    if (a->checkpoints == COLO_AUDIT_OFF || !nr_gfns)
        return 0;
    want = tot_pages / a->checkpoints + 1;
    if (want > UINT32_MAX / 2)
        want = UINT32_MAX / 2;
    rc = reserve(a, want + AUDIT_BATCH, err);
    if (rc)
        return rc;
    while (a->count < want && looked < AUDIT_LOOK + want) {
        uint64_t batch[AUDIT_BATCH];
        size_t n = 0;

        if (a->cursor >= nr_gfns) {
            if (a->count) /* the order of a slice stays ascending */
                break;
            a->cursor = 0;
        }
        while (n < AUDIT_BATCH && a->cursor < nr_gfns)
            batch[n++] = a->cursor++;
        looked += n;
        rc = ops->read(a->hv, batch, n, a->pages, a->kinds, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++) {
            if (a->kinds[i] == COLO_PAGE_DATA)
                a->gfns[a->count++] = batch[i];
        }
    }
    return 0;
}

int colo__audit_take(struct colo_audit *a, struct colo_epoch *epoch,
                     struct colo_error *err)
{
    const struct colo_hv_ops *ops = colo__hv_ops(a->hv);

    for (uint32_t i = 0; i < a->count; i += AUDIT_BATCH) {
        size_t n = a->count - i < AUDIT_BATCH ? a->count - i : AUDIT_BATCH;
        int rc;

        rc = ops->read(a->hv, a->gfns + i, n, a->pages, a->kinds, err);
        if (rc)
            return rc;
        for (size_t j = 0; j < n; j++) {
            if (a->kinds[j] != COLO_PAGE_DATA)
                continue; /* gone since it was chosen */
            rc = colo__epoch_add_audit(
                epoch, a->gfns[i + j],
                colo__page_hash(a->pages + j * COLO_PAGE_SIZE), err);
            if (rc)
                return rc;
        }
    }
    return 0;
}
