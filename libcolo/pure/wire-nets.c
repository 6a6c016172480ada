/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The body of NETS: which network cards the guest has.  Any thread.
 * Source: libcolo-wire(7).
 */
#include <string.h>

#include "wire.h"

#define WHERE "wire"

int colo__nets_build(const struct colo_net_name *nets, uint32_t count,
                     uint8_t *out, size_t cap, struct colo_error *err)
{
    if (count > COLO_WIRE_NETS || cap < (size_t)count * COLO_WIRE_NET_BYTES)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "%u network cards: at most %d", count,
                          COLO_WIRE_NETS);
    for (uint32_t i = 0; i < count; i++) {
        colo__put16(out, nets[i].devid);
        out[2] = nets[i].emulated;
        out[3] = 0;
        out += COLO_WIRE_NET_BYTES;
    }
    return (int)(count * COLO_WIRE_NET_BYTES);
}

int colo__nets_parse(const struct colo_msg *msg,
                     struct colo_net_name ret_nets[COLO_WIRE_NETS],
                     struct colo_error *err)
{
    const uint8_t *at = msg->body;

    if (msg->value < 1 || msg->value > COLO_WIRE_NETS ||
        msg->len != msg->value * COLO_WIRE_NET_BYTES)
        goto bad;
    for (uint32_t i = 0; i < msg->value; i++, at += COLO_WIRE_NET_BYTES) {
        ret_nets[i].devid = colo__get16(at);
        ret_nets[i].emulated = at[2];
        if (ret_nets[i].devid > COLO_WIRE_NET_DEVID || at[2] > 1 || at[3])
            goto bad;
        for (uint32_t j = 0; j < i; j++)
            if (ret_nets[j].devid == ret_nets[i].devid)
                goto bad;
    }
    return 0;
bad:
    return colo__fail(err, COLO_E_PROTO, 0, WHERE, "NETS that is malformed");
}
