/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The table of records, see stream.h.  Used by the reader and the writer.
 */
#include "stream.h"

#define BLOB COLO_STREAM_MAX_BLOB
#define ANY (COLO_STREAM_PV | COLO_STREAM_HVM)
#define PV COLO_STREAM_PV
#define HVM COLO_STREAM_HVM

#define ALL (COLO_STREAM_PLAIN | COLO_STREAM_REMUS | COLO_STREAM_COLO)
#define ENDLESS (COLO_STREAM_REMUS | COLO_STREAM_COLO)

#define XL(type, min, max, step, guests, where, modes) \
    { COLO_STREAM_LIBXL, COLO_LIBXL_##type, #type, min, max, step, guests, \
      COLO_AT_##where, modes }
#define XC(type, min, max, step, guests, where, modes) \
    { COLO_STREAM_LIBXC, COLO_LIBXC_##type, #type, min, max, step, guests, \
      COLO_AT_##where, modes }

/* A PV guest has no device model. */
static const struct colo_stream_rule rules[] = {
    XL(END, 0, 0, 0, ANY, MODEL, COLO_STREAM_PLAIN),
    XL(LIBXC_CONTEXT, 0, 0, 0, ANY, HEAD, ALL),
    XL(EMULATOR_XENSTORE_DATA, 8, 64 << 10, 1, HVM, MODEL, ALL),
    XL(EMULATOR_CONTEXT, 9, BLOB, 1, HVM, MODEL, ALL),
    XL(CHECKPOINT_END, 0, 0, 0, ANY, MODEL, ENDLESS),
    XL(CHECKPOINT_STATE, 4, 8, 4, ANY, STATE, COLO_STREAM_COLO),

    XC(END, 0, 0, 0, ANY, DATA, COLO_STREAM_PLAIN),
    XC(PAGE_DATA, 16, 8 + COLO_STREAM_MAX_PFNS * (8 + COLO_PAGE_SIZE), 8, ANY,
       DATA, ALL),
    XC(PV_INFO, 8, 8, 0, PV, STATIC, ALL),
    XC(PV_P2M_FRAMES, 16, BLOB, 8, PV, DATA, ALL),
    XC(PV_VCPU_BASIC, 8, 8 + COLO_STREAM_VCPU_64, 8, PV, DATA, ALL),
    XC(PV_VCPU_EXTENDED, 8, 8 + 128, 1, PV, DATA, ALL),
    XC(PV_VCPU_XSAVE, 8, 8 + (64 << 10), 1, PV, DATA, ALL),
    XC(SHARED_INFO, COLO_PAGE_SIZE, COLO_PAGE_SIZE, 0, PV, DATA, ALL),
    XC(TSC_INFO, 24, 24, 0, ANY, DATA, ALL),
    XC(HVM_CONTEXT, 1, BLOB, 1, HVM, DATA, ALL),
    XC(HVM_PARAMS, 8, 8 + COLO_STREAM_MAX_PARAMS * 16, 16, HVM, DATA, ALL),
    XC(PV_VCPU_MSRS, 8, 8 + 256 * COLO_STREAM_MSR, COLO_STREAM_MSR, PV, DATA,
       ALL),
    XC(VERIFY, 0, 0, 0, ANY, DATA, COLO_STREAM_PLAIN),
    XC(CHECKPOINT, 0, 0, 0, ANY, DATA, ENDLESS),
    XC(DIRTY_PFN_LIST, 0, COLO_STREAM_MAX_RECORD, 8, ANY, BACK,
       COLO_STREAM_COLO),
    XC(STATIC_DATA_END, 0, 0, 0, ANY, STATIC, ALL),
    XC(CPUID_POLICY, COLO_STREAM_CPUID_LEAF, 4096 * COLO_STREAM_CPUID_LEAF,
       COLO_STREAM_CPUID_LEAF, ANY, STATIC, ALL),
    XC(MSR_POLICY, COLO_STREAM_MSR, 4096 * COLO_STREAM_MSR, COLO_STREAM_MSR,
       ANY, STATIC, ALL),
};

/* xg_sr_save_x86_hvm.c, write_hvm_params() */
static const uint8_t params[] = {
    1,  /* STORE_PFN */
    5,  /* IOREQ_PFN */
    6,  /* BUFIOREQ_PFN */
    9,  /* VIRIDIAN */
    12, /* IDENT_PT */
    17, /* CONSOLE_PFN */
    19, /* ACPI_IOPORTS_LOCATION */
    27, /* PAGING_RING_PFN */
    28, /* MONITOR_RING_PFN */
    29, /* SHARING_RING_PFN */
    32, /* IOREQ_SERVER_PFN */
    33, /* NR_IOREQ_SERVER_PAGES */
    34, /* VM_GENERATION_ID_ADDR */
    36, /* X87_FIP_WIDTH */
    37, /* VM86_TSS_SIZED */
    38, /* MCA_CAP */
};

const struct colo_stream_rule *colo__stream_rule(int layer, uint32_t type)
{
    for (size_t i = 0; i < COLO_ARRAY_LEN(rules); i++) {
        if (rules[i].layer == layer && rules[i].type == type)
            return &rules[i];
    }
    return NULL;
}

const struct colo_stream_rule *colo__stream_rule_at(size_t n)
{
    return n < COLO_ARRAY_LEN(rules) ? &rules[n] : NULL;
}

int colo__stream_check_len(const struct colo_stream_rule *rule, uint32_t len,
                           struct colo_error *err)
{
    if (len > rule->max && rule->step)
        return colo__fail(err, COLO_E_LIMIT, 0, "stream",
                          "%s of %u bytes, this build takes %u", rule->name,
                          len, rule->max);
    if (len < rule->min || len > rule->max ||
        (rule->step && (len - rule->min) % rule->step))
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "%s cannot have %u bytes", rule->name, len);
    return 0;
}

bool colo__stream_param_travels(uint64_t index)
{
    for (size_t i = 0; i < sizeof(params); i++) {
        if (params[i] == index)
            return true;
    }
    return false;
}
