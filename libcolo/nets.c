/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See nets.h.  A card's way: colo-net takes its vif out of the bridge and puts
 * a TAP there; it joins this session in xenstore, connects to the socket that
 * we name there, and what it says goes over the link of this card to its twin.
 */
#include "nets.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../net-proxy/compare/compare.h"
#include "../xenstore/schema.h"
#include "session-internal.h"

#define WHERE "nets"
#define EMULATED "-emu"
#define NAME_MAX_VIF 24 /* more than an interface's may have */

/* ---- which ones the guest has ------------------------------------------ */

static void id_of(struct colo_net *net)
{
    snprintf(net->id, sizeof(net->id), "%u%s", net->name.devid,
             net->name.emulated ? EMULATED : "");
}

/* vifD.N, or what vifname= calls it; "-emu" behind it */
static void vif_of(struct colo_store *store, uint32_t domid,
                   const struct colo_net_name *name, char vif[NAME_MAX_VIF])
{
    char path[COLO_XS_PATH_MAX], own[IF_NAMESIZE];

    snprintf(path, sizeof(path), "/local/domain/0/backend/vif/%u/%u/vifname",
             domid, name->devid);
    if (colo__store_ops(store)->read(store, path, own, sizeof(own), NULL) ||
        !own[0])
        snprintf(own, sizeof(own), "vif%u.%u", domid & UINT16_MAX,
                 name->devid);
    snprintf(vif, NAME_MAX_VIF, "%s%s", own, name->emulated ? EMULATED : "");
}

struct find {
    struct colo_store *store;
    uint32_t domid;
    struct colo_nets *nets;
    struct colo_error *err;
    int rc;
};

static int found(void *user, const char *id)
{
    struct find *f = user;
    struct colo_net *net = &f->nets->net[f->nets->count];
    char vif[NAME_MAX_VIF], *end;
    unsigned long devid = strtoul(id, &end, 10);

    if (end == id || *end || devid > COLO_WIRE_NET_DEVID)
        return 0; /* not a card */
    if (f->nets->count == COLO_WIRE_NETS) {
        f->rc = colo__fail(f->err, COLO_E_LIMIT, 0, WHERE,
                           "more than %d network cards", COLO_WIRE_NETS);
        return 1;
    }
    net->name.devid = (uint16_t)devid;
    net->name.emulated = true;
    vif_of(f->store, f->domid, &net->name, vif);
    net->name.emulated = if_nametoindex(vif) != 0;
    id_of(net);
    f->nets->count++;
    return 0;
}

int colo__nets_find(struct colo_store *store, uint32_t domid,
                    struct colo_nets *ret_nets, struct colo_error *err)
{
    struct find f = { .store = store, .domid = domid, .nets = ret_nets,
                      .err = err };
    char dir[COLO_XS_PATH_MAX];
    int rc;

    snprintf(dir, sizeof(dir), "/local/domain/0/backend/vif/%u", domid);
    rc = colo__store_ops(store)->list(store, dir, found, &f, err);
    return rc == COLO_E_NOTFOUND ? 0 : rc ? rc : f.rc;
}

/* ---- telling the peer -------------------------------------------------- */

int colo__nets_say(struct colo_session *s, struct colo_error *err)
{
    struct colo_net_name names[COLO_WIRE_NETS];
    uint8_t body[COLO_WIRE_NETS * COLO_WIRE_NET_BYTES];
    int n;

    if (!s->nets.count)
        return 0;
    for (uint32_t i = 0; i < s->nets.count; i++)
        names[i] = s->nets.net[i].name;
    n = colo__nets_build(names, s->nets.count, body, sizeof(body), err);
    if (n < 0)
        return n;
    colo__control_send(s, COLO_MSG_NETS, 0, s->nets.count, body, (uint32_t)n);
    return 0;
}

int colo__nets_take(struct colo_session *s, const struct colo_msg *msg,
                    struct colo_error *err)
{
    struct colo_net_name names[COLO_WIRE_NETS];
    int rc = colo__nets_parse(msg, names, err);

    if (rc)
        return rc;
    if (s->nets.count || msg->value + s->disks.count != s->streams)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "NETS with %llu of them, and %u disks, for %u "
                          "streams", (unsigned long long)msg->value,
                          s->disks.count, s->streams);
    s->nets.count = (uint32_t)msg->value;
    for (uint32_t i = 0; i < s->nets.count; i++) {
        s->nets.net[i].name = names[i];
        id_of(&s->nets.net[i]);
    }
    return 0;
}

struct match {
    const struct colo_nets *nets;
    uint32_t count;
    bool other; /* one that was not told of */
};

static int match_one(void *user, const char *id)
{
    struct match *m = user;
    bool known = false;
    char *end;
    unsigned long devid = strtoul(id, &end, 10);

    for (uint32_t i = 0; i < m->nets->count; i++)
        known |= end != id && !*end && m->nets->net[i].name.devid == devid;
    m->other |= !known;
    m->count++;
    return 0;
}

int colo__nets_match(const struct colo_nets *nets, struct colo_store *store,
                     uint32_t domid, struct colo_error *err)
{
    struct match m = { .nets = nets };
    char dir[COLO_XS_PATH_MAX];
    int rc;

    /* libxl's list: it has also those that a driver domain serves */
    snprintf(dir, sizeof(dir), "/libxl/%u/device/vif", domid);
    rc = colo__store_ops(store)->list(store, dir, match_one, &m, err);
    if (rc && rc != COLO_E_NOTFOUND)
        return rc;
    if (m.count == nets->count && !m.other)
        return 0;
    return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE, "the replica has %u "
                      "network cards, and the primary told of %u%s: it must "
                      "not run beside the guest", m.count, nets->count,
                      m.count == nets->count ? " others" : "");
}

/* ---- their processes --------------------------------------------------- */

int colo__nets_policy(const char *text, struct colo_nets_policy *ret,
                      struct colo_error *err)
{
    uint8_t class_of, policy;
    char *save = NULL;

    ret->count = 0;
    if (!text)
        return 0;
    if (strlen(text) >= sizeof(ret->text))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "net_policy has more than %zu characters",
                          sizeof(ret->text) - 1);
    memcpy(ret->text, text, strlen(text) + 1);
    for (char *w = strtok_r(ret->text, " ", &save); w;
         w = strtok_r(NULL, " ", &save)) {
        if (!colo__compare_policy(w, &class_of, &policy))
            return colo__fail(err, COLO_E_INVAL, 0, WHERE, "net_policy: "
                              "\"%.40s\" is not one of link, tcp, udp, dns, "
                              "quic, icmp, other, then =, then one of "
                              "compare, pass, drop", w);
        if (ret->count == COLO_ARRAY_LEN(ret->word))
            return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                              "net_policy has more than %zu words",
                              COLO_ARRAY_LEN(ret->word));
        ret->word[ret->count++] = w;
    }
    return 0;
}

static int start_one(struct colo_session *s, struct colo_net *net,
                     struct colo_error *err)
{
    char path[512], uuid[COLO_UUID_TEXT], vif[NAME_MAX_VIF], hold[16];
    struct colo_nets_policy policy;
    const char *argv[13 + 2 * COLO_ARRAY_LEN(policy.word)] = {
        path, "serve", "--role", colo_role_name(s->role), "--domain", uuid,
        "--vif", vif, "--id", net->id,
    };
    size_t n = 10;
    int rc = colo__nets_policy(s->config.net_policy, &policy, err);

    if (rc)
        return rc;
    for (unsigned i = 0; i < policy.count; i++) {
        argv[n++] = "--policy";
        argv[n++] = policy.word[i];
    }
    if (s->config.hold_ms) {
        argv[n++] = "--hold";
        argv[n++] = hold;
    }
    colo__proxy_process_path(s, "colo-net", path, sizeof(path));
    colo__uuid_text(s->info.uuid, uuid);
    vif_of(s->parts.store, s->info.domid, &net->name, vif);
    snprintf(hold, sizeof(hold), "%u", s->config.hold_ms);
    return colo__proxy_process_start(s, &net->process, COLO_XS_CLASS_NET,
                                     net->id, argv,
                                     err);
}

int colo__nets_start(struct colo_session *s, struct colo_error *err)
{
    uint32_t first = s->disks.count;

    if (s->nets.started || !s->nets.count)
        return 0;
    if (first + s->nets.count != s->streams)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "%u disks and %u network cards need a stream each, "
                          "and this transport gave %u", first, s->nets.count,
                          s->streams);
    if (!s->publish || !s->proxies)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "network cards need xenstore");
    for (uint32_t i = 0; i < s->nets.count; i++) {
        struct colo_net *net = &s->nets.net[i];

        colo__proxy_process_init(&net->process, WHERE, "colo-net for card",
                                 net->id, &s->stream[first + i]);
    }
    s->nets.started = true;
    for (uint32_t i = 0; i < s->nets.count; i++) {
        int rc = start_one(s, &s->nets.net[i], err);

        if (rc)
            return rc;
    }
    return 0;
}

void colo__nets_poll(struct colo_session *s)
{
    if (!s->nets.started)
        return;
    for (uint32_t i = 0; i < s->nets.count; i++)
        colo__proxy_process_poll(s, &s->nets.net[i].process);
}

void colo__nets_cut(struct colo_session *s)
{
    if (!s->nets.started)
        return;
    for (uint32_t i = 0; i < s->nets.count; i++)
        colo__proxy_process_cut(&s->nets.net[i].process);
}

void colo__nets_stop(struct colo_session *s)
{
    if (!s->nets.started)
        return;
    for (uint32_t i = 0; i < s->nets.count; i++)
        colo__proxy_process_stop(&s->nets.net[i].process);
}

void colo__nets_free(struct colo_nets *nets, uint64_t until_us)
{
    if (!nets->started)
        return;
    for (uint32_t i = 0; i < nets->count; i++)
        colo__proxy_process_free(&nets->net[i].process, until_us);
    nets->started = false;
}
