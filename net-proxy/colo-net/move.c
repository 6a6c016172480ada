/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Where a frame goes; see serve.h.  The order between input and checkpoints
 * is kept by the stream: the twin's input before the mark of checkpoint N is
 * a part of N, that after it waits until the replica has loaded N.
 */
#include <string.h>

#include "../frames.h"
#include "serve.h"

#define ROUNDS 4        /* batches of one kind before the others' turn */
#define DRAIN_ROUNDS 2000
#define LEARN_EVERY 64  /* of the guest's frames, after the first ones */

/* ---- from the guest ---------------------------------------------------- */

static void learn(struct net *n, const struct net_frame *f)
{
    const uint8_t *eth = f->data + NET_VNET;
    bool speaks = eth[12] == 0x08 && eth[13] == 0x06; /* ARP */

    if (speaks || n->port.from_guest < 256 ||
        n->port.from_guest % LEARN_EVERY == 0)
        colo__learn_frame(&n->learn, n->card, eth, f->len - NET_VNET, 0);
}

static void one_out(struct net *n, struct net_frame *f)
{
    switch (n->way) {
    case NET_PASS:
        (void)net_port_to_world(&n->port, f->data, f->len);
        break;
    case NET_COMPARE:
        net_flow_output(n, f->data, f->len);
        break;
    case NET_QUIET:
        break;
    case NET_FOLLOW:
        learn(n, f);
        if (!net_flow_from_guest(n, f->data, f->len) ||
            !net_twin_put(&n->twin, NET_MSG_OUTPUT, n->committed, f->data,
                          f->len))
            n->dropped++;
        break;
    case NET_ALONE:
        learn(n, f);
        if (net_flow_from_guest(n, f->data, f->len))
            (void)net_port_to_world(&n->port, f->data, f->len);
        break;
    }
}

int net_move_out(struct net *n)
{
    struct net_frame f[NET_BATCH];
    int got = 0;

    for (int round = 0; round < ROUNDS; round++) {
        got = net_port_from_guest(&n->port, f, NET_BATCH);
        for (int i = 0; i < got; i++)
            one_out(n, &f[i]);
        if (got < NET_BATCH || net_flow_full(n))
            break;
    }
    if (n->port.cut && n->way == NET_COMPARE)
        net_diverged(n, "the guest sent more than could be read");
    n->port.cut = false;
    return got < 0 ? -1 : 0;
}

void net_drain(struct net *n)
{
    struct net_frame f[NET_BATCH];

    for (int round = 0; round < DRAIN_ROUNDS; round++) {
        int got = net_port_from_guest(&n->port, f, NET_BATCH);

        for (int i = 0; i < got; i++)
            one_out(n, &f[i]);
        if (got <= 0)
            break;
    }
}

/* ---- from the world ---------------------------------------------------- */

bool net_wants_in(const struct net *n)
{
    switch (n->way) {
    case NET_ALONE:
        return true;
    case NET_PASS: /* also before the first checkpoint of all */
        return !n->stands;
    case NET_COMPARE:
        /* While the guest stands for a checkpoint, input waits: given to it
         * now, it would belong to both epochs.  While the twin takes less than
         * comes, the bridge's queue is the one that fills, as with a slow
         * card. */
        return !n->stands && !net_twin_full(&n->twin);
    default:
        return false;
    }
}

static void one_in(struct net *n, struct net_frame *f)
{
    if (n->way == NET_ALONE && !net_flow_to_guest(n, f->data, f->len))
        return;
    /* what the guest's card refused, the replica must not see */
    if (!net_port_to_guest(&n->port, f->data, f->len) ||
        n->way != NET_COMPARE)
        return;
    net_flow_input(n, f->data, f->len);
    if (!net_twin_put(&n->twin, NET_MSG_INPUT, n->committed, f->data, f->len))
        n->dropped++;
}

int net_move_in(struct net *n)
{
    struct net_frame f[NET_BATCH];
    int got = 0;

    for (int round = 0; round < ROUNDS && net_wants_in(n); round++) {
        got = net_port_from_world(&n->port, f, NET_BATCH);
        for (int i = 0; i < got; i++)
            one_in(n, &f[i]);
        if (got < NET_BATCH)
            break;
    }
    return got < 0 ? -1 : 0;
}

/* ---- from the twin ----------------------------------------------------- */

static void from_primary(struct net *n, const struct net_msg *m)
{
    /* the stream's buffer is ours: rewriting in place */
    uint8_t *frame = (uint8_t *)(uintptr_t)m->body;

    switch (m->type) {
    case NET_MSG_EPOCH:
        n->marked = m->epoch;
        break;
    case NET_MSG_NOTE:
        if (n->way == NET_FOLLOW && n->marked == n->committed &&
            !net_flow_note(n, m->body, m->len))
            n->dropped++; /* its SYN waits, until a checkpoint */
        break;
    case NET_MSG_INPUT:
        /* what comes when the replica stands is a part of the checkpoint that
         * is about to be loaded, or lost: its card would keep it until then,
         * and the replica be given it twice */
        if (n->way == NET_FOLLOW && n->marked == n->committed && !n->stands) {
            if (net_flow_to_guest(n, frame, m->len))
                (void)net_port_to_guest(&n->port, frame, m->len);
        } else {
            n->beyond_old_epoch++;
        }
        break;
    default:
        n->dropped++;
    }
}

static void from_secondary(struct net *n, const struct net_msg *m)
{
    if (n->way != NET_COMPARE)
        n->dropped++;
    else if (m->epoch != n->committed)
        n->beyond_old_epoch++;
    else if (m->type == NET_MSG_OUTPUT)
        net_flow_twin(n, m->epoch, m->body, m->len);
    else if (m->type == NET_MSG_TOLD)
        net_flow_told(n, m->body);
    else
        n->dropped++;
}

/* What is of an epoch that this side has not seen the begin of stays where it
 * is: the replica may go on before the word of the commit is here. */
static bool too_early(const struct net *n, const struct net_msg *m)
{
    /* also of the first one of all, which ends being quiet */
    if (n->options->secondary)
        return n->way != NET_ALONE && n->marked > n->committed;
    return n->way == NET_COMPARE && m->epoch > n->committed;
}

void net_move_twin(struct net *n)
{
    bool secondary = n->options->secondary;
    struct net_msg m;

    net_twin_fill(&n->twin);
    n->twin_waits = false;
    while (net_twin_peek(&n->twin, secondary, &m)) {
        n->twin_waits = too_early(n, &m);
        if (n->twin_waits)
            break;
        if (secondary)
            from_primary(n, &m);
        else
            from_secondary(n, &m);
        net_twin_next(&n->twin, &m);
    }
}

/* ---- after a takeover -------------------------------------------------- */

static void say_frame(struct net *n, const uint8_t *frame, size_t len)
{
    uint8_t buf[NET_VNET + COLO_FRAME_BYTES];

    if (!len)
        return;
    memset(buf, 0, NET_VNET);
    memcpy(buf + NET_VNET, frame, len);
    (void)net_port_to_world(&n->port, buf, NET_VNET + len);
}

uint64_t net_announce(struct net *n, uint64_t now_us)
{
    /* frames get lost, and switches learn late */
    static const uint32_t after_ms[] = { 0, 100, 300, 700, 1500, 3000 };
    uint8_t frame[COLO_FRAME_BYTES];

    if (n->way != NET_ALONE || n->said_rounds == COLO_ARRAY_LEN(after_ms))
        return COLO_NEVER;
    if (now_us < n->next_say_us)
        return n->next_say_us;
    for (unsigned i = 0; i < n->learn.count; i++) {
        say_frame(n, frame, colo__frame_rarp(&n->learn.entry[i], frame));
        say_frame(n, frame, colo__frame_address(&n->learn.entry[i], frame));
    }
    if (++n->said_rounds == COLO_ARRAY_LEN(after_ms))
        return COLO_NEVER;
    n->next_say_us = now_us + 1000u * (after_ms[n->said_rounds] -
                                       after_ms[n->said_rounds - 1]);
    return n->next_say_us;
}
