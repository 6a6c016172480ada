/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The lines of the bootstrap: what is written is read again, and what is
 * wrong is refused.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link/bootstrap-line.h"

#define SESSION "000102030405060708090a0b0c0d0e0f"
#define KEY SESSION "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"

static int parse(const char *text, struct colo_boot_line *ret_line)
{
    return colo__boot_line_parse(text, strlen(text), ret_line);
}

static void expect_same(const struct colo_boot_line *in, const char *text)
{
    char buf[COLO_BOOT_LINE_MAX];
    struct colo_boot_line out;
    size_t len = colo__boot_line_format(in, buf, sizeof(buf));

    ck_assert_uint_lt(len, sizeof(buf));
    ck_assert_int_eq(buf[len - 1], '\n');
    buf[len - 1] = '\0';
    ck_assert_str_eq(buf, text);
    ck_assert_int_eq(parse(buf, &out), 0);
    ck_assert_uint_eq(out.version, COLO_BOOT_VERSION);
    out.version = 0;
    ck_assert_mem_eq(in, &out, sizeof(out));
}

START_TEST(test_round_trip)
{
    struct colo_boot_line line;

    memset(&line, 0, sizeof(line));
    line.verb = COLO_BOOT_OPEN;
    ck_assert(colo__hex_decode(SESSION, 32, line.session, 16));
    ck_assert(colo__hex_decode(KEY, 64, line.key, 32));
    expect_same(&line, "colo-bootstrap 1 open session=" SESSION " key=" KEY
                " transport=tls");
    line.transport = COLO_TRANSPORT_SSH;
    expect_same(&line, "colo-bootstrap 1 open session=" SESSION " key=" KEY
                " transport=ssh");
    line.streams = 3;
    expect_same(&line, "colo-bootstrap 1 open session=" SESSION " key=" KEY
                " transport=ssh streams=3");
    line.streams = 0;
    line.transport = 0;
    line.verb = COLO_BOOT_ATTACH;
    line.link = 1;
    expect_same(&line, "colo-bootstrap 1 attach session=" SESSION " key="
                KEY);
    line.link = 9;
    expect_same(&line, "colo-bootstrap 1 attach session=" SESSION " key="
                KEY " link=9");
    memset(&line, 0, sizeof(line));
    line.verb = COLO_BOOT_OK;
    expect_same(&line, "colo-bootstrap 1 ok");
    line.port = 65535;
    strcpy(line.address, "fe80::1%eth0");
    expect_same(&line, "colo-bootstrap 1 ok port=65535 "
                "address=fe80::1%eth0");
    memset(&line, 0, sizeof(line));
    line.verb = COLO_BOOT_ERROR;
    strcpy(line.text, "no such thing = here");
    expect_same(&line, "colo-bootstrap 1 error no such thing = here");
    memset(line.text, 'x', sizeof(line.text) - 1);
    ck_assert_uint_lt(colo__boot_line_format(&line, (char[1024]){ 0 }, 1024),
                      1024);
}
END_TEST

START_TEST(test_later_releases_may_add_fields)
{
    struct colo_boot_line line;

    ck_assert_int_eq(parse("colo-bootstrap 1  ok  color=blue port=7 x= ",
                           &line), 0);
    ck_assert_uint_eq(line.port, 7);
}
END_TEST

START_TEST(test_other_versions)
{
    struct colo_boot_line line;

    ck_assert_int_eq(parse("colo-bootstrap 2 whatever", &line),
                     COLO_E_VERSION);
    ck_assert_uint_eq(line.version, 2);
    ck_assert_int_eq(parse("colo-bootstrap 4294967295", &line),
                     COLO_E_VERSION);
    ck_assert_int_eq(parse("colo-bootstrap 0 ok", &line), COLO_E_VERSION);
}
END_TEST

static const char *const bad[] = {
    "",
    "colo-bootstrap",
    "colo-bootstrap ",
    "colo-bootstrap x ok",
    "colo-bootstrap -1 ok",
    "colo-bootstrap 4294967296 ok",
    "colo-bootstrap 1",
    "colo-bootstrap 1 maybe",
    "colo-bootstrap 1 OK",
    "Colo-bootstrap 1 ok",
    "colo-bootstrap 1 ok port",
    "colo-bootstrap 1 ok =7",
    "colo-bootstrap 1 ok port=",
    "colo-bootstrap 1 ok port=0",
    "colo-bootstrap 1 ok port=65536",
    "colo-bootstrap 1 ok port=7x",
    "colo-bootstrap 1 ok port=+7",
    "colo-bootstrap 1 ok port=00000000007",
    "colo-bootstrap 1 ok port=7 port=7",
    "colo-bootstrap 1 ok address=",
    "colo-bootstrap 1 ok address=-oX",
    "colo-bootstrap 1 ok address=a;b",
    "colo-bootstrap 1 ok address=0123456789012345678901234567890123456789"
        "012345678901234567890123",
    "colo-bootstrap 1 open",
    "colo-bootstrap 1 open session=" SESSION " key=" KEY,
    "colo-bootstrap 1 open session=" SESSION " transport=tls",
    "colo-bootstrap 1 open key=" KEY " transport=tls",
    "colo-bootstrap 1 open session=" SESSION " key=" KEY " transport=TLS",
    "colo-bootstrap 1 open session=" SESSION "0 key=" KEY " transport=tls",
    "colo-bootstrap 1 open session=" SESSION " key=0" KEY " transport=tls",
    "colo-bootstrap 1 attach session=" SESSION " key=" SESSION,
    "colo-bootstrap 1 attach session=" SESSION " key=" KEY " link=0",
    "colo-bootstrap 1 attach session=" SESSION " key=" KEY " link=10",
    "colo-bootstrap 1 open session=" SESSION " key=" KEY
        " transport=tls streams=9",
    "colo-bootstrap 1 attach session=00010203040506070809 key=" KEY,
    "colo-bootstrap 1 attach session=000102030405060708090A0B0C0D0E0F key="
        KEY,
};

START_TEST(test_refused)
{
    struct colo_boot_line line;

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++)
        ck_assert_msg(parse(bad[i], &line) == COLO_E_PROTO, "%s", bad[i]);
}
END_TEST

START_TEST(test_too_long)
{
    char buf[COLO_BOOT_LINE_MAX + 1];
    struct colo_boot_line line;
    int n = snprintf(buf, sizeof(buf), "colo-bootstrap 1 error ");

    memset(buf + n, 'e', sizeof(buf) - (size_t)n);
    ck_assert_int_eq(colo__boot_line_parse(buf, COLO_BOOT_LINE_MAX, &line),
                     COLO_E_PROTO);
    /* one that fits is cut to the text's size, and made printable */
    buf[n] = '\033';
    ck_assert_int_eq(colo__boot_line_parse(buf, COLO_BOOT_LINE_MAX - 1,
                                           &line), 0);
    ck_assert_uint_eq(strlen(line.text), sizeof(line.text) - 1);
    ck_assert_int_eq(line.text[0], '?');
    ck_assert_int_eq(line.text[1], 'e');
}
END_TEST

START_TEST(test_ssh_connection)
{
    static const char *const none[] = {
        NULL, "", "1.2.3.4", "1.2.3.4 5", "1.2.3.4 5 6.7.8.9",
        "a;b 5 6.7.8.9 22",
        "0123456789012345678901234567890123456789012345678901234567890123 5 "
        "6.7.8.9 22",
    };
    char client[64], server[64];

    colo__boot_ssh_connection("10.0.0.1 40000 fd00::2 22", client, server,
                              sizeof(server));
    ck_assert_str_eq(client, "10.0.0.1");
    ck_assert_str_eq(server, "fd00::2");
    for (size_t i = 0; i < COLO_ARRAY_LEN(none); i++) {
        colo__boot_ssh_connection(none[i], client, server, sizeof(server));
        ck_assert_str_eq(client, "");
        ck_assert_str_eq(server, "");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link-bootstrap-line");
    TCase *tcase = tcase_create("line");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, test_round_trip);
    tcase_add_test(tcase, test_later_releases_may_add_fields);
    tcase_add_test(tcase, test_other_versions);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_too_long);
    tcase_add_test(tcase, test_ssh_connection);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
