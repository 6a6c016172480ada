/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-disk serve: puts a proxy beneath a disk that a guest may be using,
 * watches it, and takes it out again, whatever becomes of it.  See colo-disk.h
 * and colo-disk(8).
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "colo-disk.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define START_MS 60000   /* the plugin may have a large bitmap to make */
#define SWAP_SECONDS 30

struct serve {
    const struct disk_options *options;
    struct disk_names names;
    struct disk_backing backing;
    struct disk_record record;
    struct disk_kit kit;
};

/* The guest's disk waits for this process: it must not wait for memory, nor
 * be the one that the kernel picks when there is none. */
static void protect_process(void)
{
    FILE *f;

    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        disk_say("mlockall: %s", strerror(errno));
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);  /* since 5.6, inherited */
    f = fopen("/proc/self/oom_score_adj", "we");
    if (f) {
        fputs("-1000", f);
        fclose(f);
    }
}

static int load_nbd(void)
{
    int status = -1;
    pid_t pid = fork();

    if (!pid) {
        execlp("modprobe", "modprobe", "nbd", (char *)NULL);
        _exit(127);
    }
    return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

/* May a proxy go beneath what is there now? */
static int check_device(const struct serve *s, const struct colo_dm_info *info,
                        struct colo_error *err)
{
    if (s->record.secondary) {
        if (info->exists && info->open_count)
            return colo__fail(err, COLO_E_STATE, 0, DISK_WHERE,
                              "a guest uses %s here", s->names.target);
        return 0;
    }
    if (!info->exists)
        return colo__fail(err, COLO_E_NOTFOUND, 0, DISK_WHERE,
                          "%s has no device: does the guest's disk say "
                          "script=block-colo, or name the device (libvirt)?",
                          s->names.target);
    if (info->under != s->backing.dev &&
        !disk_track_is(&s->names, info->under))
        return colo__fail(err, COLO_E_STATE, 0, DISK_WHERE,
                          "%s is not over %s", s->names.name,
                          s->backing.path);
    return 0;
}

static int start_kit(struct serve *s, struct colo_error *err)
{
    struct colo_nbd_export export;
    struct colo_nbd_config config = {
        .size = s->backing.size, .block_size = s->backing.block,
        .timeout_s = s->record.timeout_s, .dead_s = s->options->dead_s,
        .identifier = s->record.identifier,
    };
    char flag[PATH_MAX];
    int rc;

    unlink(s->names.tracked); /* of another time */
    /* while nobody has the file open; what is written until all goes through
     * the plugin is compared, too: the twin has another generation */
    disk_flag(&s->names, flag);
    rc = colo__meta_take_flag(s->names.meta, flag, s->backing.size, err);
    if (rc)
        return rc;
    rc = disk_kit_start(&s->kit, s->options, &s->names, &s->backing, err);
    if (rc)
        return rc;
    /* before the kernel has it: recover must find it whenever we die */
    s->record.kit = s->kit.process;
    rc = disk_record_write(s->names.record, &s->record, err);
    if (rc)
        return rc;
    rc = colo__nbd_handshake(s->kit.sock, START_MS, &export, err);
    if (rc)
        return rc;
    if (export.size / 512 * 512 != s->backing.size)
        return colo__fail(err, COLO_E_PROTO, 0, DISK_WHERE,
                          "the proxy shows %llu bytes of %llu",
                          (unsigned long long)export.size,
                          (unsigned long long)s->backing.size);
    config.flags = export.flags;
    rc = colo__nbd_connect(s->kit.sock, &config, &s->record.nbd, err);
    if (rc == COLO_E_UNSUPPORTED && !load_nbd())
        rc = colo__nbd_connect(s->kit.sock, &config, &s->record.nbd, err);
    return rc;
}

/* What was noted while there was no proxy, for the plugin to take before it
 * joins.  Without it, it compares everything. */
static void take_notes(struct serve *s, const struct colo_dm_info *info)
{
    struct colo_error err;

    if (!s->record.secondary && info->exists &&
        disk_track_is(&s->names, info->under)) {
        if (disk_track_end(&s->names, &s->backing, &err))
            disk_report(&err);
    }
    disk_track_drop(&s->names);
}

/* Under the lock.  On failure everything is as before. */
static int insert(struct serve *s, struct colo_error *err)
{
    struct colo_dm_info info;
    dev_t nbd;
    int rc;

    rc = colo__dm_info(s->names.name, &info, err);
    if (!rc)
        rc = check_device(s, &info, err);
    if (!rc)
        rc = start_kit(s, err);
    if (rc)
        goto undo;
    rc = disk_record_write(s->names.record, &s->record, err);
    if (!rc)
        rc = colo__nbd_number(s->record.nbd, &nbd, err);
    if (!rc && info.exists)
        rc = colo__dm_swap(s->names.name, info.sectors, nbd, SWAP_SECONDS,
                           err);
    if (!rc) {
        take_notes(s, &info);
        disk_kit_release(&s->kit);
        return 0;
    }
undo:
    if (s->record.nbd >= 0)
        colo__nbd_disconnect(s->record.nbd, s->record.identifier, NULL);
    disk_kit_end(&s->kit, 2000);
    unlink(s->names.record);
    return rc;
}

static int begin(struct serve *s, struct colo_error *err)
{
    struct disk_record other;
    int lock, rc;

    /* not to be waited for: the session has gone by then */
    if (disk_is_draining(&s->names, &other))
        return colo__fail(err, COLO_E_STATE, 0, DISK_WHERE,
                          "%s: the writes of a takeover are not all on the "
                          "disk yet (process %d): protect the guest later",
                          s->names.target, (int)other.kit.pid);
    rc = disk_lock(&s->names, &lock, err);
    if (rc)
        return rc;
    rc = disk_recover_one(&s->names, err);
    if (rc >= 0)
        rc = disk_record_read(s->names.record, &other, err);
    if (rc == 1)
        rc = colo__fail(err, COLO_E_EXISTS, 0, DISK_WHERE,
                        "process %d serves %s already",
                        (int)other.supervisor.pid, s->names.target);
    if (!rc)
        rc = disk_backing_open(&s->backing, s->names.target, err);
    if (!rc)
        rc = insert(s, err);
    close(lock);
    return rc;
}

/* Returns 0 asked to end, 1 the server has gone. */
static int watch(const struct serve *s, int signals)
{
    struct pollfd fds[] = {
        { .fd = 0, .events = POLLIN },
        { .fd = signals, .events = POLLIN },
        /* only its end is looked at: what is in it is the kernel's */
        { .fd = s->kit.sock, .events = 0 },
    };
    char rubbish[256];

    for (;;) {
        int r = poll(fds, COLO_ARRAY_LEN(fds), -1);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 || fds[2].revents)
            return 1;
        if (fds[1].revents)
            return 0;
        if (fds[0].revents && read(0, rubbish, sizeof(rubbish)) <= 0)
            return 0;
    }
}

/* The guest's I/O waits for a new server: the relay, if this copy may be
 * written at all. */
static void replace_server(struct serve *s)
{
    struct colo_error err;

    disk_say("%s: the proxy has gone; the guest goes on without",
             s->names.target);
    if (!disk_kit_end(&s->kit, 0)) {
        disk_say("%s: process %d does not end, and may still write: the "
                 "guest's I/O waits for it", s->names.target,
                 (int)s->record.kit.pid);
        if (!disk_wait_gone(&s->record.kit))
            return;
    }
    if (!disk_may_write(&s->names, s->record.secondary))
        return;
    if (disk_replug(&s->names, &s->backing, &s->record, &s->kit, &err))
        disk_say("%s", err.text);
}

static int block_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static void start_record(struct serve *s)
{
    s->record.nbd = -1;
    s->record.track = s->options->track;
    s->record.secondary = !strcmp(s->options->role, "secondary");
    /* After a takeover a guest's flush waits until the log is on the disk.  A
     * plugin that the kernel gives up meanwhile takes the log along. */
    s->record.timeout_s = s->record.secondary ? 0 : s->options->timeout_s;
    s->record.supervisor = disk_process_of(getpid());
    snprintf(s->record.target, sizeof(s->record.target), "%s",
             s->names.target);
    snprintf(s->record.meta, sizeof(s->record.meta), "%s", s->names.meta);
    snprintf(s->record.identifier, sizeof(s->record.identifier),
             "colo-%d-%llu", (int)getpid(),
             (unsigned long long)s->record.supervisor.start);
}

int disk_cmd_serve(const struct disk_options *options)
{
    struct serve s = { .options = options, .backing = { .fd = -1 },
                       .kit = { .sock = -1, .hold = -1 } };
    struct colo_error err;
    int signals = block_signals(), lock = -1, rc, gone;

    if (signals < 0) { /* nobody could ask us to end */
        disk_say("signalfd: %s", strerror(errno));
        return 1;
    }
    protect_process();
    rc = disk_names(&s.names, options->target, options->meta_dir, &err);
    if (rc)
        return disk_report(&err);
    start_record(&s);
    rc = begin(&s, &err);
    if (rc) {
        disk_backing_close(&s.backing);
        return disk_report(&err);
    }
    printf("ready\n");
    fflush(stdout);
    gone = watch(&s, signals);
    if (gone)
        replace_server(&s);
    /* As long as the metadata cannot say that all is applied, this disk is no
     * guest's without its proxy. */
    do {
        disk_wait_applied(&s.record);
    } while (disk_process_alive(&s.record.kit) &&
             colo__meta_peek(s.record.meta, NULL, NULL) ==
             COLO_META_APPLYING);
    /* without the lock rather than not at all */
    if (disk_lock(&s.names, &lock, &err))
        disk_report(&err);
    rc = disk_leave(&s.names, &s.backing, &s.record, &s.kit, &err);
    if (rc)
        disk_report(&err);
    if (lock >= 0)
        close(lock);
    disk_backing_close(&s.backing);
    printf("ended %s\n", gone ? "proxy-gone" : "request");
    fflush(stdout);
    close(signals);
    return rc || gone;
}
