/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The TCP sockets of the TLS transport.  Runs on the bootstrap's thread;
 * nothing here waits without its deadline and its cancel_fd.
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap-internal.h"
#include "tcp.h"

#define WHERE "bootstrap"
#define BACKLOG 16
/* The kernel counts a closed window as silence, and the window of bulk is
 * closed while the backup is busy: the heartbeat on control decides there,
 * this is what remains when nobody else looks. */
#define BULK_DEAD_MS 10000u

void colo__boot_tune(const struct colo_bootstrap *boot, int fd, bool bulk)
{
    uint32_t ms = boot->dead_ms;

    if (bulk && ms < BULK_DEAD_MS)
        ms = BULK_DEAD_MS;
    colo__link_tune(fd, ms);
}

int colo__boot_connect(struct colo_bootstrap *boot, const char *address,
                       uint16_t port, int *ret_fd, struct colo_error *err)
{
    return colo__tcp_connect(address, port, boot->cancel_fd,
                             boot->deadline_us,
                             " (try --address or --transport ssh)", ret_fd,
                             err);
}

/* Everywhere: the primary may know another address than ssh did. */
static int listen_on(const char *address, int *ret_fd)
{
    int fd, zero = 0, e;
    struct sockaddr_storage sa;
    socklen_t len;

    if (!colo__tcp_address(address, 0, &sa, &len))
        return EINVAL;
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    if (sa.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 ||
        listen(fd, BACKLOG) < 0) {
        e = errno;
        close(fd);
        return e;
    }
    *ret_fd = fd;
    return 0;
}

int colo__boot_listen(struct colo_bootstrap *boot, int *ret_fd,
                      uint16_t *ret_port, struct colo_error *err)
{
    const char *want = boot->address ? boot->address : "::";
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int fd = -1, e;

    e = listen_on(want, &fd);
    if (e && !boot->address)
        e = listen_on("0.0.0.0", &fd); /* a host without IPv6 */
    if (e)
        return colo__fail(err, e == EINVAL ? COLO_E_INVAL : COLO_E_SYS, e,
                          WHERE, "cannot listen on %s", want);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
        e = errno;
        close(fd);
        return colo__fail(err, COLO_E_SYS, e, WHERE,
                          "cannot ask the socket for its port");
    }
    *ret_port = ntohs(sa.ss_family == AF_INET
                      ? ((struct sockaddr_in *)&sa)->sin_port
                      : ((struct sockaddr_in6 *)&sa)->sin6_port);
    *ret_fd = fd;
    return 0;
}
