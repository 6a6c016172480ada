/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The lines that both sides exchange over ssh before there is a link.
 * Pure: no input or output, no memory.
 *
 * A line is "colo-bootstrap VERSION VERB [NAME=VALUE]...\n", at most 1024
 * bytes.  Names that are not known are ignored, so that a later release can
 * add some without a new version.
 *   primary    open session=HEX32 key=HEX64 transport=tls|ssh [streams=N]
 *   secondary  ok port=N address=ADDR      tls: connect there, 2 + N times
 *              ok                          ssh: say attach on 1 + N more
 *   primary    attach session=HEX32 key=HEX64 [link=I]   (those: 1 is bulk,
 *                                          2 the first stream)
 *   secondary  ok
 *   secondary  error TEXT                  to the end of the line
 */
#ifndef COLO_BOOTSTRAP_LINE_H
#define COLO_BOOTSTRAP_LINE_H

#include "link.h"

#define COLO_BOOT_LINE_MAX 1024
#define COLO_BOOT_VERSION 1
#define COLO_BOOT_KEY 32
#define COLO_BOOT_SESSION 16

#define COLO_BOOT_OPEN   1
#define COLO_BOOT_ATTACH 2
#define COLO_BOOT_OK     3
#define COLO_BOOT_ERROR  4

struct colo_boot_line {
    uint32_t version;
    int32_t verb;
    int32_t transport;                  /* open: COLO_TRANSPORT_* */
    uint16_t port;                      /* ok: 0 = none */
    uint32_t streams;                   /* open: links beside the two */
    uint32_t link;                      /* attach: which one; 1 = bulk */
    uint8_t session[COLO_BOOT_SESSION]; /* open, attach */
    uint8_t key[COLO_BOOT_KEY];         /* open, attach: wipe it */
    char address[64];                   /* ok: "" = none */
    char text[256];                     /* error; cut to fit */
};

/* colo__boot_line_is - does it begin like a line of ours?  Login scripts
 * print other things to the same stream. */
bool colo__boot_line_is(const char *buf, size_t len);

/* colo__boot_line_parse - one line without its newline.
 * Returns  0, COLO_E_VERSION (only ->version is set), COLO_E_PROTO. */
int colo__boot_line_parse(const char *buf, size_t len,
                          struct colo_boot_line *ret_line);

/* colo__boot_line_format - with its newline; cap >= COLO_BOOT_LINE_MAX.
 * Returns  its length. */
size_t colo__boot_line_format(const struct colo_boot_line *line, char *buf,
                              size_t cap);

/* colo__boot_ssh_connection - the two addresses in SSH_CONNECTION
 * ("client port server port"), "" when there is none. */
void colo__boot_ssh_connection(const char *value, char *ret_client,
                               char *ret_server, size_t cap);

/* colo__hex_encode - 2 * len digits and a NUL.
 * colo__hex_decode - exactly 2 * len digits at hex. */
void colo__hex_encode(const uint8_t *data, size_t len, char *ret_hex);
bool colo__hex_decode(const char *hex, size_t hex_len, uint8_t *ret_data,
                      size_t len);

#endif
