/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The stream between the two proxies of a disk, as bytes.  Pure: no I/O, no
 * allocation, bounds checked first.  Everything is in network byte order.
 *
 * A message is a header of COLO_DWIRE_HEADER bytes and a body.  What is
 * between two BARRIERs, in stream order, belongs to the later one's epoch.
 * Which message may come in which state is the engine's business.
 */
#ifndef COLO_DISK_WIRE_H
#define COLO_DISK_WIRE_H

#include "../libcolo/internal.h"

#define COLO_DWIRE_MAGIC UINT32_C(0x434f4c44) /* "COLD" */
#define COLO_DWIRE_MAJOR 1 /* another major does not talk to us */

/* header, in this order: u32 magic, u16 type, u16 flags, u32 body bytes,
 * u32 zero, u64 epoch, u64 offset, u64 value, u64 checksum = XXH3-64 of the
 * body, seeded with XXH3-64 of the 40 bytes before it */
#define COLO_DWIRE_HEADER 48
#define COLO_DWIRE_MAX_BODY (256u * 1024u)
#define COLO_DWIRE_CHUNK 65536u          /* what is hashed at a time */
#define COLO_DWIRE_HASH 16               /* bytes of a hash */
#define COLO_DWIRE_MAX_CHUNKS 4096u      /* in one HASHES or WANT */
#define COLO_DWIRE_MAX_SIZE (UINT64_C(1) << 56) /* of a disk */

/* offset and value are bytes of the disk unless said otherwise; epoch is
 * that of the last BARRIER.  "P>S" says who sends it. */
#define COLO_DMSG_HELLO      1 /* both, first; value: size of the disk */
#define COLO_DMSG_BITMAP     2 /* S>P: where the secondary may differ; body:
                                  bits, offset: bytes of the first */
#define COLO_DMSG_BITMAP_END 3 /* S>P */
#define COLO_DMSG_WRITE      4 /* P>S: body: data */
#define COLO_DMSG_ZERO       5 /* P>S: value bytes become zero */
#define COLO_DMSG_FLUSH      6 /* P>S: the guest waits for what is before */
#define COLO_DMSG_BARRIER    7 /* P>S: value: the epoch that ends here */
#define COLO_DMSG_HASHES     8 /* P>S: body: a hash for each chunk in
                                  [offset, offset + value) */
#define COLO_DMSG_WANT       9 /* S>P: answers HASHES; body: bit i: chunk i
                                  after offset differs */
#define COLO_DMSG_SYNC_DONE 10 /* P>S: equal here, body: generation; S>P: the
                                  copy is durable and named so */
#define COLO_DMSG_APPLIED   11 /* S>P: value: epochs up to this are durable */
#define COLO_DMSG_VERIFY    12 /* P>S: as HASHES, to be compared only */
#define COLO_DMSG_VERIFIED  13 /* S>P: answers VERIFY; body as in WANT */
#define COLO_DMSG_ERROR     14 /* both: body: text; nothing follows */

#define COLO_DFLAG_FUA   1u /* WRITE, ZERO: a FLUSH belongs to it */
#define COLO_DFLAG_TRIM  2u /* ZERO: the space is not needed */

struct colo_dmsg {
    uint16_t type, flags;
    uint32_t len; /* of body */
    uint64_t epoch, offset, value;
    uint64_t checksum; /* filled by parse and build */
    const uint8_t *body;
};

/* body of HELLO: u32 major, u32 chunk, u8 role, u8 state, u16 zero, u32 zero,
 * 16 bytes generation, 16 bytes parent (all zero: none), u32 logical block.
 * The block, and the parent too, may be missing, and what comes after it is for
 * versions to come. */
#define COLO_DHELLO_BODY 52
#define COLO_DHELLO_PARENT 48 /* up to the parent's end */
#define COLO_DHELLO_LEAST 32
struct colo_dhello {
    uint64_t size; /* in the header's value */
    uint8_t role;  /* 1 primary, 2 secondary */
    uint8_t state; /* COLO_META_* */
    uint8_t generation[16];
    uint8_t parent[16]; /* colo__meta_parent() */
    uint32_t block; /* colo__backing_sector(), 0: not known */
};

const char *colo__dmsg_name(unsigned type); /* "unknown" if it is none */

/* colo__dwire_build - the header of *msg, checksum included; body is read.
 * msg->body may be NULL if len is 0. */
void colo__dwire_build(const struct colo_dmsg *msg,
                       uint8_t header[COLO_DWIRE_HEADER]);

/* colo__dwire_peek - how long the message at buf is, header included.
 * Returns  bytes, 0 = more needed, COLO_E_PROTO (not ours, too long). */
int64_t colo__dwire_peek(const uint8_t *buf, size_t len,
                         struct colo_error *err);

/* colo__dwire_parse - the message at buf; its body stays there.
 * Shape    size: of the disk; 0 before HELLO, then only HELLO and ERROR pass.
 * Returns  bytes used, 0 = more needed, COLO_E_PROTO, COLO_E_CORRUPT; *ret_msg
 *          is touched only when bytes were used. */
int64_t colo__dwire_parse(const uint8_t *buf, size_t len, uint64_t size,
                          struct colo_dmsg *ret_msg, struct colo_error *err);

void colo__dhello_build(const struct colo_dhello *hello, uint8_t *body);

/* Returns  0, COLO_E_PROTO, COLO_E_VERSION */
int colo__dhello_parse(const struct colo_dmsg *msg,
                       struct colo_dhello *ret_hello, struct colo_error *err);

/* colo__dhello_match - can these two disks be twins?
 * Returns  0, COLO_E_PROTO of the same role, COLO_E_INVAL not of one size, or
 *          a guest of the primary's could not use the secondary's */
int colo__dhello_match(const struct colo_dhello *ours,
                       const struct colo_dhello *twin, struct colo_error *err);

#endif
