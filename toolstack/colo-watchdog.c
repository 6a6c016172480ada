/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-watchdog DOMID UUID: waits for the end of the session that started
 * it.  A 'q' on stdin is a good end; end of file without it means that the
 * session was killed: then the peer is told that this host lives, the guest is
 * made to go on, its writes are no longer tracked, what its network buffers
 * hold is let out and they are taken away, and the session's nodes are removed.
 * A session that was killed while it ended its guest for the peer has said so
 * before ('y'), and a peer that took over from one that was only held up says
 * so behind all else (watchdog.h): then the guest is destroyed, nothing of it
 * is let out, and its disks here are marked as outdated.
 * Started before anything else; nothing but SIGKILL ends it early.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <xenstore.h>

#include "../net-proxy/netbuf.h"
#include "domid.h"
#include "hv/watchdog.h"
#include "recover.h"

/* A guest that has said yes to a suspend shows nothing until it stands still:
 * look for so long.  Often, since a new session is kept off until we see it. */
#define LATE_MS 15000
#define LATE_LOOK_MS 50
/* to destroy a guest that is the peer's by now */
#define YIELD_TRIES 20
#define YIELD_MS 1000
/* for the proxies of its disks to go, whose requests may have to time out */
#define OUTDATE_MS 120000

static void ignore_signals(void)
{
    static const int list[] = {
        SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM,
        SIGTSTP, SIGTTIN, SIGTTOU,
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        signal(list[i], SIG_IGN);
}

/* It outlives a command in a pipeline, whose end would wait for us. */
static void forget_stderr(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    dup2(fd, STDERR_FILENO);
    close(fd);
}

/* The one process that must outlive a host short of memory. */
static void do_not_kill_me(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "-1000", 5) < 0)
        syslog(LOG_DEBUG, "oom_score_adj: %m");
    close(fd);
}

static int uuid_is_good(const char *uuid)
{
    return strlen(uuid) == 36 &&
           strspn(uuid, "0123456789abcdefABCDEF-") == 36;
}

static void to_syslog(void *user, int level, int sys_errno,
                      const char *context, const char *text)
{
    (void)user;
    (void)sys_errno;
    syslog(level >= COLO_LOG_ERROR ? LOG_ERR : LOG_NOTICE, "%s: %s", context,
           text);
}

/* Whose nodes are there?  0: nobody's, or it cannot be told. */
static long owner_pid(struct xs_handle *xs, const char *uuid)
{
    char path[80], *value;
    unsigned len;
    long pid;

    snprintf(path, sizeof(path), "/libcolo/%s/owner", uuid);
    value = xs_read(xs, XBT_NULL, path, &len);
    pid = value ? strtol(value, NULL, 10) : 0;
    free(value);
    return pid;
}

/* Only of the session that has died: by now there may be another one. */
static void remove_nodes(struct xs_handle *xs, const char *uuid, long session)
{
    char path[64];

    if (owner_pid(xs, uuid) != session)
        return;
    snprintf(path, sizeof(path), "/libcolo/%s", uuid);
    xs_rm(xs, XBT_NULL, path);
}

static bool is_gone(int rc)
{
    return rc == COLO_E_NOTFOUND || rc == COLO_E_GUEST;
}

/* At once, and again while a suspend could still be under way; a new session
 * sees to the guest itself, and nothing of it may be touched. */
static int see_to_guest(uint32_t domid, const char *uuid, long session,
                        const struct colo_log *log, struct colo_error *err)
{
    struct colo_recovery r = { .domid = domid, .died = (pid_t)session };
    struct xs_handle *xs = xs_open(0);
    uint64_t end = colo__now_us(&colo__clock_monotonic) + LATE_MS * 1000;
    int rc = colo__recovery_look(&r, log, err);
    struct colo_error why;
    bool removed = false;

    /* the guest goes on alone: what it said is said; unless what is held there
     * is another session's */
    if (rc != COLO_E_EXISTS && colo__netbuf_cleanup(domid, true, &why))
        colo__log(log, COLO_LOG_ERROR, why.sys_errno, why.where, "%s",
                  why.text);
    while (xs && !is_gone(rc) && rc != COLO_E_EXISTS &&
           colo__now_us(&colo__clock_monotonic) < end) {
        if (!rc && !removed) { /* else `colo recover` must find them */
            remove_nodes(xs, uuid, session);
            removed = true;
        }
        poll(NULL, 0, LATE_LOOK_MS);
        rc = colo__recovery_look(&r, log, err);
    }
    colo__recovery_end(&r);
    if (xs && !removed && (!rc || is_gone(rc)))
        remove_nodes(xs, uuid, session);
    xs_close(xs);
    return rc ? rc : colo__hv_xen_monitor(domid, err);
}

/* For `colo recover`, which a unit or an operator may start at any moment: it
 * must not take this guest for one that goes on here. */
static void note_yield(struct xs_handle *xs, const char *uuid, long session)
{
    char path[64];

    if (!xs || owner_pid(xs, uuid) != session)
        return;
    snprintf(path, sizeof(path), "/libcolo/%s/yield", uuid);
    xs_write(xs, XBT_NULL, path, "1", 1);
}

/* The peer may have the guest already.  It is told nothing: the end of the
 * link, or silence, lets it take over.  control: the link, or -1; closed. */
static int end_guest(uint32_t domid, const char *uuid, long session,
                     int control, const struct colo_log *log,
                     struct colo_error *err)
{
    struct xs_handle *xs = xs_open(0);
    struct colo_disks disks;
    struct colo_error why;
    int rc;

    note_yield(xs, uuid, session);
    colo__recover_list_disks(domid, uuid, &disks);
    rc = colo__hv_xen_yield(domid, uuid, log, err);
    for (int i = 0; i < YIELD_TRIES && rc && !is_gone(rc); i++) {
        poll(NULL, 0, YIELD_MS);
        rc = colo__hv_xen_yield(domid, uuid, log, err);
    }
    if (control >= 0)
        close(control);
    if (colo__netbuf_cleanup(domid, false, &why))
        colo__log(log, COLO_LOG_ERROR, why.sys_errno, why.where, "%s",
                  why.text);
    if (!rc || is_gone(rc)) {
        colo__recover_outdate(&disks, OUTDATE_MS, log);
        if (xs) /* else `colo recover` must find them */
            remove_nodes(xs, uuid, session);
    }
    xs_close(xs);
    return rc;
}

int main(int argc, char **argv)
{
    enum colo_watchdog_end end;
    struct colo_log log = { to_syslog, NULL, COLO_LOG_NOTICE };
    struct colo_error err = { 0 };
    uint32_t domid;
    long session = getppid();
    int control, rc;

    domid = argc == 3 ? domid_of(argv[1]) : 0;
    if (!domid || !uuid_is_good(argv[2])) {
        fputs("usage: colo-watchdog DOMID UUID\n"
              "Started by libcolo sessions; see libcolo(3).\n", stderr);
        return 2;
    }
    ignore_signals();
    forget_stderr();
    openlog("colo-watchdog", LOG_PID, LOG_DAEMON);
    do_not_kill_me();
    if (chdir("/") < 0)
        return 1;
    end = colo__watchdog_wait(STDIN_FILENO, &control);
    if (end == COLO_WATCHDOG_DISARMED)
        return 0;
    /* First of all: this host lives, and so will its guest.  The peer must
     * not take over meanwhile. */
    if (end == COLO_WATCHDOG_DIED)
        colo__watchdog_last_words(control);
    syslog(LOG_WARNING, "the session of domain %u has died%s", domid,
           end == COLO_WATCHDOG_YIELDED ? ", and the guest is its peer's" : "");
    if (end == COLO_WATCHDOG_YIELDED)
        rc = end_guest(domid, argv[2], session, control, &log, &err);
    else
        rc = see_to_guest(domid, argv[2], session, &log, &err);
    if (rc && !is_gone(rc))
        syslog(rc == COLO_E_EXISTS ? LOG_WARNING : LOG_ERR, "%s", err.text);
    return rc ? 1 : 0;
}
