/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The messages between two sessions, as bytes: framing, checksums, and the
 * bodies.  Pure: no I/O, no allocation, bounds checked first.  Everything on
 * the wire is in network byte order.  Source: libcolo-wire(7).
 *
 * A message is a header of COLO_WIRE_HEADER bytes and a body of len bytes.
 * Control and bulk links use the same framing; which message may arrive on
 * which link, to which role and in which state is the caller's business.
 */
#ifndef COLO_PURE_WIRE_H
#define COLO_PURE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "../internal.h"

#define COLO_WIRE_MAGIC UINT32_C(0x434f4c4f) /* "COLO" */
#define COLO_WIRE_MAJOR 1 /* another major does not talk to us */
#define COLO_WIRE_MINOR 1 /* 1: mode colo (COLO_FEATURE_COLO) */

/* header, in this order: u32 magic, u16 type, u16 zero, u32 len, u32 zero,
 * u64 epoch, u64 value, u64 checksum.  checksum = XXH3-64 of the 32 header
 * bytes before it and the body. */
#define COLO_WIRE_HEADER 40
#define COLO_WIRE_MAX_CONTROL 4096u         /* body, control link */
#define COLO_WIRE_MAX_BULK (1024u * 1024u)  /* body, bulk link */

/* Control link; names as in the seed. "P>S" says who sends it. */
#define COLO_MSG_HELLO              1  /* both: body hello */
#define COLO_MSG_CHECKPOINT_READY   2  /* S>P: the replica holds an epoch;
                                          epoch = which (0: the seed) */
#define COLO_MSG_CHECKPOINT_REQUEST 3  /* P>S: epoch begins */
#define COLO_MSG_CHECKPOINT_REPLY   4  /* S>P: send it */
#define COLO_MSG_VMSTATE_SEND       5  /* P>S: the guest is captured */
#define COLO_MSG_VMSTATE_SIZE       6  /* P>S: value = bytes of context and
                                          device state in this epoch */
#define COLO_MSG_VMSTATE_RECEIVED   7  /* S>P: value 0: whole and verified:
                                          the commit point; 1: a difference
                                          did not fit: send this epoch again
                                          without differences */
#define COLO_MSG_VMSTATE_LOADED     8  /* S>P: applied; body: audit result */
#define COLO_MSG_HEARTBEAT          9  /* both: value = sender's clock, us */
#define COLO_MSG_ERROR             10  /* both: value = code (negative, as
                                          two's complement), body: text */
#define COLO_MSG_STOP              11  /* value 0: P>S end cleanly, destroy
                                          the replica; S>P the answer.
                                          value 1: S>P I take over, end your
                                          guest; P>S it has ended */
#define COLO_MSG_GUEST_END         12  /* P>S: value = shutdown reason */
#define COLO_MSG_SEEDED            13  /* P>S: the whole seed was sent */
#define COLO_MSG_DISKS             14  /* P>S: value = count; body below; the
                                          n-th has the n-th stream */
#define COLO_MSG_ADDRESSES         15  /* P>S: body: what the guest's network
                                          addresses are, see net-proxy/learn */
#define COLO_MSG_DIVERGED          16  /* S>P, COLO: the replica goes another
                                          way: a checkpoint is wanted */
#define COLO_MSG_NETS              17  /* P>S, COLO: value = count; body below;
                                          the n-th has the n-th stream after
                                          those of the disks */

/* Bulk link, P>S, in this order: ATTACH, SEED_DATA*, SEED_END, then per
 * epoch EPOCH_BEGIN, (PAGES | GONE)*, STATE*, AUDIT*, EPOCH_END.  COLO: before
 * each epoch S>P DIRTY*, DIRTY_END, and after a DIRTY_ALL once more. */
#define COLO_MSG_ATTACH            32  /* body: 16-byte session id */
#define COLO_MSG_SEED_DATA         33  /* body: bytes of the seed stream;
                                          value 0: as they are, else LZ4 of
                                          so many, at most SEED_CHUNK */
#define COLO_MSG_SEED_END          34  /* value: total bytes of the seed */
#define COLO_MSG_EPOCH_BEGIN       35  /* value: nr_gfns of the guest */
#define COLO_MSG_PAGES             36  /* value: count; body below */
#define COLO_MSG_GONE              37  /* value: count; body u64 gfns */
#define COLO_MSG_STATE             38  /* value: bytes of the state in this
                                          epoch; body: the next of them */
#define COLO_MSG_AUDIT             39  /* value: count; body below */
#define COLO_MSG_EPOCH_END         40  /* value: messages in this epoch,
                                          BEGIN and END not counted; body:
                                          u64 XXH3-64 over the checksums of
                                          these messages and BEGIN, in order,
                                          each as 8 big-endian bytes */
#define COLO_MSG_DIRTY             41  /* S>P, value: count; body: frames that
                                          the replica has written, below */
#define COLO_MSG_DIRTY_END         42  /* S>P, value: entries in all; body: u64
                                          nr_gfns of the replica, u64 XXH3-64
                                          over the checksums of these DIRTY, as
                                          in EPOCH_END */
#define COLO_MSG_DIRTY_ALL         43  /* P>S: say every frame, not only what
                                          was written */

struct colo_msg {
    uint32_t type;
    uint32_t len;         /* of body */
    uint64_t epoch;
    uint64_t value;
    uint64_t checksum;    /* filled by parse and by build */
    const uint8_t *body;
};

/* colo__wire_build - write the header for msg (body and len set) to out,
 * which has COLO_WIRE_HEADER bytes; fills msg->checksum.
 * Returns  0, COLO_E_INVAL for a len over COLO_WIRE_MAX_BULK. */
int colo__wire_build(struct colo_msg *msg, uint8_t *out,
                     struct colo_error *err);

/* colo__wire_peek - check the header alone, so that a reader knows how much
 * to read.
 * Shape    max_body: COLO_WIRE_MAX_CONTROL or _BULK.
 * Returns  the whole message's bytes (header + body), 0 = more needed, < 0:
 *          COLO_E_PROTO bad magic, unknown type, reserved bits, too long. */
int64_t colo__wire_peek(const uint8_t *buf, size_t len, uint32_t max_body,
                        struct colo_error *err);

/* colo__wire_parse - one whole message; *ret_msg borrows buf.
 * Returns  bytes used, 0 = more needed, < 0: as peek, or COLO_E_CORRUPT when
 *          the checksum does not match. */
int64_t colo__wire_parse(const uint8_t *buf, size_t len, uint32_t max_body,
                         struct colo_msg *ret_msg, struct colo_error *err);

const char *colo__msg_name(uint32_t type); /* "VMSTATE_SEND"; "unknown" */

/* ---- bodies ------------------------------------------------------------ */

#define COLO_FEATURE_DELTA  UINT64_C(1)  /* understands XOR pages */
#define COLO_FEATURE_LZ4    UINT64_C(2)
#define COLO_FEATURE_AUDIT  UINT64_C(4)
#define COLO_FEATURE_COLO   UINT64_C(8)  /* mode colo */
#define COLO_FEATURE_UNACKED UINT64_C(16) /* behind a gate to stock Xen: what
                                            RECEIVED says is that its host's
                                            kernel has the bytes; */
#define COLO_FEATURE_WRITTEN UINT64_C(32) /* or only that ssh has taken them */
#define COLO_FEATURE_STREAM UINT64_C(64) /* primary: the guest is streamed (PV);
                                            secondary: such a one may come */

/* hello: u16 major, u16 minor, u32 role, u32 mode, u32 xen version
 * (major << 16 | minor; 0 = none), u64 features, u64 nr_gfns, u32 heartbeat
 * ms, u32 dead ms, 16 bytes session id, 16 bytes guest uuid, name (at most
 * 63 bytes, no NUL; the rest of the body).  A longer body of a newer minor is
 * not possible: name ends it; features say what is new. */
struct colo_hello {
    uint16_t major, minor;
    uint32_t role, mode, xen_version;
    uint64_t features, nr_gfns;
    uint32_t heartbeat_ms, dead_ms;
    uint8_t session[16], uuid[16];
    char name[64];
};
#define COLO_WIRE_HELLO_MAX (72 + 63)

/* Returns  bytes written / 0; COLO_E_VERSION for another major (text names
 *          both), COLO_E_PROTO for anything malformed. */
int colo__hello_build(const struct colo_hello *hello, uint8_t *out,
                      size_t cap, struct colo_error *err);
int colo__hello_parse(const uint8_t *body, size_t len,
                      struct colo_hello *ret_hello, struct colo_error *err);

/* PAGES body: count entries of { u64 gfn | coding << 56, u32 len, u32 zero,
 * u64 hash }, then the payloads in the same order without padding.  hash =
 * XXH3-64 of the 4096 bytes that the page must be afterwards, for LZ4 and XOR;
 * 0 for RAW and ZERO, which the message's checksum covers.  len must fit the
 * coding: RAW 4096, ZERO 0, LZ4 and XOR 1..4095. */
#define COLO_CODING_RAW  0
#define COLO_CODING_ZERO 1
#define COLO_CODING_LZ4  2
#define COLO_CODING_XOR  3  /* LZ4 of (page XOR last sent page) */
#define COLO_WIRE_PAGE_ENTRY 24
#define COLO_WIRE_MAX_PAGES 128u /* per message */
#define COLO_WIRE_SEED_CHUNK (128u * 1024u)
#define COLO_GFN_MAX ((UINT64_C(1) << 52) - 1)

struct colo_wire_page {
    uint64_t gfn;
    uint32_t coding, len;
    uint64_t hash;
    const uint8_t *payload;
};

void colo__page_entry_build(uint8_t *out, const struct colo_wire_page *page);

/* colo__pages_parse - entry i of a PAGES message, whole body checked by
 * colo__pages_check first.  check: COLO_E_PROTO for count 0 or over the
 * maximum, bad coding, len or hash, gfn over COLO_GFN_MAX or >= nr_gfns, gfns
 * not strictly ascending within the message, payloads that do not end
 * exactly at the end. */
int colo__pages_check(const struct colo_msg *msg, uint64_t nr_gfns,
                      struct colo_error *err);
/* iterates; *offset starts at 0 for i = 0 */
void colo__pages_entry(const struct colo_msg *msg, uint32_t i,
                       size_t *offset, struct colo_wire_page *ret_page);

/* GONE body: count u64 gfns, ascending. AUDIT body: count entries of
 * { u64 gfn, u64 XXH3-64 of the page }, ascending.  LOADED body: count u64 gfns
 * whose page differed (value = count; at most 511: more are found next
 * time). */
#define COLO_WIRE_MAX_GONE 1024u
#define COLO_WIRE_MAX_AUDIT 1024u
#define COLO_WIRE_MAX_DIFFER 511u

int colo__gfns_check(const struct colo_msg *msg, uint64_t nr_gfns,
                     uint32_t max, struct colo_error *err);
int colo__audit_check(const struct colo_msg *msg, uint64_t nr_gfns,
                      struct colo_error *err);

/* DIRTY body: count entries of { u64 gfn, u64 high, u64 low }, ascending: the
 * XXH3-128 of the frame's page when the replica stood still; both 0: it has no
 * memory there.  check: also that value is at least 1. */
#define COLO_WIRE_MAX_DIRTY 1024u
#define COLO_WIRE_DIRTY_ENTRY 24

struct colo_wire_dirty {
    uint64_t gfn, high, low;
};

int colo__dirty_check(const struct colo_msg *msg, uint64_t nr_gfns,
                      struct colo_error *err);
void colo__dirty_entry_build(uint8_t *out, const struct colo_wire_dirty *d);
void colo__dirty_entry(const struct colo_msg *msg, uint32_t i,
                       struct colo_wire_dirty *ret_dirty);

/* DISKS body: for each disk u8 length of its name, u16 length of its
 * backing's path, the name ("xvda"), the path. */
#define COLO_WIRE_DISKS 8
#define COLO_WIRE_VDEV 33    /* terminated */
#define COLO_WIRE_TARGET 401 /* terminated */

struct colo_disk_name {
    char vdev[COLO_WIRE_VDEV];
    char target[COLO_WIRE_TARGET];
};

/* ok - a name of a-z 0-9, an absolute path without ".." and control bytes.
 * build - bytes written; COLO_E_INVAL names the disk, COLO_E_LIMIT.
 * parse - COLO_E_PROTO for anything else than what build writes. */
bool colo__disk_name_ok(const struct colo_disk_name *disk);
int colo__disks_build(const struct colo_disk_name *disks, uint32_t count,
                      uint8_t *out, size_t cap, struct colo_error *err);
int colo__disks_parse(const struct colo_msg *msg,
                      struct colo_disk_name ret_disks[COLO_WIRE_DISKS],
                      struct colo_error *err);

/* NETS body: for each network card u16 number (the N of vifD.N), u8 1 if it is
 * the emulated half, u8 0. */
#define COLO_WIRE_NETS 8
#define COLO_WIRE_NET_BYTES 4
#define COLO_WIRE_NET_DEVID 255

struct colo_net_name {
    uint16_t devid;
    bool emulated;
};

/* as those for disks */
int colo__nets_build(const struct colo_net_name *nets, uint32_t count,
                     uint8_t *out, size_t cap, struct colo_error *err);
int colo__nets_parse(const struct colo_msg *msg,
                     struct colo_net_name ret_nets[COLO_WIRE_NETS],
                     struct colo_error *err);

/* big-endian access */
void colo__put16(uint8_t *p, uint16_t v);
void colo__put32(uint8_t *p, uint32_t v);
void colo__put64(uint8_t *p, uint64_t v);
uint16_t colo__get16(const uint8_t *p);
uint32_t colo__get32(const uint8_t *p);
uint64_t colo__get64(const uint8_t *p);

#endif
