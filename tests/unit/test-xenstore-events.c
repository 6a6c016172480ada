/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Following a session over a store in memory: which events come, that none
 * comes twice, and that the descriptor wakes whoever polls it.
 */
#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "../../xenstore/client.h"
#include "../../xenstore/publish.h"
#include "xenstore-common.h"

static struct fake_tree *tree;
static struct colo_store *store;
static struct colo_publish *pub;
static struct colo_client *client;
static struct colo_status now;
static struct colo_error err;

static unsigned int count[8];
static struct colo_event last[8];
static struct colo_checkpoint_info last_checkpoint;
static char last_text[256];

static void on_event(void *user, const struct colo_event *e)
{
    ck_assert_ptr_eq(user, &now);
    ck_assert_uint_eq(e->size, sizeof(*e));
    count[e->type]++;
    last[e->type] = *e;
    if (e->checkpoint)
        last_checkpoint = *e->checkpoint;
    strcpy(last_text, e->text ? e->text : "");
}

static void publish(void)
{
    ck_assert_int_eq(colo__publish_status(pub, &now, NULL), 0);
}

static void setup(void)
{
    memset(count, 0, sizeof(count));
    memset(&now, 0, sizeof(now));
    now.size = sizeof(now);
    now.role = COLO_ROLE_PRIMARY;
    now.state = COLO_STATE_WAITING;
    now.mode = COLO_MODE_REMUS;
    strcpy(now.name, "web");
    tree = fake_tree_new();
    store = fake_store_open(tree);
    ck_assert_int_eq(colo__publish_open(store, "u1", COLO_ROLE_PRIMARY, &pub,
                                        NULL), 0);
    publish();
    ck_assert_int_eq(colo__client_new(fake_store_open(tree), "web", &client,
                                      &err), 0);
    ck_assert_int_eq(colo_client_set_event_fn(client, on_event, &now, &err),
                     0);
}

static void teardown(void)
{
    colo_client_close(client);
    colo__publish_close(pub);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}

static bool readable(void)
{
    struct pollfd pfd = { colo_client_get_fd(client), POLLIN, 0 };

    return poll(&pfd, 1, 0) == 1;
}

static void process(int want)
{
    ck_assert_int_eq(colo_client_process(client, &err), want);
}

START_TEST(present_is_no_event)
{
    ck_assert(readable());
    process(1);
    ck_assert(!readable());
    for (int i = 0; i < 8; i++)
        ck_assert_uint_eq(count[i], 0);
}
END_TEST

START_TEST(state)
{
    process(1);
    now.state = COLO_STATE_STOPPING;
    publish();
    ck_assert(readable());
    process(1);
    ck_assert_uint_eq(count[COLO_EVENT_STATE], 1);
    ck_assert_int_eq(last[COLO_EVENT_STATE].state, COLO_STATE_STOPPING);
    ck_assert_int_eq(last[COLO_EVENT_STATE].old_state, COLO_STATE_WAITING);
    /* there and back between two looks: nothing to tell */
    now.state = COLO_STATE_COMMITTING;
    publish();
    now.state = COLO_STATE_STOPPING;
    publish();
    process(1);
    ck_assert_uint_eq(count[COLO_EVENT_STATE], 1);
    fake_tree_set(tree, "/libcolo/u1/state", "garbage");
    process(1);
    ck_assert_uint_eq(count[COLO_EVENT_STATE], 1);
}
END_TEST

START_TEST(checkpoint)
{
    struct colo_checkpoint_info info = { .epoch = 3, .pause_us = 6500 };
    char value[512];

    process(1);
    ck_assert_int_eq(colo__publish_checkpoint(pub, &info, NULL), 0);
    process(1);
    ck_assert_uint_eq(count[COLO_EVENT_CHECKPOINT], 1);
    ck_assert_uint_eq(last_checkpoint.epoch, 3);
    ck_assert_uint_eq(last_checkpoint.pause_us, 6500);
    /* the same value written again is no other checkpoint; a second publish
     * would give it the time of another millisecond */
    ck_assert(fake_tree_get(tree, "/libcolo/u1/checkpoint", value,
                            sizeof(value)));
    fake_tree_set(tree, "/libcolo/u1/checkpoint", value);
    process(1);
    ck_assert_uint_eq(count[COLO_EVENT_CHECKPOINT], 1);
}
END_TEST

START_TEST(progress_and_warning)
{
    process(1);
    now.seed_done = 10;
    now.seed_total = 20;
    strcpy(now.error, "link is slow");
    publish();
    process(1);
    ck_assert_uint_eq(count[COLO_EVENT_PROGRESS], 1);
    ck_assert_uint_eq(last[COLO_EVENT_PROGRESS].seed_done, 10);
    ck_assert_uint_eq(count[COLO_EVENT_WARNING], 1);
    ck_assert_str_eq(last_text, "link is slow");
}
END_TEST

START_TEST(exit_with_reason)
{
    process(1);
    now.state = COLO_STATE_ENDED;
    now.last_mode = COLO_MODE_REMUS;
    now.mode = COLO_MODE_NONE;
    now.reason = COLO_REASON_ERROR;
    strcpy(now.error, "peer gone");
    publish();
    process(1);
    ck_assert_uint_eq(count[COLO_EVENT_EXIT], 1);
    ck_assert_int_eq(last[COLO_EVENT_EXIT].reason, COLO_REASON_ERROR);
    ck_assert_int_eq(last[COLO_EVENT_EXIT].mode, COLO_MODE_REMUS);
    ck_assert_str_eq(last_text, "peer gone");
    colo__publish_close(pub);
    pub = NULL;
    ck_assert(readable());
    process(0);
    process(0);
    ck_assert_uint_eq(count[COLO_EVENT_EXIT], 1);
}
END_TEST

/* As in life: the nodes are removed before anybody has read the state. */
START_TEST(exit_just_in_time)
{
    char value[256];

    process(1);
    now.state = COLO_STATE_ENDED;
    now.last_mode = COLO_MODE_REMUS;
    now.reason = COLO_REASON_ERROR;
    strcpy(now.error, "peer gone");
    publish();
    ck_assert(fake_tree_get(tree, "/libcolo/u1/exit", value, sizeof(value)));
    ck_assert_str_eq(value, "remus error peer gone");
    fake_tree_rm(tree, "/libcolo/u1/state");
    fake_tree_rm(tree, "/libcolo/u1/reason");
    fake_tree_rm(tree, "/libcolo/u1/last-mode");
    fake_tree_rm(tree, "/libcolo/u1/error");
    process(1);
    fake_tree_rm(tree, "/libcolo/u1");
    process(0);
    ck_assert_uint_eq(count[COLO_EVENT_EXIT], 1);
    ck_assert_int_eq(last[COLO_EVENT_EXIT].reason, COLO_REASON_ERROR);
    ck_assert_int_eq(last[COLO_EVENT_EXIT].mode, COLO_MODE_REMUS);
    ck_assert_str_eq(last_text, "peer gone");
}
END_TEST

START_TEST(exit_without_a_word)
{
    process(1);
    colo__publish_close(pub);
    pub = NULL;
    process(0);
    ck_assert_uint_eq(count[COLO_EVENT_EXIT], 1);
    ck_assert_str_eq(last_text, "the session has ended");
}
END_TEST

START_TEST(another_session_is_not_ours)
{
    process(1);
    fake_tree_set(tree, "/libcolo/u1/owner", "1 1");
    process(0);
}
END_TEST

START_TEST(a_request_keeps_events)
{
    process(1);
    now.state = COLO_STATE_STOPPING;
    publish();
    ck_assert_int_eq(colo_client_do_checkpoint(client, 0, &err),
                     COLO_E_TIMEOUT);
    /* the watch was taken in by the request: the descriptor must say so */
    ck_assert(readable());
    process(1);
    ck_assert_uint_eq(count[COLO_EVENT_STATE], 1);
    ck_assert(!readable());
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xenstore-events");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    if (!have_pidfd())
        return 77;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, present_is_no_event);
    tcase_add_test(tc, state);
    tcase_add_test(tc, checkpoint);
    tcase_add_test(tc, progress_and_warning);
    tcase_add_test(tc, exit_with_reason);
    tcase_add_test(tc, exit_just_in_time);
    tcase_add_test(tc, exit_without_a_word);
    tcase_add_test(tc, another_session_is_not_ours);
    tcase_add_test(tc, a_request_keeps_events);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
