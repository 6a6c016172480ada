/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * This host as a backup: what a guest needs of it and is not there refuses,
 * and what it does not need is not spoken of.  Xen, colo-disk and libvirt are
 * made up here.
 */
#include <unistd.h>

#include "../unit/pure-common.h"

#define COLO_LIBEXECDIR "/x"
#include "../../cli/check-host.c"

static char seen[16][32];
static int results[16];
static int count;

static void show(void *user, const char *where,
                 const struct colo_check_item *item)
{
    (void)user;
    (void)where;
    ck_assert_int_lt(count, 16);
    snprintf(seen[count], sizeof(seen[0]), "%s", item->id);
    results[count++] = item->result;
}

/* -1: not found at all */
static int found(const char *id)
{
    for (int i = 0; i < count; i++) {
        if (!strcmp(seen[i], id))
            return results[i];
    }
    return -1;
}

static bool lacks_all; /* the library warns of all that it can */

int colo_check_host(uint64_t need_pages, colo_check_fn *fn, void *user,
                    struct colo_error *err)
{
    static const char *const ids[] = {
        "disk-modules", "disk-nbdkit", "net-modules", "incoming-domain"
    };

    (void)need_pages;
    (void)err;
    for (size_t i = 0; lacks_all && i < COLO_ARRAY_LEN(ids); i++) {
        struct colo_check_item item = { COLO_CHECK_WARNING, ids[i], "", "" };

        fn(user, &item);
    }
    return 0;
}

int colo_check_domain(const char *domain, int mode, colo_check_fn *fn,
                      void *user, struct colo_error *err)
{
    (void)mode;
    (void)fn;
    (void)user;
    (void)err;
    return strcmp(domain, "taken") ? COLO_E_NOTFOUND : 0;
}

static const char *disk_says, *libvirt_path;
static int disk_status, libvirt_status;

int cli_capture(const char *command, const char *host, const char *remote,
                uint32_t timeout_ms, int cancel_fd, char **ret_text)
{
    char text[600];

    (void)timeout_ms;
    (void)cancel_fd;
    if (!strcmp(command, "/x/colo-toolstack-libvirt")) {
        libvirt_path = command;
        return libvirt_status;
    }
    ck_assert_str_eq(command, "/x/colo-disk");
    ck_assert_str_eq(host, "status");
    snprintf(text, sizeof(text), "%s %s\n", remote, disk_says);
    *ret_text = strdup(text);
    return disk_status;
}

static int look(const struct check_needs *needs)
{
    struct check_report report = { .show = show };

    count = 0;
    libvirt_path = NULL;
    return check_host(&report, needs, false);
}

static struct check_needs nothing(void)
{
    struct check_needs needs = { .guest = true, .mode = COLO_MODE_REMUS,
                                 .toolstack = -1 };

    return needs;
}

START_TEST(test_names)
{
    struct check_needs needs = nothing();

    ck_assert_int_eq(look(&needs), CLI_OK);
    ck_assert_int_eq(count, 0);
    needs.name = "free";
    ck_assert_int_eq(look(&needs), CLI_OK);
    needs.name = "taken";
    ck_assert_int_eq(look(&needs), CLI_NOT_PROTECTABLE);
    ck_assert_int_eq(found("name-taken"), COLO_CHECK_REFUSED);
    needs = nothing();
    needs.bridges[needs.n_bridges++] = "no-such-bridge";
    needs.files[needs.n_files++] = "/no/such/file";
    ck_assert_int_eq(look(&needs), CLI_NOT_PROTECTABLE);
    ck_assert_int_eq(found("bridge-missing"), COLO_CHECK_REFUSED);
    ck_assert_int_eq(found("file-missing"), COLO_CHECK_WARNING);
}
END_TEST

/* Of modules it depends on the guest; without one it is good to know. */
START_TEST(test_modules)
{
    struct check_needs needs = { .toolstack = -1 };

    lacks_all = true;
    ck_assert_int_eq(look(&needs), CLI_OK);
    ck_assert_int_eq(count, 4);
    needs = nothing();
    ck_assert_int_eq(look(&needs), CLI_OK);
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(found("incoming-domain"), COLO_CHECK_WARNING);
    needs.nets = true;
    ck_assert_int_eq(look(&needs), CLI_NOT_PROTECTABLE);
    ck_assert_int_eq(found("net-modules"), COLO_CHECK_REFUSED);
    ck_assert_int_eq(found("disk-modules"), -1);
    needs = nothing();
    needs.disks[needs.n_disks++].target = "/no/such/disk";
    ck_assert_int_eq(look(&needs), CLI_NOT_PROTECTABLE);
    ck_assert_int_eq(found("disk-modules"), COLO_CHECK_REFUSED);
    ck_assert_int_eq(found("disk-nbdkit"), COLO_CHECK_REFUSED);
    ck_assert_int_eq(found("net-modules"), -1);
    ck_assert_int_eq(found("disk-missing"), COLO_CHECK_REFUSED);
}
END_TEST

static void expect_disk(const char *target, uint64_t bytes, const char *id)
{
    struct check_needs needs = nothing();

    needs.disks[0].target = target;
    needs.disks[0].bytes = bytes;
    needs.n_disks = 1;
    look(&needs);
    if (access("/dev/loop-control", F_OK)) /* that is found, too */
        return;
    ck_assert_msg(count == (id ? 1 : 0), "%s: %d", id ? id : "-", count);
    if (id)
        ck_assert_int_eq(found(id), COLO_CHECK_REFUSED);
}

START_TEST(test_disks)
{
    char path[] = "/tmp/colo alone XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096 + 100), 0);
    disk_says = "not served no-device no-metadata";
    expect_disk(path, 4096, NULL);
    expect_disk(path, 0, NULL); /* unknown */
    expect_disk(path, 8192, "disk-size");
    disk_says = "not served no-device secondary 6b1f2c90";
    expect_disk(path, 4096, NULL);
    disk_says = "not served no-device alone 6b1f2c90";
    expect_disk(path, 4096, "disk-alone");
    disk_says = "not served no-device metadata unreadable";
    expect_disk(path, 4096, "disk-unreadable");
    disk_status = 127;
    expect_disk(path, 4096, "disk-unknown");
    disk_status = 0;
    unlink(path);
    expect_disk(path, 4096, "disk-missing");
    expect_disk("/dev/null", 4096, "disk-missing"); /* no disk */
    close(fd);
}
END_TEST

START_TEST(test_libvirt)
{
    struct check_needs needs = nothing();

    look(&needs);
    ck_assert_ptr_null(libvirt_path); /* not even asked */
    needs.toolstack = COLO_TOOLSTACK_XL;
    look(&needs);
    ck_assert_ptr_null(libvirt_path);
    needs.toolstack = COLO_TOOLSTACK_AUTO;
    look(&needs);
    ck_assert_ptr_nonnull(libvirt_path);
    ck_assert_int_eq(count, 0);
    libvirt_status = 127; /* not installed */
    ck_assert_int_eq(look(&needs), CLI_OK);
    ck_assert_int_eq(found("no-libvirt"), COLO_CHECK_WARNING);
    needs.toolstack = COLO_TOOLSTACK_LIBVIRT;
    ck_assert_int_eq(look(&needs), CLI_NOT_PROTECTABLE);
    ck_assert_int_eq(found("no-libvirt"), COLO_CHECK_REFUSED);
}
END_TEST

START_TEST(test_disk_words)
{
    static const char *const bad[] = {
        "", "web:5", "/dev/vg/web", "/dev/vg/web:", "/dev/vg/web:5 "
    };
    char text[40] = "/dev/disk/by-path/a:b:1024";
    struct check_disk disk;

    ck_assert(check_disk_parse(text, &disk));
    ck_assert_str_eq(disk.target, "/dev/disk/by-path/a:b");
    ck_assert_uint_eq(disk.bytes, 1024);
    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text), "%s", bad[i]);
        ck_assert_msg(!check_disk_parse(text, &disk), "%s", bad[i]);
    }
}
END_TEST

PURE_MAIN("cli-check-host", test_names, test_modules, test_disks,
          test_libvirt, test_disk_words)
