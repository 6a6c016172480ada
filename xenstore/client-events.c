/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Following a session: watches on its nodes become events.  A watch says only
 * that something changed: values are compared with what was told last.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static void tell(struct colo_client *c, struct colo_event *event)
{
    event->size = sizeof(*event);
    if (c->event_fn)
        c->event_fn(c->event_user, event);
}

static int read_node(struct colo_client *c, const char *node, char *buf,
                     size_t cap, struct colo_error *err)
{
    return colo__sessions_read(c->store, c->uuid, node, buf, cap, err);
}

/* The mode that it was in and the reason, for the events that name them. */
static int read_names(struct colo_client *c, struct colo_error *err)
{
    char value[64];
    int rc, n;

    rc = read_node(c, COLO_XS_LAST_MODE, value, sizeof(value), err);
    if (rc)
        return rc;
    n = colo__xs_mode_parse(value);
    if (n >= 0)
        c->mode = n;
    rc = read_node(c, COLO_XS_REASON, value, sizeof(value), err);
    if (rc)
        return rc;
    n = colo__xs_reason_parse(value);
    if (n >= 0)
        c->reason = n;
    return 0;
}

/* What is so when following begins is not an event. */
static int begin(struct colo_client *c, struct colo_error *err)
{
    static const char *const nodes[] = {
        COLO_XS_OWNER, COLO_XS_STATE, COLO_XS_CHECKPOINT, COLO_XS_PROGRESS,
        COLO_XS_ERROR, COLO_XS_EXIT,
    };
    char value[64];
    int rc;

    if (c->watching_rest)
        return 0;
    rc = read_node(c, COLO_XS_STATE, value, sizeof(value), err);
    if (rc)
        return rc;
    c->state = colo__xs_state_parse(value);
    if (c->state < 0)
        c->state = COLO_STATE_NEW;
    rc = read_names(c, err);
    if (rc)
        return rc;
    rc = read_node(c, COLO_XS_CHECKPOINT, c->checkpoint,
                   sizeof(c->checkpoint), err);
    if (rc)
        return rc;
    rc = read_node(c, COLO_XS_PROGRESS, c->progress, sizeof(c->progress),
                   err);
    if (rc)
        return rc;
    rc = read_node(c, COLO_XS_ERROR, c->error, sizeof(c->error), err);
    if (rc)
        return rc;
    for (size_t i = 0; i < COLO_ARRAY_LEN(nodes); i++) {
        rc = colo__client_watch(c, nodes[i], err);
        if (rc && rc != COLO_E_EXISTS) /* an earlier try got so far */
            return rc;
    }
    c->watching_rest = true;
    return 0;
}

static void tell_exit(struct colo_client *c, const char *otherwise)
{
    struct colo_event e = { .type = COLO_EVENT_EXIT };

    if (c->exit_sent)
        return;
    c->exit_sent = true;
    e.state = c->state;
    e.old_state = c->state;
    e.mode = c->mode;
    e.reason = c->reason;
    e.code = c->reason == COLO_REASON_ERROR ? COLO_E_PEER_SAID : 0;
    e.text = c->reason == COLO_REASON_ERROR && c->error[0] ? c->error :
             otherwise;
    tell(c, &e);
}

static int look_at_state(struct colo_client *c, struct colo_error *err)
{
    struct colo_event e = { .type = COLO_EVENT_STATE };
    char value[64];
    int rc, state;

    rc = read_node(c, COLO_XS_STATE, value, sizeof(value), err);
    if (rc)
        return rc;
    state = colo__xs_state_parse(value);
    if (state < 0 || state == c->state)
        return 0;
    if (!c->ended) {
        rc = read_names(c, err);
        if (rc)
            return rc;
    }
    e.state = state;
    e.old_state = c->state;
    e.mode = c->mode;
    e.reason = c->reason;
    c->state = state;
    tell(c, &e);
    if (state == COLO_STATE_ENDED)
        tell_exit(c, NULL);
    return 0;
}

static int look_at_checkpoint(struct colo_client *c, struct colo_error *err)
{
    struct colo_event e = { .type = COLO_EVENT_CHECKPOINT };
    struct colo_committed committed;
    char value[sizeof(c->checkpoint)];
    int rc;

    rc = read_node(c, COLO_XS_CHECKPOINT, value, sizeof(value), err);
    if (rc)
        return rc;
    memset(&committed, 0, sizeof(committed));
    if (!value[0] || strcmp(value, c->checkpoint) == 0 ||
        colo__xs_checkpoint_parse(value, &committed, NULL))
        return 0;
    strcpy(c->checkpoint, value);
    e.state = e.old_state = c->state;
    e.checkpoint = &committed.info;
    tell(c, &e);
    return 0;
}

static int look_at_progress(struct colo_client *c, struct colo_error *err)
{
    struct colo_event e = { .type = COLO_EVENT_PROGRESS };
    char value[sizeof(c->progress)];
    struct colo_status s;
    int rc;

    rc = read_node(c, COLO_XS_PROGRESS, value, sizeof(value), err);
    if (rc)
        return rc;
    memset(&s, 0, sizeof(s));
    if (!value[0] || strcmp(value, c->progress) == 0 ||
        colo__xs_progress_parse(value, &s, NULL))
        return 0;
    strcpy(c->progress, value);
    e.state = e.old_state = c->state;
    e.seed_done = s.seed_done;
    e.seed_total = s.seed_total;
    e.seed_bytes_per_second = s.seed_bytes_per_second;
    tell(c, &e);
    return 0;
}

/* Before the state: the exit that a state may bring has this text. */
static int look_at_error(struct colo_client *c, struct colo_error *err)
{
    struct colo_event e = { .type = COLO_EVENT_WARNING };
    char value[sizeof(c->error)];
    int rc;

    rc = read_node(c, COLO_XS_ERROR, value, sizeof(value), err);
    if (rc)
        return rc;
    if (!value[0] || strcmp(value, c->error) == 0)
        return 0;
    strcpy(c->error, value);
    e.state = e.old_state = c->state;
    e.text = c->error;
    tell(c, &e);
    return 0;
}

/* How it ended: read at once, as it is soon removed. */
static int look_at_exit(struct colo_client *c, struct colo_error *err)
{
    struct colo_exit end;
    char value[512];
    int rc;

    rc = read_node(c, COLO_XS_EXIT, value, sizeof(value), err);
    if (rc)
        return rc;
    if (colo__xs_exit_parse(value, &end, NULL))
        return 0;
    c->mode = end.mode;
    c->reason = end.reason;
    c->ended = true;
    snprintf(c->error, sizeof(c->error), "%s", end.text);
    return 0;
}

/* The flag goes down before the look: a watch that fires meanwhile counts. */
static int look(struct colo_client *c, bool *fired,
                int (*fn)(struct colo_client *c, struct colo_error *err),
                struct colo_error *err)
{
    int rc;

    if (!*fired)
        return 0;
    *fired = false;
    rc = fn(c, err);
    if (rc)
        *fired = true;
    return rc;
}

static int look_at_all(struct colo_client *c, struct colo_error *err)
{
    int rc;

    rc = look(c, &c->fired_exit, look_at_exit, err);
    if (rc)
        return rc;
    rc = look(c, &c->fired_progress, look_at_progress, err);
    if (rc)
        return rc;
    rc = look(c, &c->fired_checkpoint, look_at_checkpoint, err);
    if (rc)
        return rc;
    rc = look(c, &c->fired_error, look_at_error, err);
    if (rc)
        return rc;
    return look(c, &c->fired_state, look_at_state, err);
}

static int finish(struct colo_client *c, struct colo_error *err)
{
    char owner[128];
    int rc;

    rc = read_node(c, COLO_XS_OWNER, owner, sizeof(owner), err);
    if (rc)
        return rc;
    if (strcmp(owner, c->owner_text) == 0) {
        c->reason = COLO_REASON_ERROR;
        c->error[0] = '\0';
        tell_exit(c, "the session's process has died: put things right "
                     "with: colo recover");
    } else {
        tell_exit(c, "the session has ended");
    }
    return 0;
}

int colo_client_set_event_fn(struct colo_client *client, colo_event_fn *fn,
                             void *user, struct colo_error *err)
{
    if (!client)
        return colo__fail(err, COLO_E_INVAL, 0, "client", "client is NULL");
    client->event_fn = fn;
    client->event_user = user;
    return fn ? begin(client, err) : 0;
}

int colo_client_get_fd(struct colo_client *client)
{
    return client ? client->epfd : -1;
}

int colo_client_process(struct colo_client *client, struct colo_error *err)
{
    uint64_t n;
    int rc;

    if (!client)
        return colo__fail(err, COLO_E_INVAL, 0, "client", "client is NULL");
    rc = begin(client, err);
    if (rc)
        return rc;
    (void)!read(client->wakeup, &n, sizeof(n));
    rc = colo__client_drain(client, err);
    if (rc)
        return rc;
    rc = look_at_all(client, err);
    if (rc)
        return rc;
    rc = colo__client_check_gone(client, err);
    if (rc)
        return rc;
    if (!client->gone)
        return 1;
    /* what it said last may have come in meanwhile */
    rc = colo__client_drain(client, err);
    if (rc)
        return rc;
    rc = look_at_all(client, err);
    if (rc)
        return rc;
    rc = finish(client, err);
    return rc;
}
