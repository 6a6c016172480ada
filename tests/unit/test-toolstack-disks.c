/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Disks of a guest of libvirt's, where libxl alone makes the replica.
 */
#include "pure-common.h"

#include "../../toolstack/disk-script.h"

static void check(libxl_disk_backend backend, const char *path,
                  const char *script, const char *want_path,
                  const char *want_script)
{
    libxl_device_disk disk = { .backend = backend };
    libxl_domain_config config = { .disks = &disk, .num_disks = 1 };

    disk.pdev_path = path ? strdup(path) : NULL;
    disk.script = script ? strdup(script) : NULL;
    ck_assert_int_eq(disk_script_use(&config), 0);
    ck_assert_pstr_eq(disk.pdev_path, want_path);
    ck_assert_pstr_eq(disk.script, want_script);
    free(disk.pdev_path);
    free(disk.script);
}

START_TEST(test_devices)
{
    check(LIBXL_DISK_BACKEND_PHY, "/dev/mapper/colo-dev-vg-web", NULL,
          "/dev/vg/web", "block-colo");
    check(LIBXL_DISK_BACKEND_PHY, "/dev/mapper/colo-srv-a=20b.raw", "block",
          "/srv/a b.raw", "block-colo");
    check(LIBXL_DISK_BACKEND_UNKNOWN, "/dev/mapper/colo-dev-vg-web", NULL,
          "/dev/vg/web", "block-colo");
}
END_TEST

START_TEST(test_others)
{
    static const char ours[] = "/dev/mapper/colo-dev-vg-web";
    libxl_domain_config none = { .num_disks = 0 };

    ck_assert_int_eq(disk_script_use(&none), 0);
    check(LIBXL_DISK_BACKEND_PHY, NULL, NULL, NULL, NULL);
    check(LIBXL_DISK_BACKEND_QDISK, ours, NULL, ours, NULL);
    check(LIBXL_DISK_BACKEND_PHY, "/dev/vg/web", "block-colo", "/dev/vg/web",
          "block-colo");
    check(LIBXL_DISK_BACKEND_PHY, "/dev/mapper/colo-web", NULL,
          "/dev/mapper/colo-web", NULL);
}
END_TEST

PURE_MAIN("toolstack-disks", test_devices, test_others)
