/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the two colo-net of a card tell each other, and the record that one
 * leaves of a vif: both come from outside.
 */
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../net-proxy/colo-net/twin.h"

static size_t message(uint8_t *buf, uint8_t type, uint64_t epoch,
                      const void *body, uint32_t len)
{
    net_wire_header(buf, type, epoch, len);
    if (len)
        memcpy(buf + NET_WIRE_HEADER, body, len);
    return NET_WIRE_HEADER + len;
}

START_TEST(a_message_and_every_beginning_of_it)
{
    uint8_t frame[64] = { 0 }, buf[128];
    struct net_msg m;
    size_t n = message(buf, NET_MSG_INPUT, 7, frame, sizeof(frame));

    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(net_wire_parse(pure_guarded(buf, i), i, &m), 0);
    ck_assert_int_eq(net_wire_parse(pure_guarded(buf, n), n, &m), (int)n);
    ck_assert_uint_eq(m.epoch, 7);
    ck_assert_uint_eq(m.len, sizeof(frame));
    ck_assert_uint_eq(m.type, NET_MSG_INPUT);
}
END_TEST

START_TEST(what_is_never_valid)
{
    uint8_t frame[64] = { 0 }, buf[128];
    struct net_msg m;

    message(buf, NET_MSG_INPUT, 0, frame, sizeof(frame));
    buf[4] = 0; /* no such type, told by the header alone */
    ck_assert_int_eq(net_wire_parse(buf, NET_WIRE_HEADER, &m), COLO_E_PROTO);
    buf[4] = 6;
    ck_assert_int_eq(net_wire_parse(buf, NET_WIRE_HEADER, &m), COLO_E_PROTO);
    buf[4] = NET_MSG_INPUT;
    buf[6] = 1; /* not zero */
    ck_assert_int_eq(net_wire_parse(buf, NET_WIRE_HEADER, &m), COLO_E_PROTO);
    net_wire_header(buf, NET_MSG_OUTPUT, 0, NET_WIRE_BODY_MAX + 1);
    ck_assert_int_eq(net_wire_parse(buf, NET_WIRE_HEADER, &m), COLO_E_PROTO);
    net_wire_header(buf, NET_MSG_EPOCH, 0, 1);
    ck_assert_int_eq(net_wire_parse(buf, NET_WIRE_HEADER, &m), COLO_E_PROTO);
    net_wire_header(buf, NET_MSG_OUTPUT, 0, (uint32_t)NET_VNET);
    ck_assert_int_eq(net_wire_parse(buf, NET_WIRE_HEADER, &m), COLO_E_PROTO);
}
END_TEST

START_TEST(a_frame_s_header_stays_inside_the_frame)
{
    uint8_t buf[128] = { 0 };
    struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                .csum_start = 34, .csum_offset = 16 };

    memcpy(buf, &h, sizeof(h));
    ck_assert(net_frame_ok(buf, NET_VNET + 52));
    ck_assert(!net_frame_ok(buf, NET_VNET + 51)); /* checksum is at 50, 51 */
    h = (struct virtio_net_hdr){ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                 .gso_size = 1448, .hdr_len = 66 };
    memcpy(buf, &h, sizeof(h));
    ck_assert(net_frame_ok(buf, NET_VNET + 66));
    ck_assert(!net_frame_ok(buf, NET_VNET + 65));
    h.gso_size = 0;
    memcpy(buf, &h, sizeof(h));
    ck_assert(!net_frame_ok(buf, NET_VNET + 66));
    memset(buf, 0, sizeof(buf));
    ck_assert(!net_frame_ok(buf, NET_VNET + 13));
}
END_TEST

static void pair(struct net_twin *p, struct net_twin *s, bool same_role)
{
    int fd[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
                     0);
    memset(p, 0, sizeof(*p));
    memset(s, 0, sizeof(*s));
    p->fd = s->fd = -1;
    ck_assert_int_eq(net_twin_open(p, fd[0], same_role, NULL), 0);
    ck_assert_int_eq(net_twin_open(s, fd[1], true, NULL), 0);
}

START_TEST(twins_greet_and_keep_the_order)
{
    struct net_twin p, s;
    uint8_t frame[100] = { 0 };
    struct net_msg m;

    pair(&p, &s, false);
    for (uint8_t i = 0; i < 200; i++) {
        frame[50] = i;
        ck_assert(net_twin_put(&p, NET_MSG_INPUT, i, frame, sizeof(frame)));
    }
    net_twin_flush(&p, 1);
    net_twin_flush(&s, 1);
    for (unsigned i = 0; i < 200; i++) {
        net_twin_fill(&s);
        ck_assert_int_eq(net_twin_peek(&s, true, &m), 1);
        ck_assert_uint_eq(m.epoch, i);
        ck_assert_uint_eq(m.body[50], i);
        net_twin_next(&s, &m);
    }
    ck_assert_int_eq(net_twin_peek(&s, true, &m), 0);
    ck_assert(s.hello && s.fd >= 0);
    net_twin_fill(&p);
    ck_assert_int_eq(net_twin_peek(&p, false, &m), 0);
    ck_assert(p.hello);
    net_twin_close(&p);
    net_twin_fill(&s);
    ck_assert_int_eq(s.fd, -1);
    ck_assert_str_ne(s.why, "");
    net_twin_close(&s);
}
END_TEST

START_TEST(two_of_one_role_are_no_twins)
{
    struct net_twin p, s;
    struct net_msg m;

    pair(&p, &s, true);
    net_twin_flush(&p, 1);
    net_twin_fill(&s);
    ck_assert_int_eq(net_twin_peek(&s, true, &m), 0);
    ck_assert_int_eq(s.fd, -1);
    net_twin_close(&p);
    net_twin_close(&s);
}
END_TEST

/* Nothing is due before it is awaited: that may be hours. */
START_TEST(a_greeting_has_a_deadline)
{
    struct net_twin p, s;
    struct net_msg m;

    pair(&p, &s, false);
    net_twin_flush(&p, 1000000);
    net_twin_flush(&p, 900000000);
    ck_assert_int_ge(p.fd, 0);
    net_twin_await(&p, 1000000000);
    net_twin_await(&p, 1008000000); /* it counts from the first time */
    net_twin_flush(&p, 1010000000);
    ck_assert_int_ge(p.fd, 0);
    net_twin_flush(&p, 1010000001);
    ck_assert_int_eq(p.fd, -1);
    ck_assert_str_eq(p.why, "the twin is silent");
    net_twin_close(&p);
    net_twin_close(&s);
    /* one that has greeted may be silent */
    pair(&p, &s, false);
    net_twin_await(&p, 1000000);
    net_twin_flush(&s, 1);
    net_twin_fill(&p);
    ck_assert_int_eq(net_twin_peek(&p, false, &m), 0);
    net_twin_flush(&p, 900000000);
    ck_assert_int_ge(p.fd, 0);
    net_twin_close(&p);
    net_twin_close(&s);
}
END_TEST

START_TEST(a_queue_has_an_end_and_a_deadline)
{
    static uint8_t frame[60000];
    struct net_twin p, s;
    size_t n = 0;

    pair(&p, &s, false);
    while (net_twin_put(&p, NET_MSG_INPUT, 0, frame, sizeof(frame)))
        n++;
    ck_assert_uint_ge(n, NET_TWIN_MAX / sizeof(frame) - 1);
    ck_assert(net_twin_full(&p));
    net_twin_flush(&p, 1000000);
    net_twin_flush(&p, 10000000);
    ck_assert_int_ge(p.fd, 0);
    net_twin_flush(&p, 12000000); /* ten seconds without a byte */
    ck_assert_int_eq(p.fd, -1);
    net_twin_close(&p);
    net_twin_close(&s);
}
END_TEST

START_TEST(a_record_comes_back)
{
    struct net_record r = {
        .vif = "vif7.0-emu", .bridge = "xenbr0", .tap = "cne7.0",
        .secondary = true, .had_arp = true, .has_vlans = true,
        .nr_settings = 1, .nr_vlans = 2,
        .setting = { { "hairpin_mode", 1 } }, .vlan = { { 6, 1 }, { 2, 40 } },
    }, got;
    int fd = memfd_create("record", MFD_CLOEXEC);

    ck_assert_int_eq(net_record_read(fd, &got, NULL), COLO_E_NOTFOUND);
    ck_assert_int_eq(net_record_write(fd, &r, NULL), 0);
    ck_assert_int_eq(net_record_read(fd, &got, NULL), 0);
    ck_assert_str_eq(got.vif, r.vif);
    ck_assert_str_eq(got.bridge, r.bridge);
    ck_assert_str_eq(got.tap, r.tap);
    ck_assert(got.secondary && got.had_arp && !got.had_ipv6);
    ck_assert(got.has_vlans);
    ck_assert_str_eq(got.setting[0].name, "hairpin_mode");
    ck_assert_uint_eq(got.setting[0].value, 1);
    ck_assert_uint_eq(got.nr_vlans, 2);
    ck_assert_uint_eq(got.vlan[1].vid, 40);
    ck_assert_uint_eq(got.vlan[1].flags, 2);
    net_record_clear(fd);
    ck_assert_int_eq(net_record_read(fd, &got, NULL), COLO_E_NOTFOUND);
    close(fd);
}
END_TEST

START_TEST(a_damaged_record_is_none)
{
    static const char *const bad[] = {
        "vif a\nbridge b\ntap", "vif a\nbridge b\n", "vif a\nbridge b\ntap c",
        "vif a\nbridge b\ntap c\nwhat 1\n",
        "vif a\nbridge ../x\ntap c\n",
        "vif a\nbridge b\ntap c\nvlan 4096 0\n",
        "vif a\nbridge b\ntap c\nset ../uevent 1\n",
    };
    static const char good[] = "vif a\nbridge b\ntap c\nset learning 1\n";
    struct net_record r;

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++)
        ck_assert_msg(net_record_parse(bad[i], strlen(bad[i]), &r) == -1,
                      "%s", bad[i]);
    ck_assert_int_eq(net_record_parse(good, strlen(good), &r), 0);
    ck_assert(!r.has_vlans); /* an older one does not say */
}
END_TEST

PURE_MAIN("net-twin", a_message_and_every_beginning_of_it, what_is_never_valid,
          a_frame_s_header_stays_inside_the_frame,
          twins_greet_and_keep_the_order, two_of_one_role_are_no_twins,
          a_greeting_has_a_deadline, a_queue_has_an_end_and_a_deadline,
          a_record_comes_back,
          a_damaged_record_is_none)
