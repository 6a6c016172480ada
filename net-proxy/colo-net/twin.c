/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See twin.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "twin.h"

#define IN_MAX (4u << 20)
#define STUCK_US 10000000u
#define HELLO_US 10000000u
#define CHUNK (1u << 20)

static void end(struct net_twin *t, const char *why)
{
    if (t->fd < 0)
        return;
    close(t->fd);
    t->fd = -1;
    snprintf(t->why, sizeof(t->why), "%s", why);
}

int net_twin_open(struct net_twin *t, int fd, bool secondary,
                  struct colo_error *err)
{
    uint8_t hello[2] = { NET_WIRE_VERSION, secondary ? 2 : 1 };

    net_twin_close(t);
    memset(t, 0, sizeof(*t));
    t->fd = fd;
    t->out = malloc(NET_TWIN_MAX);
    t->in = malloc(IN_MAX);
    if (!t->out || !t->in) {
        net_twin_close(t);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, NET_WHERE, "buffers");
    }
    (void)net_twin_put(t, NET_MSG_HELLO, 0, hello, sizeof(hello));
    return 0;
}

void net_twin_close(struct net_twin *t)
{
    if (t->fd >= 0)
        close(t->fd);
    free(t->out);
    free(t->in);
    t->fd = -1;
    t->out = t->in = NULL;
    t->out_len = t->in_len = 0;
}

bool net_twin_put(struct net_twin *t, uint8_t type, uint64_t epoch,
                  const uint8_t *body, size_t len)
{
    size_t need = NET_WIRE_HEADER + len;

    if (t->fd < 0 || NET_TWIN_MAX - t->out_len < need)
        return false;
    if (NET_TWIN_MAX - t->out_at - t->out_len < need) {
        memmove(t->out, t->out + t->out_at, t->out_len);
        t->out_at = 0;
    }
    net_wire_header(t->out + t->out_at + t->out_len, type, epoch,
                    (uint32_t)len);
    if (len)
        memcpy(t->out + t->out_at + t->out_len + NET_WIRE_HEADER, body, len);
    t->out_len += need;
    return true;
}

void net_twin_await(struct net_twin *t, uint64_t now_us)
{
    if (!t->hello && !t->hello_us)
        t->hello_us = now_us;
}

void net_twin_flush(struct net_twin *t, uint64_t now_us)
{
    if (t->hello)
        t->hello_us = 0;
    if (t->hello_us && now_us - t->hello_us > HELLO_US) {
        end(t, "the twin is silent");
        return;
    }
    while (t->fd >= 0 && t->out_len) {
        size_t n = t->out_len < CHUNK ? t->out_len : CHUNK;
        ssize_t r = send(t->fd, t->out + t->out_at, n,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && errno == EAGAIN)
            break;
        if (r <= 0) {
            end(t, "cannot send to the twin");
            return;
        }
        t->out_at += (size_t)r;
        t->out_len -= (size_t)r;
        t->stuck_us = 0;
    }
    if (!t->out_len) {
        t->out_at = 0;
        t->stuck_us = 0;
    } else if (!t->stuck_us) {
        t->stuck_us = now_us;
    } else if (now_us - t->stuck_us > STUCK_US) {
        end(t, "the twin takes nothing");
    }
}

void net_twin_fill(struct net_twin *t)
{
    ssize_t r;

    if (t->fd < 0)
        return;
    if (t->in_at && (!t->in_len || t->in_at > IN_MAX / 2)) {
        memmove(t->in, t->in + t->in_at, t->in_len);
        t->in_at = 0;
    }
    if (t->in_at + t->in_len == IN_MAX)
        return; /* whoever reads has reasons to wait */
    r = recv(t->fd, t->in + t->in_at + t->in_len,
             IN_MAX - t->in_at - t->in_len, MSG_DONTWAIT);
    if (r > 0)
        t->in_len += (size_t)r;
    else if (r == 0)
        end(t, "the twin has closed the stream");
    else if (errno != EAGAIN && errno != EINTR)
        end(t, "cannot receive from the twin");
}

static bool greets(const struct net_msg *m, bool secondary)
{
    return m->type == NET_MSG_HELLO && m->body[0] == NET_WIRE_VERSION &&
           m->body[1] == (secondary ? 1 : 2);
}

int net_twin_peek(struct net_twin *t, bool secondary, struct net_msg *ret)
{
    int used;

    for (;;) {
        used = t->in_len ? net_wire_parse(t->in + t->in_at, t->in_len, ret)
                         : 0;
        if (used == 0)
            return 0;
        if (used < 0 || t->hello == (ret->type == NET_MSG_HELLO) ||
            (!t->hello && !greets(ret, secondary))) {
            end(t, "the twin says what it must not");
            t->in_len = 0;
            return 0;
        }
        if (t->hello)
            return 1;
        t->hello = true;
        net_twin_next(t, ret);
    }
}

void net_twin_next(struct net_twin *t, const struct net_msg *msg)
{
    t->in_at += NET_WIRE_HEADER + msg->len;
    t->in_len -= NET_WIRE_HEADER + msg->len;
}
