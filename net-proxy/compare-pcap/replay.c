/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See replay.h.  What the world sent is taken from the primary's capture; the
 * clock is that of the captures.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define WHERE "replay"
#define LATER_US 3600000000u

enum { PRI, SEC };

/* ---- whose capture it is ----------------------------------------------- */

#define CANDIDATES 2

/* Ends of the first frame between two cards, as far as all others have them. */
struct guess {
    uint8_t mac[CANDIDATES][6];
    bool possible[CANDIDATES];
    bool begun;
};

static void look_at(struct guess *g, const uint8_t *eth)
{
    if (eth[0] & 1)
        return; /* to all: of anybody */
    if (!g->begun) {
        memcpy(g->mac[0], eth, 6);
        memcpy(g->mac[1], eth + 6, 6);
        g->begun = g->possible[0] = g->possible[1] = true;
    }
    for (int i = 0; i < CANDIDATES; i++)
        g->possible[i] &= memcmp(g->mac[i], eth, 6) == 0 ||
                          memcmp(g->mac[i], eth + 6, 6) == 0;
}

static int look_through(const char *path, struct guess *g,
                        struct colo_error *err)
{
    const struct capture_frame *f;
    struct capture *c;
    int rc = capture_open(path, &c, err);

    if (rc)
        return rc;
    while (!rc && (f = capture_peek(c)) != NULL) {
        if (f->len >= 14)
            look_at(g, f->data);
        rc = capture_next(c, err);
    }
    capture_close(c);
    return rc;
}

int replay_guest(const struct replay_options *o, uint8_t ret_mac[6],
                 struct colo_error *err)
{
    struct guess g = { .begun = false };

    for (int side = PRI; side <= SEC; side++) {
        int rc = look_through(o->path[side], &g, err);

        if (rc)
            return rc;
    }
    if (!g.begun || g.possible[0] == g.possible[1])
        return colo__fail(err, COLO_E_NOTFOUND, 0, WHERE, g.possible[0] ?
                          "only two cards speak: --guest tells which one is "
                          "the guest's" : "no card that all frames are from "
                          "or to: --guest tells which one is the guest's");
    memcpy(ret_mac, g.mac[g.possible[0] ? 0 : 1], 6);
    return 0;
}

/* ---- the comparator's side --------------------------------------------- */

static void on_release(void *user, const uint8_t *frame, size_t len)
{
    (void)user;
    (void)frame;
    (void)len;
}

static void on_note(void *user, const uint8_t note[COLO_NOTE_BYTES])
{
    struct replay *r = user;
    struct colo_note n;

    if (!colo__note_parse(note, COLO_NOTE_BYTES, &n))
        r->note = n.number;
}

static void on_diverged(void *user, const char *reason)
{
    struct replay *r = user;

    r->reason = reason;
}

/* The rewriter of a capture knows everything at once. */
static void tell_notes(struct replay *r)
{
    if (r->note)
        colo__compare_told(r->compare, r->now_us, r->note);
    r->note = 0;
}

/* What has come of the last call.  True: it is over. */
static bool follow_up(struct replay *r)
{
    tell_notes(r);
    if (!r->reason)
        return false;
    r->divergences++;
    say_divergence(r);
    r->reason = NULL;
    if (!r->options->go_on)
        return true;
    colo__compare_commit(r->compare, r->now_us, ++r->epoch);
    return false;
}

/* ---- frames ------------------------------------------------------------ */

/* COLO_E_NOMEM only */
static int primary_said(struct replay *r, const struct capture_frame *f)
{
    uint8_t *copy = malloc(f->len ? f->len : 1);
    int rc;

    if (!copy)
        return COLO_E_NOMEM;
    memcpy(copy, f->data, f->len);
    rc = colo__compare_primary(r->compare, r->now_us, copy, f->len);
    free(copy);
    return rc;
}

static int one(struct replay *r, int side, const struct capture_frame *f)
{
    bool out = f->len >= 14 &&
               memcmp(f->data + 6, r->options->guest, 6) == 0;

    if (f->cut) {
        r->cut++;
        return 0;
    }
    if (out)
        r->output[side]++;
    if (out && side == PRI)
        return primary_said(r, f);
    if (out) {
        colo__compare_secondary(r->compare, r->now_us, r->epoch, f->data,
                                f->len);
    } else if (side == PRI) {
        r->input++;
        colo__compare_input(r->compare, r->now_us, f->data, f->len);
    }
    return 0;
}

/* Whose frame is the next; -1: neither has one. */
static int next_side(const struct replay *r, uint64_t *ret_at)
{
    int best = -1;

    for (int side = PRI; side <= SEC; side++) {
        const struct capture_frame *f = capture_peek(r->capture[side]);
        uint64_t at;

        if (!f)
            continue;
        at = r->options->align ? f->at_us - r->start_us[side] : f->at_us;
        if (best >= 0 && at >= *ret_at)
            continue;
        best = side;
        *ret_at = at;
    }
    return best;
}

/* All that is due before that moment.  True: it is over. */
static bool time_goes_on(struct replay *r, uint64_t to_us)
{
    uint64_t due;

    r->side = -1;
    while ((due = colo__compare_tick(r->compare, r->now_us)) < to_us) {
        r->now_us = due > r->now_us ? due : r->now_us + 1;
        (void)colo__compare_tick(r->compare, r->now_us);
        if (follow_up(r))
            return true;
    }
    if (to_us > r->now_us) /* captures may go back a little */
        r->now_us = to_us;
    return false;
}

static int run(struct replay *r, struct colo_error *err)
{
    uint64_t at = 0;
    int side, rc;

    while ((side = next_side(r, &at)) >= 0) {
        if (time_goes_on(r, at))
            return 0;
        r->side = side;
        rc = one(r, side, capture_peek(r->capture[side]));
        if (rc)
            return colo__fail(err, rc, 0, WHERE, "memory");
        if (follow_up(r))
            return 0;
        rc = capture_next(r->capture[side], err);
        if (rc)
            return rc;
    }
    /* what still waits has no twin */
    (void)time_goes_on(r, r->now_us + r->options->compare.hold_ms * 1000u +
                          r->options->compare.ack_ms * 1000u + LATER_US);
    return 0;
}

int replay_run(struct replay *r, struct colo_error *err)
{
    static const struct colo_compare_ops ops = {
        .release = on_release, .note = on_note, .diverged = on_diverged,
    };
    int rc = colo__compare_new(&r->options->compare, &ops, r, &r->compare,
                               err);

    for (int side = PRI; side <= SEC && !rc; side++) {
        const struct capture_frame *f;

        rc = capture_open(r->options->path[side], &r->capture[side], err);
        f = rc ? NULL : capture_peek(r->capture[side]);
        r->start_us[side] = f ? f->at_us : 0;
    }
    if (!rc) {
        (void)next_side(r, &r->now_us);
        rc = run(r, err);
    }
    if (!rc)
        say_result(r);
    for (int side = PRI; side <= SEC; side++)
        capture_close(r->capture[side]);
    colo__compare_free(r->compare);
    return rc;
}
