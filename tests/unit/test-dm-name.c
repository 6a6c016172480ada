/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Names of disk devices, and what they tell of the target.
 */
#include "pure-common.h"

#include "pure/dm-name.h"

START_TEST(test_names)
{
    static const struct { const char *target, *name; } cases[] = {
        { "/dev/vg/web", "colo-dev-vg-web" },
        { "/dev/vg-web", "colo-dev-vg=2Dweb" },
        { "/dev/vg=2Dweb", "colo-dev-vg=3D2Dweb" },
        { "/srv/a b.img", "colo-srv-a=20b.img" },
        { "/x/\xc3\xa4", "colo-x-=C3=A4" },
        { "/a//b", "colo-a--b" },
    };
    char name[COLO_DM_NAME_MAX];
    struct colo_error err;

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        ck_assert_int_eq(colo__dm_name(cases[i].target, name, &err), 0);
        ck_assert_str_eq(name, cases[i].name);
    }
    ck_assert_int_eq(colo__dm_name("vg/web", name, &err), COLO_E_INVAL);
    ck_assert_int_eq(colo__dm_name("/", name, &err), COLO_E_INVAL);
    ck_assert_int_eq(colo__dm_name("", name, &err), COLO_E_INVAL);
}
END_TEST

/* Never cut short, never beyond the limit, never two alike. */
START_TEST(test_long_names)
{
    char target[400] = "/", name[COLO_DM_NAME_MAX], last[COLO_DM_NAME_MAX];

    last[0] = 0;
    for (size_t n = 1; n < sizeof(target) - 1; n++) {
        target[n] = n % 7 ? 'a' : '-';
        ck_assert_int_eq(colo__dm_name(target, name, NULL), 0);
        ck_assert_uint_lt(strlen(name), COLO_DM_NAME_MAX);
        ck_assert_str_ne(name, last);
        ck_assert(!strncmp(name, "colo-", 5));
        strcpy(last, name);
    }
    ck_assert_ptr_nonnull(strstr(name, "=="));
    target[200] = 'b';
    ck_assert_int_eq(colo__dm_name(target, name, NULL), 0);
    ck_assert_str_ne(name, last);
}
END_TEST

START_TEST(test_targets)
{
    static const struct { const char *path, *target; } cases[] = {
        { "/dev/mapper/colo-dev-vg-web", "/dev/vg/web" },
        { "/dev/mapper/colo-dev-vg=2Dweb", "/dev/vg-web" },
        { "/dev/mapper/colo-dev-vg=3D2Dweb", "/dev/vg=2Dweb" },
        { "/dev/mapper/colo-srv-a=20b.img", "/srv/a b.img" },
        { "/dev/mapper/colo-x-=C3=A4", "/x/\xc3\xa4" },
        { "/dev/mapper/colo-x-=FF", "/x/\xff" },
        /* a volume of LVM's group "colo" */
        { "/dev/mapper/colo-dev-mapper-colo=2Dweb", "/dev/mapper/colo-web" },
    };
    char target[COLO_DM_NAME_MAX], path[COLO_DM_PATH_MAX];

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        ck_assert_msg(colo__dm_target(cases[i].path, target), "%s",
                      cases[i].path);
        ck_assert_str_eq(target, cases[i].target);
        ck_assert(colo__dm_path(cases[i].target, path));
        ck_assert_str_eq(path, cases[i].path);
    }
    /* of these no name tells the target */
    ck_assert(!colo__dm_path("/web", path));
    ck_assert(!colo__dm_path("/dev//web", path));
    ck_assert(!colo__dm_path("//dev/web", path));
    ck_assert(!colo__dm_path("/dev/web/", path));
    ck_assert(!colo__dm_path("dev/web", path));
    ck_assert(!colo__dm_path("", path));
}
END_TEST

START_TEST(test_devices)
{
    ck_assert(colo__dm_is_device("/dev/mapper/colo-dev-vg-web"));
    ck_assert(colo__dm_is_device("/dev/mapper/colo-a==0123456789abcdef"));
    ck_assert(!colo__dm_is_device("/dev/mapper/colo-web"));
    ck_assert(!colo__dm_is_device("/dev/mapper/colo-a--b"));
    ck_assert(!colo__dm_is_device("/dev/vg=/web"));
}
END_TEST

/* As long as a name that is no hash can be, and one longer. */
START_TEST(test_longest)
{
    char target[COLO_DM_NAME_MAX], path[COLO_DM_PATH_MAX];
    char again[COLO_DM_NAME_MAX];
    size_t most = COLO_DM_NAME_MAX - 1 - 5 + 1;

    memset(target, 'a', sizeof(target));
    memcpy(target, "/d/", 3);
    target[most] = 0;
    ck_assert(colo__dm_path(target, path));
    ck_assert_uint_eq(strlen(path), COLO_DM_PATH_MAX - 1);
    ck_assert(colo__dm_target(path, again));
    ck_assert_str_eq(again, target);
    target[most] = 'a';
    target[most + 1] = 0;
    ck_assert(!colo__dm_path(target, path));
    ck_assert_ptr_nonnull(strstr(path, "=="));
    ck_assert(!colo__dm_target(path, again));
}
END_TEST

START_TEST(test_not_ours)
{
    static const char *const bad[] = {
        "", "/", "/dev/vg/web", "/dev/mapper", "/dev/mapper/",
        "/dev/mapper/colo", "/dev/mapper/colo-", "dev/mapper/colo-a-b",
        "/dev/mapper/Colo-a-b", "/dev/mapper/xcolo-a-b",
        "/dev//mapper/colo-a-b", "aio:/dev/mapper/colo-a-b",
        "/dev/mapper/colo-a-b/c", "/dev/mapper/colo-../../etc/passwd",
        "/dev/mapper/colo-a-b ", "/dev/mapper/colo-a-b\n",
        /* a hash; cut short; not as colo__dm_name writes it */
        "/dev/mapper/colo-a-b==0123456789abcdef", "/dev/mapper/colo-a-b=",
        "/dev/mapper/colo-a-b=2", "/dev/mapper/colo-a-b=2d",
        "/dev/mapper/colo-a-b=GG", "/dev/mapper/colo-a=2Fb-c",
        "/dev/mapper/colo-a-b=41", "/dev/mapper/colo-a-b=00",
        "/dev/mapper/colo-=00-b", "/dev/mapper/colo-a-b=00c-d",
        /* the device of a device */
        "/dev/mapper/colo-dev-mapper-colo=2Da=2Db",
        "/dev/mapper/colo-dev-mapper-colo=2Da=2Db=3D=3D0123456789abcdef",
        /* LVM: group colo; groups colo-a, and colo with the volume a-b */
        "/dev/mapper/colo-web", "/dev/mapper/colo--a-web",
        "/dev/mapper/colo-a--b", "/dev/mapper/colo-a-b-",
    };
    char target[COLO_DM_NAME_MAX], longer[5000];

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        const char *path = (const char *)pure_guarded(bad[i],
                                                      strlen(bad[i]) + 1);

        if (colo__dm_target(path, target))
            ck_abort_msg("taken: %s as %s", bad[i], target);
    }
    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "/dev/mapper/colo-a-", 19);
    longer[sizeof(longer) - 1] = 0;
    ck_assert(!colo__dm_target(longer, target));
}
END_TEST

/* Whatever is taken for a target has that name and no other. */
START_TEST(test_random)
{
    static const char some[] = "aZ0=-./%24DF";
    uint64_t state = 7;
    int taken = 0;

    for (int i = 0; i < 200000; i++) {
        char path[40] = "/dev/mapper/colo-", target[COLO_DM_NAME_MAX];
        char name[COLO_DM_NAME_MAX];
        size_t n = strlen(path), len = n + pure_random(&state) % 12;

        while (n < len)
            path[n++] = some[pure_random(&state) % (sizeof(some) - 1)];
        if (!colo__dm_target(path, target))
            continue;
        taken++;
        ck_assert_int_eq(colo__dm_name(target, name, NULL), 0);
        ck_assert_str_eq(name, path + strlen(COLO_DM_DIR));
    }
    ck_assert_int_gt(taken, 1000);
}
END_TEST

PURE_MAIN("dm-name", test_names, test_long_names, test_targets, test_devices,
          test_longest, test_not_ours, test_random)
