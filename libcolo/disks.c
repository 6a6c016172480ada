/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See disks.h.  A disk's way: the guest's block device is a device-mapper
 * device that block-colo, or libvirt's hook, has made; colo-disk puts the
 * proxy beneath it; the proxy joins this session in xenstore, connects to the
 * socket that we name there, and what it says goes over the link of this disk
 * to its twin.
 */
#include "disks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../xenstore/schema.h"
#include "session-internal.h"

#define WHERE "disks"
#define SCRIPT "/block-colo"

/* what colo_config says of them by default */
#define MEMORY_MIB 64u
#define SPILL_MIB 1024u
#define SPILL_DIR "/var/lib/libcolo/disk"

/* ---- which ones the guest has ------------------------------------------ */

struct find {
    struct colo_store *store;
    char dir[COLO_XS_PATH_MAX]; /* backend/vbd/DOMID or backend/qdisk/DOMID */
    bool qdisk;
    struct colo_disks *disks;
    struct colo_error *err;
    int rc;
};

static void read_node(struct find *f, const char *id, const char *node,
                      char *buf, size_t cap)
{
    char path[COLO_XS_PATH_MAX];

    buf[0] = '\0';
    if (snprintf(path, sizeof(path), "%s/%s/%s", f->dir, id, node) >=
            (int)sizeof(path) ||
        colo__store_ops(f->store)->read(f->store, path, buf, cap, NULL))
        buf[0] = '\0';
}

const char *colo__disk_target(const char *script, const char *params,
                              char target_buf[COLO_DM_NAME_MAX])
{
    size_t n = strlen(script), m = strlen(SCRIPT);

    /* first: the script takes a device's name for its target, too */
    if (colo__dm_target(params, target_buf))
        return target_buf;
    return n >= m && strcmp(script + n - m, SCRIPT) == 0 ? params : NULL;
}

void colo__disk_way_out(const char *params, char *buf, size_t cap)
{
    char path[COLO_DM_PATH_MAX], target[COLO_DM_NAME_MAX];
    const char *colon = strchr(params, ':');

    if (params[0] != '/' && colon)
        params = colon + 1; /* QEMU's have a format before the path */
    if (colo__dm_target(params, target)) {
        snprintf(buf, cap, "give it the driver phy: only blkback's disks "
                 "have a proxy");
        return;
    }
    if (colo__dm_path(params, path) &&
        snprintf(buf, cap, "give it script=block-colo (xl), or %s as its "
                 "source (libvirt)", path) < (int)cap)
        return;
    snprintf(buf, cap, "give it script=block-colo (xl), or a device of "
             "colo-disk(8) as its source (libvirt)");
}

static int take_disk(struct find *f, const char *id)
{
    char mode[8], script[256], dev[40], type[16], params[1024], way_out[150];
    char target_buf[COLO_DM_NAME_MAX];
    const char *target;
    struct colo_disk *d;

    read_node(f, id, "mode", mode, sizeof(mode));
    read_node(f, id, "script", script, sizeof(script));
    read_node(f, id, "dev", dev, sizeof(dev));
    read_node(f, id, "device-type", type, sizeof(type));
    read_node(f, id, "params", params, sizeof(params));
    if (mode[0] == 'r' || strcmp(type, "cdrom") == 0)
        return 0;
    target = f->qdisk ? NULL : colo__disk_target(script, params, target_buf);
    if (!target) {
        colo__disk_way_out(params, way_out, sizeof(way_out));
        return colo__fail(f->err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "disk %.16s would not follow the checkpoints: %s",
                          dev, way_out);
    }
    if (f->disks->count == COLO_WIRE_DISKS)
        return colo__fail(f->err, COLO_E_LIMIT, 0, WHERE,
                          "more than %d writable disks: detach some, or make "
                          "one of them read-only", COLO_WIRE_DISKS);
    d = &f->disks->disk[f->disks->count];
    snprintf(d->name.vdev, sizeof(d->name.vdev), "%.32s", dev);
    snprintf(d->name.target, sizeof(d->name.target), "%.400s", target);
    if (strlen(dev) >= sizeof(d->name.vdev) ||
        strlen(target) >= sizeof(d->name.target) ||
        !colo__disk_name_ok(&d->name))
        return colo__fail(f->err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "disk %.32s: its target must be an absolute path "
                          "of at most 400 bytes", dev);
    f->disks->count++;
    return 0;
}

static int found(void *user, const char *id)
{
    struct find *f = user;

    f->rc = take_disk(f, id);
    return f->rc != 0;
}

int colo__disks_find(struct colo_store *store, uint32_t domid,
                     struct colo_disks *ret_disks, struct colo_error *err)
{
    static const char *const kinds[] = { "vbd", "qdisk" };

    for (size_t i = 0; i < COLO_ARRAY_LEN(kinds); i++) {
        struct find f = { .store = store, .qdisk = i == 1,
                          .disks = ret_disks, .err = err };
        int rc;

        snprintf(f.dir, sizeof(f.dir), "/local/domain/0/backend/%s/%u",
                 kinds[i], domid);
        rc = colo__store_ops(store)->list(store, f.dir, found, &f, err);
        if (rc && rc != COLO_E_NOTFOUND)
            return rc;
        if (f.rc)
            return f.rc;
    }
    return 0;
}

/* ---- telling the peer -------------------------------------------------- */

int colo__disks_say(struct colo_session *s, struct colo_error *err)
{
    struct colo_disk_name names[COLO_WIRE_DISKS];
    uint8_t body[COLO_WIRE_MAX_CONTROL];
    int n;

    if (!s->disks.count)
        return 0;
    for (uint32_t i = 0; i < s->disks.count; i++)
        names[i] = s->disks.disk[i].name;
    n = colo__disks_build(names, s->disks.count, body, sizeof(body), err);
    if (n < 0)
        return n;
    colo__control_send(s, COLO_MSG_DISKS, 0, s->disks.count, body,
                       (uint32_t)n);
    return 0;
}

int colo__disks_take(struct colo_session *s, const struct colo_msg *msg,
                     struct colo_error *err)
{
    struct colo_disk_name names[COLO_WIRE_DISKS];
    int rc = colo__disks_parse(msg, names, err);

    if (rc)
        return rc;
    if (s->disks.count || msg->value > s->streams)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "DISKS with %llu of them for %u streams",
                          (unsigned long long)msg->value, s->streams);
    s->disks.count = (uint32_t)msg->value;
    for (uint32_t i = 0; i < s->disks.count; i++)
        s->disks.disk[i].name = names[i];
    /* it may come with HELLO: then seeding starts them */
    return s->publish ? colo__disks_start(s, err) : 0;
}

bool colo__disks_known(const struct colo_session *s)
{
    return s->disks.count + s->nets.count == s->streams;
}

/* ---- their processes --------------------------------------------------- */

static int start_one(struct colo_session *s, struct colo_disk *d,
                     struct colo_error *err)
{
    const struct colo_config *c = &s->config;
    char path[512], uuid[COLO_UUID_TEXT], memory[16], spill[16];
    const char *const argv[] = {
        path, "serve", "--role", colo_role_name(s->role), "--domain", uuid,
        "--vdev", d->name.vdev, "--target", d->name.target,
        "--memory-limit", memory, "--spill-limit", spill, "--spill-dir",
        c->disk_spill_dir ? c->disk_spill_dir : SPILL_DIR,
        c->disk_track ? "--track" : NULL, NULL,
    };

    colo__proxy_process_path(s, "colo-disk", path, sizeof(path));
    snprintf(memory, sizeof(memory), "%" PRIu32 "M",
             c->disk_memory_mib ? c->disk_memory_mib : MEMORY_MIB);
    snprintf(spill, sizeof(spill), "%" PRIu32 "M",
             c->disk_spill_mib ? c->disk_spill_mib : SPILL_MIB);
    colo__uuid_text(s->info.uuid, uuid);
    return colo__proxy_process_start(s, &d->process, COLO_XS_CLASS_DISK,
                                     d->name.vdev, argv, err);
}

int colo__disks_start(struct colo_session *s, struct colo_error *err)
{
    if (s->disks.count > s->streams)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "%u disks need a stream each, and this transport "
                          "gave %u", s->disks.count, s->streams);
    if (s->disks.count && (!s->publish || !s->proxies))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "disks need xenstore");
    for (uint32_t i = 0; i < s->disks.count; i++) {
        struct colo_disk *d = &s->disks.disk[i];

        colo__proxy_process_init(&d->process, WHERE, "colo-disk for",
                                 d->name.vdev, &s->stream[i]);
    }
    s->disks.started = true;
    for (uint32_t i = 0; i < s->disks.count; i++) {
        int rc = start_one(s, &s->disks.disk[i], err);

        if (rc)
            return rc;
    }
    return 0;
}

void colo__disks_poll(struct colo_session *s)
{
    if (!s->disks.started)
        return;
    for (uint32_t i = 0; i < s->disks.count; i++)
        colo__proxy_process_poll(s, &s->disks.disk[i].process);
}

void colo__disks_stop(struct colo_session *s)
{
    if (!s->disks.started)
        return;
    for (uint32_t i = 0; i < s->disks.count; i++)
        colo__proxy_process_stop(&s->disks.disk[i].process);
}

void colo__disks_free(struct colo_disks *disks, uint64_t until_us)
{
    if (!disks->started)
        return;
    for (uint32_t i = 0; i < disks->count; i++)
        colo__proxy_process_free(&disks->disk[i].process, until_us);
    disks->started = false;
}
