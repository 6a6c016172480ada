/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See dm-table.h.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <libdevmapper.h>

#include "dm-table.h"

#define WHERE "disk-dm"

/* Nothing in this host shall look into a guest's disk by itself. */
#define UDEV_FLAGS (DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | \
                    DM_UDEV_DISABLE_DISK_RULES_FLAG | \
                    DM_UDEV_DISABLE_OTHER_RULES_FLAG)

static int dm_fail(struct colo_error *err, struct dm_task *task,
                   const char *what, const char *name)
{
    int e = task ? dm_task_get_errno(task) : ENOMEM;

    return colo__fail(err, task ? COLO_E_SYS : COLO_E_NOMEM, e, WHERE,
                      "cannot %s %s", what, name);
}

static struct dm_task *new_task(int type, const char *name)
{
    struct dm_task *task = dm_task_create(type);

    if (task && !dm_task_set_name(task, name)) {
        dm_task_destroy(task);
        task = NULL;
    }
    return task;
}

/* libdevmapper prints to stderr otherwise, also what we expect. */
static void be_quiet(int level, const char *file, int line, int dm_errno,
                     const char *f, ...)
{
    (void)level;
    (void)file;
    (void)line;
    (void)dm_errno;
    (void)f;
}

/* run - and wait for udev to have made or removed the node. */
static int run(struct dm_task *task, bool wait_udev)
{
    uint32_t cookie = 0;
    int ok;

    dm_log_with_errno_init(be_quiet);
    if (wait_udev && !dm_task_set_cookie(task, &cookie, UDEV_FLAGS))
        return 0;
    ok = dm_task_run(task);
    if (wait_udev)
        dm_udev_wait(cookie);
    return ok;
}

static int add_target(struct dm_task *task, uint64_t sectors, dev_t under)
{
    char params[64];

    if (under == COLO_DM_ERROR)
        return dm_task_add_target(task, 0, sectors, "error", "");
    snprintf(params, sizeof(params), "%u:%u 0", major(under), minor(under));
    return dm_task_add_target(task, 0, sectors, "linear", params);
}

static void read_table(struct dm_task *task, struct colo_dm_info *info)
{
    uint64_t start = 0, length = 0;
    char *type = NULL, *params = NULL;
    unsigned int maj, min;

    dm_get_next_target(task, NULL, &start, &length, &type, &params);
    info->sectors = length;
    if (type && params && !strcmp(type, "linear") &&
        sscanf(params, "%u:%u", &maj, &min) == 2)
        info->under = makedev(maj, min);
}

int colo__dm_info(const char *name, struct colo_dm_info *ret_info,
                  struct colo_error *err)
{
    struct dm_task *task = new_task(DM_DEVICE_TABLE, name);
    struct dm_info info;
    int rc = 0;

    memset(ret_info, 0, sizeof(*ret_info));
    if (!task)
        return dm_fail(err, NULL, "look at", name);
    if (!run(task, false)) {
        if (dm_task_get_errno(task) != ENXIO)
            rc = dm_fail(err, task, "look at", name);
    } else if (!dm_task_get_info(task, &info)) {
        rc = dm_fail(err, task, "look at", name);
    } else if (info.exists) {
        ret_info->exists = true;
        ret_info->suspended = info.suspended;
        ret_info->open_count = (uint32_t)info.open_count;
        ret_info->dev = makedev(info.major, info.minor);
        if (info.live_table)
            read_table(task, ret_info);
    }
    dm_task_destroy(task);
    return rc;
}

int colo__dm_create(const char *name, uint64_t sectors, dev_t under,
                    struct colo_error *err)
{
    struct dm_task *task = new_task(DM_DEVICE_CREATE, name);
    int rc = 0;

    if (!task || !add_target(task, sectors, under) || !run(task, true))
        rc = dm_fail(err, task, "make", name);
    if (task)
        dm_task_destroy(task);
    dm_task_update_nodes();
    return rc;
}

int colo__dm_create_era(const char *name, uint64_t sectors, dev_t notes,
                        dev_t under, uint32_t block, struct colo_error *err)
{
    struct dm_task *task = new_task(DM_DEVICE_CREATE, name);
    char params[96];
    int rc = 0;

    snprintf(params, sizeof(params), "%u:%u %u:%u %u", major(notes),
             minor(notes), major(under), minor(under), block);
    if (!task || !dm_task_add_target(task, 0, sectors, "era", params) ||
        !run(task, true))
        rc = dm_fail(err, task, "make", name);
    if (task)
        dm_task_destroy(task);
    dm_task_update_nodes();
    return rc;
}

static int load(const char *name, uint64_t sectors, dev_t under,
                struct colo_error *err)
{
    struct dm_task *task = new_task(DM_DEVICE_RELOAD, name);
    int rc = 0;

    if (!task || !add_target(task, sectors, under) || !run(task, false))
        rc = dm_fail(err, task, "load a table into", name);
    if (task)
        dm_task_destroy(task);
    return rc;
}

static void on_alarm(int signo)
{
    (void)signo;  /* only to end an ioctl */
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Did the alarm end it?  Kernels before September 2024 say EINVAL then. */
static bool was_interrupted(struct dm_task *task, uint64_t begin,
                            unsigned int timeout_s)
{
    int e = dm_task_get_errno(task);

    /* the alarm's clock and ours are not the same */
    return e == EINTR ||
        (e == EINVAL && now_ms() - begin + 100 >= timeout_s * 1000u);
}

/* Waits for the I/O under way, exchanges, goes on: all in the kernel. */
static int exchange(const char *name, unsigned int timeout_s,
                    struct colo_error *err)
{
    struct dm_task *task = new_task(DM_DEVICE_RESUME, name);
    struct sigaction act = { .sa_handler = on_alarm }, before;
    uint64_t begin = now_ms();
    int rc = 0;

    if (!task || !dm_task_skip_lockfs(task)) {
        rc = dm_fail(err, NULL, "swap", name);
        goto out;
    }
    sigaction(SIGALRM, &act, &before);
    alarm(timeout_s);
    if (!run(task, false)) {
        if (was_interrupted(task, begin, timeout_s))
            rc = colo__fail(err, COLO_E_TIMEOUT, 0, WHERE,
                            "I/O under way on %s did not end in %u s", name,
                            timeout_s);
        else
            rc = dm_fail(err, task, "swap the table of", name);
    }
    alarm(0);
    sigaction(SIGALRM, &before, NULL);
out:
    if (task)
        dm_task_destroy(task);
    return rc;
}

/* The guest's I/O must not wait for who never comes: with no table loaded this
 * puts the old one in force again. */
static void resume_old(const char *name)
{
    struct colo_dm_info info;
    struct dm_task *task;

    if (colo__dm_info(name, &info, NULL) || !info.exists || !info.suspended)
        return;
    task = new_task(DM_DEVICE_RESUME, name);
    if (task) {
        (void)run(task, false);
        dm_task_destroy(task);
    }
}

int colo__dm_swap(const char *name, uint64_t sectors, dev_t under,
                  unsigned int timeout_s, struct colo_error *err)
{
    int rc = load(name, sectors, under, err);

    if (rc)
        return rc;
    rc = exchange(name, timeout_s, err);
    if (rc) {
        colo__dm_clear(name, NULL);
        resume_old(name);
    }
    return rc;
}

int colo__dm_clear(const char *name, struct colo_error *err)
{
    struct dm_task *task = new_task(DM_DEVICE_CLEAR, name);
    int rc = 0;

    if (!task || (!run(task, false) && dm_task_get_errno(task) != ENXIO))
        rc = dm_fail(err, task, "clear the loaded table of", name);
    if (task)
        dm_task_destroy(task);
    return rc;
}

int colo__dm_remove(const char *name, struct colo_error *err)
{
    struct dm_task *task = new_task(DM_DEVICE_REMOVE, name);
    int rc = 0;

    if (!task || !dm_task_deferred_remove(task)) {
        rc = dm_fail(err, NULL, "remove", name);
    } else if (!run(task, true) && dm_task_get_errno(task) != ENXIO) {
        rc = dm_fail(err, task, "remove", name);
    }
    if (task)
        dm_task_destroy(task);
    dm_task_update_nodes();
    return rc;
}
