/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What replication-xenstore.c (requests, answers) and replication-peers.c
 * (who is there) share.  One thread, the session's.
 */
#ifndef COLO_REPLICATION_INTERNAL_H
#define COLO_REPLICATION_INTERNAL_H

#include "../libcolo/replication/replication.h"
#include "proxy-peer.h"

#define COLO_RX_MAX_PEERS 64

#define COLO_RX_MAX_EXPECTED 16

struct colo_rx_expected {
    char class_name[COLO_XS_WORD_MAX], id[COLO_XS_WORD_MAX];
    uint64_t since_us;
};

struct replication_xenstore {
    const struct colo_replication_ops *ops;
    struct colo_peer_place place;
    struct colo_log log;
    char uuid[COLO_XS_UUID_MAX];
    uint64_t seq;
    bool watching;
    bool active;   /* prepare was called, neither failover nor stop since */
    bool failing_over; /* failover was called, not stop since */
    int mode;
    bool diverged;
    struct colo_error failure; /* code 0: none */
    bool by_event;     /* a follower said so by itself, as of a lost twin */
    bool unusable;     /* somebody has gone or refused: no takeover */
    bool gives;        /* a primary: its failover is the peer's takeover */
    bool undone;       /* a backup: the takeover did not come about */
    uint64_t mark_ms;  /* for the answer to a checkpoint */
    struct colo_peer *peers;
    unsigned int count;
    struct colo_rx_expected expected[COLO_RX_MAX_EXPECTED];
    unsigned int expected_count;
    uint64_t prepared_us;
};

struct colo_peer *colo__rx_find(struct replication_xenstore *rx,
                                const char *class_name, const char *id);
bool colo__rx_expects(const struct replication_xenstore *rx,
                      const char *class_name, const char *id);
/* The first failure is the one that is told. */
void colo__rx_failed(struct replication_xenstore *rx, int code,
                     const struct colo_peer *p, const char *what);
/* Its process has ended: its node is removed, and it is freed. */
void colo__rx_ended(struct replication_xenstore *rx, struct colo_peer *p);
void colo__rx_forget(struct replication_xenstore *rx, struct colo_peer *p);
/* Who is there?  New ones are taken in, missing ones are gone. */
int colo__rx_scan(struct replication_xenstore *rx, struct colo_error *err);

#endif
