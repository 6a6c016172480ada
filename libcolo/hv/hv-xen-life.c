/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The guest's life: seeding a replica, starting it, its end.  All that needs
 * libxl is done by the program colo-toolstack in a process of its own, so
 * that libxl's process-wide state, its SIGCHLD handling and its crashes
 * stay out of the caller's process.  Thread rule: hv.h's.
 *
 * The helper's descriptors: 0 or 1 the stream, 3 report lines, 4 a pipe whose
 * end of file says that we have gone.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hv-xen.h"
#include "spawn.h"

#define DESTROY_MS 30000
#define DETACH_MS 10000
#define REAP_MS 5000
#define GIVE_UP_MS 3000 /* save or restore undoes its work; may go on alone */
/* A save that is waiting for a late suspend (LATE_SUSPEND_MS in toolstack/,
 * after a cancel) must not do so beside the next session.  Nobody is waiting
 * for us: before the seed is whole there is no replica that could take over. */
#define SAVE_GIVE_UP_MS 15000

static const char *const child_names[] = {
    "", "save", "restore", "start", "destroy", "end", "monitor", "stream",
    "restore-stream",
};

/* ---- the helper process ---- */

static bool is_seed(int what)
{
    return what == COLO_XEN_CHILD_SAVE || what == COLO_XEN_CHILD_RESTORE ||
           what == COLO_XEN_CHILD_STREAM ||
           what == COLO_XEN_CHILD_RESTORE_STREAM;
}

static void child_forget(struct colo_hv_xen *hv)
{
    struct colo_xen_child *c = &hv->child;

    if (c->report_fd >= 0) {
        epoll_ctl(hv->epoll_fd, EPOLL_CTL_DEL, c->report_fd, NULL);
        close(c->report_fd);
    }
    if (c->life_fd >= 0)
        close(c->life_fd);
    if (c->pidfd >= 0)
        close(c->pidfd);
    *c = (struct colo_xen_child){
        .pidfd = -1, .report_fd = -1, .life_fd = -1,
    };
}

/* in_fd, out_fd: what the helper gets as 0 and 1, -1: /dev/null */
static int child_start(struct colo_hv_xen *hv, int what, int in_fd,
                       int out_fd, const char *arg1, const char *arg2,
                       struct colo_error *err)
{
    struct colo_xen_child *c = &hv->child;
    struct epoll_event ev = { .events = EPOLLIN };
    char path[512];
    const char *argv[] = { path, child_names[what], arg1, arg2, NULL };
    int rc;

    if (c->pid)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                          "\"%s\" is still under way",
                          child_names[c->what]);
    snprintf(path, sizeof(path), "%s/colo-toolstack", hv->libexecdir);
    rc = colo__spawn(argv, in_fd, out_fd, &c->report_fd, &c->life_fd,
                     &c->pid, &c->pidfd, err);
    if (rc)
        return rc;
    c->what = what;
    ev.data.fd = c->report_fd;
    if (epoll_ctl(hv->epoll_fd, EPOLL_CTL_ADD, c->report_fd, &ev) < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, "hv-xen",
                        "cannot wait for a helper");
        kill(c->pid, SIGTERM);
        child_forget(hv);
        return rc;
    }
    return 0;
}

/* ---- its report lines ---- */

static void take_line(struct colo_hv_xen *hv, const char *line,
                      struct colo_hv_event *event)
{
    struct colo_xen_child *c = &hv->child;
    unsigned long long done, total;
    unsigned domid;

    if (colo__hv_xen_pv_line(hv, line))
        return;
    if (sscanf(line, "progress %llu %llu", &done, &total) == 2) {
        event->events |= COLO_HV_EV_PROGRESS;
        event->seed_done = done;
        event->seed_total = total;
    } else if (sscanf(line, "domid %u", &domid) == 1) {
        hv->domid = domid;
    } else if (!strncmp(line, "error ", 6)) {
        /* the first one says most */
        if (!c->error[0])
            snprintf(c->error, sizeof(c->error), "%s", line + 6);
        colo__log(&hv->log, COLO_LOG_DEBUG, -1, "toolstack", "%s",
                  line + 6);
    } else if (!strncmp(line, "warning ", 8)) {
        colo__log(&hv->log, COLO_LOG_WARNING, -1, "toolstack", "%s",
                  line + 8);
    } else if (!strcmp(line, "done")) {
        c->done = true;
    }
}

/* Returns true at the end of the report: the helper has ended. */
static bool read_report(struct colo_hv_xen *hv, struct colo_hv_event *event)
{
    struct colo_xen_child *c = &hv->child;
    char buf[1024];

    for (;;) {
        ssize_t n = read(c->report_fd, buf, sizeof(buf));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        if (n <= 0)
            return true;
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] == '\n') {
                c->line[c->line_len] = 0;
                take_line(hv, c->line, event);
                c->line_len = 0;
            } else if (c->line_len < sizeof(c->line) - 1) {
                c->line[c->line_len++] = buf[i];
            }
        }
    }
}

/* After a seed that has failed or was given up, the guest runs. */
static void guest_must_run(struct colo_hv_xen *hv)
{
    struct colo_error err = { 0 };
    int rc;

    if (hv->is_secondary || !hv->has_domain)
        return;
    hv->stop.xs_stale = true;
    rc = colo__hv_xen_resume((struct colo_hv *)hv, &err);
    if (rc && rc != COLO_E_GUEST)
        colo__log(&hv->log, COLO_LOG_ERROR, err.sys_errno, "hv-xen", "%s",
                  err.text);
}

static int seed_ended(struct colo_hv_xen *hv, struct colo_hv_event *event,
                      struct colo_error *err)
{
    xc_domaininfo_t info;
    int rc;

    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (rc)
        return rc;
    if (!colo__hv_xen_is_suspended(&info))
        return colo__fail(err, COLO_E_GUEST, 0, "hv-xen",
                          "the guest did not suspend at the end of the "
                          "seed");
    hv->stop.stopped = true;
    hv->stop.xs_stale = true;
    event->events |= COLO_HV_EV_SEEDED;
    return 0;
}

/* Those of a PV guest end when they are told to, and are then waited for. */
static int stream_ended(struct colo_hv_xen *hv,
                        const struct colo_xen_child *c, bool ok,
                        struct colo_error *err)
{
    hv->pv.broken = true;
    if (c->what == COLO_XEN_CHILD_STREAM)
        guest_must_run(hv);
    return colo__fail(err, COLO_E_HV, 0, "hv-xen", "%s %s: %s",
                      child_names[c->what], ok ? "has ended" : "failed",
                      c->error[0] ? c->error : "the helper has died");
}

/* One that libvirt made under its own name bears the mark of a copy.
 * Xen counts pauses, and an operator's `virsh resume` or `xl unpause` takes one
 * back: libxl's.  With ours the copy still stands still, beside the guest that
 * runs elsewhere; go() of hv-xen-replica.c takes back all. */
static int adopt_replica(struct colo_hv_xen *hv, struct colo_error *err)
{
    int rc = colo__hv_xen_adopt(hv, hv->domid, err);

    if (rc)
        return rc;
    hv->replica.marked = colo__hv_xen_replica_is_marked(hv);
    return xc_domain_pause(hv->xch, hv->domid) < 0 ?
           colo__hv_xen_fail(hv, err, "keep the replica paused") : 0;
}

/* The helper has ended: what does that mean? */
static int child_ended(struct colo_hv_xen *hv, struct colo_hv_event *event,
                       struct colo_error *err)
{
    struct colo_xen_child c = hv->child;
    bool ok = colo__spawn_wait(c.pid, c.pidfd, REAP_MS) == 0 && c.done;
    int rc = 0;

    child_forget(hv);
    if (c.what == COLO_XEN_CHILD_STREAM ||
        c.what == COLO_XEN_CHILD_RESTORE_STREAM)
        return stream_ended(hv, &c, ok, err);
    if (is_seed(c.what)) {
        if (!ok)
            rc = colo__fail(err, COLO_E_HV, 0, "hv-xen", "%s failed: %s",
                            child_names[c.what],
                            c.error[0] ? c.error : "the helper has died");
        else if (c.what == COLO_XEN_CHILD_SAVE)
            rc = seed_ended(hv, event, err);
        else
            rc = adopt_replica(hv, err);
        if (!rc)
            rc = colo__hv_xen_devices_open(hv, err);
        /* libxl lets a device model go on where it has read its state, beside
         * a paused domain: a card of it would write what it hears into the
         * replica's memory. */
        if (!rc && c.what == COLO_XEN_CHILD_RESTORE)
            rc = colo__hv_xen_devices_still(hv, err);
        if (rc)
            guest_must_run(hv);
        else if (c.what == COLO_XEN_CHILD_RESTORE)
            event->events |= COLO_HV_EV_SEEDED;
        return rc;
    }
    if (c.what == COLO_XEN_CHILD_END)
        event->events |= COLO_HV_EV_ENDED;
    if (!ok)
        colo__log(&hv->log, COLO_LOG_ERROR, -1, "hv-xen", "%s failed: %s",
                  child_names[c.what],
                  c.error[0] ? c.error : "the helper has died");
    return 0;
}

int colo__hv_xen_life_poll(struct colo_hv_xen *hv,
                           struct colo_hv_event *event,
                           struct colo_error *err)
{
    int rc;

    if (!hv->child.pid)
        return 0;
    if (read_report(hv, event))
        return child_ended(hv, event, err);
    rc = colo__hv_xen_pv_poll(hv, event, err);
    if (rc)
        return rc;
    /* libxl is past its own look at the lock that it now finds taken */
    return hv->child.what == COLO_XEN_CHILD_SAVE &&
           (event->events & COLO_HV_EV_PROGRESS) ?
           colo__hv_xen_exclude(hv, err) : 0;
}

/* Wait for a helper whose end is needed now.  0, or an error.  One that has not
 * ended by then is left alone: it cleans up or gives up by itself. */
static int child_finish(struct colo_hv_xen *hv, int timeout_ms,
                        struct colo_error *err)
{
    return colo__hv_xen_helper_wait(hv, timeout_ms, NULL, err);
}

int colo__hv_xen_helper_wait(struct colo_hv_xen *hv, int timeout_ms,
                             const bool *until, struct colo_error *err)
{
    uint64_t end = colo__now_us(&colo__clock_monotonic) +
                   (uint64_t)timeout_ms * 1000;
    struct colo_xen_child *c = &hv->child;
    struct colo_hv_event event = { 0 };
    int what = c->what;
    bool ok;

    if (!c->pid)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                          "there is no helper any more");
    while (!read_report(hv, &event)) {
        uint64_t now = colo__now_us(&colo__clock_monotonic);
        struct pollfd pfd = { c->report_fd, POLLIN, 0 };

        if (until && *until)
            return 0;
        if (now >= end) {
            if (!until)
                child_forget(hv);
            return colo__fail(err, COLO_E_TIMEOUT, 0, "hv-xen",
                              "\"%s\" did not %s in time",
                              child_names[what], until ? "answer" : "end");
        }
        poll(&pfd, 1, (int)((end - now) / 1000) + 1);
    }
    ok = colo__spawn_wait(c->pid, c->pidfd, REAP_MS) == 0 && c->done;
    if (!ok)
        colo__fail(err, COLO_E_HV, 0, "hv-xen", "%s failed: %s",
                   child_names[what],
                   c->error[0] ? c->error : "the helper has died");
    child_forget(hv);
    if (ok && until)
        return colo__fail(err, COLO_E_HV, 0, "hv-xen", "%s has ended",
                          child_names[what]);
    return ok ? 0 : COLO_E_HV;
}

static int end_ms(int what, bool saves)
{
    if (what == COLO_XEN_CHILD_RESTORE_STREAM)
        return DESTROY_MS;
    if (saves)
        return SAVE_GIVE_UP_MS - GIVE_UP_MS;
    return is_seed(what) ? GIVE_UP_MS : DETACH_MS;
}

/* Give up a seed that is under way, wait for anything else. */
static void child_end(struct colo_hv_xen *hv)
{
    struct colo_xen_child *c = &hv->child;
    struct colo_error err = { 0 };
    const bool never = false;
    int what = c->what;
    bool saves = what == COLO_XEN_CHILD_SAVE ||
                 (what == COLO_XEN_CHILD_STREAM && hv->pv.seeding);

    if (!c->pid)
        return;
    if (what == COLO_XEN_CHILD_STREAM && !hv->pv.seeding) {
        /* its guest may be about to be destroyed: nothing to undo */
        colo__hv_xen_pv_end(hv);
    } else if (is_seed(what)) {
        /* it notices the end of file, undoes its work and ends */
        close(c->life_fd);
        c->life_fd = -1;
    }
    if (saves) {
        (void)colo__hv_xen_helper_wait(hv, GIVE_UP_MS, &never, &err);
        guest_must_run(hv);
    }
    if (c->pid && child_finish(hv, end_ms(what, saves), &err))
        colo__log(&hv->log, COLO_LOG_DEBUG, -1, "hv-xen", "%s", err.text);
    if (saves)
        guest_must_run(hv);
}

void colo__hv_xen_life_close(struct colo_hv_xen *hv)
{
    child_end(hv);
}

/* ---- the calls ---- */

static const char *domid_text(const struct colo_hv_xen *hv, char buf[16])
{
    snprintf(buf, 16, "%u", hv->domid);
    return buf;
}

void colo__hv_xen_set_toolstack(struct colo_hv *chv, int toolstack)
{
    colo__hv_xen(chv)->toolstack = toolstack;
}

/* An argument of save and restore; NULL: its default. */
static const char *toolstack_text(const struct colo_hv_xen *hv)
{
    switch (hv->toolstack) {
    case COLO_TOOLSTACK_XL:
        return "xl";
    case COLO_TOOLSTACK_LIBVIRT:
        return "libvirt";
    default:
        return NULL;
    }
}

static int life_seed_out(struct colo_hv *chv, int fd, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    int rc, command = -1;
    char domid[16];

    rc = hv->has_domain && !hv->is_secondary ? 0 :
         colo__fail(err, COLO_E_STATE, 0, "hv-xen", "no domain to seed from");
    if (!rc && hv->pv.is && hv->toolstack == COLO_TOOLSTACK_LIBVIRT)
        rc = colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen",
                        "libvirt cannot make the replica of a PV guest");
    if (!rc)
        rc = colo__hv_xen_devices_open(hv, err);
    if (!rc && hv->pv.is)
        rc = colo__hv_xen_pv_begin(hv, &command, err);
    if (!rc)
        rc = child_start(hv, hv->pv.is ? COLO_XEN_CHILD_STREAM :
                         COLO_XEN_CHILD_SAVE, command, fd,
                         domid_text(hv, domid),
                         hv->pv.is ? NULL : toolstack_text(hv), err);
    if (command >= 0)
        close(command);
    close(fd);
    return rc;
}

static int life_seed_in(struct colo_hv *chv, int fd, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    int rc;

    rc = hv->is_secondary && !hv->has_domain ? 0 :
         colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                    "there is a domain already");
    if (!rc && hv->pv.is)
        rc = colo__hv_xen_pv_feed(hv, fd, err);
    if (!rc)
        rc = child_start(hv, hv->pv.is ? COLO_XEN_CHILD_RESTORE_STREAM :
                         COLO_XEN_CHILD_RESTORE, fd, -1,
                         hv->pv.is ? NULL : toolstack_text(hv), NULL, err);
    close(fd);
    return rc;
}

/* The name without what restore has put behind it. */
static void plain_name(const struct colo_hv_xen *hv, char *buf, size_t cap)
{
    static const char suffix[] = "--incoming";
    size_t n;

    snprintf(buf, cap, "%s", hv->name);
    n = strlen(buf);
    if (n > sizeof(suffix) - 1 && !strcmp(buf + n - (sizeof(suffix) - 1),
                                          suffix))
        buf[n - (sizeof(suffix) - 1)] = 0;
}

static int life_start(struct colo_hv *chv, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    struct colo_error warn = { 0 };
    char domid[16], name[COLO_HV_NAME];
    int rc;

    if (!hv->has_domain || !hv->is_secondary)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                          "there is no replica to start");
    /* kept maps would keep a dead domain from going away */
    colo__hv_xen_map_drop(hv);
    rc = colo__hv_xen_replica_release(hv, err);
    if (rc)
        return rc;
    /* It runs: from here on nothing is an error of the takeover. */
    plain_name(hv, name, sizeof(name));
    if (child_start(hv, COLO_XEN_CHILD_START, -1, -1, domid_text(hv, domid),
                    name, &warn))
        colo__log(&hv->log, COLO_LOG_ERROR, warn.sys_errno, "hv-xen", "%s",
                  warn.text);
    snprintf(hv->name, sizeof(hv->name), "%s", name);
    return 0;
}

static int life_destroy(struct colo_hv *chv, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    struct colo_error why = { 0 };
    bool paused;
    char domid[16];
    int rc;

    child_end(hv);
    /* One that was restored, and not yet adopted: its helper has ended, so
     * nobody else takes it away. */
    if (!hv->has_domain && (!hv->is_secondary || !hv->domid))
        return 0;
    colo__hv_xen_map_drop(hv);
    colo__hv_xen_grants_drop(hv);
    /* a toolstack may take long to get to it, and from here on the guest may
     * be another host's */
    paused = !xc_domain_pause(hv->xch, hv->domid);
    rc = child_start(hv, COLO_XEN_CHILD_DESTROY, -1, -1,
                     domid_text(hv, domid), NULL, &why);
    if (!rc)
        rc = child_finish(hv, DESTROY_MS, &why);
    /* A guest that may still run is worse than what a toolstack has left of it:
     * whoever goes on with it elsewhere counts on its end here. */
    if (rc && (!xc_domain_destroy(hv->xch, hv->domid) || errno == ESRCH)) {
        colo__log(&hv->log, COLO_LOG_WARNING, -1, "hv-xen", "domain %u was "
                  "destroyed without the toolstack, which may keep parts of "
                  "it: %s", hv->domid, why.text);
        rc = 0;
    } else if (rc && err) {
        *err = why;
    }
    if (rc && paused) /* it lives, so it must not be left standing still */
        xc_domain_unpause(hv->xch, hv->domid);
    if (!rc)
        hv->has_domain = false;
    if (hv->is_secondary && !rc)
        hv->domid = 0;
    return rc;
}

static int life_end_guest(struct colo_hv *chv, int reason,
                          struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    char domid[16], why[16];

    if (!hv->has_domain)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen", "no domain");
    child_end(hv);
    colo__hv_xen_map_drop(hv);
    colo__hv_xen_grants_drop(hv);
    snprintf(why, sizeof(why), "%d", reason);
    return child_start(hv, COLO_XEN_CHILD_END, -1, -1, domid_text(hv, domid),
                       why, err);
}

static int life_abandon(struct colo_hv *chv, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    char domid[16];
    int rc;

    if (!hv->has_domain)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen", "no domain");
    child_end(hv);
    colo__hv_xen_map_drop(hv);
    colo__hv_xen_grants_drop(hv);
    /* libvirt suspends it once itself, to see its end again */
    colo__hv_xen_stop_close(hv);
    rc = child_start(hv, COLO_XEN_CHILD_MONITOR, -1, -1,
                     domid_text(hv, domid), NULL, err);
    return rc ? rc : child_finish(hv, DETACH_MS, err);
}

const struct colo_life_ops colo__hv_xen_life_ops = {
    .seed_out = life_seed_out,
    .seed_in = life_seed_in,
    .expect_stream = colo__hv_xen_pv_expect,
    .run = colo__hv_xen_replica_run,
    .start = life_start,
    .destroy = life_destroy,
    .end_guest = life_end_guest,
    .abandon = life_abandon,
    .crippled = colo__hv_xen_devices_crippled,
    .devices_go_on = colo__hv_xen_devices_resumed,
};

const struct colo_life_ops colo__hv_xen_pv_life_ops = {
    .seed_out = life_seed_out,
    .seed_in = life_seed_in,
    .expect_stream = colo__hv_xen_pv_expect,
    .start = life_start,
    .destroy = life_destroy,
    .end_guest = life_end_guest,
    .abandon = life_abandon,
};
