/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Numbers as people read them.  Pure.
 */
#include <inttypes.h>

#include "cli.h"

const char *cli_format_bytes(uint64_t bytes, char *buf)
{
    static const char *const units[] = {
        "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
    };
    double value = (double)bytes;
    unsigned u = 0;

    /* 1023.95 would be printed as 1024.0 */
    while (value >= 1023.95 && u + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        u++;
    }
    snprintf(buf, CLI_FORMAT_MAX, u ? "%.1f %s" : "%.0f %s", value, units[u]);
    return buf;
}

const char *cli_format_us(uint64_t us, char *buf)
{
    if (us < 1000)
        snprintf(buf, CLI_FORMAT_MAX, "%" PRIu64 " us", us);
    else if (us < 10000000)
        snprintf(buf, CLI_FORMAT_MAX, "%.1f ms", (double)us / 1e3);
    else
        snprintf(buf, CLI_FORMAT_MAX, "%.1f s", (double)us / 1e6);
    return buf;
}

const char *cli_format_age(uint64_t ms, char *buf)
{
    uint64_t s = ms / 1000;

    if (s < 1)
        snprintf(buf, CLI_FORMAT_MAX, "%" PRIu64 " ms", ms);
    else if (s < 10)
        snprintf(buf, CLI_FORMAT_MAX, "%.1f s", (double)ms / 1e3);
    else if (s < 60)
        snprintf(buf, CLI_FORMAT_MAX, "%" PRIu64 " s", s);
    else if (s < 3600)
        snprintf(buf, CLI_FORMAT_MAX, "%" PRIu64 " min %" PRIu64 " s", s / 60,
                 s % 60);
    else
        snprintf(buf, CLI_FORMAT_MAX, "%" PRIu64 " h %" PRIu64 " min",
                 s / 3600, s / 60 % 60);
    return buf;
}
