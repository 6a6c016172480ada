/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-toolstack: what a session needs libxl for, one command per process.
 * Started by libcolo/hv/hv-xen-life.c, which describes the descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt.h"

static const char usage_text[] =
    "usage: colo-toolstack save DOMID [TOOLSTACK] | restore [TOOLSTACK] |\n"
    "       stream DOMID | restore-stream | start DOMID NAME |\n"
    "       destroy DOMID | end DOMID REASON | monitor DOMID |\n"
    "       config DOMID; TOOLSTACK: auto, xl, libvirt\n"
    "Started by libcolo sessions; see libcolo(3).\n";

static int usage(void)
{
    fputs(usage_text, stderr);
    return EXIT_USAGE;
}

/* a domid or reason: nothing but a number below limit, or -1 */
static long number(const char *text, long limit)
{
    char *end;
    long v;

    if (!text || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    v = strtol(text, &end, 10);
    return errno || *end || v >= limit ? -1 : v;
}

/* Run by hand, fd 3 and 4 may be missing: then they must not become
 * something else. */
static int open_missing(void)
{
    for (int fd = 0; fd <= LIFE_FD; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            int null_fd = open("/dev/null", O_RDWR);

            if (null_fd != fd)
                return -1;
        }
    }
    /* ours alone: no script of libxl's may keep them open */
    fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
    fcntl(LIFE_FD, F_SETFD, FD_CLOEXEC);
    return 0;
}

int main(int argc, char **argv)
{
    long domid = number(argc > 2 ? argv[2] : NULL, 0x7ff0), reason;
    const char *cmd = argc > 1 ? argv[1] : "";
    bool restore = !strcmp(cmd, "restore");
    int at = restore ? 2 : 3, toolstack = TOOLSTACK_AUTO;

    if (open_missing())
        return EXIT_FAILED;
    signal(SIGPIPE, SIG_IGN);
    if (argc == at + 1 && (restore || !strcmp(cmd, "save")))
        toolstack = toolstack_word(argv[at]);
    if (toolstack < 0)
        return usage();
    if (restore && argc <= 3)
        return cmd_restore(false, toolstack);
    if (!strcmp(cmd, "restore-stream") && argc == 2)
        return cmd_restore(true, TOOLSTACK_XL);
    if (domid <= 0)
        return usage();
    if (!strcmp(cmd, "save") && argc <= 4)
        return cmd_save((uint32_t)domid, toolstack);
    if (!strcmp(cmd, "stream") && argc == 3)
        return cmd_stream((uint32_t)domid);
    if (!strcmp(cmd, "start") && argc == 4)
        return cmd_start((uint32_t)domid, argv[3]);
    if (!strcmp(cmd, "destroy") && argc == 3)
        return cmd_destroy((uint32_t)domid);
    if (!strcmp(cmd, "monitor") && argc == 3)
        return cmd_monitor((uint32_t)domid);
    if (!strcmp(cmd, "config") && argc == 3)
        return cmd_config((uint32_t)domid);
    if (!strcmp(cmd, "end") && argc == 4) {
        reason = number(argv[3], 256);
        return reason < 0 ? usage() : cmd_end((uint32_t)domid, (int)reason);
    }
    return usage();
}
