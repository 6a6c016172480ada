/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The end of a guest that its configuration asks for: what xl's own watcher
 * does, and libxl's events cannot trigger any more once a guest has been
 * suspended.  Called by "end" and by the monitor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "disk-script.h"
#include "libvirt.h"

#define DUMP_DIR "/var/lib/xen/dump"
#define LIBVIRT_DUMP_DIR "/var/lib/libvirt/libxl/dump"
#define LIBVIRT_FIRST_MS 2000
#define LIBVIRT_ACTS_MS 30000 /* to end a guest, once it has begun */
#define LOOK_MS 100

static libxl_action_on_shutdown action_for(const libxl_domain_config *config,
                                           int reason)
{
    switch (reason) {
    case LIBXL_SHUTDOWN_REASON_POWEROFF:
        return config->on_poweroff;
    case LIBXL_SHUTDOWN_REASON_REBOOT:
        return config->on_reboot;
    case LIBXL_SHUTDOWN_REASON_CRASH:
        return config->on_crash;
    case LIBXL_SHUTDOWN_REASON_WATCHDOG:
        return config->on_watchdog;
    case LIBXL_SHUTDOWN_REASON_SOFT_RESET:
        return config->on_soft_reset;
    default:
        return LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
    }
}

static void dump_core(libxl_ctx *ctx, uint32_t domid, const char *name,
                      bool libvirt)
{
    char path[256];

    if (!name || strchr(name, '/'))
        return;
    snprintf(path, sizeof(path), "%s/%s",
             libvirt ? LIBVIRT_DUMP_DIR : DUMP_DIR, name);
    if (libxl_domain_core_dump(ctx, domid, path, NULL))
        report("warning", "core dump of domain %u failed", domid);
}

/* Out of the way under another name, kept for somebody to look at. */
static int preserve(libxl_ctx *ctx, uint32_t domid,
                    libxl_domain_config *config)
{
    char suffix[24] = "";
    time_t now = time(NULL);
    libxl_uuid uuid;
    struct tm tm;

    if (!gmtime_r(&now, &tm) ||
        !strftime(suffix, sizeof(suffix), "-%Y%m%dT%H%MZ", &tm))
        return -1;
    libxl_uuid_generate(&uuid);
    return libxl_domain_preserve(ctx, domid, &config->c_info, suffix, uuid);
}

/* With the end of a guest of libvirt's its hook has taken the guest's devices
 * away, or does so once libvirtd is back. */
static int64_t create(libxl_ctx *ctx, libxl_domain_config *config)
{
    uint32_t domid = INVALID_DOMID;

    if (disk_script_use(config)) {
        report("error", "no memory");
        return -1;
    }
    for (int i = 0; i < CREATE_TRIES; i++) {
        sleep(CREATE_PAUSE_S);
        domid = INVALID_DOMID;
        if (!libxl_domain_create_new(ctx, config, &domid, NULL, NULL)) {
            if (libxl_domain_unpause(ctx, domid, NULL))
                report("error", "domain %u cannot be started", domid);
            report("domid", "%u", domid);
            return domid;
        }
    }
    report("error", "the guest cannot be created again");
    return -1;
}

static bool is_here(libxl_ctx *ctx, uint32_t domid)
{
    return libxl_domain_info(ctx, NULL, domid) != ERROR_DOMAIN_NOTFOUND;
}

/* libvirt may have come that far before it ceased to answer. */
static int destroy(libxl_ctx *ctx, uint32_t domid)
{
    return libxl_domain_destroy(ctx, domid, NULL) && is_here(ctx, domid) ? -1
                                                                         : 0;
}

static int64_t carry_out(libxl_ctx *ctx, uint32_t domid,
                         libxl_domain_config *config,
                         libxl_action_on_shutdown action)
{
    switch (action) {
    case LIBXL_ACTION_ON_SHUTDOWN_PRESERVE:
        return 0;
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME:
        if (preserve(ctx, domid, config) && is_here(ctx, domid))
            return -1;
        return create(ctx, config);
    case LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET:
        report("warning", "a soft reset is not supported after protection: "
               "the guest is started anew");
        /* fall through */
    case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART:
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART:
        if (destroy(ctx, domid))
            return -1;
        return create(ctx, config);
    case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY:
    case LIBXL_ACTION_ON_SHUTDOWN_DESTROY:
    default:
        return destroy(ctx, domid);
    }
}

/* ---- libvirt ---- */

/* After a restart of libvirtd it sees a guest's end by itself, and does what is
 * to be done.  Only it knows whether it does: it has the first word.  What it
 * destroys it pauses first: then it is at work, and what it would find in the
 * place of ours is the guest that it has started anew. */
static bool libvirt_has_done_it(libxl_ctx *ctx, uint32_t domid)
{
    int limit = LIBVIRT_FIRST_MS;

    for (int ms = 0; ms < limit; ms += LOOK_MS) {
        libxl_dominfo info;
        int r;

        libxl_dominfo_init(&info);
        r = libxl_domain_info(ctx, &info, domid);
        if (!r && (info.paused || info.dying))
            limit = LIBVIRT_ACTS_MS;
        libxl_dominfo_dispose(&info);
        if (r == ERROR_DOMAIN_NOTFOUND)
            return true;
        usleep(LOOK_MS * 1000);
    }
    return false;
}

/* Has libvirt started it anew, although it said that it could not? */
static bool is_elsewhere(libxl_ctx *ctx, uint32_t domid,
                         const libxl_uuid *uuid)
{
    libxl_dominfo *list;
    bool found = false;
    int n = 0;

    list = libxl_list_domain(ctx, &n);
    for (int i = 0; list && i < n; i++)
        found |= list[i].domid != domid && !list[i].dying &&
                 !libxl_uuid_compare(&list[i].uuid, uuid);
    if (list)
        libxl_dominfo_list_free(list, n);
    return found;
}

/* What libvirt makes of each action.  Returns as end_domain, or 1: libvirt does
 * not answer, or has not done what libxl can as well. */
static int64_t carry_out_by_libvirt(libxl_ctx *ctx, uint32_t domid,
                                    const libxl_uuid *uuid,
                                    libxl_action_on_shutdown action)
{
    int status;

    switch (action) {
    case LIBXL_ACTION_ON_SHUTDOWN_PRESERVE:
        return 0;
    case LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET:
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME:
    case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART:
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART:
        status = libvirt_do("restart", domid);
        /* a guest that was ended and is not started again is the worst */
        if (status == EXIT_FAILED && !is_elsewhere(ctx, domid, uuid))
            status = EXIT_ABSENT;
        break;
    default:
        status = libvirt_do("destroy", domid) ? EXIT_ABSENT : EXIT_OK;
        break;
    }
    if (status == EXIT_ABSENT)
        report("warning", "libvirt does not do it: the guest's end is carried "
               "out without it");
    return status == EXIT_OK ? 0 : status == EXIT_ABSENT ? 1 : -1;
}

int64_t end_domain(uint32_t domid, int reason)
{
    libxl_action_on_shutdown action = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
    libxl_domain_config config;
    libxl_ctx *ctx = NULL;
    int64_t next = -1;
    bool libvirt;

    libxl_domain_config_init(&config);
    ctx = report_ctx();
    if (!ctx)
        goto out;
    libvirt = libvirt_has(ctx, domid);
    if (libvirt && libvirt_has_done_it(ctx, domid)) {
        next = 0;
        goto out;
    }
    if (libxl_retrieve_domain_configuration(ctx, domid, &config, NULL))
        report("error", "the configuration of domain %u is lost: it is "
               "destroyed", domid);
    else
        action = action_for(&config, reason);
    if (action == LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY ||
        action == LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART)
        dump_core(ctx, domid, config.c_info.name, libvirt);
    next = libvirt ? carry_out_by_libvirt(ctx, domid, &config.c_info.uuid,
                                          action) : 1;
    if (next > 0)
        next = carry_out(ctx, domid, &config, action);
out:
    libxl_domain_config_dispose(&config);
    libxl_ctx_free(ctx);
    return next;
}
