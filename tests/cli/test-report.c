/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The findings of a check as JSON, and what comes from the other host: what
 * one `colo` writes the other reads, and nonsense is no finding.
 */
#include <unistd.h>

#include "../unit/pure-common.h"

#include "../../cli/check-report.h"

/* stdout of what a function prints, to buf. */
static FILE *begin(int *saved)
{
    FILE *f = tmpfile();

    ck_assert_ptr_nonnull(f);
    fflush(stdout);
    *saved = dup(1);
    dup2(fileno(f), 1);
    return f;
}

static void end(FILE *f, int saved, char *buf, size_t cap)
{
    size_t n;

    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    rewind(f);
    n = fread(buf, 1, cap - 1, f);
    buf[n] = 0;
    fclose(f);
}

START_TEST(test_round_trip)
{
    struct colo_check_item items[] = {
        { COLO_CHECK_OK, "memory-needed", "1234 pages", "" },
        { COLO_CHECK_WARNING, "w", "a \"quoted\"\\ text\n\x01", "do it" },
        { COLO_CHECK_REFUSED, "r", "not \xff utf-8 \xc3\xa4", "" },
        { 17, "from-the-future", "x", "" },
    };
    struct check_report a = { .where = "here" }, b = { .where = "there" };
    char text[4096], again[4096];
    FILE *f;
    int saved;

    f = begin(&saved);
    ck_assert(check_report_begin(&a, true, "web", "host2"));
    for (size_t i = 0; i < COLO_ARRAY_LEN(items); i++)
        check_report_item(&a, &items[i]);
    ck_assert_int_eq(check_report_end(&a, "yes", "no"), CLI_NOT_PROTECTABLE);
    end(f, saved, text, sizeof(text));
    ck_assert_uint_eq(a.refused, 2);
    ck_assert_uint_eq(a.need_pages, 1234);

    f = begin(&saved);
    ck_assert(check_report_merge(&b, text));
    end(f, saved, again, sizeof(again));
    ck_assert_uint_eq(b.refused, 2);
    ck_assert_uint_eq(b.warnings, 1);
    ck_assert_ptr_nonnull(strstr(again, "there: a \"quoted\"\\ text"));
    ck_assert_ptr_nonnull(strstr(again, "way out: do it"));
}
END_TEST

START_TEST(test_needs)
{
    struct colo_check_item items[] = {
        { COLO_CHECK_OK, "bridge-needed", "xenbr0 is needed", "" },
        { COLO_CHECK_OK, "file-needed", "/a/it's;$(x) is needed", "" },
        { COLO_CHECK_OK, "file-needed", "/b", "" },
        { COLO_CHECK_OK, "disk-needed", "5 bytes are needed at /a b:c", "" },
        { COLO_CHECK_OK, "net-compared", "its output ...", "" },
        { COLO_CHECK_OK, "libvirt", "it is libvirt's", "" },
    };
    struct check_report report = { .where = "here" };
    struct colo_check_item bad = { COLO_CHECK_OK, "disk-needed", "", "" };
    char small[16] = "x";

    for (size_t i = 0; i < COLO_ARRAY_LEN(items); i++)
        check_report_item(&report, &items[i]);
    ck_assert_str_eq(report.needs, " --bridge 'xenbr0' --file "
                     "'/a/it'\\''s;$(x)' --file '/b'");
    ck_assert_str_eq(report.more, " --disk '/a b:c:5' --nets --toolstack "
                     "auto");
    ck_assert(!report.needs_cut);
    report.toolstack = COLO_TOOLSTACK_XL;
    check_report_item(&report, &items[5]);
    ck_assert_str_eq(strstr(report.more, " --toolstack"),
                     " --toolstack auto"); /* not once more */
    check_report_item(&report, &bad);
    ck_assert(report.needs_cut);
    ck_assert(!check_quote(small, sizeof(small), "--name", "longer-name"));
    ck_assert_str_eq(small, "x");
    ck_assert(!check_quote(small, sizeof(small), "--n", "''"));
    ck_assert_str_eq(small, "x");
    ck_assert(check_quote(small, sizeof(small), "--n", "1234567"));
    ck_assert_str_eq(small, "x --n '1234567'");
}
END_TEST

START_TEST(test_nonsense)
{
    static const char *const bad[] = {
        "", "x", "{", "[]", "{}", "{\"items\":5}", "{\"items\":[",
        "bash: colo: command not found\n", "\xff\xfe"
    };
    struct check_report report = { .where = "there" };
    char text[2048];
    FILE *f;
    int saved;

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++)
        ck_assert_msg(!check_report_merge(&report, bad[i]), "%s", bad[i]);
    ck_assert_uint_eq(report.refused, 0);
    /* members that lack or are something else: refused, not ignored */
    f = begin(&saved);
    ck_assert(check_report_merge(&report, "{\"items\":[1,null,{},"
                                 "{\"id\":5,\"result\":\"fine\"},"
                                 "{\"id\":\"a\",\"result\":\"ok\"}]}"));
    end(f, saved, text, sizeof(text));
    ck_assert_uint_eq(report.refused, 4);
}
END_TEST

START_TEST(test_status)
{
    struct colo_status status = {
        .size = sizeof(status), .state = COLO_STATE_WAITING, .name = "a\"b",
        .epoch = UINT64_MAX,
    };
    yajl_gen gen = cli_json_new();
    char text[4096];
    FILE *f;
    int saved;

    cli_json_status(gen, &status);
    f = begin(&saved);
    cli_json_end(gen, stdout);
    end(f, saved, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "\"name\":\"a\\\"b\""));
    ck_assert_ptr_nonnull(strstr(text, "\"epoch\":18446744073709551615"));
    ck_assert_ptr_nonnull(strstr(text, "\"state\":\"waiting\""));
}
END_TEST

PURE_MAIN("cli-report", test_round_trip, test_needs, test_nonsense,
          test_status)
