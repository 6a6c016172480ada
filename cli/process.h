/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What `colo protect` and `colo receive` need as processes: signals through a
 * descriptor, a session's loop, and life after the terminal or ssh has gone.
 */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include <sys/types.h>

#include "cli.h"

/* cli_signals_open - SIGINT, SIGTERM and SIGHUP are blocked (before threads
 * are made, which inherit that) and readable from *ret_fd; SIGPIPE, and what a
 * terminal stops a process with, are ignored.  False: said why. */
bool cli_signals_open(int *ret_fd);

/* cli_session_loop - process until the session has ended.  A first signal
 * asks for a clean end, a second one returns COLO_E_REFUSED at once and leaves
 * it to close.  with_hangup: SIGHUP counts, too.
 * Returns  as colo_session_process. */
int cli_session_loop(struct colo_session *session, int signal_fd,
                     bool with_hangup, struct colo_error *err);

/* cli_session_signal - the same for a loop of one's own, when signal_fd is
 * readable.  *stopping: 0 at first.
 * Returns  0, or COLO_E_REFUSED: leave it to close. */
int cli_session_signal(struct colo_session *session, int signal_fd,
                       bool with_hangup, uint64_t *stopping,
                       struct colo_error *err);

/* A child that does the work, and what it tells its parent. */
struct cli_child {
    pid_t pid;      /* in the parent; 0 in the child */
    int report_fd;  /* parent: reads, child: writes; -1 once reported */
};

/* cli_fork - go on in a child with a session of its own (setsid).
 * Returns  in both processes; child->pid tells which.  False: said why. */
bool cli_fork(struct cli_child *child);
/* cli_child_report - tell the parent that the work is on its way: it may
 * leave.  Once; later calls do nothing. */
void cli_child_report(struct cli_child *child);
/* cli_detach - no terminal, no pipes of ssh any more: stdin and stdout are
 * /dev/null, stderr is the log file of this name (or /dev/null). */
void cli_detach(const char *name);
/* cli_parent_wait - until the child reports or ends; signals are handed on
 * to it.  hangup_fd: -1, or after the report stay until that is closed at the
 * other end or the child ends.
 * Returns  the exit code for the parent. */
int cli_parent_wait(struct cli_child *child, int signal_fd, int hangup_fd);

#define CLI_CANCELLED (-2)
#define CLI_SILENT    (-3)

/* cli_capture - the stdout of `COMMAND HOST REMOTE`, COMMAND being words such
 * as "ssh -p 22"; *ret_text is malloc'ed, terminated, at most 1 MiB.  It is
 * given up when cancel_fd (-1: none) becomes readable.
 * Returns  the exit status, -1 or, after timeout_ms, CLI_SILENT (both said
 *          why), or CLI_CANCELLED. */
int cli_capture(const char *command, const char *host, const char *remote,
                uint32_t timeout_ms, int cancel_fd, char **ret_text);

#endif
