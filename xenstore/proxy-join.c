/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * How a proxy joins a session and leaves it: claims its id, watches the
 * session, offers the socket of fast.h.  What it does in between is in
 * proxy.c.  One thread per proxy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "claim.h"
#include "fast.h"
#include "owner.h"
#include "proxy.h"
#include "sessions.h"

#define TOKEN_SESSION "session"
#define TOKEN_SELF "self"

/* ---- its nodes --------------------------------------------------------- */

int colo__proxy_path(struct colo_proxy *p, const char *node, char *buf,
                     size_t cap, struct colo_error *err)
{
    return colo__xs_proxy_path(buf, cap, p->uuid, p->class_name, p->id, node,
                               err);
}

int colo__proxy_write(struct colo_proxy *p, const char *node,
                      const char *value, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = colo__proxy_path(p, node, path, sizeof(path), err);

    return rc ? rc : colo__store_ops(p->store)->write(p->store, path, value,
                                                      err);
}

int colo__proxy_watch_fd(struct colo_proxy *p, int fd, struct colo_error *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &event))
        return colo__fail(err, COLO_E_SYS, errno, "proxy", "epoll_ctl");
    return 0;
}

int colo__proxy_holder(struct colo_proxy *p, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = colo__proxy_path(p, COLO_XS_OWNER, path, sizeof(path), err);

    return rc ? rc : colo__claim_holder(p->store, path, p->self, err);
}

/* ---- join -------------------------------------------------------------- */

/* What somebody who had our id and died left behind. */
static int clean(void *user, struct colo_error *err)
{
    static const char *const leftovers[] = {
        COLO_XS_FAST, COLO_XS_REQUEST, COLO_XS_REPLY, COLO_XS_EVENT,
    };
    struct colo_proxy *p = user;
    char path[COLO_XS_PATH_MAX];
    int rc;

    for (size_t i = 0; i < COLO_ARRAY_LEN(leftovers); i++) {
        rc = colo__proxy_path(p, leftovers[i], path, sizeof(path), err);
        if (rc)
            return rc;
        rc = colo__store_ops(p->store)->remove(p->store, path, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int claim(struct colo_proxy *p, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX], taken[2 * COLO_XS_WORD_MAX + 16];
    struct colo_claim claim = {
        .path = path, .where = "proxy", .taken = taken,
        .clean = clean, .user = p,
    };
    int rc;

    rc = colo__proxy_path(p, COLO_XS_OWNER, path, sizeof(path), err);
    if (rc)
        return rc;
    snprintf(taken, sizeof(taken), "is %s/%s already", p->class_name, p->id);
    rc = colo__claim(p->store, &claim, p->self, sizeof(p->self), err);
    p->claimed = rc == 0;
    return rc;
}

static int watch(struct colo_proxy *p, const char *path, const char *token,
                 struct colo_error *err)
{
    return colo__store_ops(p->store)->watch(p->store, path, token, err);
}

static int watch_all(struct colo_proxy *p, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc;

    rc = colo__xs_path(path, sizeof(path), p->uuid, COLO_XS_OWNER, err);
    if (rc)
        return rc;
    rc = watch(p, path, TOKEN_SESSION, err);
    if (rc)
        return rc;
    rc = colo__proxy_path(p, COLO_XS_OWNER, path, sizeof(path), err);
    if (rc)
        return rc;
    rc = watch(p, path, TOKEN_SELF, err);
    if (rc)
        return rc;
    rc = colo__proxy_path(p, COLO_XS_REQUEST, path, sizeof(path), err);
    return rc ? rc : watch(p, path, COLO_PROXY_TOKEN, err);
}

/* Without it everything works, only slower: no error. */
static void offer_fast(struct colo_proxy *p)
{
    char name[COLO_FAST_NAME_MAX];

    p->listener = colo__fast_listen(p->class_name, p->id, name, NULL);
    if (p->listener < 0)
        p->listener = -1;
    else if (colo__proxy_watch_fd(p, p->listener, NULL) ||
             colo__proxy_write(p, COLO_XS_FAST, name, NULL)) {
        close(p->listener);
        p->listener = -1;
    }
}

static int join(struct colo_proxy *p, const char *domain, unsigned int flags,
                struct colo_error *err)
{
    struct colo_session_node node;
    int rc;

    p->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (p->epfd < 0)
        return colo__fail(err, COLO_E_SYS, errno, "proxy", "epoll_create1");
    rc = colo__proxy_watch_fd(p, colo__store_ops(p->store)->fd(p->store), err);
    if (rc)
        return rc;
    rc = colo__sessions_find(p->store, domain, &node, err);
    if (rc)
        return rc;
    strcpy(p->uuid, node.uuid);
    rc = colo__xs_owner_build(p->session_owner, sizeof(p->session_owner),
                              &node.owner, err);
    if (rc)
        return rc;
    p->pidfd = colo__owner_pidfd(&node.owner, err);
    if (p->pidfd < 0)
        return p->pidfd;
    rc = colo__proxy_watch_fd(p, p->pidfd, err);
    if (rc)
        return rc;
    rc = claim(p, err);
    if (rc)
        return rc;
    /* fires at once: a session that has gone meanwhile is seen by next() */
    rc = watch_all(p, err);
    if (rc)
        return rc;
    if (!(flags & COLO_PROXY_NO_FAST))
        offer_fast(p);
    return 0;
}

int colo__proxy_new(struct colo_store *store, const char *domain,
                    const char *class_name, const char *id,
                    unsigned int flags, struct colo_proxy **ret_proxy,
                    struct colo_error *err)
{
    struct colo_proxy *p = NULL;
    int rc;

    if (!colo__xs_word_ok(class_name, COLO_XS_WORD_MAX) ||
        !colo__xs_word_ok(id, COLO_XS_WORD_MAX)) {
        rc = colo__fail(err, COLO_E_INVAL, 0, "proxy",
                        "class and id are at most 32 of A-Z a-z 0-9 _ -");
        goto out;
    }
    p = calloc(1, sizeof(*p));
    if (!p) {
        rc = colo__fail(err, COLO_E_NOMEM, 0, "proxy", "no memory");
        goto out;
    }
    p->store = store;
    store = NULL;
    p->epfd = p->pidfd = p->listener = p->conn = -1;
    strcpy(p->class_name, class_name);
    strcpy(p->id, id);
    rc = join(p, domain, flags, err);
    if (rc)
        goto out;
    *ret_proxy = p;
    p = NULL;

out:
    if (store)
        colo__store_ops(store)->close(store);
    colo_proxy_close(p);
    return rc;
}

int colo_proxy_join(const char *domain, const char *class_name,
                    const char *id, struct colo_proxy **ret_proxy,
                    struct colo_error *err)
{
    struct colo_store *store = NULL;
    int rc;

    if (!domain || !*domain || !class_name || !id || !ret_proxy)
        return colo__fail(err, COLO_E_INVAL, 0, "proxy",
                          "domain, class and id are needed");
    rc = colo__store_xs_open(&store, err);
    if (rc)
        return rc;
    return colo__proxy_new(store, domain, class_name, id, 0, ret_proxy, err);
}

/* ---- leave ------------------------------------------------------------- */

/* Also when the session has removed our node: a reply of ours that crossed
 * with the removal would have made it again. */
static void leave(struct colo_proxy *p)
{
    char path[COLO_XS_PATH_MAX];
    int who = colo__proxy_holder(p, NULL);

    if ((who == COLO_HOLDER_NOBODY || who == COLO_HOLDER_SELF) &&
        colo__proxy_path(p, NULL, path, sizeof(path), NULL) == 0)
        colo__store_ops(p->store)->remove(p->store, path, NULL);
}

void colo__proxy_drop_conn(struct colo_proxy *p)
{
    if (p->conn >= 0)
        close(p->conn);
    p->conn = -1;
}

void colo_proxy_close(struct colo_proxy *proxy)
{
    if (!proxy)
        return;
    if (proxy->claimed)
        leave(proxy);
    colo__proxy_drop_conn(proxy);
    if (proxy->listener >= 0)
        close(proxy->listener);
    if (proxy->pidfd >= 0)
        close(proxy->pidfd);
    if (proxy->epfd >= 0)
        close(proxy->epfd);
    colo__store_ops(proxy->store)->close(proxy->store);
    free(proxy);
}

int colo_proxy_get_fd(struct colo_proxy *proxy)
{
    return proxy ? proxy->epfd : -1;
}
