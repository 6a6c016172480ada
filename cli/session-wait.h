/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A process that runs one session waits for it, and for one thing more.  Uses
 * libcolo's public interface only.
 */
#ifndef SESSION_WAIT_H
#define SESSION_WAIT_H

#include <stdbool.h>

#include "colo.h"

/* session_wait - until the session has something to do, fd is readable or
 * closed (*ret_ready), or a signal came.
 * fd       -1: there is nothing more to wait for
 * Blocks   until the session's deadline, at most a minute, unless it has
 *          none. */
int session_wait(struct colo_session *session, int fd, bool *ret_ready,
                 struct colo_error *err);

#endif
