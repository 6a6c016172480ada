/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Lines and bytes over descriptors of any kind (pipe, socket, terminal)
 * with a deadline.  Runs on the bootstrap's thread, on its pump, and in a
 * process that only attaches.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap-internal.h"

#define WHERE "bootstrap"
#define COPY_BYTES 65536

int colo__boot_wait(int fd, short events, int cancel_fd, uint64_t deadline_us,
                    const char *what, struct colo_error *err)
{
    int e = colo__fd_wait(fd, events, cancel_fd, deadline_us);

    switch (e) {
    case 0:
        return 0;
    case ETIMEDOUT:
        return colo__fail(err, COLO_E_TIMEOUT, 0, WHERE, "%s in time", what);
    case ECANCELED:
        return colo__fail(err, COLO_E_STATE, 0, WHERE, "called off");
    default:
        return colo__fail(err, COLO_E_SYS, e, WHERE, "%s", what);
    }
}

/* Byte by byte: what follows the line belongs to the link. */
int colo__boot_read_line(int fd, int cancel_fd, uint64_t deadline_us,
                         char *buf, size_t cap, size_t *ret_len,
                         struct colo_error *err)
{
    size_t len = 0;

    *ret_len = 0;
    for (;;) {
        ssize_t r;
        int rc;

        rc = colo__boot_wait(fd, POLLIN, cancel_fd, deadline_us,
                             "no answer from the peer", err);
        if (rc)
            return rc;
        r = read(fd, buf + len, 1);
        if (r < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (r <= 0) {
            *ret_len = len;
            return colo__fail(err, COLO_E_PEER, r < 0 ? errno : 0, WHERE,
                              "the stream to the peer has ended");
        }
        if (buf[len] == '\n') {
            *ret_len = len;
            return 0;
        }
        if (++len == cap)
            return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                              "the peer sent a line that is too long");
    }
}

int colo__boot_write_line(int fd, int cancel_fd, uint64_t deadline_us,
                          const struct colo_boot_line *line,
                          struct colo_error *err)
{
    char buf[COLO_BOOT_LINE_MAX];
    size_t len = colo__boot_line_format(line, buf, sizeof(buf)), at = 0;
    int rc;

    do {
        ssize_t r;

        /* A pipe that polls writable has room for a whole line. */
        rc = colo__boot_wait(fd, POLLOUT, cancel_fd, deadline_us,
                             "the peer takes no data", err);
        if (rc) goto out;
        r = send(fd, buf + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r < 0 && errno == ENOTSOCK)
            r = write(fd, buf + at, len - at);
        if (r < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (r < 0) {
            rc = colo__fail(err, COLO_E_PEER, errno, WHERE,
                            "cannot write to the peer");
            goto out;
        }
        at += (size_t)r;
    } while (at < len);
    rc = 0;
out:
    explicit_bzero(buf, sizeof(buf));
    return rc;
}

/* ---- copying both ways ------------------------------------------------- */

/* One direction: from is read when empty, to is written when not. */
struct stream {
    int from, to;
    bool ended;     /* nothing more will come */
    bool closed;    /* and to was told */
    size_t have, at;
    uint8_t buf[COPY_BYTES];
};

/* The reader on to sees the end, while the other direction goes on. */
static void stream_finish(struct stream *s)
{
    s->closed = true;
    if (shutdown(s->to, SHUT_WR) == 0 || errno != ENOTSOCK)
        return;
    close(s->to);
    s->to = -1;
}

static int stream_fill(struct stream *s)
{
    ssize_t r = read(s->from, s->buf, sizeof(s->buf));

    if (r < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -1;
    s->ended = r == 0;
    s->have = (size_t)r;
    s->at = 0;
    return 0;
}

static int stream_drain(struct stream *s)
{
    ssize_t r = write(s->to, s->buf + s->at, s->have - s->at);

    if (r < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -1;
    s->at += (size_t)r;
    if (s->at == s->have)
        s->at = s->have = 0;
    return 0;
}

static struct pollfd stream_wants(const struct stream *s)
{
    struct pollfd p = { .fd = -1 };

    if (s->have) {
        p.fd = s->to;
        p.events = POLLOUT;
    } else if (!s->ended) {
        p.fd = s->from;
        p.events = POLLIN;
    }
    return p;
}

static int stream_go_on(struct stream *s, const struct pollfd *p)
{
    int r = 0;

    if (p->revents)
        r = s->have ? stream_drain(s) : stream_fill(s);
    if (!r && s->ended && !s->have && !s->closed)
        stream_finish(s);
    return r;
}

/* A link is closed in both directions at once.  So the end of local is the
 * end; that of remote is passed on, and local will end then. */
static void copy_both(struct stream *remote, struct stream *local,
                      int cancel_fd)
{
    struct pollfd p[3];

    while (!local->closed) {
        p[0] = stream_wants(remote);
        p[1] = stream_wants(local);
        p[2] = (struct pollfd){ .fd = cancel_fd, .events = POLLIN };
        /* As long as the link is idle; ends with either stream. */
        if (poll(p, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            return;
        }
        if (p[2].revents || stream_go_on(remote, &p[0]) < 0 ||
            stream_go_on(local, &p[1]) < 0)
            return;
    }
}

void colo__link_copy(int in_fd, int out_fd, int sock, int cancel_fd)
{
    struct stream *s = calloc(2, sizeof(*s));

    if (s) {
        s[0].from = in_fd;
        s[0].to = s[1].from = sock;
        s[1].to = out_fd;
        if (!colo__fd_nonblock(in_fd) && !colo__fd_nonblock(out_fd) &&
            !colo__fd_nonblock(sock))
            copy_both(&s[0], &s[1], cancel_fd);
        out_fd = s[1].to;
        explicit_bzero(s, 2 * sizeof(*s));
        free(s);
    }
    close(sock);
    if (in_fd != out_fd)
        close(in_fd);
    if (out_fd >= 0)
        close(out_fd);
}
