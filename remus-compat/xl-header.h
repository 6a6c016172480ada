/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What xl says before libxl's stream: "xl migrate-receive" greets with a
 * banner on its stdout, and the sender answers with a header and the guest's
 * configuration.  In Remus and COLO that is all that xl itself says.  Pure.
 *
 * Source: Xen 4.17.7, tools/xl/xl.h, xl_migrate.c, xl_saverestore.c,
 * xl_vmcontrol.c; the same in 4.22.  All numbers in the order of the host,
 * which is little endian on x86.
 */
#ifndef COLO_XL_HEADER_H
#define COLO_XL_HEADER_H

#include "internal.h"

/* without a 0 at its end */
#define COLO_XL_BANNER "xl migration receiver ready, send binary domain data.\n"
#define COLO_XL_BANNER_LEN (sizeof(COLO_XL_BANNER) - 1)

#define COLO_XL_HEADER 48u          /* bytes */
#define COLO_XL_CONFIG_MAX (1u << 20) /* of the configuration, with its 0 */

/* colo__xl_banner - is this the banner?
 * Returns  its length, 0 more are needed, COLO_E_PROTO: it is not. */
int colo__xl_banner(const uint8_t *buf, size_t len, struct colo_error *err);

/* colo__xl_put_header - the header and what is before the configuration,
 * COLO_XL_HEADER + 4 bytes; then the sender sends config_len bytes: JSON as
 * libxl_domain_config_to_json() gives it, with its 0.
 * Errors   COLO_E_LIMIT the configuration is empty or too long */
int colo__xl_put_header(uint8_t buf[COLO_XL_HEADER + 4], uint32_t config_len,
                        struct colo_error *err);

/* colo__xl_header - the header of a sender.
 * *ret_rest  bytes of optional data behind it, 4..COLO_XL_CONFIG_MAX + 4
 * Returns  COLO_XL_HEADER, 0 more are needed, < 0 it is refused:
 *          COLO_E_PROTO not xl's; COLO_E_UNSUPPORTED another byte order, no
 *          configuration in JSON, an older stream, a flag that this build does
 *          not know; COLO_E_LIMIT too much optional data */
int colo__xl_header(const uint8_t *buf, size_t len, uint32_t *ret_rest,
                    struct colo_error *err);

/* colo__xl_config - the configuration in the optional data: a string of
 * printable characters, tabs and new lines, in the bytes given.
 * Errors   COLO_E_PROTO its length is wrong, it does not end or is no text */
int colo__xl_config(const uint8_t *rest, uint32_t len, const char **ret,
                    struct colo_error *err);

#endif
