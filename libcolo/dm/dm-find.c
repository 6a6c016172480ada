/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See dm-find.h.  Called when a session begins and when a replica is there.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#include "dm-find.h"

#define OURS "unix:/run/libcolo/"
#define CMDLINE_MAX (64u << 10) /* QEMU's have some thousand bytes */

/* "unix:/run/libcolo/NAME.qmp,server=on,...": the path, if it stays there */
static bool take_path(const char *arg, size_t len,
                      char path[COLO_DM_PATH_MAX])
{
    const char *comma = memchr(arg, ',', len);
    const size_t scheme = strlen("unix:");

    if (comma)
        len = (size_t)(comma - arg);
    if (len <= strlen(OURS) || memcmp(arg, OURS, strlen(OURS)) ||
        memchr(arg + strlen(OURS), '/', len - strlen(OURS)) ||
        len - scheme >= COLO_DM_PATH_MAX)
        return false;
    memcpy(path, arg + scheme, len - scheme);
    path[len - scheme] = 0;
    return true;
}

bool colo__dm_find_argument(const char *cmdline, size_t len,
                            char path[COLO_DM_PATH_MAX])
{
    bool after_qmp = false;

    for (size_t at = 0; at < len;) {
        const char *arg = cmdline + at;
        size_t n = strnlen(arg, len - at);

        if (after_qmp && take_path(arg, n, path))
            return true;
        after_qmp = (n == 4 && !memcmp(arg, "-qmp", 4)) ||
                    (n == 5 && !memcmp(arg, "--qmp", 5));
        at += n + 1;
    }
    return false;
}

/* 0: none */
static unsigned long device_model_pid(uint32_t domid, struct colo_error *err)
{
    struct xs_handle *xs = xs_open(0);
    unsigned long pid = 0;
    char node[80], *text, *end;

    if (!xs) {
        colo__fail(err, COLO_E_STORE, errno, "dm", "cannot reach xenstore");
        return 0;
    }
    snprintf(node, sizeof(node), "/local/domain/%u/image/device-model-pid",
             domid);
    text = xs_read(xs, XBT_NULL, node, NULL);
    if (text) {
        pid = strtoul(text, &end, 10);
        if (*end || pid > INT32_MAX)
            pid = 0;
    }
    if (!pid)
        colo__fail(err, COLO_E_NOTFOUND, 0, "dm",
                   "domain %u has no device model", domid);
    free(text);
    xs_close(xs);
    return pid;
}

static size_t read_cmdline(unsigned long pid, char *buf, size_t cap)
{
    size_t len = 0;
    char path[40];
    int fd;

    snprintf(path, sizeof(path), "/proc/%lu/cmdline", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && len < cap) {
        ssize_t r = read(fd, buf + len, cap - len);

        if (r <= 0)
            break;
        len += (size_t)r;
    }
    if (fd >= 0)
        close(fd);
    return len;
}

int colo__dm_find(uint32_t domid, char path[COLO_DM_PATH_MAX],
                  struct colo_error *err)
{
    struct colo_error why = { 0 };
    unsigned long pid = device_model_pid(domid, &why);
    char *cmdline;

    if (!pid)
        return colo__fail(err, why.code, 0, why.where, "%s", why.text);
    cmdline = malloc(CMDLINE_MAX);
    if (!cmdline)
        return colo__fail(err, COLO_E_NOMEM, 0, "dm", "no memory");
    if (!colo__dm_find_argument(cmdline, read_cmdline(pid, cmdline,
                                                      CMDLINE_MAX), path))
        snprintf(path, COLO_DM_PATH_MAX, "/var/run/xen/qmp-libxenstat-%u",
                 domid);
    free(cmdline);
    return 0;
}
