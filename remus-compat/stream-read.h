/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Reads what stock Xen sends (stream.h), from bytes in memory, one item at a
 * time.  Pure: no I/O, no allocation, takes any bytes.  Nothing is handed out
 * that is out of place, too long, or inconsistent; what is in HVM_CONTEXT, in
 * the CPUs' contexts and in the device model's state is for those who take it
 * (pure/hvmctx.h, Xen, QEMU).
 *
 * Stricter than Xen's own reader where a stock sender cannot mind: bits and
 * bytes that must be zero are looked at, a checkpoint without the state of
 * CPUs is refused, END does not end a stream that has checkpoints.
 */
#ifndef COLO_STREAM_READ_H
#define COLO_STREAM_READ_H

#include "stream.h"

/* The most bytes that one item takes: a buffer of this size is never too
 * small.  Let it grow with what has arrived, not at once. */
#define COLO_STREAM_MAX_ITEM (COLO_STREAM_HEAD + COLO_STREAM_MAX_BLOB + 8)

/* colo_stream_limits - what the caller expects; 0: no expectation. */
struct colo_stream_limits {
    uint8_t guest;      /* COLO_STREAM_PV or _HVM */
    uint64_t max_pfn;   /* the last frame that may come */
    uint32_t max_vcpus;
};

/* Kinds of items. */
#define COLO_ITEM_HEADER  1 /* of the layer; libxc: xen_major, xen_minor */
#define COLO_ITEM_RECORD  2 /* rule, body, len; PAGE_DATA: entries, count, and
                               the pages follow as items */
#define COLO_ITEM_PAGE    3 /* entry; body: COLO_PAGE_SIZE bytes */
#define COLO_ITEM_SKIPPED 4 /* (part of) an optional record: nothing */

/* colo_stream_item - body: in the bytes given; entries: in the reader, until
 * the next call. */
struct colo_stream_item {
    int kind, layer;
    uint32_t type;
    const struct colo_stream_rule *rule; /* RECORD */
    const uint8_t *body;
    uint32_t len;
    const uint64_t *entries;
    uint32_t count;
    uint64_t entry;
    uint16_t xen_major, xen_minor;
};

/* colo_stream_reader - owned by the caller, nothing to free.  What is below
 * the line is the reader's. */
struct colo_stream_reader {
    uint64_t checkpoints; /* whole ones: CHECKPOINT_END was read */
    uint8_t mode;         /* COLO_STREAM_PLAIN, _REMUS or _COLO */
    uint8_t guest;        /* COLO_STREAM_PV or _HVM; 0: not known yet */
    uint8_t width;        /* PV: bytes of a word, 0: not known yet */
    /* ---- */
    uint8_t phase, after; /* after: when what is skipped ends */
    struct colo_stream_limits limits;
    uint32_t statics;     /* static records seen, a bit for each type */
    uint32_t seen;        /* records since the last checkpoint, likewise */
    bool p2m;             /* P2M_FRAMES was seen: */
    uint64_t last_pfn;    /* PV: the last frame that there is */
    uint32_t skip;        /* bytes left of what is skipped */
    uint32_t next, count; /* of entries */
    uint64_t entries[COLO_STREAM_MAX_PFNS];
};

/* colo__stream_reader_init - at the first byte of libxl's header.
 * limits: copied; NULL: none. */
void colo__stream_reader_init(struct colo_stream_reader *reader, uint8_t mode,
                              const struct colo_stream_limits *limits);

/* colo__stream_reader_at_data - behind a checkpoint of a PV guest's stream,
 * whose beginning somebody else reads: max_pfn is the guest's last frame; 0:
 * not known. */
void colo__stream_reader_at_data(struct colo_stream_reader *reader,
                                 uint64_t max_pfn);

/* colo__stream_read - the next item.
 * Returns  bytes used, > 0, and *ret filled; 0 more are needed; < 0: the
 *          stream cannot be read any further, *ret untouched
 * Errors   COLO_E_PROTO  not what Xen sends, or not here
 *          COLO_E_VERSION another version of a layer
 *          COLO_E_UNSUPPORTED big endian, legacy, a record or device model
 *                        that this build does not know
 *          COLO_E_LIMIT  longer than this build takes
 *          COLO_E_STATE  an earlier call failed */
int colo__stream_read(struct colo_stream_reader *reader, const uint8_t *buf,
                      size_t len, struct colo_stream_item *ret,
                      struct colo_error *err);

/* colo__stream_ended - the connection has ended here.
 * Returns  0 a plain stream is complete, or there is a whole checkpoint to go
 *          on from; COLO_E_PEER there is nothing that could run. */
int colo__stream_ended(const struct colo_stream_reader *reader,
                       struct colo_error *err);

/* colo__stream_next_pair - the next key and value of what follows the header
 * of EMULATOR_XENSTORE_DATA; both end with 0.  Start with *at = 0.
 * Returns  false: there are no more (or they are not well formed, which is not
 *          so for what colo__stream_read gave). */
bool colo__stream_next_pair(const uint8_t *data, uint32_t len, uint32_t *at,
                            const char **ret_key, const char **ret_value);

/* colo__stream_check_body - what is in a record of a checked length; sets the
 * reader's width, last_pfn, p2m.  For colo__stream_read. */
int colo__stream_check_body(struct colo_stream_reader *reader,
                            const struct colo_stream_rule *rule,
                            const uint8_t *body, uint32_t len,
                            struct colo_error *err);

/* colo__stream_check_entry - an entry of PAGE_DATA, likewise */
int colo__stream_check_entry(const struct colo_stream_reader *reader,
                             uint64_t entry, struct colo_error *err);

#endif
