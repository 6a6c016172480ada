/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the files of colo-disk share.  One process, one thread; every call
 * that changes a device or a record is made under the disk's lock.
 */
#ifndef COLO_DISK_COLO_DISK_H
#define COLO_DISK_COLO_DISK_H

#include <limits.h>
#include <sys/types.h>

#include "dm-table.h"
#include "meta.h"
#include "nbd-client.h"
#include "nbd-netlink.h"

#define DISK_RUN_DIR "/run/libcolo/disk"
#define DISK_META_DIR "/var/lib/libcolo/disk"
#define DISK_WHERE "colo-disk"

/* What the options say. */
struct disk_options {
    const char *role, *domain, *vdev, *target;
    const char *meta_dir, *spill_dir, *spill_limit, *memory_limit;
    const char *plugin, *nbdkit;      /* NULL: the installed ones */
    const char *control, *stream;     /* the plugin's, for tests */
    uint32_t timeout_s, dead_s;
    bool inconsistent;
    bool track;      /* note what is written when the proxy has left */
};

/* ---- names and lock (colo-disk-names.c) -------------------------------- */

struct disk_names {
    char target[PATH_MAX];
    char name[COLO_DM_NAME_MAX];
    char meta[PATH_MAX];     /* file of the metadata */
    char record[PATH_MAX];
    char tracked[PATH_MAX];  /* what was written without a proxy, bits */
    char usage[PATH_MAX];    /* how much the proxy holds, see usage.c */
};

/* disk_names - target: also by the path of its device, as far as that tells.
 * Errors  COLO_E_INVAL */
int disk_names(struct disk_names *ret_names, const char *target,
               const char *meta_dir, struct colo_error *err);

/* disk_lock - one at a time for each disk; closed by the caller.
 * Errors  COLO_E_TIMEOUT */
int disk_lock(const struct disk_names *names, int *ret_fd,
              struct colo_error *err);

/* disk_take - both, for a command; *ret_lock is closed by the caller, also on
 * failure (-1: it has none). */
int disk_take(struct disk_names *ret_names, const struct disk_options *options,
              int *ret_lock, struct colo_error *err);

/* ---- the backing (colo-disk-backing.c) --------------------------------- */

/* fd: O_RDWR, O_DIRECT; keeps a loop device alive.  -1 = not open */
struct disk_backing {
    int fd;
    dev_t dev;
    uint64_t size;
    uint32_t block;   /* logical block, bytes */
    char path[64 + PATH_MAX];
};

/* disk_backing_open - a block device, or a file by way of a loop device that
 * goes away with its last user. */
int disk_backing_open(struct disk_backing *ret_backing, const char *target,
                      struct colo_error *err);
void disk_backing_close(struct disk_backing *backing);

/* ---- the record of who serves a disk (colo-disk-record.c) -------------- */

/* A process, so that a number used again is not taken for it. */
struct disk_process {
    pid_t pid;
    uint64_t start;   /* as /proc/PID/stat says */
};

struct disk_record {
    struct disk_process supervisor, kit;
    int nbd;          /* -1 none yet: by its identifier */
    uint32_t timeout_s;  /* of a request: so long a lost one waits; 0 = none:
                            it is sent again soon after the server was replaced,
                            not before */
    int secondary;
    int track;        /* see disk_options */
    char target[PATH_MAX];
    char meta[PATH_MAX];
    char identifier[64];
};

bool disk_process_alive(const struct disk_process *process);
struct disk_process disk_process_of(pid_t pid);

/* disk_record_parse - pure; false: not one of ours */
bool disk_record_parse(const char *text, struct disk_record *ret_record);
int disk_record_write(const char *path, const struct disk_record *record,
                      struct colo_error *err);
/* disk_record_read - 1 read, 0 there is none, or < 0 */
int disk_record_read(const char *path, struct disk_record *ret_record,
                     struct colo_error *err);

/* ---- the server behind the nbd device (colo-disk-kit.c) ---------------- */

/* nbdkit with the plugin, or our own relay; sock: our end, -1 = none */
struct disk_kit {
    struct disk_process process;
    int sock;
    int hold;         /* nbdkit's plugin joins the session when told here */
    bool relay;
};

int disk_kit_start(struct disk_kit *ret_kit, const struct disk_options *options,
                   const struct disk_names *names,
                   const struct disk_backing *backing, struct colo_error *err);
/* disk_kit_release - it is in place: every write goes through it. */
void disk_kit_release(struct disk_kit *kit);
int disk_kit_relay(struct disk_kit *ret_kit, const struct disk_backing *backing,
                   struct colo_error *err);

/* disk_kit_end - waits for its end; TERM after wait_ms, then KILL; 0: KILL at
 * once.  It may wait a minute for what was killed.
 * Returns  has it gone?  If not, it may still write. */
bool disk_kit_end(struct disk_kit *kit, int wait_ms);

/* disk_process_end - the same for one that is not our child. */
bool disk_process_end(const struct disk_process *process, int wait_ms);

/* ---- the way out (colo-disk-leave.c) ----------------------------------- */

/* disk_wait_applied - until what a takeover has not yet applied, and the plugin
 * alone knows, is on the disk, or the plugin is dead.  It may take
 * COLO_META_APPLY_SECONDS: call it before the disk's lock is taken, or whoever
 * attaches or detaches the disk meanwhile finds it locked. */
void disk_wait_applied(const struct disk_record *record);

/* disk_wait_abandoned - the same before disk_recover_one, if that is to do
 * anything. */
void disk_wait_abandoned(const struct disk_names *names);

/* disk_is_draining - would it have to wait?  Then *ret_record is that of the
 * disk, whose server lives and can be used. */
bool disk_is_draining(const struct disk_names *names,
                      struct disk_record *ret_record);

/* disk_wait_gone - a killed server that hangs in the kernel with a stalled disk
 * goes when the disk answers, and with it its last writes.
 * Returns  has it gone?  Not so after a long time. */
bool disk_wait_gone(const struct disk_process *process);

/* disk_leave - take nbd device and server from beneath the disk.
 * Shape    kit: what serves the nbd device and we started, pid 0 = none.
 *          Goes on after errors; *err is the first. */
int disk_leave(const struct disk_names *names,
               const struct disk_backing *backing, struct disk_record *record,
               struct disk_kit *kit, struct colo_error *err);

/* disk_replug - a relay into an nbd device whose server has died, and which
 * this side may write.  Requests that the dead one had are sent again when
 * they time out, not before. */
int disk_replug(const struct disk_names *names,
                const struct disk_backing *backing, struct disk_record *record,
                struct disk_kit *kit, struct colo_error *err);

/* disk_recover_one - clean up after a supervisor that has died.  Under the
 * disk's lock.  Returns 1 cleaned, 0 nothing to do, < 0. */
int disk_recover_one(const struct disk_names *names, struct colo_error *err);

/* disk_flag - the path of what colo__meta_flag makes; beside the record. */
void disk_flag(const struct disk_names *names, char ret_path[PATH_MAX]);

/* disk_may_write - may a guest write to this copy past its proxy? */
bool disk_may_write(const struct disk_names *names, bool secondary);

/* ---- without a proxy (colo-disk-track.c) ------------------------------- */

/* disk_track_begin - a device over the backing that notes what is written. */
int disk_track_begin(const struct disk_names *names,
                     const struct disk_backing *backing, dev_t *ret_dev,
                     struct colo_error *err);
/* disk_track_is - is this it? */
bool disk_track_is(const struct disk_names *names, dev_t dev);
/* disk_track_end - nothing is over it any more: it goes, and what it noted
 * goes to names->tracked.  On failure there is no such file. */
int disk_track_end(const struct disk_names *names,
                   const struct disk_backing *backing, struct colo_error *err);
/* disk_track_drop - it goes, now or with its last user, and is forgotten. */
void disk_track_drop(const struct disk_names *names);

/* ---- commands ---------------------------------------------------------- */

int disk_cmd_serve(const struct disk_options *options);
int disk_cmd_attach(const struct disk_options *options);
int disk_cmd_detach(const struct disk_options *options);
int disk_cmd_recover(const struct disk_options *options);
int disk_cmd_status(const struct disk_options *options);
int disk_cmd_force(const struct disk_options *options);
int disk_cmd_discard(const struct disk_options *options);

/* disk_say - one line to stderr; disk_report - an error, returns 1 */
void disk_say(const char *fmt, ...) COLO_PRINTF(1, 2);
int disk_report(const struct colo_error *err);

#endif
