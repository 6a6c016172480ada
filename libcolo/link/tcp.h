/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * TCP connections with a deadline, also for the name.  Threads: any.
 */
#ifndef COLO_TCP_H
#define COLO_TCP_H

#include <sys/socket.h>

#include "link.h"

/* colo__tcp_address - false: text is no address in numbers. */
bool colo__tcp_address(const char *text, uint16_t port,
                       struct sockaddr_storage *ret_sa, socklen_t *ret_len);

#define COLO_TCP_ADDRESSES 8
#define COLO_TCP_TEXT 64

/* colo__tcp_look_up - the addresses of a name, one text each, the first
 * COLO_TCP_ADDRESSES of them.
 * cancel_fd  calls it off when readable; or -1
 * Errors     COLO_E_NOTFOUND the name is not known; COLO_E_STATE called off;
 *            COLO_E_TIMEOUT; COLO_E_SYS */
int colo__tcp_look_up(const char *name, int cancel_fd, uint64_t deadline_us,
                      char (*ret_address)[COLO_TCP_TEXT], int *ret_n,
                      struct colo_error *err);

/* colo__tcp_connect - to the first address of a name that answers.
 * cancel_fd  calls it off when readable; or -1
 * hint       goes behind "cannot connect to ADDRESS port PORT"
 * *ret_fd    connected, not blocking, the caller's
 * Errors     COLO_E_NOTFOUND the name is not known; COLO_E_PEER nobody
 *            answers; COLO_E_STATE called off; COLO_E_SYS */
int colo__tcp_connect(const char *address, uint16_t port, int cancel_fd,
                      uint64_t deadline_us, const char *hint, int *ret_fd,
                      struct colo_error *err);

#endif
