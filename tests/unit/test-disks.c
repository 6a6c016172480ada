/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which disks a session finds, and what it says of others.
 */
#include <stdio.h>

#include "pure-common.h"

#include "../fake-store.h"
#include "disks.h"

#define VBD "/local/domain/0/backend/vbd/7/"
#define QDISK "/local/domain/0/backend/qdisk/7/"
#define XEN_SCRIPT "/etc/xen/scripts/block"
#define OUR_SCRIPT "/etc/xen/scripts/block-colo"

static struct fake_tree *tree;

static void disk(const char *dir, const char *id, const char *script,
                 const char *params)
{
    const char *const nodes[][2] = {
        { "mode", "w" }, { "dev", strcmp(id, "1") ? "xvdb" : "xvda" },
        { "script", script }, { "params", params },
    };
    char path[200];

    for (size_t i = 0; i < COLO_ARRAY_LEN(nodes); i++) {
        snprintf(path, sizeof(path), "%s%s/%s", dir, id, nodes[i][0]);
        fake_tree_set(tree, path, nodes[i][1]);
    }
}

static int find(struct colo_disks *disks, struct colo_error *err)
{
    struct colo_store *store = fake_store_open(tree);
    int rc;

    memset(disks, 0, sizeof(*disks));
    rc = colo__disks_find(store, 7, disks, err);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
    return rc;
}

/* By xl, by libvirt, and by both: the same disk has one name. */
START_TEST(test_found)
{
    static const char *const made[][2] = {
        { OUR_SCRIPT, "/dev/vg/web" },
        { XEN_SCRIPT, "/dev/mapper/colo-dev-vg-web" },
        { OUR_SCRIPT, "/dev/mapper/colo-dev-vg-web" },
    };
    struct colo_disks disks;
    struct colo_error err;

    for (size_t i = 0; i < COLO_ARRAY_LEN(made); i++) {
        tree = fake_tree_new();
        disk(VBD, "1", made[i][0], made[i][1]);
        disk(VBD, "2", XEN_SCRIPT, "/dev/mapper/colo-srv-a=20b.raw");
        ck_assert_int_eq(find(&disks, &err), 0);
        ck_assert_uint_eq(disks.count, 2);
        for (int n = 0; n < 2; n++)
            ck_assert_str_eq(disks.disk[n].name.target,
                             strcmp(disks.disk[n].name.vdev, "xvda") ?
                             "/srv/a b.raw" : "/dev/vg/web");
    }
}
END_TEST

START_TEST(test_not_written)
{
    struct colo_disks disks;
    struct colo_error err;

    tree = fake_tree_new();
    disk(VBD, "1", XEN_SCRIPT, "/dev/vg/web");
    fake_tree_set(tree, VBD "1/mode", "r");
    disk(QDISK, "2", "", "raw:/srv/cd.iso");
    fake_tree_set(tree, QDISK "2/device-type", "cdrom");
    ck_assert_int_eq(find(&disks, &err), 0);
    ck_assert_uint_eq(disks.count, 0);
}
END_TEST

START_TEST(test_refused)
{
    char longer[150] = "/dev/vg/";
    const struct { const char *dir, *script, *params, *said; } bad[] = {
        { VBD, XEN_SCRIPT, "/dev/vg/web",
          "script=block-colo (xl), or /dev/mapper/colo-dev-vg-web as" },
        { VBD, "", "", "script=block-colo (xl), or a device of colo-disk" },
        { VBD, XEN_SCRIPT, "/dev/mapper/colo-web", "block-colo" },
        /* it would not fit: then no part of it */
        { VBD, XEN_SCRIPT, longer, "or a device of colo-disk" },
        { VBD, XEN_SCRIPT, "/dev/mapper/colo-a==0123456789abcdef", "xvda" },
        /* a way up, and a line feed, are no names to send */
        { VBD, XEN_SCRIPT, "/dev/mapper/colo-a-..-b", "absolute path" },
        { VBD, XEN_SCRIPT, "/dev/mapper/colo-a-b=0A", "absolute path" },
        { QDISK, OUR_SCRIPT, "raw:/srv/web.raw", "colo-srv-web.raw as" },
        { QDISK, "", "raw:/dev/mapper/colo-dev-vg-web", "driver phy" },
        { QDISK, "", "/dev/mapper/colo-dev-vg-web", "driver phy" },
    };
    struct colo_disks disks;
    struct colo_error err;

    memset(longer + 8, 'a', 100);
    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        tree = fake_tree_new();
        disk(bad[i].dir, "1", bad[i].script, bad[i].params);
        ck_assert_msg(find(&disks, &err) == COLO_E_UNSUPPORTED, "taken: %s",
                      bad[i].params);
        ck_text(err, bad[i].said);
        ck_text(err, "xvda");
        ck_assert_uint_lt(strlen(err.text), sizeof(err.text) - 1);
    }
}
END_TEST

PURE_MAIN("disks", test_found, test_not_written, test_refused)
