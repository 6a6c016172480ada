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
#include "libvirt.h"
#include "monitor-lock.h"
#include "pure/seed-header.h"

#define LATE_SUSPEND_MS 10000

/* What the other side needs to make it a guest of libvirt's, *ret_xml: NULL
 * if it shall be libxl's. */
static int get_xml(libxl_ctx *ctx, uint32_t domid, int toolstack,
                   char **ret_xml)
{
    bool must = toolstack == TOOLSTACK_LIBVIRT;

    *ret_xml = NULL;
    if (toolstack == TOOLSTACK_XL)
        return 0;
    if (!libvirt_has(ctx, domid)) {
        if (must)
            report("error", "libvirt has not started this guest");
        return must ? -1 : 0;
    }
    *ret_xml = libvirt_xml(domid);
    if (*ret_xml)
        return 0;
    report(must ? "error" : "warning", "libvirt does not tell the guest's "
           "definition%s", must ? "" : ": the replica will not be libvirt's");
    return must ? -1 : 0;
}

int write_config(libxl_ctx *ctx, uint32_t domid, int toolstack, int fd)
{
    uint8_t header[SEED_HEADER];
    libxl_domain_config config;
    char *json = NULL, *xml = NULL;
    size_t len, xml_len;
    int r = -1;

    libxl_domain_config_init(&config);
    if (libxl_retrieve_domain_configuration(ctx, domid, &config, NULL)) {
        report("error", "libxl does not know the configuration of domain %u",
               domid);
        goto out;
    }
    if (get_xml(ctx, domid, toolstack, &xml))
        goto out;
    json = libxl_domain_config_to_json(ctx, &config);
    len = json ? strlen(json) + 1 : 0; /* with the NUL between the two */
    xml_len = xml ? strlen(xml) : 0;
    if (!json || len + xml_len > SEED_CONFIG_MAX) {
        report("error", "the configuration cannot be sent");
        goto out;
    }
    len -= xml ? 0 : 1;
    seed_header_put(header, (uint32_t)(len + xml_len));
    r = write_all(fd, header, sizeof(header)) && write_all(fd, json, len) &&
        write_all(fd, xml, xml_len) ? 0 : -1;
    if (r)
        report("error", "the seed's stream is broken: %s", strerror(errno));
out:
    free(xml);
    free(json);
    libxl_domain_config_dispose(&config);
    return r;
}

struct save {
    uint32_t domid;
    pid_t session; /* its process */
    int toolstack;
};

static int save_work(void *arg)
{
    const struct save *save = arg;
    int fd, status = EXIT_FAILED;
    libxl_ctx *ctx = NULL;

    /* nothing that libxl's scripts print may get into the stream */
    fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        report("error", "descriptors");
        goto out;
    }
    ctx = report_ctx();
    if (!ctx || write_config(ctx, save->domid, save->toolstack, fd))
        goto out;
    if (libxl_domain_suspend(ctx, save->domid, fd, LIBXL_SUSPEND_LIVE,
                             NULL))
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
    const struct save *save = arg;
    struct colo_error err = { 0 };

    if (colo__hv_xen_recover(save->domid, save->session,
                             killed ? LATE_SUSPEND_MS : 0, NULL, &err))
        report("error", "%s", err.text);
}

int cmd_save(uint32_t domid, int toolstack)
{
    struct save save = { domid, getppid(), toolstack };

    monitor_stop(domid);
    return supervise(save_work, save_undo, &save);
}
