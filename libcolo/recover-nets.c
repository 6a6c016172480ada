/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Network cards whose colo-net was killed, and the one beside it that puts
 * them back, too: each has a record, which a living process keeps locked and
 * one that ended well leaves empty.  colo-net itself puts them right.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover.h"

#define RECORDS "/run/libcolo/net"
#define WAIT_MS 10000

static bool abandoned(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    bool found;

    if (fd < 0)
        return false;
    found = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
            flock(fd, LOCK_SH | LOCK_NB) == 0;
    close(fd);
    return found;
}

int colo__recover_nets(const struct colo_log *log, struct colo_error *err)
{
    static const char *const argv[] = { COLO_LIBEXECDIR "/colo-net",
                                        "cleanup", "--all", NULL };
    int rc;

    if (!colo__recover_any(RECORDS, abandoned))
        return 0;
    colo__log(log, COLO_LOG_NOTICE, -1, "recover",
              "a network card's proxy was killed: cleaning up");
    rc = colo__recover_run(argv, WAIT_MS, "", err);
    return rc ? rc : 1;
}
