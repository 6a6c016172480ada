/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What every kind of link must do; the test file that includes this says
 * how to make a pair: static void make_pair(struct colo_link **l).
 */
#ifndef LINK_COMMON_TESTS_H
#define LINK_COMMON_TESTS_H

#include "link-pair.h"

static void make_pair(struct colo_link **l);

START_TEST(test_small_pieces_arrive_in_order)
{
    struct colo_link *l[2];
    struct colo_error err;
    struct iovec iov[200];
    uint8_t data[1000], back[1000];

    make_pair(l);
    fill_pattern(data, sizeof(data), 1);
    for (int i = 0; i < 200; i++) {
        iov[i].iov_base = data + 5 * i;
        iov[i].iov_len = 5;
    }
    ck_assert_int_eq(colo__link_ops(l[0])->send(l[0], iov, 200, 1000, &err),
                     0);
    ck_assert_int_eq(link_recv_all(l[1], back, sizeof(back), 1000, &err), 0);
    ck_assert_mem_eq(data, back, sizeof(data));
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* Odd sizes around the record and the segment; empty pieces; a reader that
 * starts late, so that every send is partial somewhere. */
START_TEST(test_big_pieces_with_a_slow_reader)
{
    static const size_t cut[] = { 0, 1, 24, 16383, 16384, 16385, 0, 262144,
                                  1048576, 7, 40000, 3000000 };
    struct iovec iov[COLO_ARRAY_LEN(cut)];
    struct colo_link *l[2];
    struct colo_error err;
    struct reader r = { .pause_ms = 100 };
    size_t total = 0, at = 0;
    uint8_t *data;

    for (size_t i = 0; i < COLO_ARRAY_LEN(cut); i++)
        total += cut[i];
    data = malloc(total);
    r.buf = malloc(total);
    ck_assert_ptr_nonnull(data);
    ck_assert_ptr_nonnull(r.buf);
    fill_pattern(data, total, 2);
    for (size_t i = 0; i < COLO_ARRAY_LEN(cut); i++) {
        iov[i].iov_base = data + at;
        iov[i].iov_len = cut[i];
        at += cut[i];
    }
    make_pair(l);
    r.link = l[1];
    r.len = total;
    reader_start(&r);
    ck_assert_int_eq(colo__link_ops(l[0])->send(l[0], iov,
                     COLO_ARRAY_LEN(cut), 2000, &err), 0);
    reader_join(&r);
    ck_assert_int_eq(r.rc, 0);
    ck_assert(memcmp(data, r.buf, total) == 0);
    free(data);
    free(r.buf);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* One sender and one receiver on the same end, in both directions. */
START_TEST(test_both_directions_at_once)
{
    enum { LEN = 2000000 };
    struct colo_link *l[2];
    struct colo_error err;
    struct reader r[2] = { 0 };
    uint8_t *data = malloc(LEN);

    ck_assert_ptr_nonnull(data);
    fill_pattern(data, LEN, 3);
    make_pair(l);
    for (int i = 0; i < 2; i++) {
        r[i].link = l[i];
        r[i].len = LEN;
        r[i].buf = malloc(LEN);
        ck_assert_ptr_nonnull(r[i].buf);
        reader_start(&r[i]);
    }
    for (size_t at = 0; at < LEN; at += 10000) {
        ck_assert_int_eq(link_send(l[0], data + at, 10000, 2000, &err), 0);
        ck_assert_int_eq(link_send(l[1], data + at, 10000, 2000, &err), 0);
    }
    for (int i = 0; i < 2; i++) {
        reader_join(&r[i]);
        ck_assert_int_eq(r[i].rc, 0);
        ck_assert(memcmp(data, r[i].buf, LEN) == 0);
        free(r[i].buf);
    }
    free(data);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

START_TEST(test_recv_without_waiting)
{
    struct colo_link *l[2];
    struct colo_error err;
    size_t len = 99;
    uint8_t b[4];

    make_pair(l);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 0, &len, &err), 0);
    ck_assert_uint_eq(len, 0);
    ck_assert_int_eq(link_recv(l[1], b, 0, 0, &len, &err), COLO_E_INVAL);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

START_TEST(test_recv_timeout_leaves_the_link_usable)
{
    struct colo_link *l[2];
    struct colo_error err;
    size_t len = 99;
    uint64_t before;
    uint8_t b[4];

    make_pair(l);
    before = now_ms();
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 60, &len, &err),
                     COLO_E_TIMEOUT);
    ck_assert_uint_ge(now_ms() - before, 59);
    ck_assert_uint_lt(now_ms() - before, 500 * SLOW);
    ck_assert_uint_eq(len, 99);
    ck_assert_int_eq(link_send(l[0], "abc", 3, 100, &err), 0);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err), 0);
    ck_assert_uint_eq(len, 3);
    ck_assert_mem_eq(b, "abc", 3);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

START_TEST(test_send_to_a_peer_that_does_not_read)
{
    enum { LEN = 16 << 20 };
    struct colo_link *l[2];
    struct colo_error err;
    uint8_t *data = calloc(1, LEN);
    uint64_t before = now_ms();

    ck_assert_ptr_nonnull(data);
    make_pair(l);
    ck_assert_int_eq(link_send(l[0], data, LEN, 80, &err), COLO_E_PEER);
    ck_assert_int_eq(err.sys_errno, ETIMEDOUT);
    ck_assert_uint_lt(now_ms() - before, 2000 * SLOW);
    free(data);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* Takes a little, rests, takes a little. */
static void *slow_reader_main(void *arg)
{
    struct reader *r = arg;
    size_t done = 0;

    while (done < r->len) {
        size_t want = r->len - done < 65536 ? r->len - done : 65536;

        sleep_ms(r->pause_ms);
        r->rc = link_recv_all(r->link, r->buf, want, 5000 * SLOW, &r->err);
        if (r->rc)
            return NULL;
        done += want;
    }
    return NULL;
}

/* Slow is not dead: as long as something is taken the sender goes on, though
 * the whole takes much longer than the limit. */
START_TEST(test_send_to_a_slow_peer_goes_on)
{
    enum { LEN = 2 << 20 };
    struct colo_link *l[2];
    struct colo_error err;
    struct reader r = { .pause_ms = 60, .len = LEN };
    uint8_t *data = calloc(1, LEN);
    int small = 32768, rc;
    uint64_t before;

    ck_assert_ptr_nonnull(data);
    make_pair(l);
    setsockopt(colo__link_ops(l[0])->fd(l[0]), SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    setsockopt(colo__link_ops(l[1])->fd(l[1]), SOL_SOCKET, SO_RCVBUF, &small,
               sizeof(small));
    r.link = l[1];
    r.buf = malloc(65536);
    ck_assert_ptr_nonnull(r.buf);
    before = now_ms();
    pthread_create(&r.thread, NULL, slow_reader_main, &r);
    rc = link_send(l[0], data, LEN, 1000 * SLOW, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_uint_gt(now_ms() - before, 1000);
    reader_join(&r);
    ck_assert_int_eq(r.rc, 0);
    free(data);
    free(r.buf);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

START_TEST(test_peer_close)
{
    struct colo_link *l[2];
    struct colo_error err;
    size_t len;
    uint8_t b[8];
    int rc = 0;

    make_pair(l);
    ck_assert_int_eq(link_send(l[0], "last", 4, 100, &err), 0);
    link_close(l[0]);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err), 0);
    ck_assert_uint_eq(len, 4);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err),
                     COLO_E_PEER);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 0, &len, &err),
                     COLO_E_PEER);
    /* The first send to a closed TCP peer may still be taken. */
    for (int i = 0; i < 50 && rc == 0; i++) {
        rc = link_send(l[1], "x", 1, 100, &err);
        sleep_ms(2);
    }
    ck_assert_int_eq(rc, COLO_E_PEER);
    link_close(l[1]);
}
END_TEST

START_TEST(test_shutdown_wakes_the_receiver)
{
    struct colo_link *l[2];
    struct colo_error err;
    struct reader r = { 0 };
    uint8_t b[4] = { 0 };
    uint64_t before;
    size_t len;

    make_pair(l);
    r.link = l[1];
    r.buf = b;
    r.len = sizeof(b);
    before = now_ms();
    reader_start(&r);
    sleep_ms(50);
    colo__link_ops(l[1])->shutdown(l[1]);
    reader_join(&r);
    ck_assert_int_eq(r.rc, COLO_E_PEER);
    ck_assert_uint_lt(now_ms() - before, 1000 * SLOW);
    ck_assert_str_eq(r.err.text, "the link was shut down");
    /* and it stays so */
    ck_assert_int_eq(link_recv(l[1], b, 1, 100, &len, &err), COLO_E_PEER);
    ck_assert_int_eq(link_send(l[1], b, 1, 100, &err), COLO_E_PEER);
    /* the peer sees it too */
    ck_assert_int_eq(link_recv(l[0], b, 1, 1000, &len, &err), COLO_E_PEER);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

struct sender {
    struct colo_link *link;
    int rc;
    struct colo_error err;
};

static void *sender_main(void *arg)
{
    struct sender *s = arg;
    uint8_t *data = calloc(1, 16 << 20);

    s->rc = link_send(s->link, data, 16 << 20, 10000, &s->err);
    free(data);
    return NULL;
}

START_TEST(test_shutdown_wakes_the_sender)
{
    struct colo_link *l[2];
    struct sender s = { 0 };
    pthread_t thread;
    uint64_t before = now_ms();

    make_pair(l);
    s.link = l[0];
    ck_assert_int_eq(pthread_create(&thread, NULL, sender_main, &s), 0);
    sleep_ms(100);
    colo__link_ops(l[0])->shutdown(l[0]);
    pthread_join(thread, NULL);
    ck_assert_int_eq(s.rc, COLO_E_PEER);
    ck_assert_uint_lt(now_ms() - before, 2000 * SLOW);
    ck_assert_str_eq(s.err.text, "the link was shut down");
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

#define COMMON_TESTS \
    test_small_pieces_arrive_in_order, test_big_pieces_with_a_slow_reader, \
    test_both_directions_at_once, test_recv_without_waiting, \
    test_recv_timeout_leaves_the_link_usable, \
    test_send_to_a_peer_that_does_not_read, \
    test_send_to_a_slow_peer_goes_on, test_peer_close, \
    test_shutdown_wakes_the_receiver, test_shutdown_wakes_the_sender

#endif
