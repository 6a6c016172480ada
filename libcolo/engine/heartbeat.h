/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Heartbeat: when to say that we live, and when the peer's silence means that
 * it does not.  Pure bookkeeping in microseconds; the session sends and asks.
 */
#ifndef COLO_HEARTBEAT_H
#define COLO_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

struct colo_heartbeat {
    uint64_t every_us, dead_us;
    uint64_t next_send_us;  /* UINT64_MAX: not begun */
    uint64_t heard_us;
    /* Our own process may have been held up (a busy host, SIGSTOP) while the
     * peer's messages wait unread: silence counts only while we looked. */
    uint64_t looked_us;
};

void colo__heartbeat_init(struct colo_heartbeat *hb, uint32_t every_ms,
                          uint32_t dead_ms);
void colo__heartbeat_start(struct colo_heartbeat *hb, uint64_t now_us);
void colo__heartbeat_heard(struct colo_heartbeat *hb, uint64_t now_us);
/* colo__heartbeat_due - is it time to send one?  Plans the next. */
bool colo__heartbeat_due(struct colo_heartbeat *hb, uint64_t now_us);
/* colo__heartbeat_dead - call after everything that came has been read. */
bool colo__heartbeat_dead(struct colo_heartbeat *hb, uint64_t now_us);
/* the next time at which due or dead can change */
uint64_t colo__heartbeat_deadline(const struct colo_heartbeat *hb);

#endif
