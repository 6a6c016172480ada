/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The stream between the two proxies of a disk, as bytes; see wire.h.
 * Called by the link and its users; pure, so any thread.
 */
#include <endian.h>
#include <string.h>

#include "hash.h"
#include "meta.h"
#include "wire.h"

#define WHERE "disk stream"

static void put16(uint8_t *p, uint16_t v) { v = htobe16(v); memcpy(p, &v, 2); }
static void put32(uint8_t *p, uint32_t v) { v = htobe32(v); memcpy(p, &v, 4); }
static void put64(uint8_t *p, uint64_t v) { v = htobe64(v); memcpy(p, &v, 8); }

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, 2);
    return be16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return be32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return be64toh(v);
}

/* What each message must look like.  A body of fixed length has min = max. */
enum range { NO_RANGE, BODY_RANGE, VALUE_RANGE, CHUNKS_RANGE, BITS_RANGE };

static const struct {
    const char *name;
    uint32_t min, max;  /* body */
    enum range range;   /* what of the disk it speaks of */
    uint16_t flags;     /* that may be set */
} kinds[] = {
    [COLO_DMSG_HELLO] = { "hello", COLO_DHELLO_LEAST, 512, NO_RANGE, 0 },
    [COLO_DMSG_BITMAP] = { "bitmap", 1, 65536, BITS_RANGE, 0 },
    [COLO_DMSG_BITMAP_END] = { "bitmap-end", 0, 0, NO_RANGE, 0 },
    [COLO_DMSG_WRITE] = { "write", 1, COLO_DWIRE_MAX_BODY, BODY_RANGE,
                          COLO_DFLAG_FUA },
    [COLO_DMSG_ZERO] = { "zero", 0, 0, VALUE_RANGE,
                         COLO_DFLAG_FUA | COLO_DFLAG_TRIM },
    [COLO_DMSG_FLUSH] = { "flush", 0, 0, NO_RANGE, 0 },
    [COLO_DMSG_BARRIER] = { "barrier", 0, 0, NO_RANGE, 0 },
    [COLO_DMSG_HASHES] = { "hashes", 16, 65536, CHUNKS_RANGE, 0 },
    [COLO_DMSG_WANT] = { "want", 1, 512, CHUNKS_RANGE, 0 },
    [COLO_DMSG_SYNC_DONE] = { "sync-done", 16, 16, NO_RANGE, 0 },
    [COLO_DMSG_APPLIED] = { "applied", 0, 0, NO_RANGE, 0 },
    [COLO_DMSG_VERIFY] = { "verify", 16, 65536, CHUNKS_RANGE, 0 },
    [COLO_DMSG_VERIFIED] = { "verified", 1, 512, CHUNKS_RANGE, 0 },
    [COLO_DMSG_ERROR] = { "error", 0, 512, NO_RANGE, 0 },
};

const char *colo__dmsg_name(unsigned type)
{
    if (type >= COLO_ARRAY_LEN(kinds) || !kinds[type].name)
        return "unknown";
    return kinds[type].name;
}

static uint64_t checksum_of(const uint8_t *header, const uint8_t *body,
                            size_t len)
{
    uint64_t seed = XXH3_64bits(header, COLO_DWIRE_HEADER - 8);

    return len ? XXH3_64bits_withSeed(body, len, seed) : seed;
}

void colo__dwire_build(const struct colo_dmsg *msg,
                       uint8_t header[COLO_DWIRE_HEADER])
{
    put32(header, COLO_DWIRE_MAGIC);
    put16(header + 4, msg->type);
    put16(header + 6, msg->flags);
    put32(header + 8, msg->len);
    put32(header + 12, 0);
    put64(header + 16, msg->epoch);
    put64(header + 24, msg->offset);
    put64(header + 32, msg->value);
    put64(header + 40, checksum_of(header, msg->body, msg->len));
}

int64_t colo__dwire_peek(const uint8_t *buf, size_t len,
                         struct colo_error *err)
{
    uint32_t body;

    if (len < COLO_DWIRE_HEADER)
        return 0;
    if (get32(buf) != COLO_DWIRE_MAGIC)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "that is no disk stream of ours");
    body = get32(buf + 8);
    if (body > COLO_DWIRE_MAX_BODY)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "a message of %u bytes", body);
    return COLO_DWIRE_HEADER + (int64_t)body;
}

static bool within(uint64_t offset, uint64_t len, uint64_t size)
{
    return len > 0 && offset < size && len <= size - offset;
}

static uint64_t chunks_of(uint64_t len)
{
    return (len + COLO_DWIRE_CHUNK - 1) / COLO_DWIRE_CHUNK;
}

/* the range of the disk that a message speaks of, against size */
static bool range_ok(const struct colo_dmsg *msg, uint64_t size)
{
    uint64_t n;

    switch (kinds[msg->type].range) {
    case NO_RANGE:
        return true;
    case BODY_RANGE:
        return within(msg->offset, msg->len, size);
    case VALUE_RANGE:
        return within(msg->offset, msg->value, size);
    case BITS_RANGE:
        n = COLO_DWIRE_CHUNK * UINT64_C(8);
        return msg->offset < size && msg->offset % n == 0 &&
            msg->len <= (size - msg->offset + n - 1) / n;
    case CHUNKS_RANGE:
        if (!within(msg->offset, msg->value, size) ||
            msg->offset % COLO_DWIRE_CHUNK)
            return false;
        /* only the disk's last chunk may be short */
        if (msg->value % COLO_DWIRE_CHUNK && msg->offset + msg->value != size)
            return false;
        n = chunks_of(msg->value);
        if (n > COLO_DWIRE_MAX_CHUNKS)
            return false;
        if (msg->type == COLO_DMSG_HASHES || msg->type == COLO_DMSG_VERIFY)
            return msg->len == n * COLO_DWIRE_HASH;
        return msg->len == (n + 7) / 8;
    }
    return false;
}

static int check(const struct colo_dmsg *msg, uint64_t size,
                 struct colo_error *err)
{
    const char *name = colo__dmsg_name(msg->type);

    if (!strcmp(name, "unknown"))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "an unknown message, %u", msg->type);
    if (size == 0 && msg->type != COLO_DMSG_HELLO &&
        msg->type != COLO_DMSG_ERROR)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s before hello",
                          name);
    if (msg->len < kinds[msg->type].min || msg->len > kinds[msg->type].max)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s with %u bytes",
                          name, msg->len);
    if (msg->flags & ~kinds[msg->type].flags)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s with flags %x",
                          name, msg->flags);
    if (!range_ok(msg, size))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s of a range that the disk has not", name);
    return 0;
}

int64_t colo__dwire_parse(const uint8_t *buf, size_t len, uint64_t size,
                          struct colo_dmsg *ret_msg, struct colo_error *err)
{
    struct colo_dmsg msg;
    int64_t total = colo__dwire_peek(buf, len, err);
    int rc;

    if (total <= 0)
        return total;
    if ((size_t)total > len)
        return 0;
    msg.type = get16(buf + 4);
    msg.flags = get16(buf + 6);
    msg.len = get32(buf + 8);
    msg.epoch = get64(buf + 16);
    msg.offset = get64(buf + 24);
    msg.value = get64(buf + 32);
    msg.checksum = get64(buf + 40);
    msg.body = buf + COLO_DWIRE_HEADER;
    if (msg.checksum != checksum_of(buf, msg.body, msg.len))
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "the checksum of a message is wrong");
    if (get32(buf + 12))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "a field that must be zero is not");
    rc = check(&msg, size, err);
    if (rc)
        return rc;
    *ret_msg = msg;
    return total;
}

void colo__dhello_build(const struct colo_dhello *hello, uint8_t *body)
{
    memset(body, 0, COLO_DHELLO_BODY);
    put32(body, COLO_DWIRE_MAJOR);
    put32(body + 4, COLO_DWIRE_CHUNK);
    body[8] = hello->role;
    body[9] = hello->state;
    memcpy(body + 16, hello->generation, 16);
    memcpy(body + 32, hello->parent, 16);
    put32(body + 48, hello->block);
}

int colo__dhello_parse(const struct colo_dmsg *msg,
                       struct colo_dhello *ret_hello, struct colo_error *err)
{
    const uint8_t *body = msg->body;
    struct colo_dhello hello = { .size = msg->value };

    if (msg->type != COLO_DMSG_HELLO)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s instead of hello",
                          colo__dmsg_name(msg->type));
    if (get32(body) != COLO_DWIRE_MAJOR)
        return colo__fail(err, COLO_E_VERSION, 0, WHERE,
                          "the peer speaks version %u, this is %u",
                          get32(body), COLO_DWIRE_MAJOR);
    if (get32(body + 4) != COLO_DWIRE_CHUNK)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "chunks of %u bytes",
                          get32(body + 4));
    hello.role = body[8];
    hello.state = body[9];
    memcpy(hello.generation, body + 16, 16);
    if (msg->len >= COLO_DHELLO_PARENT)
        memcpy(hello.parent, body + 32, 16);
    if (msg->len >= COLO_DHELLO_BODY)
        hello.block = get32(body + 48);
    if (hello.role < 1 || hello.role > 2 || hello.state < 1 ||
        hello.state > COLO_META_LAST || hello.size > COLO_DWIRE_MAX_SIZE)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "a hello that makes no sense");
    *ret_hello = hello;
    return 0;
}

int colo__dhello_match(const struct colo_dhello *ours,
                       const struct colo_dhello *twin, struct colo_error *err)
{
    const struct colo_dhello *primary = ours->role == 1 ? ours : twin;
    const struct colo_dhello *secondary = ours->role == 1 ? twin : ours;

    if (ours->role == twin->role)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "the twin has the same role");
    if (ours->size != twin->size)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "the disk has %llu bytes here and %llu there",
                          (unsigned long long)ours->size,
                          (unsigned long long)twin->size);
    if (primary->block && secondary->block > primary->block)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "the secondary's disk has blocks of %u bytes, in "
                          "which a guest of the primary's, of %u, could not "
                          "write: use one of at most %u",
                          secondary->block, primary->block, primary->block);
    return 0;
}
