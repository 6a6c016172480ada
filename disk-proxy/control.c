/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The control thread of a disk; see control.h.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "control.h"

#define WHERE "disk control"
#define NR_OUT 64
#define VERIFY_SEQ UINT64_MAX /* answered already; the rest is an event */
#define JOIN_MS 500

struct out {
    bool is_event;
    uint64_t seq;
    char text[232];
    bool ok;
};

struct colo_control {
    struct colo_control_config config;
    struct colo_source *source;
    struct colo_disk *disk;
    int wake;
    atomic_bool ends;
    bool joined, running, never_joins;
    bool in_place;
    pthread_t thread;
    pthread_mutex_t lock; /* the outbox */
    struct out box[NR_OUT];
    unsigned nr;
};

static const struct colo_source_ops *ops(struct colo_control *c)
{
    return colo__source_ops(c->source);
}

static void post(struct colo_control *c, bool is_event, uint64_t seq,
                 const char *text)
{
    uint64_t one = 1;
    struct out *o;

    pthread_mutex_lock(&c->lock);
    /* of events, the newest is not worth more than the order of replies */
    if (c->nr < (is_event ? NR_OUT / 2 : NR_OUT)) {
        o = &c->box[c->nr++];
        o->is_event = is_event;
        o->seq = seq;
        o->ok = !text;
        snprintf(o->text, sizeof(o->text), "%s", text ? text : "");
    }
    pthread_mutex_unlock(&c->lock);
    if (write(c->wake, &one, sizeof(one)) < 0)
        return; /* it is awake already */
}

void colo__control_reply(void *control, uint64_t seq, const char *error)
{
    char text[256];

    if (seq != VERIFY_SEQ) {
        post(control, false, seq, error);
    } else if (error) {
        snprintf(text, sizeof(text), "verify-failed %s", error);
        post(control, true, 0, text);
    }
}

void colo__control_event(void *control, const char *text)
{
    post(control, true, 0, text);
}

void colo__control_say(void *control, const char *text)
{
    struct colo_control *c = control;

    if (c->config.say)
        c->config.say(c->config.user, text);
}

static void empty_box(struct colo_control *c)
{
    struct out box[NR_OUT];
    uint64_t count;
    unsigned n;

    if (read(c->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return;
    pthread_mutex_lock(&c->lock);
    n = c->nr;
    memcpy(box, c->box, n * sizeof(*box));
    c->nr = 0;
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < n && c->joined; i++) {
        if (box[i].is_event)
            (void)ops(c)->event(c->source, box[i].text);
        else
            (void)ops(c)->reply(c->source, box[i].seq,
                                box[i].ok ? NULL : box[i].text);
    }
}

static void gone(struct colo_control *c, const struct colo_error *err)
{
    colo__control_say(c, err->text);
    c->joined = false;
    ops(c)->leave(c->source);
    colo__disk_gone(c->disk);
    empty_box(c); /* for nobody */
}

static void do_request(struct colo_control *c,
                       const struct colo_proxy_request *req)
{
    int stream = -1, verb = req->verb;
    struct colo_error err;

    if (verb == COLO_PROXY_VERIFY) {
        /* takes long, and checkpoints must not wait for it */
        colo__control_reply(c, req->seq, NULL);
        colo__disk_request(c->disk, VERIFY_SEQ, COLO_DISK_VERIFY, 0, -1);
        return;
    }
    if (verb == COLO_SOURCE_VERIFY)
        verb = COLO_DISK_VERIFY;
    if (verb == COLO_PROXY_START) {
        stream = ops(c)->stream(c->source, &err);
        if (stream < 0) {
            colo__control_reply(c, req->seq, err.text);
            return;
        }
    }
    colo__disk_request(c->disk, req->seq, verb, req->arg, stream);
}

static void do_requests(struct colo_control *c)
{
    struct colo_proxy_request req = { .size = sizeof(req) };
    struct colo_error err;
    int rc;

    while ((rc = ops(c)->next(c->source, &req, &err)) > 0) {
        do_request(c, &req);
        empty_box(c);
    }
    if (rc < 0)
        gone(c, &err);
}

/* Is the proxy in place?  Once yes or never, the descriptor is closed. */
static bool may_join(struct colo_control *c)
{
    struct pollfd pfd = { .fd = c->config.hold_fd, .events = POLLIN };
    char byte;

    if (c->config.hold_fd >= 0 && poll(&pfd, 1, 0) > 0) {
        c->never_joins = read(c->config.hold_fd, &byte, 1) != 1;
        close(c->config.hold_fd);
        c->config.hold_fd = -1;
    }
    return c->config.hold_fd < 0 && !c->never_joins;
}

/* Once, before anybody asks for anything. */
static bool take_place(struct colo_control *c)
{
    struct colo_error err;

    if (!c->in_place && colo__disk_in_place(c->disk, &err)) {
        colo__control_say(c, err.text);
        c->never_joins = true;
        return false;
    }
    c->in_place = true;
    return true;
}

static void *control(void *user)
{
    struct colo_control *c = user;
    struct colo_error err;

    while (!c->ends) {
        struct pollfd pfd[3] = {
            { .fd = c->wake, .events = POLLIN },
            { .fd = c->config.hold_fd < 0 ? ops(c)->fd(c->source) : -1,
              .events = POLLIN },
            { .fd = c->config.hold_fd, .events = POLLIN },
        };

        if (poll(pfd, 3, JOIN_MS) < 0 && errno != EINTR)
            break;
        empty_box(c);
        if (!c->joined && may_join(c) && take_place(c))
            c->joined = !ops(c)->join(c->source, &err);
        if (c->joined)
            do_requests(c);
        colo__disk_tell_usage(c->disk);
    }
    if (c->joined)
        ops(c)->leave(c->source);
    c->joined = false;
    return NULL;
}

int colo__control_open(const struct colo_control_config *config,
                       struct colo_control **ret_c, struct colo_error *err)
{
    struct colo_control *c = calloc(1, sizeof(*c));
    int rc;

    if (!c)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    c->config = *config;
    pthread_mutex_init(&c->lock, NULL);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake < 0)
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "eventfd");
    else
        rc = colo__source_open(&config->source, &c->source, err);
    if (rc)
        colo__control_close(c);
    else
        *ret_c = c;
    return rc;
}

int colo__control_run(struct colo_control *c, struct colo_disk *disk,
                      struct colo_error *err)
{
    int r;

    c->disk = disk;
    r = pthread_create(&c->thread, NULL, control, c);
    if (r)
        return colo__fail(err, COLO_E_SYS, r, WHERE, "a thread");
    c->running = true;
    return 0;
}

void colo__control_end(struct colo_control *c)
{
    uint64_t one = 1;

    if (!c || !c->running)
        return;
    c->ends = true;
    if (write(c->wake, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN)
        pthread_join(c->thread, NULL);
    c->running = false;
}

void colo__control_close(struct colo_control *c)
{
    if (!c)
        return;
    colo__control_end(c);
    if (c->source)
        ops(c)->close(c->source);
    if (c->wake >= 0)
        close(c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
