/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stream-write.h.
 */
#include <string.h>

#include "stream-write.h"

void colo__stream_out_init(struct colo_stream_out *out, uint8_t *buf,
                           size_t cap)
{
    memset(out, 0, sizeof(*out));
    out->buf = buf;
    out->cap = cap;
}

int colo__stream_out_end(const struct colo_stream_out *out, size_t *ret_len,
                         struct colo_error *err)
{
    if (out->rc) {
        if (err)
            *err = out->err;
        return out->rc;
    }
    *ret_len = out->len;
    return 0;
}

/* room for n more bytes, which are 0 then; NULL: there is none, or something
 * has failed before */
static uint8_t *take(struct colo_stream_out *out, size_t n)
{
    uint8_t *p;

    if (out->rc)
        return NULL;
    if (n > out->cap - out->len) {
        out->rc = colo__fail(&out->err, COLO_E_LIMIT, 0, "stream",
                             "%zu bytes do not fit in the %zu that are left",
                             n, out->cap - out->len);
        return NULL;
    }
    p = out->buf + out->len;
    memset(p, 0, n);
    out->len += n;
    return p;
}

static void wrong(struct colo_stream_out *out, const char *what,
                  unsigned long long which)
{
    if (!out->rc)
        out->rc = colo__fail(&out->err, COLO_E_INVAL, 0, "stream",
                             "%s %#llx cannot be sent", what, which);
}

void colo__stream_out_libxl_header(struct colo_stream_out *out)
{
    uint8_t *p = take(out, COLO_LIBXL_HEADER);

    if (!p)
        return;
    memcpy(p, "LibxlFmt", 8);
    colo__put_be(p + 8, 2, 4);
}

void colo__stream_out_libxc_header(struct colo_stream_out *out, uint8_t guest,
                                   uint16_t xen_major, uint16_t xen_minor)
{
    uint8_t *p;

    if (guest != COLO_STREAM_PV && guest != COLO_STREAM_HVM)
        wrong(out, "a guest of type", guest);
    p = take(out, COLO_LIBXC_HEADER);
    if (!p)
        return;
    memset(p, 0xff, 8);
    memcpy(p + 8, "XENF", 4);
    colo__put_be(p + 12, 3, 4);
    colo__put_le(p + 24, guest, 4);
    colo__put_le(p + 28, COLO_PAGE_SHIFT, 2);
    colo__put_le(p + 32, xen_major, 4);
    colo__put_le(p + 36, xen_minor, 4);
}

/* The length is one that the reader would take. */
void colo__stream_out_head(struct colo_stream_out *out, int layer,
                           uint32_t type, uint32_t len)
{
    const struct colo_stream_rule *rule = colo__stream_rule(layer, type);
    uint8_t *p;

    if (!rule)
        wrong(out, "record", type);
    else if (!out->rc)
        out->rc = colo__stream_check_len(rule, len, &out->err);
    p = take(out, COLO_STREAM_HEAD);
    if (!p)
        return;
    colo__put_le(p, type, 4);
    colo__put_le(p + 4, len, 4);
}

/* the head, and room for the whole body; NULL: none */
static uint8_t *take_record(struct colo_stream_out *out, int layer,
                            uint32_t type, uint32_t len)
{
    colo__stream_out_head(out, layer, type, len);
    return take(out, (size_t)len + colo__stream_pad(len));
}

void colo__stream_out_record(struct colo_stream_out *out, int layer,
                             uint32_t type, const void *body, uint32_t len)
{
    uint8_t *p = take_record(out, layer, type, len);

    if (p && len)
        memcpy(p, body, len);
}

void colo__stream_out_pages(struct colo_stream_out *out,
                            const uint64_t *entries, uint32_t count)
{
    uint32_t data = 0;
    uint8_t *p;

    if (!count || count > COLO_STREAM_MAX_PFNS) {
        wrong(out, "a number of frames of", count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        unsigned type = colo__stream_page_type(entries[i]);

        if (!colo__stream_type_known(type) || entries[i] >> 52 & 0xff)
            wrong(out, "frame", entries[i]);
        data += colo__stream_has_data(type);
    }
    colo__stream_out_head(out, COLO_STREAM_LIBXC, COLO_LIBXC_PAGE_DATA,
                          8 + 8 * count + data * COLO_PAGE_SIZE);
    p = take(out, 8 + 8 * (size_t)count);
    if (!p)
        return;
    colo__put_le(p, count, 4);
    for (uint32_t i = 0; i < count; i++)
        colo__put_le(p + 8 + 8 * i, entries[i], 8);
}

void colo__stream_out_tsc(struct colo_stream_out *out, uint32_t mode,
                          uint32_t khz, uint64_t nsec, uint32_t incarnation)
{
    uint8_t *p = take_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_TSC_INFO, 24);

    if (!p)
        return;
    colo__put_le(p, mode, 4);
    colo__put_le(p + 4, khz, 4);
    colo__put_le(p + 8, nsec, 8);
    colo__put_le(p + 16, incarnation, 4);
}

void colo__stream_out_params(struct colo_stream_out *out,
                             const uint32_t *indices, const uint64_t *values,
                             uint32_t count)
{
    uint32_t n = 0;
    uint8_t *p;

    for (uint32_t i = 0; i < count; i++) {
        if (!colo__stream_param_travels(indices[i]))
            wrong(out, "HVM parameter", indices[i]);
        n += values[i] != 0;
    }
    if (!n)
        return;
    if (n > COLO_STREAM_MAX_PARAMS) {
        wrong(out, "a number of parameters of", n);
        return;
    }
    p = take_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_HVM_PARAMS, 8 + 16 * n);
    if (!p)
        return;
    colo__put_le(p, n, 4);
    p += 8;
    for (uint32_t i = 0; i < count; i++) {
        if (!values[i])
            continue;
        colo__put_le(p, indices[i], 8);
        colo__put_le(p + 8, values[i], 8);
        p += 16;
    }
}

/* {device model, its number} */
static void put_emulator(struct colo_stream_out *out)
{
    uint8_t *p = take(out, COLO_STREAM_EMULATOR);

    if (p)
        colo__put_le(p, COLO_EMULATOR_QEMU, 4);
}

void colo__stream_out_emulator(struct colo_stream_out *out, uint32_t len)
{
    if (len > COLO_STREAM_MAX_BLOB) {
        wrong(out, "a device model's state of", len);
        return;
    }
    colo__stream_out_head(out, COLO_STREAM_LIBXL, COLO_LIBXL_EMULATOR_CONTEXT,
                          COLO_STREAM_EMULATOR + len);
    put_emulator(out);
}

void colo__stream_out_store_head(struct colo_stream_out *out,
                                 const char *data, uint32_t len)
{
    if (!len || len > COLO_STREAM_MAX_BLOB || data[len - 1]) {
        wrong(out, "xenstore data of", len);
        return;
    }
    colo__stream_out_head(out, COLO_STREAM_LIBXL,
                          COLO_LIBXL_EMULATOR_XENSTORE_DATA,
                          COLO_STREAM_EMULATOR + len);
    put_emulator(out);
}

void colo__stream_out_store(struct colo_stream_out *out, const char *data,
                            uint32_t len)
{
    uint8_t *p;

    if (!len)
        return;
    colo__stream_out_store_head(out, data, len);
    p = take(out, (size_t)len + colo__stream_pad(len));
    if (p)
        memcpy(p, data, len);
}

void colo__stream_out_pv_info(struct colo_stream_out *out, uint8_t width)
{
    uint8_t *p;

    if (width != 8 && width != 4)
        wrong(out, "a guest whose words have bytes", width);
    p = take_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_PV_INFO, 8);
    if (!p)
        return;
    p[0] = width;
    p[1] = width == 8 ? 4 : 3; /* levels of page tables */
}

void colo__stream_out_p2m_frames(struct colo_stream_out *out, uint8_t width,
                                 uint32_t last_pfn, const uint64_t *frames)
{
    uint32_t n;
    uint8_t *p;

    if (width != 8 && width != 4) {
        wrong(out, "a guest whose words have bytes", width);
        return;
    }
    n = last_pfn / (COLO_PAGE_SIZE / width) + 1;
    p = take_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_PV_P2M_FRAMES,
                    8 + 8 * n);
    if (!p)
        return;
    colo__put_le(p + 4, last_pfn, 4);
    for (uint32_t i = 0; i < n; i++)
        colo__put_le(p + 8 + 8 * i, frames[i], 8);
}

void colo__stream_out_vcpu(struct colo_stream_out *out, uint32_t type,
                           uint32_t vcpu, const void *context, uint32_t len)
{
    uint8_t *p;

    if ((type < COLO_LIBXC_PV_VCPU_BASIC || type > COLO_LIBXC_PV_VCPU_XSAVE) &&
        type != COLO_LIBXC_PV_VCPU_MSRS)
        wrong(out, "a CPU's record", type);
    if (!len || len > COLO_STREAM_MAX_BLOB) {
        wrong(out, "a CPU's state of", len);
        return;
    }
    p = take_record(out, COLO_STREAM_LIBXC, type, 8 + len);
    if (!p)
        return;
    colo__put_le(p, vcpu, 4);
    memcpy(p + 8, context, len);
}

void colo__stream_out_state(struct colo_stream_out *out, uint32_t state)
{
    uint8_t *p;

    if (state > COLO_SVM_RESUMED)
        wrong(out, "a state of", state);
    p = take_record(out, COLO_STREAM_LIBXL, COLO_LIBXL_CHECKPOINT_STATE, 4);
    if (p)
        colo__put_le(p, state, 4);
}
