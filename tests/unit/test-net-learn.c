/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Addresses learned from frames, the frames that announce them, and the way
 * of the table to the other side.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../net-proxy/frames.h"
#include "../../net-proxy/learn.h"

static const uint8_t mac[6] = { 0x02, 0x16, 0x3e, 1, 2, 3 };

static struct colo_learn_entry entry4(uint8_t last)
{
    struct colo_learn_entry e = { .family = 4, .card = 1 };

    memcpy(e.mac, mac, 6);
    memcpy(e.addr, (uint8_t[]){ 192, 0, 2, last }, 4);
    return e;
}

static struct colo_learn_entry entry6(void)
{
    struct colo_learn_entry e = { .family = 6, .vlan = 7 };

    memcpy(e.mac, mac, 6);
    memcpy(e.addr, (uint8_t[]){ 0xfe, 0x80, [15] = 9 }, 16);
    return e;
}

static void expect_entry(const struct colo_learn *l, unsigned int i,
                         const struct colo_learn_entry *e)
{
    ck_assert_uint_lt(i, l->count);
    ck_assert_mem_eq(l->entry[i].mac, e->mac, 6);
    ck_assert_mem_eq(l->entry[i].addr, e->addr, 16);
    ck_assert_int_eq(l->entry[i].family, e->family);
    ck_assert_int_eq(l->entry[i].vlan, e->vlan);
    ck_assert_int_eq(l->entry[i].card, e->card);
}

/* What we send at failover teaches what it was made of. */
START_TEST(there_and_back)
{
    struct colo_learn l = { 0 };
    struct colo_learn_entry four = entry4(1), six = entry6();
    uint8_t frame[COLO_FRAME_BYTES];

    colo__learn_frame(&l, 1, frame, colo__frame_address(&four, frame), 0);
    ck_assert_uint_eq(l.count, 2); /* the MAC, and the address */
    ck_assert_int_eq(l.entry[0].family, 0);
    expect_entry(&l, 1, &four);
    colo__learn_frame(&l, 0, frame, colo__frame_address(&six, frame), 0);
    ck_assert_uint_eq(l.count, 4);
    expect_entry(&l, 3, &six);
    /* again: nothing new */
    l.changes = 0;
    colo__learn_frame(&l, 0, frame, colo__frame_address(&six, frame), 0);
    ck_assert_uint_eq(l.count, 4);
    ck_assert_uint_eq(l.changes, 0);
    /* a tag that the kernel has taken off */
    six.vlan = 0;
    colo__learn_frame(&l, 0, frame, colo__frame_address(&six, frame), 9);
    ck_assert_uint_eq(l.count, 6);
    ck_assert_int_eq(l.entry[5].vlan, 9);
}
END_TEST

START_TEST(frame_bytes)
{
    static const uint8_t garp[] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x16, 0x3e, 1, 2, 3,
        0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1,
        0x02, 0x16, 0x3e, 1, 2, 3, 192, 0, 2, 1,
        0x02, 0x16, 0x3e, 1, 2, 3, 192, 0, 2, 1,
    };
    /* checksum by hand: ffff - sum of the words */
    static const uint8_t na[] = {
        0x33, 0x33, 0, 0, 0, 1, 0x02, 0x16, 0x3e, 1, 2, 3,
        0x81, 0, 0, 7, 0x86, 0xdd,
        0x60, 0, 0, 0, 0, 32, 58, 255,
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        136, 0, 0x16, 0x43, 0x20, 0, 0, 0,
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
        2, 1, 0x02, 0x16, 0x3e, 1, 2, 3,
    };
    struct colo_learn_entry four = entry4(1), six = entry6();
    uint8_t frame[COLO_FRAME_BYTES];
    uint32_t sum = 32 + 58;

    ck_assert_uint_eq(colo__frame_address(&four, frame), 60);
    ck_assert_mem_eq(frame, garp, sizeof(garp));
    ck_assert_uint_eq(colo__frame_address(&six, frame), sizeof(na));
    for (size_t i = 26; i < sizeof(na); i += 2)
        sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    ck_assert_uint_eq(sum, 0xffff);
    frame[60] = na[60];
    frame[61] = na[61];
    ck_assert_mem_eq(frame, na, sizeof(na));
    ck_assert_uint_eq(colo__frame_rarp(&four, frame), 60);
    ck_assert_mem_eq(frame + 12, "\x80\x35\0\1\x08\0\6\4\0\3", 10);
    four.family = 0;
    ck_assert_uint_eq(colo__frame_address(&four, frame), 0);
}
END_TEST

START_TEST(not_learned)
{
    struct colo_learn l = { 0 };
    struct colo_learn_entry e = entry4(1);
    uint8_t frame[COLO_FRAME_BYTES];
    size_t len = colo__frame_address(&e, frame);

    /* cut anywhere before the sender's address ends: no address */
    for (size_t i = 0; i < 14 + 28; i++) {
        memset(&l, 0, sizeof(l));
        colo__learn_frame(&l, 1, frame, i, 0);
        ck_assert_uint_le(l.count, i >= 14);
    }
    memset(&l, 0, sizeof(l));
    frame[6] = 0x03; /* a group's MAC as the sender */
    colo__learn_frame(&l, 1, frame, len, 0);
    ck_assert_uint_eq(l.count, 0);
    frame[6] = 0x02;
    frame[28] = 0; /* ARP probe: 0.0.0.0 asks */
    frame[29] = frame[30] = frame[31] = 0;
    colo__learn_frame(&l, 1, frame, len, 0);
    ck_assert_uint_eq(l.count, 1);
    frame[28] = 224; /* a group's address */
    colo__learn_frame(&l, 1, frame, len, 0);
    ck_assert_uint_eq(l.count, 1);
}
END_TEST

/* A guest that speaks from ever new addresses. */
START_TEST(bounded)
{
    struct colo_learn l = { 0 }, back;
    struct colo_learn_entry e, kept = entry4(200);
    uint8_t frame[COLO_FRAME_BYTES], buf[COLO_LEARN_BYTES];
    bool found = false;
    size_t len;

    for (int i = 1; i <= 150; i++) {
        e = entry4((uint8_t)i);
        colo__learn_frame(&l, 1, frame, colo__frame_address(&e, frame), 0);
        colo__learn_frame(&l, 1, frame, colo__frame_address(&kept, frame), 0);
    }
    ck_assert_uint_eq(l.count, COLO_LEARN_MAX);
    for (unsigned int i = 0; i < l.count; i++)
        found = found || l.entry[i].addr[3] == 200;
    ck_assert_msg(found, "what speaks most was forgotten");
    len = colo__learn_export(&l, buf);
    ck_assert_uint_eq(len, COLO_LEARN_BYTES);
    ck_assert_int_eq(colo__learn_import(&back, buf, len), 0);
    ck_assert_uint_eq(back.count, l.count);
    for (unsigned int i = 0; i < l.count; i++)
        expect_entry(&back, i, &l.entry[i]);
}
END_TEST

START_TEST(import_refused)
{
    struct colo_learn l = { 0 };
    struct colo_learn_entry e = entry6();
    uint8_t frame[COLO_FRAME_BYTES], buf[COLO_LEARN_BYTES], bad[sizeof(buf)];
    size_t len;
    /* offset and value that make no sense there */
    static const uint8_t wrong[][2] = {
        { 0, 1 }, { 2, 1 }, { 3, 1 }, { 3, 3 }, { 3, 65 }, { 13, 4 },
        { 13, 5 }, { 10, 0x10 }, { 4, 1 }, { 39, 4 },
    };

    colo__learn_frame(&l, 0, frame, colo__frame_address(&e, frame), 0);
    len = colo__learn_export(&l, buf);
    ck_assert_uint_eq(len, 4 + 2 * 26);
    ck_assert_int_eq(colo__learn_import(&l, buf, len), 0);
    ck_assert_uint_eq(l.count, 2);
    for (size_t i = 0; i < COLO_ARRAY_LEN(wrong); i++) {
        memcpy(bad, buf, len);
        bad[wrong[i][0]] = wrong[i][1];
        ck_assert_msg(colo__learn_import(&l, bad, len) == COLO_E_PROTO,
                      "case %zu", i);
        ck_assert_uint_eq(l.count, 0);
    }
    for (size_t i = 0; i < len; i++)
        ck_assert_int_eq(colo__learn_import(&l, buf, i), COLO_E_PROTO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net-learn");
    TCase *tc = tcase_create("learn");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, there_and_back);
    tcase_add_test(tc, frame_bytes);
    tcase_add_test(tc, not_learned);
    tcase_add_test(tc, bounded);
    tcase_add_test(tc, import_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
