/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * libcolo reaches its peer by running a command such as ssh, and xl has done
 * that already.  So this is the command: it copies between its own stdin and
 * stdout and the pipes that colo-xl-session has from xl.
 */
#ifndef XL_RELAY_H
#define XL_RELAY_H

/* relay_run - pid: of the session, a number.  Its pipes are opened anew, since
 * libcolo gives no descriptors to what it starts.
 * Returns  the exit code: 0 both ways have ended, 1 an error
 * Blocks   until its stdin or the peer ends; libcolo ends it before. */
int relay_run(const char *pid);

#endif
