/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: a stream of messages between the two colo-net of a network card.
 */
#include "fuzz.h"

#include "../../net-proxy/colo-net/twin-wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size), head[NET_WIRE_HEADER];
    const uint8_t *at = copy;

    while (size) {
        struct net_msg m;
        int used = net_wire_parse(at, size, &m);

        if (used <= 0) {
            MUST(used == 0 || used == COLO_E_PROTO);
            break;
        }
        MUST((size_t)used == NET_WIRE_HEADER + m.len && (size_t)used <= size);
        net_wire_header(head, m.type, m.epoch, m.len);
        MUST(memcmp(head, at, sizeof(head)) == 0);
        at += used;
        size -= (size_t)used;
    }
    free(copy);
    return 0;
}
