/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What xenstore says about a guest: its devices and who serves them, its
 * memory target, a session that it has already.  Texts there come from
 * guests, too: they are bounded, and only compared or printed.
 * Source: libxl's nodes /libxl/DOMID/device and the backends' nodes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../net-proxy/netbuf.h"
#include "../../xenstore/owner.h"
#include "../disks.h"
#include "check.h"

#define REFUSED COLO_CHECK_REFUSED
#define WARNING COLO_CHECK_WARNING
#define OK      COLO_CHECK_OK

struct walk {
    struct colo_store *store;
    const struct colo_host_facts *host;
    const struct colo_guest_facts *guest;
    struct colo_check_out *out;
    char kind[40];         /* "vbd": whose devices are listed */
    unsigned nets, disks;  /* whose output is held, whose writes follow */
    bool has_session;
    struct colo_error *err;
    int rc;
};

/* A node's text, "" if there is none or it is no short text. */
static void read_node(struct walk *walk, const char *path, char *buf,
                      size_t cap)
{
    buf[0] = 0;
    if (colo__store_ops(walk->store)->read(walk->store, path, buf, cap,
                                           NULL))
        buf[0] = 0;
}

static void read_below(struct walk *walk, const char *dir, const char *node,
                       char *buf, size_t cap)
{
    char path[COLO_XS_PATH_MAX];

    buf[0] = 0;
    if (snprintf(path, sizeof(path), "%s/%s", dir, node) < (int)sizeof(path))
        read_node(walk, path, buf, cap);
}

static void check_disk(struct walk *walk, const char *backend)
{
    char mode[8], script[160], name[40], type[16], params[1024];
    char target_buf[COLO_DM_NAME_MAX], way_out[320];
    const char *target;
    bool qdisk = strstr(backend, "/backend/qdisk/"), read_only;

    read_below(walk, backend, "mode", mode, sizeof(mode));
    read_below(walk, backend, "script", script, sizeof(script));
    read_below(walk, backend, "dev", name, sizeof(name));
    read_below(walk, backend, "device-type", type, sizeof(type));
    read_below(walk, backend, "params", params, sizeof(params));
    target = qdisk ? NULL : colo__disk_target(script, params, target_buf);
    read_only = mode[0] == 'r' || !strcmp(type, "cdrom");
    if (target && !read_only) {
        colo__check_say(walk->out, OK, "disk", "",
                        "disk %s is replicated by a proxy", name);
        colo__check_say(walk->out, OK, "disk-needed", "", "%" PRIu64 " bytes "
                        "are needed at %s", colo__check_disk_size(target),
                        target);
        walk->disks++;
    } else if (read_only)
        colo__check_say(walk->out, WARNING, "disk-read-only", "see that the "
                        "backup has the same content under the same name",
                        "disk %s is read-only and is not copied", name);
    else {
        colo__disk_way_out(params, way_out, sizeof(way_out));
        colo__check_say(walk->out, REFUSED, "disk-not-replicated", way_out,
                        "disk %s is writable, and its writes would not "
                        "follow the checkpoints", name);
    }
}

static void check_net(struct walk *walk, const char *backend, const char *id)
{
    char bridge[40], tap[40];

    /* in a session it is no finding of its own */
    if (!walk->has_session &&
        colo__netbuf_served(walk->guest->domid,
                            (uint32_t)strtoul(id, NULL, 10), tap,
                            sizeof(tap)))
        colo__check_say(walk->out, REFUSED, "net-served", "wait until the "
                        "clients have closed them, and two minutes more; or "
                        "end that colo-net, which breaks them", "colo-net "
                        "(%s) still serves connections from before a "
                        "takeover", tap);
    read_below(walk, backend, "bridge", bridge, sizeof(bridge));
    if (bridge[0])
        colo__check_say(walk->out, OK, "bridge-needed", "", "%s is the bridge "
                        "that its network needs on the backup", bridge);
    walk->nets++;
}

/* What happens to each kind of device at a takeover. */
static const struct {
    const char *kind, *id, *text, *advice;
    int result;
} others[] = {
    { "console", NULL, NULL, NULL, OK },
    { "suspend", NULL, NULL, NULL, OK },
    { "vkb", NULL, NULL, NULL, OK },
    { "vkbd", NULL, NULL, NULL, OK },
    { "vfb", NULL, NULL, NULL, OK },
    { "9pfs", "shared-files", "it has a 9pfs file system of this host: what "
      "is written there does not follow the checkpoints", "detach it",
      REFUSED },
    { "pvcalls", "pvcalls", "its sockets are made in this host's kernel and "
      "cannot be moved", "remove pvcalls from its configuration", REFUSED },
    { "vtpm", "vtpm", "its virtual TPM has a state of its own that is not "
      "copied", "remove vtpm from its configuration", REFUSED },
    { "vusb", "usb", "it has USB devices of this host", "detach them",
      REFUSED },
    { "qusb", "usb", "it has USB devices of this host", "detach them",
      REFUSED },
};

static void check_unknown(struct walk *walk, const char *id)
{
    colo__check_say(walk->out, REFUSED, "device-unknown", "detach it",
                    "it has a device of kind '%s' (%s), which libcolo does "
                    "not know", walk->kind, id);
}

static void check_other(struct walk *walk, const char *id)
{
    for (size_t i = 0; i < COLO_ARRAY_LEN(others); i++) {
        if (strcmp(walk->kind, others[i].kind))
            continue;
        if (others[i].id)
            colo__check_say(walk->out, others[i].result, others[i].id,
                            others[i].advice, "%s", others[i].text);
        return;
    }
    check_unknown(walk, id);
}

static int check_device(void *user, const char *id)
{
    struct walk *walk = user;
    char path[COLO_XS_PATH_MAX], backend[160];
    static const char dom0[] = "/local/domain/0/";
    int rc;

    if (snprintf(path, sizeof(path), "/libxl/%" PRIu32 "/device/%s/%s/backend",
                 walk->guest->domid, walk->kind, id) >= (int)sizeof(path))
        return 0;
    backend[0] = 0;
    rc = colo__store_ops(walk->store)->read(walk->store, path, backend,
                                            sizeof(backend), walk->err);
    if (rc == COLO_E_NOTFOUND || (!rc && !backend[0]))
        return 0; /* being removed, or none has been made */
    if (rc == COLO_E_LIMIT) {
        check_unknown(walk, id);
        return 0;
    }
    if (rc) {
        walk->rc = rc;
        return 1;
    }
    if (!strcmp(walk->kind, "pci")) {
        char num[16];

        read_below(walk, backend, "num_devs", num, sizeof(num));
        if (strtoul(num, NULL, 10) > 0)
            colo__check_say(walk->out, REFUSED, "pci-passthrough", "detach "
                            "them: `xl pci-detach`; Xen cannot track what "
                            "they write", "it has %s PCI device(s) of this "
                            "host", num);
        return 0;
    }
    if (strncmp(backend, dom0, sizeof(dom0) - 1))
        colo__check_say(walk->out, REFUSED, "driver-domain", "serve it from "
                        "dom0", "device %s %s is served by a driver domain",
                        walk->kind, id);
    if (!strcmp(walk->kind, "vbd"))
        check_disk(walk, backend);
    else if (!strcmp(walk->kind, "vif"))
        check_net(walk, backend, id);
    else
        check_other(walk, id);
    return 0;
}

static int check_kind(void *user, const char *kind)
{
    struct walk *walk = user;
    char path[COLO_XS_PATH_MAX];
    int rc;

    snprintf(walk->kind, sizeof(walk->kind), "%s", kind);
    if (snprintf(path, sizeof(path), "/libxl/%" PRIu32 "/device/%s",
                 walk->guest->domid, kind) >= (int)sizeof(path))
        return 0;
    rc = colo__store_ops(walk->store)->list(walk->store, path, check_device,
                                            walk, walk->err);
    if (rc && rc != COLO_E_NOTFOUND)
        walk->rc = rc;
    return walk->rc != 0;
}

static void check_stub_domain(struct walk *walk)
{
    char path[64], text[32];

    snprintf(path, sizeof(path), "/local/domain/%" PRIu32
             "/image/device-model-domid", walk->guest->domid);
    read_node(walk, path, text, sizeof(text));
    if (text[0] && strcmp(text, "0"))
        colo__check_say(walk->out, REFUSED, "stub-domain", "remove "
                        "device_model_stubdomain_override from its "
                        "configuration", "its device model runs in a stub "
                        "domain (%s)", text);
    snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/target",
             walk->guest->domid);
    read_node(walk, path, text, sizeof(text));
    if (text[0])
        colo__check_say(walk->out, REFUSED, "is-stub-domain",
                        "protect the guest itself, without a stub domain",
                        "it is the stub domain of domain %s", text);
}

/* Memory that comes or goes while protected is a matter of the Xen release:
 * some do not record it. */
static void check_balloon(struct walk *walk)
{
    uint64_t target, pages = walk->guest->tot_pages, apart;
    char path[64], text[32];

    snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/memory/target",
             walk->guest->domid);
    read_node(walk, path, text, sizeof(text));
    if (!text[0])
        return;
    target = strtoull(text, NULL, 10) / 4;
    apart = target > pages ? target - pages : pages - target;
    /* A few pages differ always: video memory, special pages. */
    if (apart > pages / 64 + 2048)
        colo__check_say(walk->out, WARNING, "ballooning", walk->host->
                        p2m_tracked ? "wait until it has reached its target" :
                        "wait until it has reached its target: with this Xen "
                        "a change costs a full resync",
                        "its memory is changing: %" PRIu64 " MiB now, target "
                        "%" PRIu64 " MiB", pages / 256, target / 256);
    else if (!walk->host->p2m_tracked)
        colo__check_say(walk->out, OK, "ballooning", "", "this Xen does not "
                        "record memory that is added: a change of the "
                        "guest's memory while protected costs a full resync");
}

static void check_session(struct walk *walk)
{
    char path[COLO_XS_PATH_MAX], text[64];
    struct colo_owner owner;

    snprintf(path, sizeof(path), COLO_XS_ROOT "/%s/" COLO_XS_OWNER,
             walk->guest->uuid);
    read_node(walk, path, text, sizeof(text));
    walk->has_session = text[0] && !colo__xs_owner_parse(text, &owner, NULL) &&
        colo__owner_alive(&owner);
    if (walk->has_session)
        colo__check_say(walk->out, REFUSED, "has-session", "see `colo "
                        "status`; `colo stop` ends it", "process %" PRId32
                        " protects or receives it already", owner.pid);
}

static void check_suspend_node(struct walk *walk)
{
    char path[64], text[8];

    snprintf(path, sizeof(path), "/local/domain/%" PRIu32
             "/control/feature-suspend", walk->guest->domid);
    read_node(walk, path, text, sizeof(text));
    /* Linux writes it once, when it boots; a guest that came here by a
     * migration or a takeover does not write it again. */
    colo__check_say(walk->out, OK, "suspend", "", !strcmp(text, "1") ?
                    "it says that it can suspend" :
                    "it does not say whether it can suspend (as after a "
                    "migration)");
}

/* Mode remus holds all of it back, mode colo what is not equal. */
static void check_net_modules(struct walk *walk, int mode)
{
    if (mode == COLO_MODE_COLO && walk->host->no_colo_net[0])
        colo__check_say(walk->out, REFUSED, "net-modules", "install a kernel "
                        "that has them, or use --mode remus",
                        "its network cards cannot be put between both copies: "
                        "no module %s", walk->host->no_colo_net);
    else if (mode == COLO_MODE_COLO)
        colo__check_say(walk->out, OK, "net-compared", "", "its network "
                        "output leaves when both copies have said it");
    else if (walk->host->no_net[0])
        colo__check_say(walk->out, REFUSED, "net-modules", "install a kernel "
                        "that has them, or protect with --no-network-buffer",
                        "its network output cannot be held back: no module "
                        "%s", walk->host->no_net);
    else
        colo__check_say(walk->out, OK, "net-buffered", "", "its network "
                        "output is held back until the backup has what it "
                        "follows from");
}

/* What the followers of the checkpoints need in dom0's kernel. */
static void check_modules(struct walk *walk, int mode)
{
    if (walk->nets)
        check_net_modules(walk, mode);
    if (walk->disks && walk->host->no_disk[0])
        colo__check_say(walk->out, REFUSED, "disk-modules", "install a kernel "
                        "that has them", "its disks cannot be replicated: no "
                        "module %s", walk->host->no_disk);
    if (walk->disks && walk->host->no_nbdkit)
        colo__check_say(walk->out, REFUSED, "disk-nbdkit", "install nbdkit, "
                        "and libcolo as a whole", "its disks cannot be "
                        "replicated: %s is missing", walk->host->no_nbdkit);
}

int colo__check_device_rules(struct colo_store *store,
                             const struct colo_host_facts *host,
                             const struct colo_guest_facts *guest, int mode,
                             struct colo_check_out *out,
                             struct colo_error *err)
{
    struct walk walk = { .store = store, .host = host, .guest = guest,
                         .out = out, .err = err };
    char path[64];
    int rc;

    check_session(&walk);
    check_stub_domain(&walk);
    check_balloon(&walk);
    check_suspend_node(&walk);
    snprintf(path, sizeof(path), "/libxl/%" PRIu32 "/device", guest->domid);
    rc = colo__store_ops(store)->list(store, path, check_kind, &walk, err);
    if (rc == COLO_E_NOTFOUND)
        rc = 0; /* no device at all */
    if (!rc)
        rc = walk.rc;
    if (!rc)
        check_modules(&walk, mode);
    return rc;
}
