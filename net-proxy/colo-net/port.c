/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Moving frames between a guest's vif (a packet socket) and the bridge (our
 * TAP); see net.h.  Both speak virtio_net_hdr, so super-frames of 64 KiB and
 * checksums that are not yet complete pass as they are: this is where the
 * speed comes from.  Sources: net/packet/af_packet.c, drivers/net/tun.c of
 * Linux 6.1.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* linux/if.h, which tun's header needs, and net/if.h exclude each other */
#include <linux/if.h>

#include "net.h"

#define RCVBUF (64 << 20)
#define SNDBUF (4 << 20)
#define LOST_MAX 1000 /* in a row, before the others' turn */

static const uint8_t port_mac[6] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };

/* As Xen's script does it for vifs: of no use to anybody as an address. */
static int dress(int fd, const char *name, uint32_t mtu)
{
    struct ifreq ifr;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

    memset(&ifr, 0, sizeof(ifr));
    strcpy(ifr.ifr_name, name);
    ifr.ifr_hwaddr.sa_family = 1; /* ARPHRD_ETHER */
    memcpy(ifr.ifr_hwaddr.sa_data, port_mac, 6);
    r = ioctl(fd, SIOCSIFHWADDR, &ifr);
    ifr.ifr_mtu = (int)mtu;
    if (!r)
        r = ioctl(s, SIOCSIFMTU, &ifr);
    ifr.ifr_qlen = 4000;
    if (!r)
        r = ioctl(s, SIOCSIFTXQLEN, &ifr);
    if (s >= 0)
        close(s);
    return r;
}

int net_port_tap(struct net_port *p, const char *name, uint32_t mtu,
                 const char *vif, struct colo_error *err)
{
    const unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 |
                             TUN_F_TSO_ECN;
    int size = (int)NET_VNET;
    struct ifreq ifr;

    p->arena = malloc(NET_BATCH * NET_FRAME_MAX);
    if (!p->arena)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, NET_WHERE, "frames");
    p->tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (p->tap < 0)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE,
                          "/dev/net/tun (kernel module tun)");
    memset(&ifr, 0, sizeof(ifr));
    strcpy(ifr.ifr_name, name);
    ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(p->tap, TUNSETIFF, &ifr) < 0 ||
        ioctl(p->tap, TUNSETVNETHDRSZ, &size) < 0 ||
        ioctl(p->tap, TUNSETOFFLOAD, (unsigned long)offload) < 0 ||
        dress(p->tap, name, mtu) < 0)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE,
                          "the TAP %s for %s", name, vif);
    return 0;
}

int net_port_packet(struct net_port *p, int vif_index, struct colo_error *err)
{
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET, .sll_ifindex = vif_index,
        .sll_protocol = htons(ETH_P_ALL),
    };
    int on = 1, in = RCVBUF, out = SNDBUF;

    p->vif_index = vif_index;

    /* protocol 0: hears nothing before it is bound */
    p->packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->packet < 0)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE, "packet socket");
    (void)setsockopt(p->packet, SOL_SOCKET, SO_RCVBUFFORCE, &in, sizeof(in));
    (void)setsockopt(p->packet, SOL_SOCKET, SO_SNDBUFFORCE, &out, sizeof(out));
    if (setsockopt(p->packet, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
        setsockopt(p->packet, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
        setsockopt(p->packet, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on,
                   sizeof(on)) ||
        bind(p->packet, (struct sockaddr *)&addr, sizeof(addr)))
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE, "packet socket");
    return 0;
}

void net_port_close(struct net_port *p)
{
    if (p->packet >= 0)
        close(p->packet);
    if (p->tap >= 0)
        close(p->tap);
    free(p->arena);
    p->packet = p->tap = -1;
    p->arena = NULL;
}

/* The kernel has taken the tag off: back into the frame, where TAPs have it.
 * There is room behind every frame of the arena. */
static void put_tag(struct msghdr *msg, struct net_frame *f)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    struct tpacket_auxdata aux;
    struct virtio_net_hdr h;
    uint16_t tag[2];
    uint8_t *at = f->data + NET_VNET + 2 * ETH_ALEN;

    if (!c || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
        c->cmsg_len < CMSG_LEN(sizeof(aux)))
        return;
    memcpy(&aux, CMSG_DATA(c), sizeof(aux));
    if (!(aux.tp_status & TP_STATUS_VLAN_VALID) ||
        f->len < NET_VNET + ETH_HLEN)
        return;
    tag[0] = htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ?
                   aux.tp_vlan_tpid : ETH_P_8021Q);
    tag[1] = htons(aux.tp_vlan_tci);
    memmove(at + 4, at, f->len - NET_VNET - 2 * ETH_ALEN);
    memcpy(at, tag, 4);
    f->len += 4;
    memcpy(&h, f->data, sizeof(h));
    if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        h.csum_start = (uint16_t)(h.csum_start + 4);
    if (h.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        h.hdr_len = (uint16_t)(h.hdr_len + 4);
    memcpy(f->data, &h, sizeof(h));
}

static bool keep(struct net_port *p, struct net_frame *f, bool truncated)
{
    if (!truncated && net_frame_ok(f->data, f->len))
        return true;
    p->malformed++;
    return false;
}

/* Set down, an interface comes back; removed, it does not. */
bool net_port_gone(const struct net_port *p)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof(ifr));
    ifr.ifr_ifindex = p->vif_index;
    return ioctl(p->packet, SIOCGIFNAME, &ifr) < 0 && errno == ENODEV;
}

/* One frame that could not be handed to us is one frame lost: a kernel has no
 * header for a guest's datagram that is still to be cut (packet_rcv_vnet says
 * EINVAL), and the next frame is fine. */
static void lost_one(struct net_port *p, int e)
{
    if (e != EAGAIN && e != EINTR && e != ENOBUFS && e != ENETDOWN)
        p->malformed++;
}

static void look_missed(struct net_port *p)
{
    struct tpacket_stats stats;
    socklen_t len = sizeof(stats);

    /* each look sets it to 0 */
    if (getsockopt(p->packet, SOL_PACKET, PACKET_STATISTICS, &stats, &len) ||
        !stats.tp_drops)
        return;
    p->missed += stats.tp_drops;
    p->cut = true;
}

/* What recvmmsg has, past frames that it could not give; < 0: it has gone. */
static int receive(struct net_port *p, struct mmsghdr *mm, int max)
{
    for (int i = 0; i < LOST_MAX; i++) {
        int n = recvmmsg(p->packet, mm, (unsigned)max, MSG_DONTWAIT, NULL);
        int e = errno;

        if (n >= 0)
            return n;
        if (e == EAGAIN)
            return 0;
        if (net_port_gone(p))
            return -1;
        lost_one(p, e);
    }
    return 0;
}

int net_port_from_guest(struct net_port *p, struct net_frame *f, int max)
{
    char control[NET_BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))]
        __attribute__((aligned(8)));
    struct mmsghdr mm[NET_BATCH];
    struct iovec iov[NET_BATCH];
    int n, kept = 0;

    if (p->packet < 0)
        return -1;
    max = max < NET_BATCH ? max : NET_BATCH;
    memset(mm, 0, sizeof(mm));
    for (int i = 0; i < max; i++) {
        iov[i].iov_base = p->arena + (size_t)i * NET_FRAME_MAX;
        iov[i].iov_len = NET_FRAME_MAX - 4; /* room for a tag */
        mm[i].msg_hdr.msg_iov = &iov[i];
        mm[i].msg_hdr.msg_iovlen = 1;
        mm[i].msg_hdr.msg_control = control[i];
        mm[i].msg_hdr.msg_controllen = sizeof(control[i]);
    }
    n = receive(p, mm, max);
    if (n == max)
        look_missed(p);
    for (int i = 0; i < n; i++) {
        f[kept].data = iov[i].iov_base;
        f[kept].len = mm[i].msg_len;
        put_tag(&mm[i].msg_hdr, &f[kept]);
        kept += keep(p, &f[kept], mm[i].msg_hdr.msg_flags & MSG_TRUNC);
    }
    p->from_guest += (uint64_t)kept;
    /* all malformed is not the same as none now */
    return n < 0 ? -1 : kept;
}

int net_port_from_world(struct net_port *p, struct net_frame *f, int max)
{
    int kept = 0;

    max = max < NET_BATCH ? max : NET_BATCH;
    for (int i = 0; i < max; i++) {
        uint8_t *at = p->arena + (size_t)i * NET_FRAME_MAX;
        ssize_t n = read(p->tap, at, NET_FRAME_MAX);

        if (n < 0 && (errno == EBADFD || errno == EBADF))
            return -1; /* somebody has removed our TAP */
        if (n < 0 && errno != EAGAIN && errno != EIO) {
            lost_one(p, errno);
            continue;
        }
        if (n <= 0)
            break;
        f[kept].data = at;
        f[kept].len = (uint32_t)n;
        kept += keep(p, &f[kept], false);
    }
    p->from_world += (uint64_t)kept;
    return kept;
}

bool net_port_to_guest(struct net_port *p, const uint8_t *frame, size_t len)
{
    if (send(p->packet, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
        (ssize_t)len) {
        p->to_guest++;
        return true;
    }
    p->lost_in++;
    return false;
}

bool net_port_to_world(struct net_port *p, const uint8_t *frame, size_t len)
{
    if (write(p->tap, frame, len) != (ssize_t)len)
        return false;
    p->to_world++;
    return true;
}
