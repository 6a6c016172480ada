/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * How much of its memory and spill files a secondary uses: told to the
 * session when a spill file comes into use and whenever it has grown to twice
 * of what was told, and kept in a file for colo-disk status.  Called by the
 * control thread, some times a second.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disk-internal.h"

#define EVERY_MS 500
#define LINE 128 /* bytes of the file, always the same */
#define MIB(bytes) ((unsigned long long)(((bytes) + 0xfffff) >> 20))

static void look(struct colo_disk *d, uint64_t *ret_memory,
                 uint64_t *ret_spilled)
{
    struct colo_overlay_stats own = { 0 };
    struct colo_elog_stats log;

    colo__elog_stats(d->log, &log);
    if (d->overlay)
        colo__overlay_stats(d->overlay, &own);
    *ret_memory = log.memory + own.memory;
    *ret_spilled = log.spilled + own.spilled;
}

static void write_line(struct colo_disk *d, uint64_t memory, uint64_t spilled)
{
    char line[LINE + 1];
    int n;

    n = snprintf(line, sizeof(line),
                 "holds %llu MiB, spilled %llu MiB (most %llu, limit %llu)",
                 MIB(memory), MIB(spilled), MIB(d->most_spilled),
                 MIB(d->config.spill_dir ? d->config.spill_limit : 0));
    if (n < LINE)
        memset(line + n, ' ', (size_t)(LINE - n));
    line[LINE - 1] = '\n';
    if (d->usage_fd < 0)
        d->usage_fd = open(d->config.usage, O_WRONLY | O_CREAT | O_TRUNC |
                           O_CLOEXEC, 0644);
    /* it is for people: without it nothing else is different */
    if (d->usage_fd >= 0 && pwrite(d->usage_fd, line, LINE, 0) != LINE)
        errno = 0;
}

void colo__disk_tell_usage(struct colo_disk *d)
{
    uint64_t memory, spilled;
    struct timespec now;
    int64_t ms;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms - d->usage_ms < EVERY_MS ||
        d->config.role != COLO_DISK_SECONDARY)
        return;
    d->usage_ms = ms;
    look(d, &memory, &spilled);
    if (spilled > d->most_spilled)
        d->most_spilled = spilled;
    if (spilled && spilled >= d->told_spilled * 2) {
        d->told_spilled = spilled;
        colo__disk_event(d, "spilled %llu MiB of at most %llu",
                         MIB(spilled), MIB(d->config.spill_limit));
    }
    if (d->config.usage)
        write_line(d, memory, spilled);
}

void colo__disk_end_usage(struct colo_disk *d)
{
    if (d->usage_fd < 0)
        return;
    close(d->usage_fd);
    (void)unlink(d->config.usage);
    d->usage_fd = -1;
}
