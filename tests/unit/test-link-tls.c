/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * link-tls over loopback TCP between two ends that know the same key.
 */
#include "link-common-tests.h"

static const uint8_t key[32] = { 1, 2, 3 };
#define IDENTITY "00112233445566778899aabbccddeeff"

struct end {
    int fd, rc;
    bool server;
    struct colo_link *link;
    struct colo_error err;
    pthread_t thread;
};

static void *end_main(void *arg)
{
    struct end *e = arg;

    e->rc = colo__link_tls_new(e->fd, e->server, key, IDENTITY, 2000 * SLOW,
                               &e->link, &e->err);
    return NULL;
}

static void make_pair(struct colo_link **l)
{
    struct end server = { .server = true };
    struct colo_error err;
    int fd[2], rc;

    tcp_pair(fd);
    server.fd = fd[1];
    pthread_create(&server.thread, NULL, end_main, &server);
    rc = colo__link_tls_new(fd[0], false, key, IDENTITY, 2000 * SLOW, &l[0],
                            &err);
    pthread_join(server.thread, NULL);
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(server.rc, 0);
    l[1] = server.link;
}

/* What does not fit the caller's buffer waits in memory: pending says so,
 * because the descriptor does not. */
START_TEST(test_pending)
{
    struct colo_link *l[2];
    struct colo_error err;
    uint8_t data[100] = { 0 };
    size_t len;

    make_pair(l);
    ck_assert_uint_eq(colo__link_ops(l[1])->pending(l[1]), 0);
    ck_assert_int_eq(link_send(l[0], data, sizeof(data), 100, &err), 0);
    ck_assert_int_eq(link_recv(l[1], data, 30, 1000, &len, &err), 0);
    ck_assert_uint_eq(len, 30);
    ck_assert_uint_eq(colo__link_ops(l[1])->pending(l[1]), 70);
    ck_assert_int_eq(link_recv(l[1], data, 100, 0, &len, &err), 0);
    ck_assert_uint_eq(len, 70);
    ck_assert_uint_eq(colo__link_ops(l[1])->pending(l[1]), 0);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* A connection that is cut without the TLS goodbye. */
START_TEST(test_truncated)
{
    struct colo_link *l[2];
    struct colo_error err;
    uint8_t b[8];
    size_t len;

    make_pair(l);
    colo__link_ops(l[0])->shutdown(l[0]);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err),
                     COLO_E_PEER);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* A host that dies may have sent any part of a record: that is a lost peer,
 * who is taken over from, and no garbage, after which nobody is. */
START_TEST(test_cut_within_record)
{
    static const uint8_t record[37] = { 0x17, 3, 3, 0, 32 };

    for (size_t sent = 1; sent < sizeof(record); sent++) {
        struct colo_link *l[2];
        struct colo_error err;
        uint8_t b[8];
        size_t len;
        int rc;

        make_pair(l);
        ck_assert_int_eq(send(colo__link_ops(l[0])->fd(l[0]), record, sent,
                              0), sent);
        colo__link_ops(l[0])->shutdown(l[0]);
        rc = link_recv(l[1], b, sizeof(b), 1000, &len, &err);
        ck_assert_msg(rc == COLO_E_PEER, "%zu bytes: %d %s", sent, rc,
                      err.text);
        link_close(l[0]);
        link_close(l[1]);
    }
}
END_TEST

/* What the watchdog of a killed session sends is not taken for a lost peer,
 * wherever in a record the session was and though the stream ends then. */
START_TEST(test_last_words)
{
    static const uint8_t record[37] = { 0x17, 3, 3, 0, 32 };

    for (size_t sent = 0; sent < sizeof(record); sent++) {
        static uint8_t words[20480];
        struct colo_link *l[2];
        struct colo_error err;
        uint8_t b[8];
        size_t len;
        int rc;

        memset(words, 0xff, sizeof(words));
        make_pair(l);
        ck_assert_int_eq(send(colo__link_ops(l[0])->fd(l[0]), record, sent,
                              0), sent);
        ck_assert_int_eq(send(colo__link_ops(l[0])->fd(l[0]), words,
                              sizeof(words), 0), sizeof(words));
        colo__link_ops(l[0])->shutdown(l[0]);
        rc = link_recv(l[1], b, sizeof(b), 1000, &len, &err);
        ck_assert_msg(rc == COLO_E_CORRUPT, "%zu bytes: %d %s", sent, rc,
                      err.text);
        link_close(l[0]);
        link_close(l[1]);
    }
}
END_TEST

/* Somebody writes into the connection. */
START_TEST(test_forged_record)
{
    static const uint8_t forged[] = { 0x17, 3, 3, 0, 32, 1, 2, 3, 4, 5, 6, 7,
        8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
        26, 27, 28, 29, 30, 31, 32 };
    struct colo_link *l[2];
    struct colo_error err;
    uint8_t b[8];
    size_t len;

    make_pair(l);
    ck_assert_int_eq(send(colo__link_ops(l[0])->fd(l[0]), forged,
                          sizeof(forged), 0), sizeof(forged));
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err),
                     COLO_E_CORRUPT);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err),
                     COLO_E_PEER);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        COMMON_TESTS, test_pending, test_truncated,
        test_cut_within_record, test_last_words, test_forged_record, NULL,
    };

    return run_suite("link-tls", tests);
}
