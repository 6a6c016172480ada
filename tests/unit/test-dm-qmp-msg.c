/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Lines of QMP, good and hostile; the state image's bytes.
 */
#include <stdio.h>

#include "pure-common.h"

#include "dm/qmp-msg.h"
#include "dm/state-image.h"

static struct colo_error err;
static struct colo_qmp_msg msg;

static int parse(const char *line)
{
    return colo__qmp_parse((char *)pure_guarded(line, strlen(line)),
                           strlen(line), &msg, &err);
}

START_TEST(test_kinds)
{
    uint64_t n = 7;

    ck_assert_int_eq(parse("{\"QMP\": {}}\r"), 0);
    ck_assert_int_eq(msg.kind, COLO_QMP_GREETING);
    ck_assert(!msg.has_id);
    colo__qmp_msg_fini(&msg);
    ck_assert_int_eq(parse("{\"id\": 3, \"return\": {\"a\": 5, \"b\": -1}}"),
                     0);
    ck_assert_int_eq(msg.kind, COLO_QMP_RETURN);
    ck_assert(msg.has_id && msg.id == 3);
    ck_assert(colo__qmp_number(msg.body, "a", &n) && n == 5);
    ck_assert(!colo__qmp_number(msg.body, "b", &n) && n == 5);
    ck_assert_ptr_null(colo__qmp_text(msg.body, "a"));
    ck_assert_ptr_null(colo__qmp_text(msg.body, "c"));
    colo__qmp_msg_fini(&msg);
    ck_assert_int_eq(parse("{\"error\": {\"desc\": \"no \\\"x\\\"\"}}"), 0);
    ck_assert_int_eq(msg.kind, COLO_QMP_ERROR);
    ck_assert_str_eq(msg.text, "no \"x\"");
    colo__qmp_msg_fini(&msg);
    ck_assert_int_eq(parse("{\"event\": \"STOP\", \"data\": {}}"), 0);
    ck_assert_int_eq(msg.kind, COLO_QMP_EVENT);
    ck_assert_str_eq(msg.text, "STOP");
    colo__qmp_msg_fini(&msg);
}
END_TEST

START_TEST(test_hostile)
{
    static const char *const lines[] = {
        "", "{", "[]", "null", "7", "{}", "{\"return\": }", "{\"error\": {}}",
        "{\"error\": \"x\"}", "{\"event\": 3}", "{\"QMP\": 1}",
        "{\"return\": 1} {\"return\": 2}", "\xff\xfe",
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(lines); i++) {
        ck_assert_msg(parse(lines[i]) == COLO_E_PROTO, "%s", lines[i]);
        ck_assert_ptr_null(msg.tree);
    }
    ck_assert_int_eq(colo__qmp_parse("{}\0{}", 5, &msg, &err), COLO_E_PROTO);
}
END_TEST

/* brackets that close, so that only the depth is wrong */
START_TEST(test_depth)
{
    const size_t deep = COLO_QMP_LINE_MAX / 2 - 20;
    char *line = malloc(COLO_QMP_LINE_MAX + 1);
    int n;

    ck_assert_ptr_nonnull(line);
    n = sprintf(line, "{\"return\": ");
    memset(line + n, '[', deep);
    memset(line + n + deep, ']', deep);
    line[(size_t)n + 2 * deep] = '}';
    ck_assert_int_eq(colo__qmp_parse(line, (size_t)n + 2 * deep + 1, &msg,
                                     &err), COLO_E_PROTO);
    ck_text(err, "deep");
    /* in a string they are only text */
    n = sprintf(line, "{\"return\": \"\\\"");
    memset(line + n, '[', 500);
    strcpy(line + n + 500, "\"}");
    ck_assert_int_eq(parse(line), 0);
    colo__qmp_msg_fini(&msg);
    ck_assert_int_eq(colo__qmp_parse(line, COLO_QMP_LINE_MAX + 1, &msg, &err),
                     COLO_E_PROTO);
    ck_text(err, "long");
    free(line);
}
END_TEST

START_TEST(test_area)
{
    ck_assert_uint_ge(colo__state_image_area(0), 65536);
    for (uint32_t len = 1; len < COLO_STATE_IMAGE_AREA_MAX - 5;
         len += 777777) {
        uint32_t area = colo__state_image_area(len);

        ck_assert_uint_ge(area, len + 5);
        ck_assert_uint_le(area, COLO_STATE_IMAGE_AREA_MAX);
        ck_assert_uint_eq(area % 65536, 0);
    }
    ck_assert_uint_gt(colo__state_image_area(COLO_STATE_IMAGE_AREA_MAX - 5),
                      0);
    ck_assert_uint_eq(colo__state_image_area(COLO_STATE_IMAGE_AREA_MAX - 4),
                      0);
    ck_assert_uint_eq(colo__state_image_area(UINT32_MAX), 0);
}
END_TEST

START_TEST(test_fill)
{
    const uint32_t area = colo__state_image_area(1);
    size_t size = colo__state_image_size(area);
    uint8_t *image = calloc(1, size), *state = calloc(1, area);

    ck_assert(image && state);
    memset(state, 0x5a, area);
    colo__state_image_build(image, area);
    ck_assert_mem_eq(image, "QFI\xfb\0\0\0\3", 8);
    ck_assert(!colo__state_image_fill(image, area, state, area));
    ck_assert(!colo__state_image_fill(image, area, state, area - 4));
    ck_assert_uint_eq(image[size - 1], 0);
    ck_assert(colo__state_image_fill(image, area, state, area - 5));
    ck_assert_mem_eq(image + size - 6, "\x5a\x06\0\0\0\0", 6);
    free(image);
    free(state);
}
END_TEST

PURE_MAIN("dm-qmp-msg", test_kinds, test_hostile, test_depth, test_area,
          test_fill)
