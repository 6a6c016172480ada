/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Finding sessions in xenstore, see sessions.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "owner.h"
#include "sessions.h"

struct uuids {
    char (*uuid)[COLO_XS_UUID_MAX];
    size_t count, room;
    bool no_memory;
};

static int collect(void *user, const char *name)
{
    struct uuids *u = user;

    if (!colo__xs_word_ok(name, COLO_XS_UUID_MAX))
        return 0;
    if (u->count == u->room) {
        size_t room = u->room ? u->room * 2 : 16;
        void *p = reallocarray(u->uuid, room, sizeof(*u->uuid));

        if (!p) {
            u->no_memory = true;
            return 1;
        }
        u->uuid = p;
        u->room = room;
    }
    strcpy(u->uuid[u->count++], name);
    return 0;
}

int colo__sessions_read(struct colo_store *store, const char *uuid,
                        const char *node, char *buf, size_t cap,
                        struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = colo__xs_path(path, sizeof(path), uuid, node, err);

    if (rc)
        return rc;
    rc = colo__store_ops(store)->read(store, path, buf, cap, err);
    if (rc == COLO_E_NOTFOUND || rc == COLO_E_LIMIT) {
        buf[0] = '\0';
        return 0;
    }
    return rc;
}

static int look(struct colo_store *store, const char *uuid,
                struct colo_session_node *node, struct colo_error *err)
{
    char value[128];
    uint64_t domid;
    int rc;

    memset(node, 0, sizeof(*node));
    strcpy(node->uuid, uuid);
    rc = colo__sessions_read(store, uuid, COLO_XS_OWNER, value, sizeof(value),
                             err);
    if (rc)
        return rc;
    if (colo__xs_owner_parse(value, &node->owner, NULL) == 0)
        node->alive = colo__owner_alive(&node->owner);
    rc = colo__sessions_read(store, uuid, COLO_XS_NAME, value, sizeof(value),
                             err);
    if (rc)
        return rc;
    colo__xs_clean(node->name, sizeof(node->name), value);
    rc = colo__sessions_read(store, uuid, COLO_XS_DOMID, value, sizeof(value),
                             err);
    if (rc)
        return rc;
    if (colo__xs_u64_parse(value, &domid, NULL) == 0 && domid <= UINT32_MAX) {
        node->domid = (uint32_t)domid;
        node->domid_known = true;
    }
    return 0;
}

int colo__sessions_scan(struct colo_store *store,
                        int (*fn)(void *user,
                                  const struct colo_session_node *node),
                        void *user, struct colo_error *err)
{
    struct uuids u = { NULL, 0, 0, false };
    struct colo_session_node node;
    int rc;

    rc = colo__store_ops(store)->list(store, COLO_XS_ROOT, collect, &u, err);
    if (rc == COLO_E_NOTFOUND) {
        rc = 0;
        goto out;
    }
    if (rc)
        goto out;
    if (u.no_memory) {
        rc = colo__fail(err, COLO_E_NOMEM, 0, "sessions", "no memory");
        goto out;
    }
    for (size_t i = 0; i < u.count; i++) {
        rc = look(store, u.uuid[i], &node, err);
        if (rc)
            goto out;
        if (fn(user, &node))
            break;
    }

out:
    free(u.uuid);
    return rc;
}

struct search {
    const char *domain;
    uint64_t domid;
    bool by_domid;
    bool found, found_dead;
    struct colo_session_node node;
};

static int compare(void *user, const struct colo_session_node *node)
{
    struct search *s = user;
    bool match = strcmp(node->uuid, s->domain) == 0;

    if (s->by_domid)
        match = match || (node->domid_known && node->domid == s->domid);
    else
        match = match || strcmp(node->name, s->domain) == 0;
    if (!match)
        return 0;
    if (!node->alive) {
        if (!s->found)
            s->node = *node;
        s->found_dead = true;
        return 0;
    }
    s->node = *node;
    s->found = true;
    return 1;
}

int colo__sessions_find(struct colo_store *store, const char *domain,
                        struct colo_session_node *ret_node,
                        struct colo_error *err)
{
    struct search s;
    int rc;

    memset(&s, 0, sizeof(s));
    s.domain = domain;
    s.by_domid = colo__xs_u64_parse(domain, &s.domid, NULL) == 0;
    rc = colo__sessions_scan(store, compare, &s, err);
    if (rc)
        return rc;
    if (s.found) {
        *ret_node = s.node;
        return 0;
    }
    if (s.found_dead)
        return colo__fail(err, COLO_E_NOTFOUND, 0, "sessions",
                          "the session of '%.63s' (process %d) has died: put "
                          "things right with: colo recover", domain,
                          s.node.owner.pid);
    return colo__fail(err, COLO_E_NOTFOUND, 0, "sessions",
                      "no session for '%.63s': start one with: colo protect "
                      "%.63s HOST", domain, domain);
}
