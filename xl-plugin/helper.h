/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The process that runs the session for xl: colo-xl-session.  So what libcolo
 * needs (libraries, threads, children, signals) stays out of xl.  Its stdin is
 * a pipe that only xl holds: when the primary's xl is killed, the session ends
 * cleanly, and when the backup's is, perhaps together with ssh and the
 * primary's host, it goes on.
 *
 * Its descriptors: 0 that pipe, 1 what it reports, XL_SEND_FD to the peer,
 * XL_RECV_FD from it, XL_CONFIG_FD the guest's configuration for those that
 * need one (a list of processes shows words to everybody, and it may hold a
 * password).  A report is a line of at most XL_LINE_MAX bytes:
 * "log LEVEL TEXT" (COLO_LOG_*), at its end "end CODE TEXT" (0, COLO_E_*, or
 * XL_TAKEN_OVER).
 */
#ifndef XL_HELPER_H
#define XL_HELPER_H

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define XL_SEND_FD 3
#define XL_RECV_FD 4
#define XL_CONFIG_FD 5
#define XL_LINE_MAX 400
#define XL_TAKEN_OVER 1 /* the guest runs here, and all is done */

/* The path of one of our programs; false: it is too long. */
static inline bool xl_program(char *buf, size_t cap, const char *name)
{
    const char *dir = getenv("COLO_XL_LIBEXECDIR");

    return snprintf(buf, cap, "%s/%s", dir ? dir : COLO_LIBEXECDIR, name) <
           (int)cap;
}

typedef void xl_say_fn(void *user, int level, const char *text);

/* xl_helper_run - until it has ended.
 * argv     the words behind its name; ends with NULL
 * config_fd  its XL_CONFIG_FD; -1: none
 * say      told what it reports
 * Returns  0 or XL_TAKEN_OVER, or < 0: a COLO_E_*
 * Blocks   as long as protection lasts. */
int xl_helper_run(const char *const *argv, int send_fd, int recv_fd,
                  int config_fd, xl_say_fn *say, void *user,
                  struct colo_error *err);

#endif
