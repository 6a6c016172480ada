/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See network.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "network.h"

#include "../xenstore/schema.h"
#include "session-internal.h"

#define BACKEND "/local/domain/0/backend/vif/%" PRIu32

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

struct configured {
    struct colo_store *store;
    uint32_t domid;
    struct colo_learn *learn;
};

static int on_card(void *user, const char *id)
{
    const struct configured *c = user;
    char path[COLO_XS_PATH_MAX], text[32], *end;
    unsigned long card = strtoul(id, &end, 10);
    uint8_t mac[6];
    int len = 0;

    if (end == id || *end || card > UINT8_MAX)
        return 0;
    snprintf(path, sizeof(path), BACKEND "/%lu/mac", c->domid, card);
    if (!colo__store_ops(c->store)->read(c->store, path, text, sizeof(text),
                                         NULL) &&
        sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0],
               &mac[1], &mac[2], &mac[3], &mac[4], &mac[5], &len) == 6 &&
        !text[len])
        colo__learn_mac(c->learn, (uint8_t)card, mac);
    return 0;
}

void colo__network_configured(struct colo_store *store, uint32_t domid,
                              struct colo_learn *learn)
{
    struct configured c = { store, domid, learn };
    char dir[COLO_XS_PATH_MAX];

    snprintf(dir, sizeof(dir), BACKEND, domid);
    (void)colo__store_ops(store)->list(store, dir, on_card, &c, NULL);
}

void colo__network_announce(struct colo_session *s)
{
    struct colo_error err;

    if (s->parts.store)
        colo__network_configured(s->parts.store, s->info.domid,
                                 &s->network.learn);
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
