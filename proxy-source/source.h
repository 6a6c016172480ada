/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Where the requests of a program that follows checkpoints come from: a
 * session, by the library's proxy interface, or, for tests, two sockets in the
 * file system.  All calls by one thread of the program.
 */
#ifndef COLO_PROXY_SOURCE_H
#define COLO_PROXY_SOURCE_H

#include "../libcolo/colo.h"
#include "../libcolo/internal.h"

/* a test's "verify": a verb besides COLO_PROXY_*, answered when it is over */
#define COLO_SOURCE_VERIFY 100

struct colo_source; /* starts with const struct colo_source_ops * */

struct colo_source_ops {
    /* join - be ready for requests; COLO_E_NOTFOUND: nobody is there yet */
    int (*join)(struct colo_source *s, struct colo_error *err);
    /* fd - readable when join or next may have something; -1: ask again */
    int (*fd)(struct colo_source *s);
    /* next - 1 a request, 0 none now, < 0 whoever asked has gone */
    int (*next)(struct colo_source *s, struct colo_proxy_request *ret,
                struct colo_error *err);
    int (*reply)(struct colo_source *s, uint64_t seq, const char *error);
    int (*event)(struct colo_source *s, const char *text);
    /* stream - a connected socket to the twin, or < 0 */
    int (*stream)(struct colo_source *s, struct colo_error *err);
    void (*leave)(struct colo_source *s);
    void (*close)(struct colo_source *s);
};

static inline const struct colo_source_ops *
colo__source_ops(const struct colo_source *s)
{
    return *(const struct colo_source_ops *const *)s;
}

/* The strings are copied by nobody: they live as long as the source. */
struct colo_source_config {
    const char *domain;           /* the session, by uuid or name */
    const char *class_name, *id;
    const char *control, *stream; /* for tests: paths; then no domain */
    bool secondary;
};

/* colo__source_open - by sockets if config->control, else by a session.
 * Owner    *ret: ops->close */
int colo__source_open(const struct colo_source_config *config,
                      struct colo_source **ret, struct colo_error *err);

/* the two of them */
int colo__source_proxy(const struct colo_source_config *config,
                       struct colo_source **ret, struct colo_error *err);
int colo__source_socket(const struct colo_source_config *config,
                        struct colo_source **ret, struct colo_error *err);

#endif
