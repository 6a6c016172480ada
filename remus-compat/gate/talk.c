/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See talk.h.
 */
#include <string.h>

#include "talk.h"

#define WHERE "gate"
#define SEND_MS 1000u /* the session is on this host, and reads at once */

void talk_init(struct talk *talk, struct colo_link *control, int32_t role,
               const uint8_t session[16], uint64_t features,
               const struct colo_log *log)
{
    memset(talk, 0, sizeof(*talk));
    talk->control = control;
    talk->log = log;
    talk->role = role;
    talk->features = features;
    memcpy(talk->session, session, sizeof(talk->session));
    colo__heartbeat_init(&talk->heartbeat, 0, 0);
}

static int send_body(struct talk *talk, struct colo_msg *msg, const void *body,
                     struct colo_error *err)
{
    uint8_t buf[COLO_WIRE_HEADER + COLO_WIRE_MAX_CONTROL];
    struct iovec iov = { buf, COLO_WIRE_HEADER + msg->len };
    int rc;

    if (msg->len)
        memcpy(buf + COLO_WIRE_HEADER, body, msg->len);
    msg->body = buf + COLO_WIRE_HEADER;
    rc = colo__wire_build(msg, buf, err);
    if (rc)
        return rc;
    if (msg->type != COLO_MSG_HEARTBEAT)
        colo__log(talk->log, COLO_LOG_DEBUG, -1, WHERE, "sent %s %llu",
                  colo__msg_name(msg->type), (unsigned long long)msg->epoch);
    return colo__link_ops(talk->control)->send(talk->control, &iov, 1,
                                               SEND_MS, err);
}

int talk_send(struct talk *talk, uint32_t type, uint64_t epoch,
              uint64_t value, const char *text, struct colo_error *err)
{
    struct colo_msg msg = { .type = type, .epoch = epoch, .value = value };

    msg.len = text ? (uint32_t)strlen(text) : 0;
    return send_body(talk, &msg, text, err);
}

int talk_hello(struct talk *talk, const struct colo_hello *hello,
               struct colo_error *err)
{
    struct colo_msg msg = { .type = COLO_MSG_HELLO };
    uint8_t body[COLO_WIRE_HELLO_MAX];
    struct colo_hello mine = *hello;
    int n;

    mine.major = COLO_WIRE_MAJOR;
    mine.minor = COLO_WIRE_MINOR;
    mine.role = (uint32_t)talk->role;
    mine.features = talk->features;
    memcpy(mine.session, talk->session, sizeof(mine.session));
    n = colo__hello_build(&mine, body, sizeof(body), err);
    if (n < 0)
        return n;
    msg.len = (uint32_t)n;
    return send_body(talk, &msg, body, err);
}

static int take_hello(struct talk *talk, const struct colo_msg *msg,
                      struct colo_error *err)
{
    int rc = colo__hello_parse(msg->body, msg->len, &talk->peer, err);

    if (rc)
        return rc;
    if (talk->known || (int32_t)talk->peer.role == talk->role ||
        memcmp(talk->peer.session, talk->session, sizeof(talk->session)))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "a HELLO that is not the session's");
    talk->known = true;
    colo__heartbeat_init(&talk->heartbeat, talk->peer.heartbeat_ms,
                         talk->peer.dead_ms);
    colo__heartbeat_start(&talk->heartbeat,
                          colo__now_us(&colo__clock_monotonic));
    return 0;
}

static int dispatch(struct talk *talk, const struct colo_msg *msg,
                    struct colo_error *err)
{
    int len = msg->len < 160 ? (int)msg->len : 160;

    switch (msg->type) {
    case COLO_MSG_HEARTBEAT:
        return 0;
    case COLO_MSG_HELLO:
        return take_hello(talk, msg, err);
    case COLO_MSG_ERROR:
        return colo__fail(err, COLO_E_PEER_SAID, 0, WHERE,
                          "the session has ended: %.*s", len,
                          (const char *)msg->body);
    }
    if (!talk->known)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s before HELLO",
                          colo__msg_name(msg->type));
    colo__log(talk->log, COLO_LOG_DEBUG, -1, WHERE, "got %s %llu",
              colo__msg_name(msg->type), (unsigned long long)msg->epoch);
    return 1;
}

/* What has come already. */
static int parse(struct talk *talk, struct colo_msg *ret,
                 struct colo_error *err)
{
    while (talk->used < talk->len) {
        int64_t n = colo__wire_parse(talk->in + talk->used,
                                     talk->len - talk->used,
                                     COLO_WIRE_MAX_CONTROL, ret, err);
        int rc;

        if (n <= 0)
            return (int)n;
        talk->used += (size_t)n;
        rc = dispatch(talk, ret, err);
        if (rc)
            return rc;
    }
    return 0;
}

int talk_next(struct talk *talk, struct colo_msg *ret, struct colo_error *err)
{
    for (;;) {
        size_t got = 0;
        int rc = parse(talk, ret, err);

        if (rc)
            return rc;
        memmove(talk->in, talk->in + talk->used, talk->len - talk->used);
        talk->len -= talk->used;
        talk->used = 0;
        rc = colo__link_ops(talk->control)->recv(talk->control,
                                                 talk->in + talk->len,
                                                 sizeof(talk->in) - talk->len,
                                                 0, &got, err);
        if (rc && rc != COLO_E_TIMEOUT)
            return rc;
        if (!got)
            return 0;
        talk->len += got;
    }
}

int talk_beat(struct talk *talk, struct colo_error *err)
{
    uint64_t now = colo__now_us(&colo__clock_monotonic);

    if (!colo__heartbeat_due(&talk->heartbeat, now))
        return 0;
    return talk_send(talk, COLO_MSG_HEARTBEAT, 0, now, NULL, err);
}

int talk_wait_ms(const struct talk *talk)
{
    uint64_t now = colo__now_us(&colo__clock_monotonic);
    uint64_t at = talk->heartbeat.next_send_us;

    if (at == UINT64_MAX || at > now + 1000000)
        return 1000;
    return at > now ? (int)((at - now + 999) / 1000) : 0;
}
