/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See acked.h.  Source: Linux net/ipv4/tcp.c (SIOCOUTQ: what was written
 * and is not acknowledged), net/unix/af_unix.c (memory of what is not read),
 * fs/pipe.c (FIONREAD).
 */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "acked.h"

#define KIND_TCP 1
#define KIND_LOCAL 2 /* a local socket: only "nothing left" can be read */
#define KIND_PIPE 3

#define PAUSE_MIN_US 100u
#define PAUSE_MAX_US 5000u

static int fail_sys(struct colo_error *err, const char *what)
{
    return colo__fail(err, COLO_E_SYS, errno, "acked", "%s", what);
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) ? -1 : value;
}

static int find_kind(int fd)
{
    struct stat st;

    if (fstat(fd, &st))
        return 0;
    if (S_ISFIFO(st.st_mode))
        return KIND_PIPE;
    if (!S_ISSOCK(st.st_mode) || option(fd, SO_TYPE) != SOCK_STREAM)
        return 0;
    if (option(fd, SO_DOMAIN) == AF_UNIX)
        return KIND_LOCAL;
    /* by the protocol, so that MPTCP, which counts otherwise, is not taken */
    return option(fd, SO_PROTOCOL) == IPPROTO_TCP ? KIND_TCP : 0;
}

/* The state is read after the bytes: they were counted while the connection
 * was whole.  In every other state somebody has given up, and the rest of the
 * bytes will be thrown away, acknowledged or not. */
static int check_tcp(struct colo_acked *acked, struct colo_error *err)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info);

    if (getsockopt(acked->fd, IPPROTO_TCP, TCP_INFO, &info, &len))
        return fail_sys(err, "the state of the connection");
    if (info.tcpi_state != TCP_ESTABLISHED)
        return colo__fail(err, COLO_E_PEER, 0, "acked",
                          "the peer has ended the connection");
    acked->pause_us = info.tcpi_rtt / 4;
    if (acked->pause_us < PAUSE_MIN_US)
        acked->pause_us = PAUSE_MIN_US;
    if (acked->pause_us > PAUSE_MAX_US)
        acked->pause_us = PAUSE_MAX_US;
    return 0;
}

static int check_hangup(const struct colo_acked *acked,
                        struct colo_error *err)
{
    struct pollfd pfd = { .fd = acked->fd };

    if (poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLERR | POLLHUP | POLLNVAL))
        return colo__fail(err, COLO_E_PEER, 0, "acked",
                          "the other end of the connection is closed");
    return 0;
}

/* bytes that are still here, and whether there is still a peer */
static int look(struct colo_acked *acked, uint64_t *ret_left,
                struct colo_error *err)
{
    int left = 0, rc;

    if (ioctl(acked->fd, acked->kind == KIND_PIPE ? FIONREAD : SIOCOUTQ,
              &left) || left < 0)
        return fail_sys(err, "bytes that are not acknowledged");
    if (acked->kind == KIND_TCP)
        rc = check_tcp(acked, err);
    else
        rc = check_hangup(acked, err);
    if (!rc)
        *ret_left = (uint64_t)left;
    return rc;
}

int colo__acked_init(struct colo_acked *acked, int fd, struct colo_error *err)
{
    struct colo_acked a = {
        .fd = fd, .kind = find_kind(fd), .pause_us = PAUSE_MIN_US,
    };
    uint64_t left;
    int rc;

    if (!a.kind)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "acked",
                          "neither a TCP connection nor a local socket or "
                          "pipe: commit cannot be known");
    rc = look(&a, &left, err);
    if (rc)
        return rc;
    /* memory is more than bytes, and only 0 is asked for */
    a.written = left;
    *acked = a;
    return 0;
}

const char *colo__acked_word(const struct colo_acked *acked)
{
    return acked->kind == KIND_TCP ? "unacknowledged" : "written";
}

void colo__acked_wrote(struct colo_acked *acked, size_t n)
{
    acked->written += n;
}

int colo__acked_look(struct colo_acked *acked, struct colo_error *err)
{
    uint64_t left, now;
    int rc = look(acked, &left, err);

    if (rc)
        return rc;
    if (acked->kind == KIND_LOCAL && left)
        return 0;
    if (left > acked->written)
        return colo__fail(err, COLO_E_STATE, 0, "acked",
                          "%llu bytes are not acknowledged, %llu were "
                          "written", (unsigned long long)left,
                          (unsigned long long)acked->written);
    now = acked->written - left;
    if (now > acked->acked)
        acked->acked = now;
    return 0;
}

int colo__acked_wait(struct colo_acked *acked, uint64_t mark,
                     const struct colo_clock *clock, uint64_t deadline_us,
                     struct colo_error *err)
{
    bool woken = false;

    for (;;) {
        struct pollfd pfd = { .fd = acked->fd };
        struct timespec pause = { 0 };
        uint64_t now;
        int rc = colo__acked_look(acked, err);

        if (rc || acked->acked >= mark)
            return rc;
        now = colo__now_us(clock);
        if (now >= deadline_us)
            return colo__fail(err, COLO_E_TIMEOUT, 0, "acked",
                              "%llu of %llu bytes are not acknowledged",
                              (unsigned long long)(mark - acked->acked),
                              (unsigned long long)mark);
        pause.tv_nsec = acked->pause_us * 1000L;
        if (deadline_us - now < acked->pause_us)
            pause.tv_nsec = (long)(deadline_us - now) * 1000;
        /* wakes at once when the connection breaks; once */
        if (woken)
            (void)nanosleep(&pause, NULL);
        else
            woken = ppoll(&pfd, 1, &pause, NULL) > 0;
    }
}
