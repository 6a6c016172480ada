/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A divergence and the result, as text on stdout.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

#include "replay.h"

static const char *proto_name(uint8_t proto, char *buf, size_t cap)
{
    switch (proto) {
    case 1: return "ICMP";
    case 6: return "TCP";
    case 17: return "UDP";
    case 58: return "ICMPv6";
    default:
        snprintf(buf, cap, "protocol %u", proto);
        return buf;
    }
}

static void say_end(const struct colo_flow_key *k, const uint8_t *address,
                    uint16_t port)
{
    char text[INET6_ADDRSTRLEN] = "?";
    bool v6 = k->family == 6;

    (void)inet_ntop(v6 ? AF_INET6 : AF_INET, address, text, sizeof(text));
    printf(" %s%s%s", v6 ? "[" : "", text, v6 ? "]" : "");
    if (k->proto == 6 || k->proto == 17)
        printf(":%u", port);
}

static void say_flow(const struct colo_flow_key *k)
{
    char name[24];

    printf("  flow:");
    for (int i = 0; i < 2 && k->tag[i]; i++)
        printf(" VLAN %u", k->tag[i] - 1u);
    if (!k->family) {
        printf(" not IP, or not readable\n");
        return;
    }
    printf(" %s guest", proto_name(k->proto, name, sizeof(name)));
    say_end(k, k->guest, k->guest_port);
    printf(" world");
    say_end(k, k->peer, k->peer_port);
    putchar('\n');
}

void say_divergence(const struct replay *r)
{
    struct colo_compare_where w;
    const struct capture_frame *f = NULL;
    uint64_t us = r->now_us - (r->options->align ? 0 : r->start_us[0] <
                               r->start_us[1] ? r->start_us[0] :
                               r->start_us[1]);

    colo__compare_where(r->compare, &w);
    printf("diverged after %" PRIu64 ".%06" PRIu64 " s: %s\n",
           us / 1000000, us % 1000000, r->reason);
    if (r->side >= 0)
        f = capture_peek(r->capture[r->side]);
    if (f)
        printf("  seen at frame %" PRIu64 " of %s\n", f->number,
               r->options->path[r->side]);
    else
        printf("  it was waited for in vain\n");
    if (w.has_flow)
        say_flow(&w.flow);
    if (!w.has_stream)
        return;
    printf("  equal up to sequence number %" PRIu32, w.seq);
    if (w.from_start)
        printf(", %" PRIu32 " bytes", w.offset);
    putchar('\n');
}

void say_result(const struct replay *r)
{
    struct colo_compare_counts c;

    colo__compare_counts(r->compare, &c);
    printf("output frames %" PRIu64 " and %" PRIu64 ", input frames %" PRIu64
           ", released %" PRIu64 ", equal bytes of TCP %" PRIu64 "\n",
           r->output[0], r->output[1], r->input, c.released - c.made,
           c.matched_bytes);
    if (r->cut)
        printf("%" PRIu64 " frames were left out: the capture has only a part "
               "of them\n", r->cut);
    if (r->divergences)
        printf("%" PRIu64 " divergence%s\n", r->divergences,
               r->divergences > 1 ? "s" : "");
    else
        puts("no divergence");
}
