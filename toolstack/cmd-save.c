/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * save DOMID: the seed stream to stdout.  At its end the guest stands still,
 * suspended; on any failure it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv/watchdog.h"
#include "pure/seed-header.h"
#include "toolstack.h"

#define LATE_SUSPEND_MS 10000

static int write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            report("error", "the seed's stream is broken: %s",
                   strerror(errno));
            return -1;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int write_config(libxl_ctx *ctx, uint32_t domid, int fd)
{
    uint8_t header[SEED_HEADER];
    libxl_domain_config config;
    char *json = NULL;
    int r = -1;

    libxl_domain_config_init(&config);
    if (libxl_retrieve_domain_configuration(ctx, domid, &config, NULL)) {
        report("error", "libxl does not know the configuration of domain %u",
               domid);
        goto out;
    }
    json = libxl_domain_config_to_json(ctx, &config);
    if (!json || strlen(json) > SEED_CONFIG_MAX) {
        report("error", "the configuration cannot be sent");
        goto out;
    }
    seed_header_put(header, (uint32_t)strlen(json));
    r = write_all(fd, header, sizeof(header));
    if (!r)
        r = write_all(fd, json, strlen(json));
out:
    free(json);
    libxl_domain_config_dispose(&config);
    return r;
}

static int save_work(void *arg)
{
    uint32_t domid = *(const uint32_t *)arg;
    int fd, status = EXIT_FAILED;
    libxl_ctx *ctx = NULL;

    /* nothing that libxl's scripts print may get into the stream */
    fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        report("error", "descriptors");
        goto out;
    }
    ctx = report_ctx();
    if (!ctx || write_config(ctx, domid, fd))
        goto out;
    if (libxl_domain_suspend(ctx, domid, fd, LIBXL_SUSPEND_LIVE, NULL))
        goto out; /* reported by libxl */
    status = EXIT_OK;
    report("done", "%s", "");
out:
    libxl_ctx_free(ctx);
    return status;
}

/* A suspend may be under way that nobody waits for any more. */
static void save_undo(void *arg, bool killed)
{
    uint32_t domid = *(const uint32_t *)arg;
    struct colo_error err = { 0 };

    if (colo__hv_xen_recover(domid, killed ? LATE_SUSPEND_MS : 0, NULL,
                             &err))
        report("error", "%s", err.text);
}

int cmd_save(uint32_t domid)
{
    monitor_stop(domid);
    return supervise(save_work, save_undo, &domid);
}
