/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * DISKS: names that another host sends and this one opens as root.
 */
#include "pure-common.h"

#include "pure/wire.h"

static struct colo_disk_name two[2] = {
    { "xvda", "/dev/vg/web" }, { "xvdb", "/srv/images/data..raw" },
};

static struct colo_msg built(uint8_t *body, size_t cap)
{
    int n = colo__disks_build(two, 2, body, cap, NULL);

    ck_assert_int_gt(n, 0);
    return (struct colo_msg){ .type = COLO_MSG_DISKS, .value = 2,
                              .len = (uint32_t)n, .body = body };
}

START_TEST(test_round_trip)
{
    struct colo_disk_name got[COLO_WIRE_DISKS];
    uint8_t body[200];
    struct colo_msg msg = built(body, sizeof(body));
    struct colo_error err;

    ck_assert_int_eq(colo__disks_parse(&msg, got, &err), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(got[i].vdev, two[i].vdev);
        ck_assert_str_eq(got[i].target, two[i].target);
    }
    msg.len = 0;
    msg.value = 0;
    ck_assert_int_eq(colo__disks_parse(&msg, got, &err), 0);
}
END_TEST

/* Cut anywhere, one byte too long, one disk more or less. */
START_TEST(test_lengths)
{
    struct colo_disk_name got[COLO_WIRE_DISKS];
    uint8_t body[200] = { 0 };
    struct colo_msg msg = built(body, sizeof(body)), bad;
    struct colo_error err;

    for (uint32_t len = 0; len <= msg.len + 1; len++) {
        bad = msg;
        bad.len = len;
        ck_assert_int_eq(colo__disks_parse(&bad, got, &err),
                         len == msg.len ? 0 : COLO_E_PROTO);
    }
    for (uint64_t count = 0; count < 20; count++) {
        bad = msg;
        bad.value = count;
        ck_assert_int_eq(colo__disks_parse(&bad, got, &err),
                         count == 2 ? 0 : COLO_E_PROTO);
    }
    for (size_t cap = 0; cap < msg.len; cap++)
        ck_assert_int_eq(colo__disks_build(two, 2, body, cap, &err),
                         COLO_E_LIMIT);
    ck_assert_int_eq(colo__disks_build(two, COLO_WIRE_DISKS + 1, body,
                                       sizeof(body), &err), COLO_E_LIMIT);
}
END_TEST

START_TEST(test_bad_names)
{
    static const struct colo_disk_name bad[] = {
        { "", "/x" }, { "XVDA", "/x" }, { "xvd/", "/x" }, { "xvda", "" },
        { "xvda", "x" }, { "xvda", "/" }, { "xvda", "/a/../etc/shadow" },
        { "xvda", "/.." }, { "xvda", "/a/.." }, { "xvda", "/a\nb" },
        { "--help", "/x" }, { "xvda", "--target" },
    };
    struct colo_error err;
    uint8_t body[100];

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        struct colo_disk_name got[COLO_WIRE_DISKS];
        size_t v = strlen(bad[i].vdev), t = strlen(bad[i].target);
        struct colo_msg msg = { .type = COLO_MSG_DISKS, .value = 1,
                                .len = (uint32_t)(3 + v + t), .body = body };

        ck_assert_int_eq(colo__disks_build(&bad[i], 1, body, sizeof(body),
                                           &err), COLO_E_INVAL);
        body[0] = (uint8_t)v;
        colo__put16(body + 1, (uint16_t)t);
        memcpy(body + 3, bad[i].vdev, v);
        memcpy(body + 3 + v, bad[i].target, t);
        ck_assert_msg(colo__disks_parse(&msg, got, &err) == COLO_E_PROTO,
                      "%s %s", bad[i].vdev, bad[i].target);
    }
}
END_TEST

/* A NUL within a name, and a disk that is there twice. */
START_TEST(test_twice_and_nul)
{
    struct colo_disk_name got[COLO_WIRE_DISKS];
    uint8_t body[200];
    struct colo_msg msg = built(body, sizeof(body));
    struct colo_error err;

    body[5] = 0;
    ck_assert_int_eq(colo__disks_parse(&msg, got, &err), COLO_E_PROTO);
    strcpy(two[1].vdev, "xvda");
    msg = built(body, sizeof(body));
    ck_assert_int_eq(colo__disks_parse(&msg, got, &err), COLO_E_PROTO);
    strcpy(two[1].vdev, "xvdb");
    strcpy(two[1].target, two[0].target);
    msg = built(body, sizeof(body));
    ck_assert_int_eq(colo__disks_parse(&msg, got, &err), COLO_E_PROTO);
}
END_TEST

PURE_MAIN("wire-disks", test_round_trip, test_lengths, test_bad_names,
          test_twice_and_nul)
