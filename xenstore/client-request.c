/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Requests of a client: written to control, answered in control-reply.  Both
 * are single nodes that all clients share, so a request that another one has
 * overwritten is written again; the session does a number only once.
 */
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client.h"

#define LOOK_MS 250 /* how often to see that our request still stands */

static uint64_t now_ms(void)
{
    return colo__now_us(&colo__clock_monotonic) / 1000;
}

/* 53 random bits: two clients do not meet, and scripts in languages that
 * count in doubles can read it. */
static uint64_t make_seq(void)
{
    uint64_t seq = 0;

    if (getrandom(&seq, sizeof(seq), GRND_NONBLOCK) != (ssize_t)sizeof(seq))
        seq = colo__now_us(&colo__clock_monotonic) << 16 ^
              (uint64_t)getpid();
    seq &= (1ull << 53) - 1;
    return seq ? seq : 1;
}

static int control_path(struct colo_client *c, char *buf, size_t cap,
                        struct colo_error *err)
{
    return colo__xs_path(buf, cap, c->uuid, COLO_XS_CONTROL, err);
}

/* Does control hold something else by now?  Then put ours there again. */
static int keep_standing(struct colo_client *c, const char *text,
                         struct colo_error *err)
{
    char path[COLO_XS_PATH_MAX], now[256];
    int rc;

    rc = colo__sessions_read(c->store, c->uuid, COLO_XS_CONTROL, now,
                             sizeof(now), err);
    if (rc || strcmp(now, text) == 0)
        return rc;
    rc = control_path(c, path, sizeof(path), err);
    return rc ? rc : colo__store_ops(c->store)->write(c->store, path, text,
                                                      err);
}

/* Nobody waits for it any more: it must not be done later. */
static void withdraw(struct colo_client *c, const char *text)
{
    char path[COLO_XS_PATH_MAX], now[256];

    if (colo__sessions_read(c->store, c->uuid, COLO_XS_CONTROL, now,
                            sizeof(now), NULL) || strcmp(now, text) != 0)
        return;
    if (control_path(c, path, sizeof(path), NULL) == 0)
        colo__store_ops(c->store)->remove(c->store, path, NULL);
}

/* 1 answered ok, 0 not yet, < 0 refused or error. */
static int look_for_answer(struct colo_client *c, uint64_t seq,
                           struct colo_error *err)
{
    struct colo_answer answer;
    char value[512];
    int rc;

    if (!c->fired_reply)
        return 0;
    rc = colo__sessions_read(c->store, c->uuid, COLO_XS_CONTROL_REPLY, value,
                             sizeof(value), err);
    if (rc)
        return rc;
    c->fired_reply = false;
    if (colo__xs_answer_parse(value, &answer, NULL) || answer.seq != seq)
        return 0;
    if (!answer.ok)
        return colo__fail(err, COLO_E_PEER_SAID, 0, "client", "%s",
                          answer.text);
    return 1;
}

static int gone(struct colo_client *c, int verb, struct colo_error *err)
{
    char owner[128];

    /* A session that removed its nodes ended in order: that is what stop
     * asks for, even if the answer was removed with them. */
    if (verb == COLO_CONTROL_STOP &&
        colo__sessions_read(c->store, c->uuid, COLO_XS_OWNER, owner,
                            sizeof(owner), NULL) == 0 && owner[0] == '\0')
        return 0;
    return colo__fail(err, COLO_E_NOTFOUND, 0, "client",
                      "the session has gone before it answered");
}

static void wait_until(struct colo_client *c, uint64_t when)
{
    struct pollfd pfd[2] = {
        { colo__store_ops(c->store)->fd(c->store), POLLIN, 0 },
        { c->pidfd, POLLIN, 0 },
    };
    uint64_t now = now_ms();

    if (when > now)
        (void)poll(pfd, 2, (int)(when - now)); /* EINTR: looks once more */
}

static int wait_for_answer(struct colo_client *c, const char *text,
                           const struct colo_control *control,
                           uint64_t deadline, struct colo_error *err)
{
    uint64_t look = now_ms() + LOOK_MS;
    int rc, r;

    for (;;) {
        rc = colo__client_drain(c, err);
        if (rc)
            return rc;
        r = look_for_answer(c, control->seq, err);
        if (r)
            return r < 0 ? r : 0;
        rc = colo__client_check_gone(c, err);
        if (rc)
            return rc;
        if (c->gone)
            return gone(c, control->verb, err);
        if (now_ms() >= deadline)
            return colo__fail(err, COLO_E_TIMEOUT, 0, "client",
                              "the session did not answer in time");
        if (now_ms() >= look) {
            rc = keep_standing(c, text, err);
            if (rc)
                return rc;
            look = now_ms() + LOOK_MS;
        }
        wait_until(c, look < deadline ? look : deadline);
    }
}

static int ask(struct colo_client *c, int verb, uint32_t arg,
               uint32_t timeout_ms, struct colo_error *err)
{
    struct colo_control control = { verb, arg, make_seq() };
    uint64_t deadline = now_ms() + timeout_ms, one = 1;
    char path[COLO_XS_PATH_MAX], text[64];
    int rc;

    if (!c)
        return colo__fail(err, COLO_E_INVAL, 0, "client", "client is NULL");
    rc = colo__xs_control_build(text, sizeof(text), &control, err);
    if (rc)
        return rc;
    rc = control_path(c, path, sizeof(path), err);
    if (rc)
        return rc;
    c->fired_owner = true; /* look once even if nobody watches it */
    rc = colo__client_check_gone(c, err);
    if (rc)
        return rc;
    if (c->gone)
        return gone(c, 0, err);
    if (!c->watching_reply) {
        rc = colo__client_watch(c, COLO_XS_CONTROL_REPLY, err);
        if (rc)
            return rc;
        c->watching_reply = true;
    }
    rc = colo__store_ops(c->store)->write(c->store, path, text, err);
    if (rc)
        return rc;
    rc = wait_for_answer(c, text, &control, deadline, err);
    if (rc == COLO_E_TIMEOUT)
        withdraw(c, text);
    /* other watches may have been taken in: process() must be called */
    if (write(c->wakeup, &one, sizeof(one)) < 0)
        return rc; /* full: it is readable */
    return rc;
}

/* ---- public calls ------------------------------------------------------ */

int colo_client_do_checkpoint(struct colo_client *client, uint32_t timeout_ms,
                              struct colo_error *err)
{
    return ask(client, COLO_CONTROL_CHECKPOINT, 0, timeout_ms, err);
}

int colo_client_set_delay(struct colo_client *client, uint32_t interval_ms,
                          uint32_t timeout_ms, struct colo_error *err)
{
    if (interval_ms < 1 || interval_ms > COLO_DELAY_MAX_MS)
        return colo__fail(err, COLO_E_INVAL, 0, "client",
                          "the interval is 1 to %u ms", COLO_DELAY_MAX_MS);
    return ask(client, COLO_CONTROL_DELAY, interval_ms, timeout_ms, err);
}

int colo_client_failover(struct colo_client *client, uint32_t timeout_ms,
                         struct colo_error *err)
{
    return ask(client, COLO_CONTROL_FAILOVER, 0, timeout_ms, err);
}

int colo_client_stop(struct colo_client *client, uint32_t timeout_ms,
                     struct colo_error *err)
{
    return ask(client, COLO_CONTROL_STOP, 0, timeout_ms, err);
}

int colo_client_verify(struct colo_client *client, uint32_t timeout_ms,
                       uint64_t *ret_compared, uint64_t *ret_differing,
                       struct colo_error *err)
{
    char value[64];
    int rc;

    if (!ret_compared || !ret_differing)
        return colo__fail(err, COLO_E_INVAL, 0, "client",
                          "ret_compared and ret_differing are needed");
    rc = ask(client, COLO_CONTROL_VERIFY, 0, timeout_ms, err);
    if (rc)
        return rc;
    rc = colo__sessions_read(client->store, client->uuid, COLO_XS_VERIFIED,
                             value, sizeof(value), err);
    if (rc)
        return rc;
    if (!colo__xs_pair_parse(value, ret_compared, ret_differing))
        return colo__fail(err, COLO_E_PROTO, 0, "client",
                          "the session's figures make no sense");
    return 0;
}

int colo_client_set_replication(struct colo_client *client, int enable,
                                int primary, int failover,
                                uint32_t timeout_ms, struct colo_error *err)
{
    struct colo_status status = { .size = sizeof(status) };
    int rc;

    if (enable && failover)
        return colo__fail(err, COLO_E_INVAL, 0, "client",
                          "failover cannot be combined with enable");
    rc = colo_client_query_status(client, &status, err);
    if (rc)
        return rc;
    if (status.role !=
        (primary ? COLO_ROLE_PRIMARY : COLO_ROLE_SECONDARY))
        return colo__fail(err, COLO_E_INVAL, 0, "client",
                          "this side is the %s", colo_role_name(status.role));
    if (enable) {
        if (status.state < COLO_STATE_ENDING)
            return 0; /* it is on: a session replicates while it lives */
        return colo__fail(err, COLO_E_STATE, 0, "client",
                          "the session is ending: start another with: colo "
                          "protect");
    }
    return failover ? colo_client_failover(client, timeout_ms, err) :
                      colo_client_stop(client, timeout_ms, err);
}
