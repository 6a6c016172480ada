/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A gate lets a session of this host have a peer of stock Xen: to the session
 * it is another session (libcolo-wire(7)), to the other host it is xl
 * (../stream.h).  The session does not know, but for a feature in HELLO that
 * says what its commits are worth.
 *
 * It is a process of its own (colo-stock.c), so that it outlives a session that
 * is killed: it lives as long as this host does, and while it lives nobody
 * over there may take this host for dead.
 */
#ifndef COLO_GATE_H
#define COLO_GATE_H

#include "link/link.h"

/* gate - everything is borrowed, but fd.
 * Units    *_ms: greet: for xl to say its banner; send: without progress; end:
 *          for the replica to be destroyed */
struct gate {
    struct colo_link *control, *bulk; /* to the session */
    uint8_t session[16];
    int fd;                           /* to xl: a connected stream socket */
    const struct colo_log *log;
    uint32_t greet_ms, send_ms, end_ms;
    void *user;
    /* armed - from now on the end of the connection would start the guest over
     * there; fd may be copied. */
    int (*armed)(void *user, const char *name, int fd,
                 struct colo_error *err);
    /* destroy - the replica, by other means than the connection, which is
     * held open meanwhile.  COLO_E_NOTFOUND: there is none of its name. */
    int (*destroy)(void *user, const char *name, struct colo_error *err);
    /* ended - the connection has, or does not work; revoked: in order, after
     * xl was told to give up.  COLO_E_PEER_SAID xl has given up by itself, so
     * it has destroyed the replica; COLO_E_PEER it may have done anything.
     * text in *err. */
    int (*ended)(void *user, bool revoked, struct colo_error *err);
};

/* gate_to_backup - the session's guest to a stock backup, until either has
 * ended.  When it returns 0, there is no replica any more.
 * Errors   there may be one: text says why */
int gate_to_backup(const struct gate *gate, struct colo_error *err);

/* gate_from - everything is borrowed, but fd.
 * Units    *_ms: silent: without a byte from xl, at least; send: without
 *          progress of the session; dead: of ours, what the session takes for
 *          the loss of the primary */
struct gate_from {
    struct colo_link *control, *bulk; /* to the session */
    uint8_t session[16];
    int fd;                           /* from xl: a connected stream socket */
    const char *config;               /* of the guest, JSON; NULL: xl has yet to
                                         be greeted and says it */
    const char *name;
    uint8_t uuid[16];
    uint64_t max_pfn;                 /* the last frame that is taken */
    const struct colo_log *log;
    uint32_t silent_ms, send_ms, dead_ms;
};

/* gate_from_primary - a stock primary's guest to the session of a backup, until
 * either has ended.  0: the primary is lost, and the links must be closed
 * without a word.
 * Errors   it is not, as far as is known: the session has been told why, or
 *          has ended by itself */
int gate_from_primary(const struct gate_from *gate, struct colo_error *err);

#endif
