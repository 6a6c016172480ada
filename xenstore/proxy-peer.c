/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One proxy as the session sees it, see proxy-peer.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fast.h"
#include "owner.h"
#include "proxy-peer.h"

static int add_fd(const struct colo_peer_place *place, struct colo_peer *peer,
                  int fd, struct colo_error *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = peer };

    if (epoll_ctl(place->epfd, EPOLL_CTL_ADD, fd, &event))
        return colo__fail(err, COLO_E_SYS, errno, "replication", "epoll_ctl");
    return 0;
}

int colo__peer_new(const struct colo_peer_place *place,
                   const char *class_name, const char *id,
                   const char *owner_text, struct colo_peer **ret_peer,
                   struct colo_error *err)
{
    struct colo_peer *peer;
    int rc;

    if (strlen(owner_text) >= sizeof(peer->owner_text) ||
        !colo__xs_word_ok(class_name, COLO_XS_WORD_MAX) ||
        !colo__xs_word_ok(id, COLO_XS_WORD_MAX))
        return colo__fail(err, COLO_E_INVAL, 0, "replication",
                          "proxy %.32s/%.32s: strange names", class_name, id);
    peer = calloc(1, sizeof(*peer));
    if (!peer)
        return colo__fail(err, COLO_E_NOMEM, 0, "replication", "no memory");
    peer->pidfd = peer->fast = -1;
    strcpy(peer->class_name, class_name);
    strcpy(peer->id, id);
    strcpy(peer->owner_text, owner_text);
    rc = colo__xs_owner_parse(owner_text, &peer->owner, err);
    if (rc)
        goto out;
    peer->pidfd = colo__owner_pidfd(&peer->owner, err);
    if (peer->pidfd < 0) {
        rc = peer->pidfd;
        goto out;
    }
    rc = add_fd(place, peer, peer->pidfd, err);
    if (rc)
        goto out;
    *ret_peer = peer;
    peer = NULL;

out:
    colo__peer_free(peer);
    return rc;
}

void colo__peer_free(struct colo_peer *peer)
{
    if (!peer)
        return;
    if (peer->pidfd >= 0)
        close(peer->pidfd);
    if (peer->fast >= 0)
        close(peer->fast);
    free(peer);
}

int colo__peer_path(const struct colo_peer_place *place,
                    const struct colo_peer *peer, const char *node, char *buf,
                    size_t cap, struct colo_error *err)
{
    return colo__xs_proxy_path(buf, cap, place->uuid, peer->class_name,
                               peer->id, node, err);
}

int colo__peer_read(const struct colo_peer_place *place,
                    const struct colo_peer *peer, const char *node, char *buf,
                    size_t cap, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = colo__peer_path(place, peer, node, path, sizeof(path), err);

    if (rc)
        return rc;
    rc = colo__store_ops(place->store)->read(place->store, path, buf, cap,
                                             err);
    if (rc == COLO_E_NOTFOUND || rc == COLO_E_LIMIT)
        return 0;
    return rc ? rc : 1;
}

void colo__peer_fast(const struct colo_peer_place *place,
                     struct colo_peer *peer)
{
    char name[COLO_FAST_NAME_MAX];
    struct colo_error err;
    int fd;

    if (peer->fast >= 0 ||
        colo__peer_read(place, peer, COLO_XS_FAST, name, sizeof(name),
                        NULL) != 1)
        return;
    fd = colo__fast_connect(name, &err);
    if (fd < 0) {
        colo__log(place->log, COLO_LOG_INFO, err.sys_errno, "replication",
                  "proxy %s/%s: by xenstore, as its socket does not work: "
                  "%s", peer->class_name, peer->id, err.text);
        return;
    }
    if (add_fd(place, peer, fd, NULL))
        close(fd);
    else
        peer->fast = fd;
}

/* ---- requests ---------------------------------------------------------- */

static int send_by_store(const struct colo_peer_place *place,
                         struct colo_peer *peer, const char *text,
                         struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = colo__peer_path(place, peer, COLO_XS_REQUEST, path, sizeof(path),
                             err);

    return rc ? rc : colo__store_ops(place->store)->write(place->store, path,
                                                          text, err);
}

static void drop_fast(const struct colo_peer_place *place,
                      struct colo_peer *peer)
{
    colo__log(place->log, COLO_LOG_INFO, -1, "replication",
              "proxy %s/%s: its socket is closed, on by xenstore",
              peer->class_name, peer->id);
    close(peer->fast);
    peer->fast = -1;
}

static int send_request(const struct colo_peer_place *place,
                        struct colo_peer *peer,
                        const struct colo_proxy_request *request,
                        struct colo_error *err)
{
    char text[96];
    int rc;

    rc = colo__xs_request_build(text, sizeof(text), request, err);
    if (rc)
        return rc;
    peer->asked = *request;
    peer->asked_at_us = colo__now_us(&colo__clock_monotonic);
    peer->busy = true;
    if (peer->fast >= 0) {
        if (colo__fast_send(peer->fast, text, NULL) == 0)
            return 0;
        drop_fast(place, peer);
    }
    return send_by_store(place, peer, text, err);
}

static void make_request(const struct colo_peer_place *place, int verb,
                         uint64_t arg, struct colo_proxy_request *request)
{
    memset(request, 0, sizeof(*request));
    request->size = sizeof(*request);
    request->verb = verb;
    request->arg = arg;
    request->seq = ++*place->seq;
}

int colo__peer_ask(const struct colo_peer_place *place,
                   struct colo_peer *peer, int verb, uint64_t arg,
                   struct colo_error *err)
{
    struct colo_proxy_request request;

    make_request(place, verb, arg, &request);
    if (!peer->busy)
        return send_request(place, peer, &request, err);
    if (peer->queued == COLO_PEER_QUEUE)
        return colo__fail(err, COLO_E_LIMIT, 0, "replication",
                          "proxy %s/%s does not keep up: %u requests are "
                          "unanswered", peer->class_name, peer->id,
                          peer->queued + 1);
    peer->queue[peer->queued++] = request;
    return 0;
}

int colo__peer_ask_now(const struct colo_peer_place *place,
                       struct colo_peer *peer, int verb, uint64_t arg,
                       struct colo_error *err)
{
    struct colo_proxy_request request;

    peer->queued = 0;
    make_request(place, verb, arg, &request);
    return send_request(place, peer, &request, err);
}

int colo__peer_answered(const struct colo_peer_place *place,
                        struct colo_peer *peer, const char *text,
                        struct colo_proxy_request *ret_request,
                        struct colo_answer *ret_answer,
                        struct colo_error *err)
{
    struct colo_proxy_request next;
    struct colo_answer answer;
    int rc;

    if (!peer->busy || colo__xs_answer_parse(text, &answer, NULL) ||
        answer.seq != peer->asked.seq)
        return 0;
    *ret_request = peer->asked;
    *ret_answer = answer;
    peer->busy = false;
    if (answer.ok && peer->queued) {
        next = peer->queue[0];
        peer->queued--;
        memmove(&peer->queue[0], &peer->queue[1],
                peer->queued * sizeof(peer->queue[0]));
        rc = send_request(place, peer, &next, err);
        if (rc)
            return rc;
    }
    return 1;
}

int colo__peer_recv(const struct colo_peer_place *place,
                    struct colo_peer *peer, char *buf, size_t cap,
                    struct colo_error *err)
{
    char text[96];
    int r;

    if (peer->fast < 0)
        return 0;
    r = colo__fast_recv(peer->fast, buf, cap, NULL);
    if (r >= 0)
        return r;
    drop_fast(place, peer);
    if (!peer->busy)
        return 0;
    /* the number is the same: who has done it already does not do it again */
    r = colo__xs_request_build(text, sizeof(text), &peer->asked, err);
    return r ? r : send_by_store(place, peer, text, err);
}
