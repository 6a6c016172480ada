/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See heartbeat.h.
 */
#include "heartbeat.h"

void colo__heartbeat_init(struct colo_heartbeat *hb, uint32_t every_ms,
                          uint32_t dead_ms)
{
    hb->every_us = (uint64_t)every_ms * 1000;
    hb->dead_us = (uint64_t)dead_ms * 1000;
    hb->next_send_us = UINT64_MAX;
    hb->heard_us = 0;
    hb->looked_us = 0;
}

void colo__heartbeat_start(struct colo_heartbeat *hb, uint64_t now_us)
{
    hb->next_send_us = now_us;
    hb->heard_us = now_us;
    hb->looked_us = now_us;
}

void colo__heartbeat_heard(struct colo_heartbeat *hb, uint64_t now_us)
{
    if (now_us > hb->heard_us)
        hb->heard_us = now_us;
}

bool colo__heartbeat_due(struct colo_heartbeat *hb, uint64_t now_us)
{
    if (now_us < hb->next_send_us)
        return false;
    hb->next_send_us = now_us + hb->every_us;
    return true;
}

bool colo__heartbeat_dead(struct colo_heartbeat *hb, uint64_t now_us)
{
    uint64_t gap = now_us - hb->looked_us;

    if (hb->next_send_us == UINT64_MAX)
        return false;
    hb->looked_us = now_us;
    /* held up for longer than the peer's interval: what it sent meanwhile
     * may still be on its way through our own queues */
    if (gap > hb->dead_us / 2) {
        hb->heard_us += gap;
        if (hb->heard_us > now_us)
            hb->heard_us = now_us;
    }
    return now_us - hb->heard_us > hb->dead_us;
}

uint64_t colo__heartbeat_deadline(const struct colo_heartbeat *hb)
{
    uint64_t dead;

    if (hb->next_send_us == UINT64_MAX)
        return UINT64_MAX;
    dead = hb->heard_us + hb->dead_us + 1;
    return dead < hb->next_send_us ? dead : hb->next_send_us;
}
