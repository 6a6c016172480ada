/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The body of DISKS: which disks the guest has, and where their backings are.
 * The backup opens what it names, as root, so a name is checked here once.
 * Any thread.  Source: libcolo-wire(7).
 */
#include <string.h>

#include "wire.h"

#define WHERE "wire"

/* "xvda": also a name in xenstore */
static bool vdev_ok(const char *vdev, size_t len)
{
    if (!len || len >= COLO_WIRE_VDEV)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = vdev[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

/* An absolute path without control characters and without a way up. */
static bool target_ok(const char *target, size_t len)
{
    if (len < 2 || len >= COLO_WIRE_TARGET || target[0] != '/')
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)target[i];

        if (c < 0x20 || c == 0x7f)
            return false;
        if (c == '/' && len - i > 2 && target[i + 1] == '.' &&
            target[i + 2] == '.' && (len - i == 3 || target[i + 3] == '/'))
            return false;
    }
    return true;
}

bool colo__disk_name_ok(const struct colo_disk_name *disk)
{
    return vdev_ok(disk->vdev, strnlen(disk->vdev, COLO_WIRE_VDEV)) &&
           target_ok(disk->target, strnlen(disk->target, COLO_WIRE_TARGET));
}

int colo__disks_build(const struct colo_disk_name *disks, uint32_t count,
                      uint8_t *out, size_t cap, struct colo_error *err)
{
    size_t at = 0;

    if (count > COLO_WIRE_DISKS)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE, "%u disks: at most %d",
                          count, COLO_WIRE_DISKS);
    for (uint32_t i = 0; i < count; i++) {
        size_t v = strnlen(disks[i].vdev, COLO_WIRE_VDEV);
        size_t t = strnlen(disks[i].target, COLO_WIRE_TARGET);

        if (!colo__disk_name_ok(&disks[i]))
            return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                              "disk %.32s: '%.100s' is no absolute path, or "
                              "longer than %d bytes", disks[i].vdev,
                              disks[i].target, COLO_WIRE_TARGET - 1);
        if (cap - at < 3 + v + t)
            return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                              "the names of %u disks are too long", count);
        out[at++] = (uint8_t)v;
        colo__put16(out + at, (uint16_t)t);
        at += 2;
        memcpy(out + at, disks[i].vdev, v);
        memcpy(out + at + v, disks[i].target, t);
        at += v + t;
    }
    return (int)at;
}

static bool same_disk(const struct colo_disk_name *disks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(disks[i].vdev, disks[n].vdev) == 0 ||
            strcmp(disks[i].target, disks[n].target) == 0)
            return true;
    }
    return false;
}

int colo__disks_parse(const struct colo_msg *msg,
                      struct colo_disk_name ret_disks[COLO_WIRE_DISKS],
                      struct colo_error *err)
{
    size_t at = 0;

    if (msg->value > COLO_WIRE_DISKS)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "DISKS with %llu of "
                          "them", (unsigned long long)msg->value);
    for (uint32_t i = 0; i < msg->value; i++) {
        struct colo_disk_name *d = &ret_disks[i];
        size_t v, t;

        if (msg->len - at < 3)
            goto bad;
        v = msg->body[at];
        t = colo__get16(msg->body + at + 1);
        at += 3;
        if (v >= COLO_WIRE_VDEV || t >= COLO_WIRE_TARGET ||
            msg->len - at < v + t)
            goto bad;
        memset(d, 0, sizeof(*d));
        memcpy(d->vdev, msg->body + at, v);
        memcpy(d->target, msg->body + at + v, t);
        at += v + t;
        if (strlen(d->vdev) != v || strlen(d->target) != t ||
            !colo__disk_name_ok(d) || same_disk(ret_disks, i))
            goto bad;
    }
    if (at == msg->len)
        return 0;
bad:
    return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                      "DISKS that is malformed at byte %zu", at);
}
