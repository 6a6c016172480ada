/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Messages to the caller's log callback, and the real clock.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "internal.h"

void colo__log(const struct colo_log *log, int level, int sys_errno,
               const char *context, const char *fmt, ...)
{
    int saved = errno;
    char text[512];
    va_list ap;

    if (!log || !log->fn || level < log->min_level)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log->fn(log->user, level, sys_errno, context, text);
    errno = saved;
}

static uint64_t monotonic_now_us(const struct colo_clock *clock)
{
    struct timespec ts;

    (void)clock;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

const struct colo_clock colo__clock_monotonic = { monotonic_now_us };
