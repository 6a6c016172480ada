/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Frames of the world and of two guests, in any order: the comparator and the
 * rewriter must take all of them, and release what they were given.  Input: a
 * byte for virtio_net_hdr, then pieces: u8 what, u16 length, bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "../../net-proxy/compare/compare.h"

struct look {
    struct colo_rewrite *r;
    uint64_t given, out;
    uint32_t number;
};

static void on_release(void *user, const uint8_t *frame, size_t len)
{
    struct look *l = user;

    l->out++;
    if (len && frame[0] + frame[len - 1] > 512)
        abort(); /* both are read */
}

static void on_note(void *user, const uint8_t note[COLO_NOTE_BYTES])
{
    struct look *l = user;

    if (!colo__rewrite_note(l->r, 1, note, COLO_NOTE_BYTES, &l->number))
        abort(); /* ours, and there is room */
}

static void on_diverged(void *user, const char *reason)
{
    (void)user;
    (void)reason;
}

static void rewrite(struct look *l, uint8_t what, uint64_t now,
                    const uint8_t *frame, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy)
        return;
    memcpy(copy, frame, len);
    if (what & 1)
        (void)colo__rewrite_to_guest(l->r, now, copy, len);
    else
        (void)colo__rewrite_from_guest(l->r, now, copy, len);
    free(copy);
}

static void primary(struct look *l, struct colo_compare *c, uint64_t now,
                    const uint8_t *frame, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy)
        return;
    memcpy(copy, frame, len);
    l->given += colo__compare_primary(c, now, copy, len) == 0;
    free(copy);
}

static void one(struct look *l, struct colo_compare *c, uint8_t what,
                uint64_t now, const uint8_t *frame, size_t len)
{
    switch (what % 8) {
    case 0:
    case 1:
        primary(l, c, now, frame, len);
        break;
    case 2:
    case 3:
        colo__compare_secondary(c, now, what >> 7, frame, len);
        break;
    case 4:
        colo__compare_input(c, now, frame, len);
        rewrite(l, 1, now, frame, len);
        break;
    case 5:
        rewrite(l, what >> 4, now, frame, len);
        break;
    case 6:
        colo__compare_told(c, now, l->number);
        colo__compare_gate(c, what >> 7);
        break;
    case 7:
        if (what & 64)
            colo__compare_commit(c, now, what >> 7);
        if (what & 32)
            colo__rewrite_alone(l->r);
        (void)colo__compare_tick(c, now);
        (void)colo__rewrite_tick(l->r, now);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct colo_compare_ops ops = {
        .release = on_release, .note = on_note, .diverged = on_diverged,
    };
    struct colo_compare_settings cs;
    struct colo_rewrite_settings rs;
    struct colo_compare_counts counts;
    struct colo_compare *c = NULL;
    struct look l = { 0 };
    uint64_t now = 1;
    size_t at = 1;

    if (!size)
        return 0;
    colo__compare_defaults(&cs);
    colo__rewrite_defaults(&rs);
    cs.vnet = rs.vnet = data[0] & 1 ? 10 : 0;
    cs.max_flows = rs.max_flows = 8;
    cs.max_frames = 64;
    rs.max_flows = 64;
    if (colo__compare_new(&cs, &ops, &l, &c, NULL) ||
        colo__rewrite_new(&rs, &l.r, NULL))
        abort();
    while (size - at >= 3) {
        uint8_t what = data[at];
        size_t len = (size_t)data[at + 1] << 8 | data[at + 2];

        at += 3;
        if (len > size - at)
            len = size - at;
        now += what * 1000u;
        one(&l, c, what, now, data + at, len);
        at += len;
    }
    /* held, and not lost: nobody's policy is to drop */
    colo__compare_gate(c, true);
    colo__compare_commit(c, now, 9);
    colo__compare_counts(c, &counts);
    if (l.out != l.given + counts.made)
        abort();
    colo__compare_free(c);
    colo__rewrite_free(l.r);
    return 0;
}
