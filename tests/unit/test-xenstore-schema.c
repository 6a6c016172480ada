/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The xenstore contract's paths and values: what is built is parsed back,
 * and no text is taken that must not be.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../xenstore/schema.h"

START_TEST(paths)
{
    char buf[COLO_XS_PATH_MAX], c[COLO_XS_WORD_MAX], i[COLO_XS_WORD_MAX],
        n[COLO_XS_WORD_MAX];
    char small[12];

    ck_assert_int_eq(colo__xs_path(buf, sizeof(buf), "a-b", "state", NULL), 0);
    ck_assert_str_eq(buf, "/libcolo/a-b/state");
    ck_assert_int_eq(colo__xs_path(buf, sizeof(buf), "a-b", NULL, NULL), 0);
    ck_assert_str_eq(buf, "/libcolo/a-b");
    ck_assert_int_eq(colo__xs_path(buf, sizeof(buf), "../x", "state", NULL),
                     COLO_E_INVAL);
    ck_assert_int_eq(colo__xs_path(buf, sizeof(buf), "", "state", NULL),
                     COLO_E_INVAL);
    ck_assert_int_eq(colo__xs_path(small, sizeof(small), "a-b", "s", NULL),
                     COLO_E_LIMIT);
    ck_assert_int_eq(colo__xs_proxy_path(buf, sizeof(buf), "u", "net", "vif0",
                                         "reply", NULL), 0);
    ck_assert_str_eq(buf, "/libcolo/u/proxy/net/vif0/reply");
    ck_assert_int_eq(colo__xs_proxy_split(buf, "u", c, i, n), 1);
    ck_assert_str_eq(c, "net");
    ck_assert_str_eq(i, "vif0");
    ck_assert_str_eq(n, "reply");
    ck_assert_int_eq(colo__xs_proxy_split(buf, "v", c, i, n), 0);
    ck_assert_int_eq(colo__xs_proxy_split("/libcolo/u/proxy/net/vif0", "u", c,
                                          i, n), 1);
    ck_assert_str_eq(n, "");
    ck_assert_int_eq(colo__xs_proxy_split("/libcolo/u/proxy/net", "u", c, i,
                                          n), 0);
    ck_assert_int_eq(colo__xs_proxy_split("/libcolo/u/proxy", "u", c, i, n),
                     0);
    ck_assert_int_eq(colo__xs_proxy_split("/libcolo/u/proxy/a/b/c/d", "u", c,
                                          i, n), 0);
    ck_assert_int_eq(colo__xs_proxy_path(buf, sizeof(buf), "u", "n/t", "x",
                                         NULL, NULL), COLO_E_INVAL);
    ck_assert_int_eq(colo__xs_proxy_path(
        buf, sizeof(buf), "u", "net", "012345678901234567890123456789012",
        NULL, NULL), COLO_E_INVAL);
}
END_TEST

static const struct {
    const char *text;
    struct colo_control want; /* verb 0: refused */
} control_cases[] = {
    { "7 checkpoint", { COLO_CONTROL_CHECKPOINT, 0, 7 } },
    { " 7  checkpoint \n", { COLO_CONTROL_CHECKPOINT, 0, 7 } },
    { "1 failover", { COLO_CONTROL_FAILOVER, 0, 1 } },
    { "18446744073709551615 stop", { COLO_CONTROL_STOP, 0, UINT64_MAX } },
    { "2 delay 250", { COLO_CONTROL_DELAY, 250, 2 } },
    { "2 delay 600000", { COLO_CONTROL_DELAY, 600000, 2 } },
    { "2 delay 600001", { 0, 0, 0 } },
    { "2 delay 0", { 0, 0, 0 } },
    { "2 delay -5", { 0, 0, 0 } },
    { "2 delay", { 0, 0, 0 } },
    { "2 delay 5 6", { 0, 0, 0 } },
    { "2 delay 5x", { 0, 0, 0 } },
    { "18446744073709551616 stop", { 0, 0, 0 } },
    { "0 stop", { 0, 0, 0 } },
    { "-1 stop", { 0, 0, 0 } },
    { "+1 stop", { 0, 0, 0 } },
    { "0x1 stop", { 0, 0, 0 } },
    { "1stop", { 0, 0, 0 } },
    { "stop", { 0, 0, 0 } },
    { "1", { 0, 0, 0 } },
    { "", { 0, 0, 0 } },
    { "1 stop now", { 0, 0, 0 } },
    { "1 STOP", { 0, 0, 0 } },
    { "1 checkpointcheckpointcheckpoint", { 0, 0, 0 } },
    { "1 \xff\xfe", { 0, 0, 0 } },
};

START_TEST(control_parse)
{
    const char *text = control_cases[_i].text;
    const struct colo_control *want = &control_cases[_i].want;
    struct colo_control got = { -9, 9, 99 };
    struct colo_error err;
    int rc = colo__xs_control_parse(text, &got, &err);

    if (want->verb == 0) {
        ck_assert_int_eq(rc, COLO_E_PROTO);
        ck_assert_int_eq(got.verb, -9);
        ck_assert_uint_eq(got.seq, 99);
        ck_assert_str_ne(err.text, "");
        return;
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(got.verb, want->verb);
    ck_assert_uint_eq(got.arg, want->arg);
    ck_assert_uint_eq(got.seq, want->seq);
}
END_TEST

START_TEST(control_build)
{
    for (int verb = COLO_CONTROL_CHECKPOINT; verb <= COLO_CONTROL_DELAY;
         verb++) {
        struct colo_control in = { verb, verb == COLO_CONTROL_DELAY ? 30 : 0,
                                   1ull << 53 };
        struct colo_control out;
        char buf[64], small[8];

        ck_assert_int_eq(colo__xs_control_build(buf, sizeof(buf), &in, NULL),
                         0);
        ck_assert_int_eq(colo__xs_control_parse(buf, &out, NULL), 0);
        ck_assert_int_eq(out.verb, in.verb);
        ck_assert_uint_eq(out.arg, in.arg);
        ck_assert_uint_eq(out.seq, in.seq);
        ck_assert_int_eq(colo__xs_control_build(small, sizeof(small), &in,
                                                NULL), COLO_E_LIMIT);
    }
}
END_TEST

START_TEST(request_roundtrip)
{
    struct colo_proxy_request out, undone = {
        sizeof(undone), COLO_PROXY_STOP, 12, 1
    };
    char buf[64];

    for (int verb = COLO_PROXY_START; verb <= COLO_PROXY_STOP; verb++) {
        struct colo_proxy_request in = { sizeof(in), verb, 12, 0 };

        if (verb == COLO_PROXY_START)
            in.arg = COLO_MODE_REMUS;
        if (verb == COLO_PROXY_CHECKPOINT || verb == COLO_PROXY_COMMIT)
            in.arg = UINT64_MAX;
        out.size = 0;
        ck_assert_int_eq(colo__xs_request_build(buf, sizeof(buf), &in, NULL),
                         0);
        ck_assert_int_eq(colo__xs_request_parse(buf, &out, NULL), 0);
        ck_assert_int_eq(out.verb, in.verb);
        ck_assert_uint_eq(out.seq, 12);
        ck_assert_uint_eq(out.arg, in.arg);
        ck_assert_uint_eq(out.size, 0);
    }
    ck_assert_str_eq(buf, "12 stop");
    ck_assert_int_eq(colo__xs_request_build(buf, sizeof(buf), &undone, NULL),
                     0);
    ck_assert_str_eq(buf, "12 stop 1");
    ck_assert_int_eq(colo__xs_request_parse(buf, &out, NULL), 0);
    ck_assert_int_eq(out.verb, COLO_PROXY_STOP);
    ck_assert_uint_eq(out.arg, 1);
}
END_TEST

START_TEST(request_refused)
{
    static const char *const bad[] = {
        "", "1", "start remus", "0 stop", "1 start", "1 start none",
        "1 start x", "1 start remus x", "1 checkpoint", "1 checkpoint x",
        "1 checkpoint 1 2", "1 commit -1", "1 stop 2", "1 stop 1 1",
        "1 stop now", "1 dance",
    };
    struct colo_proxy_request out;

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++)
        ck_assert_int_eq(colo__xs_request_parse(bad[i], &out, NULL),
                         COLO_E_PROTO);
}
END_TEST

START_TEST(answers)
{
    struct colo_answer a;
    char buf[256], reason[400];

    ck_assert_int_eq(colo__xs_answer_build(buf, sizeof(buf), 5, NULL, NULL),
                     0);
    ck_assert_str_eq(buf, "5 ok");
    ck_assert_int_eq(colo__xs_answer_parse(buf, &a, NULL), 0);
    ck_assert(a.ok && a.seq == 5);
    ck_assert_int_eq(colo__xs_answer_build(buf, sizeof(buf), 5, "no\nroom",
                                           NULL), 0);
    ck_assert_str_eq(buf, "5 error no?room");
    ck_assert_int_eq(colo__xs_answer_parse(buf, &a, NULL), 0);
    ck_assert(!a.ok);
    ck_assert_str_eq(a.text, "no?room");
    ck_assert_int_eq(colo__xs_answer_parse("5 error", &a, NULL), 0);
    ck_assert_str_eq(a.text, "no reason given");
    ck_assert_int_eq(colo__xs_answer_parse("5 okay", &a, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_answer_parse("5 ok x", &a, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_answer_parse("ok", &a, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_answer_parse("", &a, NULL), COLO_E_PROTO);
    /* a long reason is cut, and not inside a UTF-8 character */
    memset(reason, 'x', sizeof(reason));
    reason[399] = '\0';
    memcpy(reason + 198, "\xc3\xa4", 2);
    ck_assert_int_eq(colo__xs_answer_build(buf, sizeof(buf), 5, reason, NULL),
                     0);
    ck_assert_int_eq(colo__xs_answer_parse(buf, &a, NULL), 0);
    ck_assert_uint_eq(strlen(a.text), 198);
    /* nor thrown away when it is no UTF-8 at all */
    memset(reason, 0xaa, sizeof(reason) - 1);
    ck_assert_int_eq(colo__xs_answer_build(buf, sizeof(buf), 5, reason, NULL),
                     0);
    ck_assert_int_eq(colo__xs_answer_parse(buf, &a, NULL), 0);
    ck_assert_uint_eq(strlen(a.text), 196);
}
END_TEST

START_TEST(events)
{
    ck_assert_ptr_null(colo__xs_event_diverged("converged"));
    ck_assert_ptr_null(colo__xs_event_diverged("divergedx"));
    ck_assert_ptr_null(colo__xs_event_diverged(""));
    ck_assert_str_eq(colo__xs_event_diverged("diverged"), "");
    ck_assert_str_eq(colo__xs_event_diverged("diverged tcp seq"), "tcp seq");
}
END_TEST

START_TEST(exits)
{
    struct colo_exit end = { COLO_MODE_REMUS, COLO_REASON_ERROR, "no\nroom" };
    char buf[256];

    ck_assert_int_eq(colo__xs_exit_build(buf, sizeof(buf), &end, NULL), 0);
    ck_assert_str_eq(buf, "remus error no?room");
    ck_assert_int_eq(colo__xs_exit_parse("none request", &end, NULL), 0);
    ck_assert_int_eq(end.mode, COLO_MODE_NONE);
    ck_assert_int_eq(end.reason, COLO_REASON_REQUEST);
    ck_assert_str_eq(end.text, "");
    ck_assert_int_eq(colo__xs_exit_parse(buf, &end, NULL), 0);
    ck_assert_str_eq(end.text, "no?room");
    end.mode = 77;
    ck_assert_int_eq(colo__xs_exit_parse("", &end, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_exit_parse("remus", &end, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_exit_parse("x error", &end, NULL),
                     COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_exit_parse("remus x", &end, NULL),
                     COLO_E_PROTO);
    ck_assert_int_eq(end.mode, 77);
}
END_TEST

START_TEST(owners)
{
    struct colo_owner o = { 7, 8 };
    char buf[64];

    ck_assert_int_eq(colo__xs_owner_build(buf, sizeof(buf), &o, NULL), 0);
    ck_assert_str_eq(buf, "7 8");
    ck_assert_int_eq(colo__xs_owner_parse("123 456789", &o, NULL), 0);
    ck_assert(o.pid == 123 && o.start == 456789);
    ck_assert_int_eq(colo__xs_owner_parse("0 1", &o, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_owner_parse("4294967296 1", &o, NULL),
                     COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_owner_parse("1", &o, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_owner_parse("1 2 3", &o, NULL), COLO_E_PROTO);
    ck_assert_int_eq(o.pid, 123);
}
END_TEST

START_TEST(lists)
{
    struct colo_status in, out, large;
    struct colo_committed ci, co;
    char buf[1024], small[20];

    memset(&in, 0, sizeof(in));
    memset(&out, 0, sizeof(out));
    in.replication_error = 1;
    in.last_commit_ms = 1;
    in.checkpoints = 2;
    in.pause_median_us = 3;
    in.full_resyncs = UINT64_MAX;
    in.seed_total = 9;
    in.lockstep.own_dirty_pages = 11;
    in.lockstep.total_bytes = UINT64_MAX;
    ck_assert_int_eq(colo__xs_stats_build(buf, sizeof(buf), &in, NULL), 0);
    ck_assert_int_eq(colo__xs_stats_parse(buf, &out, NULL), 0);
    ck_assert_int_eq(out.replication_error, 1);
    ck_assert_uint_eq(out.checkpoints, 2);
    ck_assert_uint_eq(out.pause_median_us, 3);
    ck_assert_uint_eq(out.full_resyncs, UINT64_MAX);
    ck_assert_uint_eq(out.lockstep.own_dirty_pages, 11);
    ck_assert_uint_eq(out.lockstep.total_bytes, UINT64_MAX);
    ck_assert_uint_eq(out.seed_total, 0);
    memset(&large, 0x7f, sizeof(large)); /* fits in what publish has for it */
    ck_assert_int_eq(colo__xs_stats_build(buf, 1024, &large, NULL), 0);
    in.held_bytes = 5;
    in.output_lost = UINT64_MAX;
    ck_assert_int_eq(colo__xs_followers_build(buf, sizeof(buf), &in, NULL),
                     0);
    ck_assert_int_eq(colo__xs_followers_parse(buf, &out, NULL), 0);
    ck_assert_uint_eq(out.held_bytes, 5);
    ck_assert_uint_eq(out.output_lost, UINT64_MAX);
    ck_assert_int_eq(colo__xs_progress_build(buf, sizeof(buf), &in, NULL), 0);
    ck_assert_str_eq(buf, "done=0 total=9 bytes-per-second=0");
    ck_assert_int_eq(colo__xs_progress_parse(buf, &out, NULL), 0);
    ck_assert_uint_eq(out.seed_total, 9);
    for (size_t i = 0; i < sizeof(ci) / sizeof(uint64_t); i++)
        ((uint64_t *)&ci)[i] = UINT64_MAX - i;
    memset(&co, 0, sizeof(co));
    ck_assert_int_eq(colo__xs_checkpoint_build(buf, sizeof(buf), &ci, NULL),
                     0);
    ck_assert_int_eq(colo__xs_checkpoint_parse(buf, &co, NULL), 0);
    ck_assert_mem_eq(&ci, &co, sizeof(ci));
    ck_assert_int_eq(colo__xs_checkpoint_build(small, sizeof(small), &ci,
                                               NULL), COLO_E_LIMIT);
}
END_TEST

START_TEST(lists_odd)
{
    struct colo_committed c;

    memset(&c, 0, sizeof(c));
    c.info.epoch = 77;
    ck_assert_int_eq(colo__xs_checkpoint_parse("", &c, NULL), 0);
    ck_assert_uint_eq(c.info.epoch, 77);
    ck_assert_int_eq(colo__xs_checkpoint_parse("new=word epoch=3", &c, NULL),
                     0);
    ck_assert_uint_eq(c.info.epoch, 3);
    /* the whole list is refused, not half of it taken */
    ck_assert_int_eq(colo__xs_checkpoint_parse("epoch=4 wire-bytes=x", &c,
                                               NULL), COLO_E_PROTO);
    ck_assert_uint_eq(c.info.epoch, 3);
    ck_assert_int_eq(colo__xs_checkpoint_parse("epoch", &c, NULL),
                     COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_checkpoint_parse("=4", &c, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_checkpoint_parse("epoch=", &c, NULL),
                     COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_checkpoint_parse(
        "epoch=18446744073709551616", &c, NULL), COLO_E_PROTO);
    ck_assert_int_eq(colo__xs_checkpoint_parse(
        "epoch=000000000000000000000000000000", &c, NULL), COLO_E_PROTO);
}
END_TEST

START_TEST(names)
{
    for (int i = 0; i < COLO_STATE_COUNT; i++)
        ck_assert_int_eq(colo__xs_state_parse(colo_state_name(i)), i);
    ck_assert_int_eq(colo__xs_state_parse("unknown"), -1);
    ck_assert_int_eq(colo__xs_mode_parse("none"), COLO_MODE_NONE);
    ck_assert_int_eq(colo__xs_mode_parse("remus"), COLO_MODE_REMUS);
    ck_assert_int_eq(colo__xs_mode_parse(""), -1);
    ck_assert_int_eq(colo__xs_role_parse("secondary"), COLO_ROLE_SECONDARY);
    ck_assert_int_eq(colo__xs_reason_parse("error"), COLO_REASON_ERROR);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xenstore-schema");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, paths);
    tcase_add_loop_test(tc, control_parse, 0,
                        (int)COLO_ARRAY_LEN(control_cases));
    tcase_add_test(tc, control_build);
    tcase_add_test(tc, request_roundtrip);
    tcase_add_test(tc, request_refused);
    tcase_add_test(tc, answers);
    tcase_add_test(tc, events);
    tcase_add_test(tc, exits);
    tcase_add_test(tc, owners);
    tcase_add_test(tc, lists);
    tcase_add_test(tc, lists_odd);
    tcase_add_test(tc, names);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
