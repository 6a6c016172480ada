/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The plainest plugin that takes our parameters: what comes goes to the
 * backing.  Stands in for the real one where the supervisor is tested, not
 * the proxy.  Built by vm-insert.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static char *backing;
static int fd = -1;

static int plain_config(const char *key, const char *value)
{
    if (!strcmp(key, "backing"))
        backing = nbdkit_absolute_path(value);
    return 0;
}

static int plain_get_ready(void)
{
    fd = backing ? open(backing, O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
    if (fd < 0)
        nbdkit_error("%s: %s", backing ? backing : "backing",
                     strerror(errno));
    return fd < 0 ? -1 : 0;
}

static void *plain_open(int readonly)
{
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t plain_get_size(void *handle)
{
    (void)handle;
    return lseek(fd, 0, SEEK_END);
}

static int do_io(char *p, uint32_t len, uint64_t at, bool writing)
{
    while (len) {
        ssize_t n = writing ? pwrite(fd, p, len, (off_t)at)
                            : pread(fd, p, len, (off_t)at);

        if (n <= 0)
            return -1;
        p += n;
        at += (uint64_t)n;
        len -= (uint32_t)n;
    }
    return 0;
}

static int plain_pread(void *handle, void *buf, uint32_t len, uint64_t at,
                       uint32_t flags)
{
    void *aligned;
    int r;

    (void)handle;
    (void)flags;
    if (posix_memalign(&aligned, 4096, len))
        return -1;
    r = do_io(aligned, len, at, false);
    memcpy(buf, aligned, len);
    free(aligned);
    return r;
}

static int plain_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return fdatasync(fd);
}

static int plain_pwrite(void *handle, const void *buf, uint32_t len,
                        uint64_t at, uint32_t flags)
{
    void *aligned;
    int r;

    if (posix_memalign(&aligned, 4096, len))
        return -1;
    memcpy(aligned, buf, len);
    r = do_io(aligned, len, at, true);
    free(aligned);
    return r || !(flags & NBDKIT_FLAG_FUA) ? r : plain_flush(handle, 0);
}

static int plain_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

static struct nbdkit_plugin plugin = {
    .name = "plain",
    .config = plain_config,
    .get_ready = plain_get_ready,
    .open = plain_open,
    .get_size = plain_get_size,
    .pread = plain_pread,
    .pwrite = plain_pwrite,
    .flush = plain_flush,
    .can_fua = plain_can_fua,
};

NBDKIT_REGISTER_PLUGIN(plugin)
