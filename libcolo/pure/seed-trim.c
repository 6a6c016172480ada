/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See seed-trim.h.  Lengths stand before what they are of, and are passed on
 * before it is seen; so no record becomes shorter but the APIC's, and the
 * context keeps its length: Xen reads it up to its end record, and no further.
 *
 * Source of the formats: remus-compat/stream.h; of the context: hvmctx.h.
 */
#include "seed-trim.h"

#include <string.h>

#include "../../remus-compat/stream.h"
#include "../bytes.h"
#include "hvmctx.h"
#include "seed-header.h"

#define CUT (COLO_HVMCTX_LAPIC_NEW - COLO_HVMCTX_LAPIC_OLD)
#define CONTEXT_HEAD 8u /* of a record of the context */

enum { AT_SEED, AT_LIBXL, AT_LIBXL_RECORD, AT_LIBXC, AT_LIBXC_RECORD,
       AT_CONTEXT, AT_REST };

static uint32_t head_size(int at)
{
    static const uint8_t sizes[] = {
        [AT_SEED] = SEED_HEADER, [AT_LIBXL] = COLO_LIBXL_HEADER,
        [AT_LIBXL_RECORD] = COLO_STREAM_HEAD, [AT_LIBXC] = COLO_LIBXC_HEADER,
        [AT_LIBXC_RECORD] = COLO_STREAM_HEAD, [AT_CONTEXT] = CONTEXT_HEAD,
    };

    return sizes[at];
}

/* A record's body and what fills it up to a multiple of 8. */
static uint64_t padded(uint32_t len)
{
    return (uint64_t)len + colo__stream_pad(len);
}

static void take_seed(struct colo_seed_trim *t)
{
    uint32_t len = 0;

    t->at = AT_REST;
    if (seed_header_parse(t->head, SEED_HEADER, &len) != (int)SEED_HEADER)
        return;
    t->pass = len;
    t->at = AT_LIBXL;
}

static void take_record(struct colo_seed_trim *t)
{
    uint32_t type = colo__le32(t->head), len = colo__le32(t->head + 4);

    if (t->at == AT_LIBXL_RECORD) {
        t->pass = padded(len);
        if (type == COLO_LIBXL_LIBXC_CONTEXT)
            t->at = AT_LIBXC;
        else if (type == COLO_LIBXL_END)
            t->at = AT_REST;
    } else if (type == COLO_LIBXC_HVM_CONTEXT) {
        t->left = padded(len);
        t->at = AT_CONTEXT;
    } else {
        t->pass = padded(len);
        if (type == COLO_LIBXC_END)
            t->at = AT_LIBXL_RECORD;
    }
}

/* A record of the context; left begins with it. */
static void take_entry(struct colo_seed_trim *t)
{
    uint32_t len = colo__le32(t->head + 4);

    t->left -= CONTEXT_HEAD;
    if (!colo__le16(t->head) || len > t->left || t->cut > t->left - len) {
        t->pass = t->left; /* its end, or something else than a context */
        t->left = 0;
    } else {
        t->pass = len;
        t->drop = t->cut;
        t->left -= len + t->cut;
        t->owed += t->cut;
    }
    t->cut = 0;
}

static void take_head(struct colo_seed_trim *t)
{
    t->have = 0;
    switch (t->at) {
    case AT_SEED:
        take_seed(t);
        break;
    case AT_LIBXL:
        t->at = memcmp(t->head, "LibxlFmt", 8) ? AT_REST : AT_LIBXL_RECORD;
        break;
    case AT_LIBXC:
        t->at = AT_LIBXC_RECORD;
        break;
    case AT_LIBXL_RECORD:
    case AT_LIBXC_RECORD:
        take_record(t);
        break;
    case AT_CONTEXT:
        take_entry(t);
        break;
    }
}

/* One byte of a head; what is to be sent in its place. */
static uint8_t gather(struct colo_seed_trim *t, uint8_t byte)
{
    if (t->at == AT_CONTEXT && t->have == 4 && byte == COLO_HVMCTX_LAPIC_NEW &&
        colo__le16(t->head) == COLO_HVMCTX_LAPIC &&
        t->owed <= COLO_SEED_TRIM_ROOM - CUT) {
        byte = COLO_HVMCTX_LAPIC_OLD;
        t->cut = CUT;
    }
    t->head[t->have++] = byte;
    if (t->have == head_size(t->at))
        take_head(t);
    return byte;
}

/* The context is over: what was left out of it. */
static size_t pay(struct colo_seed_trim *t, uint8_t *out)
{
    size_t n = t->owed;

    memset(out, 0, n);
    t->owed = 0;
    t->at = AT_LIBXC_RECORD;
    return n;
}

static size_t pass(struct colo_seed_trim *t, const uint8_t *in, size_t len,
                   uint8_t *out)
{
    size_t n = t->pass < len ? (size_t)t->pass : len;

    memcpy(out, in, n);
    t->pass -= n;
    return n;
}

size_t colo__seed_trim(struct colo_seed_trim *t, const uint8_t *in,
                       size_t len, uint8_t *out)
{
    const uint8_t *end = in + len;
    uint8_t *begin = out;

    for (;;) {
        if (!t->pass && !t->drop && !t->have && t->at == AT_CONTEXT &&
            t->left < CONTEXT_HEAD) {
            t->pass = t->left;
            t->left = 0;
            if (!t->pass)
                out += pay(t, out);
        } else if (in == end) {
            return (size_t)(out - begin);
        } else if (t->pass || t->at == AT_REST) {
            size_t n;

            if (t->at == AT_REST)
                t->pass = (uint64_t)(end - in);
            n = pass(t, in, (size_t)(end - in), out);
            in += n;
            out += n;
        } else if (t->drop) {
            t->drop--;
            in++;
        } else {
            *out++ = gather(t, *in++);
        }
    }
}
