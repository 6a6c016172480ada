/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Bytes of a stream that have come and are not read yet, for stock-send.c and
 * stock-receive.c.  The buffer grows by what has come, never by what a record
 * says of itself, and up to the longest item that a reader takes.
 */
#ifndef COLO_WINDOW_H
#define COLO_WINDOW_H

#include "internal.h"

struct colo_window {
    uint8_t *buf;
    size_t cap, max;
    size_t pos, len; /* from pos to len they are there */
};

/* max: the longest item */
int colo__window_init(struct colo_window *window, size_t max,
                      struct colo_error *err);
void colo__window_fini(struct colo_window *window); /* zeroed is fine */

/* colo__window_room - where more of them go: *ret, at least one byte.  What is
 * there moves to the front.
 * Errors   COLO_E_NOMEM; COLO_E_LIMIT an item is longer than max */
int colo__window_room(struct colo_window *window, uint8_t **ret,
                      size_t *ret_room, struct colo_error *err);

static inline const uint8_t *colo__window_at(const struct colo_window *window)
{
    return window->buf + window->pos;
}

static inline size_t colo__window_left(const struct colo_window *window)
{
    return window->len - window->pos;
}

#endif
