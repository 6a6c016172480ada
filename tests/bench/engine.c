/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The native benchmarks of the engines, over simulated guests.  Arguments:
 * the parts to run (capture scan growth transfer wire guests seed), none = all.
 * The script `engine` beside this file builds and runs it.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

static const struct {
    const char *name;
    void (*fn)(void);
} parts[] = {
    { "capture", bench_capture }, { "scan", bench_scan },
    { "growth", bench_growth },   { "transfer", bench_transfer },
    { "wire", bench_wire },       { "guests", bench_guests },
    { "seed", bench_seed },
};

static bool wanted(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < COLO_ARRAY_LEN(parts); i++)
        if (wanted(argc, argv, parts[i].name))
            parts[i].fn();
    return 0;
}
