/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Where things of a disk are, and the lock that makes its changes one at a
 * time.  See colo-disk.h.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "colo-disk.h"

#define LOCK_SECONDS 60

int disk_names(struct disk_names *ret_names, const char *target,
               const char *meta_dir, struct colo_error *err)
{
    struct disk_names *n = ret_names;
    char plain[COLO_DM_NAME_MAX];
    int rc;

    if (colo__dm_target(target, plain))
        target = plain;
    else if (colo__dm_is_device(target)) /* one over it would only deceive */
        return colo__fail(err, COLO_E_INVAL, 0, DISK_WHERE,
                          "%.150s does not tell what it lies on: give the "
                          "target itself", target);
    rc = colo__dm_name(target, n->name, err);
    if (rc)
        return rc;
    if (!meta_dir)
        meta_dir = DISK_META_DIR;
    if (snprintf(n->target, sizeof(n->target), "%s", target) >=
            (int)sizeof(n->target) ||
        strchr(target, '\n') ||
        snprintf(n->meta, sizeof(n->meta), "%s/%s.meta", meta_dir, n->name) >=
            (int)sizeof(n->meta))
        return colo__fail(err, COLO_E_INVAL, 0, DISK_WHERE,
                          "that path is too long or odd");
    snprintf(n->record, sizeof(n->record), DISK_RUN_DIR "/%s", n->name);
    snprintf(n->tracked, sizeof(n->tracked), DISK_RUN_DIR "/tracked-%s",
             n->name);
    snprintf(n->usage, sizeof(n->usage), DISK_RUN_DIR "/use-%s", n->name);
    return 0;
}

static int make_folders(const char *path, struct colo_error *err)
{
    char part[PATH_MAX], *slash = part;

    snprintf(part, sizeof(part), "%s", path);
    for (;;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = 0;
        /* only the last is ours alone */
        if (mkdir(part, slash ? 0755 : 0700) && errno != EEXIST)
            return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                              "cannot make %s", part);
        if (!slash)
            return 0;
        *slash = '/';
    }
}

int disk_lock(const struct disk_names *names, int *ret_fd,
              struct colo_error *err)
{
    char path[PATH_MAX], folder[PATH_MAX], *slash;
    int fd, rc;

    snprintf(folder, sizeof(folder), "%s", names->meta);
    slash = strrchr(folder, '/');
    if (slash && slash != folder)
        *slash = 0;
    rc = make_folders(folder, err);
    if (!rc)
        rc = make_folders(DISK_RUN_DIR, err);
    if (rc)
        return rc;
    snprintf(path, sizeof(path), DISK_RUN_DIR "/lock-%s", names->name);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                          "cannot open %s", path);
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
        struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };

        if (i == LOCK_SECONDS * 20) {
            close(fd);
            return colo__fail(err, COLO_E_TIMEOUT, 0, DISK_WHERE,
                              "somebody else changes %s", names->target);
        }
        nanosleep(&pause, NULL);
    }
    *ret_fd = fd;
    return 0;
}

int disk_take(struct disk_names *ret_names, const struct disk_options *options,
              int *ret_lock, struct colo_error *err)
{
    int rc;

    *ret_lock = -1;
    rc = disk_names(ret_names, options->target, options->meta_dir, err);
    return rc ? rc : disk_lock(ret_names, ret_lock, err);
}
