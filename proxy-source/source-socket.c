/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Requests of a test, over a seqpacket socket in the file system that speaks
 * the texts of libcolo-xenstore(7), and the stream to the twin over another.
 * One client at a time; when it closes, the session is gone.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "source.h"

#define WHERE "requests"
#define STREAM_MS 5000

struct by_socket {
    const struct colo_source_ops *ops;
    const char *stream;
    bool secondary;
    int listener, client, stream_listener;
};

static int address(const char *path, struct sockaddr_un *ret,
                   struct colo_error *err)
{
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(ret->sun_path))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE, "%s is too long",
                          path);
    strcpy(ret->sun_path, path);
    return 0;
}

static int listen_at(const char *path, int type, int *ret_fd,
                     struct colo_error *err)
{
    struct sockaddr_un un;
    int fd, rc = address(path, &un, err);

    if (rc)
        return rc;
    (void)unlink(path);
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 ||
        listen(fd, 16) < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "%s", path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static int s_join(struct colo_source *src, struct colo_error *err)
{
    struct by_socket *s = (struct by_socket *)src;

    s->client = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (s->client < 0)
        return colo__fail(err, COLO_E_NOTFOUND, errno, WHERE, "nobody");
    return 0;
}

static int s_fd(struct colo_source *src)
{
    struct by_socket *s = (struct by_socket *)src;

    return s->client >= 0 ? s->client : s->listener;
}

static int parse(const char *text, struct colo_proxy_request *ret)
{
    static const struct {
        const char *name;
        int verb;
    } verbs[] = {
        { "start", COLO_PROXY_START },
        { "checkpoint", COLO_PROXY_CHECKPOINT },
        { "commit", COLO_PROXY_COMMIT },
        { "failover", COLO_PROXY_FAILOVER },
        { "stop", COLO_PROXY_STOP },
        { "verify", COLO_SOURCE_VERIFY },
    };
    unsigned long long seq, arg = 0;
    char word[16];

    if (sscanf(text, "%llu %15s %llu", &seq, word, &arg) < 2)
        return -1;
    for (size_t i = 0; i < COLO_ARRAY_LEN(verbs); i++) {
        if (!strcmp(word, verbs[i].name)) {
            ret->seq = seq;
            ret->arg = arg;
            ret->verb = verbs[i].verb;
            return 0;
        }
    }
    return -1;
}

static int s_next(struct colo_source *src, struct colo_proxy_request *ret,
                  struct colo_error *err)
{
    struct by_socket *s = (struct by_socket *)src;
    char text[128];
    ssize_t r;

    for (;;) {
        r = recv(s->client, text, sizeof(text) - 1, MSG_DONTWAIT);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && errno == EAGAIN)
            return 0;
        if (r <= 0)
            return colo__fail(err, COLO_E_NOTFOUND, r < 0 ? errno : 0, WHERE,
                              "the session has gone");
        text[r] = '\0';
        if (!parse(text, ret))
            return 1;
    }
}

static int send_text(struct by_socket *s, const char *text)
{
    return send(s->client, text, strlen(text), MSG_NOSIGNAL) < 0 ?
        COLO_E_PEER : 0;
}

static int s_reply(struct colo_source *src, uint64_t seq, const char *error)
{
    char text[300];

    snprintf(text, sizeof(text), "%llu %s%s", (unsigned long long)seq,
             error ? "error " : "ok", error ? error : "");
    return send_text((struct by_socket *)src, text);
}

static int s_event(struct colo_source *src, const char *event)
{
    char text[300];

    snprintf(text, sizeof(text), "event %s", event);
    return send_text((struct by_socket *)src, text);
}

static int connect_stream(struct by_socket *s, struct colo_error *err)
{
    struct sockaddr_un un;
    int fd, rc = address(s->stream, &un, err);

    if (rc) return rc;
    for (int i = 0; i < STREAM_MS / 10; i++) {
        struct timespec ts = { .tv_nsec = 10000000 };

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            break;
        if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
            return fd;
        close(fd);
        nanosleep(&ts, NULL);
    }
    return colo__fail(err, COLO_E_PEER, errno, WHERE, "no twin at %s",
                      s->stream);
}

static int accept_stream(struct by_socket *s, struct colo_error *err)
{
    struct pollfd pfd[2] = {
        { .fd = s->stream_listener, .events = POLLIN },
        { .fd = s->client, .events = POLLIN }, /* stop, or gone */
    };
    int fd = -1, next;

    if (poll(pfd, 2, STREAM_MS) <= 0 || !pfd[0].revents)
        return colo__fail(err, COLO_E_PEER, 0, WHERE, "the twin is silent");
    /* the newest: others have died meanwhile */
    while ((next = accept4(s->stream_listener, NULL, NULL,
                           SOCK_CLOEXEC)) >= 0) {
        if (fd >= 0)
            close(fd);
        fd = next;
    }
    return fd >= 0 ? fd : colo__fail(err, COLO_E_PEER, 0, WHERE, "no twin");
}

static int s_stream(struct colo_source *src, struct colo_error *err)
{
    struct by_socket *s = (struct by_socket *)src;

    return s->secondary ? accept_stream(s, err) : connect_stream(s, err);
}

static void s_leave(struct colo_source *src)
{
    struct by_socket *s = (struct by_socket *)src;

    close(s->client);
    s->client = -1;
}

static void s_close(struct colo_source *src)
{
    struct by_socket *s = (struct by_socket *)src;

    if (s->listener >= 0)
        close(s->listener);
    if (s->stream_listener >= 0)
        close(s->stream_listener);
    if (s->client >= 0)
        close(s->client);
    free(s);
}

static const struct colo_source_ops socket_ops = {
    .join = s_join, .fd = s_fd, .next = s_next, .reply = s_reply,
    .event = s_event, .stream = s_stream, .leave = s_leave, .close = s_close,
};

int colo__source_socket(const struct colo_source_config *config,
                        struct colo_source **ret, struct colo_error *err)
{
    struct by_socket *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    s->ops = &socket_ops;
    s->stream = config->stream;
    s->secondary = config->secondary;
    s->client = s->listener = s->stream_listener = -1;
    rc = listen_at(config->control, SOCK_SEQPACKET, &s->listener, err);
    if (!rc && s->secondary && s->stream)
        rc = listen_at(s->stream, SOCK_STREAM, &s->stream_listener, err);
    if (rc) {
        s_close((struct colo_source *)s);
        return rc;
    }
    *ret = (struct colo_source *)s;
    return 0;
}
