/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * To a port of another host, by number or name.  See tcp.h.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap-internal.h"
#include "tcp.h"

#define WHERE "tcp"
#define NEXT_MS 3000u /* then the next address of the same name */

bool colo__tcp_address(const char *text, uint16_t port,
                       struct sockaddr_storage *ret_sa, socklen_t *ret_len)
{
    struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *ai = NULL;

    if (getaddrinfo(text, NULL, &hints, &ai) != 0)
        return false;
    memcpy(ret_sa, ai->ai_addr, ai->ai_addrlen);
    *ret_len = ai->ai_addrlen;
    freeaddrinfo(ai);
    if (ret_sa->ss_family == AF_INET)
        ((struct sockaddr_in *)ret_sa)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)ret_sa)->sin6_port = htons(port);
    return true;
}

/* getaddrinfo cannot be called off and may wait for a name server for half a
 * minute; a child can be. */
int colo__tcp_look_up(const char *name, int cancel_fd, uint64_t deadline_us,
                      char (*ret_address)[COLO_TCP_TEXT], int *ret_n,
                      struct colo_error *err)
{
    char *argv[] = { (char *)(uintptr_t)"getent",
                     (char *)(uintptr_t)"ahosts", NULL, NULL };
    struct colo_child child = COLO_CHILD_INIT;
    char line[COLO_BOOT_LINE_MAX];
    size_t len;
    int n = 0, rc;

    argv[2] = (char *)(uintptr_t)name;
    rc = colo__child_start(argv, &child, err);
    if (rc)
        return rc;
    while (n < COLO_TCP_ADDRESSES) {
        rc = colo__boot_read_line(child.stdio, cancel_fd, deadline_us, line,
                                  sizeof(line) - 1, &len, err);
        if (rc)
            break;
        line[len] = '\0';
        if (!strstr(line, "STREAM"))
            continue; /* the same once more for DGRAM and RAW */
        if (sscanf(line, "%63s", ret_address[n]) == 1)
            n++;
    }
    colo__child_end(&child, 100);
    if (rc && rc != COLO_E_PEER)
        return rc;
    if (n == 0)
        return colo__fail(err, COLO_E_NOTFOUND, 0, WHERE,
                          "no address is known for %s", name);
    *ret_n = n;
    return 0;
}

static int connect_one(const char *text, uint16_t port, int cancel_fd,
                       uint64_t deadline_us, const char *hint, int *ret_fd,
                       struct colo_error *err)
{
    struct sockaddr_storage sa;
    socklen_t len, elen = sizeof(int);
    int fd = -1, e = 0, rc;

    if (!colo__tcp_address(text, port, &sa, &len))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE, "%s is no address",
                          text);
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&sa, len) < 0)
        e = errno;
    if (e == EINPROGRESS) {
        e = colo__fd_wait(fd, POLLOUT, cancel_fd, deadline_us);
        if (!e)
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &elen);
    }
    if (e == ECANCELED) {
        rc = colo__fail(err, COLO_E_STATE, 0, WHERE, "called off");
        goto out;
    }
    if (e) {
        rc = colo__fail(err, COLO_E_PEER, e, WHERE,
                        "cannot connect to %s port %u%s", text, (unsigned)port,
                        hint);
        goto out;
    }
    *ret_fd = fd;
    fd = -1;
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

int colo__tcp_connect(const char *address, uint16_t port, int cancel_fd,
                      uint64_t deadline_us, const char *hint, int *ret_fd,
                      struct colo_error *err)
{
    char found[COLO_TCP_ADDRESSES][COLO_TCP_TEXT];
    struct sockaddr_storage sa;
    socklen_t len;
    int n = 0, rc;

    if (colo__tcp_address(address, port, &sa, &len))
        return connect_one(address, port, cancel_fd, deadline_us, hint, ret_fd,
                           err);
    rc = colo__tcp_look_up(address, cancel_fd, deadline_us, found, &n, err);
    for (int i = 0; i < n; i++) {
        uint64_t deadline = deadline_us;

        if (i + 1 < n && colo__deadline_us(NEXT_MS) < deadline)
            deadline = colo__deadline_us(NEXT_MS);
        rc = connect_one(found[i], port, cancel_fd, deadline, hint, ret_fd,
                         err);
        if (rc != COLO_E_PEER && rc != COLO_E_SYS)
            break;
    }
    return rc;
}
