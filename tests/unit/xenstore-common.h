/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the xenstore tests: an owner node of a process that can be killed, and
 * counting descriptors.
 */
#ifndef COLO_XENSTORE_COMMON_H
#define COLO_XENSTORE_COMMON_H

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../xenstore/owner.h"
#include "../fake-store.h"

/* Starts it and writes its owner text to path. */
static inline pid_t make_owner(struct fake_tree *tree, const char *path)
{
    struct colo_owner o;
    pid_t child = fork();
    char text[64], stat[32], buf[1024], *p;
    FILE *f;

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
        pause();
        _exit(0);
    }
    snprintf(stat, sizeof(stat), "/proc/%d/stat", child);
    f = fopen(stat, "r");
    ck_assert_ptr_nonnull(fgets(buf, sizeof(buf), f));
    fclose(f);
    p = strrchr(buf, ')');
    for (int i = 2; i < 22; i++)
        p = strchr(p + 1, ' ');
    o.pid = child;
    o.start = strtoull(p, NULL, 10);
    ck_assert(colo__owner_alive(&o));
    colo__xs_owner_build(text, sizeof(text), &o, NULL);
    fake_tree_set(tree, path, text);
    return child;
}

/* Dead and collected. */
static inline void end_owner(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* Open descriptors of this process: what fails must leave none. */
static inline unsigned int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* valgrind knows no pidfd_open: then these tests say nothing. */
static inline bool have_pidfd(void)
{
    struct colo_owner self;
    int fd;

    if (colo__owner_self(&self, NULL))
        return false;
    fd = colo__owner_pidfd(&self, NULL);
    if (fd < 0) {
        printf("skipped: no pidfd_open here\n");
        return false;
    }
    close(fd);
    return true;
}

#endif
