/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * In place of toolstack/report.c for tests of the toolstack's helpers: what is
 * reported is not looked at, and there is no libxl beneath its context.
 */
#ifndef COLO_TESTS_FAKE_REPORT_H
#define COLO_TESTS_FAKE_REPORT_H

#include "../../toolstack/toolstack.h"

void report(const char *word, const char *fmt, ...)
{
    (void)word;
    (void)fmt;
}

libxl_ctx *report_ctx(void)
{
    static int ctx;

    return (libxl_ctx *)&ctx;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    (void)ctx;
    return 0;
}

#endif
