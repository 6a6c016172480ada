/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See state-file.h.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state-file.h"

#define OWNER "colo-dm" /* what our fdsets are known by */

/* The descriptor that QEMU gets.  It looks for one of exactly the access mode
 * that it needs: a state is saved through one that can only be written. */
static int make_file(struct colo_state_file *file, size_t size,
                     struct colo_error *err)
{
    char path[40];
    int fd = memfd_create("colo-dm", MFD_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, "dm", "no memory file");
    if (!size) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        file->fd = open(path, O_WRONLY | O_CLOEXEC);
        if (file->fd < 0)
            rc = colo__fail(err, COLO_E_SYS, errno, "dm",
                            "cannot open a memory file");
        file->read_fd = fd;
        return rc;
    }
    file->fd = fd;
    if (ftruncate(fd, (off_t)size) < 0)
        return colo__fail(err, COLO_E_NOMEM, errno, "dm",
                          "no room for the device state");
    file->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (file->map == MAP_FAILED) {
        file->map = NULL;
        return colo__fail(err, COLO_E_NOMEM, errno, "dm",
                          "no room for the device state");
    }
    file->size = size;
    return 0;
}

int colo__state_file_share(struct colo_state_file *file, struct colo_qmp *qmp,
                           size_t size, uint64_t deadline_us,
                           struct colo_error *err)
{
    struct colo_qmp_msg msg = { 0 };
    int rc;

    *file = (struct colo_state_file)COLO_STATE_FILE_NONE;
    rc = make_file(file, size, err);
    if (rc)
        goto out;
    rc = colo__qmp_run(qmp, "add-fd", file->fd, "{\"opaque\":\"" OWNER "\"}",
                       deadline_us, &msg, err);
    if (rc)
        goto out;
    if (!colo__qmp_number(msg.body, "fdset-id", &file->fdset)) {
        rc = colo__fail(err, COLO_E_PROTO, 0, "dm", "add-fd gave no number");
        goto out;
    }
    file->shared = true;
out:
    colo__qmp_msg_fini(&msg);
    if (rc)
        colo__state_file_drop(file, NULL, 0);
    return rc;
}

static int remove_fdset(struct colo_qmp *qmp, uint64_t fdset,
                        uint64_t deadline_us, struct colo_error *err)
{
    char args[64];

    snprintf(args, sizeof(args), "{\"fdset-id\":%" PRIu64 "}", fdset);
    return colo__qmp_run(qmp, "remove-fd", -1, args, deadline_us, NULL, err);
}

void colo__state_file_drop(struct colo_state_file *file,
                           struct colo_qmp *qmp, uint64_t deadline_us)
{
    if (file->shared && qmp)
        (void)remove_fdset(qmp, file->fdset, deadline_us, NULL);
    if (file->shared && file->size)
        (void)!ftruncate(file->fd, 0);
    if (file->map)
        munmap(file->map, file->size);
    if (file->fd >= 0)
        close(file->fd);
    if (file->read_fd >= 0)
        close(file->read_fd);
    *file = (struct colo_state_file)COLO_STATE_FILE_NONE;
}

/* an element of what query-fdsets gives: is it one of ours? */
static bool is_ours(yajl_val set)
{
    yajl_val fds = colo__qmp_field(set, "fds", yajl_t_array);

    for (size_t i = 0; fds && i < fds->u.array.len; i++) {
        const char *owner = colo__qmp_text(fds->u.array.values[i], "opaque");

        if (owner && !strcmp(owner, OWNER))
            return true;
    }
    return false;
}

int colo__state_file_sweep(struct colo_qmp *qmp, uint64_t deadline_us,
                           struct colo_error *err)
{
    struct colo_qmp_msg msg = { 0 };
    int rc = colo__qmp_run(qmp, "query-fdsets", -1, NULL, deadline_us, &msg,
                           err);

    if (rc)
        return rc;
    for (size_t i = 0; YAJL_IS_ARRAY(msg.body) && i < msg.body->u.array.len;
         i++) {
        yajl_val set = msg.body->u.array.values[i];
        uint64_t id;

        if (is_ours(set) && colo__qmp_number(set, "fdset-id", &id)) {
            rc = remove_fdset(qmp, id, deadline_us, err);
            if (rc)
                break;
        }
    }
    colo__qmp_msg_fini(&msg);
    return rc;
}
