/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A session that another process runs, seen through xenstore: finding it,
 * its status, noticing that it has gone.  One thread per client.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client.h"
#include "owner.h"

/* ---- connect ----------------------------------------------------------- */

static int add_fd(struct colo_client *c, int fd, struct colo_error *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(c->epfd, EPOLL_CTL_ADD, fd, &event))
        return colo__fail(err, COLO_E_SYS, errno, "client", "epoll_ctl");
    return 0;
}

static int make_fds(struct colo_client *c, const struct colo_owner *owner,
                    struct colo_error *err)
{
    int rc;

    c->pidfd = colo__owner_pidfd(owner, err);
    if (c->pidfd < 0)
        return c->pidfd;
    c->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (c->epfd < 0)
        return colo__fail(err, COLO_E_SYS, errno, "client", "epoll_create1");
    c->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wakeup < 0)
        return colo__fail(err, COLO_E_SYS, errno, "client", "eventfd");
    rc = add_fd(c, colo__store_ops(c->store)->fd(c->store), err);
    if (rc)
        return rc;
    rc = add_fd(c, c->pidfd, err);
    if (rc)
        return rc;
    return add_fd(c, c->wakeup, err);
}

int colo__client_new(struct colo_store *store, const char *domain,
                     struct colo_client **ret_client, struct colo_error *err)
{
    struct colo_session_node node;
    struct colo_client *c;
    int rc;

    c = calloc(1, sizeof(*c));
    if (!c) {
        colo__store_ops(store)->close(store);
        return colo__fail(err, COLO_E_NOMEM, 0, "client", "no memory");
    }
    c->store = store;
    c->pidfd = c->epfd = c->wakeup = -1;
    rc = colo__sessions_find(store, domain, &node, err);
    if (rc)
        goto out;
    strcpy(c->uuid, node.uuid);
    rc = colo__xs_owner_build(c->owner_text, sizeof(c->owner_text),
                              &node.owner, err);
    if (rc)
        goto out;
    rc = make_fds(c, &node.owner, err);
    if (rc)
        goto out;
    *ret_client = c;
    c = NULL;

out:
    colo_client_close(c);
    return rc;
}

int colo_connect(const char *domain, struct colo_client **ret_client,
                 struct colo_error *err)
{
    struct colo_store *store = NULL;
    int rc;

    if (!domain || !*domain || !ret_client)
        return colo__fail(err, COLO_E_INVAL, 0, "client",
                          "a domain's name or number is needed");
    rc = colo__store_xs_open(&store, err);
    if (rc)
        return rc;
    return colo__client_new(store, domain, ret_client, err);
}

void colo_client_close(struct colo_client *client)
{
    if (!client)
        return;
    if (client->pidfd >= 0)
        close(client->pidfd);
    if (client->wakeup >= 0)
        close(client->wakeup);
    if (client->epfd >= 0)
        close(client->epfd);
    colo__store_ops(client->store)->close(client->store);
    free(client);
}

/* ---- reading nodes ----------------------------------------------------- */

/* It is newer than the other nodes if the session writes them less often. */
static void take_checkpoint(struct colo_status *s, const char *value)
{
    struct colo_committed committed = { .at_ms = 0 };

    if (colo__xs_checkpoint_parse(value, &committed, NULL))
        return;
    s->last = committed.info;
    if (s->epoch < committed.info.epoch)
        s->epoch = committed.info.epoch;
    if (s->last_commit_ms < committed.at_ms)
        s->last_commit_ms = committed.at_ms;
}

/* One node into its field.  Anybody in dom0 may write there: what makes no
 * sense leaves the field as it is. */
static void take_node(struct colo_status *s, const char *node,
                      const char *value)
{
    uint64_t n = 0;
    int i;

    if (strcmp(node, COLO_XS_ROLE) == 0) {
        i = colo__xs_role_parse(value);
        s->role = i < 0 ? 0 : i;
    } else if (strcmp(node, COLO_XS_STATE) == 0) {
        i = colo__xs_state_parse(value);
        s->state = i < 0 ? COLO_STATE_NEW : i;
    } else if (strcmp(node, COLO_XS_MODE) == 0) {
        i = colo__xs_mode_parse(value);
        s->mode = i < 0 ? COLO_MODE_NONE : i;
    } else if (strcmp(node, COLO_XS_LAST_MODE) == 0) {
        i = colo__xs_mode_parse(value);
        s->last_mode = i < 0 ? COLO_MODE_NONE : i;
    } else if (strcmp(node, COLO_XS_REASON) == 0) {
        i = colo__xs_reason_parse(value);
        s->reason = i < 0 ? COLO_REASON_NONE : i;
    } else if (strcmp(node, COLO_XS_EPOCH) == 0) {
        (void)colo__xs_u64_parse(value, &s->epoch, NULL);
    } else if (strcmp(node, COLO_XS_DOMID) == 0) {
        if (colo__xs_u64_parse(value, &n, NULL) == 0 && n <= UINT32_MAX)
            s->domid = (uint32_t)n;
    } else if (strcmp(node, COLO_XS_INTERVAL) == 0) {
        if (colo__xs_u64_parse(value, &n, NULL) == 0 && n <= UINT32_MAX)
            s->interval_ms = (uint32_t)n;
    } else if (strcmp(node, COLO_XS_PEER) == 0) {
        colo__xs_clean(s->peer, sizeof(s->peer), value);
    } else if (strcmp(node, COLO_XS_ERROR) == 0) {
        colo__xs_clean(s->error, sizeof(s->error), value);
    } else if (strcmp(node, COLO_XS_NAME) == 0) {
        colo__xs_clean(s->name, sizeof(s->name), value);
    } else if (strcmp(node, COLO_XS_STATS) == 0) {
        (void)colo__xs_stats_parse(value, s, NULL);
    } else if (strcmp(node, COLO_XS_PROGRESS) == 0) {
        (void)colo__xs_progress_parse(value, s, NULL);
    } else if (strcmp(node, COLO_XS_FOLLOWERS) == 0) {
        (void)colo__xs_followers_parse(value, s, NULL);
    } else if (strcmp(node, COLO_XS_CHECKPOINT) == 0) {
        take_checkpoint(s, value);
    }
}

static int read_status(struct colo_store *store, const char *uuid,
                       struct colo_status *ret_status,
                       struct colo_error *err)
{
    static const char *const nodes[] = {
        COLO_XS_ROLE, COLO_XS_STATE, COLO_XS_MODE, COLO_XS_LAST_MODE,
        COLO_XS_REASON, COLO_XS_EPOCH, COLO_XS_DOMID, COLO_XS_INTERVAL,
        COLO_XS_PEER, COLO_XS_ERROR, COLO_XS_NAME, COLO_XS_STATS,
        COLO_XS_PROGRESS, COLO_XS_FOLLOWERS, COLO_XS_CHECKPOINT,
    };
    char value[1024];
    uint64_t now;
    int rc;

    memset(ret_status, 0, sizeof(*ret_status));
    ret_status->size = sizeof(*ret_status);
    snprintf(ret_status->uuid, sizeof(ret_status->uuid), "%s", uuid);
    for (size_t i = 0; i < COLO_ARRAY_LEN(nodes); i++) {
        rc = colo__sessions_read(store, uuid, nodes[i], value, sizeof(value),
                                 err);
        if (rc)
            return rc;
        take_node(ret_status, nodes[i], value);
    }
    /* the node has the time of the commit, the caller wants its age */
    if (ret_status->last_commit_ms) {
        now = colo__now_us(&colo__clock_monotonic) / 1000;
        ret_status->last_commit_ms = now > ret_status->last_commit_ms ?
                                     now - ret_status->last_commit_ms : 1;
    }
    return 0;
}

int colo_client_query_status(struct colo_client *client,
                             struct colo_status *status,
                             struct colo_error *err)
{
    struct colo_status s;
    uint32_t size;
    int rc;

    if (!client || !status || status->size < sizeof(status->size))
        return colo__fail(err, COLO_E_INVAL, 0, "client",
                          "status->size must be sizeof(struct colo_status)");
    client->fired_owner = true;
    rc = colo__client_check_gone(client, err);
    if (rc)
        return rc;
    if (client->gone)
        return colo__fail(err, COLO_E_NOTFOUND, 0, "client",
                          "the session has gone");
    rc = read_status(client->store, client->uuid, &s, err);
    if (rc)
        return rc;
    size = status->size;
    s.size = size;
    memcpy(status, &s, size < sizeof(s) ? size : sizeof(s));
    return 0;
}

/* ---- list -------------------------------------------------------------- */

struct list {
    struct colo_store *store;
    int (*fn)(void *user, const struct colo_status *status);
    void *user;
    struct colo_error *err;
    int rc;
};

static int list_one(void *user, const struct colo_session_node *node)
{
    struct list *list = user;
    struct colo_status s;

    if (node->owner.pid == 0)
        return 0; /* being made or being removed */
    list->rc = read_status(list->store, node->uuid, &s, list->err);
    if (list->rc)
        return 1;
    if (!node->alive) {
        s.state = COLO_STATE_ENDED;
        s.reason = COLO_REASON_ERROR;
        s.replication_error = 1;
        snprintf(s.error, sizeof(s.error), "its process %d has died: put "
                 "things right with: colo recover", node->owner.pid);
    }
    return list->fn(list->user, &s);
}

int colo_client_list(int (*fn)(void *user, const struct colo_status *status),
                     void *user, struct colo_error *err)
{
    struct list list = { NULL, fn, user, err, 0 };
    int rc;

    if (!fn)
        return colo__fail(err, COLO_E_INVAL, 0, "client", "fn is NULL");
    rc = colo__store_xs_open(&list.store, err);
    if (rc)
        return rc;
    rc = colo__sessions_scan(list.store, list_one, &list, err);
    if (!rc)
        rc = list.rc;
    colo__store_ops(list.store)->close(list.store);
    return rc;
}

/* ---- watches ----------------------------------------------------------- */

/* The token is the node's name. */
int colo__client_watch(struct colo_client *client, const char *node,
                       struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = colo__xs_path(path, sizeof(path), client->uuid, node, err);

    return rc ? rc : colo__store_ops(client->store)->watch(client->store,
                                                           path, node, err);
}

int colo__client_drain(struct colo_client *client, struct colo_error *err)
{
    const struct {
        const char *node;
        bool *flag;
    } flags[] = {
        { COLO_XS_CONTROL_REPLY, &client->fired_reply },
        { COLO_XS_OWNER, &client->fired_owner },
        { COLO_XS_STATE, &client->fired_state },
        { COLO_XS_CHECKPOINT, &client->fired_checkpoint },
        { COLO_XS_PROGRESS, &client->fired_progress },
        { COLO_XS_ERROR, &client->fired_error },
        { COLO_XS_EXIT, &client->fired_exit },
    };
    char token[COLO_STORE_TOKEN_MAX];
    int r;

    while ((r = colo__store_ops(client->store)->next(
                client->store, token, sizeof(token), err)) == 1) {
        for (size_t i = 0; i < COLO_ARRAY_LEN(flags); i++) {
            if (strcmp(flags[i].node, token) == 0)
                *flags[i].flag = true;
        }
    }
    return r;
}

int colo__client_check_gone(struct colo_client *client,
                            struct colo_error *err)
{
    char owner[128];
    int rc;

    if (colo__owner_ended(client->pidfd))
        client->gone = true;
    if (client->gone || !client->fired_owner)
        return 0;
    rc = colo__sessions_read(client->store, client->uuid, COLO_XS_OWNER, owner,
                             sizeof(owner), err);
    if (rc)
        return rc;
    client->fired_owner = false;
    if (strcmp(owner, client->owner_text) != 0)
        client->gone = true;
    return 0;
}
