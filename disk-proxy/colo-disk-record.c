/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The record that a supervisor leaves of itself in /run: for `attach`, and
 * for `recover` when it was killed.  See colo-disk.h.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../libcolo/proc-start.h"
#include "colo-disk.h"

#define TEXT_MAX (3 * PATH_MAX)

struct disk_process disk_process_of(pid_t pid)
{
    struct disk_process process = { .pid = pid };

    if (colo__proc_start(pid, &process.start))
        process.pid = 0;
    return process;
}

bool disk_process_alive(const struct disk_process *process)
{
    uint64_t start;

    return process->pid > 0 && !colo__proc_start(process->pid, &start) &&
           start == process->start;
}

static bool copy_value(char *to, size_t cap, const char *from, size_t len)
{
    if (!len || len >= cap)
        return false;
    memcpy(to, from, len);
    to[len] = 0;
    return true;
}

static bool parse_process(const char *value, struct disk_process *ret)
{
    int pid;

    if (sscanf(value, "%d %" SCNu64, &pid, &ret->start) != 2 || pid < 0)
        return false;
    ret->pid = pid;
    return true;
}

static bool parse_line(const char *line, size_t len, struct disk_record *r)
{
    const char *value = memchr(line, ' ', len);
    size_t key;

    if (!value)
        return false;
    key = (size_t)(value++ - line);
    len -= key + 1;
#define IS(word) (key == sizeof(word) - 1 && !memcmp(line, word, key))
    if (IS("supervisor"))
        return parse_process(value, &r->supervisor);
    if (IS("server"))
        return parse_process(value, &r->kit);
    if (IS("nbd"))
        return sscanf(value, "%d", &r->nbd) == 1 && r->nbd >= -1;
    if (IS("timeout"))
        return sscanf(value, "%" SCNu32, &r->timeout_s) == 1 &&
               r->timeout_s <= 86400;
    if (IS("secondary"))
        return sscanf(value, "%d", &r->secondary) == 1;
    if (IS("track"))
        return sscanf(value, "%d", &r->track) == 1;
    if (IS("target"))
        return copy_value(r->target, sizeof(r->target), value, len);
    if (IS("meta"))
        return copy_value(r->meta, sizeof(r->meta), value, len);
    if (IS("identifier"))
        return copy_value(r->identifier, sizeof(r->identifier), value, len);
#undef IS
    return true;  /* of a later version */
}

bool disk_record_parse(const char *text, struct disk_record *ret_record)
{
    struct disk_record record = { .nbd = -1 };

    while (*text) {
        const char *end = strchr(text, '\n');

        if (!end || !parse_line(text, (size_t)(end - text), &record))
            return false;
        text = end + 1;
    }
    if (record.target[0] != '/' || !record.meta[0] || !record.supervisor.pid)
        return false;
    *ret_record = record;
    return true;
}

int disk_record_write(const char *path, const struct disk_record *record,
                      struct colo_error *err)
{
    char temporary[PATH_MAX + 8];
    const char *name;
    FILE *f;
    bool ok;
    int e;

    name = strrchr(path, '/') + 1;
    snprintf(temporary, sizeof(temporary), "%.*snew-%s", (int)(name - path),
             path, name);
    f = fopen(temporary, "we");
    if (!f)
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                          "cannot write %s", temporary);
    fprintf(f, "supervisor %d %" PRIu64 "\nserver %d %" PRIu64 "\n"
            "nbd %d\ntimeout %" PRIu32 "\nsecondary %d\ntrack %d\n"
            "target %s\nmeta %s\nidentifier %s\n",
            (int)record->supervisor.pid, record->supervisor.start,
            (int)record->kit.pid, record->kit.start, record->nbd,
            record->timeout_s, record->secondary, record->track,
            record->target, record->meta, record->identifier);
    ok = !ferror(f);
    e = ok ? 0 : errno;
    if (fclose(f) && !e)
        e = errno;
    if (!e && rename(temporary, path))
        e = errno;
    if (!e)
        return 0;
    unlink(temporary);
    return colo__fail(err, COLO_E_SYS, e, DISK_WHERE, "cannot write %s", path);
}

int disk_record_read(const char *path, struct disk_record *ret_record,
                     struct colo_error *err)
{
    char text[TEXT_MAX];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                          "cannot read %s", path);
    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        rc = colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                        "cannot read %s", path);
    close(fd);
    if (n < 0)
        return rc;
    text[n] = 0;
    if (!disk_record_parse(text, ret_record))
        return colo__fail(err, COLO_E_CORRUPT, 0, DISK_WHERE,
                          "%s is no record of a supervisor", path);
    return 1;
}
