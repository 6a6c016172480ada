/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The link over a plain stream socket: TCP of the caller, AF_UNIX, or the
 * socketpair to an ssh child.  Also what all of link/ uses: the waiting, and
 * the ops that need a descriptor only.
 * Threads: one sender, one receiver; shutdown from any.  Nothing is shared
 * between the directions but the descriptor, so there is no lock.
 */
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link-internal.h"

#define WHERE "link-fd"
#define MAX_IOV 64 /* per sendmsg: covers a header and its body many times */

struct link_fd {
    struct colo_link_base base;
};

/* ---- waiting ----------------------------------------------------------- */

uint64_t colo__deadline_us(uint32_t ms)
{
    return colo__now_us(&colo__clock_monotonic) + (uint64_t)ms * 1000u;
}

/* Rounded up, so that poll does not spin through the last millisecond. */
static int left_ms(uint64_t deadline_us)
{
    uint64_t now = colo__now_us(&colo__clock_monotonic);
    uint64_t ms;

    if (deadline_us == COLO_NEVER)
        return -1;
    if (deadline_us <= now)
        return 0;
    ms = (deadline_us - now + 999u) / 1000u;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

int colo__fd_wait(int fd, short events, int cancel_fd, uint64_t deadline_us)
{
    struct pollfd p[2] = {
        { .fd = fd, .events = events },
        { .fd = cancel_fd, .events = POLLIN }, /* poll skips a negative fd */
    };

    for (;;) {
        int ms = left_ms(deadline_us);
        int r = poll(p, 2, ms);

        if (r < 0 && errno != EINTR)
            return errno;
        if (r > 0)
            return p[1].revents ? ECANCELED : 0;
        if (r == 0 && ms == 0)
            return ETIMEDOUT;
    }
}

int colo__fd_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return errno;
    return 0;
}

/* ---- what all links have ----------------------------------------------- */

static struct colo_link_base *base_of(struct colo_link *link)
{
    return (struct colo_link_base *)link;
}

int colo__link_get_fd(struct colo_link *link)
{
    return base_of(link)->fd;
}

/* Without a lock and without a goodbye: it must not wait for a sender.  The
 * kernel wakes poll in both directions, also before a wait begins. */
void colo__link_shutdown(struct colo_link *link)
{
    struct colo_link_base *base = base_of(link);

    atomic_store(&base->down, true);
    shutdown(base->fd, SHUT_RDWR);
}

int colo__link_dead(struct colo_link_base *base, const char *where,
                    int sys_errno, const char *what, const char *why,
                    struct colo_error *err)
{
    if (atomic_load(&base->down))
        return colo__fail(err, COLO_E_PEER, 0, where,
                          "the link was shut down");
    return colo__fail(err, COLO_E_PEER, sys_errno, where, "%s%s%s", what,
                      why ? ": " : "", why ? why : "");
}

int colo__link_wait_data(struct colo_link_base *base, const char *where,
                         uint64_t deadline_us, uint32_t timeout_ms,
                         struct colo_error *err)
{
    int e = colo__fd_wait(base->fd, POLLIN, -1, deadline_us);

    if (e == ETIMEDOUT)
        return colo__fail(err, COLO_E_TIMEOUT, 0, where,
                          "no data from the peer within %u ms",
                          (unsigned)timeout_ms);
    return e ? colo__link_dead(base, where, e, "cannot wait for the peer",
                               NULL, err) : 0;
}

/* ---- the ops ----------------------------------------------------------- */

static struct link_fd *of(struct colo_link *link)
{
    return (struct link_fd *)link;
}

static void fd_close(struct colo_link *link)
{
    struct link_fd *l = of(link);

    if (!l)
        return;
    close(l->base.fd);
    free(l);
}

static int fd_dead(struct link_fd *l, int sys_errno, const char *what,
                   struct colo_error *err)
{
    return colo__link_dead(&l->base, WHERE, sys_errno, what, NULL, err);
}

/* The part of iov[0..n) behind the first skip bytes, as a message. */
static int rest_of(const struct iovec *iov, int n, size_t skip,
                   struct iovec *ret_part)
{
    int parts = 0;

    for (int i = 0; i < n && parts < MAX_IOV; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        ret_part[parts].iov_base = (uint8_t *)iov[i].iov_base + skip;
        ret_part[parts].iov_len = iov[i].iov_len - skip;
        parts++;
        skip = 0;
    }
    return parts;
}

/* Drops the pieces that are sent from the front of *iov, *n. */
static void advance(const struct iovec **iov, int *n, size_t *skip)
{
    while (*n > 0 && *skip >= (*iov)->iov_len) {
        *skip -= (*iov)->iov_len;
        (*iov)++;
        (*n)--;
    }
}

static int fd_send(struct colo_link *link, const struct iovec *iov, int n,
                   uint32_t timeout_ms, struct colo_error *err)
{
    struct link_fd *l = of(link);
    size_t skip = 0;

    for (;;) {
        struct iovec part[MAX_IOV];
        struct msghdr msg = { .msg_iov = part };
        ssize_t r;
        int e;

        advance(&iov, &n, &skip);
        if (n <= 0)
            return 0;
        msg.msg_iovlen = (size_t)rest_of(iov, n, skip, part);
        r = sendmsg(l->base.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r >= 0) {
            skip += (size_t)r;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return fd_dead(l, errno, "cannot send to the peer", err);
        /* Each wait gets the whole time: the limit is on no progress. */
        e = colo__fd_wait(l->base.fd, POLLOUT, -1,
                          colo__deadline_us(timeout_ms));
        if (e)
            return fd_dead(l, e, "the peer takes no data", err);
    }
}

static int fd_recv(struct colo_link *link, void *buf, size_t cap,
                   uint32_t timeout_ms, size_t *ret_len,
                   struct colo_error *err)
{
    struct link_fd *l = of(link);
    uint64_t deadline = timeout_ms ? colo__deadline_us(timeout_ms) : 0;

    if (cap == 0)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE, "no room to receive");
    for (;;) {
        ssize_t r = recv(l->base.fd, buf, cap, MSG_DONTWAIT);
        int rc;

        if (r > 0) {
            *ret_len = (size_t)r;
            return 0;
        }
        if (r == 0)
            return fd_dead(l, 0, "the peer closed the link", err);
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return fd_dead(l, errno, "cannot receive from the peer", err);
        if (timeout_ms == 0) {
            *ret_len = 0;
            return 0;
        }
        rc = colo__link_wait_data(&l->base, WHERE, deadline, timeout_ms, err);
        if (rc)
            return rc;
    }
}

static size_t fd_pending(struct colo_link *link)
{
    (void)link;
    return 0;
}

static const struct colo_link_ops fd_ops = {
    .close = fd_close,
    .fd = colo__link_get_fd,
    .send = fd_send,
    .recv = fd_recv,
    .pending = fd_pending,
    .shutdown = colo__link_shutdown,
};

int colo__link_fd_new(int fd, struct colo_link **ret_link,
                      struct colo_error *err)
{
    struct link_fd *l = NULL;
    int type = 0, one = 1, r, rc;
    socklen_t len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        type != SOCK_STREAM) {
        rc = colo__fail(err, COLO_E_INVAL, 0, WHERE,
                        "descriptor %d is not a stream socket", fd);
        goto out;
    }
    r = colo__fd_nonblock(fd);
    if (r) {
        rc = colo__fail(err, COLO_E_SYS, r, WHERE,
                        "cannot make descriptor %d non-blocking", fd);
        goto out;
    }
    l = calloc(1, sizeof(*l));
    if (!l) {
        rc = colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory for a link");
        goto out;
    }
    l->base.ops = &fd_ops;
    l->base.fd = fd;
    fd = -1;
    /* Fails on AF_UNIX, where nothing is delayed anyway. */
    (void)setsockopt(l->base.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *ret_link = (struct colo_link *)l;
    l = NULL;
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    free(l);
    return rc;
}

void colo__link_tune(int fd, uint32_t dead_ms)
{
    int one = 1, idle = (int)((dead_ms + 999u) / 1000u), count = 3;
    unsigned user = dead_ms;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user, sizeof(user));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}
