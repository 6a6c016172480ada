/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What `colo failover` says of a session that has ended: the session and the
 * guest are made up here.
 */
#include "../unit/pure-common.h"

#include "../../cli/cmd-control.c"

static struct colo_status told; /* what was read last */
static int waited;              /* of cli_client_wait */
static int guest;               /* of colo_check_domain */
static bool paused;
static uint32_t verify_ms;      /* colo_client_verify's limit */

int colo_client_query_status(struct colo_client *client,
                             struct colo_status *status,
                             struct colo_error *err)
{
    (void)client;
    (void)err;
    *status = told;
    return 0;
}

int cli_client_wait(struct colo_client *client, uint32_t timeout_ms,
                    bool (*done)(const struct colo_status *status),
                    struct colo_status *ret_status, struct colo_error *err)
{
    (void)client;
    (void)timeout_ms;
    (void)done;
    (void)err;
    *ret_status = told;
    return waited;
}

int colo_check_domain(const char *domain, int mode, colo_check_fn *fn,
                      void *user, struct colo_error *err)
{
    struct colo_check_item item = { COLO_CHECK_REFUSED, "not-running", "",
                                    "" };

    (void)mode;
    (void)err;
    ck_assert_str_eq(domain, "7");
    if (!guest && paused)
        fn(user, &item);
    return guest;
}

#define ANSWERS(name) \
    int name(struct colo_client *client, uint32_t timeout_ms, \
             struct colo_error *err) \
    { \
        (void)client; \
        (void)timeout_ms; \
        (void)err; \
        return 0; \
    }
ANSWERS(colo_client_do_checkpoint)
ANSWERS(colo_client_failover)
ANSWERS(colo_client_stop)

int colo_client_set_delay(struct colo_client *client, uint32_t interval_ms,
                          uint32_t timeout_ms, struct colo_error *err)
{
    (void)interval_ms;
    return colo_client_stop(client, timeout_ms, err);
}

int colo_client_verify(struct colo_client *client, uint32_t timeout_ms,
                       uint64_t *ret_compared, uint64_t *ret_differing,
                       struct colo_error *err)
{
    verify_ms = timeout_ms;
    *ret_compared = *ret_differing = 0;
    return colo_client_stop(client, timeout_ms, err);
}

void colo_client_close(struct colo_client *client)
{
    (void)client;
}

struct colo_client *cli_connect(const char *domain, int *ret_exit)
{
    static char nobody;

    (void)domain;
    (void)ret_exit;
    return (struct colo_client *)&nobody;
}

static int failover(int state, int failed, int rc)
{
    char *argv[] = { (char[]){ "failover" }, (char[]){ "web" }, NULL };

    memset(&told, 0, sizeof(told));
    told.state = state;
    told.domid = 7;
    told.replication_error = failed;
    strcpy(told.name, "web");
    strcpy(told.error, failed ? "it does not start" : "");
    waited = rc;
    optind = 1;
    return cli_cmd_failover.run(2, argv);
}

START_TEST(test_failover)
{
    guest = 0;
    paused = false;
    ck_assert_int_eq(failover(COLO_STATE_ACTIVE, 0, 1), CLI_OK);
    ck_assert_int_eq(failover(COLO_STATE_ENDED, 0, 1), CLI_OK);
    ck_assert_int_eq(failover(COLO_STATE_TAKEOVER, 0, 0), CLI_OK);
}
END_TEST

START_TEST(test_failed)
{
    guest = 0;
    paused = false;
    ck_assert_int_eq(failover(COLO_STATE_ENDED, 1, 1), CLI_FAILED);
    paused = true; /* gone before its error was read */
    ck_assert_int_eq(failover(COLO_STATE_TAKEOVER, 0, 0), CLI_FAILED);
    guest = COLO_E_NOTFOUND;
    ck_assert_int_eq(failover(COLO_STATE_TAKEOVER, 0, 0), CLI_FAILED);
}
END_TEST

static int verify(const char *seconds)
{
    char text[16];
    char *argv[] = { (char[]){ "verify" }, (char[]){ "-t" }, text,
                     (char[]){ "web" }, NULL };

    snprintf(text, sizeof(text), "%s", seconds);
    optind = 1;
    return cli_cmd_verify.run(4, argv);
}

/* large disks are read for longer than anything else takes */
START_TEST(test_verify)
{
    ck_assert_int_eq(verify("604800"), CLI_OK);
    ck_assert_uint_eq(verify_ms, 604800000);
    ck_assert_int_eq(verify("604801"), CLI_USAGE);
}
END_TEST

PURE_MAIN("cli-control", test_failover, test_failed, test_verify)
