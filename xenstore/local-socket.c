/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Abstract sockets between a session and its proxies, see local-socket.h.
 * Source: unix(7).
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "local-socket.h"

#define WHERE "local-socket"

static int make_address(const char *name, struct sockaddr_un *sa,
                        socklen_t *ret_len, struct colo_error *err)
{
    size_t n = strlen(name);

    if (n == 0 || n >= sizeof(sa->sun_path))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "'%.40s' cannot name a socket", name);
    memset(sa, 0, sizeof(*sa));
    sa->sun_family = AF_UNIX;
    memcpy(sa->sun_path + 1, name, n); /* the NUL in front: abstract */
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
    return 0;
}

static int check_peer(int fd, struct colo_error *err)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "SO_PEERCRED");
    if (cred.uid != 0 && cred.uid != geteuid())
        return colo__fail(err, COLO_E_AUTH, 0, WHERE,
                          "process %d of user %u is not root",
                          (int)cred.pid, (unsigned int)cred.uid);
    return 0;
}

static int make_socket(int type, struct colo_error *err)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "socket");
    return fd;
}

int colo__local_listen(int type, const char *class_name, const char *id,
                       char ret_name[COLO_LOCAL_NAME_MAX],
                       struct colo_error *err)
{
    struct sockaddr_un sa;
    uint32_t random = 0;
    socklen_t len = 0;
    int rc, fd;

    /* not for secrecy: a name that was used before must not be met again */
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = (uint32_t)colo__now_us(&colo__clock_monotonic);
    snprintf(ret_name, COLO_LOCAL_NAME_MAX, "libcolo/%d/%.32s/%.32s/%08x",
             (int)getpid(), class_name, id, random);
    rc = make_address(ret_name, &sa, &len, err);
    if (rc)
        return rc;
    fd = make_socket(type, err);
    if (fd < 0)
        return fd;
    if (bind(fd, (struct sockaddr *)&sa, len) || listen(fd, 4)) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "bind and listen");
        close(fd);
        return rc;
    }
    return fd;
}

int colo__local_accept(int listener, struct colo_error *err)
{
    int rc, fd;

    do {
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0 && errno == EAGAIN)
        return COLO_E_NOTFOUND;
    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "accept");
    rc = check_peer(fd, err);
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}

int colo__local_connect(int type, const char *name, struct colo_error *err)
{
    struct sockaddr_un sa;
    socklen_t len = 0;
    int rc, fd;

    rc = make_address(name, &sa, &len, err);
    if (rc)
        return rc;
    fd = make_socket(type, err);
    if (fd < 0)
        return fd;
    if (connect(fd, (struct sockaddr *)&sa, len)) {
        rc = colo__fail(err, COLO_E_PEER, errno, WHERE, "connect to @%s",
                        name);
        goto out;
    }
    rc = check_peer(fd, err);

out:
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}
