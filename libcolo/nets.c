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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../xenstore/local-socket.h"
#include "../xenstore/publish.h"
#include "run.h"
#include "session-internal.h"

#define WHERE "nets"
#define CLASS "net"
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

/* ---- their processes --------------------------------------------------- */

static int start_process(struct colo_session *s, struct colo_net *net,
                         struct colo_error *err)
{
    char path[512], uuid[COLO_UUID_TEXT], vif[NAME_MAX_VIF];
    const char *const argv[] = {
        path, "serve", "--role", colo_role_name(s->role), "--domain", uuid,
        "--vif", vif, "--id", net->id, NULL,
    };
    int pair[2], e;
    pid_t pid = 0;

    snprintf(path, sizeof(path), "%s/colo-net",
             s->config.libexecdir ? s->config.libexecdir : COLO_LIBEXECDIR);
    colo__uuid_text(s->info.uuid, uuid);
    vif_of(s->parts.store, s->info.domid, &net->name, vif);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "socketpair");
    e = colo__run_tool((char *const *)(uintptr_t)argv, pair[0], &pid);
    close(pair[0]);
    if (e) {
        close(pair[1]);
        return colo__fail(err, COLO_E_SYS, e, WHERE, "cannot run %.100s",
                          path);
    }
    net->life_fd = pair[1];
    net->pid = pid;
    net->pidfd = colo__run_pidfd(pid);
    return colo__session_watch_fd(s, net->pidfd, COLO_FD_DISK, err);
}

static int start_one(struct colo_session *s, struct colo_net *net,
                     struct colo_error *err)
{
    char name[COLO_LOCAL_NAME_MAX];
    int rc;

    net->listener = colo__local_listen(SOCK_STREAM, CLASS, net->id, name, err);
    if (net->listener < 0)
        return net->listener;
    rc = colo__session_watch_fd(s, net->listener, COLO_FD_DISK, err);
    if (!rc)
        rc = colo__publish_stream(s->publish, CLASS, net->id, name, err);
    if (!rc)
        rc = colo__replication_xenstore_expect(s->proxies, CLASS, net->id,
                                               err);
    return rc ? rc : start_process(s, net, err);
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

        net->listener = net->life_fd = net->pidfd = -1;
        net->link = s->stream[first + i];
        s->stream[first + i] = NULL;
    }
    s->nets.started = true;
    for (uint32_t i = 0; i < s->nets.count; i++) {
        int rc = start_one(s, &s->nets.net[i], err);

        if (rc)
            return rc;
    }
    return 0;
}

/* It has come: from now on its link is the relay's. */
static void accept_proxy(struct colo_session *s, struct colo_net *net)
{
    struct colo_error err = { 0 };
    int fd;

    if (net->listener < 0 || !net->link)
        return;
    fd = colo__local_accept(net->listener, &err);
    if (fd == COLO_E_NOTFOUND || fd == COLO_E_AUTH)
        return;
    if (fd >= 0) {
        colo__session_unwatch_fd(s, net->listener);
        close(net->listener);
        net->listener = -1;
        fd = colo__relay_start(net->link, fd, 0, &net->relay, &err);
        net->link = NULL;
    }
    if (fd < 0)
        colo__session_error(s, &err);
}

static void look_after(struct colo_session *s, struct colo_net *net)
{
    struct colo_error err;
    int status = 0;

    if (!net->pid || waitpid(net->pid, &status, WNOHANG) == 0)
        return; /* none, or it is still there */
    colo__session_unwatch_fd(s, net->pidfd);
    net->pid = 0;
    if (s->state >= COLO_STATE_TAKEOVER)
        return;
    colo__fail(&err, COLO_E_SYS, 0, WHERE, "colo-net for card %s has ended "
               "(%s %d): its last message says why", net->id,
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    colo__session_error(s, &err);
}

void colo__nets_poll(struct colo_session *s)
{
    if (!s->nets.started)
        return;
    for (uint32_t i = 0; i < s->nets.count; i++) {
        accept_proxy(s, &s->nets.net[i]);
        look_after(s, &s->nets.net[i]);
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void colo__nets_stop(struct colo_session *s)
{
    if (!s->nets.started)
        return;
    for (uint32_t i = 0; i < s->nets.count; i++) {
        colo__relay_end(s->nets.net[i].relay);
        s->nets.net[i].relay = NULL;
        close_fd(&s->nets.net[i].life_fd);
    }
}

void colo__nets_free(struct colo_nets *nets)
{
    if (!nets->started)
        return;
    for (uint32_t i = 0; i < nets->count; i++) {
        struct colo_net *net = &nets->net[i];

        colo__relay_end(net->relay);
        if (net->link)
            colo__link_ops(net->link)->close(net->link);
        close_fd(&net->listener);
        close_fd(&net->life_fd);
        close_fd(&net->pidfd);
    }
    nets->started = false;
}
