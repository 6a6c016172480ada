/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The guest's grant table, read from outside: which frames backends may
 * write or have mapped for writing.  Xen marks those dirty only when they are
 * unmapped, so hv-xen-dirty.c asks here.  The guest writes the table at any
 * time: each entry is read once.  Thread rule: hv.h's.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "grant-scan.h"
#include "hv-xen.h"

#define GRANT_V1_PER_FRAME (COLO_PAGE_SIZE / 8)
#define GRANT_V2_PER_FRAME (COLO_PAGE_SIZE / 16)
#define STATUS_PER_FRAME (COLO_PAGE_SIZE / 2)

void colo__hv_xen_grants_drop(struct colo_hv_xen *hv)
{
    struct colo_xen_grants *g = &hv->grants;

    if (g->shared)
        xenforeignmemory_unmap_resource(hv->fmem, g->shared);
    if (g->status)
        xenforeignmemory_unmap_resource(hv->fmem, g->status);
    *g = (struct colo_xen_grants){ 0 };
}

static int map_frames(struct colo_hv_xen *hv, unsigned id, uint32_t n,
                      xenforeignmemory_resource_handle **ret_handle,
                      void **ret_addr, struct colo_error *err)
{
    void *addr = NULL;

    *ret_handle = xenforeignmemory_map_resource(
        hv->fmem, (domid_t)hv->domid, XENMEM_resource_grant_table, id, 0, n,
        &addr, PROT_READ, 0);
    if (!*ret_handle)
        return colo__hv_xen_fail(hv, err, "map the grant table");
    *ret_addr = addr;
    return 0;
}

/* Asking for a frame beyond nr_frames would grow the guest's table: ask for
 * the number first, each time. */
static int grants_refresh(struct colo_hv_xen *hv, struct colo_error *err)
{
    struct gnttab_query_size query = { .dom = (domid_t)hv->domid };
    struct colo_xen_grants *g = &hv->grants;
    int version, rc;

    if (xc_gnttab_query_size(hv->xch, &query) || query.status != GNTST_okay)
        return colo__hv_xen_fail(hv, err, "ask the size of the grant table");
    version = xc_gnttab_get_version(hv->xch, hv->domid);
    if (version < 0)
        return colo__hv_xen_fail(hv, err, "ask the grant table's version");
    if (g->shared && g->nr_frames == query.nr_frames &&
        g->version == (uint32_t)version)
        return 0;
    colo__hv_xen_grants_drop(hv);
    if (!query.nr_frames || version == 0)
        return 0;
    rc = map_frames(hv, XENMEM_resource_grant_table_id_shared,
                    query.nr_frames, &g->shared, &g->shared_addr, err);
    if (!rc && version == 2) {
        uint32_t n = (query.nr_frames * GRANT_V2_PER_FRAME +
                      STATUS_PER_FRAME - 1) / STATUS_PER_FRAME;

        rc = map_frames(hv, XENMEM_resource_grant_table_id_status, n,
                        &g->status, &g->status_addr, err);
    }
    if (rc) {
        colo__hv_xen_grants_drop(hv);
        return rc;
    }
    g->nr_frames = query.nr_frames;
    g->version = (uint32_t)version;
    return 0;
}

int colo__hv_xen_grants_add(struct colo_hv_xen *hv, int which,
                            struct colo_bitmap *bm, struct colo_error *err)
{
    const struct colo_xen_grants *g = &hv->grants;
    int rc = grants_refresh(hv, err);

    if (rc || !g->shared)
        return rc;
    if (g->version == 2)
        colo__grant_scan_v2(g->shared_addr, g->status_addr,
                            (size_t)g->nr_frames * GRANT_V2_PER_FRAME, which,
                            bm);
    else
        colo__grant_scan_v1(g->shared_addr,
                            (size_t)g->nr_frames * GRANT_V1_PER_FRAME, which,
                            bm);
    return 0;
}
