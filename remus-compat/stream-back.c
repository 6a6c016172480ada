/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stream-back.h.
 */
#include <string.h>

#include "stream-back.h"

/* One round; then it begins anew. */
static const struct {
    int layer;
    uint32_t type, state;
    const char *name;
} order[] = {
    { COLO_STREAM_LIBXL, COLO_LIBXL_CHECKPOINT_STATE, COLO_SVM_READY,
      "READY" },
    { COLO_STREAM_LIBXL, COLO_LIBXL_CHECKPOINT_STATE, COLO_SVM_RESUMED,
      "RESUMED" },
    { COLO_STREAM_LIBXL, COLO_LIBXL_CHECKPOINT_STATE, COLO_SVM_SUSPENDED,
      "SUSPENDED" },
    { COLO_STREAM_LIBXC, COLO_LIBXC_DIRTY_PFN_LIST, 0, "DIRTY_PFN_LIST" },
};

void colo__back_reader_init(struct colo_back_reader *reader, uint64_t max_pfn)
{
    memset(reader, 0, sizeof(*reader));
    reader->max_pfn = max_pfn;
}

static int refuse(const struct colo_back_reader *reader,
                  struct colo_error *err)
{
    return colo__fail(err, COLO_E_PROTO, 0, "stream",
                      "the backup sent something else than %s",
                      order[reader->next].name);
}

static int read_state(const struct colo_back_reader *reader,
                      const uint8_t *body, uint32_t len,
                      struct colo_back_item *item, struct colo_error *err)
{
    item->kind = COLO_BACK_STATE;
    item->state = colo__le32(body);
    /* padding, or the second half of a longer body */
    if (item->state != order[reader->next].state || colo__le32(body + 4))
        return refuse(reader, err);
    return (int)(COLO_STREAM_HEAD + len + colo__stream_pad(len));
}

static int read_head(const struct colo_back_reader *reader,
                     const uint8_t *buf, size_t len,
                     struct colo_back_item *item, struct colo_error *err)
{
    const struct colo_stream_rule *rule =
        colo__stream_rule(order[reader->next].layer,
                          order[reader->next].type);
    uint32_t body_len;
    int rc;

    if (len < COLO_STREAM_HEAD)
        return 0;
    if (colo__le32(buf) != rule->type)
        return refuse(reader, err);
    body_len = colo__le32(buf + 4);
    rc = colo__stream_check_len(rule, body_len, err);
    if (rc)
        return rc;
    if (rule->layer == COLO_STREAM_LIBXC) {
        item->kind = COLO_BACK_LIST;
        item->count = body_len / 8;
        return (int)COLO_STREAM_HEAD;
    }
    if (len < COLO_STREAM_HEAD + 8)
        return 0;
    return read_state(reader, buf + COLO_STREAM_HEAD, body_len, item, err);
}

static int read_pfns(const struct colo_back_reader *reader,
                     const uint8_t *buf, size_t len,
                     struct colo_back_item *item, struct colo_error *err)
{
    uint32_t n = len / 8 < reader->left ? (uint32_t)(len / 8) : reader->left;

    for (uint32_t i = 0; i < n; i++) {
        if (colo__le64(buf + 8 * i) > reader->max_pfn)
            return colo__fail(err, COLO_E_PROTO, 0, "stream",
                              "frame %#llx is beyond %#llx",
                              (unsigned long long)colo__le64(buf + 8 * i),
                              (unsigned long long)reader->max_pfn);
    }
    item->kind = COLO_BACK_PFNS;
    item->count = n;
    item->pfns = buf;
    return (int)(8 * n);
}

int colo__back_read(struct colo_back_reader *reader, const uint8_t *buf,
                    size_t len, struct colo_back_item *ret,
                    struct colo_error *err)
{
    struct colo_back_item item = { 0 };
    int used;

    if (reader->broken)
        return colo__fail(err, COLO_E_STATE, 0, "stream",
                          "the stream was broken before");
    used = reader->left ? read_pfns(reader, buf, len, &item, err) :
           read_head(reader, buf, len, &item, err);
    if (used < 0)
        reader->broken = true;
    if (used <= 0)
        return used;
    if (item.kind == COLO_BACK_PFNS) {
        reader->left -= item.count;
    } else {
        reader->left = item.count;
        reader->next = (uint8_t)((reader->next + 1) % COLO_ARRAY_LEN(order));
    }
    *ret = item;
    return used;
}

void colo__stream_out_dirty(struct colo_stream_out *out, const uint64_t *pfns,
                            uint32_t count)
{
    uint32_t len = count > COLO_STREAM_MAX_RECORD / 8 ? UINT32_MAX : 8 * count;

    colo__stream_out_head(out, COLO_STREAM_LIBXC, COLO_LIBXC_DIRTY_PFN_LIST,
                          len);
    for (uint32_t i = 0; i < count && !out->rc; i++) {
        if (out->cap - out->len < 8) {
            out->rc = colo__fail(&out->err, COLO_E_LIMIT, 0, "stream",
                                 "the list of frames does not fit");
            break;
        }
        colo__put_le(out->buf + out->len, pfns[i], 8);
        out->len += 8;
    }
}
