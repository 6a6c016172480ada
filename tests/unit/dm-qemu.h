/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A stock QEMU without a processor, as the device model's tests use it: its
 * devices are read and written through its qtest socket.
 */
#ifndef DM_QEMU_H
#define DM_QEMU_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dm/dm.h"
#include "dm/qmp.h"

#define DM_QEMU "/usr/libexec/xen-qemu-system-i386"
#define DM_QEMU_WAIT_MS 20000

struct dm_qemu {
    pid_t pid;
    int qtest;
    char dir[40], monitor[60], monitor2[60], tests[60];
};

static inline void dm_qemu_need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "dm-qemu: %s: %s\n", what, strerror(errno));
        abort();
    }
}

static inline int dm_qemu_connect(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = -1;

    dm_qemu_need(fd >= 0, "socket");
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    for (int ms = 0; r < 0 && ms < DM_QEMU_WAIT_MS; ms += 10) {
        r = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
        if (r < 0)
            poll(NULL, 0, 10);
    }
    dm_qemu_need(r == 0, "QEMU does not come up");
    return fd;
}

static inline void dm_qemu_start(struct dm_qemu *q, const char *device)
{
    char monitor[90], monitor2[90], tests[90];
    char *argv[] = {
        (char *)(uintptr_t)DM_QEMU, (char *)(uintptr_t)"-machine",
        (char *)(uintptr_t)"pc", (char *)(uintptr_t)"-accel",
        (char *)(uintptr_t)"qtest", (char *)(uintptr_t)"-m",
        (char *)(uintptr_t)"16", (char *)(uintptr_t)"-nodefaults",
        (char *)(uintptr_t)"-display", (char *)(uintptr_t)"none",
        (char *)(uintptr_t)"-device", (char *)(uintptr_t)device,
        /* as a Xen machine has it */
        (char *)(uintptr_t)"-global",
        (char *)(uintptr_t)"migration.send-configuration=off",
        (char *)(uintptr_t)"-global",
        (char *)(uintptr_t)"migration.send-section-footer=off",
        (char *)(uintptr_t)"-global",
        (char *)(uintptr_t)"migration.store-global-state=off",
        (char *)(uintptr_t)"-qmp", monitor,
        (char *)(uintptr_t)"-qmp", monitor2, (char *)(uintptr_t)"-qtest",
        tests, (char *)(uintptr_t)"-qtest-log",
        (char *)(uintptr_t)"/dev/null", NULL
    };
    char *env[] = { NULL };

    strcpy(q->dir, "/tmp/colo-dm-XXXXXX");
    dm_qemu_need(mkdtemp(q->dir), "mkdtemp");
    snprintf(q->monitor, sizeof(q->monitor), "%s/qmp", q->dir);
    snprintf(q->monitor2, sizeof(q->monitor2), "%s/qmp2", q->dir);
    snprintf(q->tests, sizeof(q->tests), "%s/qtest", q->dir);
    snprintf(monitor, sizeof(monitor), "unix:%s,server=on,wait=off",
             q->monitor);
    snprintf(monitor2, sizeof(monitor2), "unix:%s,server=on,wait=off",
             q->monitor2);
    snprintf(tests, sizeof(tests), "unix:%s,server=on,wait=off", q->tests);
    errno = posix_spawn(&q->pid, DM_QEMU, NULL, NULL, argv, env);
    dm_qemu_need(!errno, DM_QEMU);
    q->qtest = dm_qemu_connect(q->tests);
    close(dm_qemu_connect(q->monitor));
}

static inline void dm_qemu_end(struct dm_qemu *q)
{
    kill(q->pid, SIGKILL);
    waitpid(q->pid, NULL, 0);
    close(q->qtest);
    unlink(q->monitor);
    unlink(q->monitor2);
    unlink(q->tests);
    rmdir(q->dir);
}

/* a line of qtest, the number of its answer */
static inline unsigned dm_qemu_do(struct dm_qemu *q, const char *line)
{
    char answer[200];
    unsigned v = 0;
    size_t n = 0;

    dm_qemu_need(write(q->qtest, line, strlen(line)) == (ssize_t)strlen(line),
                 "qtest write");
    while (n + 1 < sizeof(answer) && (!n || answer[n - 1] != '\n')) {
        struct pollfd pfd = { q->qtest, POLLIN, 0 };

        dm_qemu_need(poll(&pfd, 1, DM_QEMU_WAIT_MS) == 1, "qtest silent");
        dm_qemu_need(read(q->qtest, answer + n, 1) == 1, "qtest read");
        n++;
    }
    answer[n] = 0;
    dm_qemu_need(!strncmp(answer, "OK", 2), answer);
    sscanf(answer, "OK %x", &v);
    return v;
}

/* a byte of the clock's memory: device state that a test can choose */
static inline void dm_qemu_set(struct dm_qemu *q, unsigned value)
{
    char line[40];

    dm_qemu_do(q, "outb 0x70 0x40\n");
    snprintf(line, sizeof(line), "outb 0x71 0x%x\n", value);
    dm_qemu_do(q, line);
}

static inline unsigned dm_qemu_get(struct dm_qemu *q)
{
    dm_qemu_do(q, "outb 0x70 0x40\n");
    return dm_qemu_do(q, "inb 0x71\n");
}

#endif
