/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One proxy as the session sees it: who it is, how to reach it, the requests
 * that wait for it.  Used by replication-*.c only.  One thread.
 *
 * A proxy has one request at a time, by either way; the others wait in a
 * short queue.  failover and stop do not wait: they take the place of
 * whatever is unanswered.
 */
#ifndef COLO_PROXY_PEER_H
#define COLO_PROXY_PEER_H

#include "schema.h"
#include "store.h"

#define COLO_PEER_QUEUE 8

struct colo_peer {
    struct colo_peer *next;
    char class_name[COLO_XS_WORD_MAX], id[COLO_XS_WORD_MAX];
    char owner_text[64];
    struct colo_owner owner;
    int pidfd;
    int fast;            /* the socket, or -1: xenstore */
    bool seen;           /* by the scan that runs */
    bool counts;         /* its answers are waited for */
    bool refused;        /* said no to start: not asked again */
    uint64_t epoch;      /* last checkpoint it was asked for */
    bool busy;           /* asked has not been answered */
    struct colo_proxy_request asked;
    uint64_t asked_at_us;
    int verify;           /* 0 no, 1 under way, 2 done, < 0 failed */
    uint64_t compared, differing; /* chunks, of the last verify */
    uint64_t done, total; /* bytes of its first copy, as it last said */
    struct colo_proxy_request queue[COLO_PEER_QUEUE];
    unsigned int queued;
};

/* Where the peers of a session live. */
struct colo_peer_place {
    struct colo_store *store;
    const char *uuid;
    int epfd;                  /* gets pidfd and fast, data.ptr = the peer */
    const struct colo_log *log;
    uint64_t *seq;             /* of the newest request to any proxy */
};

/* colo__peer_new - COLO_E_NOTFOUND if its process has ended. */
int colo__peer_new(const struct colo_peer_place *place,
                   const char *class_name, const char *id,
                   const char *owner_text, struct colo_peer **ret_peer,
                   struct colo_error *err);
void colo__peer_free(struct colo_peer *peer);

/* colo__peer_fast - use the socket that it offers, if it does. */
void colo__peer_fast(const struct colo_peer_place *place,
                     struct colo_peer *peer);

/* colo__peer_ask - send, or queue if it is busy. */
int colo__peer_ask(const struct colo_peer_place *place,
                   struct colo_peer *peer, int verb, uint64_t arg,
                   struct colo_error *err);
/* colo__peer_ask_now - send whatever is unanswered. */
int colo__peer_ask_now(const struct colo_peer_place *place,
                       struct colo_peer *peer, int verb, uint64_t arg,
                       struct colo_error *err);

/* colo__peer_answered - the answer in text: 1 it belongs to asked, which
 * *ret_request says, and *ret_answer is filled; the next one has been sent.  0
 * an old one or garbage. */
int colo__peer_answered(const struct colo_peer_place *place,
                        struct colo_peer *peer, const char *text,
                        struct colo_proxy_request *ret_request,
                        struct colo_answer *ret_answer,
                        struct colo_error *err);

/* colo__peer_recv - the next text from the socket: 1, or 0 none.  A socket
 * that broke is given up and the request sent again through xenstore. */
int colo__peer_recv(const struct colo_peer_place *place,
                    struct colo_peer *peer, char *buf, size_t cap,
                    struct colo_error *err);

/* colo__peer_read - a node of it: 1 text, 0 nothing there. */
int colo__peer_read(const struct colo_peer_place *place,
                    const struct colo_peer *peer, const char *node, char *buf,
                    size_t cap, struct colo_error *err);

/* colo__peer_path - of its node, NULL for itself. */
int colo__peer_path(const struct colo_peer_place *place,
                    const struct colo_peer *peer, const char *node, char *buf,
                    size_t cap, struct colo_error *err);

#endif
