/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See session-wait.h.  Called by session-loop.c and xl-plugin/session.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "session-wait.h"

/* Milliseconds for poll until an absolute deadline. */
static int timeout_of(uint64_t deadline)
{
    struct timespec ts;
    uint64_t now;

    if (deadline == UINT64_MAX)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    now = (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
    if (deadline <= now)
        return 0;
    return deadline - now > 60000 ? 60000 : (int)(deadline - now);
}

int session_wait(struct colo_session *session, struct pollfd *fds, nfds_t n,
                 struct colo_error *err)
{
    fds[0].fd = colo_session_get_fd(session);
    fds[0].events = (short)colo_session_get_events(session);
    for (nfds_t i = 0; i < n; i++)
        fds[i].revents = 0; /* a poll that fails leaves them */
    if (poll(fds, n, timeout_of(colo_session_get_deadline(session))) < 0 &&
        errno != EINTR) {
        memset(err, 0, sizeof(*err));
        err->code = COLO_E_SYS;
        err->sys_errno = errno;
        snprintf(err->text, sizeof(err->text), "poll: %s", strerror(errno));
        return err->code;
    }
    return 0;
}
