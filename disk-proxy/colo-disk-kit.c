/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The process that serves the nbd device: nbdkit with the plugin, or our own
 * relay when that has died.  It is joined to us by one socket pair, without a
 * listening socket: when one end dies, the other sees it.  It does not die
 * with us: the guest's I/O goes on, and `recover` finds it by the record.
 * See colo-disk.h.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "colo-disk.h"

#define ARGS_MAX 24
#define ORPHAN_MS 5000
#define HOLD_FD 3  /* in nbdkit */
#define TERM_MS 2000
#define KILL_MS 60000  /* it may wait for a disk, where no signal reaches it */

struct args {
    char *argv[ARGS_MAX + 1];
    int n;
    bool failed;
};

static void add_arg(struct args *args, const char *fmt, ...)
    COLO_PRINTF(2, 3);

static void add_arg(struct args *args, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;

    va_start(ap, fmt);
    if (args->n == ARGS_MAX || vasprintf(&text, fmt, ap) < 0)
        args->failed = true;
    else
        args->argv[args->n++] = text;
    va_end(ap);
}

static void add_value(struct args *args, const char *key, const char *value)
{
    if (value)
        add_arg(args, "%s=%s", key, value);
}

static void free_args(struct args *args)
{
    for (int i = 0; i < args->n; i++)
        free(args->argv[i]);
}

static void build_args(struct args *args, const struct disk_options *options,
                       const struct disk_names *names,
                       const struct disk_backing *backing)
{
    char flag[PATH_MAX];

    memset(args, 0, sizeof(*args));
    add_arg(args, "%s", options->nbdkit ? options->nbdkit : "nbdkit");
    add_arg(args, "--single");
    add_arg(args, "%s",
            options->plugin ? options->plugin : COLO_DISK_PLUGIN);
    add_arg(args, "lock=true");
    add_value(args, "backing", backing->path);
    add_value(args, "role", options->role);
    add_value(args, "domain", options->domain);
    add_value(args, "id", options->vdev);
    add_value(args, "meta", names->meta);
    add_arg(args, "device=" COLO_DM_DIR "%s", names->name);
    add_value(args, "usage", names->usage);
    add_value(args, "tracked", names->tracked);
    disk_flag(names, flag);
    add_value(args, "flag", flag);
    add_arg(args, "hold-fd=%d", HOLD_FD);
    add_value(args, "spill", options->spill_dir);
    add_value(args, "spill-limit", options->spill_limit);
    add_value(args, "memory-limit", options->memory_limit);
    add_value(args, "control", options->control);
    add_value(args, "stream", options->stream);
}

static void sleep_ms(int ms)
{
    struct timespec t = { .tv_sec = ms / 1000,
                          .tv_nsec = ms % 1000 * 1000000L };

    nanosleep(&t, NULL);
}

static void child_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGALRM, SIG_DFL);
    /* a signal to our group is not for it: it ends when the device does */
    setpgid(0, 0);
}

/* Both ends, which the kernel closes with their process. */
static int make_pair(int *ret_ours, int *ret_theirs, struct colo_error *err)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE, "socketpair");
    *ret_ours = pair[0];
    *ret_theirs = pair[1];
    return 0;
}

/* nbdkit --single has the kernel end it with its parent, and would fail the
 * guest's I/O then: so it is made an orphan before it starts.  Its pid goes
 * through report. */
static void child_exec(const struct args *args, int sock, int hold,
                       int report)
{
    pid_t parent = getpid(), pid = fork();

    if (pid) {
        _exit(pid < 0 || write(report, &pid, sizeof(pid)) !=
                             (ssize_t)sizeof(pid));
    }
    child_signals();
    for (int i = 0; getppid() == parent; i++) {
        if (i == ORPHAN_MS)
            _exit(126);
        sleep_ms(1);
    }
    if (dup2(sock, 0) < 0 || dup2(sock, 1) < 0 || dup2(hold, HOLD_FD) < 0 ||
        fcntl(HOLD_FD, F_SETFD, 0) < 0)
        _exit(126);
    execvp(args->argv[0], args->argv);
    dprintf(2, "colo-disk: cannot run %s: %s\n", args->argv[0],
            strerror(errno));
    _exit(127);
}

int disk_kit_start(struct disk_kit *ret_kit, const struct disk_options *options,
                   const struct disk_names *names,
                   const struct disk_backing *backing, struct colo_error *err)
{
    int ours = -1, theirs = -1, report[2] = { -1, -1 }, hold[2] = { -1, -1 };
    int rc;
    struct args args;
    pid_t pid, between = -1;
    ssize_t n;

    build_args(&args, options, names, backing);
    if (args.failed) {
        rc = colo__fail(err, COLO_E_NOMEM, ENOMEM, DISK_WHERE, "arguments");
        goto out;
    }
    rc = make_pair(&ours, &theirs, err);
    if (rc)
        goto out;
    if (pipe2(report, O_CLOEXEC) || pipe2(hold, O_CLOEXEC)) {
        rc = colo__fail(err, COLO_E_SYS, errno, DISK_WHERE, "pipe");
        goto out;
    }
    between = fork();
    if (!between)
        child_exec(&args, theirs, hold[0], report[1]);
    if (between < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, DISK_WHERE, "fork");
        goto out;
    }
    close(report[1]);
    report[1] = -1;
    n = read(report[0], &pid, sizeof(pid));
    if (n != (ssize_t)sizeof(pid)) {
        rc = colo__fail(err, COLO_E_SYS, n < 0 ? errno : 0, DISK_WHERE,
                        "the server's process was not made");
        goto out;
    }
    ret_kit->process = disk_process_of(pid);
    ret_kit->sock = ours;
    ret_kit->hold = hold[1];
    ours = hold[1] = -1;
out:
    if (between > 0)
        waitpid(between, NULL, 0);
    for (int i = 0; i < 2; i++) {
        if (report[i] >= 0)
            close(report[i]);
        if (hold[i] >= 0)
            close(hold[i]);
    }
    if (ours >= 0)
        close(ours);
    if (theirs >= 0)
        close(theirs);
    free_args(&args);
    return rc;
}

/* Nothing of ours stays open there but what it needs: a lock that it held
 * would outlive us. */
static void child_relay(int sock, const struct disk_backing *backing)
{
    int fds[2] = { sock, backing->fd };

    child_signals();
    if (fds[0] > fds[1]) {
        fds[0] = backing->fd;
        fds[1] = sock;
    }
    close_range(3, (unsigned int)fds[0] - 1, 0);
    close_range((unsigned int)fds[0] + 1, (unsigned int)fds[1] - 1, 0);
    close_range((unsigned int)fds[1] + 1, ~0u, 0);
    close(0);
    close(1);
    /* what the parent has locked is not inherited; the rest is */
    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        disk_say("relay: mlockall: %s", strerror(errno));
    _exit(colo__nbd_relay(sock, backing->fd, backing->size) ? 1 : 0);
}

int disk_kit_relay(struct disk_kit *ret_kit, const struct disk_backing *backing,
                   struct colo_error *err)
{
    int ours = -1, theirs = -1, rc;
    pid_t pid;

    rc = make_pair(&ours, &theirs, err);
    if (rc)
        return rc;
    pid = fork();
    if (!pid)
        child_relay(theirs, backing);
    close(theirs);
    if (pid < 0) {
        close(ours);
        return colo__fail(err, COLO_E_SYS, errno, DISK_WHERE, "fork");
    }
    ret_kit->relay = true;
    ret_kit->hold = -1;
    ret_kit->process = disk_process_of(pid);
    ret_kit->sock = ours;
    return 0;
}

/* The relay is our child, nbdkit is not. */
static bool gone_within(const struct disk_process *process, int ms)
{
    for (int waited = 0; ; waited += 10) {
        if (process->pid > 0)
            waitpid(process->pid, NULL, WNOHANG);
        if (!disk_process_alive(process))
            return true;
        if (waited >= ms)
            return false;
        sleep_ms(10);
    }
}

void disk_kit_release(struct disk_kit *kit)
{
    /* it may have died meanwhile: that is seen elsewhere */
    if (kit->hold >= 0 && write(kit->hold, "", 1) < 0)
        disk_say("the plugin is not told: %s", strerror(errno));
    if (kit->hold >= 0)
        close(kit->hold);
    kit->hold = -1;
}

/* Returns whether it has gone. */
static bool end_process(const struct disk_process *process, int wait_ms)
{
    if (gone_within(process, wait_ms))
        return true;
    if (wait_ms) {
        /* TERM makes nbdkit fail what it still has: not in a hurry, then */
        kill(process->pid, SIGTERM);
        if (gone_within(process, TERM_MS))
            return true;
    }
    kill(process->pid, SIGKILL);
    return gone_within(process, KILL_MS);
}

bool disk_kit_end(struct disk_kit *kit, int wait_ms)
{
    bool gone;

    if (kit->hold >= 0)
        close(kit->hold);
    kit->hold = -1;
    if (kit->sock >= 0)
        close(kit->sock);
    kit->sock = -1;
    gone = end_process(&kit->process, wait_ms);
    kit->process.pid = 0;
    return gone;
}

bool disk_process_end(const struct disk_process *process, int wait_ms)
{
    return end_process(process, wait_ms);
}
