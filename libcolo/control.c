/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The control link of a session: sending messages, reading and checking what
 * comes, HELLO, heartbeats and errors; the rest goes to the role.  Session's
 * thread.
 */
#include <stdio.h>
#include <string.h>

#include "session-internal.h"

/* A control message is a few hundred bytes; a link that does not take it in
 * this time has had a full queue for longer than any heartbeat. */
#define SEND_MS 100

void colo__control_send(struct colo_session *s, uint32_t type, uint64_t epoch,
                        uint64_t value, const void *body, uint32_t len)
{
    struct colo_link *link = s->parts.control;
    uint8_t buf[COLO_WIRE_HEADER + COLO_WIRE_MAX_CONTROL];
    struct colo_msg msg = { .type = type, .epoch = epoch, .value = value,
                            .len = len };
    struct colo_error err = { 0 };
    struct iovec iov;
    int rc;

    if (!link || s->link_dead || s->send_broken)
        return;
    if (len > COLO_WIRE_MAX_CONTROL)
        len = msg.len = COLO_WIRE_MAX_CONTROL; /* only texts can be so long */
    if (len)
        memcpy(buf + COLO_WIRE_HEADER, body, len);
    msg.body = buf + COLO_WIRE_HEADER;
    rc = colo__wire_build(&msg, buf, &err);
    if (rc) {
        colo__session_error(s, &err);
        return;
    }
    iov.iov_base = buf;
    iov.iov_len = COLO_WIRE_HEADER + len;
    rc = colo__link_ops(link)->send(link, &iov, 1, SEND_MS, &err);
    if (rc) {
        /* the peer may have said why before it closed: read that first */
        s->send_broken = true;
        s->link_error = err;
    } else if (type != COLO_MSG_HEARTBEAT)
        colo__log(s->log, COLO_LOG_DEBUG, -1, "control", "sent %s %llu",
                  colo__msg_name(type), (unsigned long long)epoch);
}

void colo__control_send_back(struct colo_session *s, uint32_t type,
                             uint64_t value, const char *text)
{
    bool dead = s->link_dead;

    if (s->silent)
        s->link_dead = false;
    colo__control_send(s, type, s->epoch, value, text, (uint32_t)strlen(text));
    s->link_dead = dead;
}

void colo__control_part(struct colo_session *s)
{
    struct colo_link *link = s->parts.control;
    const struct colo_link_ops *ops = link ? colo__link_ops(link) : NULL;
    uint8_t secret[COLO_LINK_SECRET];

    if (ops && ops->part && !ops->secret(link, secret, NULL))
        ops->part(link, secret, sizeof(secret));
}

bool colo__control_look_back(struct colo_session *s)
{
    s->has_word = false;
    if (!s->silent)
        return false;
    s->link_dead = false;
    colo__control_read(s);
    if (s->link_dead) /* it has closed: no more words, either way */
        s->silent = false;
    s->link_dead = true;
    return s->has_word;
}

void colo__control_send_error(struct colo_session *s,
                              const struct colo_error *err)
{
    colo__control_send(s, COLO_MSG_ERROR, s->epoch,
                       (uint64_t)(int64_t)err->code, err->text,
                       (uint32_t)strlen(err->text));
}

void colo__control_hello(struct colo_session *s)
{
    uint64_t streams = s->role == COLO_ROLE_PRIMARY ? s->info.streamed :
                       colo__session_hv(s)->life->expect_stream != NULL;
    struct colo_hello hello = {
        .major = COLO_WIRE_MAJOR,
        .minor = COLO_WIRE_MINOR,
        .role = (uint32_t)s->role,
        .mode = (uint32_t)s->config.mode,
        .xen_version = s->info.xen_version,
        .features = COLO_FEATURE_DELTA | COLO_FEATURE_LZ4 |
                    COLO_FEATURE_AUDIT |
                    (colo__session_hv(s)->life->run ? COLO_FEATURE_COLO : 0) |
                    (streams ? COLO_FEATURE_STREAM : 0),
        .nr_gfns = s->info.nr_gfns,
        .heartbeat_ms = s->config.heartbeat_ms,
        .dead_ms = s->config.dead_ms,
    };
    uint8_t body[COLO_WIRE_HELLO_MAX];
    struct colo_error err = { 0 };
    int n;

    memcpy(hello.session, s->id, 16);
    memcpy(hello.uuid, s->info.uuid, 16);
    snprintf(hello.name, sizeof(hello.name), "%.63s", s->info.name);
    n = colo__hello_build(&hello, body, sizeof(body), &err);
    if (n < 0)
        colo__session_error(s, &err);
    else
        colo__control_send(s, COLO_MSG_HELLO, 0, 0, body, (uint32_t)n);
}

/* A guest whose replica must be given every piece of a stream. */
static int check_streamed(struct colo_session *s,
                          const struct colo_hello *hello,
                          struct colo_error *err)
{
    bool here = s->role == COLO_ROLE_PRIMARY ||
                colo__session_hv(s)->life->expect_stream;

    if (!here || !(hello->features & COLO_FEATURE_STREAM))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "control",
                          "%s cannot keep a replica of a PV guest: install "
                          "the same libcolo on both hosts",
                          here ? "the peer" : "this host");
    if (colo__both_run(s))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "control",
                          "a PV guest cannot run on both hosts: use mode "
                          "remus");
    return 0;
}

/* A replica may live on a newer Xen and on an older one (pure/seed-trim.h); who
 * looks for the reason of something wants to know. */
static void note_releases(struct colo_session *s, uint32_t peer)
{
    uint32_t own = s->info.xen_version;

    if (own && peer && own != peer)
        colo__log(s->log, COLO_LOG_NOTICE, -1, "control", "the peer has Xen "
                  "%u.%u, this host %u.%u", peer >> 16, peer & 0xffff,
                  own >> 16, own & 0xffff);
}

static int take_hello(struct colo_session *s, const struct colo_msg *msg,
                      struct colo_error *err)
{
    struct colo_hello hello;
    uint32_t want = s->role == COLO_ROLE_PRIMARY ? COLO_ROLE_SECONDARY
                                                 : COLO_ROLE_PRIMARY;
    int rc;

    rc = colo__hello_parse(msg->body, msg->len, &hello, err);
    if (rc)
        return rc;
    if (s->peer_known)
        return colo__fail(err, COLO_E_PROTO, 0, "control", "HELLO twice");
    if (hello.role != want)
        return colo__fail(err, COLO_E_PROTO, 0, "control",
                          "the peer is a %s too",
                          colo_role_name((int)hello.role));
    if (memcmp(hello.session, s->id, 16))
        return colo__fail(err, COLO_E_AUTH, 0, "control",
                          "HELLO of another session");
    if (s->role == COLO_ROLE_SECONDARY) {
        bool can = hello.mode == COLO_MODE_REMUS ||
                   (hello.mode == COLO_MODE_COLO &&
                    colo__session_hv(s)->life->run);

        if (!can)
            return colo__fail(err, COLO_E_UNSUPPORTED, 0, "control",
                              "mode %s is not supported here",
                              colo_mode_name((int)hello.mode));
        /* the primary decides how fast silence is noticed, for both */
        s->config.heartbeat_ms = hello.heartbeat_ms;
        s->config.dead_ms = hello.dead_ms;
        s->config.mode = (int32_t)hello.mode;
        colo__link_tune(colo__link_ops(s->parts.control)->fd(s->parts.control),
                        hello.dead_ms);
        memcpy(s->info.uuid, hello.uuid, 16);
        memcpy(s->info.name, hello.name, sizeof(hello.name));
        s->info.streamed = hello.features & COLO_FEATURE_STREAM;
    }
    if (s->info.streamed) {
        rc = check_streamed(s, &hello, err);
        if (rc)
            return rc;
    }
    if (s->role == COLO_ROLE_PRIMARY && colo__both_run(s) &&
        !(hello.features & COLO_FEATURE_COLO))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "control",
                          "the peer cannot run a replica in mode colo: "
                          "install the same libcolo there, or use remus");
    s->peer = hello;
    s->peer_known = true;
    note_releases(s, hello.xen_version);
    colo__heartbeat_init(&s->heartbeat, s->config.heartbeat_ms,
                         s->config.dead_ms);
    colo__heartbeat_start(&s->heartbeat, colo__now_us(s->clock));
    colo__session_raise(s, COLO_EV_CONNECTED);
    return 0;
}

static void take_peer_error(struct colo_session *s, const struct colo_msg *msg)
{
    struct colo_error err;
    int len = msg->len < 180 ? (int)msg->len : 180;

    colo__fail(&err, COLO_E_PEER_SAID, 0, "peer", "the peer says: %.*s", len,
               (const char *)msg->body);
    /* It lives and knows: it is not lost, and this side must not take over
     * from it; nor is there anything to tell it. */
    s->link_dead = true;
    if (s->state < COLO_STATE_ENDING)
        colo__session_error(s, &err);
    else
        colo__session_warn(s, err.text);
}

static void dispatch(struct colo_session *s, const struct colo_msg *msg)
{
    struct colo_error err = { 0 };
    int rc = 0;

    if (msg->type != COLO_MSG_HEARTBEAT)
        colo__log(s->log, COLO_LOG_DEBUG, -1, "control", "got %s %llu",
                  colo__msg_name(msg->type), (unsigned long long)msg->epoch);
    switch (msg->type) {
    case COLO_MSG_HEARTBEAT:
        break;
    case COLO_MSG_HELLO:
        rc = take_hello(s, msg, &err);
        break;
    case COLO_MSG_ERROR:
        take_peer_error(s, msg);
        break;
    default:
        if (!s->peer_known)
            rc = colo__fail(&err, COLO_E_PROTO, 0, "control",
                            "%s before HELLO", colo__msg_name(msg->type));
        else if (s->role == COLO_ROLE_PRIMARY)
            colo__primary_message(s, msg);
        else
            colo__secondary_message(s, msg);
        break;
    }
    if (rc)
        colo__session_error(s, &err);
}

/* Parse every whole message in the buffer. */
static int parse_in(struct colo_session *s, struct colo_error *err)
{
    size_t used = 0;

    while (!s->link_dead) {
        struct colo_msg msg;
        int64_t n = colo__wire_parse(s->in + used, s->in_len - used,
                                     COLO_WIRE_MAX_CONTROL, &msg, err);

        if (n < 0)
            return (int)n;
        if (!n)
            break;
        dispatch(s, &msg);
        used += (size_t)n;
    }
    memmove(s->in, s->in + used, s->in_len - used);
    s->in_len -= used;
    return 0;
}

void colo__control_read(struct colo_session *s)
{
    struct colo_link *link = s->parts.control;
    struct colo_error err = { 0 };

    while (link && !s->link_dead) {
        size_t got = 0;
        int rc;

        rc = colo__link_ops(link)->recv(link, s->in + s->in_len,
                                        sizeof(s->in) - s->in_len, 0, &got,
                                        &err);
        if (rc == COLO_E_PEER) {
            colo__session_peer_lost(s, &err);
            return;
        }
        if (rc && rc != COLO_E_TIMEOUT) {
            /* not silence but nonsense: the peer lives and cannot be
             * trusted */
            colo__session_error(s, &err);
            return;
        }
        if (!got)
            return;
        colo__heartbeat_heard(&s->heartbeat, colo__now_us(s->clock));
        s->in_len += got;
        rc = parse_in(s, &err);
        if (rc) {
            colo__session_error(s, &err);
            return;
        }
    }
}
