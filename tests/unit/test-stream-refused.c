/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the reader of Xen's streams must not take: headers of something else,
 * records out of place or of the wrong guest, lengths and counts that lie,
 * bits that nobody knows.  Each by its name.
 */
#include "stream-common.h"

static struct stream s;
static struct colo_stream_reader reader;
static struct colo_error err;

static int read_with(uint8_t mode, const struct colo_stream_limits *limits)
{
    int rc;

    colo__stream_reader_init(&reader, mode, limits);
    rc = stream_read_all(&reader, s.bytes, s.len, s.len, NULL, &err);
    if (rc) {
        struct colo_stream_item item = { .kind = 77 };
        struct colo_error again;

        ck_assert_int_eq(err.code, rc);
        /* and from then on nothing */
        ck_assert_int_eq(colo__stream_read(&reader, s.bytes, s.len, &item,
                                           &again), COLO_E_STATE);
        ck_assert_int_eq(item.kind, 77);
    }
    return rc;
}

static int read_now(uint8_t mode)
{
    stream_end(&s);
    return read_with(mode, NULL);
}

/* a good stream with one byte changed */
static int with(uint8_t guest, size_t at, uint8_t value)
{
    stream_make(&s, guest, COLO_STREAM_REMUS, 1);
    ck_assert_uint_lt(at, s.len);
    ck_assert_uint_ne(s.bytes[at], value);
    s.bytes[at] = value;
    return read_with(COLO_STREAM_REMUS, NULL);
}

static int hvm(size_t at, uint8_t value)
{
    return with(COLO_STREAM_HVM, at, value);
}

#define LIBXC 24u /* libxc's header, behind libxl's and LIBXC_CONTEXT */

START_TEST(test_headers)
{
    ck_assert_int_eq(hvm(0, 'X'), COLO_E_PROTO);
    ck_assert_int_eq(hvm(11, 1), COLO_E_VERSION);
    ck_text(err, "version 1");
    ck_assert_int_eq(hvm(15, 1), COLO_E_UNSUPPORTED);
    ck_text(err, "big endian");
    ck_assert_int_eq(hvm(15, 2), COLO_E_UNSUPPORTED);
    ck_text(err, "converted");
    ck_assert_int_eq(hvm(12, 1), COLO_E_PROTO);
    ck_assert_int_eq(hvm(LIBXC, 0xfe), COLO_E_PROTO);
    ck_assert_int_eq(hvm(LIBXC + 8, 'Y'), COLO_E_PROTO);
    ck_assert_int_eq(hvm(LIBXC + 15, 2), COLO_E_VERSION);
    ck_assert_int_eq(hvm(LIBXC + 17, 1), COLO_E_UNSUPPORTED);
    ck_assert_int_eq(hvm(LIBXC + 16, 1), COLO_E_PROTO);
    for (size_t i = 18; i < 24; i++)
        ck_assert_int_eq(hvm(LIBXC + i, 1), COLO_E_PROTO);
    ck_assert_int_eq(hvm(LIBXC + 24, 3), COLO_E_UNSUPPORTED);
    ck_text(err, "type 3");
    ck_assert_int_eq(hvm(LIBXC + 28, 13), COLO_E_PROTO);
    ck_assert_int_eq(hvm(LIBXC + 30, 1), COLO_E_PROTO);
    ck_assert_int_eq(hvm(LIBXC + 32, 0), COLO_E_UNSUPPORTED);
    ck_assert_int_eq(hvm(LIBXC + 34, 1), COLO_E_PROTO);
}
END_TEST

START_TEST(test_another_guest)
{
    struct colo_stream_limits limits = { .guest = COLO_STREAM_PV };

    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, 1);
    ck_assert_int_eq(read_with(COLO_STREAM_REMUS, &limits), COLO_E_PROTO);
    ck_text(err, "HVM");
    limits.guest = COLO_STREAM_HVM;
    ck_assert_int_eq(read_with(COLO_STREAM_REMUS, &limits), 0);
}
END_TEST

/* Every record of the table, in every place, of every guest, in every mode:
 * taken where the table says so, and refused everywhere else. */
static void put_valid(const struct colo_stream_rule *rule)
{
    uint8_t body[8192] = { 0 };
    uint32_t len = rule->min;

    if (rule->layer == COLO_STREAM_LIBXL &&
        (rule->type == COLO_LIBXL_EMULATOR_XENSTORE_DATA ||
         rule->type == COLO_LIBXL_EMULATOR_CONTEXT))
        body[0] = COLO_EMULATOR_QEMU;
    if (rule->layer == COLO_STREAM_LIBXC) {
        if (rule->type == COLO_LIBXC_PAGE_DATA) {
            body[0] = 1;
            body[15] = 0xf0;
        }
        if (rule->type == COLO_LIBXC_PV_INFO) {
            body[0] = 8;
            body[1] = 4;
        }
        if (rule->type == COLO_LIBXC_PV_VCPU_BASIC)
            len += COLO_STREAM_VCPU_64;
    }
    colo__stream_out_record(&s.out, rule->layer, rule->type,
                            len ? body : NULL, len);
}

static void put_up_to(uint8_t where, uint8_t guest, uint8_t mode,
                      const struct colo_stream_rule *rule)
{
    colo__stream_out_libxl_header(&s.out);
    if (where == COLO_AT_HEAD)
        return;
    stream_mark(&s, COLO_STREAM_LIBXL, COLO_LIBXL_LIBXC_CONTEXT);
    colo__stream_out_libxc_header(&s.out, guest, 4, 17);
    if (guest == COLO_STREAM_PV &&
        !(where == COLO_AT_STATIC && rule->type == COLO_LIBXC_PV_INFO))
        colo__stream_out_pv_info(&s.out, 8);
    if (where == COLO_AT_STATIC)
        return;
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_STATIC_DATA_END);
    if (guest == COLO_STREAM_PV) {
        colo__stream_out_p2m_frames(&s.out, 8, 1000, (uint64_t[]){ 17, 18 });
        stream_pv_state(&s);
    } else {
        stream_hvm_state(&s);
    }
    if (where == COLO_AT_DATA)
        return;
    stream_mark(&s, COLO_STREAM_LIBXC, mode == COLO_STREAM_PLAIN ?
                COLO_LIBXC_END : COLO_LIBXC_CHECKPOINT);
    if (where == COLO_AT_STATE)
        stream_mark(&s, COLO_STREAM_LIBXL, COLO_LIBXL_CHECKPOINT_END);
}

START_TEST(test_places)
{
    static const struct {
        uint8_t where, layer;
    } places[] = {
        { COLO_AT_HEAD, COLO_STREAM_LIBXL },
        { COLO_AT_STATIC, COLO_STREAM_LIBXC },
        { COLO_AT_DATA, COLO_STREAM_LIBXC },
        { COLO_AT_MODEL, COLO_STREAM_LIBXL },
        { COLO_AT_STATE, COLO_STREAM_LIBXL },
    };
    static const uint8_t guests[] = { COLO_STREAM_PV, COLO_STREAM_HVM };
    const struct colo_stream_rule *rule;
    int taken = 0, refused = 0;

    for (size_t n = 0; (rule = colo__stream_rule_at(n)); n++) {
        for (size_t i = 0; i < COLO_ARRAY_LEN(places) * 6; i++) {
            uint8_t where = places[i / 6].where, mode = 1 << i % 3;
            uint8_t guest = guests[i / 3 % 2];
            bool ok;
            int rc;

            /* a number means another record in the other layer */
            if (places[i / 6].layer != rule->layer)
                continue;
            if (where == COLO_AT_STATE && mode != COLO_STREAM_COLO)
                continue;
            stream_begin(&s);
            put_up_to(where, guest, mode, rule);
            put_valid(rule);
            stream_end(&s);
            ok = rule->where & where && rule->modes & mode &&
                 (rule->guests & guest || where == COLO_AT_HEAD);
            rc = read_with(mode, NULL);
            ck_assert_msg(rc == (ok ? 0 : COLO_E_PROTO),
                          "%s at %#x of guest %u in mode %u: %d %s",
                          rule->name, where, guest, mode, rc,
                          rc ? err.text : "");
            if (!ok)
                ck_text(err, rule->name);
            taken += ok;
            refused += !ok;
        }
    }
    /* the table is walked, and both happen */
    ck_assert_int_gt(taken, 60);
    ck_assert_int_gt(refused, 200);
}
END_TEST

START_TEST(test_unknown)
{
    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, 1);
    /* TOOLSTACK, deprecated */
    colo__put_le(s.bytes + s.checkpoint, 0x0b, 4);
    ck_assert_int_eq(read_with(COLO_STREAM_REMUS, NULL), COLO_E_UNSUPPORTED);
    ck_text(err, "0xb of libxc");
    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, 1);
    colo__put_le(s.bytes + s.model, 6, 4);
    ck_assert_int_eq(read_with(COLO_STREAM_REMUS, NULL), COLO_E_UNSUPPORTED);
    ck_text(err, "0x6 of libxl");
}
END_TEST

START_TEST(test_order)
{
    /* CPUs without state */
    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_CHECKPOINT);
    ck_assert_int_eq(read_now(COLO_STREAM_REMUS), COLO_E_PROTO);
    ck_text(err, "HVM_CONTEXT");
    /* also in the second checkpoint */
    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    stream_round(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, true, false);
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_CHECKPOINT);
    ck_assert_int_eq(read_now(COLO_STREAM_REMUS), COLO_E_PROTO);
    /* only the second CPU of a PV guest */
    stream_begin(&s);
    stream_head(&s, COLO_STREAM_PV);
    stream_blob(&s, COLO_STREAM_LIBXC, COLO_LIBXC_SHARED_INFO, 4096);
    stream_vcpu(&s, COLO_LIBXC_PV_VCPU_BASIC, 1, COLO_STREAM_VCPU_64);
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_CHECKPOINT);
    ck_assert_int_eq(read_now(COLO_STREAM_REMUS), COLO_E_PROTO);
    /* static records come once */
    stream_begin(&s);
    colo__stream_out_libxl_header(&s.out);
    stream_mark(&s, COLO_STREAM_LIBXL, COLO_LIBXL_LIBXC_CONTEXT);
    colo__stream_out_libxc_header(&s.out, COLO_STREAM_HVM, 4, 17);
    stream_blob(&s, COLO_STREAM_LIBXC, COLO_LIBXC_CPUID_POLICY, 24);
    stream_blob(&s, COLO_STREAM_LIBXC, COLO_LIBXC_CPUID_POLICY, 24);
    ck_assert_int_eq(read_now(COLO_STREAM_REMUS), COLO_E_PROTO);
    ck_text(err, "twice");
}
END_TEST

START_TEST(test_order_pv)
{
    stream_begin(&s);
    colo__stream_out_libxl_header(&s.out);
    stream_mark(&s, COLO_STREAM_LIBXL, COLO_LIBXL_LIBXC_CONTEXT);
    colo__stream_out_libxc_header(&s.out, COLO_STREAM_PV, 4, 17);
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_STATIC_DATA_END);
    ck_assert_int_eq(read_now(COLO_STREAM_REMUS), COLO_E_PROTO);
    ck_text(err, "PV_INFO");
    stream_begin(&s);
    colo__stream_out_libxl_header(&s.out);
    stream_mark(&s, COLO_STREAM_LIBXL, COLO_LIBXL_LIBXC_CONTEXT);
    colo__stream_out_libxc_header(&s.out, COLO_STREAM_PV, 4, 17);
    colo__stream_out_pv_info(&s.out, 4);
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_STATIC_DATA_END);
    stream_pages(&s, (uint64_t[]){ 1 }, 1);
    ck_assert_int_eq(read_now(COLO_STREAM_REMUS), COLO_E_PROTO);
    ck_text(err, "P2M_FRAMES");
}
END_TEST

/* ---- PAGE_DATA --------------------------------------------------------- */

static int with_entry(uint8_t guest, uint64_t entry,
                      const struct colo_stream_limits *limits)
{
    uint8_t body[16 + COLO_PAGE_SIZE] = { 1 };
    bool data = colo__stream_has_data(colo__stream_page_type(entry));

    stream_begin(&s);
    stream_head(&s, guest);
    colo__put_le(body + 8, entry, 8);
    colo__stream_out_record(&s.out, COLO_STREAM_LIBXC, COLO_LIBXC_PAGE_DATA,
                            body, data ? sizeof(body) : 16);
    stream_end(&s);
    return read_with(COLO_STREAM_REMUS, limits);
}

START_TEST(test_entries)
{
    struct colo_stream_limits limits = { .max_pfn = 4711 };

    for (unsigned type = 0; type < 16; type++) {
        bool pv = type < 5 || (type > 8 && type < 13) || type > 12;
        bool hvm_type = !type || type > 12;

        ck_assert_int_eq(with_entry(COLO_STREAM_PV,
                                    (uint64_t)type << 60 | 3, NULL),
                         pv ? 0 : COLO_E_PROTO);
        ck_assert_int_eq(with_entry(COLO_STREAM_HVM,
                                    (uint64_t)type << 60 | 3, NULL),
                         hvm_type ? 0 : COLO_E_PROTO);
        if (!hvm_type)
            ck_text(err, "frame 0x3 has the type");
    }
    for (unsigned bit = 52; bit < 60; bit++)
        ck_assert_int_eq(with_entry(COLO_STREAM_HVM,
                                    UINT64_C(1) << bit | 3, NULL),
                         COLO_E_PROTO);
    ck_assert_int_eq(with_entry(COLO_STREAM_HVM, (UINT64_C(1) << 52) - 1,
                                NULL), 0);
    ck_assert_int_eq(with_entry(COLO_STREAM_HVM, 4711, &limits), 0);
    ck_assert_int_eq(with_entry(COLO_STREAM_HVM, 4712, &limits),
                     COLO_E_PROTO);
    ck_text(err, "beyond 0x1267");
    /* a PV guest has said how far its frames go */
    ck_assert_int_eq(with_entry(COLO_STREAM_PV, 1000, NULL), 0);
    ck_assert_int_eq(with_entry(COLO_STREAM_PV, 1001, NULL), COLO_E_PROTO);
    limits.max_pfn = 999;
    ck_assert_int_eq(with_entry(COLO_STREAM_PV, 5, &limits), COLO_E_PROTO);
}
END_TEST

/* the count, the reserved word, the length */
static int with_pages(uint32_t count, uint32_t zero, uint32_t body_len)
{
    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    stream_end(&s);
    colo__put_le(s.bytes + s.len, COLO_LIBXC_PAGE_DATA, 4);
    colo__put_le(s.bytes + s.len + 4, body_len, 4);
    colo__put_le(s.bytes + s.len + 8, count, 4);
    colo__put_le(s.bytes + s.len + 12, zero, 4);
    s.len += body_len < 64 * 1024 ? 8 + body_len : 64 * 1024;
    return read_with(COLO_STREAM_REMUS, NULL);
}

START_TEST(test_counts)
{
    const uint32_t page = 8 + COLO_PAGE_SIZE;

    ck_assert_int_eq(with_pages(2, 0, 8 + 2 * page), 0);
    ck_assert_int_eq(with_pages(0, 0, 8 + 8), COLO_E_PROTO);
    ck_assert_int_eq(with_pages(2, 1, 8 + 2 * page), COLO_E_PROTO);
    ck_assert_int_eq(with_pages(2, 0, 8 + 2 * page + 8), COLO_E_PROTO);
    ck_text(err, "2 pages");
    ck_assert_int_eq(with_pages(2, 0, 8 + 2 * page - 8), COLO_E_PROTO);
    ck_assert_int_eq(with_pages(2, 0, 16), COLO_E_PROTO);
    ck_assert_int_eq(with_pages(2, 0, 8 + 2 * page + 1), COLO_E_PROTO);
    ck_assert_int_eq(with_pages(1025, 0, 8 + 1024 * page), COLO_E_LIMIT);
    ck_assert_int_eq(with_pages(UINT32_MAX, 0, 8 + 1024 * page),
                     COLO_E_LIMIT);
    ck_text(err, "takes 1024");
    /* lengths that nothing has */
    ck_assert_int_eq(with_pages(1, 0, 8 + 1025 * page), COLO_E_LIMIT);
    ck_assert_int_eq(with_pages(1, 0, 0), COLO_E_PROTO);
    ck_assert_int_eq(with_pages(1, 0, COLO_STREAM_MAX_RECORD + 8),
                     COLO_E_PROTO);
    ck_assert_int_eq(with_pages(1, 0, UINT32_MAX), COLO_E_PROTO);
}
END_TEST

/* ---- other bodies ------------------------------------------------------ */

static int with_record(uint8_t guest, uint32_t type, const uint8_t *body,
                       uint32_t len)
{
    stream_begin(&s);
    stream_head(&s, guest);
    stream_end(&s);
    colo__put_le(s.bytes + s.len, type, 4);
    colo__put_le(s.bytes + s.len + 4, len, 4);
    memset(s.bytes + s.len + 8, 0, len + 8);
    if (body)
        memcpy(s.bytes + s.len + 8, body, len);
    s.len += 8 + len + colo__stream_pad(len);
    return read_with(COLO_STREAM_REMUS, NULL);
}

START_TEST(test_pv_records)
{
    uint8_t body[8 + COLO_STREAM_VCPU_64] = { 0 };
    const uint32_t basic = COLO_LIBXC_PV_VCPU_BASIC;

    ck_assert_int_eq(with_record(COLO_STREAM_PV, basic, body, sizeof(body)),
                     0);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, basic, body,
                                 sizeof(body) - 8), COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, basic, body,
                                 8 + COLO_STREAM_VCPU_32), COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, basic, body, 8),
                     COLO_E_PROTO);
    body[4] = 1;
    ck_assert_int_eq(with_record(COLO_STREAM_PV, basic, body, sizeof(body)),
                     COLO_E_PROTO);
    body[4] = 0;
    body[1] = 0x20;
    ck_assert_int_eq(with_record(COLO_STREAM_PV, basic, body, sizeof(body)),
                     COLO_E_PROTO);
    ck_text(err, "CPU 8192");
    memset(body, 0, sizeof(body));
    ck_assert_int_eq(with_record(COLO_STREAM_PV, COLO_LIBXC_PV_VCPU_EXTENDED,
                                 body, 8 + 129), COLO_E_LIMIT);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, COLO_LIBXC_PV_VCPU_XSAVE,
                                 body, 8 + 15), COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, COLO_LIBXC_PV_VCPU_XSAVE,
                                 body, 8), 0);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, COLO_LIBXC_PV_VCPU_MSRS,
                                 body, 8 + 17), COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, COLO_LIBXC_SHARED_INFO, body,
                                 4095), COLO_E_PROTO);
}
END_TEST

START_TEST(test_p2m_frames)
{
    const uint32_t type = COLO_LIBXC_PV_P2M_FRAMES;
    uint8_t body[8 + 3 * 8] = { 0 };

    /* 0..1024: three frames of 512 */
    colo__put_le(body + 4, 1024, 4);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, type, body, 32), 0);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, type, body, 24),
                     COLO_E_PROTO);
    colo__put_le(body + 4, 1023, 4);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, type, body, 32),
                     COLO_E_PROTO);
    /* the other way round */
    colo__put_le(body, 1024, 4);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, type, body, 32),
                     COLO_E_PROTO);
    colo__put_le(body, 0, 4);
    colo__put_le(body + 4, UINT32_MAX, 4);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, type, body, 32),
                     COLO_E_PROTO);
    /* the table is in frames that the guest has */
    colo__put_le(body + 4, 1024, 4);
    colo__put_le(body + 24, 1025, 8);
    ck_assert_int_eq(with_record(COLO_STREAM_PV, type, body, 32),
                     COLO_E_PROTO);
    ck_text(err, "beyond its last frame");
}
END_TEST

START_TEST(test_hvm_records)
{
    uint8_t body[8 + 65 * 16] = { 1 };
    const uint32_t params = COLO_LIBXC_HVM_PARAMS;

    body[8] = 19;
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, params, body, 24), 0);
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, params, body, 40),
                     COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, params, body, 32),
                     COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, params, body, sizeof(body)),
                     COLO_E_LIMIT);
    body[4] = 1;
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, params, body, 24),
                     COLO_E_PROTO);
    body[4] = 0;
    body[15] = 1; /* an index of 64 bits */
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, params, body, 24),
                     COLO_E_PROTO);
    body[15] = 0;
    /* CALLBACK_IRQ and the ports of xenstore and console: never */
    for (int i = 0; i < 256; i++) {
        static const uint8_t never[] = { 0, 2, 18, 4 };

        body[8] = (uint8_t)i;
        if (memchr(never, i, sizeof(never)) || i > 38)
            ck_assert_int_eq(with_record(COLO_STREAM_HVM, params, body, 24),
                             COLO_E_PROTO);
    }
    /* none at all, as older Xen sends it */
    body[0] = 0;
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, params, body, 8), 0);
}
END_TEST

START_TEST(test_small_records)
{
    uint8_t body[64] = { 0 };

    body[0] = 4;
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, COLO_LIBXC_TSC_INFO, body,
                                 24), COLO_E_PROTO);
    body[0] = 3;
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, COLO_LIBXC_TSC_INFO, body,
                                 24), 0);
    body[20] = 1;
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, COLO_LIBXC_TSC_INFO, body,
                                 24), COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, COLO_LIBXC_TSC_INFO, body,
                                 16), COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, COLO_LIBXC_HVM_CONTEXT,
                                 body, 0), COLO_E_PROTO);
    ck_assert_int_eq(with_record(COLO_STREAM_HVM, COLO_LIBXC_CHECKPOINT,
                                 body, 8), COLO_E_PROTO);
}
END_TEST

/* ---- device model ------------------------------------------------------ */

static int with_store(const char *data, uint32_t len, uint32_t id,
                      uint32_t type)
{
    uint8_t body[256] = { 0 };

    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    stream_hvm_state(&s);
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_CHECKPOINT);
    colo__put_le(body, id, 4);
    memcpy(body + 8, data, len);
    stream_end(&s);
    /* the writer would refuse some of them */
    colo__put_le(s.bytes + s.len, type, 4);
    colo__put_le(s.bytes + s.len + 4, 8 + len, 4);
    memcpy(s.bytes + s.len + 8, body, sizeof(body));
    s.len += 8 + 8 + len + colo__stream_pad(8 + len);
    return read_with(COLO_STREAM_REMUS, NULL);
}

#define STORE(text) \
    with_store(text, sizeof(text), 2, COLO_LIBXL_EMULATOR_XENSTORE_DATA)

START_TEST(test_model)
{
    ck_assert_int_eq(STORE("a\0b"), 0);
    ck_assert_int_eq(STORE("a/b-c_d@e\0some value"), 0);
    ck_assert_int_eq(STORE("a\0b\0c"), COLO_E_PROTO);
    ck_assert_int_eq(STORE("/a\0b"), COLO_E_PROTO);
    ck_assert_int_eq(STORE("a//b\0b"), COLO_E_PROTO);
    ck_assert_int_eq(STORE("a/\0b"), COLO_E_PROTO);
    ck_assert_int_eq(STORE("\0b"), COLO_E_PROTO);
    ck_assert_int_eq(STORE("a/../b\0b"), COLO_E_PROTO);
    ck_assert_int_eq(STORE("a\0b\n"), COLO_E_PROTO);
    ck_text(err, "EMULATOR_XENSTORE_DATA");
    ck_assert_int_eq(with_store("a\0b", 3, 2,
                                COLO_LIBXL_EMULATOR_XENSTORE_DATA),
                     COLO_E_PROTO);
    ck_assert_int_eq(with_store("a\0b", 4, 1,
                                COLO_LIBXL_EMULATOR_XENSTORE_DATA),
                     COLO_E_UNSUPPORTED);
    ck_assert_int_eq(with_store("QEVM", 4, 2, COLO_LIBXL_EMULATOR_CONTEXT),
                     0);
    ck_assert_int_eq(with_store("QEVM", 4, 3, COLO_LIBXL_EMULATOR_CONTEXT),
                     COLO_E_UNSUPPORTED);
    ck_text(err, "device model 3");
    ck_assert_int_eq(with_store("", 0, 2, COLO_LIBXL_EMULATOR_CONTEXT),
                     COLO_E_PROTO);
}
END_TEST

START_TEST(test_padding)
{
    /* 1234 bytes of device model and 6 of zeros, before CHECKPOINT_END */
    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, 1);
    s.bytes[s.len - 8 - 1] = 1;
    ck_assert_int_eq(read_with(COLO_STREAM_REMUS, NULL), COLO_E_PROTO);
    ck_text(err, "behind EMULATOR_CONTEXT");
}
END_TEST

START_TEST(test_behind_the_end)
{
    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1);
    s.len++;
    ck_assert_int_eq(read_with(COLO_STREAM_PLAIN, NULL), COLO_E_PROTO);
    ck_text(err, "behind the end");
}
END_TEST

PURE_MAIN("stream-refused", test_headers, test_another_guest, test_places,
          test_unknown, test_order, test_order_pv, test_entries, test_counts,
          test_pv_records, test_p2m_frames, test_hvm_records,
          test_small_records, test_model, test_padding, test_behind_the_end)
