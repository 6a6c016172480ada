/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A process that runs one session waits for it, and for more.  Uses libcolo's
 * public interface only.
 */
#ifndef SESSION_WAIT_H
#define SESSION_WAIT_H

#include <poll.h>

#include "colo.h"

/* session_wait - until the session has something to do, or one of the others
 * has, or a signal came.
 * fds      n of them; the first is the session's, and filled in here; of the
 *          others see poll(2)
 * Blocks   until the session's deadline, at most a minute, unless it has
 *          none. */
int session_wait(struct colo_session *session, struct pollfd *fds, nfds_t n,
                 struct colo_error *err);

#endif
