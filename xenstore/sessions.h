/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which sessions does this host's xenstore know?  For clients, proxies and
 * recovery.  The thread that owns the store handle.
 */
#ifndef COLO_SESSIONS_H
#define COLO_SESSIONS_H

#include "schema.h"
#include "store.h"

struct colo_session_node {
    char uuid[COLO_XS_UUID_MAX];
    char name[64];              /* "" if it has not said yet */
    uint32_t domid;
    bool domid_known;
    struct colo_owner owner;    /* pid 0 if the node is missing or garbage */
    bool alive;                 /* that process runs */
};

/* colo__sessions_scan - fn for every directory below /libcolo that a session
 * made, dead ones too; a nonzero return ends.  fn may use the store. */
int colo__sessions_scan(struct colo_store *store,
                        int (*fn)(void *user,
                                  const struct colo_session_node *node),
                        void *user, struct colo_error *err);

/* colo__sessions_find - the living session of a domain.
 * Shape    domain: name, domid or UUID.
 * Errors   COLO_E_NOTFOUND; the text says what to do. */
int colo__sessions_find(struct colo_store *store, const char *domain,
                        struct colo_session_node *ret_node,
                        struct colo_error *err);

/* colo__sessions_read - the text of one node of a session; missing or no text
 * or longer than cap: "". */
int colo__sessions_read(struct colo_store *store, const char *uuid,
                        const char *node, char *buf, size_t cap,
                        struct colo_error *err);

#endif
