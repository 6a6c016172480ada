/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * nbdkit's side of a protected disk: nbdkit-plugin(3).  One disk a process,
 * any number of connections and requests at once.
 *
 * This file has process-wide variables because nbdkit's interface has no
 * other place for them; all else is in disk.c.
 */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <nbdkit-plugin.h>

#include "control.h"
#include "disk.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

static struct colo_disk *disk;
static struct colo_control *control;
static struct colo_disk_config config = {
    .role = COLO_DISK_ALONE, .memory_limit = 64u << 20,
    .spill_limit = UINT64_C(1) << 30, .silent_ms = 10000,
};
static struct colo_control_config control_config = {
    .source = { .class_name = "disk", .id = "xvda" }, .hold_fd = -1,
};
static int lock;
static char *spill_dir, *backing, *meta, *device, *usage, *tracked, *flag;

static void say(void *user, const char *text)
{
    (void)user;
    /* not nbdkit_error: most of it is good news */
    fprintf(stderr, "colo-disk: %s: %s\n", control_config.source.id, text);
}

/* What is large goes back to the system when it is freed.  Else glibc keeps
 * some MiB of it for each of nbdkit's threads, more with each connection and
 * protection, and all of that is locked memory. */
static void colo_load(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, 128 << 10); /* and no longer by itself */
#endif
}

static int role_of(const char *value)
{
    static const char *const names[] = { "alone", "primary", "secondary" };

    for (int i = 0; i < 3; i++) {
        if (!strcmp(value, names[i]))
            return i;
    }
    return -1;
}

static int set_size(const char *value, uint64_t *ret)
{
    int64_t r = nbdkit_parse_size(value);

    if (r < 0)
        return -1;
    *ret = (uint64_t)r;
    return 0;
}

static int colo_config(const char *key, const char *value)
{
    if (!strcmp(key, "backing")) {
        free(backing);
        backing = nbdkit_realpath(value);
        return backing ? 0 : -1;
    }
    if (!strcmp(key, "meta")) {
        free(meta);
        meta = nbdkit_absolute_path(value);
        return meta ? 0 : -1;
    }
    if (!strcmp(key, "spill")) {
        free(spill_dir);
        spill_dir = nbdkit_absolute_path(value);
        return spill_dir ? 0 : -1;
    }
    if (!strcmp(key, "device")) {
        free(device);
        device = nbdkit_absolute_path(value);
        return device ? 0 : -1;
    }
    if (!strcmp(key, "tracked")) {
        free(tracked);
        tracked = nbdkit_absolute_path(value);
        return tracked ? 0 : -1;
    }
    if (!strcmp(key, "flag")) {
        free(flag);
        flag = nbdkit_absolute_path(value);
        return flag ? 0 : -1;
    }
    if (!strcmp(key, "usage")) {
        free(usage);
        usage = nbdkit_absolute_path(value);
        return usage ? 0 : -1;
    }
    if (!strcmp(key, "role")) {
        config.role = role_of(value);
        if (config.role < 0) {
            nbdkit_error("role is primary, secondary or alone");
            return -1;
        }
    } else if (!strcmp(key, "domain")) {
        control_config.source.domain = value;
    } else if (!strcmp(key, "id")) {
        control_config.source.id = value;
    } else if (!strcmp(key, "control")) {
        control_config.source.control = value;
    } else if (!strcmp(key, "stream")) {
        control_config.source.stream = value;
    } else if (!strcmp(key, "memory-limit")) {
        return set_size(value, &config.memory_limit);
    } else if (!strcmp(key, "spill-limit")) {
        return set_size(value, &config.spill_limit);
    } else if (!strcmp(key, "lock")) {
        lock = nbdkit_parse_bool(value);
        return lock < 0 ? -1 : 0;
    } else if (!strcmp(key, "hold-fd")) {
        return nbdkit_parse_int("hold-fd", value, &control_config.hold_fd);
    } else if (!strcmp(key, "silent-ms")) {
        return nbdkit_parse_unsigned("silent-ms", value, &config.silent_ms);
    } else {
        nbdkit_error("unknown parameter %s", key);
        return -1;
    }
    return 0;
}

static int colo_config_complete(void)
{
    if (!backing || !meta) {
        nbdkit_error("backing=PATH and meta=FILE are needed");
        return -1;
    }
    if (config.role != COLO_DISK_ALONE && !control_config.source.domain &&
        !control_config.source.control) {
        nbdkit_error("domain=UUID is needed");
        return -1;
    }
    if (config.memory_limit < 1 << 22)
        config.memory_limit = 1 << 22;
    return 0;
}

/* Before nbdkit says that it is ready: what can go wrong goes wrong here. */
static int colo_get_ready(void)
{
    struct colo_error err;

    config.backing = backing;
    config.meta = meta;
    config.device = device;
    config.flag = flag;
    config.usage = usage;
    /* without a session nobody says when we are in place */
    config.tracked = config.role == COLO_DISK_ALONE ? NULL : tracked;
    config.spill_dir = spill_dir;
    control_config.source.secondary = config.role == COLO_DISK_SECONDARY;
    control_config.say = say;
    if (config.role != COLO_DISK_ALONE &&
        colo__control_open(&control_config, &control, &err))
        goto fail;
    config.reply = colo__control_reply;
    config.event = colo__control_event;
    config.say = colo__control_say;
    config.user = control;
    if (config.role == COLO_DISK_ALONE)
        config.say = say;
    if (colo__disk_open(&config, &disk, &err))
        goto fail;
    return 0;
fail:
    nbdkit_error("%s: %s", err.where, err.text);
    return -1;
}

/* nbdkit's --swap also makes present what may never be used, 8 MiB of stack
 * for each thread and 192 MiB of nbdkit's own: 430 MiB for each disk. */
static int lock_memory(void)
{
    if (!mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
        return 0;
    nbdkit_error("lock=true: mlockall: %s", strerror(errno));
    return -1;
}

/* The threads, and the lock, which a fork would not take along. */
static int colo_after_fork(void)
{
    struct colo_error err;

    if (lock && lock_memory())
        return -1;
    /* Writing back must not wait for memory that needs writing back; needs a
     * privilege, and is of use only where there is one. */
    (void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    if (control && colo__control_run(control, disk, &err)) {
        nbdkit_error("%s: %s", err.where, err.text);
        return -1;
    }
    return 0;
}

static void colo_cleanup(void)
{
    colo__control_end(control);
    if (colo__disk_close(disk)) /* else it may still talk to it */
        colo__control_close(control);
    disk = NULL;
    control = NULL;
}

static void colo_unload(void)
{
    free(backing);
    free(meta);
    free(device);
    free(usage);
    free(tracked);
    free(flag);
    free(spill_dir);
}

static void *colo_open(int readonly)
{
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t colo_get_size(void *handle)
{
    (void)handle;
    return (int64_t)colo__disk_size(disk);
}

static int yes(void *handle)
{
    (void)handle;
    return 1;
}

static int native_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

static int colo_block_size(void *handle, uint32_t *minimum,
                           uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = 1; /* others are slower, and right */
    *preferred = 4096;
    *maximum = 0xffffffff;
    return 0;
}

static int result(int r, const char *what)
{
    if (!r)
        return 0;
    nbdkit_error("%s: %s", what, strerror(r));
    nbdkit_set_error(r);
    return -1;
}

static int colo_pread(void *handle, void *buf, uint32_t count,
                      uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return result(colo__disk_read(disk, buf, count, offset), "read");
}

static int colo_pwrite(void *handle, const void *buf, uint32_t count,
                       uint64_t offset, uint32_t flags)
{
    (void)handle;
    return result(colo__disk_write(disk, buf, count, offset,
                                   flags & NBDKIT_FLAG_FUA), "write");
}

static int colo_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return result(colo__disk_flush(disk), "flush");
}

static int colo_trim(void *handle, uint32_t count, uint64_t offset,
                     uint32_t flags)
{
    int r;

    (void)handle;
    r = colo__disk_zero(disk, count, offset, true, flags & NBDKIT_FLAG_FUA);
    return r == EOPNOTSUPP ? 0 : result(r, "trim"); /* it was only advice */
}

static int colo_zero(void *handle, uint32_t count, uint64_t offset,
                     uint32_t flags)
{
    (void)handle;
    if (flags & NBDKIT_FLAG_FAST_ZERO) {
        nbdkit_set_error(EOPNOTSUPP);
        return -1;
    }
    return result(colo__disk_zero(disk, count, offset, false,
                                  flags & NBDKIT_FLAG_FUA), "zero");
}

static int colo_extents(void *handle, uint32_t count, uint64_t offset,
                        uint32_t flags, struct nbdkit_extents *extents)
{
    uint64_t end = offset + count;

    (void)handle;
    while (offset < end) {
        uint64_t len;
        bool hole = colo__disk_extent(disk, offset, end - offset, &len);

        if (nbdkit_add_extent(extents, offset, len, hole ?
                              NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0))
            return -1;
        if (flags & NBDKIT_FLAG_REQ_ONE)
            break;
        offset += len;
    }
    return 0;
}

#define colo_config_help \
    "backing=PATH   (required) the local copy: a raw file or block device\n" \
    "meta=FILE      (required) what this host remembers of it\n" \
    "device=PATH   the guest's block device, that this is beneath\n" \
    "usage=FILE   where a secondary writes how much it holds\n" \
    "lock=true   what it uses stays in memory\n" \
    "tracked=FILE   what was written while we were not there\n" \
    "flag=FILE   made when something was written that is noted nowhere\n" \
    "role=primary|secondary|alone\n" \
    "domain=UUID id=VDEV   the session to join\n" \
    "spill=DIR spill-limit=SIZE memory-limit=SIZE silent-ms=MS hold-fd=FD\n" \
    "control=PATH stream=PATH   for tests, instead of a session"

static struct nbdkit_plugin plugin = {
    .name = "colo",
    .longname = "libcolo's protected disk",
    .version = COLO_VERSION,
    .load = colo_load,
    .unload = colo_unload,
    .config = colo_config,
    .config_complete = colo_config_complete,
    .config_help = colo_config_help,
    .magic_config_key = "backing",
    .get_ready = colo_get_ready,
    .after_fork = colo_after_fork,
    .cleanup = colo_cleanup,
    .open = colo_open,
    .get_size = colo_get_size,
    .can_write = yes,
    .can_flush = yes,
    .can_trim = yes,
    .can_zero = yes,
    .can_extents = yes,
    .can_multi_conn = yes,
    .can_fua = native_fua,
    .block_size = colo_block_size,
    .pread = colo_pread,
    .pwrite = colo_pwrite,
    .flush = colo_flush,
    .trim = colo_trim,
    .zero = colo_zero,
    .extents = colo_extents,
    .errno_is_preserved = 0,
};

/* the macro below defines it */
NBDKIT_DLL_PUBLIC struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(plugin)
