/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See learn.h.  Sources: RFC 826 (ARP), RFC 791, RFC 8200, IEEE 802.1Q.
 */
#include <string.h>

#include "learn.h"

#define ETH_BYTES 14
#define TYPE_VLAN 0x8100
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_ARP 0x0806

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static bool is_zero(const uint8_t *p, size_t len)
{
    while (len && !p[len - 1])
        len--;
    return len == 0;
}

/* A guest's own: not a group's, not "none". */
static bool mac_is_good(const uint8_t *mac)
{
    return !(mac[0] & 1) && !is_zero(mac, 6);
}

/* An address that somebody can ask for. */
static bool addr_is_good(int family, const uint8_t *a)
{
    if (family == 4)
        return a[0] != 0 && a[0] != 127 && a[0] < 224;
    return family == 6 && a[0] != 0xff && !is_zero(a, 15);
}

static bool entry_is_good(const struct colo_learn_entry *e)
{
    return mac_is_good(e->mac) && e->vlan < 4095 &&
           (e->family == 0 ? is_zero(e->addr, 16)
                           : addr_is_good(e->family, e->addr)) &&
           (e->family != 4 || is_zero(e->addr + 4, 12));
}

/* Where an entry for the same belongs: the MAC alone is one entry, an
 * address is one entry whoever had it before. */
static bool same(const struct colo_learn_entry *a,
                 const struct colo_learn_entry *b)
{
    if (a->family != b->family || a->vlan != b->vlan)
        return false;
    if (a->family == 0)
        return a->card == b->card && memcmp(a->mac, b->mac, 6) == 0;
    return memcmp(a->addr, b->addr, 16) == 0;
}

static unsigned int find_place(const struct colo_learn *learn,
                               const struct colo_learn_entry *e)
{
    unsigned int oldest = 0;

    for (unsigned int i = 0; i < learn->count; i++) {
        if (same(&learn->entry[i], e))
            return i;
        if ((int32_t)(learn->seen[i] - learn->seen[oldest]) < 0)
            oldest = i;
    }
    return learn->count < COLO_LEARN_MAX ? learn->count : oldest;
}

static void remember(struct colo_learn *learn, const struct colo_learn_entry *e)
{
    unsigned int i;

    if (!entry_is_good(e))
        return;
    i = find_place(learn, e);
    if (i == learn->count) {
        learn->count++;
        learn->changes++;
    } else if (!same(&learn->entry[i], e) ||
               memcmp(learn->entry[i].mac, e->mac, 6) != 0 ||
               learn->entry[i].card != e->card) {
        learn->changes++;
    }
    learn->entry[i] = *e;
    learn->seen[i] = ++learn->clock;
}

/* The sender of an ARP packet, if it is Ethernet and IPv4. */
static const uint8_t *arp_sender(const uint8_t *p, size_t len)
{
    if (len < 28 || be16(p) != 1 || be16(p + 2) != TYPE_IPV4 || p[4] != 6 ||
        p[5] != 4)
        return NULL;
    return p + 14;
}

void colo__learn_frame(struct colo_learn *learn, uint8_t card,
                       const uint8_t *frame, size_t len, uint16_t vlan)
{
    struct colo_learn_entry e = { .vlan = vlan & 0xfff, .card = card };
    const uint8_t *p = frame + ETH_BYTES, *addr = NULL;
    uint16_t type;

    if (len < ETH_BYTES || !mac_is_good(frame + 6))
        return;
    memcpy(e.mac, frame + 6, 6);
    len -= ETH_BYTES;
    type = be16(p - 2);
    if (type == TYPE_VLAN && !e.vlan && len >= 4) {
        e.vlan = be16(p) & 0xfff;
        type = be16(p + 2);
        p += 4;
        len -= 4;
    }
    remember(learn, &e);
    if (type == TYPE_ARP) {
        e.family = 4;
        addr = arp_sender(p, len);
    } else if (type == TYPE_IPV4 && len >= 20 && p[0] >> 4 == 4) {
        e.family = 4;
        addr = p + 12;
    } else if (type == TYPE_IPV6 && len >= 40 && p[0] >> 4 == 6) {
        /* neighbour discovery is sent from the address it speaks of */
        e.family = 6;
        addr = p + 8;
    }
    if (!addr)
        return;
    memcpy(e.addr, addr, e.family == 4 ? 4 : 16);
    remember(learn, &e);
}

void colo__learn_mac(struct colo_learn *learn, uint8_t card,
                     const uint8_t mac[6])
{
    struct colo_learn_entry e = { .card = card };

    for (unsigned int i = 0; i < learn->count; i++) {
        if (learn->entry[i].card == card &&
            memcmp(learn->entry[i].mac, mac, 6) == 0)
            return;
    }
    memcpy(e.mac, mac, 6);
    if (learn->count < COLO_LEARN_MAX)
        remember(learn, &e);
}

/* ---- to the other side and back ----------------------------------------- */

size_t colo__learn_export(const struct colo_learn *learn, uint8_t *buf)
{
    uint8_t *p = buf + 4;

    memset(buf, 0, 3);
    buf[3] = (uint8_t)learn->count;
    for (unsigned int i = 0; i < learn->count; i++) {
        const struct colo_learn_entry *e = &learn->entry[i];

        memcpy(p, e->mac, 6);
        p[6] = (uint8_t)(e->vlan >> 8);
        p[7] = (uint8_t)e->vlan;
        p[8] = e->card;
        p[9] = e->family;
        memcpy(p + 10, e->addr, 16);
        p += COLO_LEARN_ENTRY_BYTES;
    }
    return (size_t)(p - buf);
}

int colo__learn_import(struct colo_learn *learn, const uint8_t *buf, size_t len)
{
    memset(learn, 0, sizeof(*learn));
    if (len < 4 || buf[0] || buf[1] || buf[2] || buf[3] > COLO_LEARN_MAX ||
        len != 4 + (size_t)buf[3] * COLO_LEARN_ENTRY_BYTES)
        return COLO_E_PROTO;
    for (const uint8_t *p = buf + 4; p < buf + len;
         p += COLO_LEARN_ENTRY_BYTES) {
        struct colo_learn_entry e = {
            .vlan = be16(p + 6), .card = p[8], .family = p[9],
        };

        memcpy(e.mac, p, 6);
        memcpy(e.addr, p + 10, 16);
        if (!entry_is_good(&e)) {
            memset(learn, 0, sizeof(*learn));
            return COLO_E_PROTO;
        }
        remember(learn, &e);
    }
    return 0;
}
