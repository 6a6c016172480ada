/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Settings that a session refuses before it looks for Xen.
 */
#include "pure-common.h"

#include "colo.h"

static struct colo_config config;
static struct colo_error err;

static void init(void)
{
    ck_assert_int_eq(colo_config_init(&config, sizeof(config)), 0);
    config.role = COLO_ROLE_PRIMARY;
    config.domain = "no-such-guest";
    config.peer = "no-such-host";
}

static void refused(const char *words)
{
    struct colo_session *session = NULL;

    ck_assert_int_eq(colo_session_open(&config, &session, &err),
                     COLO_E_INVAL);
    ck_assert_ptr_null(session);
    ck_text(err, words);
}

/* Two that run, and nothing between them and the network, or the disks. */
START_TEST(mode_colo_without_its_proxies)
{
    init();
    config.mode = COLO_MODE_COLO;
    config.network_buffer = 0;
    refused("network_buffer must be 1; or use mode remus");
    config.network_buffer = 1;
    config.disks = 0;
    refused("disks must be 1; or use mode remus");
}
END_TEST

START_TEST(policies_that_are_none)
{
    static const char *const bad[] = {
        "dns", "dns=", "dns=ignore", "arp=pass", "dns=pass,udp=pass",
        "dns=pass udp = pass",
    };
    char many[17 * 9 + 1] = "", wide[300];

    init();
    config.mode = COLO_MODE_COLO;
    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        config.net_policy = bad[i];
        refused("is not one of link, tcp, udp, dns, quic, icmp, other");
    }
    for (int i = 0; i < 17; i++)
        strcat(many, "dns=pass ");
    config.net_policy = many;
    refused("more than 16 words");
    memset(wide, ' ', sizeof(wide));
    wide[sizeof(wide) - 1] = '\0';
    config.net_policy = wide;
    refused("more than 255 characters");
}
END_TEST

PURE_MAIN("session-open", mode_colo_without_its_proxies,
          policies_that_are_none)
