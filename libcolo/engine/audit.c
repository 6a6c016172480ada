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
    free(a->hashes);
    a->pages = NULL;
    a->gfns = a->hashes = NULL;
}

static int reserve(struct colo_audit *a, uint64_t want, struct colo_error *err)
{
    uint64_t *gfns, *hashes;

    if (want <= a->cap)
        return 0;
    gfns = realloc(a->gfns, want * sizeof(*gfns));
    if (gfns)
        a->gfns = gfns;
    hashes = realloc(a->hashes, want * sizeof(*hashes));
    if (hashes)
        a->hashes = hashes;
    if (!gfns || !hashes)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "audit", "slice");
    a->cap = (uint32_t)want;
    return 0;
}

/* The next n frames from the cursor on. */
static int look_at(struct colo_audit *a, size_t n, struct colo_error *err)
{
    uint64_t batch[AUDIT_BATCH] = { 0 };
    int rc;

    for (size_t i = 0; i < n; i++)
        batch[i] = a->cursor + i;
    rc = colo__hv_ops(a->hv)->read(a->hv, batch, n, a->pages, a->kinds, err);
    if (rc)
        return rc;
    a->cursor += n;
    for (size_t i = 0; i < n; i++) {
        if (a->kinds[i] != COLO_PAGE_DATA)
            continue;
        a->gfns[a->count] = batch[i];
        a->hashes[a->count++] =
            colo__page_hash(a->pages + i * COLO_PAGE_SIZE);
    }
    return 0;
}

int colo__audit_prepare(struct colo_audit *a, uint64_t nr_gfns,
                        uint64_t tot_pages, struct colo_error *err)
{
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
        size_t n = AUDIT_BATCH;

        if (a->cursor >= nr_gfns) {
            a->cursor = 0;
            if (a->count) /* the order of a slice stays ascending */
                break;
        }
        if (nr_gfns - a->cursor < n)
            n = (size_t)(nr_gfns - a->cursor);
        rc = look_at(a, n, err);
        if (rc)
            return rc;
        looked += n;
    }
    return 0;
}

int colo__audit_take(const struct colo_audit *a,
                     const struct colo_bitmap *final,
                     const struct colo_bitmap *live, struct colo_epoch *epoch,
                     struct colo_error *err)
{
    for (uint32_t i = 0; i < a->count; i++) {
        uint64_t gfn = a->gfns[i];
        int rc;

        if (colo__bitmap_test(final, gfn) || colo__bitmap_test(live, gfn))
            continue;
        rc = colo__epoch_add_audit(epoch, gfn, a->hashes[i], err);
        if (rc)
            return rc;
    }
    return 0;
}
