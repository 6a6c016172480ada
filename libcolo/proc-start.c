/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * When a process was started, and whether it runs: see proc-start.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc-start.h"

/* Numbers of fields as in proc(5). */
enum { FIELD_STATE = 3, FIELD_THREADS = 20, FIELD_START = 22 };

/* What follows the second field, the name, which may hold spaces and
 * parentheses. */
static const char *after_name(const char *text)
{
    const char *p = strrchr(text, ')');

    return p && p[1] == ' ' && p[2] ? p + 2 : NULL;
}

static int read_number(const char *state, int field, uint64_t *ret_value)
{
    const char *p = state;
    char *end;

    for (int i = FIELD_STATE; i < field; i++) {
        p = strchr(p, ' ');
        if (!p)
            return -1;
        p++;
    }
    errno = 0;
    *ret_value = strtoull(p, &end, 10);
    return errno || end == p ? -1 : 0;
}

int colo__proc_start(pid_t pid, uint64_t *ret_start)
{
    char path[32], text[1024];
    const char *state;
    uint64_t threads, start;
    ssize_t r;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    r = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (r <= 0)
        return -1;
    text[r] = '\0';
    state = after_name(text);
    if (!state || read_number(state, FIELD_THREADS, &threads) ||
        read_number(state, FIELD_START, &start))
        return -1;
    if (*state == 'X' || (*state == 'Z' && threads <= 1))
        return -1;
    *ret_start = start;
    return 0;
}
