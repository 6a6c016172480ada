/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The client over a store in memory: finding sessions, status, requests that
 * are answered, refused, overwritten, unanswered; dead sessions.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../xenstore/client.h"
#include "../../xenstore/publish.h"
#include "xenstore-common.h"

#define DIR "/libcolo/u1"

static struct fake_tree *tree;
static struct colo_store *store; /* the session's */
static struct colo_publish *pub;
static struct colo_client *client;
static struct colo_error err;

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
    s.last_commit_ms = 10000;
    s.pause_median_us = 6500;
    s.seed_total = 32768;
    strcpy(s.name, "web");
    strcpy(s.peer, "host2");
    return s;
}

static void setup(void)
{
    struct colo_status s = sample();

    tree = fake_tree_new();
    store = fake_store_open(tree);
    client = NULL;
    ck_assert_int_eq(colo__publish_open(store, "u1", COLO_ROLE_PRIMARY, &pub,
                                        NULL), 0);
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), 0);
}

static void teardown(void)
{
    colo_client_close(client);
    colo__publish_close(pub);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}

static int connect_to(const char *domain)
{
    return colo__client_new(fake_store_open(tree), domain, &client, &err);
}

/* ---- a session on a thread --------------------------------------------- */

enum answer { ANSWER_OK, ANSWER_NO, OVERWRITTEN, REMOVED, KILLED };

struct session {
    enum answer answer;
    pid_t owner;
    struct colo_control got;
    unsigned int count;
    pthread_t thread;
};

static void *session_main(void *arg)
{
    struct session *s = arg;
    const struct colo_store_ops *ops = colo__store_ops(store);
    char token[COLO_STORE_TOKEN_MAX];
    struct pollfd pfd = { ops->fd(store), POLLIN, 0 };
    bool overwrite = s->answer == OVERWRITTEN;

    for (int i = 0; i < 20; i++) {
        poll(&pfd, 1, 100);
        while (ops->next(store, token, sizeof(token), NULL) == 1) {
            char now[128];

            if (overwrite && fake_tree_get(tree, DIR "/control", now,
                                           sizeof(now))) {
                /* another client's request hides the first one */
                overwrite = false;
                fake_tree_set(tree, DIR "/control", "1 checkpoint");
            }
            if (colo__publish_control(pub, token, &s->got, NULL) != 1)
                continue;
            s->count++;
            if (s->answer == REMOVED) {
                fake_tree_rm(tree, DIR);
                return NULL;
            }
            if (s->answer == KILLED) {
                kill(s->owner, SIGKILL);
                return NULL;
            }
            colo__publish_reply(pub, s->got.seq,
                                s->answer == ANSWER_NO ? "not now" : NULL,
                                NULL);
            if (s->got.seq != 1)
                return NULL;
        }
    }
    return NULL;
}

static void session_start(struct session *s)
{
    pthread_create(&s->thread, NULL, session_main, s);
}

static void session_join(struct session *s)
{
    pthread_join(s->thread, NULL);
}

/* ---- tests ------------------------------------------------------------- */

START_TEST(found_by)
{
    static const char *const how[] = { "web", "5", "u1" };

    fake_tree_set(tree, "/libcolo/u0/name", "other");
    fake_tree_set(tree, "/libcolo/u0/domid", "55");
    ck_assert_int_eq(connect_to(how[_i]), 0);
    ck_assert_str_eq(client->uuid, "u1");
}
END_TEST

START_TEST(not_found)
{
    ck_assert_int_eq(connect_to("mail"), COLO_E_NOTFOUND);
    ck_assert_str_eq(err.text, "no session for 'mail': start one with: colo "
                               "protect mail HOST");
    ck_assert_int_eq(connect_to("6"), COLO_E_NOTFOUND);
    fake_tree_rm(tree, "/libcolo");
    ck_assert_int_eq(connect_to("web"), COLO_E_NOTFOUND);
}
END_TEST

START_TEST(dead_is_said)
{
    pid_t child = make_owner(tree, DIR "/owner");

    end_owner(child);
    ck_assert_int_eq(connect_to("web"), COLO_E_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "has died"));
    ck_assert_ptr_nonnull(strstr(err.text, "colo recover"));
}
END_TEST

START_TEST(zombie_is_dead)
{
    pid_t child = make_owner(tree, DIR "/owner");
    siginfo_t info;

    kill(child, SIGKILL);
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    ck_assert_int_eq(connect_to("web"), COLO_E_NOTFOUND);
    waitpid(child, NULL, 0);
}
END_TEST

START_TEST(status)
{
    struct colo_status s = { .size = sizeof(s) }, want = sample();
    struct colo_checkpoint_info info = { .epoch = 12, .wire_bytes = 99 };

    ck_assert_int_eq(connect_to("web"), 0);
    ck_assert_int_eq(colo_client_query_status(client, &s, &err), 0);
    ck_assert_int_eq(s.role, want.role);
    ck_assert_int_eq(s.state, want.state);
    ck_assert_int_eq(s.mode, want.mode);
    ck_assert_uint_eq(s.domid, 5);
    ck_assert_uint_eq(s.interval_ms, 100);
    ck_assert_uint_eq(s.epoch, 12);
    ck_assert_str_eq(s.name, "web");
    ck_assert_str_eq(s.peer, "host2");
    ck_assert_str_eq(s.uuid, "u1");
    ck_assert_uint_eq(s.pause_median_us, 6500);
    ck_assert_uint_eq(s.seed_total, 32768);
    ck_assert_uint_ge(s.last_commit_ms, 10000);
    ck_assert_uint_lt(s.last_commit_ms, 20000);
    /* a checkpoint that the other nodes do not know of yet */
    info.epoch = 13;
    ck_assert_int_eq(colo__publish_checkpoint(pub, &info, NULL), 0);
    ck_assert_int_eq(colo_client_query_status(client, &s, &err), 0);
    ck_assert_uint_eq(s.last.wire_bytes, 99);
    ck_assert_uint_eq(s.epoch, 13);
    ck_assert_uint_ge(s.last_commit_ms, 1);
    ck_assert_uint_lt(s.last_commit_ms, 5000);
}
END_TEST

START_TEST(status_of_an_older_caller)
{
    struct colo_status s;

    memset(&s, 0x5a, sizeof(s));
    s.size = 16;
    ck_assert_int_eq(connect_to("web"), 0);
    ck_assert_int_eq(colo_client_query_status(client, &s, &err), 0);
    ck_assert_int_eq(s.mode, COLO_MODE_REMUS);
    ck_assert_int_eq(s.reason, 0x5a5a5a5a);
    ck_assert_uint_eq(s.size, 16);
    s.size = 0;
    ck_assert_int_eq(colo_client_query_status(client, &s, &err),
                     COLO_E_INVAL);
}
END_TEST

START_TEST(status_survives_garbage)
{
    static const char *const nodes[] = {
        "role", "state", "mode", "last-mode", "reason", "epoch", "peer",
        "error", "domid", "name", "interval", "stats", "checkpoint",
        "progress",
    };
    struct colo_status s = { .size = sizeof(s) };
    char path[64];

    ck_assert_int_eq(connect_to("web"), 0);
    for (size_t i = 0; i < COLO_ARRAY_LEN(nodes); i++) {
        snprintf(path, sizeof(path), DIR "/%s", nodes[i]);
        if (_i == 0)
            fake_tree_set(tree, path, "= = \x01 99999999999999999999999");
        else
            fake_tree_set_bytes(tree, path, "a\0b", 3);
    }
    ck_assert_int_eq(colo_client_query_status(client, &s, &err), 0);
    ck_assert_uint_eq(s.epoch, 0);
    ck_assert_int_eq(colo_client_process(client, &err), 1);
}
END_TEST

START_TEST(answered)
{
    struct session s = { .answer = ANSWER_OK };

    ck_assert_int_eq(connect_to("web"), 0);
    session_start(&s);
    ck_assert_int_eq(colo_client_set_delay(client, 40, 1500, &err), 0);
    session_join(&s);
    ck_assert_int_eq(s.got.verb, COLO_CONTROL_DELAY);
    ck_assert_uint_eq(s.got.arg, 40);
    ck_assert_uint_lt(s.got.seq, 1ull << 53);
    ck_assert_int_eq(colo_client_set_delay(client, 0, 100, &err),
                     COLO_E_INVAL);
    ck_assert_int_eq(colo_client_set_delay(client, 600001, 100, &err),
                     COLO_E_INVAL);
}
END_TEST

START_TEST(refused)
{
    struct session s = { .answer = ANSWER_NO };

    ck_assert_int_eq(connect_to("web"), 0);
    session_start(&s);
    ck_assert_int_eq(colo_client_do_checkpoint(client, 1500, &err),
                     COLO_E_PEER_SAID);
    ck_assert_str_eq(err.text, "not now");
    session_join(&s);
}
END_TEST

START_TEST(overwritten_is_repeated)
{
    struct session s = { .answer = OVERWRITTEN };

    ck_assert_int_eq(connect_to("web"), 0);
    session_start(&s);
    ck_assert_int_eq(colo_client_failover(client, 1500, &err), 0);
    session_join(&s);
    ck_assert_int_eq(s.got.verb, COLO_CONTROL_FAILOVER);
    ck_assert_uint_eq(s.count, 2);
}
END_TEST

START_TEST(unanswered_is_withdrawn)
{
    ck_assert_int_eq(connect_to("web"), 0);
    ck_assert_int_eq(colo_client_stop(client, 30, &err), COLO_E_TIMEOUT);
    ck_assert(!fake_tree_get(tree, DIR "/control", NULL, 0));
    /* an old answer with another number is none */
    fake_tree_set(tree, DIR "/control-reply", "5 ok");
    ck_assert_int_eq(colo_client_stop(client, 30, &err), COLO_E_TIMEOUT);
    fake_tree_set(tree, DIR "/control-reply", "garbage");
    ck_assert_int_eq(colo_client_stop(client, 0, &err), COLO_E_TIMEOUT);
}
END_TEST

START_TEST(stop_removes_all)
{
    struct session s = { .answer = REMOVED };

    ck_assert_int_eq(connect_to("web"), 0);
    ck_assert_int_eq(colo_client_process(client, &err), 1);
    session_start(&s);
    ck_assert_int_eq(_i ? colo_client_do_checkpoint(client, 1500, &err) :
                          colo_client_stop(client, 1500, &err),
                     _i ? COLO_E_NOTFOUND : 0);
    session_join(&s);
    ck_assert_int_eq(colo_client_process(client, &err), 0);
}
END_TEST

START_TEST(killed_while_waiting)
{
    struct session s = { .answer = KILLED };

    s.owner = make_owner(tree, DIR "/owner");
    ck_assert_int_eq(connect_to("web"), 0);
    session_start(&s);
    ck_assert_int_eq(colo_client_stop(client, 1500, &err), COLO_E_NOTFOUND);
    session_join(&s);
    ck_assert_int_eq(colo_client_process(client, &err), 0);
    ck_assert_int_eq(colo_client_do_checkpoint(client, 1500, &err),
                     COLO_E_NOTFOUND);
    waitpid(s.owner, NULL, 0);
}
END_TEST

START_TEST(set_replication)
{
    struct session s = { .answer = ANSWER_OK };

    ck_assert_int_eq(connect_to("web"), 0);
    ck_assert_int_eq(colo_client_set_replication(client, 1, 1, 1, 50, &err),
                     COLO_E_INVAL);
    ck_assert_int_eq(colo_client_set_replication(client, 0, 0, 0, 50, &err),
                     COLO_E_INVAL);
    ck_assert_int_eq(colo_client_set_replication(client, 1, 1, 0, 50, &err),
                     0);
    session_start(&s);
    ck_assert_int_eq(colo_client_set_replication(client, 0, 1, _i, 1500,
                                                 &err), 0);
    session_join(&s);
    ck_assert_int_eq(s.got.verb,
                     _i ? COLO_CONTROL_FAILOVER : COLO_CONTROL_STOP);
}
END_TEST

START_TEST(every_store_failure)
{
    struct colo_status s = { .size = sizeof(s) };
    unsigned int fds = count_fds();

    for (unsigned int n = 1; n < 40; n++) {
        struct colo_store *mine = fake_store_open(tree);
        int rc;

        client = NULL;
        fake_store_fail_from(mine, FAKE_ANY, n, COLO_E_STORE);
        rc = colo__client_new(mine, "web", &client, &err);
        if (rc) {
            ck_assert_int_eq(rc, COLO_E_STORE);
            ck_assert_ptr_null(client);
            continue;
        }
        rc = colo_client_query_status(client, &s, &err);
        if (rc == 0)
            rc = colo_client_process(client, &err);
        if (rc == 1)
            rc = colo_client_stop(client, 0, &err);
        ck_assert(rc == COLO_E_STORE || rc == COLO_E_TIMEOUT);
        colo_client_close(client);
    }
    client = NULL;
    ck_assert_uint_eq(count_fds(), fds);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xenstore-client");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    if (!have_pidfd())
        return 77;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, found_by, 0, 3);
    tcase_add_test(tc, not_found);
    tcase_add_test(tc, dead_is_said);
    tcase_add_test(tc, zombie_is_dead);
    tcase_add_test(tc, status);
    tcase_add_test(tc, status_of_an_older_caller);
    tcase_add_loop_test(tc, status_survives_garbage, 0, 2);
    tcase_add_test(tc, answered);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, overwritten_is_repeated);
    tcase_add_test(tc, unanswered_is_withdrawn);
    tcase_add_loop_test(tc, stop_removes_all, 0, 2);
    tcase_add_test(tc, killed_while_waiting);
    tcase_add_loop_test(tc, set_replication, 0, 2);
    tcase_add_test(tc, every_store_failure);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
