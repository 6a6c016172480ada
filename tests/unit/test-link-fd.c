/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * link-fd over AF_UNIX, and what only it can do.
 */
#include "link-common-tests.h"

static void make_pair(struct colo_link **l)
{
    struct colo_error err;
    int fd[2];

    unix_pair(fd);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(colo__link_fd_new(fd[i], &l[i], &err), 0);
}

START_TEST(test_only_stream_sockets)
{
    struct colo_link *l = NULL;
    struct colo_error err;
    int fd[2];

    ck_assert_int_eq(pipe(fd), 0);
    ck_assert_int_eq(colo__link_fd_new(fd[0], &l, &err), COLO_E_INVAL);
    ck_assert_int_eq(colo__link_fd_new(fd[1], &l, NULL), COLO_E_INVAL);
    ck_assert_int_eq(colo__link_fd_new(-1, &l, &err), COLO_E_INVAL);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
    ck_assert_int_eq(colo__link_fd_new(fd[0], &l, &err), COLO_E_INVAL);
    ck_assert_int_eq(close(fd[0]), -1); /* it owned it */
    close(fd[1]);
    ck_assert_ptr_null(l);
}
END_TEST

START_TEST(test_reset_by_the_peer)
{
    struct linger hard = { .l_onoff = 1 };
    struct colo_link *l;
    struct colo_error err;
    uint8_t b[4] = { 0 };
    size_t len;
    int fd[2];

    tcp_pair(fd);
    ck_assert_int_eq(colo__link_fd_new(fd[0], &l, &err), 0);
    setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd[1]);
    ck_assert_int_eq(link_recv(l, b, sizeof(b), 1000, &len, &err),
                     COLO_E_PEER);
    ck_assert_int_eq(err.sys_errno, ECONNRESET);
    ck_assert_int_eq(link_send(l, b, sizeof(b), 1000, &err), COLO_E_PEER);
    link_close(l);
}
END_TEST

START_TEST(test_tcp_is_tuned)
{
    struct colo_link *l;
    struct colo_error err;
    socklen_t len = sizeof(int);
    int fd[2], v = 0;

    tcp_pair(fd);
    ck_assert_int_eq(colo__link_fd_new(fd[0], &l, &err), 0);
    getsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &v, &len);
    ck_assert_int_eq(v, 1);
    colo__link_tune(fd[0], 1500);
    getsockopt(fd[0], IPPROTO_TCP, TCP_USER_TIMEOUT, &v, &len);
    ck_assert_int_eq(v, 1500);
    getsockopt(fd[0], SOL_SOCKET, SO_KEEPALIVE, &v, &len);
    ck_assert_int_eq(v, 1);
    link_close(l);
    close(fd[1]);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        COMMON_TESTS, test_only_stream_sockets, test_reset_by_the_peer,
        test_tcp_is_tuned, NULL,
    };

    return run_suite("link-fd", tests);
}
