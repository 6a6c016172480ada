/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The framing of messages: header, checksum, names of types.  Called by
 * whoever sends to or reads from a peer, on any thread; what a peer sends
 * is checked here before anything else looks at it.  The bodies are in
 * wire-body.c.  Source: libcolo-wire(7).
 */
#include <string.h>

/* Inlined, because only then may the state of a running hash be ours: a
 * shared libxxhash hides its size, and would want an allocation. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "wire.h"

#define WHERE "wire"

/* offsets in the header */
#define OFF_MAGIC 0
#define OFF_TYPE 4
#define OFF_ZERO16 6
#define OFF_LEN 8
#define OFF_ZERO32 12
#define OFF_EPOCH 16
#define OFF_VALUE 24
#define OFF_CHECKSUM 32

/* ---- big-endian access ------------------------------------------------- */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define TO_BE16(v) __builtin_bswap16(v)
#define TO_BE32(v) __builtin_bswap32(v)
#define TO_BE64(v) __builtin_bswap64(v)
#else
#define TO_BE16(v) (v)
#define TO_BE32(v) (v)
#define TO_BE64(v) (v)
#endif

void colo__put16(uint8_t *p, uint16_t v)
{
    v = TO_BE16(v);
    memcpy(p, &v, sizeof(v));
}

void colo__put32(uint8_t *p, uint32_t v)
{
    v = TO_BE32(v);
    memcpy(p, &v, sizeof(v));
}

void colo__put64(uint8_t *p, uint64_t v)
{
    v = TO_BE64(v);
    memcpy(p, &v, sizeof(v));
}

uint16_t colo__get16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return TO_BE16(v);
}

uint32_t colo__get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return TO_BE32(v);
}

uint64_t colo__get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return TO_BE64(v);
}

/* ---- types ------------------------------------------------------------- */

static const char *const names[] = {
    [COLO_MSG_HELLO] = "HELLO",
    [COLO_MSG_CHECKPOINT_READY] = "CHECKPOINT_READY",
    [COLO_MSG_CHECKPOINT_REQUEST] = "CHECKPOINT_REQUEST",
    [COLO_MSG_CHECKPOINT_REPLY] = "CHECKPOINT_REPLY",
    [COLO_MSG_VMSTATE_SEND] = "VMSTATE_SEND",
    [COLO_MSG_VMSTATE_SIZE] = "VMSTATE_SIZE",
    [COLO_MSG_VMSTATE_RECEIVED] = "VMSTATE_RECEIVED",
    [COLO_MSG_VMSTATE_LOADED] = "VMSTATE_LOADED",
    [COLO_MSG_HEARTBEAT] = "HEARTBEAT",
    [COLO_MSG_ERROR] = "ERROR",
    [COLO_MSG_STOP] = "STOP",
    [COLO_MSG_GUEST_END] = "GUEST_END",
    [COLO_MSG_SEEDED] = "SEEDED",
    [COLO_MSG_DISKS] = "DISKS",
    [COLO_MSG_ADDRESSES] = "ADDRESSES",
    [COLO_MSG_DIVERGED] = "DIVERGED",
    [COLO_MSG_NETS] = "NETS",
    [COLO_MSG_ATTACH] = "ATTACH",
    [COLO_MSG_SEED_DATA] = "SEED_DATA",
    [COLO_MSG_SEED_END] = "SEED_END",
    [COLO_MSG_EPOCH_BEGIN] = "EPOCH_BEGIN",
    [COLO_MSG_PAGES] = "PAGES",
    [COLO_MSG_GONE] = "GONE",
    [COLO_MSG_STATE] = "STATE",
    [COLO_MSG_AUDIT] = "AUDIT",
    [COLO_MSG_EPOCH_END] = "EPOCH_END",
    [COLO_MSG_DIRTY] = "DIRTY",
    [COLO_MSG_DIRTY_END] = "DIRTY_END",
    [COLO_MSG_DIRTY_ALL] = "DIRTY_ALL",
};

static bool known(uint32_t type)
{
    return type < COLO_ARRAY_LEN(names) && names[type];
}

const char *colo__msg_name(uint32_t type)
{
    return known(type) ? names[type] : "unknown";
}

/* ---- framing ----------------------------------------------------------- */

/* over the header up to the checksum, and the body */
static uint64_t checksum_of(const uint8_t *header, const uint8_t *body,
                            uint32_t len)
{
    XXH3_state_t state;

    if (!len)
        return XXH3_64bits(header, OFF_CHECKSUM);
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, header, OFF_CHECKSUM);
    XXH3_64bits_update(&state, body, len);
    return XXH3_64bits_digest(&state);
}

int colo__wire_build(struct colo_msg *msg, uint8_t *out,
                     struct colo_error *err)
{
    if (!known(msg->type))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "there is no message type %u", msg->type);
    if (msg->len > COLO_WIRE_MAX_BULK)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "a %s body of %u bytes is too long (at most %u)",
                          names[msg->type], msg->len, COLO_WIRE_MAX_BULK);

    colo__put32(out + OFF_MAGIC, COLO_WIRE_MAGIC);
    colo__put16(out + OFF_TYPE, (uint16_t)msg->type);
    colo__put16(out + OFF_ZERO16, 0);
    colo__put32(out + OFF_LEN, msg->len);
    colo__put32(out + OFF_ZERO32, 0);
    colo__put64(out + OFF_EPOCH, msg->epoch);
    colo__put64(out + OFF_VALUE, msg->value);
    msg->checksum = checksum_of(out, msg->body, msg->len);
    colo__put64(out + OFF_CHECKSUM, msg->checksum);
    return 0;
}

int64_t colo__wire_peek(const uint8_t *buf, size_t len, uint32_t max_body,
                        struct colo_error *err)
{
    uint32_t type, body;

    /* A stranger is told by his first four bytes; do not wait for more. */
    if (len >= OFF_TYPE && colo__get32(buf + OFF_MAGIC) != COLO_WIRE_MAGIC)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "not a libcolo message: magic 0x%08x",
                          colo__get32(buf + OFF_MAGIC));
    if (len < COLO_WIRE_HEADER)
        return 0;

    type = colo__get16(buf + OFF_TYPE);
    if (!known(type))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "unknown message type %u", type);
    if (colo__get16(buf + OFF_ZERO16) || colo__get32(buf + OFF_ZERO32))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s with reserved bits set", names[type]);
    body = colo__get32(buf + OFF_LEN);
    if (body > max_body)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s with a body of %u bytes (at most %u here)",
                          names[type], body, max_body);
    return (int64_t)COLO_WIRE_HEADER + body;
}

int64_t colo__wire_parse(const uint8_t *buf, size_t len, uint32_t max_body,
                         struct colo_msg *ret_msg, struct colo_error *err)
{
    struct colo_msg msg;
    int64_t total = colo__wire_peek(buf, len, max_body, err);

    if (total <= 0)
        return total;
    if (len < (size_t)total)
        return 0;

    msg.type = colo__get16(buf + OFF_TYPE);
    msg.len = colo__get32(buf + OFF_LEN);
    msg.epoch = colo__get64(buf + OFF_EPOCH);
    msg.value = colo__get64(buf + OFF_VALUE);
    msg.checksum = colo__get64(buf + OFF_CHECKSUM);
    msg.body = buf + COLO_WIRE_HEADER;
    if (checksum_of(buf, msg.body, msg.len) != msg.checksum)
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "the checksum of %s (epoch %llu) does not match",
                          names[msg.type], (unsigned long long)msg.epoch);
    *ret_msg = msg;
    return total;
}
