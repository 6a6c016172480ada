/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Carries bytes between a link to the peer and a local socket, both ways, so
 * that a proxy talks to its twin without a connection of its own.  Two threads
 * for each relay; whoever owns it calls start and end on one thread.
 *
 * When either side ends, both are shut down: the proxy learns that its twin
 * has gone, and the twin's session that the proxy has.
 */
#ifndef COLO_RELAY_H
#define COLO_RELAY_H

#include "../link/link.h"

struct colo_relay;

/* colo__relay_start - owns link and fd (a connected stream socket)
 * afterwards, also when it fails.
 * dead_ms: a side that takes nothing for so long has ended; 0: 60 s. */
int colo__relay_start(struct colo_link *link, int fd, uint32_t dead_ms,
                      struct colo_relay **ret_relay, struct colo_error *err);

/* colo__relay_over - one of the two sides has ended.  Any thread. */
bool colo__relay_over(const struct colo_relay *relay);

/* colo__relay_bytes - carried to the peer and from it.  Any thread. */
void colo__relay_bytes(const struct colo_relay *relay, uint64_t *ret_out,
                       uint64_t *ret_in);

/* colo__relay_end - shut down, join, free; NULL is fine. */
void colo__relay_end(struct colo_relay *relay);

#endif
