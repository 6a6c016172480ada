/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a comparator tells a rewriter of a connection, as bytes; the format is
 * in compare.h.
 */
#include <string.h>

#include "parse.h"

#define NOTE_VERSION 1
#define PROTO_TCP 6

void colo__note_write(const struct colo_note *note,
                      uint8_t out[COLO_NOTE_BYTES])
{
    const struct colo_flow_key *k = &note->key;

    out[0] = NOTE_VERSION;
    out[1] = k->family;
    out[2] = k->proto;
    out[3] = note->passive;
    put16(out + 4, k->tag[0]);
    put16(out + 6, k->tag[1]);
    put16(out + 8, k->guest_port);
    put16(out + 10, k->peer_port);
    memcpy(out + 12, k->guest, 16);
    memcpy(out + 28, k->peer, 16);
    put32(out + 44, note->seq_delta);
    put32(out + 48, note->ts_delta);
    put32(out + 52, note->isn);
    put32(out + 56, note->peer_isn);
    put32(out + 60, note->number);
}

int colo__note_parse(const uint8_t *buf, size_t len, struct colo_note *ret)
{
    struct colo_flow_key *k = &ret->key;
    static const uint8_t none[12];

    if (len != COLO_NOTE_BYTES || buf[0] != NOTE_VERSION ||
        (buf[1] != 4 && buf[1] != 6) || buf[2] != PROTO_TCP || buf[3] > 1)
        return COLO_E_PROTO;
    memset(ret, 0, sizeof(*ret));
    k->family = buf[1];
    k->proto = buf[2];
    k->tag[0] = get16(buf + 4);
    k->tag[1] = get16(buf + 6);
    if (k->tag[0] > 4096 || k->tag[1] > 4096 || (k->tag[1] && !k->tag[0]))
        return COLO_E_PROTO;
    k->guest_port = get16(buf + 8);
    k->peer_port = get16(buf + 10);
    memcpy(k->guest, buf + 12, 16);
    memcpy(k->peer, buf + 28, 16);
    if (k->family == 4 && (memcmp(k->guest + 4, none, 12) != 0 ||
                           memcmp(k->peer + 4, none, 12) != 0))
        return COLO_E_PROTO;
    ret->seq_delta = get32(buf + 44);
    ret->ts_delta = get32(buf + 48);
    ret->isn = get32(buf + 52);
    ret->peer_isn = get32(buf + 56);
    ret->number = get32(buf + 60);
    ret->passive = buf[3];
    return 0;
}
