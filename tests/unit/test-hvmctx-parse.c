/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The machine state's container: what Xen writes is taken, anything else is
 * refused by name; a longer LAPIC record is cut for an older Xen.
 */
#include "pure-common.h"

#include "pure/hvmctx.h"

struct state {
    uint8_t bytes[32 * 1024];
    uint32_t len;
};

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void add_record(struct state *s, uint32_t type, uint32_t instance,
                       uint32_t len)
{
    uint8_t *p = s->bytes + s->len;

    put16(p, type);
    put16(p + 2, instance);
    put16(p + 4, len & 0xffff);
    put16(p + 6, len >> 16);
    memset(p + 8, (int)(0x10 + type), len);
    s->len += 8 + len;
}

static uint32_t room(void)
{
    return colo__hvmctx_room(2);
}

/* a PVH guest of two vCPUs; nothing after the header yet */
static void begin(struct state *s)
{
    memset(s, 0, sizeof(*s));
    s->len = room();
    add_record(s, 1, 0, 24);
}

static void end(struct state *s)
{
    static const struct colo_hvmctx_param params[] = {
        { 36, 8 }, { 37, UINT64_C(0x123456789abc) },
    };

    add_record(s, 0, 0, 0);
    colo__hvmctx_put_header(s->bytes, 4 << 16 | 17, params, 2,
                            s->len - room());
}

static void make(struct state *s, uint32_t lapic)
{
    begin(s);
    for (uint32_t i = 0; i < 2; i++)
        add_record(s, 2, i, 1032);
    for (uint32_t i = 0; i < 2; i++)
        add_record(s, 5, i, lapic);
    for (uint32_t i = 0; i < 2; i++)
        add_record(s, 6, i, 1024);
    add_record(s, 16, 0, 24 + 832);
    add_record(s, 20, 0, 8 + 16 * 3);
    add_record(s, 19, 1, 8);
    end(s);
}

static int parse(const struct state *s, uint32_t len, struct colo_error *err)
{
    struct colo_hvmctx ctx = { .nr_vcpus = 77 };
    int rc = colo__hvmctx_parse(pure_guarded(s->bytes, len), len, &ctx, err);

    /* outputs are untouched on failure */
    ck_assert_uint_eq(ctx.nr_vcpus, rc ? 77 : 2);
    return rc;
}

START_TEST(test_good)
{
    struct colo_hvmctx ctx;
    struct colo_error err;
    struct state s;

    make(&s, 24);
    ck_assert_int_eq(colo__hvmctx_parse(s.bytes, s.len, &ctx, &err), 0);
    ck_assert_uint_eq(ctx.xen_version, 4 << 16 | 17);
    ck_assert_uint_eq(ctx.nr_params, 2);
    ck_assert_uint_eq(ctx.params[0].index, 36);
    ck_assert_uint_eq(ctx.params[1].value, UINT64_C(0x123456789abc));
    ck_assert_ptr_eq(ctx.context, s.bytes + room());
    ck_assert_uint_eq(ctx.context_len, s.len - room());
    ck_assert_uint_eq(ctx.nr_vcpus, 2);
}
END_TEST

START_TEST(test_every_cut)
{
    struct colo_error err;
    struct state s;

    make(&s, 32);
    ck_assert_int_eq(parse(&s, s.len, &err), 0);
    for (uint32_t len = 0; len < s.len; len += len < 64 ? 1 : 37)
        ck_assert_int_lt(parse(&s, len, &err), 0);
    /* and one byte more */
    ck_assert_int_eq(parse(&s, s.len + 1, &err), COLO_E_CORRUPT);
}
END_TEST

/* one byte of a good state is changed */
static int with(uint32_t at, uint8_t value, struct colo_error *err)
{
    struct state s;

    make(&s, 24);
    s.bytes[at] = value;
    return parse(&s, s.len, err);
}

START_TEST(test_container_that_lies)
{
    struct colo_error err;

    ck_assert_int_eq(with(0, 'X', &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(4, 3, &err), COLO_E_VERSION);
    /* devices are promised, and there are none */
    ck_assert_int_eq(with(4, 2, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(6, 1, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(6, 5, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(7, 0xff, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(15, 0xff, &err), COLO_E_CORRUPT);
    /* parameters: the callback, the rings are none of the peer's business */
    ck_assert_int_eq(with(16, 0, &err), COLO_E_CORRUPT);
    ck_text(err, "parameter 0 ");
    ck_assert_int_eq(with(16, 1, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(20, 1, &err), COLO_E_CORRUPT);
}
END_TEST

#define DEVICES 100u

static uint32_t make_devices(struct state *s, uint32_t lapic)
{
    uint32_t at;

    make(s, lapic);
    at = s->len;
    colo__hvmctx_put_devices(s->bytes, s->bytes + at, DEVICES);
    memcpy(s->bytes + at + COLO_HVMCTX_DEVICES, "QEVM", 4);
    s->len += COLO_HVMCTX_DEVICES + DEVICES;
    return at;
}

START_TEST(test_devices)
{
    struct colo_hvmctx ctx;
    struct colo_error err;
    struct state s;
    uint32_t at;

    make(&s, 24);
    ck_assert_int_eq(colo__hvmctx_parse(s.bytes, s.len, &ctx, &err), 0);
    ck_assert_ptr_null(ctx.devices);
    ck_assert_uint_eq(ctx.devices_len, 0);
    at = make_devices(&s, 24);
    ck_assert_int_eq(colo__hvmctx_parse(s.bytes, s.len, &ctx, &err), 0);
    ck_assert_uint_eq(ctx.context_len, at - room());
    ck_assert_ptr_eq(ctx.devices, s.bytes + at + COLO_HVMCTX_DEVICES);
    ck_assert_uint_eq(ctx.devices_len, DEVICES);
    for (uint32_t len = at; len < s.len; len++)
        ck_assert_int_eq(parse(&s, len, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(parse(&s, s.len + 1, &err), COLO_E_CORRUPT);
    /* length, the zero behind it, what the state begins with */
    for (uint32_t i = 0; i < COLO_HVMCTX_DEVICES + 4; i++) {
        s.bytes[at + i] ^= 0x80;
        ck_assert_int_eq(parse(&s, s.len, &err), COLO_E_CORRUPT);
        s.bytes[at + i] ^= 0x80;
    }
    /* an older version, and bytes behind its end */
    s.bytes[4] = 1;
    ck_assert_int_eq(parse(&s, s.len, &err), COLO_E_CORRUPT);
}
END_TEST

START_TEST(test_records_that_lie)
{
    struct colo_error err;
    uint32_t cpu = room() + 32;

    ck_assert_int_eq(with(room(), 2, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(cpu, 1, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(cpu, 99, &err), COLO_E_UNSUPPORTED);
    ck_text(err, "record 99");
    ck_assert_int_eq(with(cpu + 2, 128, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(with(cpu + 4, 9, &err), COLO_E_UNSUPPORTED);
    ck_text(err, "length");
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_int_lt(with(cpu + 4 + i, 0xff, &err), 0);
}
END_TEST

START_TEST(test_no_cpu)
{
    struct colo_error err;
    struct state s;

    begin(&s);
    add_record(&s, 5, 0, 24);
    end(&s);
    ck_assert_int_eq(parse(&s, s.len, &err), COLO_E_CORRUPT);
}
END_TEST

START_TEST(test_end_is_the_end)
{
    struct colo_error err;
    struct state s;

    begin(&s);
    add_record(&s, 2, 0, 1032);
    add_record(&s, 2, 1, 1032);
    add_record(&s, 0, 0, 0);
    end(&s);
    ck_assert_int_eq(parse(&s, s.len, &err), COLO_E_CORRUPT);
}
END_TEST

START_TEST(test_record_beyond_the_end)
{
    struct colo_error err;
    struct state s;

    /* a good length, but more than there is */
    begin(&s);
    add_record(&s, 2, 0, 1032);
    add_record(&s, 2, 1, 1032);
    add_record(&s, 6, 0, 1024);
    s.len -= 1000;
    colo__hvmctx_put_header(s.bytes, 0, NULL, 0, s.len - room());
    memmove(s.bytes + colo__hvmctx_room(0), s.bytes + room(),
            s.len - room());
    s.len -= room() - colo__hvmctx_room(0);
    ck_assert_int_eq(parse(&s, s.len, &err), COLO_E_CORRUPT);
    ck_text(err, "not well formed");
}
END_TEST

START_TEST(test_too_many_params)
{
    static const struct colo_hvmctx_param params[8] = {
        { 19, 0 }, { 19, 0 }, { 19, 0 }, { 19, 0 }, { 19, 0 }, { 19, 0 },
        { 19, 0 }, { 19, 0 },
    };
    uint8_t buf[256] = { 0 };
    struct colo_hvmctx ctx;
    struct colo_error err;

    for (uint32_t n = 5; n <= 8; n++) {
        colo__hvmctx_put_header(buf, 0, params, n, 16);
        ck_assert_int_eq(colo__hvmctx_parse(buf, colo__hvmctx_room(n) + 16,
                                            &ctx, &err), COLO_E_CORRUPT);
        ck_text(err, "wrong length");
    }
}
END_TEST

START_TEST(test_sizes)
{
    static const struct {
        uint32_t type, len;
        bool ok;
    } cases[] = {
        { 5, 24, true }, { 5, 28, false }, { 5, 32, true }, { 5, 40, false },
        { 16, 599, false }, { 16, 600, true }, { 16, 24 + 2696, true },
        { 20, 8, true }, { 20, 16, false }, { 20, 24, true },
        { 6, 1023, false }, { 3, 8, true }, { 21, 8, false },
    };
    struct colo_error err;
    struct state s;

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        begin(&s);
        add_record(&s, 2, 0, 1032);
        add_record(&s, 2, 1, 1032);
        add_record(&s, cases[i].type, 0, cases[i].len);
        end(&s);
        ck_assert_int_eq(parse(&s, s.len, &err),
                         cases[i].ok ? 0 : COLO_E_UNSUPPORTED);
    }
}
END_TEST

START_TEST(test_trim)
{
    struct state longer, shorter;
    uint8_t *ctx;
    uint32_t len;

    make(&longer, 32);
    make(&shorter, 24);
    ctx = longer.bytes + room();
    len = longer.len - room();
    ck_assert_int_eq(colo__hvmctx_record_len(ctx, len, 5), 32);
    ck_assert_int_eq(colo__hvmctx_record_len(ctx, len, 12), -1);
    /* nothing to do: nothing changes */
    ck_assert_uint_eq(colo__hvmctx_trim_lapic(ctx, len, 32), len);
    len = colo__hvmctx_trim_lapic(ctx, len, 24);
    ck_assert_uint_eq(len, shorter.len - room());
    ck_assert_mem_eq(ctx, shorter.bytes + room(), len);
    /* a newer Xen fills a short record up itself */
    ck_assert_uint_eq(colo__hvmctx_trim_lapic(ctx, len, 32), len);
}
END_TEST

/* a whole container, with devices and without */
START_TEST(test_shorten)
{
    for (int devices = 0; devices < 2; devices++) {
        struct state longer, shorter;
        struct colo_error err;
        uint32_t len;

        make(&longer, 32);
        make(&shorter, 24);
        if (devices) {
            make_devices(&longer, 32);
            make_devices(&shorter, 24);
        }
        ck_assert_int_eq(parse(&longer, longer.len, &err), 0);
        len = colo__hvmctx_shorten(longer.bytes, longer.len);
        ck_assert_uint_eq(len, shorter.len);
        ck_assert_mem_eq(longer.bytes, shorter.bytes, len);
        ck_assert_uint_eq(colo__hvmctx_shorten(longer.bytes, len), len);
    }
}
END_TEST

PURE_MAIN("hvmctx-parse", test_good, test_devices, test_every_cut,
          test_container_that_lies, test_records_that_lie, test_no_cpu,
          test_end_is_the_end, test_record_beyond_the_end,
          test_too_many_params, test_sizes, test_trim,
          test_shorten)
