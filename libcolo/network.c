/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See network.h.
 */
#include "network.h"

#include "session-internal.h"

int colo__network_hold(struct colo_session *s, struct colo_error *err)
{
    const struct colo_netbuf_config config = { .learn = &s->network.learn };
    int rc;

    rc = colo__netbuf_new(s->info.domid, &config, s->log, &s->network.buffer,
                          err);
    return rc ? rc : colo__followers_add(s, s->network.buffer, err);
}

void colo__network_tell(struct colo_session *s)
{
    struct colo_network *n = &s->network;
    uint8_t body[COLO_LEARN_BYTES];

    if (n->told == n->learn.changes)
        return;
    n->told = n->learn.changes;
    colo__control_send(s, COLO_MSG_ADDRESSES, s->epoch, 0, body,
                       (uint32_t)colo__learn_export(&n->learn, body));
}

int colo__network_take(struct colo_session *s, const struct colo_msg *msg,
                       struct colo_error *err)
{
    if (colo__learn_import(&s->network.learn, msg->body, msg->len))
        return colo__fail(err, COLO_E_PROTO, 0, "network",
                          "ADDRESSES that is malformed");
    return 0;
}

void colo__network_announce(struct colo_session *s)
{
    struct colo_error err;

    if (!s->network.learn.count)
        return;
    if (colo__announce_new(s->info.domid, &s->network.learn, s->clock, s->log,
                           &s->network.announce, &err))
        colo__session_warn(s, err.text);
}

bool colo__network_announced(struct colo_session *s)
{
    struct colo_announce *a = s->network.announce;

    if (!a)
        return true;
    if (colo__announce_deadline(a) <= colo__now_us(s->clock))
        colo__announce_run(a);
    return colo__announce_deadline(a) == COLO_NEVER;
}

uint64_t colo__network_deadline(const struct colo_session *s)
{
    return s->network.announce ? colo__announce_deadline(s->network.announce)
                               : COLO_NEVER;
}

void colo__network_free(struct colo_network *n)
{
    colo__announce_close(n->announce);
    n->announce = NULL;
}
