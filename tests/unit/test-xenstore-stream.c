/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What disks need beside requests: proxies that the session waits for, word of
 * how far their first copy is, and the stream to the twin.
 */
#include <sys/socket.h>

#include "../../libcolo/replication/replication.h"
#include "../../xenstore/local-socket.h"
#include "../../xenstore/proxy.h"
#include "../../xenstore/publish.h"
#include "../../xenstore/replication-internal.h"
#include "xenstore-common.h"

#define DIR "/libcolo/u1"

static struct fake_tree *tree;
static struct colo_store *store;
static struct colo_publish *pub;
static struct colo_replication *rep;
static const struct colo_replication_ops *ops;
static struct colo_proxy *disk;
static struct colo_error err;

static void setup(void)
{
    tree = fake_tree_new();
    store = fake_store_open(tree);
    disk = NULL;
    ck_assert_int_eq(colo__publish_open(store, "u1", COLO_ROLE_PRIMARY, &pub,
                                        NULL), 0);
    ck_assert_int_eq(colo__replication_xenstore_new(store, "u1", NULL, &rep,
                                                    NULL), 0);
    ops = colo__replication_ops(rep);
}

static void teardown(void)
{
    colo_proxy_close(disk);
    ops->close(rep);
    colo__publish_close(pub);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}

static void join(void)
{
    ck_assert_int_eq(colo__proxy_new(fake_store_open(tree), "u1", "disk",
                                     "xvda", 0, &disk, &err), 0);
}

static int pending(void)
{
    char token[COLO_STORE_TOKEN_MAX];
    bool diverged;

    while (colo__store_ops(store)->next(store, token, sizeof(token),
                                        NULL) == 1)
        ck_assert_int_ge(colo__replication_xenstore_watch(rep, token, &err),
                         0);
    return ops->pending(rep, &diverged, &err);
}

static struct colo_proxy_request request(void)
{
    struct colo_proxy_request r = { .size = sizeof(r) };

    ck_assert_int_eq(colo_proxy_next(disk, &r, &err), 1);
    return r;
}

/* Waited for from the beginning, though it comes later. */
START_TEST(expected)
{
    uint64_t done, total;

    ck_assert_int_eq(colo__replication_xenstore_expect(rep, "disk", "xvda",
                                                       &err), 0);
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    ck_assert_int_eq(pending(), 1);
    join();
    ck_assert_int_eq(pending(), 1);
    ck_assert_int_eq(request().verb, COLO_PROXY_START);
    ck_assert_int_eq(colo_proxy_event(disk, "progress 4096 8192", &err), 0);
    ck_assert_int_eq(pending(), 1);
    colo__replication_xenstore_progress(rep, &done, &total);
    ck_assert_uint_eq(done, 4096);
    ck_assert_uint_eq(total, 8192);
}
END_TEST

/* Its time begins when it is expected: a replica's cards are known when the
 * first copy is over, however long that took. */
START_TEST(expected_late)
{
    const uint64_t long_us = 61000000;
    struct replication_xenstore *rx = (struct replication_xenstore *)rep;

    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_COLO, &err), 0);
    rx->prepared_us -= long_us;
    ck_assert_int_eq(colo__replication_xenstore_expect(rep, "net", "0-emu",
                                                       &err), 0);
    ck_assert_int_eq(pending(), 1);
    rx->expected[0].since_us -= long_us;
    (void)pending();
    ck_assert_int_eq(pending(), COLO_E_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(err.text, "net/0-emu did not join"));
}
END_TEST

START_TEST(expected_answers)
{
    ck_assert_int_eq(colo__replication_xenstore_expect(rep, "disk", "xvda",
                                                       &err), 0);
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    join();
    ck_assert_int_eq(pending(), 1);
    ck_assert_int_eq(colo_proxy_reply(disk, request().seq,
                                      _i ? "no room" : NULL, &err), 0);
    ck_assert_int_eq(pending(), _i ? COLO_E_PEER_SAID : 0);
}
END_TEST

/* A proxy that lost its twin says so at once: protection ends. */
START_TEST(error_event)
{
    ck_assert_int_eq(colo__replication_xenstore_expect(rep, "disk", "xvda",
                                                       &err), 0);
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    join();
    ck_assert_int_eq(pending(), 1);
    ck_assert_int_eq(colo_proxy_reply(disk, request().seq, NULL, &err), 0);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(colo_proxy_event(disk, "error the twin is gone", &err),
                     0);
    ck_assert_int_eq(pending(), COLO_E_PEER_SAID);
    ck_assert_ptr_nonnull(strstr(err.text, "the twin is gone"));
}
END_TEST

/* Who has lost its twin still holds what was committed: a takeover asks it.  Who
 * has gone does not. */
START_TEST(takeover_after_an_error)
{
    ck_assert_int_eq(colo__replication_xenstore_expect(rep, "disk", "xvda",
                                                       &err), 0);
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    join();
    ck_assert_int_eq(pending(), 1);
    ck_assert_int_eq(colo_proxy_reply(disk, request().seq, NULL, &err), 0);
    ck_assert_int_eq(pending(), 0);
    if (_i) {
        colo_proxy_close(disk);
        disk = NULL;
        ck_assert_int_eq(pending(), COLO_E_NOTFOUND);
        ck_assert_int_eq(ops->failover(rep, &err), COLO_E_NOTFOUND);
        return;
    }
    ck_assert_int_eq(colo_proxy_event(disk, "error the twin is gone", &err),
                     0);
    ck_assert_int_eq(pending(), COLO_E_PEER_SAID);
    ck_assert_int_eq(ops->failover(rep, &err), 0);
    ck_assert_int_eq(pending(), 1);
    ck_assert_int_eq(request().verb, COLO_PROXY_FAILOVER);
}
END_TEST

/* It says so to a request that waits, too: read before the takeover (0), or by
 * it (1). */
START_TEST(takeover_after_a_lost_mark)
{
    ck_assert_int_eq(colo__replication_xenstore_expect(rep, "disk", "xvda",
                                                       &err), 0);
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    join();
    ck_assert_int_eq(pending(), 1);
    ck_assert_int_eq(colo_proxy_reply(disk, request().seq, NULL, &err), 0);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    ck_assert_int_eq(pending(), 1);
    ck_assert_int_eq(colo_proxy_reply(disk, request().seq,
                                      "the twin is gone", &err), 0);
    if (_i == 0)
        ck_assert_int_eq(pending(), COLO_E_PEER_SAID);
    ck_assert_int_eq(ops->failover(rep, &err), 0);
    ck_assert_int_eq(request().verb, COLO_PROXY_FAILOVER);
    ck_assert_int_eq(pending(), 1);
}
END_TEST

START_TEST(progress_texts)
{
    static const char *const bad[] = {
        "progress", "progress ", "progress 1", "progress 1 ", "progress 2 1",
        "progress x 2", "progress -1 2", "diverged 1 2",
        "progress 99999999999999999999999999 2", "progress 1 2 3",
    };
    uint64_t done = 7, total = 7;

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++)
        ck_assert_msg(!colo__xs_event_progress(bad[i], &done, &total), "%s",
                      bad[i]);
    ck_assert_uint_eq(done + total, 14);
    ck_assert(colo__xs_event_progress("progress 0 0", &done, &total));
    ck_assert_uint_eq(done + total, 0);
}
END_TEST

START_TEST(expect_errors)
{
    ck_assert_int_eq(colo__replication_xenstore_expect(rep, "di/sk", "x",
                                                       &err), COLO_E_INVAL);
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(colo__replication_xenstore_expect(rep, "disk", "x",
                                                           &err), 0);
    ck_assert_int_eq(colo__replication_xenstore_expect(rep, "disk", "x",
                                                       &err), COLO_E_LIMIT);
}
END_TEST

START_TEST(stream)
{
    char name[COLO_LOCAL_NAME_MAX], buf[6] = "";
    int listener, theirs, mine = -1;

    join();
    ck_assert_int_eq(colo_proxy_stream(disk, &mine, &err), COLO_E_NOTFOUND);
    listener = colo__local_listen(SOCK_STREAM, "disk", "xvda", name, &err);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(colo__local_accept(listener, &err), COLO_E_NOTFOUND);
    ck_assert_int_eq(colo__publish_stream(pub, "disk", "xvda", name, &err),
                     0);
    ck_assert_int_eq(colo_proxy_stream(disk, &mine, &err), 0);
    theirs = colo__local_accept(listener, &err);
    ck_assert_int_ge(theirs, 0);
    ck_assert_int_eq(send(theirs, "bytes", 5, 0), 5);
    ck_assert_int_eq(recv(mine, buf, 5, MSG_WAITALL), 5);
    ck_assert_str_eq(buf, "bytes");
    close(mine);
    close(theirs);
    close(listener);
    /* a session that has ended, or took one already */
    ck_assert_int_eq(colo_proxy_stream(disk, &mine, &err), COLO_E_PEER);
    ck_assert_int_eq(colo__publish_stream(pub, "disk", "xvda", "", &err), 0);
    ck_assert_int_eq(colo_proxy_stream(disk, &mine, &err), COLO_E_INVAL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xenstore-stream");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, expected);
    tcase_add_test(tc, expected_late);
    tcase_add_loop_test(tc, expected_answers, 0, 2);
    tcase_add_test(tc, error_event);
    tcase_add_loop_test(tc, takeover_after_an_error, 0, 2);
    tcase_add_loop_test(tc, takeover_after_a_lost_mark, 0, 2);
    tcase_add_test(tc, progress_texts);
    tcase_add_test(tc, expect_errors);
    tcase_add_test(tc, stream);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
