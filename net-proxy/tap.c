/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See tap.h.  Source: packet(7), __netif_receive_skb_core() and
 * deliver_skb() of Linux 6.1: listeners come before traffic control, and
 * skb_orphan_frags_rx() copies.
 */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"

#define FRAME_BYTES 128
#define FRAMES_AT_ONCE 32
#define RING_BYTES 65536
/* One frame in this many is looked at for its source address. */
#define SAMPLE 256

static const struct sock_filter nothing[] = {
    BPF_STMT(BPF_RET | BPF_K, 0),
};

static const struct sock_filter everything[] = {
    BPF_STMT(BPF_RET | BPF_K, FRAME_BYTES),
};

static const struct sock_filter addresses[] = {
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 9, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 5),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + 6),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 58 /* ICMPv6 */, 0, 3),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + 40),
    /* 133 to 137 are neighbour discovery */
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 133, 0, 1),
    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 137, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SAMPLE - 1, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0),
    BPF_STMT(BPF_RET | BPF_K, FRAME_BYTES),
};

static int attach(int fd, const struct sock_filter *filter, size_t len)
{
    struct sock_fprog prog = {
        .len = (unsigned short)len, .filter = (struct sock_filter *)filter,
    };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

int colo__tap_open(int dev, bool learn, int *ret_fd, struct colo_error *err)
{
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET, .sll_ifindex = dev,
        .sll_protocol = htons(ETH_P_ALL),
    };
    int on = 1, ring = RING_BYTES, saved;
    /* Protocol 0: hears nothing before it is bound, with its filter. */
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, "net", "packet socket");
    (void)setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &ring, sizeof(ring));
    if (attach(fd, learn ? everything : nothing, 1) ||
        (learn && setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on,
                             sizeof(on))) ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        saved = errno;
        close(fd);
        return colo__fail(err, COLO_E_SYS, saved, "net", "packet socket");
    }
    *ret_fd = fd;
    return 0;
}

static uint16_t vlan_of(struct msghdr *msg)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);

    for (; c; c = CMSG_NXTHDR(msg, c)) {
        struct tpacket_auxdata aux;

        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
            c->cmsg_len < CMSG_LEN(sizeof(aux)))
            continue;
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
        return aux.tp_status & TP_STATUS_VLAN_VALID ? aux.tp_vlan_tci & 0xfff
                                                    : 0;
    }
    return 0;
}

void colo__tap_calm(int fd)
{
    /* a failure costs only time */
    (void)attach(fd, addresses, COLO_ARRAY_LEN(addresses));
}

bool colo__tap_read(int fd, uint8_t card, struct colo_learn *learn)
{
    uint8_t frame[FRAME_BYTES];
    char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))]
        __attribute__((aligned(8)));

    int i;

    for (i = 0; i < FRAMES_AT_ONCE; i++) {
        struct iovec iov = { frame, sizeof(frame) };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1,
            .msg_control = control, .msg_controllen = sizeof(control),
        };
        ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

        if (n < 0)
            break;
        colo__learn_frame(learn, card, frame, (size_t)n, vlan_of(&msg));
    }
    return i > 0;
}
