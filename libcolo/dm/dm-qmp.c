/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See dm.h.  The device model is a stock QEMU, asked over its monitor.
 *
 * Owns two files that it shares with QEMU: one into which QEMU saves, and one
 * that is the image of a snapshot, which QEMU holds open as a block node
 * and reverts to at each load (see state-image.h).  Both are made at the first
 * use, so that a primary has only the first, a replica only the second.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dm.h"
#include "../pure/hvmctx.h"
#include "qmp.h"
#include "state-file.h"
#include "state-image.h"

#define NODE_PREFIX "colo-ds-" /* our block nodes, of this and past clients */
#define JOB_PREFIX "colo-load-"
#define ENDING_US 500000       /* a killed QEMU has closed all by then */
#define EVENTS_MAX 64          /* taken in at a time */
#define MAGIC "QEVM"           /* what a device state begins with */

struct dm_qmp {
    const struct colo_dm_ops *ops;
    const struct colo_log *log;
    uint64_t timeout_us, stop_us;
    struct colo_qmp *qmp;
    bool dirty_log;          /* we have switched it on */
    bool unusable;           /* a load failed, none has succeeded since */
    struct colo_state_file saved;
    struct colo_state_file image;
    uint32_t area;           /* of image */
    bool has_node;           /* QEMU has image open */
    uint64_t node, job;      /* numbers in their names, counting up */
    bool has_job;            /* to be dismissed once it has concluded */
    bool concluded;
    bool stopped;            /* by us, and not let go on since */
    bool resumed;            /* by somebody else, after that */
};

static uint64_t deadline(const struct dm_qmp *dm)
{
    return colo__now_us(&colo__clock_monotonic) + dm->timeout_us;
}

static struct dm_qmp *of(struct colo_dm *dm)
{
    return (struct dm_qmp *)dm;
}

/* the number behind prefix, if name is one of ours */
static bool name_number(const char *name, const char *prefix, uint64_t *ret)
{
    char *end;

    if (!name || strncmp(name, prefix, strlen(prefix)))
        return false;
    name += strlen(prefix);
    if (*name < '0' || *name > '9')
        return false;
    errno = 0;
    *ret = strtoull(name, &end, 10);
    return !errno && !*end;
}

/* event handler: the end of our job, and what others do */
static void take_event(void *user, const char *name, yajl_val data)
{
    struct dm_qmp *dm = user;
    const char *status;
    uint64_t job;

    if (!strcmp(name, "RESUME"))
        dm->resumed = dm->stopped;
    if (strcmp(name, "JOB_STATUS_CHANGE"))
        return;
    status = colo__qmp_text(data, "status");
    if (status && !strcmp(status, "concluded") && dm->has_job &&
        name_number(colo__qmp_text(data, "id"), JOB_PREFIX, &job) &&
        job == dm->job)
        dm->concluded = true;
}

/* ---- states and logs ---------------------------------------------------- */

static int get_status(struct dm_qmp *dm, uint64_t until, bool *ret_running,
                      char *ret_state, size_t size, struct colo_error *err)
{
    struct colo_qmp_msg msg = { 0 };
    const char *status;
    int rc = colo__qmp_run(dm->qmp, "query-status", -1, NULL, until, &msg,
                           err);

    if (rc)
        return rc;
    status = colo__qmp_text(msg.body, "status");
    if (status) {
        snprintf(ret_state, size, "%s", status);
        *ret_running = !strcmp(status, "running");
    } else {
        rc = colo__fail(err, COLO_E_PROTO, 0, "dm",
                        "QEMU does not say in what state it is");
    }
    colo__qmp_msg_fini(&msg);
    return rc;
}

/* Off is always preceded by on, which does nothing where it is on already:
 * QEMU aborts if it is told to switch off what is off, as it is after libxl has
 * saved the guest meanwhile. */
static int dm_dirty_log(struct colo_dm *base, int on, struct colo_error *err)
{
    struct dm_qmp *dm = of(base);
    uint64_t until = deadline(dm);
    int rc;

    if (!on && !dm->dirty_log)
        return 0;
    rc = colo__qmp_run(dm->qmp, "xen-set-global-dirty-log", -1,
                       "{\"enable\":true}", until, NULL, err);
    if (!rc && !on)
        rc = colo__qmp_run(dm->qmp, "xen-set-global-dirty-log", -1,
                           "{\"enable\":false}", until, NULL, err);
    if (!rc)
        dm->dirty_log = on;
    return rc;
}

static int dm_stop(struct colo_dm *base, struct colo_error *err)
{
    struct dm_qmp *dm = of(base);
    uint64_t until = colo__now_us(&colo__clock_monotonic) + dm->stop_us;
    int rc = colo__qmp_run(dm->qmp, "stop", -1, NULL, until, NULL, err);

    /* whatever was told before that answer is over */
    dm->stopped = !rc;
    dm->resumed = false;
    return rc;
}

static void dm_set_beat(struct colo_dm *base, void (*beat)(void *user),
                        void *user, uint32_t stop_ms)
{
    struct dm_qmp *dm = of(base);
    uint64_t stop_us = (uint64_t)stop_ms * 1000;

    colo__qmp_set_beat(dm->qmp, beat, user);
    dm->stop_us = beat && stop_us > dm->timeout_us ? stop_us : dm->timeout_us;
}

/* A replica that still waits for its first state answers cont with success
 * and does not run: believe what it says afterwards. */
static int dm_cont(struct colo_dm *base, struct colo_error *err)
{
    struct dm_qmp *dm = of(base);
    uint64_t until = deadline(dm);
    bool running = false;
    char state[40];
    int rc;

    if (dm->unusable)
        return colo__fail(err, COLO_E_HV, 0, "dm", "the devices have no "
                          "whole state: the last load failed");
    dm->stopped = false;
    rc = colo__qmp_run(dm->qmp, "cont", -1, NULL, until, NULL, err);
    if (!rc)
        rc = get_status(dm, until, &running, state, sizeof(state), err);
    if (!rc && !running)
        rc = colo__fail(err, COLO_E_HV, 0, "dm",
                        "QEMU does not go on: its state is %s", state);
    return rc;
}

static bool dm_resumed(struct colo_dm *base)
{
    struct dm_qmp *dm = of(base);

    for (int i = 0; i < EVENTS_MAX; i++) {
        if (colo__qmp_wait(dm->qmp, colo__now_us(&colo__clock_monotonic),
                           NULL))
            break; /* that is all, or its monitor tells no more */
    }
    return dm->resumed;
}

/* ---- its end ------------------------------------------------------------ */

static int dm_fd(struct colo_dm *base)
{
    return colo__qmp_fd(of(base)->qmp);
}

/* A process that is being killed closes one thing after the other, and what
 * was told of another one may look here before its monitor's turn has come.
 * One that lives answers at once. */
static bool dm_gone(struct colo_dm *base)
{
    struct dm_qmp *dm = of(base);
    uint64_t until = colo__now_us(&colo__clock_monotonic) + ENDING_US;
    bool running;
    char state[40];

    if (colo__qmp_closed(dm->qmp, 0))
        return true;
    return get_status(dm, until, &running, state, sizeof(state), NULL) &&
           colo__qmp_closed(dm->qmp, until);
}

/* ---- save --------------------------------------------------------------- */

/* what QEMU wrote */
static int read_saved(struct dm_qmp *dm, uint8_t *buf, uint32_t cap,
                      uint32_t *ret_len, struct colo_error *err)
{
    struct stat st;

    if (fstat(dm->saved.read_fd, &st) < 0)
        return colo__fail(err, COLO_E_SYS, errno, "dm",
                          "cannot see the saved state");
    /* no more than a replica takes, machine's context and all */
    if (st.st_size > COLO_HVMCTX_MAX)
        return colo__fail(err, COLO_E_HV, 0, "dm",
                          "QEMU saved more than anybody can take");
    *ret_len = (uint32_t)st.st_size;
    if (*ret_len > cap)
        return colo__fail(err, COLO_E_LIMIT, 0, "dm", "the device state has "
                          "%" PRIu32 " bytes, room is for %" PRIu32,
                          *ret_len, cap);
    if (pread(dm->saved.read_fd, buf, *ret_len, 0) != (ssize_t)*ret_len)
        return colo__fail(err, COLO_E_SYS, errno, "dm",
                          "cannot read the saved state");
    if (*ret_len < strlen(MAGIC) || memcmp(buf, MAGIC, strlen(MAGIC)))
        return colo__fail(err, COLO_E_HV, 0, "dm",
                          "what QEMU saved is no device state");
    return 0;
}

/* live false: else QEMU hands the disks over to the other side and could not
 * go on.  The offset of the file is ours as well as QEMU's. */
static int dm_save(struct colo_dm *base, uint8_t *buf, uint32_t cap,
                   uint32_t *ret_len, struct colo_error *err)
{
    struct dm_qmp *dm = of(base);
    uint64_t until = deadline(dm);
    char args[80];
    int rc;

    if (!dm->saved.shared) {
        rc = colo__state_file_share(&dm->saved, dm->qmp, 0, until, err);
        if (rc)
            return rc;
    }
    if (ftruncate(dm->saved.fd, 0) < 0 ||
        lseek(dm->saved.fd, 0, SEEK_SET) < 0)
        return colo__fail(err, COLO_E_SYS, errno, "dm",
                          "cannot empty the file of the saved state");
    snprintf(args, sizeof(args),
             "{\"filename\":\"/dev/fdset/%" PRIu64 "\",\"live\":false}",
             dm->saved.fdset);
    rc = colo__qmp_run(dm->qmp, "xen-save-devices-state", -1, args, until,
                       NULL, err);
    if (rc)
        return rc;
    return read_saved(dm, buf, cap, ret_len, err);
}

/* ---- load --------------------------------------------------------------- */

static int dismiss(struct dm_qmp *dm, uint64_t job, uint64_t until,
                   struct colo_error *err)
{
    char args[64];

    snprintf(args, sizeof(args), "{\"id\":\"" JOB_PREFIX "%" PRIu64 "\"}",
             job);
    return colo__qmp_run(dm->qmp, "job-dismiss", -1, args, until, NULL, err);
}

/* Our job among those that QEMU has: whether it is there and has concluded, and
 * its error as ours. */
static int look_at_job(struct dm_qmp *dm, uint64_t until,
                       struct colo_error *err)
{
    struct colo_qmp_msg msg = { 0 };
    int rc = colo__qmp_run(dm->qmp, "query-jobs", -1, NULL, until, &msg, err);

    if (rc)
        return rc;
    dm->has_job = false;
    for (size_t i = 0; YAJL_IS_ARRAY(msg.body) && i < msg.body->u.array.len;
         i++) {
        yajl_val job = msg.body->u.array.values[i];
        const char *status = colo__qmp_text(job, "status");
        const char *why = colo__qmp_text(job, "error");
        uint64_t n;

        if (!name_number(colo__qmp_text(job, "id"), JOB_PREFIX, &n) ||
            n != dm->job)
            continue;
        dm->has_job = true;
        dm->concluded = status && !strcmp(status, "concluded");
        if (why)
            rc = colo__fail(err, COLO_E_HV, 0, "dm", "the device state was "
                            "not loaded: QEMU says: %s", why);
    }
    colo__qmp_msg_fini(&msg);
    return rc;
}

/* A job of a load before: also one that we had no time to wait for, or whose
 * refusal we never heard. */
static int finish_job(struct dm_qmp *dm, uint64_t until,
                      struct colo_error *err)
{
    int rc = 0;

    if (dm->has_job && !dm->concluded) {
        rc = look_at_job(dm, until, err);
        if (rc == COLO_E_HV && dm->has_job && dm->concluded)
            rc = 0; /* its failure was the last load's */
    }
    while (!rc && dm->has_job && !dm->concluded)
        rc = colo__qmp_wait(dm->qmp, until, err);
    if (rc || !dm->has_job)
        return rc;
    rc = dismiss(dm, dm->job, until, err);
    if (!rc)
        dm->has_job = false;
    return rc;
}

static int del_node(struct dm_qmp *dm, uint64_t node, uint64_t until,
                    struct colo_error *err)
{
    char args[64];

    snprintf(args, sizeof(args),
             "{\"node-name\":\"" NODE_PREFIX "%" PRIu64 "\"}", node);
    return colo__qmp_run(dm->qmp, "blockdev-del", -1, args, until, NULL, err);
}

static int drop_image(struct dm_qmp *dm, uint64_t until,
                      struct colo_error *err)
{
    int rc = 0;

    if (dm->has_node)
        rc = del_node(dm, dm->node, until, err);
    if (rc)
        return rc;
    dm->has_node = false;
    colo__state_file_drop(&dm->image, dm->qmp, until);
    return 0;
}

/* an image with room for len bytes, open in QEMU */
static int make_image(struct dm_qmp *dm, uint32_t len, uint64_t until,
                      struct colo_error *err)
{
    uint32_t area = colo__state_image_area(len);
    char args[400];
    int rc;

    if (!area)
        return colo__fail(err, COLO_E_LIMIT, 0, "dm",
                          "a device state of %" PRIu32 " bytes", len);
    rc = drop_image(dm, until, err);
    if (rc)
        return rc;
    rc = colo__state_file_share(&dm->image, dm->qmp,
                                colo__state_image_size(area), until, err);
    if (rc)
        return rc;
    dm->area = area;
    colo__state_image_build(dm->image.map, area);
    dm->node++;
    snprintf(args, sizeof(args),
             "{\"driver\":\"qcow2\",\"node-name\":\"" NODE_PREFIX "%" PRIu64
             "\",\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/%"
             PRIu64 "\",\"locking\":\"off\","
             "\"cache\":{\"direct\":false,\"no-flush\":true}}}",
             dm->node, dm->image.fdset);
    rc = colo__qmp_run(dm->qmp, "blockdev-add", -1, args, until, NULL, err);
    if (rc) {
        colo__state_file_drop(&dm->image, dm->qmp, until);
        return rc;
    }
    dm->has_node = true;
    return 0;
}

static int revert(struct dm_qmp *dm, uint64_t until, struct colo_error *err)
{
    char args[200];
    int rc;

    dm->job++;
    dm->has_job = true;
    dm->concluded = false;
    snprintf(args, sizeof(args),
             "{\"job-id\":\"" JOB_PREFIX "%" PRIu64 "\",\"tag\":\""
             COLO_STATE_IMAGE_TAG "\",\"vmstate\":\"" NODE_PREFIX "%" PRIu64
             "\",\"devices\":[\"" NODE_PREFIX "%" PRIu64 "\"]}",
             dm->job, dm->node, dm->node);
    rc = colo__qmp_run(dm->qmp, "snapshot-load", -1, args, until, NULL, err);
    if (rc == COLO_E_HV)
        dm->has_job = false; /* refused: there is none */
    while (!rc && !dm->concluded)
        rc = colo__qmp_wait(dm->qmp, until, err);
    if (!rc)
        rc = look_at_job(dm, until, err);
    if (!rc && !dm->has_job)
        rc = colo__fail(err, COLO_E_PROTO, 0, "dm",
                        "QEMU has lost the job that loads the state");
    return rc;
}

/* The job is dismissed at the next load: that time is not the pause's. */
static int dm_load(struct colo_dm *base, const uint8_t *buf, uint32_t len,
                   struct colo_error *err)
{
    struct dm_qmp *dm = of(base);
    uint64_t until = deadline(dm);
    int rc;

    dm->unusable = true;
    rc = finish_job(dm, until, err);
    if (rc)
        return rc;
    if (!dm->has_node ||
        !colo__state_image_fill(dm->image.map, dm->area, buf, len)) {
        rc = make_image(dm, len, until, err);
        if (rc)
            return rc;
        (void)colo__state_image_fill(dm->image.map, dm->area, buf, len);
    }
    rc = revert(dm, until, err);
    if (!rc)
        dm->unusable = false;
    return rc;
}

/* ---- begin and end ------------------------------------------------------ */

/* What a client of ours that was killed has left: jobs, nodes, files, in the
 * order in which they hold each other. */
static int sweep_jobs(struct dm_qmp *dm, uint64_t until,
                      struct colo_error *err)
{
    struct colo_qmp_msg msg = { 0 };
    int rc = colo__qmp_run(dm->qmp, "query-jobs", -1, NULL, until, &msg, err);

    for (size_t i = 0; !rc && YAJL_IS_ARRAY(msg.body) &&
                       i < msg.body->u.array.len; i++) {
        yajl_val job = msg.body->u.array.values[i];
        const char *status = colo__qmp_text(job, "status");
        uint64_t n;

        if (!name_number(colo__qmp_text(job, "id"), JOB_PREFIX, &n) ||
            n >= UINT64_MAX / 2)
            continue;
        dm->job = n;
        dm->has_job = true;
        dm->concluded = status && !strcmp(status, "concluded");
        rc = finish_job(dm, until, err);
    }
    colo__qmp_msg_fini(&msg);
    return rc;
}

static int sweep_nodes(struct dm_qmp *dm, uint64_t until,
                       struct colo_error *err)
{
    struct colo_qmp_msg msg = { 0 };
    int rc = colo__qmp_run(dm->qmp, "query-named-block-nodes", -1,
                           "{\"flat\":true}", until, &msg, err);

    for (size_t i = 0; !rc && YAJL_IS_ARRAY(msg.body) &&
                       i < msg.body->u.array.len; i++) {
        const char *name = colo__qmp_text(msg.body->u.array.values[i],
                                          "node-name");
        uint64_t n;

        if (name_number(name, NODE_PREFIX, &n))
            rc = del_node(dm, n, until, err);
    }
    colo__qmp_msg_fini(&msg);
    return rc;
}

/* Leaves QEMU without anything of ours, as far as it answers. */
static void dm_close(struct colo_dm *base)
{
    struct dm_qmp *dm = of(base);
    uint64_t until = deadline(dm);

    if (dm->qmp) {
        (void)finish_job(dm, until, NULL);
        (void)drop_image(dm, until, NULL);
    }
    colo__state_file_drop(&dm->image, dm->qmp, until);
    colo__state_file_drop(&dm->saved, dm->qmp, until);
    colo__qmp_close(dm->qmp);
    free(dm);
}

static const struct colo_dm_ops qmp_ops = {
    .close = dm_close,
    .dirty_log = dm_dirty_log,
    .stop = dm_stop,
    .save = dm_save,
    .load = dm_load,
    .cont = dm_cont,
    .set_beat = dm_set_beat,
    .resumed = dm_resumed,
    .fd = dm_fd,
    .gone = dm_gone,
};

int colo__dm_qmp_open(const char *socket, uint32_t timeout_ms,
                      const struct colo_log *log, struct colo_dm **ret_dm,
                      struct colo_error *err)
{
    struct dm_qmp *dm = calloc(1, sizeof(*dm));
    char state[40] = "";
    bool running;
    uint64_t until;
    int rc;

    if (!dm)
        return colo__fail(err, COLO_E_NOMEM, 0, "dm", "no memory");
    dm->ops = &qmp_ops;
    dm->log = log;
    dm->timeout_us = dm->stop_us = (uint64_t)timeout_ms * 1000;
    dm->saved = dm->image = (struct colo_state_file)COLO_STATE_FILE_NONE;
    until = deadline(dm);
    rc = colo__qmp_open(socket, until, take_event, dm, &dm->qmp, err);
    if (!rc)
        rc = sweep_jobs(dm, until, err);
    if (!rc)
        rc = sweep_nodes(dm, until, err);
    if (!rc)
        rc = colo__state_file_sweep(dm->qmp, until, err);
    if (!rc)
        rc = get_status(dm, until, &running, state, sizeof(state), err);
    if (rc) {
        dm_close((struct colo_dm *)dm);
        return rc;
    }
    colo__log(log, COLO_LOG_DEBUG, -1, "dm", "QEMU is %s", state);
    *ret_dm = (struct colo_dm *)dm;
    return 0;
}
