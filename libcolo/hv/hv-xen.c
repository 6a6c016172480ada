/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The Xen backend behind hv.h: opening and closing, which domain it is
 * about, what state the domain is in, and the one descriptor that gathers
 * every source of events.  Thread rule: hv.h's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "compat-xen.h"
#include "hv-xen.h"

#define WATCH_RELEASE "@releaseDomain"
#define TOKEN_RELEASE "release"
#define TOKEN_TARGET "target"
/* The balloon driver moves for a while after its target has changed. */
#define BALLOON_SETTLE_US (10 * 1000 * 1000u)

/* ---- log ---- */

static void xen_vmessage(struct xentoollog_logger *xtl,
                         xentoollog_level level, int errnoval,
                         const char *context, const char *format, va_list al)
    __attribute__((format(printf, 5, 0)));

/* What libxc reports is returned to us as well, so it is said at debug level
 * unless it is more than an error of a call. */
static void xen_vmessage(struct xentoollog_logger *xtl,
                         xentoollog_level level, int errnoval,
                         const char *context, const char *format, va_list al)
{
    struct colo_xen_logger *logger = (struct colo_xen_logger *)xtl;
    char text[256];

    vsnprintf(text, sizeof(text), format, al);
    colo__log(&logger->log,
              level >= XTL_CRITICAL ? COLO_LOG_ERROR : COLO_LOG_DEBUG,
              errnoval, context ? context : "xen", "%s", text);
}

static void xen_progress(struct xentoollog_logger *xtl, const char *context,
                         const char *doing_what, int percent,
                         unsigned long done, unsigned long total)
{
    (void)xtl;
    (void)context;
    (void)doing_what;
    (void)percent;
    (void)done;
    (void)total;
}

static void xen_logger_destroy(struct xentoollog_logger *xtl)
{
    (void)xtl;
}

/* ---- hypercalls ---- */

int colo__hv_xen_fail(const struct colo_hv_xen *hv, struct colo_error *err,
                      const char *what)
{
    int e = errno;

    if (e == ESRCH)
        return colo__fail(err, COLO_E_GUEST, e, "hv-xen",
                          "domain %u has gone (%s)", hv->domid, what);
    return colo__fail(err, e == ENOMEM ? COLO_E_NOMEM : COLO_E_HV, e,
                      "hv-xen", "domain %u: %s", hv->domid, what);
}

int colo__hv_xen_domctl(const struct colo_hv_xen *hv, struct xen_domctl *op)
{
    int r;

    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    *hv->domctl = *op;
    r = xencall1(hv->xcall, __HYPERVISOR_domctl, (uintptr_t)hv->domctl);
    *op = *hv->domctl;
    return r < 0 ? -1 : 0;
}

int colo__hv_xen_getinfo(const struct colo_hv_xen *hv,
                         xc_domaininfo_t *ret_info, struct colo_error *err)
{
    if (!hv->has_domain)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                          "there is no replica yet");
    if (compat_domain_getinfo(hv->xch, hv->domid, ret_info) < 0)
        return colo__hv_xen_fail(hv, err, "get information");
    return 0;
}

bool colo__hv_xen_is_suspended(const xc_domaininfo_t *info)
{
    return (info->flags & XEN_DOMINF_shutdown) &&
           compat_shutdown_reason(info) == COLO_HV_SUSPEND;
}

/* ---- which domain ---- */

static void read_name(struct colo_hv_xen *hv, uint32_t domid, char *buf,
                      size_t cap)
{
    char path[64];
    unsigned len;
    char *value;

    buf[0] = 0;
    snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
    value = xs_read(hv->xs, XBT_NULL, path, &len);
    if (value)
        snprintf(buf, cap, "%s", value);
    free(value);
}

/* A number is a domid, as with xl. */
static int find_domain(struct colo_hv_xen *hv, const char *domain,
                       uint32_t *ret_domid, struct colo_error *err)
{
    unsigned i, n = 0;
    bool found = false;
    unsigned long v;
    char **list;
    char *end;

    errno = 0;
    v = strtoul(domain, &end, 10);
    if (domain[0] >= '0' && domain[0] <= '9' && !*end) {
        if (errno || v == 0 || v >= DOMID_FIRST_RESERVED)
            return colo__fail(err, COLO_E_NOTFOUND, 0, "hv-xen",
                              "no guest can have the domain id %s", domain);
        *ret_domid = (uint32_t)v;
        return 0;
    }
    list = xs_directory(hv->xs, XBT_NULL, "/local/domain", &n);
    if (!list)
        return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                          "cannot list the domains");
    for (i = 0; i < n && !found; i++) {
        char name[sizeof(hv->name)];

        v = strtoul(list[i], &end, 10);
        if (*end || v == 0 || v >= DOMID_FIRST_RESERVED)
            continue;
        read_name(hv, (uint32_t)v, name, sizeof(name));
        if (!strcmp(name, domain)) {
            *ret_domid = (uint32_t)v;
            found = true;
        }
    }
    free(list);
    if (!found)
        return colo__fail(err, COLO_E_NOTFOUND, 0, "hv-xen",
                          "there is no domain %.60s on this host", domain);
    return 0;
}

static int watch_target(struct colo_hv_xen *hv, struct colo_error *err)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/memory/target",
             hv->domid);
    if (!xs_watch(hv->xs_watch, path, TOKEN_TARGET))
        return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                          "cannot watch the memory target");
    return 0;
}

int colo__hv_xen_adopt(struct colo_hv_xen *hv, uint32_t domid,
                       struct colo_error *err)
{
    xc_domaininfo_t info;
    int rc;

    hv->domid = domid;
    hv->has_domain = true;
    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (rc == COLO_E_GUEST)
        rc = colo__fail(err, COLO_E_NOTFOUND, 0, "hv-xen",
                        "there is no domain %u on this host", domid);
    if (rc) goto out;
    memcpy(hv->uuid, info.handle, sizeof(hv->uuid));
    if (info.flags & XEN_DOMINF_hvm_guest)
        colo__hv_xen_devices_adopt(hv, &info);
    else
        rc = colo__hv_xen_pv_adopt(hv, err);
    if (rc) goto out;
    hv->max_pages = info.max_pages;
    hv->dirty.tot_pages = info.tot_pages;
    read_name(hv, domid, hv->name, sizeof(hv->name));
    colo__hv_xen_stop_prepare(hv);
    rc = hv->pv.is ? 0 : colo__hv_xen_load_skip(hv, err);
    if (rc) goto out;
    rc = hv->is_secondary ? 0 : watch_target(hv, err);
    if (!rc && !hv->is_secondary)
        rc = colo__hv_xen_plug_watch(hv, err);
out:
    if (rc)
        hv->has_domain = false;
    return rc;
}

/* ---- state and events ---- */

static void fill_state(const xc_domaininfo_t *info,
                       struct colo_hv_info *ret_info)
{
    ret_info->reason = -1;
    if (info->flags & XEN_DOMINF_dying) {
        ret_info->state = COLO_HV_GONE;
    } else if (info->flags & XEN_DOMINF_shutdown) {
        ret_info->reason = compat_shutdown_reason(info);
        ret_info->state = ret_info->reason == COLO_HV_SUSPEND ?
                          COLO_HV_STOPPED : COLO_HV_SHUTDOWN;
    } else if (info->flags & XEN_DOMINF_paused) {
        ret_info->state = COLO_HV_PAUSED;
    } else {
        ret_info->state = COLO_HV_RUNNING;
    }
}

static int hv_info(struct colo_hv *chv, struct colo_hv_info *ret_info,
                   struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    struct colo_hv_info info = { .state = COLO_HV_GONE, .reason = -1 };
    xc_domaininfo_t xinfo;
    xen_pfn_t nr = 0;
    int rc;

    info.domid = hv->domid;
    info.xen_version = hv->xen_version;
    info.streamed = hv->pv.is;
    memcpy(info.uuid, hv->uuid, sizeof(info.uuid));
    memcpy(info.name, hv->name, sizeof(info.name));
    if (hv->has_domain) {
        rc = colo__hv_xen_getinfo(hv, &xinfo, err);
        if (rc && rc != COLO_E_GUEST)
            return rc;
        if (!rc) {
            fill_state(&xinfo, &info);
            info.tot_pages = xinfo.tot_pages;
            if (!xc_domain_nr_gpfns(hv->xch, hv->domid, &nr))
                info.nr_gfns = nr;
            /* a PV guest's own word for it may be late */
            if (hv->pv.is && info.nr_gfns < xinfo.tot_pages)
                info.nr_gfns = xinfo.tot_pages;
        }
    }
    *ret_info = info;
    return 0;
}

static int hv_fd(struct colo_hv *chv)
{
    return colo__hv_xen(chv)->epoll_fd;
}

static void target_moved(struct colo_hv_xen *hv)
{
    if (hv->target_seen)
        hv->dirty.unstable_until_us =
            colo__now_us(&colo__clock_monotonic) + BALLOON_SETTLE_US;
    hv->target_seen = true;
}

/* Watches carry no news but "look": a domain, perhaps ours, has been shut
 * down or has gone; the target of the balloon has moved. */
static int take_watches(struct colo_hv_xen *hv, uint32_t *events,
                        struct colo_error *err)
{
    bool release = false, plug = false;
    char **event;
    int rc = 0;

    while ((event = xs_check_watch(hv->xs_watch)) != NULL) {
        if (!strcmp(event[XS_WATCH_TOKEN], TOKEN_RELEASE))
            release = true;
        else if (!strcmp(event[XS_WATCH_TOKEN], TOKEN_TARGET))
            target_moved(hv);
        else if (!strcmp(event[XS_WATCH_TOKEN], COLO_XEN_TOKEN_PLUG))
            plug = true;
        free(event);
    }
    if (errno != EAGAIN)
        return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                          "the connection to xenstore is gone");
    if (release && hv->has_domain)
        rc = colo__hv_xen_stop_release(hv, events, err);
    if (!rc && plug && hv->has_domain)
        rc = colo__hv_xen_plug_look(hv, err);
    return rc;
}

static bool is_among(const struct epoll_event *ev, int n, int fd)
{
    for (int i = 0; i < n; i++) {
        if (ev[i].data.fd == fd)
            return true;
    }
    return false;
}

static int hv_poll(struct colo_hv *chv, struct colo_hv_event *ret_event,
                   struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    struct colo_hv_event event = { 0 };
    struct epoll_event ready[8];
    int n, rc = 0;

    colo__hv_xen_replica_event(hv, &event.events);
    /* The driver's read may block, so only when there is something. */
    n = epoll_wait(hv->epoll_fd, ready, 8, 0);
    if (is_among(ready, n, xenevtchn_fd(hv->xce)))
        rc = colo__hv_xen_stop_event(hv, &event.events, err);
    if (is_among(ready, n, colo__hv_xen_devices_fd(hv)))
        colo__hv_xen_devices_event(hv, &event.events);
    if (!rc)
        rc = take_watches(hv, &event.events, err);
    if (!rc)
        rc = colo__hv_xen_life_poll(hv, &event, err);
    *ret_event = event;
    return rc;
}

/* ---- open and close ---- */

static int add_fd(struct colo_hv_xen *hv, int fd, struct colo_error *err)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

    if (fd < 0 || epoll_ctl(hv->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return colo__fail(err, COLO_E_SYS, errno, "hv-xen",
                          "cannot wait for events");
    return 0;
}

static int open_handles(struct colo_hv_xen *hv, struct colo_error *err)
{
    xentoollog_logger *xtl = &hv->logger.vtable;

    hv->xch = xc_interface_open(xtl, xtl, 0);
    hv->fmem = xenforeignmemory_open(xtl, 0);
    hv->xce = xenevtchn_open(xtl, 0);
    hv->xcall = xencall_open(xtl, 0);
    hv->dmod = xendevicemodel_open(xtl, 0);
    if (!hv->xch || !hv->fmem || !hv->xce || !hv->xcall || !hv->dmod)
        return colo__fail(err, COLO_E_HV, errno, "hv-xen",
                          "cannot talk to Xen: is this dom0, and are you "
                          "root?");
    hv->domctl = xencall_alloc_buffer(hv->xcall, sizeof(*hv->domctl));
    hv->types = xencall_alloc_buffer(hv->xcall, COLO_XEN_TYPE_BATCH *
                                                sizeof(*hv->types));
    if (!hv->domctl || !hv->types)
        return colo__fail(err, COLO_E_NOMEM, errno, "hv-xen",
                          "no memory for hypercalls");
    hv->xs = xs_open(0);
    hv->xs_watch = xs_open(0);
    if (!hv->xs || !hv->xs_watch)
        return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                          "cannot reach xenstored");
    return 0;
}

static int read_version(struct colo_hv_xen *hv, struct colo_error *err)
{
    xen_extraversion_t extra = "";
    int v = xc_version(hv->xch, XENVER_version, NULL);

    if (v < 0)
        return colo__hv_xen_fail(hv, err, "ask Xen's version");
    hv->xen_version = (uint32_t)v;
    if (xc_version(hv->xch, XENVER_extraversion, &extra) < 0)
        extra[0] = 0;
    extra[sizeof(extra) - 1] = 0;
    hv->dirty.p2m_tracked =
        compat_p2m_is_tracked((unsigned)v >> 16, (unsigned)v & 0xffff, extra);
    return 0;
}

static int open_events(struct colo_hv_xen *hv, struct colo_error *err)
{
    int rc;

    hv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (hv->epoll_fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, "hv-xen", "epoll");
    if (!xs_watch(hv->xs_watch, WATCH_RELEASE, TOKEN_RELEASE))
        return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                          "cannot watch for the end of domains");
    rc = colo__hv_xen_replica_open(hv, err);
    if (!rc)
        rc = add_fd(hv, hv->replica.ended_fd, err);
    if (!rc)
        rc = add_fd(hv, xenevtchn_fd(hv->xce), err);
    if (!rc)
        rc = add_fd(hv, xs_fileno(hv->xs_watch), err);
    return rc;
}

static void hv_close(struct colo_hv *chv)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);

    if (!hv)
        return;
    /* What needs the others first.  The guest is never left stopped. */
    colo__hv_xen_life_close(hv);
    colo__hv_xen_pv_close(hv);
    colo__hv_xen_stop_close(hv);
    colo__hv_xen_dirty_close(hv);
    colo__hv_xen_devices_close(hv);
    colo__hv_xen_replica_close(hv);
    colo__hv_xen_grants_drop(hv);
    colo__hv_xen_map_drop(hv);
    free(hv->map.windows);
    free(hv->context);
    if (hv->xs_watch)
        xs_close(hv->xs_watch);
    if (hv->xs)
        xs_close(hv->xs);
    if (hv->xcall) {
        if (hv->domctl)
            xencall_free_buffer(hv->xcall, hv->domctl);
        if (hv->types)
            xencall_free_buffer(hv->xcall, hv->types);
        xencall_close(hv->xcall);
    }
    if (hv->dmod)
        xendevicemodel_close(hv->dmod);
    if (hv->xce)
        xenevtchn_close(hv->xce);
    if (hv->fmem)
        xenforeignmemory_close(hv->fmem);
    if (hv->xch)
        xc_interface_close(hv->xch);
    if (hv->epoll_fd >= 0)
        close(hv->epoll_fd);
    free(hv->libexecdir);
    free(hv);
}

static const struct colo_hv_ops xen_ops = {
    .close = hv_close,
    .fd = hv_fd,
    .poll = hv_poll,
    .info = hv_info,
    .track = colo__hv_xen_track,
    .dirty = colo__hv_xen_dirty,
    .unmarked = colo__hv_xen_unmarked,
    .read = colo__hv_xen_read,
    .write = colo__hv_xen_write,
    .stop = &colo__hv_xen_stop_ops,
    .machine = &colo__hv_xen_machine_ops,
    .life = &colo__hv_xen_life_ops,
};

const struct colo_hv_ops colo__hv_xen_pv_ops = {
    .close = hv_close,
    .fd = hv_fd,
    .poll = hv_poll,
    .info = hv_info,
    .track = colo__hv_xen_pv_track,
    .dirty = colo__hv_xen_pv_dirty,
    .unmarked = colo__hv_xen_pv_unmarked,
    .read = colo__hv_xen_pv_read,
    .write = colo__hv_xen_pv_write,
    .stop = &colo__hv_xen_stop_ops,
    .machine = &colo__hv_xen_pv_machine_ops,
    .life = &colo__hv_xen_pv_life_ops,
};

int colo__hv_xen_open(const char *domain, const char *libexecdir,
                      const struct colo_log *log, struct colo_hv **ret_hv,
                      struct colo_error *err)
{
    struct colo_hv_xen *hv = calloc(1, sizeof(*hv));
    uint32_t domid = 0;
    int rc;

    if (!hv)
        return colo__fail(err, COLO_E_NOMEM, 0, "hv-xen", "no memory");
    hv->ops = &xen_ops;
    hv->epoll_fd = hv->stop.lock_fd = hv->replica.ended_fd = -1;
    hv->child.pidfd = hv->child.report_fd = hv->child.life_fd = -1;
    hv->pv.command_fd = hv->pv.body_fd = hv->pv.feed_fd = -1;
    if (log)
        hv->log = *log;
    hv->logger.log = hv->log;
    hv->logger.vtable.vmessage = xen_vmessage;
    hv->logger.vtable.progress = xen_progress;
    hv->logger.vtable.destroy = xen_logger_destroy;
    hv->is_secondary = !domain;
    hv->map.writable = !domain;
    colo__bitmap_init(&hv->dirty.populated);
    hv->libexecdir = strdup(libexecdir ? libexecdir : COLO_LIBEXECDIR);
    if (!hv->libexecdir) {
        rc = colo__fail(err, COLO_E_NOMEM, 0, "hv-xen", "no memory");
        goto out;
    }
    rc = open_handles(hv, err);
    if (!rc)
        rc = read_version(hv, err);
    if (!rc)
        rc = open_events(hv, err);
    if (!rc && domain) {
        rc = find_domain(hv, domain, &domid, err);
        if (!rc)
            rc = colo__hv_xen_adopt(hv, domid, err);
    }
    if (rc) goto out;
    *ret_hv = (struct colo_hv *)hv;
    hv = NULL;
out:
    hv_close((struct colo_hv *)hv);
    return rc;
}
