/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What is in the records of a stream: sizes that depend on each other, ranges,
 * bits that must be zero.  Called by stream-read.c.
 */
#include <ctype.h>
#include <string.h>

#include "stream-read.h"

static int malformed(const struct colo_stream_rule *rule,
                     struct colo_error *err)
{
    return colo__fail(err, COLO_E_PROTO, 0, "stream", "%s is not well formed",
                      rule->name);
}

int colo__stream_check_entry(const struct colo_stream_reader *reader,
                             uint64_t entry, struct colo_error *err)
{
    uint64_t pfn = colo__stream_pfn(entry), last = reader->limits.max_pfn;
    unsigned type = colo__stream_page_type(entry);
    bool known = colo__stream_type_known(type);

    /* page tables are Xen's business only in PV guests */
    if (reader->guest != COLO_STREAM_PV && type != COLO_PAGE_NORMAL &&
        type < COLO_PAGE_BROKEN)
        known = false;
    if (!known || entry >> 52 & 0xff)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "frame %#llx has the type %#x",
                          (unsigned long long)pfn, type);
    if (reader->guest == COLO_STREAM_PV && reader->last_pfn < last)
        last = reader->last_pfn;
    if (pfn > last)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "frame %#llx is beyond %#llx",
                          (unsigned long long)pfn, (unsigned long long)last);
    return 0;
}

/* ---- PV ---------------------------------------------------------------- */

static int check_pv_info(struct colo_stream_reader *reader,
                         const struct colo_stream_rule *rule,
                         const uint8_t *body, struct colo_error *err)
{
    if (!(body[0] == 8 && body[1] == 4) && !(body[0] == 4 && body[1] == 3))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "stream",
                          "a PV guest of %u bytes and %u levels", body[0],
                          body[1]);
    if (colo__le16(body + 2) || colo__le32(body + 4))
        return malformed(rule, err);
    reader->width = body[0];
    return 0;
}

static int check_p2m_frames(struct colo_stream_reader *reader,
                            const struct colo_stream_rule *rule,
                            const uint8_t *body, uint32_t len,
                            struct colo_error *err)
{
    uint32_t per = COLO_PAGE_SIZE / reader->width; /* PV_INFO was there */
    uint32_t start = colo__le32(body), end = colo__le32(body + 4), n;
    uint64_t last = reader->last_pfn;

    if (start > end)
        return malformed(rule, err);
    if (end > reader->limits.max_pfn)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "the guest's last frame %#x is beyond %#llx", end,
                          (unsigned long long)reader->limits.max_pfn);
    n = end / per - start / per + 1;
    if (len != 8 + 8 * (uint64_t)n)
        return malformed(rule, err);
    if (end > last)
        last = end;
    for (uint32_t i = 0; i < n; i++) {
        if (colo__le64(body + 8 + 8 * i) > last)
            return colo__fail(err, COLO_E_PROTO, 0, "stream",
                              "the guest's table of frames lies beyond its "
                              "last frame");
    }
    reader->last_pfn = last;
    reader->p2m = true;
    return 0;
}

static int check_vcpu(const struct colo_stream_reader *reader,
                      const struct colo_stream_rule *rule,
                      const uint8_t *body, uint32_t len,
                      struct colo_error *err)
{
    uint32_t blob = len - 8;
    bool ok = true;

    if (colo__le32(body) >= reader->limits.max_vcpus)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "%s of CPU %u, there are %u", rule->name,
                          colo__le32(body), reader->limits.max_vcpus);
    if (rule->type == COLO_LIBXC_PV_VCPU_BASIC)
        ok = blob == (reader->width == 8 ? COLO_STREAM_VCPU_64 :
                      COLO_STREAM_VCPU_32);
    if (rule->type == COLO_LIBXC_PV_VCPU_XSAVE)
        ok = !blob || blob >= 16;
    if (!ok)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "%s cannot have %u bytes", rule->name, len);
    return colo__le32(body + 4) ? malformed(rule, err) : 0;
}

/* ---- HVM and PVH ------------------------------------------------------- */

static int check_params(const struct colo_stream_rule *rule,
                        const uint8_t *body, uint32_t len,
                        struct colo_error *err)
{
    uint32_t count = colo__le32(body);

    if (count != (len - 8) / 16 || colo__le32(body + 4))
        return malformed(rule, err);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = colo__le64(body + 8 + 16 * i);

        if (!colo__stream_param_travels(index))
            return colo__fail(err, COLO_E_PROTO, 0, "stream",
                              "HVM parameter %llu may not travel",
                              (unsigned long long)index);
    }
    return 0;
}

/* {index, flags that must be 0, value} */
static int check_msr_policy(const struct colo_stream_rule *rule,
                            const uint8_t *body, uint32_t len,
                            struct colo_error *err)
{
    for (uint32_t i = 0; i < len; i += COLO_STREAM_MSR) {
        if (colo__le32(body + i + 4))
            return malformed(rule, err);
    }
    return 0;
}

/* ---- device model ------------------------------------------------------ */

/* Relative paths of what xenstore allows, without empty parts. */
static bool good_key(const char *key)
{
    if (!*key || *key == '/')
        return false;
    for (const char *p = key; *p; p++) {
        if (!isascii((unsigned char)*p) ||
            (!isalnum((unsigned char)*p) && !strchr("-/_@", *p)) ||
            (*p == '/' && (p[1] == '/' || !p[1])))
            return false;
    }
    return true;
}

static bool good_value(const char *value)
{
    for (; *value; value++) {
        if (*value < 0x20 || *value > 0x7e)
            return false;
    }
    return true;
}

/* a string that ends before len: its length with the 0, or 0 */
static uint32_t string_at(const uint8_t *data, uint32_t len)
{
    const uint8_t *end = memchr(data, 0, len);

    return end ? (uint32_t)(end - data) + 1 : 0;
}

bool colo__stream_next_pair(const uint8_t *data, uint32_t len, uint32_t *at,
                            const char **ret_key, const char **ret_value)
{
    uint32_t key, value;

    if (*at >= len)
        return false;
    key = string_at(data + *at, len - *at);
    if (!key || *at + key >= len)
        return false;
    value = string_at(data + *at + key, len - *at - key);
    if (!value)
        return false;
    *ret_key = (const char *)data + *at;
    *ret_value = (const char *)data + *at + key;
    *at += key + value;
    return good_key(*ret_key) && good_value(*ret_value);
}

static int check_emulator(const struct colo_stream_rule *rule,
                          const uint8_t *body, uint32_t len,
                          struct colo_error *err)
{
    const uint8_t *data = body + COLO_STREAM_EMULATOR;
    uint32_t at = 0, data_len = len - COLO_STREAM_EMULATOR;
    const char *key, *value;

    if (colo__le32(body) != COLO_EMULATOR_QEMU || colo__le32(body + 4))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "stream",
                          "%s of device model %u, number %u", rule->name,
                          colo__le32(body), colo__le32(body + 4));
    if (rule->type == COLO_LIBXL_EMULATOR_CONTEXT)
        return 0;
    while (at < data_len) {
        if (!colo__stream_next_pair(data, data_len, &at, &key, &value))
            return malformed(rule, err);
    }
    return 0;
}

/* A forward stream tells of new checkpoints only. */
static int check_state(const struct colo_stream_rule *rule,
                       const uint8_t *body, uint32_t len,
                       struct colo_error *err)
{
    if (colo__le32(body) != COLO_SVM_NEW || (len > 4 && colo__le32(body + 4)))
        return malformed(rule, err);
    return 0;
}

/* ---- */

int colo__stream_check_body(struct colo_stream_reader *reader,
                            const struct colo_stream_rule *rule,
                            const uint8_t *body, uint32_t len,
                            struct colo_error *err)
{
    if (rule->layer == COLO_STREAM_LIBXL) {
        switch (rule->type) {
        case COLO_LIBXL_EMULATOR_XENSTORE_DATA:
        case COLO_LIBXL_EMULATOR_CONTEXT:
            return check_emulator(rule, body, len, err);
        case COLO_LIBXL_CHECKPOINT_STATE:
            return check_state(rule, body, len, err);
        default:
            return 0;
        }
    }
    switch (rule->type) {
    case COLO_LIBXC_PV_INFO:
        return check_pv_info(reader, rule, body, err);
    case COLO_LIBXC_PV_P2M_FRAMES:
        return check_p2m_frames(reader, rule, body, len, err);
    case COLO_LIBXC_PV_VCPU_BASIC:
    case COLO_LIBXC_PV_VCPU_EXTENDED:
    case COLO_LIBXC_PV_VCPU_XSAVE:
    case COLO_LIBXC_PV_VCPU_MSRS:
        return check_vcpu(reader, rule, body, len, err);
    case COLO_LIBXC_TSC_INFO:
        /* modes: default, always emulate, never, and one that is gone */
        return colo__le32(body) > 3 || colo__le32(body + 20) ?
               malformed(rule, err) : 0;
    case COLO_LIBXC_HVM_PARAMS:
        return check_params(rule, body, len, err);
    case COLO_LIBXC_MSR_POLICY:
        return check_msr_policy(rule, body, len, err);
    default:
        return 0;
    }
}
