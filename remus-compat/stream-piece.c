/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stream-piece.h.
 */
#include "stream-piece.h"
#include "stream-read.h"

/* a page, its entry, and its share of a record's head */
#define PAGE_ROOM (COLO_PAGE_SIZE + 16u)
#define CPUS_ROOM (64u << 20)

uint32_t colo__stream_piece_max(uint64_t nr_pfns)
{
    if (nr_pfns > (UINT32_MAX - CPUS_ROOM) / PAGE_ROOM)
        return UINT32_MAX;
    return (uint32_t)nr_pfns * PAGE_ROOM + CPUS_ROOM;
}

int colo__stream_check_piece(const uint8_t *buf, uint32_t len,
                             uint64_t max_pfn, uint64_t *ret_pages,
                             struct colo_error *err)
{
    struct colo_stream_reader reader;
    uint64_t pages = 0;
    uint32_t at = 0;

    colo__stream_reader_at_data(&reader, max_pfn);
    while (at < len && !reader.checkpoints) {
        struct colo_stream_item item;
        int used = colo__stream_read(&reader, buf + at, len - at, &item, err);

        if (used < 0)
            return used;
        if (!used)
            break;
        at += (uint32_t)used;
        pages += item.kind == COLO_ITEM_PAGE;
    }
    if (!reader.checkpoints || at != len)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "%u of the %u bytes of a checkpoint are %s", at, len,
                          reader.checkpoints ? "one" : "not a whole one");
    if (ret_pages)
        *ret_pages = pages;
    return 0;
}
