/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See hvmctx.h.  Called by hv-xen-machine.c on both sides, seed-trim.c
 * and remus-compat.
 * Source: xen/include/public/arch-x86/hvm/save.h of 4.17 to 4.20.
 */
#include <string.h>

#include "../bytes.h"
#include "hvmctx.h"

#define CTX_VERSION 1u
#define CTX_VERSION_DEVICES 2u
#define DESCRIPTOR 8u
#define MAX_VCPUS 128u

#define REC_END 0u
#define REC_HEADER 1u
#define REC_CPU 2u

static const uint8_t ctx_magic[4] = { 'C', 'L', 'H', 'C' };
static const uint8_t devices_magic[4] = { 'Q', 'E', 'V', 'M' };

/* HVM parameters that a guest can change while it runs; the rest was set when
 * the replica was made. */
static const uint32_t param_allowed[COLO_HVMCTX_MAX_PARAMS] = {
    19, /* ACPI_IOPORTS_LOCATION */
    34, /* VM_GENERATION_ID_ADDR */
    36, /* X87_FIP_WIDTH */
    37, /* VM86_TSS_SIZED */
};

/* What Xen writes.  Where a record has grown, min is the old length. */
static const struct {
    uint16_t type;
    bool per_vcpu;
    uint32_t min, max, step; /* step 0: min or max and nothing between */
} records[] = {
    { REC_END, false, 0, 0, 0 },
    { REC_HEADER, false, 24, 24, 0 },
    { REC_CPU, true, 1032, 1032, 0 },
    { 3, true, 8, 8, 0 },                /* PIC: two of them */
    { 4, false, 400, 400, 0 },           /* IOAPIC */
    { COLO_HVMCTX_LAPIC, true, COLO_HVMCTX_LAPIC_OLD, COLO_HVMCTX_LAPIC_NEW,
      0 },
    { 6, true, 1024, 1024, 0 },          /* LAPIC_REGS */
    { 7, false, 16, 16, 0 },             /* PCI_IRQ */
    { 8, false, 8, 8, 0 },               /* ISA_IRQ */
    { 9, false, 8, 8, 0 },               /* PCI_LINK */
    { 10, false, 56, 56, 0 },            /* PIT */
    { 11, false, 24, 24, 0 },            /* RTC */
    { 12, false, 1048, 1048, 0 },        /* HPET */
    { 13, false, 8, 8, 0 },              /* PMTIMER */
    { 14, true, 240, 240, 0 },           /* MTRR */
    { 15, false, 32, 32, 0 },            /* VIRIDIAN_DOMAIN */
    { 16, true, 24 + 576, 24 + 16384, 1 }, /* XSAVE: by CPU features */
    { 17, true, 216, 216, 0 },           /* VIRIDIAN_VCPU */
    { 18, true, 32, 32, 0 },             /* VMCE_VCPU */
    { 19, true, 8, 8, 0 },               /* TSC_ADJUST */
    { 20, true, 8, 8 + 16 * 64, 16 },    /* MSR: a list */
};

void colo__hvmctx_put_header(uint8_t *buf, uint32_t xen_version,
                             const struct colo_hvmctx_param *params,
                             uint32_t nr_params, uint32_t context_len)
{
    memcpy(buf, ctx_magic, sizeof(ctx_magic));
    colo__put_le(buf + 4, CTX_VERSION, 2);
    colo__put_le(buf + 6, nr_params, 2);
    colo__put_le(buf + 8, xen_version, 4);
    colo__put_le(buf + 12, context_len, 4);
    for (uint32_t i = 0; i < nr_params; i++) {
        uint8_t *p = buf + COLO_HVMCTX_HEADER + i * COLO_HVMCTX_PARAM;

        colo__put_le(p, params[i].index, 4);
        colo__put_le(p + 4, 0, 4);
        colo__put_le(p + 8, params[i].value, 8);
    }
}

void colo__hvmctx_put_devices(uint8_t *buf, uint8_t *at,
                              uint32_t devices_len)
{
    colo__put_le(buf + 4, CTX_VERSION_DEVICES, 2);
    colo__put_le(at, devices_len, 4);
    colo__put_le(at + 4, 0, 4);
}

static int check_size(uint16_t type, uint16_t instance, uint32_t len,
                      struct colo_error *err)
{
    for (size_t i = 0; i < COLO_ARRAY_LEN(records); i++) {
        bool ok;

        if (records[i].type != type)
            continue;
        ok = len == records[i].min || len == records[i].max ||
             (records[i].step && len > records[i].min &&
              len < records[i].max &&
              (len - records[i].min) % records[i].step == 0);
        if (!ok)
            return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hvmctx",
                              "record %u has the unknown length %u",
                              type, len);
        if (instance >= (records[i].per_vcpu ? MAX_VCPUS : 1))
            return colo__fail(err, COLO_E_CORRUPT, 0, "hvmctx",
                              "record %u has the number %u", type, instance);
        return 0;
    }
    return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hvmctx",
                      "record %u is unknown to this build", type);
}

/* HEADER first, END last and at the end, at least one CPU, known sizes. */
static int walk(const uint8_t *ctx, uint32_t len, uint32_t *ret_cpus,
                struct colo_error *err)
{
    uint32_t pos = 0, cpus = 0;

    for (;;) {
        uint16_t type, instance;
        uint32_t body;
        int rc;

        if (len - pos < DESCRIPTOR)
            break;
        type = colo__le16(ctx + pos);
        instance = colo__le16(ctx + pos + 2);
        body = colo__le32(ctx + pos + 4);
        if ((type == REC_HEADER) != (pos == 0))
            break;
        pos += DESCRIPTOR;
        if (body > len - pos)
            break;
        rc = check_size(type, instance, body, err);
        if (rc)
            return rc;
        pos += body;
        cpus += type == REC_CPU;
        if (type != REC_END)
            continue;
        if (pos != len || !cpus)
            break;
        *ret_cpus = cpus;
        return 0;
    }
    return colo__fail(err, COLO_E_CORRUPT, 0, "hvmctx",
                      "the machine state is not well formed (byte %u of %u)",
                      pos, len);
}

static int parse_params(const uint8_t *buf, struct colo_hvmctx *ctx,
                        struct colo_error *err)
{
    for (uint32_t i = 0; i < ctx->nr_params; i++) {
        const uint8_t *p = buf + COLO_HVMCTX_HEADER + i * COLO_HVMCTX_PARAM;
        bool known = false;

        ctx->params[i].index = colo__le32(p);
        ctx->params[i].value = colo__le64(p + 8);
        for (size_t k = 0; k < COLO_ARRAY_LEN(param_allowed); k++)
            known |= param_allowed[k] == ctx->params[i].index;
        if (!known || colo__le32(p + 4))
            return colo__fail(err, COLO_E_CORRUPT, 0, "hvmctx",
                              "parameter %u may not travel",
                              ctx->params[i].index);
    }
    return 0;
}

/* rest: behind the context, so many bytes */
static int parse_devices(const uint8_t *rest, uint32_t len,
                         struct colo_hvmctx *ctx, struct colo_error *err)
{
    if (len < COLO_HVMCTX_DEVICES + sizeof(devices_magic) ||
        colo__le32(rest) != len - COLO_HVMCTX_DEVICES || colo__le32(rest + 4) ||
        memcmp(rest + COLO_HVMCTX_DEVICES, devices_magic,
               sizeof(devices_magic)))
        return colo__fail(err, COLO_E_CORRUPT, 0, "hvmctx",
                          "the state of the devices is not well formed");
    ctx->devices = rest + COLO_HVMCTX_DEVICES;
    ctx->devices_len = len - COLO_HVMCTX_DEVICES;
    return 0;
}

int colo__hvmctx_parse(const uint8_t *buf, uint32_t len,
                       struct colo_hvmctx *ret, struct colo_error *err)
{
    struct colo_hvmctx ctx = { 0 };
    uint32_t room, version;
    int rc;

    if (len < COLO_HVMCTX_HEADER || len > COLO_HVMCTX_MAX ||
        memcmp(buf, ctx_magic, sizeof(ctx_magic)))
        return colo__fail(err, COLO_E_CORRUPT, 0, "hvmctx",
                          "this is not a machine state");
    version = colo__le16(buf + 4);
    if (version != CTX_VERSION && version != CTX_VERSION_DEVICES)
        return colo__fail(err, COLO_E_VERSION, 0, "hvmctx",
                          "machine state of version %u, this build knows %u "
                          "and %u", version, CTX_VERSION,
                          CTX_VERSION_DEVICES);
    ctx.nr_params = colo__le16(buf + 6);
    ctx.xen_version = colo__le32(buf + 8);
    ctx.context_len = colo__le32(buf + 12);
    room = colo__hvmctx_room(ctx.nr_params);
    if (ctx.nr_params > COLO_HVMCTX_MAX_PARAMS || room > len ||
        ctx.context_len > len - room ||
        (version == CTX_VERSION && ctx.context_len != len - room))
        return colo__fail(err, COLO_E_CORRUPT, 0, "hvmctx",
                          "the machine state has a wrong length");
    rc = parse_params(buf, &ctx, err);
    if (rc)
        return rc;
    ctx.context = buf + room;
    if (version == CTX_VERSION_DEVICES) {
        rc = parse_devices(ctx.context + ctx.context_len,
                           len - room - ctx.context_len, &ctx, err);
        if (rc)
            return rc;
    }
    rc = walk(ctx.context, ctx.context_len, &ctx.nr_vcpus, err);
    if (!rc)
        *ret = ctx;
    return rc;
}

int colo__hvmctx_record_len(const uint8_t *context, uint32_t len,
                            uint16_t type)
{
    uint32_t pos = 0;

    while (len - pos >= DESCRIPTOR) {
        uint16_t t = colo__le16(context + pos);
        uint32_t body = colo__le32(context + pos + 4);

        pos += DESCRIPTOR;
        if (body > len - pos)
            break;
        if (t == type)
            return (int)body;
        if (t == REC_END)
            break;
        pos += body;
    }
    return -1;
}

uint32_t colo__hvmctx_trim_lapic(uint8_t *context, uint32_t len,
                                 uint32_t lapic_len)
{
    uint32_t from = 0, to = 0;

    while (len - from >= DESCRIPTOR) {
        uint16_t t = colo__le16(context + from);
        uint32_t body = colo__le32(context + from + 4), keep;

        if (body > len - from - DESCRIPTOR)
            break;
        keep = t == COLO_HVMCTX_LAPIC && body > lapic_len ? lapic_len : body;
        memmove(context + to, context + from, DESCRIPTOR + keep);
        colo__put_le(context + to + 4, keep, 4);
        from += DESCRIPTOR + body;
        to += DESCRIPTOR + keep;
    }
    return to;
}

uint32_t colo__hvmctx_shorten(uint8_t *buf, uint32_t len)
{
    uint8_t *context = buf + colo__hvmctx_room(colo__le16(buf + 6));
    uint32_t old = colo__le32(buf + 12);
    uint32_t n = colo__hvmctx_trim_lapic(context, old, COLO_HVMCTX_LAPIC_OLD);

    memmove(context + n, context + old, (size_t)(buf + len - context - old));
    colo__put_le(buf + 12, n, 4);
    return len - (old - n);
}
