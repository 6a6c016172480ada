/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a session asks of colo-net, and what it is told; see serve.h.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "serve.h"

static const struct colo_source_ops *ops(struct net *n)
{
    return colo__source_ops(n->source);
}

void net_diverged(struct net *n, const char *reason)
{
    char text[160];

    snprintf(text, sizeof(text), "diverged %.140s", reason);
    /* what a checkpoint finds that is under way, its commit settles */
    if (n->joined && !n->stands)
        (void)ops(n)->event(n->source, text);
}

void net_lost(struct net *n)
{
    if (n->said_lost || (n->way != NET_COMPARE && n->way != NET_FOLLOW))
        return;
    n->said_lost = true;
    net_say("%s", n->twin.why);
    /* Nothing goes out from now on, whatever it is: whether this side may
     * speak is the session's to decide, and the next request shows it. */
    net_flow_shut(n);
    if (n->way == NET_COMPARE)
        net_diverged(n, n->twin.why);
}

/* ---- requests ---------------------------------------------------------- */

static const char *do_start(struct net *n, char *text, size_t cap)
{
    struct colo_error err;
    int fd;

    if (n->way != NET_PASS && n->way != NET_QUIET)
        return "started before";
    fd = ops(n)->stream(n->source, &err);
    if (fd < 0 || net_twin_open(&n->twin, fd, n->options->secondary, &err) ||
        net_flow_new(n, &err)) {
        snprintf(text, cap, "%s", err.text);
        return text;
    }
    n->said_lost = n->has_commit = n->stands = false;
    n->committed = n->marked = 0;
    return NULL;
}

/* The guest stands, and so does its device model. */
static const char *do_checkpoint(struct net *n)
{
    /* A replica whose primary has gone may be about to take over. */
    if (n->twin.fd < 0 && !n->options->secondary)
        return n->twin.why[0] ? n->twin.why : "no twin";
    /* A replica's twin comes when the first copy is over, however long that
     * takes: but before the first checkpoint. */
    net_twin_await(&n->twin, net_now_us());
    net_drain(n);
    n->stands = true;
    return NULL;
}

/* primary: the backup has it; secondary: the replica is it. */
static const char *do_commit(struct net *n, uint64_t epoch)
{
    if (!n->flow)
        return "not started";
    if (n->twin.fd < 0 && !n->options->secondary)
        return n->twin.why[0] ? n->twin.why : "no twin";
    if (n->options->secondary) {
        net_drain(n);
        net_flow_loaded(n, epoch);
        n->way = NET_FOLLOW;
    } else {
        net_drain(n);
        net_flow_commit(n, epoch);
        if (!net_twin_put(&n->twin, NET_MSG_EPOCH, epoch, NULL, 0))
            return "the queue to the twin is full";
        n->way = NET_COMPARE;
    }
    n->committed = epoch;
    n->has_commit = true;
    n->stands = false;
    net_move_twin(n); /* what waited for this; nothing else would wake us */
    return NULL;
}

/* The other side has the guest.  What this one has not said it never says, and
 * its card stays out of the bridge, also when we have gone. */
static void give_up(struct net *n)
{
    struct colo_error err;

    net_flow_free(n->flow);
    n->flow = NULL;
    n->way = NET_QUIET;
    n->stands = n->said_lost = false;
    n->record.secondary = true;
    if (net_record_write(n->record_fd, &n->record, &err))
        net_say("%s", err.text);
}

static const char *do_failover(struct net *n, char *text, size_t cap)
{
    struct colo_error err;

    net_twin_close(&n->twin);
    if (!n->options->secondary) {
        give_up(n);
        return NULL;
    }
    if (n->way == NET_ALONE)
        return NULL;
    if (net_swap_enter(&n->nl, &n->record, &err)) {
        snprintf(text, cap, "%s", err.text);
        return text;
    }
    n->record.secondary = false;
    (void)net_record_write(n->record_fd, &n->record, NULL);
    net_flow_alone(n);
    n->way = NET_ALONE;
    n->stands = false;
    n->said_lost = false; /* no reason to let go of its connections */
    n->said_rounds = 0;
    n->next_say_us = 0;
    return NULL;
}

/* The takeover did not come about: what this side says would be a second
 * guest's.  The record first: if we were killed in between, the replica's card
 * must not go into the bridge. */
static void be_quiet(struct net *n)
{
    struct colo_error err;

    give_up(n);
    if (net_swap_leave(&n->nl, &n->record, &err))
        net_say("%s", err.text);
}

/* Protection ends.  Only a primary has a guest that may speak.  If the session
 * has gone without a word after the twin was lost, it may be the twin that goes
 * on: then what is held was never said, and a client asks again. */
static void do_stop(struct net *n, bool told, bool undone)
{
    net_twin_close(&n->twin);
    if (undone && n->way == NET_ALONE)
        be_quiet(n);
    if (n->said_lost && !told) {
        net_flow_free(n->flow);
        n->flow = NULL;
    }
    n->stands = n->said_lost = false;
    if (n->way == NET_COMPARE || n->way == NET_PASS) {
        net_flow_release(n);
        n->way = NET_PASS;
    } else if (n->way == NET_FOLLOW) {
        n->way = NET_QUIET;
    }
    if (n->way != NET_ALONE) {
        net_flow_free(n->flow);
        n->flow = NULL;
    }
}

static void answer(struct net *n, const struct colo_proxy_request *req)
{
    const char *error = NULL;
    char text[256];

    switch (req->verb) {
    case COLO_PROXY_START:
        error = do_start(n, text, sizeof(text));
        break;
    case COLO_PROXY_CHECKPOINT:
        error = do_checkpoint(n);
        break;
    case COLO_PROXY_COMMIT:
        error = do_commit(n, req->arg);
        break;
    case COLO_PROXY_FAILOVER:
        error = do_failover(n, text, sizeof(text));
        break;
    case COLO_PROXY_STOP:
        do_stop(n, true, req->arg == 1);
        break;
    default:
        error = "colo-net cannot do that";
    }
    (void)ops(n)->reply(n->source, req->seq, error);
}

void net_join(struct net *n)
{
    struct colo_error err;

    if (!n->joined && !n->leaving)
        n->joined = !ops(n)->join(n->source, &err);
}

void net_requests(struct net *n)
{
    struct colo_proxy_request req = { .size = sizeof(req) };
    struct colo_error err;
    int rc;

    if (!n->joined)
        return;
    while ((rc = ops(n)->next(n->source, &req, &err)) > 0)
        answer(n, &req);
    if (rc == 0)
        return;
    net_say("%s", err.text);
    n->joined = false;
    ops(n)->leave(n->source);
    do_stop(n, false, false);
}
