/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seam to xenstore, as small as the contract needs, so that tests run
 * with a store in memory.  Values are short texts.  One thread per handle.
 */
#ifndef COLO_STORE_H
#define COLO_STORE_H

#include "../libcolo/internal.h"

/* Room for every token of ours with a path appended. */
#define COLO_STORE_TOKEN_MAX 320

struct colo_store; /* starts with const struct colo_store_ops *ops */

struct colo_store_ops {
    void (*close)(struct colo_store *store); /* NULL is fine */
    /* read - value to buf, terminated; COLO_E_NOTFOUND; COLO_E_LIMIT if it
     * does not fit cap or has a NUL in it. */
    int (*read)(struct colo_store *store, const char *path, char *buf,
                size_t cap, struct colo_error *err);
    int (*write)(struct colo_store *store, const char *path,
                 const char *value, struct colo_error *err);
    /* remove - the node and all below; fine if it is not there. */
    int (*remove)(struct colo_store *store, const char *path,
                  struct colo_error *err);
    /* list - fn for each child's name, at most 1024; nonzero ends. */
    int (*list)(struct colo_store *store, const char *path,
                int (*fn)(void *user, const char *name), void *user,
                struct colo_error *err);
    /* watch - fires once at once, as xenstore's do, and for every change of
     * path and below.  A token that ends in '@' gets the path that changed
     * appended when it fires ("proxy@/libcolo/..."). */
    int (*watch)(struct colo_store *store, const char *path,
                 const char *token, struct colo_error *err);
    int (*unwatch)(struct colo_store *store, const char *path,
                   const char *token, struct colo_error *err);
    int (*fd)(struct colo_store *store);
    /* next - a fired watch without waiting: 1 token filled (terminated; cut
     * if it does not fit cap, see COLO_STORE_TOKEN_MAX), 0 none, < 0 error.
     * When fd is readable, call it until it gives 0. */
    int (*next)(struct colo_store *store, char *token, size_t cap,
                struct colo_error *err);
    /* claim - create path with value only if it is not there, or if it holds
     * exactly old (NULL: never), in one transaction; COLO_E_EXISTS. */
    int (*claim)(struct colo_store *store, const char *path,
                 const char *value, const char *old, struct colo_error *err);
};

int colo__store_xs_open(struct colo_store **ret_store,
                        struct colo_error *err);

static inline const struct colo_store_ops *colo__store_ops(struct colo_store *s)
{
    return *(const struct colo_store_ops *const *)s;
}

#endif
