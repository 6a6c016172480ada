/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Connected sockets and threads for the tests of link/.
 */
#ifndef LINK_PAIR_H
#define LINK_PAIR_H

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "link/link.h"

/* Everything takes longer there; limits are multiplied, and what it cannot
 * run is left out. */
static inline bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload && strstr(preload, "vgpreload");
}

#define SLOW (under_valgrind() ? 15u : 1u)

static inline void unix_pair(int *fd)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
                     0);
}

static inline void tcp_pair(int *fd)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET,
        .sin_addr = { htonl(INADDR_LOOPBACK) },
    };
    socklen_t len = sizeof(sin);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&sin, len), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd[0], 0);
    ck_assert_int_eq(connect(fd[0], (struct sockaddr *)&sin, len), 0);
    fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd[1], 0);
    close(listener);
}

static inline uint64_t now_ms(void)
{
    return colo__now_us(&colo__clock_monotonic) / 1000u;
}

static inline void sleep_ms(unsigned ms)
{
    struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

    nanosleep(&ts, NULL);
}

static inline int link_send(struct colo_link *link, const void *data,
                            size_t len, uint32_t ms, struct colo_error *err)
{
    struct iovec iov = { (void *)(uintptr_t)data, len };

    return colo__link_ops(link)->send(link, &iov, 1, ms, err);
}

static inline int link_recv(struct colo_link *link, void *buf, size_t cap,
                            uint32_t ms, size_t *ret_len,
                            struct colo_error *err)
{
    return colo__link_ops(link)->recv(link, buf, cap, ms, ret_len, err);
}

/* All of len; stops at the first error. */
static inline int link_recv_all(struct colo_link *link, uint8_t *buf,
                                size_t len, uint32_t ms,
                                struct colo_error *err)
{
    while (len) {
        size_t got = 0;
        int rc = link_recv(link, buf, len, ms, &got, err);

        if (rc)
            return rc;
        buf += got;
        len -= got;
    }
    return 0;
}

static inline void link_close(struct colo_link *link)
{
    if (link)
        colo__link_ops(link)->close(link);
}

/* A receiver on a thread of its own: takes len bytes, pausing now and then
 * so that the sender meets a full socket. */
struct reader {
    struct colo_link *link;
    uint8_t *buf;
    size_t len;
    unsigned pause_ms;
    int rc;
    struct colo_error err;
    pthread_t thread;
};

static inline void *reader_main(void *arg)
{
    struct reader *r = arg;

    if (r->pause_ms)
        sleep_ms(r->pause_ms);
    r->rc = link_recv_all(r->link, r->buf, r->len, 5000 * SLOW, &r->err);
    return NULL;
}

static inline void reader_start(struct reader *r)
{
    ck_assert_int_eq(pthread_create(&r->thread, NULL, reader_main, r), 0);
}

static inline void reader_join(struct reader *r)
{
    ck_assert_int_eq(pthread_join(r->thread, NULL), 0);
}

static inline void fill_pattern(uint8_t *p, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (uint8_t)(seed >> 24);
    }
}

static inline int run_suite(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner;
    int failed;

    for (; *tests; tests++)
        tcase_add_test(tcase, *tests);
    tcase_set_timeout(tcase, 20.0 * SLOW);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
