/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The session's side of the xenstore contract, see publish.h: claims the
 * session's directory, writes status nodes that have changed, reads control
 * requests.  One thread, the session's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "publish.h"

#define CONTROL_TOKEN "control"
#define RECENT 16       /* control requests whose answers are kept */
#define STALE_NAMES 64

/* state comes last: who watches it finds the others up to date. */
static const char *const status_nodes[] = {
    COLO_XS_ROLE, COLO_XS_MODE, COLO_XS_LAST_MODE, COLO_XS_REASON,
    COLO_XS_EPOCH, COLO_XS_PEER, COLO_XS_ERROR, COLO_XS_INTERVAL,
    COLO_XS_STATS, COLO_XS_FOLLOWERS, COLO_XS_PROGRESS, COLO_XS_DOMID,
    COLO_XS_NAME,
    COLO_XS_STATE,
};

#define STATUS_NODES COLO_ARRAY_LEN(status_nodes)

struct cached {
    bool known;
    char value[1024]; /* the longest list, with numbers of any size */
};

struct recent {
    uint64_t seq; /* 0: free */
    bool answered;
    bool ok;
    char error[sizeof(((struct colo_answer *)NULL)->text)];
};

struct colo_publish {
    struct colo_store *store;
    char uuid[COLO_XS_UUID_MAX];
    char owner[64];
    bool claimed, watching, exit_written;
    struct cached cache[STATUS_NODES];
    struct recent recent[RECENT];
    unsigned int next_recent;
    char refused[64];    /* the malformed request that was answered last */
    uint64_t commit_epoch, commit_at_ms;
};

static int write_node(struct colo_publish *p, const char *node,
                      const char *value, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = colo__xs_path(path, sizeof(path), p->uuid, node, err);

    return rc ? rc : colo__store_ops(p->store)->write(p->store, path, value,
                                                      err);
}

/* ---- open and close ---------------------------------------------------- */

static int claim(struct colo_publish *p, struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    struct colo_claim claim = {
        .path = path,
        .where = "publish",
        .taken = "protects this guest already: see colo status",
    };
    int rc;

    rc = colo__xs_path(path, sizeof(path), p->uuid, COLO_XS_OWNER, err);
    if (rc)
        return rc;
    rc = colo__claim(p->store, &claim, p->owner, sizeof(p->owner), err);
    p->claimed = rc == 0;
    return rc;
}

struct names {
    unsigned int count;
    char name[STALE_NAMES][64];
};

static int collect(void *user, const char *name)
{
    struct names *names = user;

    if (strcmp(name, COLO_XS_OWNER) == 0 ||
        strlen(name) >= sizeof(names->name[0]))
        return 0;
    strcpy(names->name[names->count], name);
    return ++names->count == STALE_NAMES;
}

/* What a session that died left behind. */
static int clean(struct colo_publish *p, struct colo_error *err)
{
    const struct colo_store_ops *ops = colo__store_ops(p->store);
    char path[COLO_XS_PATH_MAX];
    struct names *names;
    int rc;

    names = calloc(1, sizeof(*names));
    if (!names)
        return colo__fail(err, COLO_E_NOMEM, 0, "publish", "no memory");
    rc = colo__xs_path(path, sizeof(path), p->uuid, NULL, err);
    if (rc)
        goto out;
    rc = ops->list(p->store, path, collect, names, err);
    if (rc)
        goto out;
    for (unsigned int i = 0; i < names->count; i++) {
        rc = colo__xs_path(path, sizeof(path), p->uuid, names->name[i], err);
        if (rc)
            goto out;
        rc = ops->remove(p->store, path, err);
        if (rc)
            goto out;
    }

out:
    free(names);
    return rc;
}

int colo__publish_open(struct colo_store *store, const char *uuid, int role,
                       struct colo_publish **ret_publish,
                       struct colo_error *err)
{
    struct colo_publish *p = NULL;
    char path[COLO_XS_PATH_MAX];
    int rc;

    if (!colo__xs_word_ok(uuid, COLO_XS_UUID_MAX))
        return colo__fail(err, COLO_E_INVAL, 0, "publish",
                          "'%.40s' is not a UUID", uuid);
    p = calloc(1, sizeof(*p));
    if (!p)
        return colo__fail(err, COLO_E_NOMEM, 0, "publish", "no memory");
    p->store = store;
    strcpy(p->uuid, uuid);
    rc = claim(p, err);
    if (rc)
        goto out;
    rc = clean(p, err);
    if (rc)
        goto out;
    rc = write_node(p, COLO_XS_ROLE, colo_role_name(role), err);
    if (rc)
        goto out;
    rc = colo__xs_path(path, sizeof(path), uuid, COLO_XS_CONTROL, err);
    if (rc)
        goto out;
    rc = colo__store_ops(store)->watch(store, path, CONTROL_TOKEN, err);
    if (rc)
        goto out;
    p->watching = true;
    *ret_publish = p;
    p = NULL;

out:
    colo__publish_close(p);
    return rc;
}

/* Our directory, unless somebody has taken it over. */
static void remove_all(struct colo_publish *p)
{
    char path[COLO_XS_PATH_MAX];

    if (colo__xs_path(path, sizeof(path), p->uuid, COLO_XS_OWNER, NULL) ||
        colo__claim_holder(p->store, path, p->owner, NULL) !=
            COLO_HOLDER_SELF)
        return;
    if (colo__xs_path(path, sizeof(path), p->uuid, NULL, NULL) == 0)
        colo__store_ops(p->store)->remove(p->store, path, NULL);
}

void colo__publish_close(struct colo_publish *publish)
{
    char path[COLO_XS_PATH_MAX];

    if (!publish)
        return;
    if (publish->watching &&
        colo__xs_path(path, sizeof(path), publish->uuid, COLO_XS_CONTROL,
                      NULL) == 0)
        colo__store_ops(publish->store)->unwatch(publish->store, path,
                                                 CONTROL_TOKEN, NULL);
    if (publish->claimed)
        remove_all(publish);
    free(publish);
}

/* ---- status ------------------------------------------------------------ */

/* stats carry the time of the commit, which must not wander by a rounded
 * millisecond at each look: it is taken once per epoch. */
static int build_stats(struct colo_publish *p, char *buf, size_t cap,
                       const struct colo_status *status,
                       struct colo_error *err)
{
    struct colo_status copy = *status;

    if (status->last_commit_ms == 0) {
        p->commit_at_ms = 0;
    } else if (p->commit_at_ms == 0 || p->commit_epoch != status->epoch) {
        p->commit_at_ms = colo__now_us(&colo__clock_monotonic) / 1000 -
                          status->last_commit_ms;
        p->commit_epoch = status->epoch;
    }
    copy.last_commit_ms = p->commit_at_ms;
    return colo__xs_stats_build(buf, cap, &copy, err);
}

static int build_node(struct colo_publish *p, const char *node, char *buf,
                      size_t cap, const struct colo_status *s,
                      struct colo_error *err)
{
    const char *text = NULL;
    unsigned long long n = 0;

    if (strcmp(node, COLO_XS_STATS) == 0)
        return build_stats(p, buf, cap, s, err);
    if (strcmp(node, COLO_XS_PROGRESS) == 0)
        return colo__xs_progress_build(buf, cap, s, err);
    if (strcmp(node, COLO_XS_FOLLOWERS) == 0)
        return colo__xs_followers_build(buf, cap, s, err);
    if (strcmp(node, COLO_XS_ROLE) == 0)
        text = colo_role_name(s->role);
    else if (strcmp(node, COLO_XS_STATE) == 0)
        text = colo_state_name(s->state);
    else if (strcmp(node, COLO_XS_MODE) == 0)
        text = colo_mode_name(s->mode);
    else if (strcmp(node, COLO_XS_LAST_MODE) == 0)
        text = colo_mode_name(s->last_mode);
    else if (strcmp(node, COLO_XS_REASON) == 0)
        text = colo_reason_name(s->reason);
    else if (strcmp(node, COLO_XS_PEER) == 0)
        text = s->peer;
    else if (strcmp(node, COLO_XS_ERROR) == 0)
        text = s->error;
    else if (strcmp(node, COLO_XS_NAME) == 0)
        text = s->name;
    else if (strcmp(node, COLO_XS_EPOCH) == 0)
        n = s->epoch;
    else if (strcmp(node, COLO_XS_INTERVAL) == 0)
        n = s->interval_ms;
    else if (strcmp(node, COLO_XS_DOMID) == 0)
        n = s->domid;
    if (text)
        colo__xs_clean(buf, cap, text);
    else
        snprintf(buf, cap, "%llu", n);
    return 0;
}

/* Before the state says that it has ended: who follows reads it at once. */
static int write_exit(struct colo_publish *p, const struct colo_status *status,
                      struct colo_error *err)
{
    struct colo_exit end = { status->last_mode, status->reason, "" };
    char value[256];
    int rc;

    if (status->state != COLO_STATE_ENDED || p->exit_written)
        return 0;
    colo__xs_clean(end.text, sizeof(end.text), status->error);
    rc = colo__xs_exit_build(value, sizeof(value), &end, err);
    if (rc)
        return rc;
    rc = write_node(p, COLO_XS_EXIT, value, err);
    p->exit_written = rc == 0;
    return rc;
}

int colo__publish_status(struct colo_publish *publish,
                         const struct colo_status *status,
                         struct colo_error *err)
{
    int rc;

    rc = write_exit(publish, status, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < STATUS_NODES; i++) {
        struct cached *c = &publish->cache[i];
        char value[sizeof(c->value)];

        rc = build_node(publish, status_nodes[i], value, sizeof(value),
                        status, err);
        if (rc)
            return rc;
        if (c->known && strcmp(c->value, value) == 0)
            continue;
        /* not known while it may or may not have been written */
        c->known = false;
        rc = write_node(publish, status_nodes[i], value, err);
        if (rc)
            return rc;
        strcpy(c->value, value);
        c->known = true;
    }
    return 0;
}

int colo__publish_checkpoint(struct colo_publish *publish,
                             const struct colo_checkpoint_info *info,
                             struct colo_error *err)
{
    struct colo_committed committed = {
        *info, colo__now_us(&colo__clock_monotonic) / 1000
    };
    char value[512];
    int rc = colo__xs_checkpoint_build(value, sizeof(value), &committed, err);

    return rc ? rc : write_node(publish, COLO_XS_CHECKPOINT, value, err);
}

/* ---- control ----------------------------------------------------------- */

static int write_answer(struct colo_publish *p, uint64_t seq,
                        const char *error, struct colo_error *err)
{
    char value[256];
    int rc = colo__xs_answer_build(value, sizeof(value), seq, error, err);

    return rc ? rc : write_node(p, COLO_XS_CONTROL_REPLY, value, err);
}

static struct recent *find_recent(struct colo_publish *p, uint64_t seq)
{
    for (size_t i = 0; i < RECENT; i++) {
        if (seq && p->recent[i].seq == seq)
            return &p->recent[i];
    }
    return NULL;
}

/* Answered once: a watch fires again for a value that is already known. */
static int refuse(struct colo_publish *p, const char *value,
                  const char *reason, struct colo_error *err)
{
    if (strncmp(p->refused, value, sizeof(p->refused) - 1) == 0)
        return 0;
    snprintf(p->refused, sizeof(p->refused), "%s", value);
    return write_answer(p, colo__xs_seq(value), reason, err);
}

int colo__publish_control(struct colo_publish *publish, const char *token,
                          struct colo_control *ret_control,
                          struct colo_error *err)
{
    struct colo_control control;
    char path[COLO_XS_PATH_MAX], value[256];
    struct colo_error why;
    struct recent *r;
    int rc;

    if (strcmp(token, CONTROL_TOKEN) != 0)
        return 0;
    rc = colo__xs_path(path, sizeof(path), publish->uuid, COLO_XS_CONTROL,
                       err);
    if (rc)
        return rc;
    rc = colo__store_ops(publish->store)->read(publish->store, path, value,
                                               sizeof(value), &why);
    if (rc == COLO_E_NOTFOUND)
        return 0;
    if (rc == COLO_E_LIMIT)
        return refuse(publish, "?", why.text, err);
    if (rc) {
        if (err)
            *err = why;
        return rc;
    }
    if (value[0] == '\0')
        return 0;
    if (colo__xs_control_parse(value, &control, &why))
        return refuse(publish, value, why.text, err);
    publish->refused[0] = '\0';
    r = find_recent(publish, control.seq);
    if (r)
        return r->answered ? write_answer(publish, r->seq,
                                          r->ok ? NULL : r->error, err) : 0;
    r = &publish->recent[publish->next_recent++ % RECENT];
    memset(r, 0, sizeof(*r));
    r->seq = control.seq;
    *ret_control = control;
    return 1;
}

int colo__publish_reply(struct colo_publish *publish, uint64_t seq,
                        const char *error, struct colo_error *err)
{
    struct recent *r = find_recent(publish, seq);

    if (r) {
        r->answered = true;
        r->ok = !error;
        colo__xs_clean(r->error, sizeof(r->error), error ? error : "");
    }
    return write_answer(publish, seq, error, err);
}

int colo__publish_stream(struct colo_publish *publish, const char *class_name,
                         const char *id, const char *socket_name,
                         struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX];
    int rc = colo__xs_stream_path(path, sizeof(path), publish->uuid,
                                  class_name, id, err);

    return rc ? rc : colo__store_ops(publish->store)->write(
                         publish->store, path, socket_name, err);
}

int colo__publish_yield(struct colo_publish *p, bool yields,
                        struct colo_error *err)
{
    return write_node(p, COLO_XS_YIELD, yields ? "1" : "0", err);
}

int colo__publish_interval(struct colo_publish *p, uint32_t ms,
                           struct colo_error *err)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", ms);
    return write_node(p, COLO_XS_INTERVAL, text, err);
}

int colo__publish_verified(struct colo_publish *publish, uint64_t compared,
                           uint64_t differing, struct colo_error *err)
{
    char text[48];

    snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)compared,
             (unsigned long long)differing);
    return write_node(publish, COLO_XS_VERIFIED, text, err);
}
