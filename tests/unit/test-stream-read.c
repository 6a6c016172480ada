/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The reader of Xen's streams takes what the writer made, in any pieces, and
 * knows when a stream may end.
 */
#include "stream-common.h"

static struct stream s;

static int read_stream(uint8_t mode, size_t step, struct seen *seen,
                       struct colo_stream_reader *reader,
                       struct colo_error *err)
{
    memset(seen, 0, sizeof(*seen));
    colo__stream_reader_init(reader, mode, NULL);
    return stream_read_all(reader, s.bytes, s.len, step, seen, err);
}

static const struct {
    uint8_t guest, mode;
    int rounds;
    int items;
} cases[] = {
    /* headers and records, of each round: PAGE_DATA and 4 pages, 3 others, 2
     * ends, 2 of the model */
    { COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1, 6 + 12 },
    { COLO_STREAM_HVM, COLO_STREAM_REMUS, 3, 6 + 3 * 12 },
    { COLO_STREAM_HVM, COLO_STREAM_COLO, 2, 6 + 2 * 13 },
    /* PV_INFO, PV_P2M_FRAMES; PAGE_DATA, 4 pages, 2 others, 8, 2 ends */
    { COLO_STREAM_PV, COLO_STREAM_PLAIN, 1, 8 + 17 },
    { COLO_STREAM_PV, COLO_STREAM_REMUS, 3, 8 + 3 * 17 },
};

START_TEST(test_good)
{
    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        static struct colo_stream_reader reader;
        struct colo_error err;
        static struct seen seen;

        stream_make(&s, cases[i].guest, cases[i].mode, cases[i].rounds);
        ck_assert_msg(!read_stream(cases[i].mode, s.len, &seen, &reader,
                                   &err), "%zu: %s", i, err.text);
        ck_assert_msg(seen.items == cases[i].items, "%zu: %d items\n%s", i,
                      seen.items, seen.text);
        ck_assert_int_eq(reader.guest, cases[i].guest);
        ck_assert_uint_eq(reader.checkpoints,
                          cases[i].mode == COLO_STREAM_PLAIN ? 0 :
                          (unsigned)cases[i].rounds);
        ck_assert_int_eq(colo__stream_ended(&reader, &err), 0);
    }
}
END_TEST

/* however it arrives, it is the same */
START_TEST(test_pieces)
{
    static const size_t steps[] = { 1, 7, 8, 64, 4095, 4096, 10000 };
    static struct colo_stream_reader reader;
    static struct seen whole, pieces;
    struct colo_error err;

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        stream_make(&s, cases[i].guest, cases[i].mode, cases[i].rounds);
        ck_assert_int_eq(read_stream(cases[i].mode, s.len, &whole, &reader,
                                     &err), 0);
        for (size_t k = 0; k < COLO_ARRAY_LEN(steps); k++) {
            ck_assert_int_eq(read_stream(cases[i].mode, steps[k], &pieces,
                                         &reader, &err), 0);
            ck_assert_str_eq(whole.text, pieces.text);
        }
    }
}
END_TEST

/* Nothing beyond the bytes given is touched, and no cut is an error. */
START_TEST(test_every_cut)
{
    static struct colo_stream_reader reader;
    struct colo_error err;

    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, 1);
    for (size_t cut = 0; cut < s.len; cut += cut < 600 ? 1 : 211) {
        uint8_t *copy = pure_guarded(s.bytes, cut);

        colo__stream_reader_init(&reader, COLO_STREAM_REMUS, NULL);
        ck_assert_int_eq(stream_read_all(&reader, copy, cut, cut, NULL, &err),
                         0);
        ck_assert_uint_eq(reader.checkpoints, 0);
        ck_assert_int_eq(colo__stream_ended(&reader, &err), COLO_E_PEER);
        munmap(copy - (64 * 1024 - cut), 64 * 1024 + 4096);
    }
}
END_TEST

/* Where a connection may break: behind the first CHECKPOINT_END, anywhere. */
START_TEST(test_ended)
{
    static struct colo_stream_reader reader;
    struct colo_error err;
    size_t first;

    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, 1);
    first = s.len;
    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, 2);
    for (size_t len = first - 9; len < s.len; len += 97) {
        colo__stream_reader_init(&reader, COLO_STREAM_REMUS, NULL);
        ck_assert_int_eq(stream_read_all(&reader, s.bytes, len, len, NULL,
                                         &err), 0);
        ck_assert_int_eq(colo__stream_ended(&reader, &err),
                         len < first ? COLO_E_PEER : 0);
        ck_assert_uint_eq(reader.checkpoints, len >= first);
    }
    /* a plain one has its end */
    stream_make(&s, COLO_STREAM_PV, COLO_STREAM_PLAIN, 1);
    colo__stream_reader_init(&reader, COLO_STREAM_PLAIN, NULL);
    ck_assert_int_eq(stream_read_all(&reader, s.bytes, s.len - 1, s.len,
                                     NULL, &err), 0);
    ck_assert_int_eq(colo__stream_ended(&reader, &err), COLO_E_PEER);
    ck_text(err, "among the device model's records");
}
END_TEST

/* What was handed out: frames, types, pages, parameters. */
START_TEST(test_content)
{
    static struct colo_stream_reader reader;
    struct colo_stream_item item;
    struct colo_error err;
    size_t pos = 0;
    uint64_t pfns = 0;
    int pages = 0, used;

    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1);
    colo__stream_reader_init(&reader, COLO_STREAM_PLAIN, NULL);
    while ((used = colo__stream_read(&reader, s.bytes + pos, s.len - pos,
                                     &item, &err)) > 0) {
        if (item.kind == COLO_ITEM_HEADER && item.layer == COLO_STREAM_LIBXC)
            ck_assert_int_eq(item.xen_major << 8 | item.xen_minor,
                             4 << 8 | 17);
        if (item.kind == COLO_ITEM_RECORD && item.entries) {
            ck_assert_uint_eq(item.count, 7);
            ck_assert_uint_eq(colo__stream_page_type(item.entries[2]),
                              COLO_PAGE_NONE);
            ck_assert_uint_eq(colo__stream_pfn(item.entries[5]), 0xfee00);
        }
        if (item.kind == COLO_ITEM_PAGE) {
            ck_assert_ptr_eq(item.body, s.bytes + pos);
            /* each page has the number of its entry */
            ck_assert_uint_eq(item.body[4095],
                              0x40 + (pages == 2 ? 3 : pages == 3 ? 5 :
                                      pages));
            pfns = pfns << 16 | (item.entry & 0xffff);
            pages++;
        }
        if (item.kind == COLO_ITEM_RECORD &&
            item.rule->type == COLO_LIBXC_HVM_PARAMS &&
            item.layer == COLO_STREAM_LIBXC) {
            ck_assert_uint_eq(item.len, 8 + 4 * 16);
            ck_assert_uint_eq(colo__le64(item.body + 8 + 3 * 16), 33);
        }
        pos += (size_t)used;
    }
    ck_assert_int_eq(used, 0);
    ck_assert_uint_eq(pos, s.len);
    ck_assert_int_eq(pages, 4);
    ck_assert_uint_eq(pfns, UINT64_C(0x000000010003ee00));
}
END_TEST

START_TEST(test_store_pairs)
{
    static const char data[] = "a/b\0one\0c\0";
    const char *key = NULL, *value = NULL;
    uint32_t at = 0;

    ck_assert(colo__stream_next_pair((const uint8_t *)data, sizeof(data), &at,
                                     &key, &value));
    ck_assert_str_eq(key, "a/b");
    ck_assert_str_eq(value, "one");
    ck_assert(colo__stream_next_pair((const uint8_t *)data, sizeof(data), &at,
                                     &key, &value));
    ck_assert_str_eq(key, "c");
    ck_assert_str_eq(value, "");
    ck_assert(!colo__stream_next_pair((const uint8_t *)data, sizeof(data), &at,
                                      &key, &value));
}
END_TEST

/* A record that may be left out is left out, however long. */
START_TEST(test_optional)
{
    static struct colo_stream_reader reader;
    static struct seen without, with, pieces;
    struct colo_error err;
    size_t at;

    stream_make(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, 1);
    ck_assert_int_eq(read_stream(COLO_STREAM_REMUS, s.len, &without, &reader,
                                 &err), 0);
    at = s.checkpoint;
    memmove(s.bytes + at + 8 + 10000 + 8, s.bytes + at, s.len - at);
    memset(s.bytes + at, 0xee, 8 + 10000 + 8);
    colo__put_le(s.bytes + at, 0x80001234, 4);
    colo__put_le(s.bytes + at + 4, 10000, 4);
    /* and an empty one */
    colo__put_le(s.bytes + at + 8 + 10000, 0xffffffff, 4);
    colo__put_le(s.bytes + at + 8 + 10000 + 4, 0, 4);
    s.len += 8 + 10000 + 8;
    ck_assert_int_eq(read_stream(COLO_STREAM_REMUS, s.len, &with, &reader,
                                 &err), 0);
    ck_assert_str_eq(with.text, without.text);
    ck_assert_int_eq(read_stream(COLO_STREAM_REMUS, 999, &pieces, &reader,
                                 &err), 0);
    ck_assert_str_eq(pieces.text, without.text);
    ck_assert_uint_eq(reader.checkpoints, 1);
}
END_TEST

PURE_MAIN("stream-read", test_good, test_pieces, test_every_cut, test_ended,
          test_content, test_store_pairs, test_optional)
