/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The short way between a session and a proxy: an abstract seqpacket socket
 * that the proxy names in its node "fast".  It carries the same texts as the
 * xenstore nodes, one a packet; a proxy's event has "event " in front.  Both
 * ends must be root (or the same user, as in tests).  Nothing here waits.
 */
#ifndef COLO_FAST_H
#define COLO_FAST_H

#include "local-socket.h"

#define COLO_FAST_EVENT "event "
#define COLO_FAST_NAME_MAX COLO_LOCAL_NAME_MAX
#define COLO_FAST_TEXT_MAX 1024

/* colo__fast_listen - returns a descriptor, *ret_name filled, or < 0. */
int colo__fast_listen(const char *class_name, const char *id,
                      char ret_name[COLO_FAST_NAME_MAX],
                      struct colo_error *err);

/* colo__fast_accept - returns a descriptor, COLO_E_NOTFOUND if nobody
 * knocks, COLO_E_AUTH if he may not (and has been turned away). */
int colo__fast_accept(int listener, struct colo_error *err);

/* colo__fast_connect - returns a descriptor or < 0. */
int colo__fast_connect(const char *name, struct colo_error *err);

/* colo__fast_send - one text; COLO_E_PEER if it cannot go out now. */
int colo__fast_send(int fd, const char *text, struct colo_error *err);

/* colo__fast_recv - 1 a text, 0 none now, COLO_E_PEER closed,
 * COLO_E_PROTO too long or with a NUL in it (and taken out). */
int colo__fast_recv(int fd, char *buf, size_t cap, struct colo_error *err);

#endif
