/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Names of a guest's interfaces and of our ifbs, and what the kernel says of
 * an interface: taken apart as they are, and nothing else taken for them.
 */
#include <check.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "../../net-proxy/ports.h"

static const struct {
    const char *name;
    int domid, devid, emulated; /* domid -1: none */
} port_cases[] = {
    { "vif1.0", 1, 0, 0 },
    { "vif32751.12", 32751, 12, 0 },
    { "vif7.3-emu", 7, 3, 1 },
    { "vif0.0", 0, 0, 0 },
    { "vif", -1, 0, 0 },
    { "vif1", -1, 0, 0 },
    { "vif1.", -1, 0, 0 },
    { "vif.1", -1, 0, 0 },
    { "vif1.0x", -1, 0, 0 },
    { "vif1.0-em", -1, 0, 0 },
    { "vif1.0-emux", -1, 0, 0 },
    { "vif01.0", -1, 0, 0 },
    { "vif1.00", -1, 0, 0 },
    { "vif+1.0", -1, 0, 0 },
    { "vif 1.0", -1, 0, 0 },
    { "vif65536.0", -1, 0, 0 },
    { "vif4294967297.0", -1, 0, 0 },
    { "eth0", -1, 0, 0 },
    { "", -1, 0, 0 },
};

START_TEST(ports)
{
    struct colo_port_id id;
    bool is = colo__port_parse(port_cases[_i].name, &id);

    ck_assert_msg(is == (port_cases[_i].domid >= 0), "%s",
                  port_cases[_i].name);
    if (!is)
        return;
    ck_assert_int_eq(id.domid, port_cases[_i].domid);
    ck_assert_int_eq(id.devid, port_cases[_i].devid);
    ck_assert_int_eq(id.emulated, port_cases[_i].emulated);
}
END_TEST

START_TEST(ifb_names)
{
    struct colo_port_id id = { 32751, 65535, true }, back;
    enum colo_ifb_kind kind;
    char name[COLO_IFNAME];

    colo__ifb_name(&id, COLO_IFB_HOLD, name);
    ck_assert_str_eq(name, "cie32751.65535");
    ck_assert(colo__ifb_parse(name, &kind, &back));
    ck_assert_int_eq(kind, COLO_IFB_HOLD);
    ck_assert(colo__port_same(&id, &back));
    id.emulated = false;
    colo__ifb_name(&id, COLO_IFB_ANNOUNCE, name);
    ck_assert_str_eq(name, "ca32751.65535");
    ck_assert(colo__ifb_parse(name, &kind, &back));
    ck_assert_int_eq(kind, COLO_IFB_ANNOUNCE);
    ck_assert(colo__port_same(&id, &back));
    ck_assert(!colo__ifb_parse("ci", &kind, &back));
    ck_assert(!colo__ifb_parse("c", &kind, &back));
    ck_assert(!colo__ifb_parse("", &kind, &back));
    ck_assert(!colo__ifb_parse("ci1.2x", &kind, &back));
    ck_assert(!colo__ifb_parse("ca1", &kind, &back));
    ck_assert(!colo__ifb_parse("ifb0", &kind, &back));
}
END_TEST

START_TEST(tap_names)
{
    struct colo_port_id id = { 32751, 65535, true };
    enum colo_ifb_kind kind;
    char name[COLO_IFNAME];

    colo__port_tap_name(&id, name);
    ck_assert_str_eq(name, "cne32751.65535");
    id = (struct colo_port_id){ 7, 0, false };
    colo__port_tap_name(&id, name);
    ck_assert_str_eq(name, "cn7.0");
    /* it is neither a guest's nor one that cleanup takes away */
    ck_assert(!colo__port_parse(name, &id));
    ck_assert(!colo__ifb_parse(name, &kind, &id));
}
END_TEST

START_TEST(renamed_by_nobody)
{
    struct colo_port_id id;

    /* no vif is behind these, and none of them leads out of sysfs */
    ck_assert(!colo__port_find("lo", &id));
    ck_assert(!colo__port_find("../../x", &id));
    ck_assert(!colo__port_find("-emu", &id));
    ck_assert(!colo__port_find("a-name-far-too-long-for-it-emu", &id));
}
END_TEST

static struct nl_msg *link_message(int type, int family, bool with_name)
{
    struct ifinfomsg ifi = {
        .ifi_family = (unsigned char)family, .ifi_index = 12,
        .ifi_flags = IFF_UP | IFF_LOWER_UP,
    };
    struct nl_msg *msg = nlmsg_alloc_simple(type, 0);

    ck_assert_ptr_nonnull(msg);
    ck_assert_int_eq(nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO), 0);
    if (with_name)
        ck_assert_int_eq(nla_put_string(msg, IFLA_IFNAME, "vif1.0"), 0);
    return msg;
}

static bool parse(struct nl_msg *msg, struct colo_link_info *info)
{
    bool is = colo__link_parse(nlmsg_hdr(msg), info);

    nlmsg_free(msg);
    return is;
}

START_TEST(links)
{
    struct nl_msg *msg = link_message(RTM_NEWLINK, AF_UNSPEC, true);
    struct colo_link_info info;

    ck_assert_int_eq(nla_put_u32(msg, IFLA_MASTER, 3), 0);
    ck_assert(parse(msg, &info));
    ck_assert_int_eq(info.index, 12);
    ck_assert_int_eq(info.master, 3);
    ck_assert(info.up && !info.gone);
    ck_assert_str_eq(info.name, "vif1.0");

    ck_assert(parse(link_message(RTM_DELLINK, AF_UNSPEC, true), &info));
    ck_assert(info.gone);
    /* a bridge's own notification about a port that it loses */
    ck_assert(!parse(link_message(RTM_DELLINK, AF_BRIDGE, true), &info));
    ck_assert(!parse(link_message(RTM_NEWLINK, AF_UNSPEC, false), &info));
    ck_assert(!parse(link_message(RTM_NEWADDR, AF_UNSPEC, true), &info));

    /* cut short */
    msg = link_message(RTM_NEWLINK, AF_UNSPEC, false);
    nlmsg_hdr(msg)->nlmsg_len -= 4;
    ck_assert(!parse(msg, &info));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net-ports");
    TCase *tc = tcase_create("ports");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, ports, 0, (int)COLO_ARRAY_LEN(port_cases));
    tcase_add_test(tc, ifb_names);
    tcase_add_test(tc, tap_names);
    tcase_add_test(tc, renamed_by_nobody);
    tcase_add_test(tc, links);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
