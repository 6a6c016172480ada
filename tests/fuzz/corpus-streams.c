/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Seeds of fuzz-stream and fuzz-stream-xl, for make-corpus: small streams of
 * every kind.
 */
#include "fuzz.h"

#include "../../remus-compat/stream-back.h"
#include "../../remus-compat/stream-write.h"
#include "../../remus-compat/xl-header.h"
#include "../../xl-plugin/peer.h"

#include "corpus-streams.h"

static void mark(struct colo_stream_out *out, int layer, uint32_t type)
{
    colo__stream_out_record(out, layer, type, NULL, 0);
}

static void raw(struct colo_stream_out *out, int byte, size_t len)
{
    MUST(len <= out->cap - out->len);
    memset(out->buf + out->len, byte, len);
    out->len += len;
}

static void put_head(struct colo_stream_out *out, uint8_t guest)
{
    static const uint8_t policy[48];

    colo__stream_out_libxl_header(out);
    mark(out, COLO_STREAM_LIBXL, COLO_LIBXL_LIBXC_CONTEXT);
    colo__stream_out_libxc_header(out, guest, 4, 17);
    if (guest == COLO_STREAM_PV)
        colo__stream_out_pv_info(out, 4);
    colo__stream_out_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_CPUID_POLICY,
                            policy, sizeof(policy));
    colo__stream_out_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_MSR_POLICY,
                            policy, sizeof(policy));
    mark(out, COLO_STREAM_LIBXC, COLO_LIBXC_STATIC_DATA_END);
    if (guest == COLO_STREAM_PV)
        colo__stream_out_p2m_frames(out, 4, 1500, (uint64_t[]){ 17, 18 });
}

/* {type, instance, length}: header, CPU, end, as Xen has them */
static void put_context(struct colo_stream_out *out)
{
    uint8_t context[8 + 24 + 8 + 1032 + 8] = { 1, 0, 0, 0, 24 };

    context[32] = 2;
    context[36] = 1032 & 0xff;
    context[37] = 1032 >> 8;
    colo__stream_out_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_HVM_CONTEXT,
                            context, sizeof(context));
}

static void put_state(struct colo_stream_out *out, uint8_t guest)
{
    static const uint8_t bytes[COLO_PAGE_SIZE] = { 1, 2, 3 };
    unsigned odd = guest == COLO_STREAM_PV ? 0xa : COLO_PAGE_BROKEN;

    /* pages would be most of a seed: one, and frames without */
    colo__stream_out_pages(out, (uint64_t[]){
        colo__stream_entry(3, COLO_PAGE_NONE), colo__stream_entry(5, 0),
        colo__stream_entry(7, COLO_PAGE_ALLOC) }, 3);
    raw(out, 'p', COLO_PAGE_SIZE);
    colo__stream_out_pages(out, (uint64_t[]){ colo__stream_entry(9, odd) }, 1);
    if (guest == COLO_STREAM_PV)
        raw(out, 't', COLO_PAGE_SIZE);
    colo__stream_out_tsc(out, 1, 2400000, 77, 1);
    if (guest == COLO_STREAM_PV) {
        colo__stream_out_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_SHARED_INFO,
                                bytes, COLO_PAGE_SIZE);
        colo__stream_out_vcpu(out, COLO_LIBXC_PV_VCPU_BASIC, 0, bytes,
                              COLO_STREAM_VCPU_32);
        colo__stream_out_vcpu(out, COLO_LIBXC_PV_VCPU_MSRS, 0, bytes, 32);
        return;
    }
    put_context(out);
    colo__stream_out_params(out, (uint32_t[]){ 1, 17 },
                            (uint64_t[]){ 0xfeffc, 0xfefff }, 2);
}

static void put_round(struct colo_stream_out *out, uint8_t guest,
                      uint8_t mode)
{
    static const char data[] = "physmap/0/name\0vga.vram";
    bool plain = mode == COLO_STREAM_PLAIN;

    put_state(out, guest);
    mark(out, COLO_STREAM_LIBXC, plain ? COLO_LIBXC_END :
         COLO_LIBXC_CHECKPOINT);
    if (guest == COLO_STREAM_HVM) {
        colo__stream_out_store(out, data, sizeof(data));
        colo__stream_out_emulator(out, 61);
        raw(out, 'q', 61);
        memcpy(out->buf + out->len - 61, "QEVM", 4);
        raw(out, 0, colo__stream_pad(61));
    }
    mark(out, COLO_STREAM_LIBXL, plain ? COLO_LIBXL_END :
         COLO_LIBXL_CHECKPOINT_END);
    if (mode == COLO_STREAM_COLO)
        colo__stream_out_state(out, COLO_SVM_NEW);
}

static const struct {
    const char *name;
    uint8_t first; /* the byte for the mode */
    uint8_t guest, mode;
    int rounds;
} streams[] = {
    { "hvm-plain", 0, COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1 },
    { "hvm-remus", 1, COLO_STREAM_HVM, COLO_STREAM_REMUS, 2 },
    { "hvm-colo", 2, COLO_STREAM_HVM, COLO_STREAM_COLO, 2 },
    { "pv-plain", 0, COLO_STREAM_PV, COLO_STREAM_PLAIN, 1 },
    { "pv-remus", 1, COLO_STREAM_PV, COLO_STREAM_REMUS, 1 },
    { "pv-pieces", 1, COLO_STREAM_PV, COLO_STREAM_REMUS, 2 },
};

static size_t finish(const struct colo_stream_out *out)
{
    size_t len = 0;

    MUST(!colo__stream_out_end(out, &len, NULL));
    return len;
}

size_t corpus_stream(size_t n, uint8_t *buf, size_t cap,
                     const char **ret_name)
{
    struct colo_stream_out out;

    if (n >= COLO_ARRAY_LEN(streams))
        return 0;
    colo__stream_out_init(&out, buf, cap);
    raw(&out, streams[n].first, 1);
    raw(&out, 3, 1);
    put_head(&out, streams[n].guest);
    for (int i = 0; i < streams[n].rounds; i++)
        put_round(&out, streams[n].guest, streams[n].mode);
    *ret_name = streams[n].name;
    return finish(&out);
}

size_t corpus_stream_xl(size_t n, uint8_t *buf, size_t cap,
                        const char **ret_name)
{
    static const char config[] = "{ \"c_info\": { } }\n";
    static const uint64_t pfns[] = { 1, 77, 0xffff };
    struct colo_stream_out out;

    colo__stream_out_init(&out, buf, cap);
    switch (n) {
    case 0:
        *ret_name = "header";
        raw(&out, 0, 1 + COLO_XL_HEADER + 4);
        MUST(!colo__xl_put_header(buf + 1, sizeof(config), NULL));
        memcpy(buf + out.len, config, sizeof(config));
        out.len += sizeof(config);
        break;
    case 1:
        *ret_name = "back";
        raw(&out, 1, 1);
        for (int i = 0; i < 2; i++) {
            colo__stream_out_state(&out, COLO_SVM_READY);
            colo__stream_out_state(&out, COLO_SVM_RESUMED);
            colo__stream_out_state(&out, COLO_SVM_SUSPENDED);
            colo__stream_out_dirty(&out, pfns, COLO_ARRAY_LEN(pfns));
        }
        break;
    case 2:
        *ret_name = "banner";
        raw(&out, 2, 1);
        memcpy(buf + 1, COLO_XL_BANNER, COLO_XL_BANNER_LEN);
        out.len += COLO_XL_BANNER_LEN;
        break;
    case 3:
        *ret_name = "hello";
        raw(&out, 3, 1);
        memcpy(buf + 1, XL_HELLO "host-2\n", sizeof(XL_HELLO "host-2\n") - 1);
        out.len += sizeof(XL_HELLO "host-2\n") - 1;
        break;
    default:
        return 0;
    }
    return finish(&out);
}
