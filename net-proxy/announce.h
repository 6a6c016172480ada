/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * At failover, on the backup: tell the network that a guest is here now, a few
 * times, so that switches and neighbours learn it at once.  One thread, the
 * session's; nothing waits.
 */
#ifndef COLO_NET_ANNOUNCE_H
#define COLO_NET_ANNOUNCE_H

#include "learn.h"

struct colo_announce;

/* colo__announce_new - for the interfaces of domid as they are now or come
 * while it goes on.
 * learn   what is known of the guest's addresses; copied.  Without entries
 *         nothing is said.
 * Errors  COLO_E_SYS, COLO_E_NOMEM */
int colo__announce_new(uint32_t domid, const struct colo_learn *learn,
                       const struct colo_clock *clock,
                       const struct colo_log *log,
                       struct colo_announce **ret, struct colo_error *err);

/* colo__announce_deadline - when colo__announce_run must be called, in the
 * clock's microseconds; COLO_NEVER: all has been said. */
uint64_t colo__announce_deadline(const struct colo_announce *a);

/* colo__announce_run - say what is due.  What cannot be sent is logged: a
 * guest that runs unannounced is better than none. */
void colo__announce_run(struct colo_announce *a);

/* colo__announce_close - also early.  NULL is fine. */
void colo__announce_close(struct colo_announce *a);

#endif
