/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See window.h.
 */
#include <stdlib.h>
#include <string.h>

#include "window.h"

#define FIRST (256u * 1024) /* what a buffer begins with */

int colo__window_init(struct colo_window *window, size_t max,
                      struct colo_error *err)
{
    size_t cap = max < FIRST ? max : FIRST;

    memset(window, 0, sizeof(*window));
    window->buf = malloc(cap);
    if (!window->buf)
        return colo__fail(err, COLO_E_NOMEM, 0, "stream", "no memory");
    window->cap = cap;
    window->max = max;
    return 0;
}

void colo__window_fini(struct colo_window *window)
{
    free(window->buf);
    memset(window, 0, sizeof(*window));
}

static int grow(struct colo_window *window, struct colo_error *err)
{
    size_t cap = window->cap * 2 < window->max ? window->cap * 2 :
                 window->max;
    uint8_t *buf;

    if (cap == window->cap)
        return colo__fail(err, COLO_E_LIMIT, 0, "stream",
                          "an item of more than %zu bytes", window->max);
    buf = realloc(window->buf, cap);
    if (!buf)
        return colo__fail(err, COLO_E_NOMEM, 0, "stream", "no memory");
    window->buf = buf;
    window->cap = cap;
    return 0;
}

int colo__window_room(struct colo_window *window, uint8_t **ret,
                      size_t *ret_room, struct colo_error *err)
{
    int rc = 0;

    memmove(window->buf, window->buf + window->pos,
            window->len - window->pos);
    window->len -= window->pos;
    window->pos = 0;
    if (window->len == window->cap)
        rc = grow(window, err);
    if (rc)
        return rc;
    *ret = window->buf + window->len;
    *ret_room = window->cap - window->len;
    return 0;
}
