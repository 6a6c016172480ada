/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See peer.h.
 */
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

#define WHERE "xl"
#define HELLO_LEN (sizeof(XL_HELLO) - 1)
#define PROGRAM_LEN (HELLO_LEN - 2) /* without the version */
#define LIBXL_MAGIC "LibxlFmt"
#define MAGIC_LEN 8

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* 1 readable or closed, 0 the deadline has passed, < 0 an error */
static int wait_readable(int fd, uint64_t deadline_ms, struct colo_error *err)
{
    for (;;) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        uint64_t now = now_ms();
        int r = poll(&pfd, 1, now < deadline_ms ? (int)(deadline_ms - now) :
                     0);

        if (r >= 0)
            return r;
        if (errno != EINTR)
            return colo__fail(err, COLO_E_SYS, errno, WHERE, "poll");
    }
}

static int closed(struct colo_error *err)
{
    return colo__fail(err, COLO_E_PEER, 0, WHERE,
                      "the peer has closed the connection");
}

static bool in_name(char c)
{
    return isascii((unsigned char)c) &&
           (isalnum((unsigned char)c) || c == '.' || c == '-');
}

int xl_peer_say_hello(int fd, const char *name, struct colo_error *err)
{
    char line[HELLO_LEN + XL_NAME_MAX + 1] = XL_HELLO;
    size_t len = HELLO_LEN;

    for (; *name && len < HELLO_LEN + XL_NAME_MAX - 1; name++) {
        if (in_name(*name))
            line[len++] = *name;
    }
    if (len == HELLO_LEN)
        line[len++] = '-';
    line[len++] = '\n';
    /* shorter than PIPE_BUF: whole or not at all */
    if (write(fd, line, len) != (ssize_t)len)
        return colo__fail(err, COLO_E_PEER, errno, WHERE,
                          "the peer cannot be greeted");
    return 0;
}

int xl_peer_parse_hello(const char *line, size_t len, char name[XL_NAME_MAX],
                        struct colo_error *err)
{
    size_t name_len = len > HELLO_LEN ? len - HELLO_LEN - 1 : 0;
    bool ok = name_len > 0 && name_len < XL_NAME_MAX && line[len - 1] == '\n';

    for (size_t i = 0; ok && i < name_len; i++)
        ok = in_name(line[HELLO_LEN + i]);
    if (ok && !memcmp(line, XL_HELLO, HELLO_LEN)) {
        memcpy(name, line + HELLO_LEN, name_len);
        name[name_len] = '\0';
        return 0;
    }
    if (len > HELLO_LEN && !memcmp(line, XL_HELLO, PROGRAM_LEN) &&
        memcmp(line, XL_HELLO, HELLO_LEN))
        return colo__fail(err, COLO_E_VERSION, 0, WHERE,
                          "the plug-in at the peer has another version: %.*s",
                          (int)(len - PROGRAM_LEN), line + PROGRAM_LEN);
    return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                      "the peer says something else than libcolo: %.*s",
                      (int)len, line);
}

int xl_peer_wait_hello(int fd, uint32_t ms, char name[XL_NAME_MAX],
                       struct colo_error *err)
{
    uint64_t deadline_ms = now_ms() + ms;
    char line[HELLO_LEN + XL_NAME_MAX + 2] = "";
    size_t len = 0;
    int rc;

    /* byte by byte: what follows is not ours */
    while (len < sizeof(line) - 1 && (!len || line[len - 1] != '\n')) {
        ssize_t n;

        rc = wait_readable(fd, deadline_ms, err);
        if (rc < 0)
            return rc;
        if (!rc && !len) {
            name[0] = '\0';
            return 0;
        }
        if (!rc)
            break;
        n = read(fd, line + len, 1);
        if (!n)
            return closed(err);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return colo__fail(err, COLO_E_PEER, errno, WHERE,
                              "the peer cannot be heard");
        len += n > 0;
    }
    return xl_peer_parse_hello(line, len, name, err);
}

/* Up to MAGIC_LEN bytes, which stay where they are. */
static ssize_t peek(int fd, bool is_socket, int spare[2], char *buf)
{
    ssize_t n;

    if (is_socket)
        return recv(fd, buf, MAGIC_LEN, MSG_PEEK | MSG_DONTWAIT);
    n = tee(fd, spare[1], MAGIC_LEN, SPLICE_F_NONBLOCK);
    return n > 0 ? read(spare[0], buf, (size_t)n) : n;
}

int xl_peer_is_stock(int fd, uint32_t ms, bool *ret_stock,
                     struct colo_error *err)
{
    static const struct timespec pause = { .tv_nsec = 1000000 };
    uint64_t deadline_ms = now_ms() + ms;
    int spare[2] = { -1, -1 }, rc;
    char buf[MAGIC_LEN];
    struct stat st;

    if (fstat(fd, &st) || pipe2(spare, O_CLOEXEC))
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "the peer's first bytes");
    for (;;) {
        ssize_t n;

        rc = wait_readable(fd, deadline_ms, err);
        if (rc < 0) goto out;
        n = rc ? peek(fd, S_ISSOCK(st.st_mode), spare, buf) : -1;
        if (!n) {
            rc = closed(err);
            goto out;
        }
        if (rc && n < 0 && errno != EINTR && errno != EAGAIN) {
            rc = colo__fail(err, COLO_E_SYS, errno, WHERE,
                            "the peer's first bytes");
            goto out;
        }
        if (n > 0 && memcmp(buf, LIBXL_MAGIC, (size_t)n)) {
            *ret_stock = false;
            break;
        }
        if (n == MAGIC_LEN) {
            *ret_stock = true;
            break;
        }
        if (now_ms() >= deadline_ms) {
            rc = colo__fail(err, COLO_E_TIMEOUT, 0, WHERE,
                            "the peer has sent nothing for %u ms", ms);
            goto out;
        }
        (void)nanosleep(&pause, NULL); /* the rest is on its way */
    }
    rc = 0;
out:
    close(spare[0]);
    close(spare[1]);
    return rc;
}
