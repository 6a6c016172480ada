/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The abstract seqpacket socket of a proxy, see fast.h.  Source: unix(7).
 */
#include <string.h>
#include <sys/socket.h>

#include "fast.h"

int colo__fast_listen(const char *class_name, const char *id,
                      char ret_name[COLO_FAST_NAME_MAX],
                      struct colo_error *err)
{
    return colo__local_listen(SOCK_SEQPACKET, class_name, id, ret_name, err);
}

int colo__fast_accept(int listener, struct colo_error *err)
{
    return colo__local_accept(listener, err);
}

int colo__fast_connect(const char *name, struct colo_error *err)
{
    return colo__local_connect(SOCK_SEQPACKET, name, err);
}

int colo__fast_send(int fd, const char *text, struct colo_error *err)
{
    ssize_t r;

    do {
        r = send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return colo__fail(err, COLO_E_PEER, errno, "fast", "send");
    return 0;
}

int colo__fast_recv(int fd, char *buf, size_t cap, struct colo_error *err)
{
    ssize_t r;

    do {
        r = recv(fd, buf, cap - 1, MSG_DONTWAIT | MSG_TRUNC);
    } while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN)
        return 0;
    if (r < 0)
        return colo__fail(err, COLO_E_PEER, errno, "fast", "recv");
    if (r == 0)
        return colo__fail(err, COLO_E_PEER, 0, "fast",
                          "the other side has closed the socket");
    if ((size_t)r > cap - 1 || memchr(buf, '\0', (size_t)r))
        return colo__fail(err, COLO_E_PROTO, 0, "fast",
                          "a message of %zd bytes is too long or no text", r);
    buf[r] = '\0';
    return 1;
}
