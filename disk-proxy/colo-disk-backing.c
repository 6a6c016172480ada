/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The backing of a disk as a block device.  A file gets a loop device that
 * writes past the page cache and goes away with its last user.  See
 * colo-disk.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/loop.h>

#include "colo-disk.h"

#define TRIES 20  /* somebody else may take a free loop device first */

static int open_device(struct disk_backing *backing, struct colo_error *err)
{
    unsigned int block = 0;
    struct stat st;
    uint64_t size = 0;
    int block_int = 0;

    backing->fd = open(backing->path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (backing->fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                          "cannot open %s", backing->path);
    if (!fstat(backing->fd, &st) && !S_ISBLK(st.st_mode))
        return colo__fail(err, COLO_E_INVAL, 0, DISK_WHERE,
                          "%s is no block device", backing->path);
    if (fstat(backing->fd, &st) ||
        ioctl(backing->fd, BLKGETSIZE64, &size) ||
        ioctl(backing->fd, BLKSSZGET, &block_int))
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                          "cannot look at %s", backing->path);
    block = (unsigned int)block_int;
    backing->dev = st.st_rdev;
    backing->size = size / 512 * 512;
    backing->block = block;
    if (!backing->size)
        return colo__fail(err, COLO_E_INVAL, 0, DISK_WHERE, "%s is empty",
                          backing->path);
    return 0;
}

/* Is this loop device the whole of the file? */
static bool is_loop_of(const char *device, const struct stat *file)
{
    struct loop_info64 info;
    int fd = open(device, O_RDONLY | O_CLOEXEC);
    bool yes;

    if (fd < 0)
        return false;
    yes = !ioctl(fd, LOOP_GET_STATUS64, &info) &&
          info.lo_device == file->st_dev && info.lo_inode == file->st_ino &&
          !info.lo_offset && !info.lo_sizelimit &&
          !(info.lo_flags & LO_FLAGS_READ_ONLY);
    close(fd);
    return yes;
}

/* Opens it, too: it may go away at any moment. */
static bool find_loop(struct disk_backing *backing, const struct stat *file)
{
    DIR *dir = opendir("/sys/block");
    struct dirent *entry;
    bool found = false;

    while (dir && !found && (entry = readdir(dir))) {
        char probe[PATH_MAX];

        if (strncmp(entry->d_name, "loop", 4))
            continue;
        snprintf(probe, sizeof(probe), "/sys/block/%s/loop/backing_file",
                 entry->d_name);
        if (access(probe, F_OK))
            continue;
        snprintf(backing->path, sizeof(backing->path), "/dev/%s",
                 entry->d_name);
        found = is_loop_of(backing->path, file);
        if (found && (open_device(backing, NULL) ||
                      !is_loop_of(backing->path, file))) {
            disk_backing_close(backing);
            found = false;
        }
    }
    if (dir)
        closedir(dir);
    return found;
}

/* The free loop device becomes the file's.  Returns it, open: it goes with its
 * last user; or -errno, -EBUSY: somebody else took it. */
static int configure_loop(struct disk_backing *backing, int control, int file,
                          const char *target)
{
    struct loop_config config = { .fd = (uint32_t)file };
    int n = ioctl(control, LOOP_CTL_GET_FREE), loop, r;

    if (n < 0)
        return -errno;
    snprintf(backing->path, sizeof(backing->path), "/dev/loop%d", n);
    loop = open(backing->path, O_RDWR | O_CLOEXEC);
    if (loop < 0)
        return -errno;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    snprintf((char *)config.info.lo_file_name,
             sizeof(config.info.lo_file_name), "%s", target);
    if (!ioctl(loop, LOOP_CONFIGURE, &config))
        return loop;
    r = -errno;
    close(loop);
    return r;
}

static int make_loop(struct disk_backing *backing, int file,
                     const char *target, struct colo_error *err)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), rc;
    int loop = -EBUSY;

    if (control < 0)
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE,
                          "no loop devices: modprobe loop");
    for (int i = 0; i < TRIES && loop == -EBUSY; i++)
        loop = configure_loop(backing, control, file, target);
    close(control);
    if (loop < 0)
        return colo__fail(err, COLO_E_SYS, -loop, DISK_WHERE,
                          "cannot make a loop device for %s", target);
    rc = open_device(backing, err);
    close(loop);
    return rc;
}

int disk_backing_open(struct disk_backing *ret_backing, const char *target,
                      struct colo_error *err)
{
    struct disk_backing backing = { .fd = -1 };
    int file, rc = 0;
    struct stat st;

    snprintf(backing.path, sizeof(backing.path), "%s", target);
    file = open(target, O_RDWR | O_CLOEXEC);
    if (file < 0 || fstat(file, &st)) {
        rc = colo__fail(err, errno == ENOENT ? COLO_E_NOTFOUND : COLO_E_SYS,
                        errno, DISK_WHERE, "cannot open %s", target);
    } else if (S_ISBLK(st.st_mode)) {
        rc = open_device(&backing, err);
    } else if (!S_ISREG(st.st_mode)) {
        rc = colo__fail(err, COLO_E_INVAL, 0, DISK_WHERE,
                        "%s is neither a block device nor a file", target);
    } else if (!find_loop(&backing, &st)) {
        rc = make_loop(&backing, file, target, err);
    }
    if (file >= 0)
        close(file);
    if (rc)
        disk_backing_close(&backing);
    else
        *ret_backing = backing;
    return rc;
}

void disk_backing_close(struct disk_backing *backing)
{
    if (backing->fd >= 0)
        close(backing->fd);
    backing->fd = -1;
}
