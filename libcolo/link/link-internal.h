/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the files of link/ share: waiting for a descriptor with a deadline,
 * what all links have, and the TLS handshake step by step.  Nobody outside
 * link/ includes it.
 */
#ifndef COLO_LINK_INTERNAL_H
#define COLO_LINK_INTERNAL_H

#include <stdatomic.h>

#include "link.h"

/* colo__fd_wait - until fd has one of events (or an error or hangup).
 * cancel_fd: -1, or a descriptor that calls the wait off when readable.
 * Returns  0, ETIMEDOUT, ECANCELED, or the errno of poll. */
int colo__fd_wait(int fd, short events, int cancel_fd, uint64_t deadline_us);

/* colo__fd_nonblock - 0 or an errno value. */
int colo__fd_nonblock(int fd);

/* What every link begins with, and the ops that need no more. */
struct colo_link_base {
    const struct colo_link_ops *ops;
    int fd;
    atomic_bool down; /* shutdown was called */
};

int colo__link_get_fd(struct colo_link *link);
void colo__link_shutdown(struct colo_link *link);

/* colo__link_dead - "WHAT: WHY", why may be NULL; another text if it was we
 * who shut it down.
 * Returns  COLO_E_PEER. */
int colo__link_dead(struct colo_link_base *base, const char *where,
                    int sys_errno, const char *what, const char *why,
                    struct colo_error *err);

/* colo__link_wait_data - for recv, when nothing is there; timeout_ms is for
 * the error's text.
 * Errors   COLO_E_TIMEOUT, COLO_E_PEER. */
int colo__link_wait_data(struct colo_link_base *base, const char *where,
                         uint64_t deadline_us, uint32_t timeout_ms,
                         struct colo_error *err);

/* colo__link_tls_begin - a link whose handshake is still to be done; owns
 * fd also when it fails; borrows key and identity until the handshake is
 * over.  close is the only op until then.
 * colo__link_tls_step - one step of it, without waiting.  *ret_events is
 * what to poll fd for, or 0: the link is ready.
 * Errors   as colo__link_tls_new. */
int colo__link_tls_begin(int fd, bool server, const uint8_t *key,
                         const char *identity, struct colo_link **ret_link,
                         struct colo_error *err);
int colo__link_tls_step(struct colo_link *link, short *ret_events,
                        struct colo_error *err);

/* colo__link_tls_open - colo__link_tls_new with an absolute deadline and a
 * cancel_fd (or -1).
 * Errors   COLO_E_STATE called off. */
int colo__link_tls_open(int fd, bool server, const uint8_t *key,
                        const char *identity, uint64_t deadline_us,
                        int cancel_fd, struct colo_link **ret_link,
                        struct colo_error *err);

#endif
