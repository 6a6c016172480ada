/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Loading an epoch.
 */
#include "apply.h"

#include <stdlib.h>
#include <string.h>

#include "../pure/delta.h"

#define APPLY_BATCH 1024u
#define AUDIT_BATCH 64u

int colo__apply_init(struct colo_apply *a, struct colo_hv *hv,
                     const struct colo_epoch *epoch, struct colo_error *err)
{
    memset(a, 0, sizeof(*a));
    a->hv = hv;
    a->epoch = epoch;
    a->scratch = malloc((size_t)AUDIT_BATCH * COLO_PAGE_SIZE);
    if (!a->scratch)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "apply", "scratch");
    return 0;
}

void colo__apply_fini(struct colo_apply *a)
{
    free(a->scratch);
    a->scratch = NULL;
}

static size_t batch(uint64_t left, size_t max)
{
    return left < max ? (size_t)left : max;
}

static int audit(struct colo_apply *a, struct colo_error *err)
{
    const struct colo_hv_ops *ops = colo__hv_ops(a->hv);
    const struct colo_epoch *e = a->epoch;

    a->differ = 0;
    a->audited = e->audit_count;
    for (uint64_t i = 0; i < e->audit_count; i += AUDIT_BATCH) {
        size_t n = batch(e->audit_count - i, AUDIT_BATCH);
        uint8_t kinds[AUDIT_BATCH];
        int rc;

        rc = ops->read(a->hv, e->audit_gfns + i, n, a->scratch, kinds, err);
        if (rc)
            return rc;
        for (size_t j = 0; j < n; j++) {
            const uint8_t *page = a->scratch + j * COLO_PAGE_SIZE;

            if (kinds[j] == COLO_PAGE_SKIP ||
                (kinds[j] == COLO_PAGE_DATA &&
                 colo__page_hash(page) == e->audit_hashes[i + j]))
                continue;
            if (a->differ < COLO_WIRE_MAX_DIFFER)
                a->differ_gfns[a->differ++] = e->audit_gfns[i + j];
        }
    }
    return 0;
}

int colo__apply_job(void *arg, struct colo_error *err)
{
    struct colo_apply *a = arg;
    const struct colo_hv_ops *ops = colo__hv_ops(a->hv);
    const struct colo_epoch *e = a->epoch;
    int rc;

    if (ops->machine->load)
        return ops->machine->load(a->hv, e->state, e->state_len, err);
    for (uint64_t i = 0; i < e->gone_count; i += APPLY_BATCH) {
        rc = ops->write(a->hv, e->gone + i,
                        batch(e->gone_count - i, APPLY_BATCH), NULL, err);
        if (rc)
            return rc;
    }
    for (uint64_t i = 0; i < e->count; i += APPLY_BATCH) {
        rc = ops->write(a->hv, e->gfns + i, batch(e->count - i, APPLY_BATCH),
                        colo__epoch_page(e, i), err);
        if (rc)
            return rc;
    }
    return audit(a, err);
}
