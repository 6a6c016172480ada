/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Starting a program with nothing inherited but what is named: what hv/spawn.c
 * (helpers), link/child.c (ssh) and the plug-in of xl have in common.  Any
 * thread.
 */
#ifndef COLO_RUN_H
#define COLO_RUN_H

#include <sys/types.h>

#include "internal.h"

#define COLO_RUN_FDS 6

/* colo__run - argv[0] in a session of its own, signals as at login.
 * Shape    fds[n], n <= COLO_RUN_FDS: what becomes 0..n-1; borrowed, any
 *          numbers; -1: it keeps ours.  All above are closed.
 *          in_path: look argv[0] up in PATH.
 *          env: its environment; NULL: ours.
 * Returns  0, or an errno value. */
int colo__run(char *const *argv, bool in_path, char *const *env,
              const int *fds, size_t n, pid_t *ret_pid);

/* colo__run_tool - a program of ours that says on stderr what it has to say:
 * in_fd (-1: /dev/null) is its stdin, its stdout is /dev/null. */
int colo__run_tool(char *const *argv, int in_fd, pid_t *ret_pid);

/* colo__run_pidfd - a pidfd of our child, or -1 where there are none. */
int colo__run_pidfd(pid_t pid);

#endif
