/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The inside of colo_proxy_*: what proxy.c (requests) and proxy-join.c (join,
 * leave) share, and the way in for tests.  One thread per proxy.
 */
#ifndef COLO_PROXY_H
#define COLO_PROXY_H

#include "schema.h"
#include "store.h"

#define COLO_PROXY_NO_FAST 1u /* do not offer the socket */

#define COLO_PROXY_TOKEN "request" /* of the watch for requests */

/* colo__proxy_new - colo_proxy_join over any store, which belongs to the
 * proxy afterwards, also when this fails. */
int colo__proxy_new(struct colo_store *store, const char *domain,
                    const char *class_name, const char *id,
                    unsigned int flags, struct colo_proxy **ret_proxy,
                    struct colo_error *err);

struct colo_proxy {
    struct colo_store *store; /* owned */
    char uuid[COLO_XS_UUID_MAX];
    char class_name[COLO_XS_WORD_MAX], id[COLO_XS_WORD_MAX];
    char session_owner[64], self[64]; /* owner texts */
    bool claimed, gone;
    int epfd;     /* what get_fd gives: all those below and the store's */
    int pidfd;    /* of the session */
    int listener; /* -1: xenstore only */
    int conn;     /* the session's connection, or -1 */
    bool fired_owner, fired_request;
    uint64_t last_seq;  /* of the newest request handed out */
    uint64_t fast_seq;  /* of the newest that came by the socket */
};

/* of its own node, NULL for itself */
int colo__proxy_path(struct colo_proxy *proxy, const char *node, char *buf,
                     size_t cap, struct colo_error *err);
int colo__proxy_write(struct colo_proxy *proxy, const char *node,
                      const char *value, struct colo_error *err);
int colo__proxy_watch_fd(struct colo_proxy *proxy, int fd,
                         struct colo_error *err);
/* who has its id: COLO_HOLDER_*, or < 0 if that cannot be said */
int colo__proxy_holder(struct colo_proxy *proxy, struct colo_error *err);
/* the session's connection, if there is one */
void colo__proxy_drop_conn(struct colo_proxy *proxy);

#endif
