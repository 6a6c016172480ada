/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Asking the other host: a shell stands in for ssh, so that HOST is the
 * script that it runs and the command for the host is its $0.
 */
#include <unistd.h>

#include "../unit/pure-common.h"

#include "../../cli/check-peer.h"

#define ITEM(result) \
    "echo '{\"items\":[{\"id\":\"name-taken\",\"result\":\"" result "\"}]}'"

static char seen[8][64], last_text[256];
static unsigned count;

static void show(void *user, const char *where,
                 const struct colo_check_item *item)
{
    (void)user;
    (void)where;
    snprintf(last_text, sizeof(last_text), "%s", item->text);
    if (count < 8)
        snprintf(seen[count++], sizeof(seen[0]), "%s", item->id);
}

/* each test is a process of its own */
static struct check_report report = { .show = show };

static bool ask(const char *script, int cancel_fd)
{
    return check_peer(&report, "sh -c", "colo", script, "g1", cancel_fd);
}

START_TEST(answers)
{
    ck_assert(ask(ITEM("ok"), -1));
    ck_assert_uint_eq(report.refused, 0);
    ck_assert(ask(ITEM("warning"), -1));
    ck_assert_uint_eq(report.warnings, 1);
    ck_assert(ask(ITEM("refused") "; exit 3", -1));
    ck_assert_uint_eq(report.refused, 1);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(seen[2], "name-taken");
}
END_TEST

/* What the guest needs is in the command. */
START_TEST(asks_for_what_is_needed)
{
    struct colo_check_item item = {
        COLO_CHECK_OK, "memory-needed", "700 pages", ""
    };

    check_report_item(&report, &item);
    ck_assert(ask("test \"$0\" = \"colo check --host --json --pages 700 "
                  "--name 'g1'\" && " ITEM("ok"), -1));
    ck_assert_uint_eq(report.refused, 0);
}
END_TEST

/* what an older libcolo there does not know is asked for again without */
START_TEST(asks_an_older_one)
{
    struct colo_check_item disk = {
        COLO_CHECK_OK, "disk-needed", "512 bytes are needed at /dev/vg/w", ""
    };

    report.mode = COLO_MODE_COLO;
    check_report_item(&report, &disk);
    ck_assert(ask("test \"$0\" = \"colo check --host --json --pages 0 "
                  "--mode colo --disk '/dev/vg/w:512' --name 'g1'\" && "
                  ITEM("ok"), -1));
    ck_assert_uint_eq(report.warnings, 0);
    ck_assert(ask("case $0 in *--disk*) exit 2;; esac; " ITEM("ok"), -1));
    ck_assert_uint_eq(report.warnings, 1);
    ck_assert_uint_eq(report.refused, 0);
    ck_assert_str_eq(seen[count - 1], "peer-older");
    ck_assert(!ask("exit 2", -1));
    ck_assert_str_eq(seen[count - 1], "peer-unreachable");
}
END_TEST

/* what cannot be asked for may be missing there */
START_TEST(too_much_is_needed)
{
    char text[400];
    struct colo_check_item file = { COLO_CHECK_OK, "file-needed", text, "" };

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    check_report_item(&report, &file);
    ck_assert(ask(ITEM("ok"), -1));
    ck_assert_uint_eq(report.refused, 1);
    ck_assert_str_eq(seen[count - 1], "needs-too-long");
}
END_TEST

/* a number that was given is no number at the other host */
START_TEST(asks_for_the_name)
{
    struct colo_check_item item = {
        COLO_CHECK_OK, "name", "its name is my guest", ""
    };
    static const char *const commands[] = {
        "colo check --host --json --pages 0",
        "colo check --host --json --pages 0 --name 'my guest'",
    };
    char script[400];

    for (size_t i = 0; i < COLO_ARRAY_LEN(commands); i++) {
        snprintf(script, sizeof(script), "test \"$0\" = \"%s\" && %s",
                 commands[i], ITEM("ok"));
        ck_assert(check_peer(&report, "sh -c", "colo", script, "12", -1));
        check_report_item(&report, &item);
    }
}
END_TEST

/* where nothing but stock Xen is */
START_TEST(stock)
{
    struct colo_check_item disk = {
        COLO_CHECK_OK, "disk", "disk xvda is replicated by a proxy", ""
    };

    check_stock(&report, "host2", COLO_MODE_REMUS);
    ck_assert_uint_eq(report.warnings, 1);
    ck_assert_uint_eq(report.refused, 0);
    check_stock(&report, "host2", COLO_MODE_COLO);
    ck_assert_uint_eq(report.refused, 1);
    check_report_item(&report, &disk);
    check_stock(&report, "host2", COLO_MODE_REMUS);
    ck_assert_uint_eq(report.refused, 2);
    ck_assert_str_eq(seen[0], "peer-stock");
    ck_assert_str_eq(report.where, "host2");
}
END_TEST

#define XEN(text) \
    "echo '{\"items\":[{\"id\":\"xen-version\",\"result\":\"ok\"," \
    "\"text\":\"" text "\"}]}'"

static int32_t pair_result;
static char pair_text[160];

static void show_pair(void *user, const char *where,
                      const struct colo_check_item *item)
{
    show(user, where, item);
    if (strcmp(item->id, "xen-pair"))
        return;
    pair_result = item->result;
    snprintf(pair_text, sizeof(pair_text), "%s", item->text);
}

/* what this host's and that host's Xen are to each other */
START_TEST(pair_of_releases)
{
    static const struct {
        const char *here, *script;
        int32_t result;
        const char *text;
    } cases[] = {
        { "Xen is 4.17.5", XEN("Xen is 4.17.7"), COLO_CHECK_OK,
          "Xen is 4.17 here and 4.17 there" },
        { "Xen is 4.17.5", XEN("Xen is 4.20.5-pre"), COLO_CHECK_OK,
          "Xen is 4.17 here and 4.20 there" },
        { "Xen is 4.20.5", XEN("Xen is 4.17.5"), COLO_CHECK_WARNING,
          "Xen is 4.20 here and 4.17 there: " },
        { "Xen is 5.0", XEN("Xen is 4.20"), COLO_CHECK_WARNING, "Xen is 5.0" },
        { "Xen is 4.17.5", ITEM("ok"), -1, "" },
        { "Xen is 4.17.5", XEN("Xen is many"), -1, "" },
        { "Xen is ", XEN("Xen is 4.20"), -1, "" },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        struct colo_check_item item = {
            COLO_CHECK_OK, "xen-version", cases[i].here, ""
        };

        memset(&report, 0, sizeof(report));
        report.show = show_pair;
        pair_result = -1;
        pair_text[0] = '\0';
        check_report_item(&report, &item);
        ck_assert(ask(cases[i].script, -1));
        ck_assert_int_eq(pair_result, cases[i].result);
        ck_assert_msg(!strncmp(pair_text, cases[i].text,
                               strlen(cases[i].text)), "%s", pair_text);
    }
}
END_TEST

/* No answer, half of one, one with a code that it cannot have: refused. */
START_TEST(not_asked)
{
    static const struct {
        const char *script, *says;
    } cases[] = {
        { "exit 127", " colo check --host --json ...`: exit status 127" },
        { "exit 0", "exit status 0, and no findings" },
        { "echo '{\"items\":'", "exit status 0, and no findings" },
        { ITEM("ok") "; exit 1", "exit status 1" },
        { "kill -9 $$", "could not be run to its end" },
    };

    for (unsigned i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        count = 0;
        ck_assert(!ask(cases[i].script, -1));
        ck_assert_uint_eq(report.refused, i + 1);
        ck_assert_str_eq(seen[0], "peer-unreachable");
        ck_assert_msg(strstr(last_text, cases[i].says), "%s", last_text);
    }
}
END_TEST

/* no libcolo there: stock Xen may be, where that will do */
START_TEST(stock_will_do)
{
    report.stock_ok = true;
    ck_assert(!ask("exit 127", -1));
    ck_assert(report.absent);
    ck_assert_uint_eq(report.refused, 0);
    report.absent = false;
    ck_assert(!ask("exit 255", -1));
    ck_assert(!report.absent);
    ck_assert_uint_eq(report.refused, 1);
}
END_TEST

/* one that is there and lacks a library ends with 127, too */
START_TEST(cannot_be_loaded)
{
    report.stock_ok = true;
    ck_assert(!ask("case $0 in 'command -v colo') echo /usr/bin/colo;; "
                   "*) exit 127;; esac", -1));
    ck_assert(!report.absent);
    ck_assert_uint_eq(report.refused, 1);
    ck_assert_str_eq(seen[0], "peer-unreachable");
}
END_TEST

START_TEST(cancelled)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], "", 1), 1);
    ck_assert(!ask("sleep 30; " ITEM("ok"), fds[0]));
    ck_assert_uint_eq(count, 0); /* no finding about the host */
    close(fds[0]);
    close(fds[1]);
}
END_TEST

PURE_MAIN("cli-check-peer", answers, asks_for_what_is_needed,
          asks_an_older_one, too_much_is_needed, asks_for_the_name,
          stock, not_asked, pair_of_releases, stock_will_do,
          cannot_be_loaded, cancelled)
