/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * start, destroy, end, config: the short commands.  Of a guest of libvirt's,
 * libvirt does them, if it answers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt.h"
#include "monitor-lock.h"

#define STOP_MS 2000 /* a monitor that was told to end */

/* The library has let it run already; what is left is its name. */
int cmd_start(uint32_t domid, const char *name)
{
    libxl_ctx *ctx = report_ctx();
    int status = EXIT_FAILED;

    if (!ctx)
        goto out;
    if (libvirt_has(ctx, domid)) {
        /* it has its name, and runs */
        if (libvirt_do("start", domid))
            report("warning", "libvirt has not taken note that domain %u runs",
                   domid);
    } else if (libxl_domain_rename(ctx, domid, NULL, name)) {
        report("error", "domain %u cannot be called %s", domid, name);
        goto out;
    }
    report("done", "%s", "");
    status = EXIT_OK;
out:
    libxl_ctx_free(ctx);
    return status;
}

int cmd_destroy(uint32_t domid)
{
    libxl_ctx *ctx = report_ctx();
    int status = EXIT_FAILED, r;

    if (!ctx)
        goto out;
    r = libvirt_has(ctx, domid) ? libvirt_do("destroy", domid) : -1;
    if (r)
        r = libxl_domain_destroy(ctx, domid, NULL);
    if (r && r != ERROR_DOMAIN_NOTFOUND)
        goto out;
    report("done", "%s", "");
    status = EXIT_OK;
out:
    libxl_ctx_free(ctx);
    return status;
}

int cmd_end(uint32_t domid, int reason)
{
    int64_t next;
    int lock;

    monitor_stop(domid);
    lock = monitor_lock(domid, STOP_MS);
    if (lock == MONITOR_HELD) {
        report("done", "%s", ""); /* it is being carried out already */
        return EXIT_OK;
    }
    /* Whoever waits for us may lose patience and have a monitor started. */
    monitor_acts(lock);
    next = end_domain(domid, reason);
    if (next < 0)
        return EXIT_FAILED;
    /* a guest started anew has nobody else to watch for its end */
    if (next)
        return cmd_monitor((uint32_t)next);
    report("done", "%s", "");
    return EXIT_OK;
}

int cmd_config(uint32_t domid)
{
    libxl_domain_config config;
    libxl_ctx *ctx = NULL;
    int status = EXIT_FAILED;
    char *json = NULL;

    libxl_domain_config_init(&config);
    ctx = report_ctx();
    if (!ctx ||
        libxl_retrieve_domain_configuration(ctx, domid, &config, NULL))
        goto out;
    json = libxl_domain_config_to_json(ctx, &config);
    if (!json || puts(json) < 0 || fflush(stdout))
        goto out;
    status = EXIT_OK;
out:
    free(json);
    libxl_domain_config_dispose(&config);
    libxl_ctx_free(ctx);
    return status;
}
