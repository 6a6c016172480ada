/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of remus-compat's streams: whole streams as Xen would write
 * them, made with the writer, and reading them to their end.
 */
#ifndef STREAM_COMMON_H
#define STREAM_COMMON_H

#include <stdio.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../remus-compat/stream-read.h"
#include "../../remus-compat/stream-write.h"

#define STREAM_ROOM (256 * 1024)

struct stream {
    uint8_t bytes[STREAM_ROOM];
    size_t len;
    struct colo_stream_out out;
    /* where records began, for tests that damage one */
    size_t checkpoint, model;
    int round;
};

static inline void stream_begin(struct stream *s)
{
    memset(s, 0, sizeof(*s));
    colo__stream_out_init(&s->out, s->bytes, sizeof(s->bytes));
}

static inline void stream_end(struct stream *s)
{
    struct colo_error err;

    ck_assert_msg(!colo__stream_out_end(&s->out, &s->len, &err), "%s",
                  err.text);
}

/* a record of libxc with a body that has a pattern */
static inline void stream_blob(struct stream *s, int layer, uint32_t type,
                               uint32_t len)
{
    static uint8_t body[COLO_STREAM_VCPU_64];

    ck_assert_uint_le(len, sizeof(body));
    for (uint32_t i = 0; i < len; i++)
        body[i] = (uint8_t)(1 + i * 7);
    colo__stream_out_record(&s->out, layer, type, len ? body : NULL, len);
}

static inline void stream_mark(struct stream *s, int layer, uint32_t type)
{
    colo__stream_out_record(&s->out, layer, type, NULL, 0);
}

/* What the caller of the writer would send behind a head. */
static inline void stream_raw(struct stream *s, int byte, size_t len)
{
    ck_assert_uint_le(len, s->out.cap - s->out.len);
    memset(s->out.buf + s->out.len, byte, len);
    s->out.len += len;
}

static inline void stream_pages(struct stream *s, const uint64_t *entries,
                                uint32_t count)
{
    colo__stream_out_pages(&s->out, entries, count);
    for (uint32_t i = 0; i < count; i++) {
        if (colo__stream_has_data(colo__stream_page_type(entries[i])))
            stream_raw(s, 0x40 + s->round * 16 + (int)i, COLO_PAGE_SIZE);
    }
}

/* libxl's header to STATIC_DATA_END */
static inline void stream_head(struct stream *s, uint8_t guest)
{
    colo__stream_out_libxl_header(&s->out);
    stream_mark(s, COLO_STREAM_LIBXL, COLO_LIBXL_LIBXC_CONTEXT);
    colo__stream_out_libxc_header(&s->out, guest, 4, 17);
    if (guest == COLO_STREAM_PV)
        colo__stream_out_pv_info(&s->out, 8);
    stream_blob(s, COLO_STREAM_LIBXC, COLO_LIBXC_CPUID_POLICY,
                5 * COLO_STREAM_CPUID_LEAF);
    colo__stream_out_record(&s->out, COLO_STREAM_LIBXC, COLO_LIBXC_MSR_POLICY,
                            (uint8_t[2 * COLO_STREAM_MSR]){ 0 },
                            2 * COLO_STREAM_MSR);
    stream_mark(s, COLO_STREAM_LIBXC, COLO_LIBXC_STATIC_DATA_END);
    if (guest == COLO_STREAM_PV)
        colo__stream_out_p2m_frames(&s->out, 8, 1000,
                                    (uint64_t[]){ 17, 18 });
}

static inline void stream_hvm_state(struct stream *s)
{
    static const uint64_t entries[] = {
        0, 1, UINT64_C(0xf) << 60 | 2, 3, UINT64_C(0xe) << 60 | 4,
        0xfee00, UINT64_C(0xd) << 60 | 6,
    };
    static const uint32_t indices[] = { 1, 17, 12, 36, 33 };
    static const uint64_t values[] = { 0xfeffc, 0xfefff, 0xfeffe000, 0, 1 };

    stream_pages(s, entries, COLO_ARRAY_LEN(entries));
    colo__stream_out_tsc(&s->out, 2, 2400000, 123456789, 1);
    stream_blob(s, COLO_STREAM_LIBXC, COLO_LIBXC_HVM_CONTEXT, 4567);
    colo__stream_out_params(&s->out, indices, values,
                            COLO_ARRAY_LEN(indices));
}

static inline void stream_vcpu(struct stream *s, uint32_t type, uint32_t vcpu,
                               uint32_t len)
{
    static const uint8_t context[COLO_STREAM_VCPU_64] = { 1, 2, 3 };

    colo__stream_out_vcpu(&s->out, type, vcpu, context, len);
}

static inline void stream_pv_state(struct stream *s)
{
    static const uint64_t entries[] = {
        5, UINT64_C(1) << 60 | 6, UINT64_C(0xc) << 60 | 7,
        UINT64_C(0xf) << 60 | 8, 1000,
    };

    stream_pages(s, entries, COLO_ARRAY_LEN(entries));
    colo__stream_out_tsc(&s->out, 0, 2400000, 5, 0);
    stream_blob(s, COLO_STREAM_LIBXC, COLO_LIBXC_SHARED_INFO, COLO_PAGE_SIZE);
    for (uint32_t i = 0; i < 2; i++) {
        stream_vcpu(s, COLO_LIBXC_PV_VCPU_BASIC, i, COLO_STREAM_VCPU_64);
        stream_vcpu(s, COLO_LIBXC_PV_VCPU_EXTENDED, i, 128);
        stream_vcpu(s, COLO_LIBXC_PV_VCPU_XSAVE, i, 16 + 833);
        stream_vcpu(s, COLO_LIBXC_PV_VCPU_MSRS, i, 3 * COLO_STREAM_MSR);
    }
}

/* one checkpoint, or the rest of a plain stream; store: xenstore data, too */
static inline void stream_round(struct stream *s, uint8_t guest, uint8_t mode,
                                bool model, bool store)
{
    static const char data[] = "physmap/f0000000/start_addr\0f0000000\0"
                               "physmap/f0000000/size\0" "800000";
    bool plain = mode == COLO_STREAM_PLAIN;

    if (guest == COLO_STREAM_PV)
        stream_pv_state(s);
    else
        stream_hvm_state(s);
    s->checkpoint = s->out.len;
    stream_mark(s, COLO_STREAM_LIBXC, plain ? COLO_LIBXC_END :
                COLO_LIBXC_CHECKPOINT);
    s->model = s->out.len;
    if (model) {
        if (store)
            colo__stream_out_store(&s->out, data, sizeof(data));
        colo__stream_out_emulator(&s->out, 1234);
        stream_raw(s, 'Q', 1234);
        stream_raw(s, 0, colo__stream_pad(1234));
    }
    stream_mark(s, COLO_STREAM_LIBXL, plain ? COLO_LIBXL_END :
                COLO_LIBXL_CHECKPOINT_END);
    if (mode == COLO_STREAM_COLO)
        colo__stream_out_state(&s->out, COLO_SVM_NEW);
    s->round++;
}

/* a whole one; rounds: of a checkpointed one */
static inline void stream_make(struct stream *s, uint8_t guest, uint8_t mode,
                               int rounds)
{
    stream_begin(s);
    stream_head(s, guest);
    for (int i = 0; i < rounds; i++)
        stream_round(s, guest, mode, guest == COLO_STREAM_HVM, true);
    stream_end(s);
}

/* What was read: a line for each item, so that two runs can be compared. */
struct seen {
    char text[16384];
    size_t n;
    int items;
};

static inline void seen_add(struct seen *seen, const uint8_t *buf, int used,
                            const struct colo_stream_item *item)
{
    uint32_t sum = 0;

    if (item->kind == COLO_ITEM_SKIPPED)
        return; /* comes in any pieces */
    for (int i = 0; i < used; i++)
        sum = sum * 31 + buf[i];
    seen->n += (size_t)snprintf(
        seen->text + seen->n, sizeof(seen->text) - seen->n,
        "%d.%d %s %u/%d %#llx %08x\n", item->kind, item->layer,
        item->rule ? item->rule->name : "-", item->len, used,
        (unsigned long long)item->entry, sum);
    ck_assert_uint_lt(seen->n, sizeof(seen->text));
    seen->items++;
}

/* all of it, by waiting; false: the end came before */
static inline bool read_fully(int fd, uint8_t *buf, size_t len)
{
    while (len) {
        ssize_t n = read(fd, buf, len);

        if (n <= 0)
            return false;
        buf += n;
        len -= (size_t)n;
    }
    return true;
}

/* Reads bytes that arrive step at a time; the first error, or 0. */
static inline int stream_read_all(struct colo_stream_reader *reader,
                                  const uint8_t *bytes, size_t len,
                                  size_t step, struct seen *seen,
                                  struct colo_error *err)
{
    size_t pos = 0, have = 0;

    while (pos < len) {
        struct colo_stream_item item = { 0 };
        int used = colo__stream_read(reader, bytes + pos, have - pos, &item,
                                     err);

        if (used < 0)
            return used;
        ck_assert_uint_le(pos + (size_t)used, have);
        if (used && seen)
            seen_add(seen, bytes + pos, used, &item);
        pos += (size_t)used;
        if (!used) {
            if (have == len)
                return 0;
            have = have + step < len ? have + step : len;
        }
    }
    return 0;
}

#endif
