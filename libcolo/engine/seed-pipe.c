/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See seed-pipe.h.
 */
#include "seed-pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include "../pure/wire.h"

#define WHERE "seed pipe"

/* On a host with few processors every switch between us and the toolstack
 * costs: pieces go whole, where the pipe may be larger than it is. */
int colo__seed_pipe(bool we_write, int fds[2], struct colo_error *err)
{
    int rc;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "pipe");
    (void)fcntl(fds[1], F_SETPIPE_SZ, 4 * COLO_WIRE_SEED_CHUNK);
    if (!we_write || fcntl(fds[1], F_SETFL, O_NONBLOCK) >= 0)
        return 0;
    rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "fcntl");
    close(fds[0]);
    close(fds[1]);
    return rc;
}
