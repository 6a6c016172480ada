/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The machine state besides memory: Xen's HVM context and the few HVM
 * parameters that a guest changes while it runs, and the state of an HVM
 * guest's devices, in the container of hvmctx.h.  Taken before the resume, so
 * the suspend call in it still returns 0 ("you have been moved").
 * Thread rule: hv.h's.
 */
#include <stdlib.h>
#include <string.h>

#include "hv-xen.h"
#include "../pure/hvmctx.h"

static const uint32_t live_params[COLO_HVMCTX_MAX_PARAMS] = {
    HVM_PARAM_ACPI_IOPORTS_LOCATION,
    HVM_PARAM_VM_GENERATION_ID_ADDR,
    HVM_PARAM_X87_FIP_WIDTH,
    HVM_PARAM_VM86_TSS_SIZED,
};

static uint32_t get_params(struct colo_hv_xen *hv,
                           struct colo_hvmctx_param *params)
{
    uint32_t n = 0;

    for (size_t i = 0; i < COLO_ARRAY_LEN(live_params); i++) {
        uint64_t value = 0;

        /* not every guest has each of them */
        if (xc_hvm_param_get(hv->xch, hv->domid, live_params[i], &value) < 0)
            continue;
        params[n].index = live_params[i];
        params[n++].value = value;
    }
    return n;
}

/* The most it takes, of the configuration: asked once, and again if refused.
 * What is got may be less: of the wide registers only those in use. */
static int ask_size(struct colo_hv_xen *hv, struct colo_error *err)
{
    int r = xc_domain_hvm_getcontext(hv->xch, hv->domid, NULL, 0);

    if (r <= 0)
        return colo__hv_xen_fail(hv, err, "ask the size of the context");
    if ((uint32_t)r > COLO_HVMCTX_MAX / 2)
        return colo__fail(err, COLO_E_LIMIT, 0, "hv-xen",
                          "a context of %d bytes is too much", r);
    hv->context_size = (uint32_t)r;
    return 0;
}

static int get_all(struct colo_hv_xen *hv, uint8_t *buf, uint32_t cap,
                   uint32_t *ret_len, struct colo_error *err)
{
    struct colo_hvmctx_param params[COLO_HVMCTX_MAX_PARAMS];
    uint32_t n, room, behind, at, len = 0;
    int r, rc;

    if (!hv->has_domain)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen", "no domain");
    if (!hv->context_size) {
        rc = ask_size(hv, err);
        if (rc)
            return rc;
    }
    n = get_params(hv, params);
    room = colo__hvmctx_room(n);
    behind = colo__hv_xen_devices_room(hv);
    if (behind)
        behind += COLO_HVMCTX_DEVICES;
    if (cap < room + hv->context_size + behind) {
        *ret_len = room + hv->context_size + behind;
        return colo__fail(err, COLO_E_LIMIT, 0, "hv-xen",
                          "the machine state takes %u bytes", *ret_len);
    }
    r = xc_domain_hvm_getcontext(hv->xch, hv->domid, buf + room,
                                 hv->context_size);
    if (r <= 0 || (uint32_t)r > hv->context_size) {
        hv->context_size = 0;
        return colo__hv_xen_fail(hv, err, "get the context");
    }
    colo__hvmctx_put_header(buf, hv->xen_version, params, n, (uint32_t)r);
    *ret_len = at = room + (uint32_t)r;
    if (!behind)
        return 0;
    at += COLO_HVMCTX_DEVICES;
    rc = colo__hv_xen_devices_get(hv, buf + at, cap - at, &len, err);
    *ret_len = at + len;
    /* asked for again, it may be as long as Xen says */
    if (rc == COLO_E_LIMIT)
        *ret_len += hv->context_size - (uint32_t)r;
    if (!rc)
        colo__hvmctx_put_devices(buf, buf + at - COLO_HVMCTX_DEVICES, len);
    return rc;
}

/* The state is what is read last at a checkpoint.  Anybody with root's rights
 * can let the guest go on (xl does so after a save that has failed): then the
 * memory that was read before may be of no moment at all. */
static int machine_get(struct colo_hv *chv, uint8_t *buf, uint32_t cap,
                       uint32_t *ret_len, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    xc_domaininfo_t info;
    int rc = get_all(hv, buf, cap, ret_len, err);

    if (!rc)
        rc = colo__hv_xen_getinfo(hv, &info, err);
    if (rc || colo__hv_xen_is_suspended(&info))
        return rc;
    return colo__fail(err, COLO_E_GUEST, 0, "hv-xen", "somebody has resumed "
                      "domain %u while its memory was copied", hv->domid);
}

/* a device model on both sides or on none */
static int devices_fit(const struct colo_hv_xen *hv,
                       const struct colo_hvmctx *ctx, struct colo_error *err)
{
    if (!hv->has_domain || hv->devices.has_model == (ctx->devices_len > 0))
        return 0;
    return colo__fail(err, COLO_E_CORRUPT, 0, "hv-xen",
                      "the machine state has %u bytes of devices, and the "
                      "replica %s", ctx->devices_len, hv->devices.has_model ?
                      "a device model" : "none");
}

static int machine_check(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                         struct colo_error *err)
{
    struct colo_hvmctx ctx;

    int rc = colo__hvmctx_parse(buf, len, &ctx, err);

    return rc ? rc : devices_fit(colo__hv_xen(hv), &ctx, err);
}

static int scratch(struct colo_hv_xen *hv, uint32_t len,
                   struct colo_error *err)
{
    uint8_t *p;

    if (len <= hv->context_cap)
        return 0;
    p = realloc(hv->context, len);
    if (!p)
        return colo__fail(err, COLO_E_NOMEM, 0, "hv-xen",
                          "no memory for a context of %u bytes", len);
    hv->context = p;
    hv->context_cap = len;
    return 0;
}

/* An older Xen refuses a LAPIC record that has grown; a newer one fills up
 * a short record itself.  What this Xen wants is seen in its own context. */
static int lapic_wanted(struct colo_hv_xen *hv, uint32_t *ret_len,
                        struct colo_error *err)
{
    int r, rc;

    if (hv->replica.lapic) {
        *ret_len = hv->replica.lapic;
        return 0;
    }
    rc = ask_size(hv, err);
    if (!rc)
        rc = scratch(hv, hv->context_size, err);
    if (rc)
        return rc;
    r = xc_domain_hvm_getcontext(hv->xch, hv->domid, hv->context,
                                 hv->context_size);
    if (r <= 0)
        return colo__hv_xen_fail(hv, err, "get the replica's context");
    r = colo__hvmctx_record_len(hv->context, (uint32_t)r, COLO_HVMCTX_LAPIC);
    if (r < 0)
        return colo__fail(err, COLO_E_HV, 0, "hv-xen",
                          "the replica has no LAPIC");
    *ret_len = hv->replica.lapic = (uint32_t)r;
    return 0;
}

static int set_params(struct colo_hv_xen *hv, const struct colo_hvmctx *ctx,
                      struct colo_error *err)
{
    for (uint32_t i = 0; i < ctx->nr_params; i++) {
        const struct colo_hvmctx_param *p = &ctx->params[i];
        uint64_t now = 0;

        if (!xc_hvm_param_get(hv->xch, hv->domid, p->index, &now) &&
            now == p->value)
            continue;
        /* "not set" cannot always be written back, and need not be */
        if (!p->value)
            continue;
        if (xc_hvm_param_set(hv->xch, hv->domid, p->index, p->value) < 0)
            return colo__hv_xen_fail(hv, err, "set an HVM parameter");
    }
    return 0;
}

static int machine_set(struct colo_hv *chv, const uint8_t *buf, uint32_t len,
                       struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    uint32_t lapic = 0, n;
    struct colo_hvmctx ctx;
    int rc;

    if (!hv->has_domain || !hv->is_secondary)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                          "there is no replica");
    rc = colo__hvmctx_parse(buf, len, &ctx, err);
    if (!rc)
        rc = devices_fit(hv, &ctx, err);
    if (!rc)
        rc = lapic_wanted(hv, &lapic, err);
    if (!rc)
        rc = scratch(hv, ctx.context_len, err);
    if (!rc)
        rc = set_params(hv, &ctx, err);
    /* Before Xen's: the device model is reset first, and moves interrupt
     * lines and video memory while it loads. */
    if (!rc)
        rc = colo__hv_xen_devices_set(hv, ctx.devices, ctx.devices_len, err);
    if (rc)
        return rc;
    memcpy(hv->context, ctx.context, ctx.context_len);
    n = colo__hvmctx_trim_lapic(hv->context, ctx.context_len, lapic);
    if (xc_domain_hvm_setcontext(hv->xch, hv->domid, hv->context, n) < 0)
        return colo__hv_xen_fail(hv, err, "load the machine state");
    return 0;
}

const struct colo_machine_ops colo__hv_xen_machine_ops = {
    .get = machine_get,
    .check = machine_check,
    .set = machine_set,
    .set_beat = colo__hv_xen_devices_set_beat,
};
