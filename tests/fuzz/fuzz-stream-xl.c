/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: a byte that says what it is, then what xl says before a stream, what a
 * stock backup sends back, or what a plug-in of ours says to another.
 */
#include "fuzz.h"

#include "../../remus-compat/stream-back.h"
#include "../../remus-compat/xl-header.h"
#include "../../xl-plugin/peer.h"

static void check_header(const uint8_t *data, size_t size)
{
    struct colo_error err;
    uint32_t rest = 77;
    const char *text = NULL;
    int r = colo__xl_header(data, size, &rest, &err);

    if (r < 0)
        fuzz_check_error(&err, r);
    if (r <= 0) {
        MUST(rest == 77);
        return;
    }
    MUST(r == (int)COLO_XL_HEADER && rest >= 4 &&
         rest <= COLO_XL_CONFIG_MAX + 4);
    if (size - COLO_XL_HEADER < rest)
        return;
    r = colo__xl_config(data + COLO_XL_HEADER, rest, &text, &err);
    if (r) {
        fuzz_check_error(&err, r);
        MUST(!text);
        return;
    }
    MUST(strlen(text) < rest - 4);
}

static void check_back(const uint8_t *data, size_t size, size_t step)
{
    struct colo_back_reader reader;
    size_t pos = 0, have = 0;
    struct colo_error err;

    colo__back_reader_init(&reader, 0xfffff);
    for (;;) {
        uint8_t *copy = fuzz_copy(data + pos, have - pos);
        struct colo_back_item item = { 0 };
        int used = colo__back_read(&reader, copy, have - pos, &item, &err);

        if (used > 0)
            MUST((size_t)used <= have - pos);
        for (uint32_t i = 0; used > 0 && item.kind == COLO_BACK_PFNS &&
             i < item.count; i++)
            MUST(colo__le64(item.pfns + 8 * i) <= 0xfffff);
        free(copy);
        if (used < 0) {
            fuzz_check_error(&err, used);
            return;
        }
        pos += (size_t)used;
        if (!used) {
            /* never in need of more than this */
            MUST(have - pos < 16);
            if (have == size)
                return;
            have = have + step < size ? have + step : size;
        }
    }
}

static void check_hello(const uint8_t *data, size_t size)
{
    char name[XL_NAME_MAX] = "before";
    struct colo_error err;
    int rc = xl_peer_parse_hello((const char *)data, size > 1000 ? 1000 :
                                 size, name, &err);

    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(!strcmp(name, "before"));
        return;
    }
    MUST(memchr(name, 0, sizeof(name)) && name[0]);
    for (const char *p = name; *p; p++)
        MUST(*p > ' ' && *p < 0x7f && !strchr("'\"\\$`;&|<>()/", *p));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct colo_error err;
    uint8_t *copy;
    int r;

    if (!size)
        return 0;
    copy = fuzz_copy(data + 1, size - 1);
    if (data[0] % 4 == 0) {
        check_header(copy, size - 1);
    } else if (data[0] % 4 == 1) {
        check_back(copy, size - 1, 1 + data[0]);
    } else if (data[0] % 4 == 3) {
        check_hello(copy, size - 1);
    } else {
        r = colo__xl_banner(copy, size - 1, &err);
        MUST(r == 0 || r == (int)COLO_XL_BANNER_LEN || r == COLO_E_PROTO);
    }
    free(copy);
    return 0;
}
