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

/* Two that run, and nothing between them and the network. */
START_TEST(mode_colo_without_its_proxies)
{
    init();
    config.mode = COLO_MODE_COLO;
    config.network_buffer = 0;
    refused("network_buffer must be 1; or use mode remus");
}
END_TEST

PURE_MAIN("session-open", mode_colo_without_its_proxies)
