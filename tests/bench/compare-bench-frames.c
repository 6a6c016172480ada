/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Frames of connections that have no beginning here, so that QEMU, which
 * rewrites elsewhere, can compare them as well.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "compare-bench.h"

#define CONTENT 65536u
#define APART (4 * SEGMENT) /* how far one copy is ahead of the other */

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static const uint8_t *content(void)
{
    static uint8_t bytes[CONTENT + SEGMENT];
    uint32_t state = 7;

    if (!bytes[0]) {
        for (size_t i = 0; i < CONTENT; i++)
            bytes[i] = (uint8_t)(next_random(&state) | 1);
        memcpy(bytes + CONTENT, bytes, SEGMENT);
    }
    return bytes;
}

size_t put_frame(uint8_t *f, const struct event *e)
{
    static const uint8_t head[FRAME_HEAD] = {
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0x77, 8, 0,
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 1, 0,
        0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x50, 0x18, 2, 0, 0, 0, 0, 0,
    };

    memcpy(f, head, FRAME_HEAD);
    put16(f + 16, 40u + e->len);
    f[33] = e->flow;
    put16(f + 36, 1000u + e->flow);
    put32(f + 38, 1 + e->at);
    memcpy(f + FRAME_HEAD, content() + (e->flow * 4099u + e->at) % CONTENT,
           e->len);
    return FRAME_HEAD + (size_t)e->len;
}

static void add(struct work *w, size_t *room, uint8_t side, uint8_t flow,
                uint32_t at, uint32_t len)
{
    if (w->count == *room) {
        *room = *room ? *room * 2 : 1024;
        w->event = need(realloc(w->event, *room * sizeof(*w->event)));
    }
    w->event[w->count++] = (struct event){
        .side = side, .flow = flow, .len = (uint16_t)len, .at = at,
    };
    w->frames += side == 0;
}

void work_same(struct work *w, size_t frames)
{
    size_t room = 0;

    memset(w, 0, sizeof(*w));
    for (uint32_t at = 0; w->frames < frames; at += SEGMENT)
        for (uint8_t flow = 0; flow < FLOWS; flow++)
            for (uint8_t side = 0; side < 2; side++)
                add(w, &room, side, flow, at, SEGMENT);
}

/* One side of a flow says its next piece, if it is not too far ahead. */
static bool say(struct work *w, size_t *room, uint8_t side, uint8_t flow,
                uint32_t at[2], uint32_t bytes, uint32_t *state)
{
    uint32_t len = 200 + next_random(state) % (SEGMENT - 199);

    if (at[side] == bytes || at[side] > at[!side] + APART)
        return false;
    if (len > bytes - at[side])
        len = bytes - at[side];
    add(w, room, side, flow, at[side], len);
    at[side] += len;
    return true;
}

void work_cut(struct work *w, uint32_t bytes, uint32_t seed)
{
    uint32_t at[FLOWS][2] = { { 0 } }, state = seed, left = 2 * FLOWS;
    size_t room = 0;

    memset(w, 0, sizeof(*w));
    while (left) {
        uint8_t flow = (uint8_t)(next_random(&state) % FLOWS);
        uint8_t side = (uint8_t)(next_random(&state) % 2);

        if (say(w, &room, side, flow, at[flow], bytes, &state) &&
            at[flow][side] == bytes)
            left--;
    }
}

void work_free(struct work *w)
{
    free(w->event);
    memset(w, 0, sizeof(*w));
}
