/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Requests of a session, by the library's proxy interface; colo.h.
 */
#include <stdlib.h>

#include "source.h"

struct by_proxy {
    const struct colo_source_ops *ops;
    const char *domain, *class_name, *id;
    struct colo_proxy *proxy; /* NULL: not joined */
};

static int p_join(struct colo_source *s, struct colo_error *err)
{
    struct by_proxy *p = (struct by_proxy *)s;

    return colo_proxy_join(p->domain, p->class_name, p->id, &p->proxy, err);
}

static int p_fd(struct colo_source *s)
{
    struct by_proxy *p = (struct by_proxy *)s;

    return p->proxy ? colo_proxy_get_fd(p->proxy) : -1;
}

static int p_next(struct colo_source *s, struct colo_proxy_request *ret,
                  struct colo_error *err)
{
    return colo_proxy_next(((struct by_proxy *)s)->proxy, ret, err);
}

static int p_reply(struct colo_source *s, uint64_t seq, const char *error)
{
    return colo_proxy_reply(((struct by_proxy *)s)->proxy, seq, error, NULL);
}

static int p_event(struct colo_source *s, const char *text)
{
    return colo_proxy_event(((struct by_proxy *)s)->proxy, text, NULL);
}

static int p_stream(struct colo_source *s, struct colo_error *err)
{
    int fd = -1;
    int rc = colo_proxy_stream(((struct by_proxy *)s)->proxy, &fd, err);

    return rc ? rc : fd;
}

static void p_leave(struct colo_source *s)
{
    struct by_proxy *p = (struct by_proxy *)s;

    colo_proxy_close(p->proxy);
    p->proxy = NULL;
}

static void p_close(struct colo_source *s)
{
    free(s);
}

static const struct colo_source_ops proxy_ops = {
    .join = p_join, .fd = p_fd, .next = p_next, .reply = p_reply,
    .event = p_event, .stream = p_stream, .leave = p_leave, .close = p_close,
};

int colo__source_proxy(const struct colo_source_config *config,
                       struct colo_source **ret, struct colo_error *err)
{
    struct by_proxy *p = calloc(1, sizeof(*p));

    if (!p)
        return colo__fail(err, COLO_E_NOMEM, 0, "requests", "no memory");
    p->ops = &proxy_ops;
    p->domain = config->domain;
    p->class_name = config->class_name;
    p->id = config->id;
    *ret = (struct colo_source *)p;
    return 0;
}

int colo__source_open(const struct colo_source_config *config,
                      struct colo_source **ret, struct colo_error *err)
{
    return config->control ? colo__source_socket(config, ret, err)
                           : colo__source_proxy(config, ret, err);
}
