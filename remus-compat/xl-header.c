/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See xl-header.h.
 */
#include <string.h>

#include "stream.h"
#include "xl-header.h"

#define XL_BYTE_ORDER 0x01020304u
#define XL_MANDATORY_JSON 1u
#define XL_MANDATORY_STREAM 2u /* libxl's stream version 2 follows */

/* struct save_file_header: magic, then four u32 */
#define MAGIC_LEN 32 /* the 0 of a string does not belong to it */
#define AT_BYTE_ORDER 32
#define AT_MANDATORY 36
#define AT_OPTIONAL 40
#define AT_LENGTH 44

static const char magic[] = "Xen saved domain, xl format\n \0 \r";

int colo__xl_banner(const uint8_t *buf, size_t len, struct colo_error *err)
{
    size_t n = len < COLO_XL_BANNER_LEN ? len : COLO_XL_BANNER_LEN;

    if (memcmp(buf, COLO_XL_BANNER, n))
        return colo__fail(err, COLO_E_PROTO, 0, "xl",
                          "this is not xl migrate-receive");
    return n == COLO_XL_BANNER_LEN ? (int)n : 0;
}

int colo__xl_put_header(uint8_t buf[COLO_XL_HEADER + 4], uint32_t config_len,
                        struct colo_error *err)
{
    if (!config_len || config_len > COLO_XL_CONFIG_MAX)
        return colo__fail(err, COLO_E_LIMIT, 0, "xl",
                          "a configuration of %u bytes, xl takes 1 to %u",
                          config_len, COLO_XL_CONFIG_MAX);
    memcpy(buf, magic, MAGIC_LEN);
    colo__put_le(buf + AT_BYTE_ORDER, XL_BYTE_ORDER, 4);
    colo__put_le(buf + AT_MANDATORY, XL_MANDATORY_JSON | XL_MANDATORY_STREAM,
                 4);
    colo__put_le(buf + AT_OPTIONAL, 0, 4);
    colo__put_le(buf + AT_LENGTH, 4 + (uint64_t)config_len, 4);
    colo__put_le(buf + COLO_XL_HEADER, config_len, 4);
    return 0;
}

static int check_flags(uint32_t flags, struct colo_error *err)
{
    const uint32_t needed = XL_MANDATORY_JSON | XL_MANDATORY_STREAM;

    if (flags & ~needed)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "xl",
                          "xl at the peer demands %#x, unknown to this build",
                          flags & ~needed);
    if (flags != needed)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "xl",
                          "xl at the peer sends %s", flags & XL_MANDATORY_JSON ?
                          "a stream of Xen before 4.6" :
                          "no configuration in JSON");
    return 0;
}

/* Flags of optional things may be left out of account. */
int colo__xl_header(const uint8_t *buf, size_t len, uint32_t *ret_rest,
                    struct colo_error *err)
{
    size_t n = len < MAGIC_LEN ? len : MAGIC_LEN;
    uint32_t rest;
    int rc;

    if (memcmp(buf, magic, n))
        return colo__fail(err, COLO_E_PROTO, 0, "xl",
                          "this is not what xl sends");
    if (len < COLO_XL_HEADER)
        return 0;
    if (colo__le32(buf + AT_BYTE_ORDER) != XL_BYTE_ORDER)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "xl",
                          "the peer has another byte order");
    rc = check_flags(colo__le32(buf + AT_MANDATORY), err);
    if (rc)
        return rc;
    rest = colo__le32(buf + AT_LENGTH);
    if (rest < 4)
        return colo__fail(err, COLO_E_PROTO, 0, "xl",
                          "xl at the peer sends no configuration");
    if (rest > 4 + COLO_XL_CONFIG_MAX)
        return colo__fail(err, COLO_E_LIMIT, 0, "xl",
                          "xl at the peer sends a configuration of %u bytes, "
                          "this build takes %u", rest - 4, COLO_XL_CONFIG_MAX);
    *ret_rest = rest;
    return (int)COLO_XL_HEADER;
}

/* What is behind the configuration is for a newer xl. */
int colo__xl_config(const uint8_t *rest, uint32_t len, const char **ret,
                    struct colo_error *err)
{
    uint32_t config_len;

    if (len < 4)
        return colo__fail(err, COLO_E_PROTO, 0, "xl",
                          "xl at the peer sends no configuration");
    config_len = colo__le32(rest);
    if (!config_len || config_len > len - 4 || rest[4 + config_len - 1])
        return colo__fail(err, COLO_E_PROTO, 0, "xl",
                          "the configuration from the peer has a wrong "
                          "length");
    for (uint32_t i = 0; i < config_len - 1; i++) {
        uint8_t c = rest[4 + i];

        if (c == 0x7f || (c < 0x20 && c != '\n' && c != '\t'))
            return colo__fail(err, COLO_E_PROTO, 0, "xl",
                              "the configuration from the peer has the byte "
                              "%#x", c);
    }
    *ret = (const char *)rest + 4;
    return 0;
}
