/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Finding a session of this host and waiting for it.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "cli.h"

struct colo_client *cli_connect(const char *domain, int *ret_exit)
{
    struct colo_client *client = NULL;
    struct colo_error err;
    int rc;

    rc = colo_connect(domain, &client, &err);
    if (rc) {
        *ret_exit = cli_fail(&err, "%s", domain);
        /* at three in the morning the first question is why there is none */
        if (rc == COLO_E_NOTFOUND)
            cli_say_log(domain);
        return NULL;
    }
    return client;
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static int fail(struct colo_error *err, int code, const char *text)
{
    memset(err, 0, sizeof(*err));
    err->code = code;
    snprintf(err->where, sizeof(err->where), "colo");
    snprintf(err->text, sizeof(err->text), "%s", text);
    return code;
}

int cli_client_wait(struct colo_client *client, uint32_t timeout_ms,
                    bool (*done)(const struct colo_status *status),
                    struct colo_status *ret_status, struct colo_error *err)
{
    uint64_t end = now_ms() + timeout_ms;
    int rc;

    for (;;) {
        struct pollfd pfd = { colo_client_get_fd(client), POLLIN, 0 };
        struct colo_status status;
        uint64_t now;

        rc = colo_client_process(client, err);
        if (rc <= 0)
            return rc;
        memset(&status, 0, sizeof(status));
        status.size = sizeof(status);
        rc = colo_client_query_status(client, &status, err);
        if (rc == COLO_E_NOTFOUND)
            return 0;
        if (rc)
            return rc;
        *ret_status = status;
        if (done && done(&status))
            return 1;
        now = now_ms();
        if (now >= end)
            return fail(err, COLO_E_TIMEOUT, "it takes longer than expected; "
                        "follow it with `colo events`");
        if (poll(&pfd, 1, (int)(end - now)) < 0 && errno != EINTR)
            return fail(err, COLO_E_SYS, strerror(errno));
    }
}
