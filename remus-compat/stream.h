/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What stock Xen sends when a guest moves: libxl's stream version 2 and, in
 * it, libxc's stream version 3, of x86 guests.  Numbers, limits and the table
 * of records that the writer (stream-write.h) and the reader (stream-read.h)
 * share.  Pure.
 *
 * Source: Xen 4.17.7, docs/specs/libxl-migration-stream.pandoc and
 * libxc-migration-stream.pandoc, tools/libs/light/libxl_stream_*.c,
 * tools/libs/guest/xg_sr_*.c; no difference on the wire up to 4.22.
 *
 * Both layers: {u32 type, u32 length of the body}, body, zeros up to a
 * multiple of 8; little endian.  libxc's records follow libxl's record
 * LIBXC_CONTEXT.  A plain stream ends with libxc's END, libxl's records of the
 * device model and libxl's END.  In a checkpointed one CHECKPOINT stands for
 * the first END and CHECKPOINT_END for the second, and libxc's records go on
 * behind it, for ever: there is no end but that of the connection.
 */
#ifndef COLO_STREAM_H
#define COLO_STREAM_H

#include "bytes.h"
#include "internal.h"

#define COLO_STREAM_LIBXL 0
#define COLO_STREAM_LIBXC 1

/* records of libxl */
#define COLO_LIBXL_END                    0u
#define COLO_LIBXL_LIBXC_CONTEXT          1u
#define COLO_LIBXL_EMULATOR_XENSTORE_DATA 2u
#define COLO_LIBXL_EMULATOR_CONTEXT       3u
#define COLO_LIBXL_CHECKPOINT_END         4u
#define COLO_LIBXL_CHECKPOINT_STATE       5u

/* records of libxc */
#define COLO_LIBXC_END                0x00u
#define COLO_LIBXC_PAGE_DATA          0x01u
#define COLO_LIBXC_PV_INFO            0x02u
#define COLO_LIBXC_PV_P2M_FRAMES      0x03u
#define COLO_LIBXC_PV_VCPU_BASIC      0x04u
#define COLO_LIBXC_PV_VCPU_EXTENDED   0x05u
#define COLO_LIBXC_PV_VCPU_XSAVE      0x06u
#define COLO_LIBXC_SHARED_INFO        0x07u
#define COLO_LIBXC_TSC_INFO           0x08u
#define COLO_LIBXC_HVM_CONTEXT        0x09u
#define COLO_LIBXC_HVM_PARAMS         0x0au
#define COLO_LIBXC_PV_VCPU_MSRS       0x0cu
#define COLO_LIBXC_VERIFY             0x0du
#define COLO_LIBXC_CHECKPOINT         0x0eu
#define COLO_LIBXC_DIRTY_PFN_LIST     0x0fu
#define COLO_LIBXC_STATIC_DATA_END    0x10u
#define COLO_LIBXC_CPUID_POLICY       0x11u
#define COLO_LIBXC_MSR_POLICY         0x12u

#define COLO_STREAM_OPTIONAL 0x80000000u /* may be left out of account */

/* libxl's CHECKPOINT_STATE: who stands where, between two hosts in mode COLO */
#define COLO_SVM_NEW       0u /* primary: a new checkpoint */
#define COLO_SVM_SUSPENDED 1u
#define COLO_SVM_READY     2u
#define COLO_SVM_RESUMED   3u

/* what a stream is of; HVM: PVH guests, too.  Bits, for the table. */
#define COLO_STREAM_PV  1u
#define COLO_STREAM_HVM 2u

/* what kind of stream; all but PLAIN have checkpoints.  Bits, for the table. */
#define COLO_STREAM_PLAIN 1u
#define COLO_STREAM_REMUS 2u
#define COLO_STREAM_COLO  4u

/* bytes */
#define COLO_LIBXL_HEADER 16u
#define COLO_LIBXC_HEADER 40u /* image header and domain header */
#define COLO_STREAM_HEAD   8u /* before the body of a record */
#define COLO_STREAM_EMULATOR 8u /* of the body of EMULATOR_*, before the data */
#define COLO_STREAM_CPUID_LEAF 24u
#define COLO_STREAM_MSR 16u
#define COLO_STREAM_VCPU_64 5168u /* a 64-bit vCPU's context in VCPU_BASIC */
#define COLO_STREAM_VCPU_32 2800u

#define COLO_EMULATOR_QEMU 2u /* the only device model that libxl starts */

/* Limits of this build, well above what Xen writes; what needs more is refused
 * by name.  No record is longer than 128 MiB (Xen's own limit). */
#define COLO_STREAM_MAX_RECORD (128u << 20)
#define COLO_STREAM_MAX_PFNS 1024u     /* in PAGE_DATA; Xen sends no more */
#define COLO_STREAM_MAX_BLOB (8u << 20) /* a record that is looked at whole */
#define COLO_STREAM_MAX_PARAMS 64u
#define COLO_STREAM_MAX_VCPUS 8192u
#define COLO_STREAM_PFN_LIMIT (UINT64_C(1) << 52)

/* PAGE_DATA: an entry is a frame and, in the top four bits, a type */
#define COLO_PAGE_NORMAL 0x0u
#define COLO_PAGE_L4     0x4u /* page tables of PV guests: 1 to this, */
#define COLO_PAGE_PINNED 0x8u /* and this if pinned */
#define COLO_PAGE_BROKEN 0xdu
#define COLO_PAGE_ALLOC  0xeu /* exists, content does not matter */
#define COLO_PAGE_NONE   0xfu /* does not exist */

static inline uint64_t colo__stream_entry(uint64_t pfn, unsigned type)
{
    return pfn | (uint64_t)type << 60;
}

static inline uint64_t colo__stream_pfn(uint64_t entry)
{
    return entry & (COLO_STREAM_PFN_LIMIT - 1);
}

static inline unsigned colo__stream_page_type(uint64_t entry)
{
    return (unsigned)(entry >> 60);
}

/* known types: normal, page tables, pinned ones, and the last three */
static inline bool colo__stream_type_known(unsigned type)
{
    return type <= COLO_PAGE_L4 ||
           (type > COLO_PAGE_PINNED &&
            type <= (COLO_PAGE_PINNED | COLO_PAGE_L4)) ||
           type >= COLO_PAGE_BROKEN;
}

/* does a page of data follow for an entry of this type? */
static inline bool colo__stream_has_data(unsigned type)
{
    return type < COLO_PAGE_BROKEN;
}

/* zeros behind a body of this length */
static inline uint32_t colo__stream_pad(uint32_t len)
{
    return -len & 7;
}

/* Where in a stream a record may stand, as bits. */
#define COLO_AT_HEAD   0x01u /* libxl, before libxc has the stream */
#define COLO_AT_STATIC 0x02u /* libxc, before STATIC_DATA_END */
#define COLO_AT_DATA   0x04u /* libxc, behind it */
#define COLO_AT_MODEL  0x08u /* libxl, behind libxc's END or CHECKPOINT */
#define COLO_AT_STATE  0x10u /* libxl, mode COLO, between two checkpoints */
#define COLO_AT_BACK   0x20u /* from the backup, mode COLO */

/* colo_stream_rule - one row of the table of records.
 * Shape    the body has min bytes and any number of step more, at most max;
 *          step 0: exactly min.  Only the header of PV_VCPU_* and HVM_PARAMS:
 *          older Xen sends such, and they mean nothing. */
struct colo_stream_rule {
    uint8_t layer;
    uint32_t type;
    const char *name;
    uint32_t min, max, step;
    uint8_t guests; /* COLO_STREAM_PV | _HVM */
    uint8_t where;  /* COLO_AT_* */
    uint8_t modes;  /* COLO_STREAM_PLAIN | _REMUS | _COLO */
};

/* colo__stream_rule - the row of a record; NULL: unknown. */
const struct colo_stream_rule *colo__stream_rule(int layer, uint32_t type);

/* colo__stream_rule_at - the n-th row, for tests; NULL behind the last. */
const struct colo_stream_rule *colo__stream_rule_at(size_t n);

/* colo__stream_check_len - is this a length that such a record can have? */
int colo__stream_check_len(const struct colo_stream_rule *rule, uint32_t len,
                           struct colo_error *err);

/* colo__stream_param_travels - is this one of the HVM parameters that Xen
 * sends?  Event channels, callbacks and the like never travel. */
bool colo__stream_param_travels(uint64_t index);

#endif
