/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A proxy's side of the contract: joins a session, hands its requests out,
 * carries the answers back, by xenstore or by the socket of fast.h.  One thread
 * per proxy.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fast.h"
#include "owner.h"
#include "proxy.h"
#include "sessions.h"

#define TOKEN_SESSION "session"
#define TOKEN_SELF "self"
#define TOKEN_REQUEST "request"

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

static int own_path(struct colo_proxy *p, const char *node, char *buf,
                    size_t cap, struct colo_error *err)
{
    return colo__xs_proxy_path(buf, cap, p->uuid, p->class_name, p->id, node,
                               err);
}

static int write_own(struct colo_proxy *p, const char *node,
                     const char *value, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = own_path(p, node, path, sizeof(path), err);

    return rc ? rc : colo__store_ops(p->store)->write(p->store, path, value,
                                                      err);
}

static int add_fd(struct colo_proxy *p, int fd, struct colo_error *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &event))
        return colo__fail(err, COLO_E_SYS, errno, "proxy", "epoll_ctl");
    return 0;
}

/* ---- join -------------------------------------------------------------- */

/* Somebody has our id.  0: he has died, his leftovers are gone, and old holds
 * what he wrote.  The leftovers go before we claim: afterwards the session
 * may already have sent us something. */
static int check_holder(struct colo_proxy *p, const char *path, char *old,
                        size_t cap, struct colo_error *err)
{
    static const char *const leftovers[] = {
        COLO_XS_FAST, COLO_XS_REQUEST, COLO_XS_REPLY, COLO_XS_EVENT,
    };
    const struct colo_store_ops *ops = colo__store_ops(p->store);
    char other[COLO_XS_PATH_MAX];
    struct colo_owner owner;
    int rc;

    rc = ops->read(p->store, path, old, cap, err);
    if (rc)
        return rc;
    if (colo__xs_owner_parse(old, &owner, NULL) == 0 &&
        colo__owner_alive(&owner))
        return colo__fail(err, COLO_E_EXISTS, 0, "proxy",
                          "process %d is %s/%s already", owner.pid,
                          p->class_name, p->id);
    for (size_t i = 0; i < COLO_ARRAY_LEN(leftovers); i++) {
        rc = own_path(p, leftovers[i], other, sizeof(other), err);
        if (rc)
            return rc;
        rc = ops->remove(p->store, other, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int claim(struct colo_proxy *p, struct colo_error *err)
{
    const struct colo_store_ops *ops = colo__store_ops(p->store);
    char path[COLO_XS_PATH_MAX], old[128] = "";
    struct colo_owner self;
    int rc;

    rc = colo__owner_self(&self, err);
    if (rc)
        return rc;
    rc = colo__xs_owner_build(p->self, sizeof(p->self), &self, err);
    if (rc)
        return rc;
    rc = own_path(p, COLO_XS_OWNER, path, sizeof(path), err);
    if (rc)
        return rc;
    rc = ops->claim(p->store, path, p->self, NULL, err);
    if (rc == COLO_E_EXISTS) {
        rc = check_holder(p, path, old, sizeof(old), err);
        if (rc && rc != COLO_E_NOTFOUND)
            return rc;
        rc = ops->claim(p->store, path, p->self, rc ? NULL : old, err);
    }
    if (rc == 0)
        p->claimed = true;
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
    rc = own_path(p, COLO_XS_OWNER, path, sizeof(path), err);
    if (rc)
        return rc;
    rc = watch(p, path, TOKEN_SELF, err);
    if (rc)
        return rc;
    rc = own_path(p, COLO_XS_REQUEST, path, sizeof(path), err);
    return rc ? rc : watch(p, path, TOKEN_REQUEST, err);
}

/* Without it everything works, only slower: no error. */
static void offer_fast(struct colo_proxy *p)
{
    char name[COLO_FAST_NAME_MAX];

    p->listener = colo__fast_listen(p->class_name, p->id, name, NULL);
    if (p->listener < 0)
        p->listener = -1;
    else if (add_fd(p, p->listener, NULL) ||
             write_own(p, COLO_XS_FAST, name, NULL)) {
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
    rc = add_fd(p, colo__store_ops(p->store)->fd(p->store), err);
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
    rc = add_fd(p, p->pidfd, err);
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

#define HOLDER_NOBODY 0
#define HOLDER_SELF   1
#define HOLDER_OTHER  2

/* Who has our id?  HOLDER_*, or < 0 if that cannot be said. */
static int holder(struct colo_proxy *p, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX], value[128];
    int rc;

    rc = own_path(p, COLO_XS_OWNER, path, sizeof(path), err);
    if (rc)
        return rc;
    rc = colo__store_ops(p->store)->read(p->store, path, value,
                                         sizeof(value), err);
    if (rc == COLO_E_NOTFOUND)
        return HOLDER_NOBODY;
    if (rc == COLO_E_LIMIT)
        return HOLDER_OTHER;
    if (rc)
        return rc;
    return strcmp(value, p->self) == 0 ? HOLDER_SELF : HOLDER_OTHER;
}

/* Also when the session has removed our node: a reply of ours that crossed
 * with the removal would have made it again. */
static void leave(struct colo_proxy *p)
{
    char path[COLO_XS_PATH_MAX];
    int who = holder(p, NULL);

    if ((who == HOLDER_NOBODY || who == HOLDER_SELF) &&
        own_path(p, NULL, path, sizeof(path), NULL) == 0)
        colo__store_ops(p->store)->remove(p->store, path, NULL);
}

static void drop_conn(struct colo_proxy *p)
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
    drop_conn(proxy);
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

/* ---- requests ---------------------------------------------------------- */

static int drain(struct colo_proxy *p, struct colo_error *err)
{
    char token[COLO_STORE_TOKEN_MAX];
    int r;

    while ((r = colo__store_ops(p->store)->next(p->store, token,
                                                sizeof(token), err)) == 1) {
        if (strcmp(token, TOKEN_REQUEST) == 0)
            p->fired_request = true;
        else
            p->fired_owner = true;
    }
    return r;
}

/* The session is gone when its process is, when its node is another's, or
 * when it has taken ours away. */
static int check_gone(struct colo_proxy *p, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX], value[128];
    int rc, who;

    if (colo__owner_ended(p->pidfd))
        p->gone = true;
    if (p->gone || !p->fired_owner)
        return 0;
    rc = colo__xs_path(path, sizeof(path), p->uuid, COLO_XS_OWNER, err);
    if (rc)
        return rc;
    rc = colo__store_ops(p->store)->read(p->store, path, value,
                                         sizeof(value), err);
    if (rc == COLO_E_NOTFOUND || rc == COLO_E_LIMIT ||
        (rc == 0 && strcmp(value, p->session_owner) != 0)) {
        p->gone = true;
        return 0;
    }
    if (rc)
        return rc;
    who = holder(p, err);
    if (who < 0)
        return who;
    p->gone = who != HOLDER_SELF;
    p->fired_owner = false;
    return 0;
}

/* By xenstore: nothing is written once the session has gone, it would stay
 * for ever. */
static int write_living(struct colo_proxy *p, const char *node,
                        const char *value, struct colo_error *err)
{
    int rc = drain(p, err);

    if (rc == 0)
        rc = check_gone(p, err);
    if (rc)
        return rc;
    if (p->gone)
        return colo__fail(err, COLO_E_NOTFOUND, 0, "proxy",
                          "the session has gone");
    return write_own(p, node, value, err);
}

/* 1 a request to hand out, 0 one that was seen before or was refused here. */
static int take(struct colo_proxy *p, const char *text, bool fast,
                struct colo_proxy_request *ret_request,
                struct colo_error *err)
{
    struct colo_error why;
    uint64_t seq = colo__xs_seq(text);

    if (seq <= p->last_seq)
        return 0;
    p->last_seq = seq;
    if (fast)
        p->fast_seq = seq;
    if (colo__xs_request_parse(text, ret_request, &why) == 0)
        return 1;
    return colo_proxy_reply(p, seq, why.text, err);
}

static int next_of_store(struct colo_proxy *p,
                         struct colo_proxy_request *ret_request,
                         struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX], value[256];
    int rc;

    if (!p->fired_request)
        return 0;
    rc = own_path(p, COLO_XS_REQUEST, path, sizeof(path), err);
    if (rc)
        return rc;
    rc = colo__store_ops(p->store)->read(p->store, path, value,
                                         sizeof(value), err);
    if (rc && rc != COLO_E_NOTFOUND && rc != COLO_E_LIMIT)
        return rc;
    p->fired_request = false;
    return rc ? 0 : take(p, value, false, ret_request, err);
}

static void accept_session(struct colo_proxy *p)
{
    int fd;

    if (p->listener < 0)
        return;
    fd = colo__fast_accept(p->listener, NULL);
    if (fd < 0)
        return;
    drop_conn(p);
    p->conn = fd;
    if (add_fd(p, fd, NULL))
        drop_conn(p);
}

static int next_of_fast(struct colo_proxy *p,
                        struct colo_proxy_request *ret_request,
                        struct colo_error *err)
{
    char text[COLO_FAST_TEXT_MAX];
    int r;

    accept_session(p);
    while (p->conn >= 0) {
        r = colo__fast_recv(p->conn, text, sizeof(text), NULL);
        if (r == 0)
            return 0;
        if (r < 0) {
            drop_conn(p); /* the session goes on through xenstore */
            return 0;
        }
        r = take(p, text, true, ret_request, err);
        if (r)
            return r;
    }
    return 0;
}

int colo_proxy_next(struct colo_proxy *proxy,
                    struct colo_proxy_request *ret_request,
                    struct colo_error *err)
{
    struct colo_proxy_request request = { .size = sizeof(request) };
    int r;

    if (!proxy || !ret_request || ret_request->size < sizeof(*ret_request))
        return colo__fail(err, COLO_E_INVAL, 0, "proxy",
                          "ret_request->size must be sizeof(struct "
                          "colo_proxy_request)");
    r = drain(proxy, err);
    if (r)
        return r;
    r = next_of_store(proxy, &request, err);
    if (r == 0)
        r = next_of_fast(proxy, &request, err);
    if (r < 0)
        return r;
    if (r == 1) {
        request.size = ret_request->size;
        *ret_request = request;
        return 1;
    }
    /* last: a request that came before the end is still handed out */
    r = check_gone(proxy, err);
    if (r)
        return r;
    if (proxy->gone)
        return colo__fail(err, COLO_E_NOTFOUND, 0, "proxy",
                          "the session has gone");
    return 0;
}

int colo_proxy_reply(struct colo_proxy *proxy, uint64_t seq,
                     const char *error, struct colo_error *err)
{
    char text[256];
    int rc;

    if (!proxy)
        return colo__fail(err, COLO_E_INVAL, 0, "proxy", "proxy is NULL");
    rc = colo__xs_answer_build(text, sizeof(text), seq, error, err);
    if (rc)
        return rc;
    if (proxy->conn >= 0 && seq == proxy->fast_seq) {
        if (colo__fast_send(proxy->conn, text, NULL) == 0)
            return 0;
        drop_conn(proxy);
    }
    return write_living(proxy, COLO_XS_REPLY, text, err);
}

int colo_proxy_event(struct colo_proxy *proxy, const char *event,
                     struct colo_error *err)
{
    char text[512];
    size_t n = strlen(COLO_FAST_EVENT);

    if (!proxy || !event || !*event)
        return colo__fail(err, COLO_E_INVAL, 0, "proxy",
                          "proxy and event are needed");
    memcpy(text, COLO_FAST_EVENT, n);
    colo__xs_clean(text + n, sizeof(text) - n, event);
    if (proxy->conn >= 0) {
        if (colo__fast_send(proxy->conn, text, NULL) == 0)
            return 0;
        drop_conn(proxy);
    }
    return write_living(proxy, COLO_XS_EVENT, text + n, err);
}
