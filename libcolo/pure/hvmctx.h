/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The container in which a guest's machine state travels, and Xen's HVM
 * context inside of it.  Pure; takes any bytes.
 *
 * Container, little endian: magic "CLHC", u16 version, u16 parameters,
 * u32 Xen version (major << 16 | minor), u32 length of the context; then per
 * parameter u32 index, u32 0, u64 value; then the context: Xen's records
 * {u16 type, u16 instance, u32 length, body} from HEADER to END.
 *
 * Version 1 ends here: a guest without a device model.  Version 2 goes on with
 * the state of its devices, as the device model gave it: u32 length, not 0,
 * u32 0, and so many bytes, which begin with "QEVM".
 */
#ifndef COLO_HV_HVMCTX_H
#define COLO_HV_HVMCTX_H

#include "../internal.h"

#define COLO_HVMCTX_HEADER 16u
#define COLO_HVMCTX_PARAM 16u
#define COLO_HVMCTX_MAX_PARAMS 4u
#define COLO_HVMCTX_DEVICES 8u /* before the state of devices */
#define COLO_HVMCTX_MAX (8u << 20)

struct colo_hvmctx_param {
    uint32_t index;
    uint64_t value;
};

struct colo_hvmctx {
    uint32_t xen_version;
    uint32_t nr_params;
    struct colo_hvmctx_param params[COLO_HVMCTX_MAX_PARAMS];
    const uint8_t *context; /* in the buffer given */
    uint32_t context_len;
    uint32_t nr_vcpus;      /* CPU records */
    const uint8_t *devices; /* in the buffer given; NULL: there are none */
    uint32_t devices_len;
};

/* colo__hvmctx_room - bytes that a container takes before its context */
static inline uint32_t colo__hvmctx_room(uint32_t nr_params)
{
    return COLO_HVMCTX_HEADER + nr_params * COLO_HVMCTX_PARAM;
}

/* colo__hvmctx_put_header - all before the context, room() bytes. */
void colo__hvmctx_put_header(uint8_t *buf, uint32_t xen_version,
                             const struct colo_hvmctx_param *params,
                             uint32_t nr_params, uint32_t context_len);

/* colo__hvmctx_put_devices - makes what put_header and the context gave a
 * container of version 2; buf: its begin, at: the first byte behind the
 * context, where COLO_HVMCTX_DEVICES bytes go; the state follows. */
void colo__hvmctx_put_devices(uint8_t *buf, uint8_t *at,
                              uint32_t devices_len);

/* colo__hvmctx_parse - the container and every record in it; not what is in the
 * state of devices, which their model checks at the load.
 * Errors   COLO_E_VERSION  another container version
 *          COLO_E_CORRUPT  not what Xen writes
 *          COLO_E_UNSUPPORTED a record or size that this build does not know */
int colo__hvmctx_parse(const uint8_t *buf, uint32_t len,
                       struct colo_hvmctx *ret, struct colo_error *err);

/* colo__hvmctx_record_len - length of the first record of a type; -1 none.
 * context: checked by parse, or Xen's own (walked with bounds all the
 * same). */
int colo__hvmctx_record_len(const uint8_t *context, uint32_t len,
                            uint16_t type);

/* colo__hvmctx_trim_lapic - cut the LAPIC records to lapic_len bytes for a Xen
 * that does not know the longer form; in place.
 * Returns  the new length of the context. */
uint32_t colo__hvmctx_trim_lapic(uint8_t *context, uint32_t len,
                                 uint32_t lapic_len);

/* the type of the LAPIC record, for the two above, and its lengths: up to Xen
 * 4.19, and since */
#define COLO_HVMCTX_LAPIC 5u
#define COLO_HVMCTX_LAPIC_OLD 24u
#define COLO_HVMCTX_LAPIC_NEW 32u /* pending_esr, and four unused bytes */

/* colo__hvmctx_shorten - the same in a container that parse has accepted, for a
 * peer whose Xen may be any.
 * Returns  its new length */
uint32_t colo__hvmctx_shorten(uint8_t *buf, uint32_t len);

#endif
