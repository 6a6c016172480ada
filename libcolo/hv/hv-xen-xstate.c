/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The wide registers (AVX and later) of vCPU 0 across a resume.  Setting a
 * vCPU's context, which is how a 1 gets into its rax, makes Xen forget what is
 * not x87 or SSE; Linux trusts the registers of the last task to be there
 * still.  So: keep and put back.  Called by hv-xen-stop.c, and by a helper that
 * has another program resume the guest (watchdog.h).
 */
#include <stdlib.h>

#include "hv-xen.h"
#include "watchdog.h"

#define XSTATE_LEGACY 3u /* x87 and SSE: in the CPU context anyway */

void colo__hv_xen_xstate_prepare(struct colo_hv_xen *hv)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_getvcpuextstate,
        .domain = (domid_t)hv->domid,
    };
    struct colo_xen_stop *s = &hv->stop;

    if (s->xstate || colo__hv_xen_domctl(hv, &op) < 0)
        return;
    if (!(op.u.vcpuextstate.xfeature_mask & ~(uint64_t)XSTATE_LEGACY) ||
        !op.u.vcpuextstate.size || op.u.vcpuextstate.size > 1 << 20)
        return;
    s->xstate_pages = (op.u.vcpuextstate.size + COLO_PAGE_SIZE - 1) /
                      COLO_PAGE_SIZE;
    s->xstate = xencall_alloc_buffer_pages(hv->xcall, s->xstate_pages);
    s->xstate_mask = op.u.vcpuextstate.xfeature_mask;
}

int colo__hv_xen_xstate_get(struct colo_hv_xen *hv)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_getvcpuextstate,
        .domain = (domid_t)hv->domid,
    };
    struct colo_xen_stop *s = &hv->stop;

    op.u.vcpuextstate.xfeature_mask = s->xstate_mask;
    op.u.vcpuextstate.size = s->xstate_pages * COLO_PAGE_SIZE;
    set_xen_guest_handle_raw(op.u.vcpuextstate.buffer,
                             (uint64_t *)s->xstate);
    if (colo__hv_xen_domctl(hv, &op) < 0)
        return -1;
    s->xstate_size = op.u.vcpuextstate.size;
    return 0;
}

int colo__hv_xen_xstate_set(struct colo_hv_xen *hv)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_setvcpuextstate,
        .domain = (domid_t)hv->domid,
    };
    struct colo_xen_stop *s = &hv->stop;

    op.u.vcpuextstate.xfeature_mask = s->xstate_mask;
    op.u.vcpuextstate.size = s->xstate_size;
    set_xen_guest_handle_raw(op.u.vcpuextstate.buffer,
                             (uint64_t *)s->xstate);
    return colo__hv_xen_domctl(hv, &op);
}

void colo__hv_xen_xstate_close(struct colo_hv_xen *hv)
{
    struct colo_xen_stop *s = &hv->stop;

    if (s->xstate)
        xencall_free_buffer_pages(hv->xcall, s->xstate, s->xstate_pages);
    s->xstate = NULL;
}

/* ---- around somebody else's resume ---- */

void colo__hv_xen_wide_close(struct colo_hv_xen *hv)
{
    if (!hv)
        return;
    colo__hv_xen_xstate_close(hv);
    if (hv->domctl)
        xencall_free_buffer(hv->xcall, hv->domctl);
    if (hv->xcall)
        xencall_close(hv->xcall);
    free(hv);
}

/* A handle that can do nothing but this: no watch, no event channel. */
bool colo__hv_xen_wide_get(uint32_t domid, struct colo_hv_xen **ret_wide)
{
    struct colo_hv_xen *hv = calloc(1, sizeof(*hv));
    bool got = false;

    *ret_wide = NULL;
    if (!hv)
        return false;
    hv->domid = domid;
    hv->xcall = xencall_open(NULL, 0);
    if (hv->xcall)
        hv->domctl = xencall_alloc_buffer(hv->xcall, sizeof(*hv->domctl));
    if (!hv->domctl)
        goto out;
    colo__hv_xen_xstate_prepare(hv);
    got = !hv->stop.xstate || !colo__hv_xen_xstate_get(hv);
out:
    if (got && hv->stop.xstate)
        *ret_wide = hv;
    else
        colo__hv_xen_wide_close(hv);
    return got;
}

bool colo__hv_xen_wide_set(struct colo_hv_xen *hv)
{
    return !hv || !colo__hv_xen_xstate_set(hv);
}
