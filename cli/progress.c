/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See progress.h.
 */
#include <string.h>
#include <unistd.h>

#include "progress.h"

void cli_progress_init(struct cli_progress *progress)
{
    memset(progress, 0, sizeof(*progress));
    progress->terminal = isatty(STDERR_FILENO);
}

static void put_left(const struct colo_event *event, char *buf, size_t cap)
{
    char age[CLI_FORMAT_MAX];
    uint64_t rate = event->seed_bytes_per_second, left;

    buf[0] = 0;
    if (!rate || event->seed_done >= event->seed_total)
        return;
    left = (event->seed_total - event->seed_done) * 4096u / rate;
    snprintf(buf, cap, ", %s left", cli_format_age(left * 1000u, age));
}

void cli_progress_show(struct cli_progress *progress, const char *name,
                       const struct colo_event *event)
{
    char done[CLI_FORMAT_MAX], total[CLI_FORMAT_MAX], rate[CLI_FORMAT_MAX];
    char left[CLI_FORMAT_MAX + 8], line[200];
    uint64_t tenths;

    if (!event->seed_total)
        return;
    tenths = event->seed_done * 10 / event->seed_total;
    if (!progress->terminal && tenths <= progress->tenths)
        return;
    progress->tenths = tenths;
    put_left(event, left, sizeof(left));
    snprintf(line, sizeof(line), "%s: first copy %s of %s (%u %%), %s/s%s",
             name, cli_format_bytes(event->seed_done * 4096u, done),
             cli_format_bytes(event->seed_total * 4096u, total),
             (unsigned)(event->seed_done * 100 / event->seed_total),
             cli_format_bytes(event->seed_bytes_per_second, rate), left);
    if (!progress->terminal) {
        cli_say("%s", line);
        return;
    }
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    progress->open = true;
}

void cli_progress_end(struct cli_progress *progress)
{
    if (!progress->open)
        return;
    fputs("\n", stderr);
    fflush(stderr);
    progress->open = false;
}
