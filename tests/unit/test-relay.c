/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Two relays back to back, as two sessions have them: what one proxy writes
 * the other reads, and the end of any part ends all of it.
 */
#include "engine/relay.h"
#include "link-pair.h"

struct line {
    int fd[2];                 /* the proxies' ends */
    struct colo_relay *relay[2];
};

static void start(struct line *l)
{
    struct colo_error err;
    int net[2];

    tcp_pair(net);
    for (int i = 0; i < 2; i++) {
        struct colo_link *link = NULL;
        int pair[2];

        unix_pair(pair);
        l->fd[i] = pair[0];
        ck_assert_int_eq(colo__link_fd_new(net[i], &link, &err), 0);
        ck_assert_int_eq(colo__relay_start(link, pair[1], 0, &l->relay[i],
                                           &err), 0);
    }
}

static void finish(struct line *l)
{
    for (int i = 0; i < 2; i++) {
        colo__relay_end(l->relay[i]);
        if (l->fd[i] >= 0)
            close(l->fd[i]);
    }
}

/* Until the other end says so. */
static void expect_end(int fd)
{
    struct timeval limit = { .tv_sec = 10 };
    char byte;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
}

struct pour {
    int fd;
    size_t len;
    unsigned seed;
};

static void *pour_main(void *arg)
{
    struct pour *p = arg;
    uint8_t buf[7001];

    for (size_t at = 0; at < p->len;) {
        size_t n = p->len - at < sizeof(buf) ? p->len - at : sizeof(buf);

        for (size_t i = 0; i < n; i++)
            buf[i] = (uint8_t)((at + i) * 31 + p->seed);
        if (send(p->fd, buf, n, MSG_NOSIGNAL) != (ssize_t)n)
            return NULL;
        at += n;
    }
    return NULL;
}

static void expect_poured(int fd, size_t len, unsigned seed)
{
    uint8_t buf[9973];

    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);

        ck_assert_int_gt(n, 0);
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != (uint8_t)((at + (size_t)i) * 31 + seed))
                ck_abort_msg("byte %zu differs", at + (size_t)i);
        }
        at += (size_t)n;
    }
}

/* Both ways at once, more than any buffer between holds. */
START_TEST(test_both_ways)
{
    enum { LEN = 8 << 20 };
    struct line l;
    struct pour p[2];
    pthread_t thread[2];
    uint64_t out, in;

    start(&l);
    for (int i = 0; i < 2; i++) {
        p[i] = (struct pour){ l.fd[i], LEN, (unsigned)i * 7 };
        pthread_create(&thread[i], NULL, pour_main, &p[i]);
    }
    expect_poured(l.fd[1], LEN, 0);
    expect_poured(l.fd[0], LEN, 7);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    colo__relay_bytes(l.relay[0], &out, &in);
    ck_assert_uint_eq(out, LEN);
    ck_assert(!colo__relay_over(l.relay[0]));
    finish(&l);
}
END_TEST

/* A proxy that goes: what it had said arrives, then its twin sees the end. */
START_TEST(test_proxy_goes)
{
    struct line l;
    char buf[5] = "";

    start(&l);
    ck_assert_int_eq(send(l.fd[0], "last", 4, 0), 4);
    close(l.fd[0]);
    l.fd[0] = -1;
    ck_assert_int_eq(recv(l.fd[1], buf, 4, MSG_WAITALL), 4);
    ck_assert_str_eq(buf, "last");
    expect_end(l.fd[1]);
    ck_assert(colo__relay_over(l.relay[1]));
    finish(&l);
}
END_TEST

/* A session that ends while both sides have much to say and nobody reads. */
START_TEST(test_session_ends)
{
    struct line l;
    struct pour p = { .len = 64 << 20 };
    pthread_t thread;
    uint8_t byte;

    start(&l);
    p.fd = l.fd[0];
    pthread_create(&thread, NULL, pour_main, &p);
    ck_assert_int_eq(recv(l.fd[1], &byte, 1, 0), 1);
    colo__relay_end(l.relay[0]);
    l.relay[0] = NULL;
    pthread_join(thread, NULL); /* its send failed */
    finish(&l);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_both_ways, test_proxy_goes, test_session_ends, NULL,
    };

    return run_suite("relay", tests);
}
