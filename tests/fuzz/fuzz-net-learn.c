/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: a byte; if 0, frames of a guest follow, each after its length (one
 * byte), else a table as the other side sends it.  What was learned or taken
 * must survive the way to the other side, and be announced within a frame.
 */
#include "fuzz.h"

#include "../../net-proxy/frames.h"

static void announce(const struct colo_learn_entry *e)
{
    uint8_t frame[COLO_FRAME_BYTES];
    size_t len = colo__frame_address(e, frame);

    MUST(len <= sizeof(frame) && (len >= 60) == (e->family != 0));
    len = colo__frame_rarp(e, frame);
    MUST(len >= 60 && len <= sizeof(frame));
}

static void there_and_back(const struct colo_learn *learn)
{
    uint8_t buf[COLO_LEARN_BYTES];
    size_t len = colo__learn_export(learn, buf);
    struct colo_learn back;

    MUST(len <= sizeof(buf) && learn->count <= COLO_LEARN_MAX);
    MUST(colo__learn_import(&back, buf, len) == 0);
    MUST(back.count == learn->count);
    for (unsigned int i = 0; i < learn->count; i++) {
        MUST(memcmp(&back.entry[i], &learn->entry[i],
                    sizeof(back.entry[i])) == 0);
        announce(&back.entry[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct colo_learn learn = { 0 };

    if (size && data[0]) {
        uint8_t *copy = fuzz_copy(data + 1, size - 1);

        if (colo__learn_import(&learn, copy, size - 1))
            MUST(learn.count == 0);
        free(copy);
    }
    for (size_t at = 1; size && !data[0] && at < size; at += data[at] + 1u) {
        size_t len = data[at] < size - at ? data[at] : size - at - 1;
        uint8_t *copy = fuzz_copy(data + at + 1, len);

        colo__learn_frame(&learn, 3, copy, len, at & 1 ? 0 : 12);
        free(copy);
    }
    there_and_back(&learn);
    return 0;
}
