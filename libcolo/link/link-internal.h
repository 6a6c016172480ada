/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the files of link/ share: waiting for a descriptor with a deadline,
 * and the TLS handshake that can be called off.  Nobody outside link/
 * includes it.
 */
#ifndef COLO_LINK_INTERNAL_H
#define COLO_LINK_INTERNAL_H

#include "link.h"

/* colo__deadline_us - now + ms, in microseconds of the monotonic clock. */
uint64_t colo__deadline_us(uint32_t ms);

/* colo__fd_wait - until fd has one of events (or an error or hangup).
 * cancel_fd: -1, or a descriptor that calls the wait off when readable.
 * Returns  0, ETIMEDOUT, ECANCELED, or the errno of poll. */
int colo__fd_wait(int fd, short events, int cancel_fd, uint64_t deadline_us);

/* colo__fd_nonblock - 0 or an errno value. */
int colo__fd_nonblock(int fd);

/* colo__link_tls_open - colo__link_tls_new with an absolute deadline and a
 * cancel_fd (or -1); owns fd as that does.
 * Errors   COLO_E_STATE called off. */
int colo__link_tls_open(int fd, bool server, const uint8_t *key,
                        const char *identity, uint64_t deadline_us,
                        int cancel_fd, struct colo_link **ret_link,
                        struct colo_error *err);

#endif
