/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Abstract sockets between a session and its proxies: the short way for
 * requests (fast.h), and the stream to the twin.  Both ends must be root (or
 * the same user, as in tests).  Nothing here waits.  Any thread.
 */
#ifndef COLO_LOCAL_SOCKET_H
#define COLO_LOCAL_SOCKET_H

#include "../libcolo/internal.h"

#define COLO_LOCAL_NAME_MAX 108 /* terminated; sun_path less the leading NUL */

/* type: SOCK_SEQPACKET or SOCK_STREAM; descriptors do not block.
 * colo__local_listen - returns a descriptor, *ret_name filled, or < 0. */
int colo__local_listen(int type, const char *class_name, const char *id,
                       char ret_name[COLO_LOCAL_NAME_MAX],
                       struct colo_error *err);

/* colo__local_accept - returns a descriptor, COLO_E_NOTFOUND if nobody
 * knocks, COLO_E_AUTH if he may not (and has been turned away). */
int colo__local_accept(int listener, struct colo_error *err);

/* colo__local_connect - returns a descriptor or < 0. */
int colo__local_connect(int type, const char *name, struct colo_error *err);

#endif
