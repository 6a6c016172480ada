/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The control link to the session of this host, which takes us for its peer:
 * HELLO, heartbeats, and messages one by one.  One thread.
 */
#ifndef COLO_TALK_H
#define COLO_TALK_H

#include "engine/heartbeat.h"
#include "link/link.h"
#include "pure/wire.h"

struct talk {
    struct colo_link *control; /* borrowed */
    const struct colo_log *log;
    int32_t role;              /* which one we play */
    uint8_t session[16];
    uint64_t features;         /* COLO_FEATURE_*: ours */
    struct colo_hello peer;    /* the session's, once it is known */
    bool known;
    struct colo_heartbeat heartbeat;
    uint8_t in[COLO_WIRE_HEADER + COLO_WIRE_MAX_CONTROL];
    size_t used, len;          /* of in: taken, there */
};

void talk_init(struct talk *talk, struct colo_link *control, int32_t role,
               const uint8_t session[16], uint64_t features,
               const struct colo_log *log);

int talk_send(struct talk *talk, uint32_t type, uint64_t epoch,
              uint64_t value, const char *text, struct colo_error *err);

/* talk_hello - as that other one would say it, of this guest. */
int talk_hello(struct talk *talk, const struct colo_hello *hello,
               struct colo_error *err);

/* talk_next - the next message that is neither HELLO (then ->known) nor a
 * heartbeat; without waiting.
 * *ret     borrows ->in, until the next call
 * Returns  1 there is one, 0 none now
 * Errors   COLO_E_PEER  the session has gone
 *          COLO_E_PEER_SAID it has ended by an error, which text says
 *          COLO_E_PROTO, COLO_E_VERSION, COLO_E_CORRUPT: what came is no
 *                       session's; the last words of one that was killed */
int talk_next(struct talk *talk, struct colo_msg *ret, struct colo_error *err);

/* talk_beat - send a heartbeat if it is time for one. */
int talk_beat(struct talk *talk, struct colo_error *err);
/* talk_wait_ms - until the next is due; at most 1000. */
int talk_wait_ms(const struct talk *talk);

#endif
