/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The state of the simulated machine as bytes: a header, the registers of
 * pulse, and padding that follows from the step (so that a context of two
 * epochs is noticed).  check takes any input.
 */
#include <string.h>

#include "sim-internal.h"

#define CONTEXT_MAGIC UINT64_C(0x31786574636d6973) /* "simctex1" */
#define CONTEXT_VERSION 1

struct header {
    uint64_t magic;
    uint32_t version, len;
    struct pulse_state state;
};

static uint8_t pad_byte(uint64_t step, uint32_t i)
{
    return (uint8_t)(step * 31 + i * 7 + (step >> 8));
}

uint32_t sim__context_len(const struct sim_guest *guest)
{
    return (uint32_t)sizeof(struct header) + guest->ctl->layout.context_pad;
}

void sim__context_get(const struct sim_guest *guest, uint8_t *out)
{
    struct header h;
    uint32_t pad = guest->ctl->layout.context_pad;

    memset(&h, 0, sizeof(h));
    h.magic = CONTEXT_MAGIC;
    h.version = CONTEXT_VERSION;
    h.len = sim__context_len(guest);
    h.state = guest->ctl->context;
    memcpy(out, &h, sizeof(h));
    for (uint32_t i = 0; i < pad; i++)
        out[sizeof(h) + i] = pad_byte(h.state.step, i);
}

int sim__context_check(const struct sim_guest *guest, const uint8_t *buf,
                       uint32_t len, struct pulse_state *ret_state,
                       struct colo_error *err)
{
    struct pulse_state want;
    struct header h;

    if (len < sizeof(h) || len != sim__context_len(guest))
        return colo__fail(err, COLO_E_PROTO, 0, "hv-sim",
                          "context of %u bytes instead of %u", len,
                          sim__context_len(guest));
    memcpy(&h, buf, sizeof(h));
    if (h.magic != CONTEXT_MAGIC || h.version != CONTEXT_VERSION ||
        h.len != len)
        return colo__fail(err, COLO_E_PROTO, 0, "hv-sim",
                          "not a context of this machine");
    pulse_seek(&guest->ctl->origin, h.state.step, &want);
    if (memcmp(&want, &h.state, sizeof(want)))
        return colo__fail(err, COLO_E_PROTO, 0, "hv-sim",
                          "registers that this machine cannot have");
    for (uint32_t i = 0; i < len - sizeof(h); i++)
        if (buf[sizeof(h) + i] != pad_byte(h.state.step, i))
            return colo__fail(err, COLO_E_PROTO, 0, "hv-sim",
                              "context of two different steps");
    *ret_state = h.state;
    return 0;
}
