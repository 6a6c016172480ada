/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A proxy's side of the contract: hands the session's requests out, carries
 * the answers back, by xenstore or by the socket of fast.h.  Joining and
 * leaving are in proxy-join.c.  One thread per proxy.
 */
#include <string.h>
#include <unistd.h>

#include "claim.h"
#include "fast.h"
#include "owner.h"
#include "proxy.h"

static int drain(struct colo_proxy *p, struct colo_error *err)
{
    char token[COLO_STORE_TOKEN_MAX];
    int r;

    while ((r = colo__store_ops(p->store)->next(p->store, token,
                                                sizeof(token), err)) == 1) {
        if (strcmp(token, COLO_PROXY_TOKEN) == 0)
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
    char path[COLO_XS_PATH_MAX];
    int rc, who;

    if (colo__owner_ended(p->pidfd))
        p->gone = true;
    if (p->gone || !p->fired_owner)
        return 0;
    rc = colo__xs_path(path, sizeof(path), p->uuid, COLO_XS_OWNER, err);
    if (rc)
        return rc;
    who = colo__claim_holder(p->store, path, p->session_owner, err);
    if (who < 0)
        return who;
    if (who != COLO_HOLDER_SELF) {
        p->gone = true;
        return 0;
    }
    who = colo__proxy_holder(p, err);
    if (who < 0)
        return who;
    p->gone = who != COLO_HOLDER_SELF;
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
    return colo__proxy_write(p, node, value, err);
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
    rc = colo__proxy_path(p, COLO_XS_REQUEST, path, sizeof(path), err);
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
    colo__proxy_drop_conn(p);
    p->conn = fd;
    if (colo__proxy_watch_fd(p, fd, NULL))
        colo__proxy_drop_conn(p);
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
            colo__proxy_drop_conn(p); /* the session goes on through xenstore */
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
        colo__proxy_drop_conn(proxy);
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
        colo__proxy_drop_conn(proxy);
    }
    return write_living(proxy, COLO_XS_EVENT, text + n, err);
}
