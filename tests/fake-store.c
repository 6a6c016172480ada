/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A xenstore in memory, see fake-store.h.  One mutex guards the tree and the
 * event queues of all handles.  Tests may abort: memory is not checked.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake-store.h"

#define KINDS 8

struct node {
    struct node *next;
    char *path;
    char *value;
    size_t len;
};

struct watch {
    struct watch *next;
    char *path;
    char *token;
};

struct event {
    struct event *next;
    char *token; /* with the path, if it ends in '@' */
};

struct fake_store {
    const struct colo_store_ops *ops;
    struct fake_store *next;
    struct fake_tree *tree;
    struct watch *watches;
    struct event *events, **events_end;
    int fd;
    unsigned int fail_kinds, fail_nth, calls[KINDS];
    bool fail_on;
    int fail_code;
};

struct fake_tree {
    pthread_mutex_t lock;
    struct node *nodes;
    struct fake_store *stores;
};

/* ---- the tree, all with the lock held ---------------------------------- */

static struct node *find(struct fake_tree *tree, const char *path)
{
    for (struct node *n = tree->nodes; n; n = n->next) {
        if (strcmp(n->path, path) == 0)
            return n;
    }
    return NULL;
}

static bool at_or_below(const char *path, const char *top)
{
    size_t n = strlen(top);

    return strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static void queue(struct fake_store *s, const struct watch *w,
                  const char *path)
{
    struct event *e = calloc(1, sizeof(*e));
    size_t n = strlen(w->token);
    uint64_t one = 1;

    if (n && w->token[n - 1] == '@') {
        if (asprintf(&e->token, "%s%s", w->token, path) < 0)
            abort();
    } else {
        e->token = strdup(w->token);
    }
    *s->events_end = e;
    s->events_end = &e->next;
    if (write(s->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        abort();
}

static void fire(struct fake_tree *tree, const char *path, bool exact)
{
    for (struct fake_store *s = tree->stores; s; s = s->next) {
        for (struct watch *w = s->watches; w; w = w->next) {
            if (exact ? strcmp(path, w->path) == 0 :
                        at_or_below(path, w->path))
                queue(s, w, path);
        }
    }
}

static void put_node(struct fake_tree *tree, const char *path,
                     const void *value, size_t len)
{
    struct node *n = find(tree, path);

    if (!n) {
        n = calloc(1, sizeof(*n));
        n->path = strdup(path);
        n->next = tree->nodes;
        tree->nodes = n;
    }
    free(n->value);
    n->value = malloc(len + 1);
    memcpy(n->value, value, len);
    n->value[len] = '\0';
    n->len = len;
}

static void set_node(struct fake_tree *tree, const char *path,
                     const void *value, size_t len)
{
    char *parent = strdup(path);

    for (char *p = strchr(parent + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (!find(tree, parent))
            put_node(tree, parent, "", 0);
        *p = '/';
    }
    free(parent);
    put_node(tree, path, value, len);
    fire(tree, path, false);
}

static void rm_node(struct fake_tree *tree, const char *path)
{
    struct node **at = &tree->nodes, *n;

    if (!find(tree, path))
        return;
    while ((n = *at)) {
        if (!at_or_below(n->path, path)) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        fire(tree, n->path, strcmp(n->path, path) != 0);
        free(n->path);
        free(n->value);
        free(n);
    }
}

/* ---- the seam ---------------------------------------------------------- */

static struct fake_store *to_fake(struct colo_store *store)
{
    return (struct fake_store *)store;
}

/* Takes the lock; with a failure due, gives it back and returns the code. */
static int enter(struct fake_store *s, unsigned int kind,
                 struct colo_error *err)
{
    int code = 0;

    pthread_mutex_lock(&s->tree->lock);
    s->calls[__builtin_ctz(kind)]++;
    if (s->fail_nth && (s->fail_kinds & kind)) {
        if (s->fail_nth > 1)
            s->fail_nth--;
        else {
            code = s->fail_code;
            if (!s->fail_on)
                s->fail_nth = 0;
        }
    }
    if (code) {
        pthread_mutex_unlock(&s->tree->lock);
        return colo__fail(err, code, 0, "fake-store", "made to fail");
    }
    return 0;
}

static int leave(struct fake_store *s, int rc)
{
    pthread_mutex_unlock(&s->tree->lock);
    return rc;
}

static void fake_close(struct colo_store *store)
{
    struct fake_store *s = to_fake(store), **at;
    struct watch *w;
    struct event *e;

    if (!s)
        return;
    pthread_mutex_lock(&s->tree->lock);
    for (at = &s->tree->stores; *at != s; at = &(*at)->next)
        ;
    *at = s->next;
    pthread_mutex_unlock(&s->tree->lock);
    while ((w = s->watches)) {
        s->watches = w->next;
        free(w->path);
        free(w->token);
        free(w);
    }
    while ((e = s->events)) {
        s->events = e->next;
        free(e->token);
        free(e);
    }
    close(s->fd);
    free(s);
}

static int fake_read(struct colo_store *store, const char *path, char *buf,
                     size_t cap, struct colo_error *err)
{
    struct fake_store *s = to_fake(store);
    struct node *n;
    int rc = enter(s, FAKE_READ, err);

    if (rc)
        return rc;
    n = find(s->tree, path);
    if (!n)
        return leave(s, colo__fail(err, COLO_E_NOTFOUND, 0, "fake-store",
                                   "no node %s", path));
    if (n->len >= cap || memchr(n->value, '\0', n->len))
        return leave(s, colo__fail(err, COLO_E_LIMIT, 0, "fake-store",
                                   "%s: too long or a NUL byte", path));
    memcpy(buf, n->value, n->len + 1);
    return leave(s, 0);
}

static int fake_write(struct colo_store *store, const char *path,
                      const char *value, struct colo_error *err)
{
    struct fake_store *s = to_fake(store);
    int rc = enter(s, FAKE_WRITE, err);

    if (rc)
        return rc;
    set_node(s->tree, path, value, strlen(value));
    return leave(s, 0);
}

static int fake_remove(struct colo_store *store, const char *path,
                       struct colo_error *err)
{
    struct fake_store *s = to_fake(store);
    int rc = enter(s, FAKE_REMOVE, err);

    if (rc)
        return rc;
    rm_node(s->tree, path);
    return leave(s, 0);
}

/* fn may use the store: it is called without the lock. */
static int fake_list(struct colo_store *store, const char *path,
                     int (*fn)(void *user, const char *name), void *user,
                     struct colo_error *err)
{
    struct fake_store *s = to_fake(store);
    char *names[1024];
    size_t count = 0, n = strlen(path);
    bool end = false;
    int rc = enter(s, FAKE_LIST, err);

    if (rc)
        return rc;
    if (!find(s->tree, path))
        return leave(s, colo__fail(err, COLO_E_NOTFOUND, 0, "fake-store",
                                   "no node %s", path));
    for (struct node *node = s->tree->nodes; node; node = node->next) {
        if (strncmp(node->path, path, n) == 0 && node->path[n] == '/' &&
            !strchr(node->path + n + 1, '/') && count < 1024)
            names[count++] = strdup(node->path + n + 1);
    }
    leave(s, 0);
    for (size_t i = 0; i < count; i++) {
        end = end || fn(user, names[i]);
        free(names[i]);
    }
    return 0;
}

static int fake_watch(struct colo_store *store, const char *path,
                      const char *token, struct colo_error *err)
{
    struct fake_store *s = to_fake(store);
    struct watch *w;
    int rc = enter(s, FAKE_WATCH, err);

    if (rc)
        return rc;
    for (w = s->watches; w; w = w->next) {
        if (strcmp(w->path, path) == 0 && strcmp(w->token, token) == 0)
            return leave(s, colo__fail(err, COLO_E_EXISTS, 0, "fake-store",
                                       "watch %s exists", path));
    }
    w = calloc(1, sizeof(*w));
    w->path = strdup(path);
    w->token = strdup(token);
    w->next = s->watches;
    s->watches = w;
    queue(s, w, path);
    return leave(s, 0);
}

static int fake_unwatch(struct colo_store *store, const char *path,
                        const char *token, struct colo_error *err)
{
    struct fake_store *s = to_fake(store);
    struct watch **at, *w;
    int rc = enter(s, FAKE_UNWATCH, err);

    if (rc)
        return rc;
    for (at = &s->watches; (w = *at); at = &w->next) {
        if (strcmp(w->path, path) != 0 || strcmp(w->token, token) != 0)
            continue;
        *at = w->next;
        free(w->path);
        free(w->token);
        free(w);
        break;
    }
    return leave(s, 0);
}

static int fake_fd(struct colo_store *store)
{
    return to_fake(store)->fd;
}

static int fake_next(struct colo_store *store, char *token, size_t cap,
                     struct colo_error *err)
{
    struct fake_store *s = to_fake(store);
    struct event *e;
    uint64_t n;
    int rc = enter(s, FAKE_NEXT, err);

    if (rc)
        return rc;
    e = s->events;
    if (!e)
        return leave(s, 0);
    snprintf(token, cap, "%s", e->token);
    s->events = e->next;
    if (!s->events) {
        s->events_end = &s->events;
        if (read(s->fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
            abort();
    }
    free(e->token);
    free(e);
    return leave(s, 1);
}

static int fake_claim(struct colo_store *store, const char *path,
                      const char *value, const char *old,
                      struct colo_error *err)
{
    struct fake_store *s = to_fake(store);
    struct node *n;
    int rc = enter(s, FAKE_CLAIM, err);

    if (rc)
        return rc;
    n = find(s->tree, path);
    if (n && !(old && strcmp(n->value, old) == 0))
        return leave(s, colo__fail(err, COLO_E_EXISTS, 0, "fake-store",
                                   "%s exists", path));
    set_node(s->tree, path, value, strlen(value));
    return leave(s, 0);
}

static const struct colo_store_ops fake_ops = {
    .close = fake_close,
    .read = fake_read,
    .write = fake_write,
    .remove = fake_remove,
    .list = fake_list,
    .watch = fake_watch,
    .unwatch = fake_unwatch,
    .fd = fake_fd,
    .next = fake_next,
    .claim = fake_claim,
};

/* ---- what tests call --------------------------------------------------- */

struct fake_tree *fake_tree_new(void)
{
    struct fake_tree *tree = calloc(1, sizeof(*tree));

    pthread_mutex_init(&tree->lock, NULL);
    return tree;
}

void fake_tree_free(struct fake_tree *tree)
{
    struct node *n;

    if (!tree)
        return;
    while ((n = tree->nodes)) {
        tree->nodes = n->next;
        free(n->path);
        free(n->value);
        free(n);
    }
    pthread_mutex_destroy(&tree->lock);
    free(tree);
}

struct colo_store *fake_store_open(struct fake_tree *tree)
{
    struct fake_store *s = calloc(1, sizeof(*s));

    s->ops = &fake_ops;
    s->tree = tree;
    s->events_end = &s->events;
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_lock(&tree->lock);
    s->next = tree->stores;
    tree->stores = s;
    pthread_mutex_unlock(&tree->lock);
    return (struct colo_store *)s;
}

void fake_tree_set_bytes(struct fake_tree *tree, const char *path,
                         const void *value, size_t len)
{
    pthread_mutex_lock(&tree->lock);
    set_node(tree, path, value, len);
    pthread_mutex_unlock(&tree->lock);
}

void fake_tree_set(struct fake_tree *tree, const char *path,
                   const char *value)
{
    fake_tree_set_bytes(tree, path, value, strlen(value));
}

void fake_tree_rm(struct fake_tree *tree, const char *path)
{
    pthread_mutex_lock(&tree->lock);
    rm_node(tree, path);
    pthread_mutex_unlock(&tree->lock);
}

bool fake_tree_get(struct fake_tree *tree, const char *path, char *buf,
                   size_t cap)
{
    struct node *n;

    pthread_mutex_lock(&tree->lock);
    n = find(tree, path);
    if (n && buf)
        snprintf(buf, cap, "%s", n->value);
    pthread_mutex_unlock(&tree->lock);
    return n != NULL;
}

unsigned int fake_tree_count(struct fake_tree *tree, const char *path)
{
    unsigned int count = 0;

    pthread_mutex_lock(&tree->lock);
    for (struct node *n = tree->nodes; n; n = n->next) {
        if (at_or_below(n->path, path))
            count++;
    }
    pthread_mutex_unlock(&tree->lock);
    return count;
}

static void set_failure(struct colo_store *store, unsigned int kinds,
                        unsigned int nth, int code, bool on)
{
    struct fake_store *s = to_fake(store);

    pthread_mutex_lock(&s->tree->lock);
    s->fail_kinds = kinds;
    s->fail_nth = nth;
    s->fail_code = code;
    s->fail_on = on;
    pthread_mutex_unlock(&s->tree->lock);
}

void fake_store_fail(struct colo_store *store, unsigned int kinds,
                     unsigned int nth, int code)
{
    set_failure(store, kinds, nth, code, false);
}

void fake_store_fail_from(struct colo_store *store, unsigned int kinds,
                          unsigned int nth, int code)
{
    set_failure(store, kinds, nth, code, true);
}

unsigned int fake_store_calls(struct colo_store *store, unsigned int kinds)
{
    struct fake_store *s = to_fake(store);
    unsigned int count = 0;

    pthread_mutex_lock(&s->tree->lock);
    for (unsigned int i = 0; i < KINDS; i++) {
        if (kinds & (1u << i))
            count += s->calls[i];
    }
    pthread_mutex_unlock(&s->tree->lock);
    return count;
}
