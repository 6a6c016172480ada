/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Our monitor in the command line of a QEMU.
 */
#include "pure-common.h"

#include "dm/dm-find.h"

#define CMD(text) text, sizeof(text)

static char path[COLO_DM_PATH_MAX];

START_TEST(test_found)
{
    ck_assert(colo__dm_find_argument(
        CMD("qemu\0-xen-domid\0" "3\0-qmp\0unix:/var/run/xen/qmp-3,server=on\0"
            "-qmp\0unix:/run/libcolo/web.qmp,server=on,wait=off"), path));
    ck_assert_str_eq(path, "/run/libcolo/web.qmp");
    ck_assert(colo__dm_find_argument(
        CMD("qemu\0-qmp\0unix:/run/libcolo/a"), path));
    ck_assert_str_eq(path, "/run/libcolo/a");
}
END_TEST

START_TEST(test_not_found)
{
    char text[300] = "-qmp\0unix:/run/libcolo/";

    strcpy(path, "as it was");
    ck_assert(!colo__dm_find_argument("", 0, path));
    ck_assert(!colo__dm_find_argument(CMD("qemu\0-qmp"), path));
    ck_assert(!colo__dm_find_argument(CMD("-name\0unix:/run/libcolo/a"),
                                      path));
    ck_assert(!colo__dm_find_argument(CMD("-qmp\0unix:/run/libcolo/"), path));
    ck_assert(!colo__dm_find_argument(CMD("-qmp\0unix:/run/libcolo/,server"),
                                      path));
    ck_assert(!colo__dm_find_argument(CMD("-qmp\0unix:/run/libcolo/../x"),
                                      path));
    ck_assert(!colo__dm_find_argument(CMD("-qmp\0tcp:127.0.0.1:4444"), path));
    memset(text + 23, 'x', 200);
    ck_assert(!colo__dm_find_argument(text, sizeof(text), path));
    ck_assert_str_eq(path, "as it was");
}
END_TEST

/* every cut of a command line, at the end of mapped memory */
START_TEST(test_cut)
{
    static const char line[] =
        "qemu\0-qmp\0unix:/run/libcolo/web.qmp,server=on";

    for (size_t n = 0; n <= sizeof(line); n++)
        (void)colo__dm_find_argument((char *)pure_guarded(line, n), n, path);
}
END_TEST

PURE_MAIN("dm-find", test_found, test_not_found, test_cut)
