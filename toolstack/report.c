/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Lines to the session on fd 3, and libxl's messages and progress as such
 * lines.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "toolstack.h"

#define LINE_MAX_BYTES 250
#define PROGRESS_MS 200

struct report_logger {
    xentoollog_logger vtable; /* first */
    int64_t last_ms;
};

static void put_line(const char *word, const char *text)
{
    char line[LINE_MAX_BYTES + 2];
    int n;

    n = snprintf(line, LINE_MAX_BYTES, "%s%s%s", word, *text ? " " : "",
                 text);
    if (n >= LINE_MAX_BYTES)
        n = LINE_MAX_BYTES - 1;
    for (int i = 0; i < n; i++) {
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    }
    line[n++] = '\n';
    /* shorter than PIPE_BUF: whole or not at all */
    if (write(REPORT_FD, line, (size_t)n) < 0)
        return; /* nobody listens */
}

void report(const char *word, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    put_line(word, text);
}

static void log_vmessage(xentoollog_logger *logger, xentoollog_level level,
                         int errnoval, const char *context,
                         const char *format, va_list al)
    __attribute__((format(printf, 5, 0)));

static void log_vmessage(xentoollog_logger *logger, xentoollog_level level,
                         int errnoval, const char *context,
                         const char *format, va_list al)
{
    char text[LINE_MAX_BYTES];

    (void)logger;
    (void)errnoval;
    (void)context;
    if (level < XTL_WARN)
        return;
    vsnprintf(text, sizeof(text), format, al);
    put_line(level >= XTL_ERROR ? "error" : "warning", text);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void log_progress(xentoollog_logger *xtl, const char *context,
                         const char *doing_what, int percent,
                         unsigned long done, unsigned long total)
{
    struct report_logger *logger = (struct report_logger *)xtl;
    int64_t now = now_ms();

    (void)context;
    (void)doing_what;
    (void)percent;
    if (!total || (done < total && now - logger->last_ms < PROGRESS_MS))
        return;
    logger->last_ms = now;
    report("progress", "%lu %lu", done, total);
}

static void log_destroy(xentoollog_logger *logger)
{
    free(logger);
}

xentoollog_logger *report_logger(void)
{
    struct report_logger *logger = calloc(1, sizeof(*logger));

    if (!logger) {
        report("error", "no memory");
        return NULL;
    }
    logger->vtable.vmessage = log_vmessage;
    logger->vtable.progress = log_progress;
    logger->vtable.destroy = log_destroy;
    return &logger->vtable; /* it lives as long as the process */
}

libxl_ctx *report_ctx(void)
{
    xentoollog_logger *logger = report_logger();
    libxl_ctx *ctx = NULL;

    if (logger && libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, logger)) {
        report("error", "cannot start libxl");
        log_destroy(logger);
        return NULL;
    }
    return ctx;
}
