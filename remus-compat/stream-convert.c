/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stream-convert.h.
 */
#include <string.h>

#include "stream-convert.h"

static const struct {
    int layer;
    uint32_t plain, endless;
} ends[] = {
    { COLO_STREAM_LIBXC, COLO_LIBXC_END, COLO_LIBXC_CHECKPOINT },
    { COLO_STREAM_LIBXL, COLO_LIBXL_END, COLO_LIBXL_CHECKPOINT_END },
};

int colo__stream_convert(const struct colo_stream_item *item, uint8_t mode,
                         const uint8_t *raw, uint8_t spare[COLO_STREAM_HEAD],
                         const uint8_t **ret, struct colo_error *err)
{
    bool plain = mode == COLO_STREAM_PLAIN;

    *ret = raw;
    if (item->kind != COLO_ITEM_RECORD)
        return 0;
    for (size_t i = 0; i < COLO_ARRAY_LEN(ends); i++) {
        uint32_t from = plain ? ends[i].endless : ends[i].plain;

        if (item->layer != ends[i].layer || item->type != from)
            continue;
        memset(spare, 0, COLO_STREAM_HEAD);
        colo__put_le(spare, plain ? ends[i].plain : ends[i].endless, 4);
        *ret = spare;
        return 0;
    }
    if (!(item->rule->modes & mode))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "stream",
                          "%s cannot be converted", item->rule->name);
    return 0;
}

bool colo__stream_first_done(const struct colo_stream_item *item)
{
    return item->kind == COLO_ITEM_RECORD &&
           item->layer == COLO_STREAM_LIBXL &&
           (item->type == COLO_LIBXL_END ||
            item->type == COLO_LIBXL_CHECKPOINT_END);
}
