/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What colo-disk asks of a copy's metadata and does to it from outside: may a
 * guest run on it, guests that write past the bitmap, an operator's word.
 * See meta.h.  Any thread.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "meta-file.h"

#define WHERE "disk-meta"

static const struct {
    const char *name;
    const char *why;  /* why no guest may start on it, NULL: it may */
} states[] = {
    [COLO_META_ALONE] = { "alone", NULL },
    [COLO_META_PRIMARY] = { "primary",
        "this host ended while it protected the guest, and the other host may "
        "have taken over; protect the guest from there, or if it does not run "
        "there: colo-disk force TARGET" },
    [COLO_META_SECONDARY] = { "secondary",
        "this is or was to be a copy of another host's disk and may be behind "
        "it; start the guest there, or if that host is lost: colo-disk force "
        "TARGET" },
    [COLO_META_SYNCING] = { "syncing",
        "the first copy from the other host did not finish, so this one is "
        "not consistent; start the guest there and protect it again, or to "
        "use it as it is: colo-disk force --inconsistent TARGET" },
    [COLO_META_OUTDATED] = { "outdated",
        "the guest went on at the other host, or this copy was discarded; "
        "protect the guest from there, or to throw away what was written "
        "there: colo-disk force TARGET" },
    [COLO_META_APPLYING] = { "applying",
        "this host took over and ended before all committed writes were on "
        "its disk, so this copy is not consistent; use the other host's, or "
        "as it is: colo-disk force --inconsistent TARGET" },
};

const char *colo__meta_state_name(int state)
{
    if (state < COLO_META_ALONE || state > COLO_META_LAST)
        return "unknown";
    return states[state].name;
}

static int open_quietly(const char *path, int flags, int *ret_fd,
                        struct colo_error *err)
{
    *ret_fd = open(path, flags | O_CLOEXEC);
    if (*ret_fd < 0 && errno != ENOENT)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot open %s",
                          path);
    return 0;
}

int colo__meta_peek(const char *path, uint8_t *generation,
                    struct colo_error *err)
{
    struct colo_meta_header header;
    int fd, rc;

    rc = open_quietly(path, O_RDONLY, &fd, err);
    if (rc || fd < 0)
        return rc;
    rc = colo__meta_read_header(fd, path, &header, NULL, err);
    close(fd);
    if (rc)
        return rc;
    if (generation)
        memcpy(generation, header.generation, sizeof(header.generation));
    return header.state;
}

int colo__meta_may_start(const char *path, char *why, size_t cap)
{
    struct colo_error err;
    int state = colo__meta_peek(path, NULL, &err);

    if (state < 0) {
        snprintf(why, cap, "%s, so nobody knows whether this copy is the "
                 "newest; if it is: colo-disk force --inconsistent TARGET",
                 err.text);
        return 1;
    }
    if (!state || !states[state].why)
        return 0;
    snprintf(why, cap, "%s", states[state].why);
    return 1;
}

int colo__meta_untracked(const char *path, struct colo_error *err)
{
    int fd, rc;

    rc = open_quietly(path, O_RDWR, &fd, err);
    if (rc || fd < 0)
        return rc;
    rc = colo__meta_set_untracked(fd, true, err);
    close(fd);
    return rc;
}

int colo__meta_flag(const char *flag, struct colo_error *err)
{
    int fd = open(flag, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot make %s",
                          flag);
    close(fd);
    return 0;
}

int colo__meta_take_flag(const char *path, const char *flag, uint64_t size,
                         struct colo_error *err)
{
    struct colo_meta *meta = NULL;
    int rc;

    if (access(flag, F_OK) && errno == ENOENT)
        return 0;
    rc = colo__meta_peek(path, NULL, err);
    if (rc > 0) {
        rc = colo__meta_untracked(path, err);
        if (!rc)
            rc = colo__meta_open(path, size, 0, &meta, err);
        colo__meta_close(meta);
    }
    if (!rc && unlink(flag))
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot remove %s",
                        flag);
    return rc;
}

bool colo__meta_is_pending(const char *path)
{
    bool untracked = true;
    int fd;

    if (open_quietly(path, O_RDONLY, &fd, NULL) || fd < 0)
        return true;
    if (colo__meta_is_untracked(fd, &untracked, NULL))
        untracked = true;
    close(fd);
    return untracked;
}

int colo__meta_force(const char *path, uint64_t size, bool inconsistent,
                     struct colo_error *err)
{
    int state, fd, rc;

    state = colo__meta_peek(path, NULL, err);
    if (!state)
        return colo__fail(err, COLO_E_NOTFOUND, 0, WHERE,
                          "nothing is known of this disk: any guest may use "
                          "it");
    if (state < 0 && !(state == COLO_E_CORRUPT && inconsistent))
        return state;
    if (!inconsistent &&
        (state == COLO_META_SYNCING || state == COLO_META_APPLYING))
        return colo__fail(err, COLO_E_REFUSED, 0, WHERE,
                          "this copy is not consistent; to use it as it is, "
                          "say --inconsistent");
    rc = colo__meta_file_open(path, size, COLO_META_ALONE, &fd, err);
    if (rc)
        return rc;
    rc = colo__meta_file_replace(path, size, COLO_META_ALONE, &fd, err);
    close(fd);
    return rc;
}

int colo__meta_discard(const char *path, int *ret_state,
                       struct colo_error *err)
{
    struct colo_meta_header header;
    int fd = -1, copy, rc;

    rc = colo__meta_peek(path, NULL, err);
    if (rc < 0)
        return rc;
    if (!rc)
        return colo__fail(err, COLO_E_NOTFOUND, 0, WHERE,
                          "nothing is known of this disk: a primary may "
                          "overwrite it");
    rc = colo__meta_file_open(path, 0, 0, &fd, err);
    if (!rc)
        rc = colo__meta_read_header(fd, path, &header, &copy, err);
    if (rc)
        goto out;
    *ret_state = header.state;
    if (header.state == COLO_META_ALONE ||
        header.state == COLO_META_PRIMARY ||
        header.state == COLO_META_SECONDARY) {
        header.state = COLO_META_OUTDATED;
        header.serial++;
        rc = colo__meta_write_header(fd, !copy, &header, err);
    }
out:
    if (fd >= 0)
        close(fd);
    return rc;
}
