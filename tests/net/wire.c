/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See wire.h.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define VLAN_NUMBER 5
#define MSS 1448

static const char magic[8] = "colo#net";

/* What follows the headers: magic, kind, number, and then a pattern. */
static const size_t payload_len[KINDS] = {
    [IPV4] = 100, [IPV6] = 100, [ARP] = 32, [VLAN] = 100, [JUMBO] = 8000,
    [GSO] = 40000,
};

struct frame {
    struct virtio_net_hdr vnet;
    uint8_t bytes[65536];
};

int wire_open(const char *name, bool listen)
{
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name),
        .sll_protocol = listen ? htons(ETH_P_ALL) : 0,
    };
    int on = 1, big = 64 << 20;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)))
        err(1, "packet socket");
    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
        err(1, "%s", name);
    return fd;
}

static size_t put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return 2;
}

static uint16_t ip_sum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static size_t put_ipv4(uint8_t *p, uint8_t protocol, size_t len)
{
    memset(p, 0, 20);
    p[0] = 0x45;
    put16(p + 2, (uint16_t)(20 + len));
    p[8] = 64;
    p[9] = protocol;
    memcpy(p + 12, "\x0a\x09\x00\x01\x0a\x09\x00\x02", 8);
    put16(p + 10, ip_sum(p, 20));
    return 20;
}

static size_t put_ipv6(uint8_t *p, size_t len)
{
    memset(p, 0, 40);
    p[0] = 0x60;
    put16(p + 4, (uint16_t)len);
    p[6] = 17;
    p[7] = 64;
    p[8] = p[24] = 0xfd;
    p[23] = 1;
    p[39] = 2;
    return 40;
}

static size_t put_udp(uint8_t *p, size_t len)
{
    put16(p, 1000);
    put16(p + 2, 2000);
    put16(p + 4, (uint16_t)(8 + len));
    put16(p + 6, 0);
    return 8;
}

/* A super-frame, as a guest hands it over: to be cut by whoever sends it. */
static size_t put_tcp(struct frame *f, size_t at, size_t len)
{
    uint8_t *p = f->bytes + at;
    uint32_t sum = 0x0a09 + 1 + 0x0a09 + 2 + 6 + (uint32_t)(20 + len);

    memset(p, 0, 20);
    put16(p, 1000);
    put16(p + 2, 2000);
    p[12] = 0x50;
    p[13] = 0x10;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    put16(p + 16, (uint16_t)sum);
    f->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    f->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    f->vnet.gso_size = MSS;
    f->vnet.hdr_len = (uint16_t)(at + 20);
    f->vnet.csum_start = (uint16_t)at;
    f->vnet.csum_offset = 16;
    return 20;
}

static size_t put_headers(struct frame *f, enum kind kind, size_t len)
{
    uint8_t *p = f->bytes;
    size_t at = 12;

    memcpy(p, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01", 12);
    switch (kind) {
    case IPV6:
        at += put16(p + at, ETH_P_IPV6);
        at += put_ipv6(p + at, 8 + len);
        return at + put_udp(p + at, len);
    case ARP:
        at += put16(p + at, ETH_P_ARP);
        memcpy(p + at, "\x00\x01\x08\x00\x06\x04\x00\x01"
               "\x02\x00\x00\x00\x00\x01\x0a\x09\x00\x01"
               "\x00\x00\x00\x00\x00\x00\x0a\x09\x00\x02", 28);
        return at + 28;
    case VLAN:
        at += put16(p + at, ETH_P_8021Q);
        at += put16(p + at, VLAN_NUMBER);
        break;
    case GSO:
        at += put16(p + at, ETH_P_IP);
        at += put_ipv4(p + at, 6, 20 + len);
        return at + put_tcp(f, at, len);
    default:
        break;
    }
    at += put16(p + at, ETH_P_IP);
    at += put_ipv4(p + at, 17, 8 + len);
    return at + put_udp(p + at, len);
}

void wire_send(int fd, enum kind kind, uint32_t seq)
{
    static struct frame f;
    size_t len = payload_len[kind], at;
    uint32_t be = htonl(seq);

    memset(&f.vnet, 0, sizeof(f.vnet));
    at = put_headers(&f, kind, len);
    for (size_t i = 0; i < len; i++)
        f.bytes[at + i] = (uint8_t)(seq + i);
    memcpy(f.bytes + at, magic, 8);
    f.bytes[at + 8] = (uint8_t)kind;
    memcpy(f.bytes + at + 9, &be, 4);
    if (send(fd, &f, sizeof(f.vnet) + at + len, 0) < 0)
        err(1, "send kind %d, %zu bytes", kind, at + len);
}

static uint16_t vlan_of(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        const struct tpacket_auxdata *aux = (const void *)CMSG_DATA(c);

        if (c->cmsg_type == PACKET_AUXDATA &&
            (aux->tp_status & TP_STATUS_VLAN_VALID))
            return aux->tp_vlan_tci;
    }
    return 0;
}

/* The number of a frame; -1: not one of ours; -2: damaged. */
static long examine(const struct frame *f, size_t len, uint16_t vlan)
{
    const uint8_t *p = memmem(f->bytes, len, magic, 8);
    uint32_t seq;
    enum kind kind;

    if (!p)
        return -1;
    kind = p[8];
    memcpy(&seq, p + 9, 4);
    seq = ntohl(seq);
    if (kind >= KINDS || len - (size_t)(p - f->bytes) < payload_len[kind]) {
        warnx("frame %u of kind %d is %zu bytes long", seq, kind, len);
        return -2;
    }
    for (size_t i = 13; i < payload_len[kind]; i++) {
        if (p[i] != (uint8_t)(seq + i)) {
            warnx("frame %u of kind %d is damaged at %zu", seq, kind, i);
            return -2;
        }
    }
    if ((kind == VLAN) != (vlan == VLAN_NUMBER)) {
        warnx("frame %u of kind %d has VLAN %u", seq, kind, vlan);
        return -2;
    }
    if (kind == GSO && f->vnet.gso_size != MSS)
        warnx("frame %u was a super-frame", seq);
    return seq;
}

int wire_count_from(int fd, const uint8_t mac[6], int ms)
{
    static struct frame f;
    int n = 0;

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (poll(&p, 1, ms) <= 0)
            return n;
        if (recv(fd, &f, sizeof(f), MSG_DONTWAIT) > 24 &&
            memcmp(f.bytes + 6, mac, 6) == 0)
            n++;
    }
}

long wire_next(int fd, int ms)
{
    static struct frame f;
    char control[256];

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        struct iovec iov = { &f, sizeof(f) };
        struct sockaddr_ll from = { 0 };
        struct msghdr msg = {
            .msg_name = &from, .msg_namelen = sizeof(from),
            .msg_iov = &iov, .msg_iovlen = 1,
            .msg_control = control, .msg_controllen = sizeof(control),
        };
        ssize_t n;
        long seq;

        if (poll(&p, 1, ms) <= 0)
            return -1;
        n = recvmsg(fd, &msg, MSG_DONTWAIT);
        if (n < (ssize_t)sizeof(f.vnet)) {
            if (n < 0 && errno != EAGAIN)
                warn("receive");
            continue;
        }
        if (from.sll_pkttype != PACKET_OUTGOING)
            continue;
        seq = examine(&f, (size_t)n - sizeof(f.vnet), vlan_of(&msg));
        if (seq != -1)
            return seq;
    }
}
