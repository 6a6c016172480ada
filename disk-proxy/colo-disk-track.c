/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a guest writes while no proxy is beneath its disk, noted by the kernel:
 * a dm-era device over the backing, with its metadata in /run.  It holds from
 * the way out of one proxy to the way in of the next; whatever goes wrong
 * meanwhile, `untracked` in our metadata stands, and everything is compared.
 * See colo-disk.h.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "colo-disk.h"
#include "era-map.h"

/* false: the names would be too long */
static bool track_names(const struct disk_names *names,
                        char device[COLO_DM_NAME_MAX], char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, DISK_RUN_DIR "/era-%s", names->name);
    return snprintf(device, COLO_DM_NAME_MAX, "era-%s", names->name) <
        COLO_DM_NAME_MAX;
}

void disk_track_drop(const struct disk_names *names)
{
    char device[COLO_DM_NAME_MAX], path[PATH_MAX];
    struct colo_dm_info info;

    if (!track_names(names, device, path))
        return;
    if (!colo__dm_info(device, &info, NULL) && info.exists)
        colo__dm_remove(device, NULL);
    unlink(path);
}

static int make_file(const char *path, uint64_t bytes, struct colo_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                          "cannot make %s", path);
    /* all of it now: a guest's write would fail later */
    r = posix_fallocate(fd, 0, (off_t)bytes);
    close(fd);
    return r ? colo__fail(err, COLO_E_SYS, r, DISK_WHERE, "cannot make %s",
                          path) : 0;
}

/* dm-era notes only the first block of a discard, and device-mapper passes one
 * on in one piece.  So there are none: who sends one is told that it is not
 * supported, and whoever comes over this device inherits that. */
static int refuse_discards(dev_t dev, struct colo_error *err)
{
    char path[64];
    int fd, r;

    snprintf(path, sizeof(path),
             "/sys/dev/block/%u:%u/queue/discard_max_bytes", major(dev),
             minor(dev));
    fd = open(path, O_WRONLY | O_CLOEXEC);
    r = fd < 0 || write(fd, "0", 1) != 1 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return r ? colo__fail(err, COLO_E_SYS, r, DISK_WHERE, "cannot write %s",
                          path) : 0;
}

int disk_track_begin(const struct disk_names *names,
                     const struct disk_backing *backing, dev_t *ret_dev,
                     struct colo_error *err)
{
    char device[COLO_DM_NAME_MAX], path[PATH_MAX];
    struct disk_backing notes = { .fd = -1 };
    struct colo_dm_info info;
    int rc;

    if (!track_names(names, device, path))
        return colo__fail(err, COLO_E_INVAL, 0, DISK_WHERE,
                          "the name is too long");
    disk_track_drop(names);
    rc = make_file(path, colo__era_bytes(backing->size), err);
    if (!rc)
        rc = disk_backing_open(&notes, path, err);
    if (!rc)
        rc = colo__dm_create_era(device, backing->size / 512, notes.dev,
                                 backing->dev, COLO_ERA_BLOCK / 512, err);
    disk_backing_close(&notes); /* the device keeps it */
    if (!rc)
        rc = colo__dm_info(device, &info, err);
    if (!rc)
        rc = refuse_discards(info.dev, err);
    if (rc)
        disk_track_drop(names);
    else
        *ret_dev = info.dev;
    return rc;
}

bool disk_track_is(const struct disk_names *names, dev_t dev)
{
    char device[COLO_DM_NAME_MAX], path[PATH_MAX];
    struct colo_dm_info info;

    return track_names(names, device, path) &&
        !colo__dm_info(device, &info, NULL) && info.exists &&
        info.dev == dev;
}

static int read_notes(const char *path, uint64_t size, uint8_t *bits,
                      struct colo_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
    uint8_t *meta = NULL;
    struct stat st;
    ssize_t n = 0;

    if (fd < 0 || fstat(fd, &st)) {
        rc = colo__fail(err, COLO_E_SYS, errno, DISK_WHERE, "cannot read %s",
                        path);
        goto out;
    }
    if (st.st_size <= 0 || st.st_size > (off_t)1 << 34) {
        rc = colo__fail(err, COLO_E_CORRUPT, 0, DISK_WHERE,
                        "%s has no size of its kind", path);
        goto out;
    }
    meta = malloc((size_t)st.st_size);
    if (meta)
        n = pread(fd, meta, (size_t)st.st_size, 0);
    if (!meta || n < 0)
        rc = colo__fail(err, COLO_E_SYS, errno, DISK_WHERE, "cannot read %s",
                        path);
    else if (n != st.st_size)
        rc = colo__fail(err, COLO_E_CORRUPT, 0, DISK_WHERE,
                        "%s is cut short", path);
    else
        rc = colo__era_written(meta, (size_t)st.st_size, size, bits, err);
out:
    free(meta);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int write_bits(const char *path, const uint8_t *bits, size_t len,
                      struct colo_error *err)
{
    FILE *f = fopen(path, "we");
    bool ok = f && fwrite(bits, 1, len, f) == len;

    int e = ok ? 0 : errno;

    if (f && fclose(f) && !e)
        e = errno;
    if (!e)
        return 0;
    unlink(path);
    return colo__fail(err, COLO_E_SYS, e, DISK_WHERE, "cannot write %s", path);
}

int disk_track_end(const struct disk_names *names,
                   const struct disk_backing *backing, struct colo_error *err)
{
    size_t len = (size_t)((backing->size + COLO_META_CHUNK - 1) /
                          COLO_META_CHUNK + 7) / 8;
    char device[COLO_DM_NAME_MAX], path[PATH_MAX];
    uint8_t *bits = calloc(1, len);
    struct colo_dm_info info;
    int rc;

    if (!bits || !track_names(names, device, path)) {
        free(bits);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, DISK_WHERE, "bitmap");
    }
    /* then all that it has noted is in its file */
    rc = colo__dm_remove(device, err);
    if (!rc)
        rc = colo__dm_info(device, &info, err);
    if (!rc && info.exists)
        rc = colo__fail(err, COLO_E_STATE, 0, DISK_WHERE,
                        "somebody uses %s", device);
    if (!rc)
        rc = read_notes(path, backing->size, bits, err);
    if (!rc)
        rc = write_bits(names->tracked, bits, len, err);
    unlink(path);
    free(bits);
    return rc;
}
