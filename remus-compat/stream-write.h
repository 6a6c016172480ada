/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Writes what stock Xen reads (stream.h), into memory of the caller.  Pure: no
 * I/O, no allocation.  Memory and large states are not copied: their heads are
 * written here, and the caller sends the bytes behind them.
 *
 * The order is the caller's; for a checkpoint, as Xen writes it:
 *   PAGE_DATA..., TSC_INFO, HVM_CONTEXT, HVM_PARAMS  (PVH, HVM)
 *   PAGE_DATA..., TSC_INFO, SHARED_INFO, PV_VCPU_*   (PV)
 *   CHECKPOINT, EMULATOR_XENSTORE_DATA if any, EMULATOR_CONTEXT (HVM),
 *   CHECKPOINT_END
 * and before the first one
 *   libxl's header, LIBXC_CONTEXT, libxc's header, PV_INFO (PV), CPUID_POLICY,
 *   MSR_POLICY, STATIC_DATA_END, PV_P2M_FRAMES (PV).
 */
#ifndef COLO_STREAM_WRITE_H
#define COLO_STREAM_WRITE_H

#include "stream.h"

/* colo_stream_out - bytes being put together.  The first failure is kept and
 * everything after it does nothing: ask once, with colo__stream_out_end(). */
struct colo_stream_out {
    uint8_t *buf;
    size_t cap, len;
    int rc;
    struct colo_error err;
};

void colo__stream_out_init(struct colo_stream_out *out, uint8_t *buf,
                           size_t cap);

/* colo__stream_out_end - bytes written.
 * Errors   COLO_E_LIMIT  they do not fit in the buffer, or a record is longer
 *                        than a reader takes
 *          COLO_E_INVAL  an argument was wrong: a type of record, frame or
 *                        parameter that does not travel */
int colo__stream_out_end(const struct colo_stream_out *out, size_t *ret_len,
                         struct colo_error *err);

void colo__stream_out_libxl_header(struct colo_stream_out *out);

/* guest: COLO_STREAM_PV or _HVM; version: of the Xen that the guest runs on */
void colo__stream_out_libxc_header(struct colo_stream_out *out, uint8_t guest,
                                   uint16_t xen_major, uint16_t xen_minor);

/* colo__stream_out_record - a whole record; body may be NULL if len is 0. */
void colo__stream_out_record(struct colo_stream_out *out, int layer,
                             uint32_t type, const void *body, uint32_t len);

/* colo__stream_out_head - only what is before the body; the caller sends len
 * bytes and colo__stream_pad(len) zeros. */
void colo__stream_out_head(struct colo_stream_out *out, int layer,
                           uint32_t type, uint32_t len);

/* colo__stream_out_pages - PAGE_DATA up to its pages: entries as
 * colo__stream_entry() makes them, 1..COLO_STREAM_MAX_PFNS.  The caller sends
 * the page of each entry that has data, in this order, and nothing more. */
void colo__stream_out_pages(struct colo_stream_out *out,
                            const uint64_t *entries, uint32_t count);
#define COLO_STREAM_PAGES_HEAD(count) (COLO_STREAM_HEAD + 8 + 8 * (count))

void colo__stream_out_tsc(struct colo_stream_out *out, uint32_t mode,
                          uint32_t khz, uint64_t nsec, uint32_t incarnation);

/* colo__stream_out_params - HVM_PARAMS; those that are 0 are left out, as Xen
 * does, and with none there is no record. */
void colo__stream_out_params(struct colo_stream_out *out,
                             const uint32_t *indices, const uint64_t *values,
                             uint32_t count);

/* colo__stream_out_emulator - up to the state of the device model, which the
 * caller sends: len bytes and colo__stream_pad(len) zeros. */
void colo__stream_out_emulator(struct colo_stream_out *out, uint32_t len);

/* colo__stream_out_store - EMULATOR_XENSTORE_DATA; data: pairs of key and
 * value, each with its 0, as they are in /local/domain/0/device-model/DOMID;
 * with len 0 there is no record. */
void colo__stream_out_store(struct colo_stream_out *out, const char *data,
                            uint32_t len);

/* colo__stream_out_store_head - the same up to the pairs, which the caller
 * sends: len bytes, and zeros as with colo__stream_out_emulator(). */
void colo__stream_out_store_head(struct colo_stream_out *out,
                                 const char *data, uint32_t len);

/* colo__stream_out_pv_info, _p2m_frames, _vcpu - of PV guests.  width 8 or 4
 * bytes; frames: of the guest's table, from frame 0 to last_pfn; type:
 * COLO_LIBXC_PV_VCPU_*. */
void colo__stream_out_pv_info(struct colo_stream_out *out, uint8_t width);
void colo__stream_out_p2m_frames(struct colo_stream_out *out, uint8_t width,
                                 uint32_t last_pfn, const uint64_t *frames);
void colo__stream_out_vcpu(struct colo_stream_out *out, uint32_t type,
                           uint32_t vcpu, const void *context, uint32_t len);

/* colo__stream_out_state - mode COLO: COLO_SVM_*. */
void colo__stream_out_state(struct colo_stream_out *out, uint32_t state);

#endif
