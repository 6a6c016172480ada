/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Who is there: finds the proxies that have joined a session, and notices
 * those that have gone.  Called by replication-xenstore.c.  One thread, the
 * session's.
 */
#include <string.h>

#include "claim.h"
#include "replication-internal.h"

struct colo_peer *colo__rx_find(struct replication_xenstore *rx,
                                const char *class_name, const char *id)
{
    for (struct colo_peer *p = rx->peers; p; p = p->next) {
        if (strcmp(p->class_name, class_name) == 0 && strcmp(p->id, id) == 0)
            return p;
    }
    return NULL;
}

bool colo__rx_expects(const struct replication_xenstore *rx,
                      const char *class_name, const char *id)
{
    for (unsigned int i = 0; i < rx->expected_count; i++) {
        if (strcmp(rx->expected[i].class_name, class_name) == 0 &&
            strcmp(rx->expected[i].id, id) == 0)
            return true;
    }
    return false;
}

void colo__rx_failed(struct replication_xenstore *rx, int code,
                     const struct colo_peer *p, const char *what)
{
    if (rx->failure.code == 0)
        colo__fail(&rx->failure, code, 0, "replication", "proxy %s/%s %s",
                   p->class_name, p->id, what);
}

void colo__rx_forget(struct replication_xenstore *rx, struct colo_peer *p)
{
    struct colo_peer **at = &rx->peers;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    rx->count--;
    colo__peer_free(p);
}

/* Its process has ended or its node is no longer there. */
static void gone(struct replication_xenstore *rx, struct colo_peer *p,
                 const char *how)
{
    if ((rx->active || rx->failing_over) && p->counts) {
        rx->unusable = true;
        colo__rx_failed(rx, COLO_E_NOTFOUND, p, how);
    }
    colo__log(&rx->log, rx->active ? COLO_LOG_WARNING : COLO_LOG_DEBUG, -1,
              "replication", "proxy %s/%s %s", p->class_name, p->id, how);
    colo__rx_forget(rx, p);
}

/* The node of a dead process: nobody else removes it. */
void colo__rx_ended(struct replication_xenstore *rx, struct colo_peer *p)
{
    const struct colo_peer_place *place = &rx->place;
    char path[COLO_XS_PATH_MAX];

    if (colo__peer_path(place, p, COLO_XS_OWNER, path, sizeof(path),
                        NULL) == 0 &&
        colo__claim_holder(place->store, path, p->owner_text, NULL) ==
            COLO_HOLDER_SELF &&
        colo__peer_path(place, p, NULL, path, sizeof(path), NULL) == 0)
        colo__store_ops(place->store)->remove(place->store, path, NULL);
    gone(rx, p, "has gone: its process has ended");
}

static int add_peer(struct replication_xenstore *rx, const char *class_name,
                    const char *id, const char *owner,
                    struct colo_error *err)
{
    struct colo_peer *p = NULL;
    struct colo_error why;
    int rc;

    if (rx->count == COLO_RX_MAX_PEERS) {
        colo__log(&rx->log, COLO_LOG_WARNING, -1, "replication",
                  "proxy %s/%s: more than %d proxies, it is left out",
                  class_name, id, COLO_RX_MAX_PEERS);
        return 0;
    }
    rc = colo__peer_new(&rx->place, class_name, id, owner, &p, &why);
    if (rc == COLO_E_NOMEM || rc == COLO_E_SYS) {
        if (err)
            *err = why;
        return rc;
    }
    if (rc) {
        colo__log(&rx->log, COLO_LOG_DEBUG, -1, "replication",
                  "proxy %s/%s is left out: %s", class_name, id, why.text);
        return 0;
    }
    p->next = rx->peers;
    p->seen = true;
    rx->peers = p;
    rx->count++;
    colo__peer_fast(&rx->place, p);
    colo__log(&rx->log, COLO_LOG_INFO, -1, "replication",
              "proxy %s/%s has joined (process %d, by %s)", class_name, id,
              p->owner.pid, p->fast >= 0 ? "socket" : "xenstore");
    if (!rx->active)
        return 0;
    p->counts = colo__rx_expects(rx, class_name, id);
    return colo__peer_ask(&rx->place, p, COLO_PROXY_START,
                          (uint64_t)rx->mode, err);
}

struct scan {
    struct replication_xenstore *rx;
    struct colo_error *err;
    const char *class_name;
    int rc;
};

static int scan_id(void *user, const char *id)
{
    struct scan *s = user;
    struct replication_xenstore *rx = s->rx;
    char path[COLO_XS_PATH_MAX], owner[64];
    struct colo_peer *p;

    if (colo__xs_proxy_path(path, sizeof(path), rx->uuid, s->class_name, id,
                            COLO_XS_OWNER, NULL))
        return 0; /* not a name that a proxy can have */
    s->rc = colo__store_ops(rx->place.store)->read(rx->place.store, path,
                                                   owner, sizeof(owner),
                                                   s->err);
    if (s->rc == COLO_E_NOTFOUND || s->rc == COLO_E_LIMIT) {
        s->rc = 0;
        return 0;
    }
    if (s->rc)
        return 1;
    p = colo__rx_find(rx, s->class_name, id);
    if (p && strcmp(p->owner_text, owner) != 0) {
        gone(rx, p, "has gone: another process took its place");
        p = NULL;
    }
    if (p)
        p->seen = true;
    else
        s->rc = add_peer(rx, s->class_name, id, owner, s->err);
    return s->rc != 0;
}

static int scan_class(void *user, const char *class_name)
{
    struct scan *s = user;
    char path[COLO_XS_PATH_MAX], node[COLO_XS_PATH_MAX];

    if (!colo__xs_word_ok(class_name, COLO_XS_WORD_MAX))
        return 0;
    /* "proxy/CLASS": built from the parts that schema.h gives */
    strcpy(node, COLO_XS_PROXY "/");
    strcat(node, class_name);
    s->rc = colo__xs_path(path, sizeof(path), s->rx->uuid, node, s->err);
    if (s->rc)
        return 1;
    s->class_name = class_name;
    s->rc = colo__store_ops(s->rx->place.store)->list(s->rx->place.store,
                                                      path, scan_id, s,
                                                      s->err);
    if (s->rc == COLO_E_NOTFOUND)
        s->rc = 0;
    return s->rc != 0;
}

int colo__rx_scan(struct replication_xenstore *rx, struct colo_error *err)
{
    struct scan s = { rx, err, NULL, 0 };
    char path[COLO_XS_PATH_MAX];
    struct colo_peer *p, *next;
    int rc;

    for (p = rx->peers; p; p = p->next)
        p->seen = false;
    rc = colo__xs_path(path, sizeof(path), rx->uuid, COLO_XS_PROXY, err);
    if (rc)
        return rc;
    rc = colo__store_ops(rx->place.store)->list(rx->place.store, path,
                                                scan_class, &s, err);
    if (rc && rc != COLO_E_NOTFOUND)
        return rc;
    if (s.rc)
        return s.rc;
    for (p = rx->peers; p; p = next) {
        next = p->next;
        if (!p->seen)
            gone(rx, p, "has gone: its node was removed");
    }
    return 0;
}
