/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A proxy's connection to its twin: a local socket whose other end the
 * session carries to the peer.  One thread per proxy.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "local-socket.h"
#include "proxy.h"

int colo_proxy_stream(struct colo_proxy *proxy, int *ret_fd,
                      struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX], name[COLO_LOCAL_NAME_MAX];
    int rc, fd, flags;

    if (!proxy || !ret_fd)
        return colo__fail(err, COLO_E_INVAL, 0, "proxy",
                          "proxy and ret_fd are needed");
    rc = colo__xs_stream_path(path, sizeof(path), proxy->uuid,
                              proxy->class_name, proxy->id, err);
    if (rc)
        return rc;
    rc = colo__store_ops(proxy->store)->read(proxy->store, path, name,
                                             sizeof(name), err);
    if (rc == COLO_E_NOTFOUND)
        return colo__fail(err, rc, 0, "proxy", "the session has no stream "
                          "for %s/%s", proxy->class_name, proxy->id);
    if (rc)
        return rc;
    fd = colo__local_connect(SOCK_STREAM, name, err);
    if (fd < 0)
        return fd;
    /* what the caller gets is an ordinary socket */
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, "proxy", "fcntl");
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}
