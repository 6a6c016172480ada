/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A plain stream becomes a first checkpoint, and the other way round; what a
 * stock backup sends back.
 */
#include "stream-common.h"

#include "../../remus-compat/stream-back.h"
#include "../../remus-compat/stream-convert.h"

static struct stream from, want;
static uint8_t got[STREAM_ROOM];
static struct colo_stream_reader reader;
static struct colo_error err;

/* everything up to the end of the first checkpoint; bytes, or an error */
static int convert(uint8_t mode, uint8_t to)
{
    size_t pos = 0, len = 0;

    colo__stream_reader_init(&reader, mode, NULL);
    for (;;) {
        uint8_t spare[COLO_STREAM_HEAD];
        struct colo_stream_item item;
        const uint8_t *p = NULL;
        int rc, used = colo__stream_read(&reader, from.bytes + pos,
                                         from.len - pos, &item, &err);

        ck_assert_msg(used > 0, "%s", err.text);
        rc = colo__stream_convert(&item, to, from.bytes + pos, spare, &p,
                                  &err);
        if (rc)
            return rc;
        memcpy(got + len, p, (size_t)used);
        len += (size_t)used;
        pos += (size_t)used;
        if (colo__stream_first_done(&item))
            return (int)len;
    }
}

START_TEST(test_both_ways)
{
    static const uint8_t guests[] = { COLO_STREAM_PV, COLO_STREAM_HVM };
    static const uint8_t modes[] = { COLO_STREAM_PLAIN, COLO_STREAM_REMUS };

    for (int i = 0; i < 4; i++) {
        uint8_t mode = modes[i & 1], to = modes[!(i & 1)];

        stream_make(&from, guests[i / 2], mode, 1);
        stream_make(&want, guests[i / 2], to, 1);
        ck_assert_uint_eq(from.len, want.len);
        ck_assert_mem_ne(from.bytes, want.bytes, want.len);
        ck_assert_int_eq(convert(mode, to), (int)want.len);
        ck_assert_mem_eq(got, want.bytes, want.len);
    }
}
END_TEST

/* of a longer one only the first checkpoint is a plain stream */
START_TEST(test_first_only)
{
    stream_make(&want, COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1);
    stream_make(&from, COLO_STREAM_HVM, COLO_STREAM_COLO, 3);
    ck_assert_int_eq(convert(COLO_STREAM_COLO, COLO_STREAM_PLAIN),
                     (int)want.len);
    ck_assert_mem_eq(got, want.bytes, want.len);
}
END_TEST

START_TEST(test_no_place)
{
    stream_begin(&from);
    stream_head(&from, COLO_STREAM_HVM);
    stream_hvm_state(&from);
    stream_mark(&from, COLO_STREAM_LIBXC, COLO_LIBXC_VERIFY);
    stream_end(&from);
    ck_assert_int_eq(convert(COLO_STREAM_PLAIN, COLO_STREAM_REMUS),
                     COLO_E_UNSUPPORTED);
    ck_text(err, "VERIFY");
}
END_TEST

/* ---- what comes back in mode COLO -------------------------------------- */

static uint8_t back[4096];
static size_t back_len;

static void make_back(const uint64_t *pfns, uint32_t count)
{
    struct colo_stream_out out;

    colo__stream_out_init(&out, back, sizeof(back));
    for (int i = 0; i < 2; i++) {
        colo__stream_out_state(&out, COLO_SVM_READY);
        colo__stream_out_state(&out, COLO_SVM_RESUMED);
        colo__stream_out_state(&out, COLO_SVM_SUSPENDED);
        colo__stream_out_dirty(&out, pfns, count);
    }
    ck_assert_int_eq(colo__stream_out_end(&out, &back_len, &err), 0);
}

/* a word for each item; frames are summed up */
static int read_back(size_t step, char *text, size_t room, uint64_t *sum)
{
    struct colo_back_reader r;
    size_t pos = 0, have = 0;

    *text = '\0';
    *sum = 0;
    colo__back_reader_init(&r, 5000);
    while (pos < back_len) {
        struct colo_back_item item;
        int used = colo__back_read(&r, back + pos, have - pos, &item, &err);

        if (used < 0) {
            ck_assert_int_eq(colo__back_read(&r, back, back_len, &item, NULL),
                             COLO_E_STATE);
            return used;
        }
        if (!used) {
            if (have == back_len)
                return 0;
            have = have + step < back_len ? have + step : back_len;
            continue;
        }
        pos += (size_t)used;
        ck_assert_uint_le(pos, have);
        if (item.kind == COLO_BACK_STATE)
            snprintf(text + strlen(text), room - strlen(text), "s%u ",
                     item.state);
        if (item.kind == COLO_BACK_LIST)
            snprintf(text + strlen(text), room - strlen(text), "l%u ",
                     item.count);
        for (uint32_t i = 0; item.kind == COLO_BACK_PFNS && i < item.count;
             i++)
            *sum = *sum * 3 + colo__le64(item.pfns + 8 * i);
    }
    return 0;
}

START_TEST(test_back)
{
    static const size_t steps[] = { 1, 8, 13, 16, 4096 };
    char text[256];
    uint64_t sum;

    for (size_t i = 0; i < COLO_ARRAY_LEN(steps); i++) {
        make_back((uint64_t[]){ 5, 4096, 5000 }, 3);
        ck_assert_int_eq(read_back(steps[i], text, sizeof(text), &sum), 0);
        ck_assert_str_eq(text, "s2 s3 s1 l3 s2 s3 s1 l3 ");
        ck_assert_uint_eq(sum, (5 * 9 + 4096 * 3 + 5000) * UINT64_C(28));
        make_back(NULL, 0);
        ck_assert_int_eq(read_back(steps[i], text, sizeof(text), &sum), 0);
        ck_assert_str_eq(text, "s2 s3 s1 l0 s2 s3 s1 l0 ");
    }
}
END_TEST

static int back_with(size_t at, uint8_t value)
{
    char text[256];
    uint64_t sum;

    make_back((uint64_t[]){ 5, 4096, 5000 }, 3);
    back[at] = value;
    return read_back(64, text, sizeof(text), &sum);
}

START_TEST(test_back_refused)
{
    /* another record, another length, another state, padding */
    ck_assert_int_eq(back_with(0, 4), COLO_E_PROTO);
    ck_text(err, "else than READY");
    ck_assert_int_eq(back_with(4, 0), COLO_E_PROTO);
    ck_assert_int_eq(back_with(4, 16), COLO_E_LIMIT);
    ck_assert_int_eq(back_with(8, COLO_SVM_RESUMED), COLO_E_PROTO);
    ck_assert_int_eq(back_with(12, 1), COLO_E_PROTO);
    ck_assert_int_eq(back_with(16 + 8, COLO_SVM_READY), COLO_E_PROTO);
    ck_text(err, "else than RESUMED");
    /* the list */
    ck_assert_int_eq(back_with(48, 5), COLO_E_PROTO);
    ck_text(err, "DIRTY_PFN_LIST");
    ck_assert_int_eq(back_with(48 + 4, 23), COLO_E_PROTO);
    ck_assert_int_eq(back_with(48 + 7, 0x80), COLO_E_LIMIT);
    ck_assert_int_eq(back_with(48 + 8 + 17, 0x14), COLO_E_PROTO);
    ck_text(err, "beyond 0x1388");
    ck_assert_int_eq(back_with(48 + 8 + 23, 0x80), COLO_E_PROTO);
}
END_TEST

START_TEST(test_dirty_too_long)
{
    struct colo_stream_out out;
    uint64_t pfn = 1;
    size_t len;

    colo__stream_out_init(&out, back, 12);
    colo__stream_out_dirty(&out, &pfn, 1);
    ck_assert_int_eq(colo__stream_out_end(&out, &len, &err), COLO_E_LIMIT);
    colo__stream_out_init(&out, back, sizeof(back));
    colo__stream_out_dirty(&out, &pfn, COLO_STREAM_MAX_RECORD / 8 + 1);
    ck_assert_int_eq(colo__stream_out_end(&out, &len, &err), COLO_E_LIMIT);
}
END_TEST

PURE_MAIN("stream-convert", test_both_ways, test_first_only, test_no_place,
          test_back, test_back_refused, test_dirty_too_long)
