/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * monitor DOMID: a detached process that waits for the guest's end and then
 * does what its configuration says, as xl's does, which ends at the first
 * suspend.  Suspends are none of its business.  It waits for xenstored's
 * word; libxl's own events are not used, since libxl reports no shutdown of
 * a domain that it has seen suspended.  A guest of libvirt's is given back to
 * libvirt's own watching, if libvirtd answers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#include "hv/compat-xen.h"
#include "libvirt.h"
#include "monitor-lock.h"

/* Is an xl process writing the log of this guest, that is, watching it?
 * It ends at the guest's first suspend; until then two would act. */
static bool is_xl_of(const char *pid, const char *name)
{
    char path[64], comm[16] = "", log[300], target[300];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "/proc/%.10s/comm", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, comm, sizeof(comm) - 1);
        close(fd);
    }
    if (n < 0 || strcmp(comm, "xl\n"))
        return false;
    snprintf(path, sizeof(path), "/proc/%.10s/fd/1", pid);
    n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return false;
    target[n] = 0;
    snprintf(log, sizeof(log), "/var/log/xen/xl-%s.log", name);
    return !strcmp(target, log);
}

static bool xl_watches(uint32_t domid)
{
    char path[64], *name = NULL;
    struct xs_handle *xs = xs_open(0);
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    bool found = false;
    unsigned len;

    snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
    if (xs)
        name = xs_read(xs, XBT_NULL, path, &len);
    while (name && dir && !found && (entry = readdir(dir)))
        found = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
                is_xl_of(entry->d_name, name);
    free(name);
    if (dir)
        closedir(dir);
    xs_close(xs);
    return found;
}

/* -1 gone, 0 running or suspended, 1 shut down: *ret_reason */
static int look(xc_interface *xch, uint32_t domid, int *ret_reason)
{
    xc_domaininfo_t info;

    if (compat_domain_getinfo(xch, domid, &info) < 0)
        return errno == ESRCH ? -1 : 0;
    if (info.flags & XEN_DOMINF_dying)
        return -1;
    if (!(info.flags & XEN_DOMINF_shutdown))
        return 0;
    *ret_reason = compat_shutdown_reason(&info);
    return *ret_reason == SHUTDOWN_suspend ? 0 : 1;
}

/* Until the domain has gone (-1) or is shut down (its reason). */
static int wait_for_end(xc_interface *xch, struct xs_handle *xs,
                        uint32_t domid)
{
    int reason = 0;

    for (;;) {
        int r = look(xch, domid, &reason);
        unsigned n;
        char **event;

        if (r)
            return r < 0 ? -1 : reason;
        event = xs_read_watch(xs, &n);
        if (!event)
            return -1;
        free(event);
    }
}

static void watch_on(uint32_t domid, int lock)
{
    xc_interface *xch = xc_interface_open(NULL, NULL, 0);
    struct xs_handle *xs = xs_open(0);

    if (!xch || !xs || !xs_watch(xs, "@releaseDomain", "m")) {
        report("error", "cannot watch domain %u", domid);
        _exit(EXIT_FAILED);
    }
    report("done", "%s", "");
    close(REPORT_FD);
    for (;;) {
        int reason = wait_for_end(xch, xs, domid);
        int64_t next = 0;

        if (reason >= 0) {
            monitor_acts(lock);
            next = end_domain(domid, reason);
        }
        if (next <= 0)
            break;
        domid = (uint32_t)next;
        if (lock >= 0)
            close(lock);
        lock = monitor_lock(domid, 0);
    }
    xs_close(xs);
    xc_interface_close(xch);
    _exit(EXIT_OK);
}

static int detach(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 ||
        chdir("/") < 0)
        return -1;
    close(fd);
    close(LIFE_FD);
    setsid();
    return 0;
}

/* Is it watched as before, by libvirt? */
static bool libvirt_watches(uint32_t domid)
{
    libxl_ctx *ctx = report_ctx();
    bool has = ctx && libvirt_has(ctx, domid);

    libxl_ctx_free(ctx);
    if (!has)
        return false;
    if (libvirt_do("rearm", domid) == EXIT_OK)
        return true;
    report("warning", "libvirt does not watch for the end of domain %u: "
           "a program of libcolo's does", domid);
    return false;
}

int cmd_monitor(uint32_t domid)
{
    int lock;
    pid_t pid;

    /* one that ends the guest right now must not find it suspended, either */
    if (monitor_is_there(domid) || xl_watches(domid) ||
        libvirt_watches(domid)) {
        report("done", "%s", "");
        return EXIT_OK;
    }
    pid = fork();
    if (pid < 0) {
        report("error", "cannot fork");
        return EXIT_FAILED;
    }
    /* the child says "done" once it watches; the pipe stays open till then */
    if (pid)
        _exit(EXIT_OK);
    if (detach()) {
        report("error", "cannot detach");
        _exit(EXIT_FAILED);
    }
    lock = monitor_lock(domid, 0);
    if (lock == MONITOR_HELD) {
        report("done", "%s", ""); /* there is one already */
        _exit(EXIT_OK);
    }
    watch_on(domid, lock);
    return EXIT_OK;
}
