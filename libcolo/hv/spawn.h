/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Starting helper processes with nothing inherited but what is named, and
 * waiting for them without touching the caller's SIGCHLD.
 */
#ifndef COLO_HV_SPAWN_H
#define COLO_HV_SPAWN_H

#include <sys/types.h>

#include "../internal.h"

/* colo__spawn - run argv[0].
 * Shape    in_fd, out_fd: the child's 0 and 1 (-1: /dev/null); borrowed.  Its
 *          2 is ours.  ret_report: read end of its fd 3, non-blocking.
 *          ret_life: write end of its fd 4; the child sees the end of file
 *          when we close it or die.  Both -1 and the caller's on success. */
int colo__spawn(const char *const *argv, int in_fd, int out_fd,
                int *ret_report, int *ret_life, pid_t *ret_pid,
                int *ret_pidfd, struct colo_error *err);

/* colo__spawn_follow - a pidfd of our child, or -1 where there are none. */
int colo__spawn_follow(pid_t pid);

/* colo__spawn_wait - the exit status, or -1: still there after timeout_ms,
 * killed, or taken by somebody else's wait.  pidfd may be -1; it is not
 * closed. */
int colo__spawn_wait(pid_t pid, int pidfd, int timeout_ms);

#endif
