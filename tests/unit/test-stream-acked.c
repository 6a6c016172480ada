/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which of the bytes written to a peer that never answers it has: on TCP
 * connections, with a peer that reads, does not, is gone, or whose network has
 * failed; on local sockets and pipes.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../remus-compat/acked.h"

static struct colo_acked acked;
static struct colo_error err;
static uint8_t bytes[64 * 1024];

static uint64_t in_ms(uint64_t ms)
{
    return colo__now_us(&colo__clock_monotonic) + ms * 1000;
}

static int wait_all(uint64_t ms)
{
    return colo__acked_wait(&acked, acked.written, &colo__clock_monotonic,
                            in_ms(ms), &err);
}

/* fds[0] writes (without blocking), fds[1] has a small buffer */
static void make_tcp(int fds[2])
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof(addr);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 8192;

    ck_assert_int_ge(l, 0);
    ck_assert_int_eq(setsockopt(l, SOL_SOCKET, SO_RCVBUF, &small,
                                sizeof(small)), 0);
    ck_assert_int_eq(bind(l, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(l, 1), 0);
    ck_assert_int_eq(getsockname(l, (struct sockaddr *)&addr, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fds[0], (struct sockaddr *)&addr, len), 0);
    fds[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ck_assert_int_ge(fds[1], 0);
    close(l);
    ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
}

/* until nothing more fits */
static size_t fill(int fd)
{
    size_t n = 0;
    ssize_t r;

    while ((r = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL)) > 0) {
        colo__acked_wrote(&acked, (size_t)r);
        n += (size_t)r;
    }
    ck_assert_int_eq(errno, EAGAIN);
    return n;
}

static size_t drain(int fd)
{
    size_t n = 0;
    ssize_t r;

    while ((r = read(fd, bytes, sizeof(bytes))) > 0)
        n += (size_t)r;
    return n;
}

START_TEST(test_read)
{
    int fds[2];

    make_tcp(fds);
    ck_assert_int_eq(colo__acked_init(&acked, fds[0], &err), 0);
    ck_assert_str_eq(colo__acked_word(&acked), "unacknowledged");
    ck_assert_int_eq(wait_all(0), 0);
    ck_assert_int_eq(send(fds[0], bytes, 1000, 0), 1000);
    colo__acked_wrote(&acked, 1000);
    /* in the peer's kernel, though nobody has read them */
    ck_assert_int_eq(wait_all(5000), 0);
    ck_assert_uint_eq(acked.acked, 1000);
    ck_assert_uint_eq(drain(fds[1]), 1000);
}
END_TEST

/* What does not fit in the peer's window is not acknowledged; it is as soon as
 * the peer goes on. */
START_TEST(test_not_read)
{
    uint64_t before;
    size_t total, got = 0;
    int fds[2];

    make_tcp(fds);
    ck_assert_int_eq(colo__acked_init(&acked, fds[0], &err), 0);
    total = fill(fds[0]);
    ck_assert_uint_gt(total, 64 * 1024);
    before = colo__now_us(&colo__clock_monotonic);
    ck_assert_int_eq(wait_all(100), COLO_E_TIMEOUT);
    ck_text(err, "are not acknowledged");
    ck_assert_uint_ge(colo__now_us(&colo__clock_monotonic) - before, 100000);
    /* some are: those before the window was full */
    ck_assert_uint_gt(acked.acked, 0);
    ck_assert_uint_lt(acked.acked, total - 1024);
    ck_assert_int_eq(colo__acked_wait(&acked, acked.acked,
                                      &colo__clock_monotonic, 0, &err), 0);
    for (int i = 0; i < 1000 && got < total; i++) {
        got += drain(fds[1]);
        usleep(1000);
    }
    ck_assert_uint_eq(got, total);
    ck_assert_int_eq(wait_all(5000), 0);
    ck_assert_uint_eq(acked.acked, total);
}
END_TEST

/* bytes from before the counting are waited for */
START_TEST(test_late)
{
    int fds[2];
    size_t before;

    make_tcp(fds);
    memset(&acked, 0, sizeof(acked));
    before = fill(fds[0]);
    usleep(50000);
    ck_assert_int_eq(colo__acked_init(&acked, fds[0], &err), 0);
    ck_assert_uint_gt(acked.written, 0);
    ck_assert_uint_lt(acked.written, before);
    ck_assert_int_eq(wait_all(10), COLO_E_TIMEOUT);
    ck_assert_uint_eq(acked.acked, 0);
}
END_TEST

/* A peer that ends, or whose process dies: never committed, and at once. */
START_TEST(test_gone)
{
    static const struct linger reset = { .l_onoff = 1 };

    for (int how = 0; how < 3; how++) {
        uint64_t before;
        int fds[2];

        make_tcp(fds);
        ck_assert_int_eq(colo__acked_init(&acked, fds[0], &err), 0);
        fill(fds[0]);
        if (how == 1)
            ck_assert_int_eq(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &reset,
                                        sizeof(reset)), 0);
        if (how == 2)
            ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
        else
            close(fds[1]);
        before = colo__now_us(&colo__clock_monotonic);
        ck_assert_int_eq(wait_all(20000), COLO_E_PEER);
        ck_text(err, "ended the connection");
        ck_assert_uint_lt(colo__now_us(&colo__clock_monotonic) - before,
                          10000000);
    }
}
END_TEST

/* everything had arrived, and then the peer's process died */
START_TEST(test_gone_later)
{
    static const struct linger reset = { .l_onoff = 1 };
    int fds[2];

    make_tcp(fds);
    ck_assert_int_eq(colo__acked_init(&acked, fds[0], &err), 0);
    ck_assert_int_eq(send(fds[0], bytes, 1000, 0), 1000);
    colo__acked_wrote(&acked, 1000);
    ck_assert_int_eq(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &reset,
                                sizeof(reset)), 0);
    close(fds[1]);
    usleep(20000);
    ck_assert_int_eq(wait_all(1000), COLO_E_PEER);
}
END_TEST

static int lo_up(bool up)
{
    struct ifreq ifr = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = ioctl(fd, SIOCGIFFLAGS, &ifr);

    ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP :
                            ifr.ifr_flags & ~IFF_UP);
    r |= ioctl(fd, SIOCSIFFLAGS, &ifr);
    close(fd);
    return r;
}

/* The network fails: written, but nowhere.  Each test has a process of its
 * own, so the namespace goes with it. */
START_TEST(test_network_fails)
{
    int fds[2];

    if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
        printf("test_network_fails: no network namespace, left out\n");
        return;
    }
    ck_assert_int_eq(lo_up(true), 0);
    make_tcp(fds);
    ck_assert_int_eq(colo__acked_init(&acked, fds[0], &err), 0);
    ck_assert_int_eq(send(fds[0], bytes, 1000, 0), 1000);
    colo__acked_wrote(&acked, 1000);
    ck_assert_int_eq(wait_all(5000), 0);
    ck_assert_int_eq(lo_up(false), 0);
    ck_assert_int_eq(send(fds[0], bytes, 500, 0), 500);
    colo__acked_wrote(&acked, 500);
    ck_assert_int_eq(wait_all(300), COLO_E_TIMEOUT);
    ck_text(err, "500 of 1500");
    ck_assert_uint_eq(acked.acked, 1000);
    ck_assert_int_eq(lo_up(true), 0);
    ck_assert_int_eq(wait_all(20000), 0);
}
END_TEST

START_TEST(test_pipe)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(colo__acked_init(&acked, fds[1], &err), 0);
    ck_assert_str_eq(colo__acked_word(&acked), "written");
    ck_assert_int_eq(write(fds[1], bytes, 1000), 1000);
    colo__acked_wrote(&acked, 1000);
    ck_assert_int_eq(wait_all(20), COLO_E_TIMEOUT);
    ck_assert_int_eq(read(fds[0], bytes, 400), 400);
    ck_assert_int_eq(wait_all(20), COLO_E_TIMEOUT);
    ck_assert_uint_eq(acked.acked, 400);
    ck_assert_int_eq(read(fds[0], bytes, 600), 600);
    ck_assert_int_eq(wait_all(20), 0);
    close(fds[0]);
    ck_assert_int_eq(wait_all(1000), COLO_E_PEER);
}
END_TEST

START_TEST(test_local)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
                                SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(colo__acked_init(&acked, fds[0], &err), 0);
    ck_assert_str_eq(colo__acked_word(&acked), "written");
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(write(fds[0], bytes, 1000), 1000);
        colo__acked_wrote(&acked, 1000);
    }
    ck_assert_int_eq(wait_all(20), COLO_E_TIMEOUT);
    ck_assert_int_eq(read(fds[1], bytes, 1500), 1500);
    ck_assert_int_eq(wait_all(20), COLO_E_TIMEOUT);
    ck_assert_int_eq(read(fds[1], bytes, 1500), 500);
    ck_assert_int_eq(wait_all(20), 0);
    ck_assert_uint_eq(acked.acked, 2000);
    close(fds[1]);
    ck_assert_int_eq(wait_all(1000), COLO_E_PEER);
}
END_TEST

START_TEST(test_unknown)
{
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int alone = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    acked.fd = 77;
    ck_assert_int_eq(colo__acked_init(&acked, udp, &err), COLO_E_UNSUPPORTED);
    ck_assert_int_eq(colo__acked_init(&acked, null, &err),
                     COLO_E_UNSUPPORTED);
    ck_text(err, "commit cannot be known");
    ck_assert_int_eq(colo__acked_init(&acked, -1, &err), COLO_E_UNSUPPORTED);
    ck_assert_int_eq(colo__acked_init(&acked, alone, &err), COLO_E_PEER);
    ck_assert_int_eq(acked.fd, 77);
}
END_TEST

/* More was written than the caller has counted: said, not believed. */
START_TEST(test_miscounted)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(colo__acked_init(&acked, fds[1], &err), 0);
    ck_assert_int_eq(write(fds[1], bytes, 10), 10);
    colo__acked_wrote(&acked, 9);
    ck_assert_int_eq(colo__acked_look(&acked, &err), COLO_E_STATE);
}
END_TEST

PURE_MAIN("stream-acked", test_read, test_not_read, test_late, test_gone,
          test_gone_later, test_network_fails, test_pipe, test_local,
          test_unknown, test_miscounted)
