/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The store seam over libxenstore.  One thread per handle; libxenstore runs
 * a thread of its own that reads the socket, with all signals blocked.  A
 * request waits as long as xenstored takes: the protocol has no timeout.
 * Source: xenstore.h, Xen docs/misc/xenstore.txt.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "schema.h"
#include "store.h"

#define CLAIM_TRIES 16
#define LIST_MAX 1024

struct store_xs {
    const struct colo_store_ops *ops;
    struct xs_handle *xsh;
};

static struct store_xs *to_xs(struct colo_store *store)
{
    return (struct store_xs *)store;
}

static int fail(struct colo_error *err, const char *what, const char *path)
{
    int e = errno;

    if (e == ENOENT)
        return colo__fail(err, COLO_E_NOTFOUND, 0, "store",
                          "no node %s", path);
    if (e == EEXIST)
        return colo__fail(err, COLO_E_EXISTS, 0, "store", "%s exists", path);
    if (e == ENOMEM)
        return colo__fail(err, COLO_E_NOMEM, e, "store", "%s %s", what, path);
    return colo__fail(err, COLO_E_STORE, e ? e : EIO, "store", "%s %s", what,
                      path);
}

static void xs_close_store(struct colo_store *store)
{
    if (!store)
        return;
    xs_close(to_xs(store)->xsh);
    free(store);
}

static int copy_value(const void *value, unsigned int len, const char *path,
                      char *buf, size_t cap, struct colo_error *err)
{
    if (len >= cap)
        return colo__fail(err, COLO_E_LIMIT, 0, "store",
                          "%s holds %u bytes, %zu are allowed", path, len,
                          cap - 1);
    if (memchr(value, '\0', len))
        return colo__fail(err, COLO_E_LIMIT, 0, "store",
                          "%s holds a NUL byte", path);
    memcpy(buf, value, len);
    buf[len] = '\0';
    return 0;
}

static int xs_read_store(struct colo_store *store, const char *path,
                         char *buf, size_t cap, struct colo_error *err)
{
    unsigned int len = 0;
    void *value;
    int rc;

    value = xs_read(to_xs(store)->xsh, XBT_NULL, path, &len);
    if (!value)
        return fail(err, "read", path);
    rc = copy_value(value, len, path, buf, cap, err);
    free(value);
    return rc;
}

static int check_value(const char *path, const char *value,
                       struct colo_error *err)
{
    /* xenstored counts the path too: the whole message is 4096 bytes */
    if (strlen(path) + 1 + strlen(value) > COLO_XS_VALUE_MAX)
        return colo__fail(err, COLO_E_LIMIT, 0, "store",
                          "%s: the value is too long", path);
    return 0;
}

static int xs_write_store(struct colo_store *store, const char *path,
                          const char *value, struct colo_error *err)
{
    int rc = check_value(path, value, err);

    if (rc)
        return rc;
    if (!xs_write(to_xs(store)->xsh, XBT_NULL, path, value,
                  (unsigned int)strlen(value)))
        return fail(err, "write", path);
    return 0;
}

static int xs_remove_store(struct colo_store *store, const char *path,
                           struct colo_error *err)
{
    if (!xs_rm(to_xs(store)->xsh, XBT_NULL, path) && errno != ENOENT)
        return fail(err, "remove", path);
    return 0;
}

static int xs_list_store(struct colo_store *store, const char *path,
                         int (*fn)(void *user, const char *name), void *user,
                         struct colo_error *err)
{
    unsigned int num = 0;
    char **names;

    names = xs_directory(to_xs(store)->xsh, XBT_NULL, path, &num);
    if (!names)
        return fail(err, "list", path);
    for (unsigned int i = 0; i < num && i < LIST_MAX; i++) {
        if (fn(user, names[i]))
            break;
    }
    free(names);
    return 0;
}

static int xs_watch_store(struct colo_store *store, const char *path,
                          const char *token, struct colo_error *err)
{
    if (!xs_watch(to_xs(store)->xsh, path, token))
        return fail(err, "watch", path);
    return 0;
}

static int xs_unwatch_store(struct colo_store *store, const char *path,
                            const char *token, struct colo_error *err)
{
    if (!xs_unwatch(to_xs(store)->xsh, path, token) && errno != ENOENT)
        return fail(err, "unwatch", path);
    return 0;
}

static int xs_fd_store(struct colo_store *store)
{
    return xs_fileno(to_xs(store)->xsh);
}

static int xs_next_store(struct colo_store *store, char *token, size_t cap,
                         struct colo_error *err)
{
    const char *t;
    char **event;
    size_t n;

    do {
        event = xs_check_watch(to_xs(store)->xsh);
    } while (!event && errno == EINTR);
    if (!event) {
        if (errno == EAGAIN)
            return 0;
        return colo__fail(err, COLO_E_STORE, errno, "store",
                          "watches cannot be read");
    }
    t = event[XS_WATCH_TOKEN];
    n = strlen(t);
    snprintf(token, cap, "%s%s", t,
             n && t[n - 1] == '@' ? event[XS_WATCH_PATH] : "");
    free(event);
    return 1;
}

/* One try.  *ret_again: others changed something meanwhile. */
static int try_claim(struct xs_handle *xsh, const char *path,
                     const char *value, const char *old, bool *ret_again,
                     struct colo_error *err)
{
    xs_transaction_t t;
    unsigned int len = 0;
    char *present;
    int rc;

    *ret_again = false;
    t = xs_transaction_start(xsh);
    if (t == XBT_NULL)
        return fail(err, "claim", path);
    present = xs_read(xsh, t, path, &len);
    if (!present && errno != ENOENT) {
        rc = fail(err, "claim", path);
        goto abandon;
    }
    if (present &&
        !(old && strlen(old) == len && memcmp(present, old, len) == 0)) {
        rc = colo__fail(err, COLO_E_EXISTS, 0, "store", "%s exists", path);
        goto abandon;
    }
    if (!xs_write(xsh, t, path, value, (unsigned int)strlen(value))) {
        rc = fail(err, "claim", path);
        goto abandon;
    }
    rc = 0;
    if (!xs_transaction_end(xsh, t, false)) {
        *ret_again = errno == EAGAIN;
        rc = fail(err, "claim", path);
    }
    goto out;

abandon:
    xs_transaction_end(xsh, t, true);
out:
    free(present);
    return rc;
}

static int xs_claim_store(struct colo_store *store, const char *path,
                          const char *value, const char *old,
                          struct colo_error *err)
{
    bool again = false;
    int rc = check_value(path, value, err);

    if (rc)
        return rc;
    for (int i = 0; i < CLAIM_TRIES; i++) {
        rc = try_claim(to_xs(store)->xsh, path, value, old, &again, err);
        if (!again)
            break;
    }
    return rc;
}

static const struct colo_store_ops store_xs_ops = {
    .close = xs_close_store,
    .read = xs_read_store,
    .write = xs_write_store,
    .remove = xs_remove_store,
    .list = xs_list_store,
    .watch = xs_watch_store,
    .unwatch = xs_unwatch_store,
    .fd = xs_fd_store,
    .next = xs_next_store,
    .claim = xs_claim_store,
};

int colo__store_xs_open(struct colo_store **ret_store, struct colo_error *err)
{
    struct store_xs *s = calloc(1, sizeof(*s));

    if (!s)
        return colo__fail(err, COLO_E_NOMEM, 0, "store", "no memory");
    s->ops = &store_xs_ops;
    s->xsh = xs_open(0);
    if (!s->xsh) {
        int e = errno;

        free(s);
        return colo__fail(err, COLO_E_STORE, e, "store",
                          "xenstore cannot be reached (is this dom0, and are "
                          "you root?)");
    }
    /* The pipe behind it must be there before the first watch fires. */
    if (xs_fileno(s->xsh) < 0) {
        int e = errno;

        xs_close_store((struct colo_store *)s);
        return colo__fail(err, COLO_E_SYS, e, "store", "xs_fileno");
    }
    *ret_store = (struct colo_store *)s;
    return 0;
}
