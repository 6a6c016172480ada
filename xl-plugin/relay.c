/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See relay.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"
#include "relay.h"

static int fail(const char *what)
{
    /* libcolo shows what its command says on stderr */
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    return 1;
}

/* xl's descriptors to the peer are pipes, which can be opened by their names
 * in /proc; nothing else can be. */
static int open_pipe(const char *pid, int fd, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%.20s/fd/%d", pid, fd);
    return open(path, flags | O_CLOEXEC);
}

static bool write_all(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* 1 copied, 0 this way has ended, -1 an error */
static int copy(int from, int to)
{
    char buf[4096];
    ssize_t n = read(from, buf, sizeof(buf));

    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : -1;
    if (n == 0)
        return 0;
    return write_all(to, buf, (size_t)n) ? 1 : -1;
}

int relay_run(const char *pid)
{
    int to = open_pipe(pid, XL_SEND_FD, O_WRONLY);
    int from = open_pipe(pid, XL_RECV_FD, O_RDONLY);

    if (to < 0 || from < 0)
        return fail("xl's pipes");
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        struct pollfd pfds[2] = {
            { STDIN_FILENO, POLLIN, 0 }, { from, POLLIN, 0 },
        };
        int r = 1;

        if (poll(pfds, 2, -1) < 0 && errno != EINTR)
            return fail("poll");
        if (pfds[0].revents)
            r = copy(STDIN_FILENO, to);
        if (r > 0 && pfds[1].revents)
            r = copy(from, STDOUT_FILENO);
        if (r < 0)
            return fail("the peer");
        if (r == 0)
            return 0;
    }
}
