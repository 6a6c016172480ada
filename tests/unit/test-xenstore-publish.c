/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The publisher over a store in memory: claiming, stale sessions, status
 * that is written only when it changed, control requests good and bad.
 */
#include "../../xenstore/publish.h"
#include "xenstore-common.h"

#define DIR "/libcolo/u"

static struct fake_tree *tree;
static struct colo_store *store;
static struct colo_publish *pub;
static char buf[512];

static void setup(void)
{
    tree = fake_tree_new();
    store = fake_store_open(tree);
    pub = NULL;
}

static void teardown(void)
{
    colo__publish_close(pub);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}

static void open_it(void)
{
    ck_assert_int_eq(colo__publish_open(store, "u", COLO_ROLE_PRIMARY, &pub,
                                        NULL), 0);
}

static const char *get(const char *path)
{
    return fake_tree_get(tree, path, buf, sizeof(buf)) ? buf : "(none)";
}

/* Feeds fired watches until a request comes out; 0 if none does. */
static int control(struct colo_control *c)
{
    char token[COLO_STORE_TOKEN_MAX];
    int r;

    while ((r = colo__store_ops(store)->next(store, token, sizeof(token),
                                             NULL)) == 1) {
        r = colo__publish_control(pub, token, c, NULL);
        if (r)
            return r;
    }
    return r;
}

START_TEST(open_close)
{
    struct colo_owner o;

    open_it();
    ck_assert_str_eq(get(DIR "/role"), "primary");
    ck_assert_int_eq(colo__xs_owner_parse(get(DIR "/owner"), &o, NULL), 0);
    ck_assert_int_eq(o.pid, getpid());
    ck_assert(colo__owner_alive(&o));
    colo__publish_close(pub);
    pub = NULL;
    ck_assert_uint_eq(fake_tree_count(tree, DIR), 0);
    colo__publish_close(NULL);
}
END_TEST

/* Beside the status, which it does not confuse. */
START_TEST(interval_at_once)
{
    struct colo_status st = { .size = sizeof(st), .interval_ms = 100 };

    open_it();
    ck_assert_int_eq(colo__publish_status(pub, &st, NULL), 0);
    ck_assert_int_eq(colo__publish_interval(pub, 1300, NULL), 0);
    ck_assert_str_eq(get(DIR "/interval"), "1300");
    st.interval_ms = 1300;
    ck_assert_int_eq(colo__publish_status(pub, &st, NULL), 0);
    ck_assert_str_eq(get(DIR "/interval"), "1300");
}
END_TEST

/* Not a word of it while nothing of the kind is done. */
START_TEST(yield_is_said)
{
    open_it();
    ck_assert_str_eq(get(DIR "/yield"), "(none)");
    ck_assert_int_eq(colo__publish_yield(pub, true, NULL), 0);
    ck_assert_str_eq(get(DIR "/yield"), "1");
    ck_assert_int_eq(colo__publish_yield(pub, false, NULL), 0);
    ck_assert_str_eq(get(DIR "/yield"), "0");
}
END_TEST

START_TEST(second_is_refused)
{
    struct colo_store *other = fake_store_open(tree);
    struct colo_publish *second = NULL;
    struct colo_error err;

    open_it();
    ck_assert_int_eq(colo__publish_open(other, "u", COLO_ROLE_PRIMARY,
                                        &second, &err), COLO_E_EXISTS);
    snprintf(buf, sizeof(buf), "process %d ", getpid());
    ck_assert_ptr_nonnull(strstr(err.text, buf));
    ck_assert_ptr_null(second);
    /* and the first is unharmed */
    ck_assert(fake_tree_get(tree, DIR "/owner", NULL, 0));
    colo__store_ops(other)->close(other);
}
END_TEST

START_TEST(stale_is_cleaned)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    snprintf(buf, sizeof(buf), "%d 1", child);
    waitpid(child, NULL, 0);
    fake_tree_set(tree, DIR "/owner", buf);
    fake_tree_set(tree, DIR "/control", "3 stop");
    fake_tree_set(tree, DIR "/proxy/net/vif0/owner", "1 1");
    open_it();
    ck_assert_uint_eq(fake_tree_count(tree, DIR "/proxy"), 0);
    ck_assert(!fake_tree_get(tree, DIR "/control", NULL, 0));
    ck_assert(strcmp(get(DIR "/owner"), "") != 0);
}
END_TEST

START_TEST(reused_pid_is_stale)
{
    struct colo_owner o;

    ck_assert_int_eq(colo__owner_self(&o, NULL), 0);
    o.start++;
    ck_assert(!colo__owner_alive(&o));
    ck_assert_int_eq(colo__owner_pidfd(&o, NULL), COLO_E_NOTFOUND);
    colo__xs_owner_build(buf, sizeof(buf), &o, NULL);
    fake_tree_set(tree, DIR "/owner", buf);
    open_it();
}
END_TEST

START_TEST(garbage_owner_is_stale)
{
    fake_tree_set(tree, DIR "/owner", "nobody");
    open_it();
}
END_TEST

/* A node that holds nothing names nobody: it is taken, and really so. */
START_TEST(empty_owner_is_stale)
{
    struct colo_owner o;

    fake_tree_set(tree, DIR "/owner", "");
    open_it();
    ck_assert_int_eq(colo__xs_owner_parse(get(DIR "/owner"), &o, NULL), 0);
    ck_assert_int_eq(o.pid, getpid());
}
END_TEST

START_TEST(close_spares_a_successor)
{
    open_it();
    fake_tree_set(tree, DIR "/owner", "1 1");
    colo__publish_close(pub);
    pub = NULL;
    ck_assert_str_eq(get(DIR "/owner"), "1 1");
}
END_TEST

START_TEST(every_failure_of_open)
{
    int rc = -1;

    for (unsigned int n = 1; rc; n++) {
        ck_assert_uint_lt(n, 20);
        fake_store_fail(store, FAKE_ANY, n, COLO_E_STORE);
        rc = colo__publish_open(store, "u", COLO_ROLE_PRIMARY, &pub, NULL);
        fake_store_fail(store, FAKE_ANY, 0, 0);
        ck_assert(rc == 0 || rc == COLO_E_STORE);
        if (rc) {
            ck_assert_ptr_null(pub);
            ck_assert(!fake_tree_get(tree, DIR, NULL, 0));
        }
    }
}
END_TEST

static struct colo_status sample(void)
{
    struct colo_status s;

    memset(&s, 0, sizeof(s));
    s.size = sizeof(s);
    s.role = COLO_ROLE_PRIMARY;
    s.state = COLO_STATE_WAITING;
    s.mode = COLO_MODE_REMUS;
    s.domid = 5;
    s.interval_ms = 100;
    s.epoch = 12;
    s.last_commit_ms = 10;
    strcpy(s.name, "web\nserver");
    strcpy(s.peer, "host2");
    return s;
}

START_TEST(status_only_changes)
{
    struct colo_status s = sample();
    unsigned int before;

    open_it();
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), 0);
    ck_assert_str_eq(get(DIR "/state"), colo_state_name(COLO_STATE_WAITING));
    ck_assert_str_eq(get(DIR "/name"), "web?server");
    ck_assert_str_eq(get(DIR "/domid"), "5");
    ck_assert_str_eq(get(DIR "/interval"), "100");
    ck_assert_str_eq(get(DIR "/epoch"), "12");
    ck_assert_str_eq(get(DIR "/error"), "");
    ck_assert_str_eq(get(DIR "/mode"), "remus");
    before = fake_store_calls(store, FAKE_ANY);
    s.last_commit_ms = 25; /* gets older: nothing to write */
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), 0);
    ck_assert_uint_eq(fake_store_calls(store, FAKE_ANY), before);
    s.state = COLO_STATE_ENDED;
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), 0);
    /* how it ended, and the state */
    ck_assert_uint_eq(fake_store_calls(store, FAKE_ANY), before + 2);
    ck_assert_str_eq(get(DIR "/exit"), "none none");
    ck_assert_str_eq(get(DIR "/state"), colo_state_name(COLO_STATE_ENDED));
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), 0);
    ck_assert_uint_eq(fake_store_calls(store, FAKE_ANY), before + 2);
}
END_TEST

START_TEST(failed_write_is_repeated)
{
    struct colo_status s = sample();

    open_it();
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), 0);
    s.epoch = 13;
    fake_store_fail(store, FAKE_WRITE, 1, COLO_E_STORE);
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), COLO_E_STORE);
    ck_assert_str_eq(get(DIR "/epoch"), "12");
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), 0);
    ck_assert_str_eq(get(DIR "/epoch"), "13");
}
END_TEST

START_TEST(checkpoint_is_one_write)
{
    struct colo_checkpoint_info info;
    unsigned int before;

    open_it();
    memset(&info, 0, sizeof(info));
    info.epoch = 3;
    before = fake_store_calls(store, FAKE_ANY);
    ck_assert_int_eq(colo__publish_checkpoint(pub, &info, NULL), 0);
    ck_assert_uint_eq(fake_store_calls(store, FAKE_ANY), before + 1);
    ck_assert_int_eq(strncmp(get(DIR "/checkpoint"), "epoch=3 ", 8), 0);
}
END_TEST

START_TEST(control_request)
{
    struct colo_control c;

    open_it();
    ck_assert_int_eq(control(&c), 0);
    fake_tree_set(tree, DIR "/control", "7 checkpoint");
    ck_assert_int_eq(control(&c), 1);
    ck_assert_int_eq(c.verb, COLO_CONTROL_CHECKPOINT);
    ck_assert_uint_eq(c.seq, 7);
    ck_assert_int_eq(control(&c), 0);
    ck_assert_str_eq(get(DIR "/control-reply"), "(none)");
    ck_assert_int_eq(colo__publish_reply(pub, 7, NULL, NULL), 0);
    ck_assert_str_eq(get(DIR "/control-reply"), "7 ok");
    fake_tree_set(tree, DIR "/control", "8 stop");
    ck_assert_int_eq(control(&c), 1);
    ck_assert_int_eq(colo__publish_reply(pub, 8, "not now", NULL), 0);
    ck_assert_str_eq(get(DIR "/control-reply"), "8 error not now");
}
END_TEST

START_TEST(control_same_number)
{
    struct colo_control c;

    open_it();
    fake_tree_set(tree, DIR "/control", "7 stop");
    ck_assert_int_eq(control(&c), 1);
    /* again while it is being done: nothing */
    fake_tree_set(tree, DIR "/control", "7 stop");
    ck_assert_int_eq(control(&c), 0);
    ck_assert_int_eq(colo__publish_reply(pub, 7, "why", NULL), 0);
    fake_tree_set(tree, DIR "/control", "8 checkpoint");
    ck_assert_int_eq(control(&c), 1);
    ck_assert_int_eq(colo__publish_reply(pub, 8, NULL, NULL), 0);
    /* again afterwards: the old answer, not done again */
    fake_tree_set(tree, DIR "/control", "7 stop");
    ck_assert_int_eq(control(&c), 0);
    ck_assert_str_eq(get(DIR "/control-reply"), "7 error why");
}
END_TEST

static const char *const malformed[][2] = {
    { "7 dance", "7 error " },
    { "7 delay 0", "7 error " },
    { "checkpoint", "0 error " },
    { "99999999999999999999999 stop", "0 error " },
    { "7", "7 error " },
};

START_TEST(control_malformed)
{
    struct colo_control c;
    unsigned int before;

    open_it();
    fake_tree_set(tree, DIR "/control", malformed[_i][0]);
    ck_assert_int_eq(control(&c), 0);
    ck_assert_int_eq(strncmp(get(DIR "/control-reply"), malformed[_i][1],
                             strlen(malformed[_i][1])), 0);
    /* the same again is not answered again */
    before = fake_store_calls(store, FAKE_WRITE);
    fake_tree_set(tree, DIR "/control", malformed[_i][0]);
    ck_assert_int_eq(control(&c), 0);
    ck_assert_uint_eq(fake_store_calls(store, FAKE_WRITE), before);
    /* and a good one still goes through */
    fake_tree_set(tree, DIR "/control", "9 checkpoint");
    ck_assert_int_eq(control(&c), 1);
}
END_TEST

START_TEST(control_binary)
{
    struct colo_control c;
    char big[1000];

    open_it();
    fake_tree_set_bytes(tree, DIR "/control", "7 st\0op", 7);
    ck_assert_int_eq(control(&c), 0);
    ck_assert_int_eq(strncmp(get(DIR "/control-reply"), "0 error ", 8), 0);
    memset(big, '7', sizeof(big));
    fake_tree_set_bytes(tree, DIR "/control", big, sizeof(big));
    ck_assert_int_eq(control(&c), 0);
    fake_tree_rm(tree, DIR "/control");
    ck_assert_int_eq(control(&c), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xenstore-publish");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    if (!have_pidfd())
        return 77;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, open_close);
    tcase_add_test(tc, second_is_refused);
    tcase_add_test(tc, stale_is_cleaned);
    tcase_add_test(tc, interval_at_once);
    tcase_add_test(tc, yield_is_said);
    tcase_add_test(tc, reused_pid_is_stale);
    tcase_add_test(tc, garbage_owner_is_stale);
    tcase_add_test(tc, empty_owner_is_stale);
    tcase_add_test(tc, close_spares_a_successor);
    tcase_add_test(tc, every_failure_of_open);
    tcase_add_test(tc, status_only_changes);
    tcase_add_test(tc, failed_write_is_repeated);
    tcase_add_test(tc, checkpoint_is_one_write);
    tcase_add_test(tc, control_request);
    tcase_add_test(tc, control_same_number);
    tcase_add_loop_test(tc, control_malformed, 0,
                        (int)COLO_ARRAY_LEN(malformed));
    tcase_add_test(tc, control_binary);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
