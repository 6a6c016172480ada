/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The stream between the two processes of a network card, as bytes.  Pure:
 * no I/O, no allocation, bounds checked first; network byte order.
 *
 * A message is a header of COLO_TWIN_HEADER bytes and a body:
 *   u32 magic, u16 type, u16 zero, u32 body bytes, u32 zero, u64 value
 * The first message in either direction is HELLO.  Order matters: a FLOW
 * goes ahead of input that depends on it.
 */
#ifndef COLO_TWIN_H
#define COLO_TWIN_H

#include "flow-note.h"

#define COLO_TWIN_MAGIC UINT32_C(0x434f4c4e) /* "COLN" */
#define COLO_TWIN_VERSION 1
#define COLO_TWIN_HEADER 24
#define COLO_TWIN_MAX_FRAME (12u + 18u + 65536u + 64u)
#define COLO_TWIN_MAX_BODY COLO_TWIN_MAX_FRAME
#define COLO_TWIN_HELLO_BYTES 16
#define COLO_TWIN_FLOW_BYTES 80

enum colo_twin_type {
    COLO_TWIN_HELLO = 1,  /* both; value: epoch at the start */
    COLO_TWIN_INPUT = 2,  /* P>S value 0; body: vnet header and frame */
    COLO_TWIN_OUTPUT = 3, /* S>P value: epoch stamp; body: the same */
    COLO_TWIN_FLOW = 4,   /* P>S value: number, from 1; body: epoch, note */
    COLO_TWIN_TOLD = 5,   /* S>P value: number of the last FLOW taken in */
    COLO_TWIN_BYE = 6,    /* both: a clean end, not a loss */
};

struct colo_twin_msg {
    uint16_t type;
    uint32_t len; /* of the body */
    uint64_t value;
};

struct colo_twin_hello {
    uint16_t version;
    uint8_t role;        /* COLO_ROLE_* of colo.h */
    uint8_t vnet_bytes;  /* what is ahead of frames; must be equal */
    uint32_t card;       /* N of vifD.N */
};

/* colo__twin_build - the header for *msg into buf. */
void colo__twin_build(const struct colo_twin_msg *msg, uint8_t *buf);

/* colo__twin_parse - COLO_TWIN_HEADER bytes; type known and length one that
 * such a message can have, or COLO_E_PROTO. */
int colo__twin_parse(const uint8_t *buf, struct colo_twin_msg *ret_msg,
                     struct colo_error *err);

void colo__twin_put_hello(const struct colo_twin_hello *hello, uint8_t *buf);
/* COLO_E_PROTO, COLO_E_VERSION */
int colo__twin_get_hello(const uint8_t *buf, size_t len,
                         struct colo_twin_hello *ret_hello,
                         struct colo_error *err);

void colo__twin_put_flow(uint64_t epoch, const struct colo_flow_note *note,
                         uint8_t *buf);
/* COLO_E_PROTO: a length, family, protocol or flag that cannot be */
int colo__twin_get_flow(const uint8_t *buf, size_t len, uint64_t *ret_epoch,
                        struct colo_flow_note *ret_note,
                        struct colo_error *err);

#endif
