/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See fake-xen.h.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xencall.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xenstore.h>

#include "fake-xen.h"

struct fake_xen fake;

static int handle; /* what every open call returns the address of */

static int gone(void)
{
    if (fake.gone)
        errno = ESRCH;
    return fake.gone ? -1 : 0;
}

/* ---- the tests' side ---- */

static struct colo_hv *start(const char *domain)
{
    struct colo_hv *hv = NULL;
    struct colo_error err;

    fake.nr_gfns = FAKE_GFNS;
    fake.xen_minor = 17;
    fake.xen_extra = ".7";
    for (uint64_t i = 0; i < FAKE_GFNS; i++)
        fake.has[i] = i < 1536 || i == FAKE_STORE || i == FAKE_CONSOLE ||
                      i == FAKE_PAGING;
    fake.tot_pages = 1539;
    /* blocking, as the real one is */
    ck_assert_int_eq(pipe2(fake.evtchn_fd, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(fake.watch_fd, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(colo__hv_xen_open(domain, "/nonexistent", NULL, &hv,
                                       &err), 0);
    return hv;
}

struct colo_hv *fake_xen_start(const char *domain)
{
    memset(&fake, 0, sizeof(fake));
    return start(domain);
}

struct colo_hv *fake_xen_start_pv(const char *domain)
{
    memset(&fake, 0, sizeof(fake));
    fake.pv = true;
    return start(domain);
}

static void notify(void)
{
    if (!fake.evtchn_dead)
        ck_assert_int_eq(write(fake.evtchn_fd[1], "e", 1), 1);
}

void fake_xen_suspend(void)
{
    fake.control[0] = 0;
    fake.shutdown = true;
    fake.reason = COLO_HV_SUSPEND;
    fake.rax = 0;
    fake_xen_touch(100);
    fake_xen_touch(FAKE_STORE); /* the answer in xenstore */
    if (fake.subscribed)
        notify();
}

void fake_xen_touch(uint64_t gfn)
{
    fake.pages[gfn][0]++;
    if (fake.log_dirty && !fake.unlogged[gfn])
        fake.dirty[gfn] = true;
}

uint32_t fake_xen_poll(struct colo_hv *hv)
{
    uint32_t events = 0;

    for (int i = 0; i < 10; i++) {
        struct pollfd pfd = { colo__hv_ops(hv)->fd(hv), POLLIN, 0 };
        struct colo_hv_event event;
        struct colo_error err;

        if (poll(&pfd, 1, 0) <= 0)
            break;
        ck_assert_int_eq(colo__hv_ops(hv)->poll(hv, &event, &err), 0);
        events |= event.events;
    }
    return events;
}

/* ---- opening and closing ---- */

xc_interface *xc_interface_open(xentoollog_logger *logger,
                                xentoollog_logger *dombuild, unsigned flags)
{
    (void)logger, (void)dombuild, (void)flags;
    return (xc_interface *)&handle;
}

int xc_interface_close(xc_interface *xch)
{
    (void)xch;
    return 0;
}

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger,
                                               unsigned flags)
{
    (void)logger, (void)flags;
    return (xenforeignmemory_handle *)&handle;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    (void)fmem;
    return 0;
}

xencall_handle *xencall_open(xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return (xencall_handle *)&handle;
}

int xencall_close(xencall_handle *xcall)
{
    (void)xcall;
    return 0;
}

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    (void)xcall;
    return calloc(1, size);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    (void)xcall;
    free(p);
}

void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr)
{
    return xencall_alloc_buffer(xcall, nr * COLO_PAGE_SIZE);
}

void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr)
{
    (void)xcall, (void)nr;
    free(p);
}

xendevicemodel_handle *xendevicemodel_open(xentoollog_logger *logger,
                                           unsigned flags)
{
    (void)logger, (void)flags;
    return (xendevicemodel_handle *)&handle;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
    (void)dmod;
    return 0;
}

int xendevicemodel_modified_memory(xendevicemodel_handle *dmod,
                                   domid_t domid, uint64_t first, uint32_t nr)
{
    (void)dmod, (void)domid;
    for (uint64_t i = first; fake.log_dirty && i < first + nr; i++)
        fake.dirty[i] = fake.has[i];
    return 0;
}

/* ---- event channels ---- */

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    if (!fake.evtchn_fd[1]) /* after a close */
        ck_assert_int_eq(pipe2(fake.evtchn_fd, O_CLOEXEC), 0);
    return (xenevtchn_handle *)&handle;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    (void)xce;
    close(fake.evtchn_fd[0]);
    close(fake.evtchn_fd[1]);
    fake.evtchn_fd[0] = fake.evtchn_fd[1] = 0;
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    (void)xce;
    return fake.evtchn_fd[0];
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    char byte;

    (void)xce;
    return read(fake.evtchn_fd[0], &byte, 1) == 1 ? 33 : -1;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce, (void)port;
    return 0;
}

/* the first event comes with the binding, as from Linux */
xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce,
                                                     uint32_t domid,
                                                     evtchn_port_t port)
{
    (void)xce, (void)domid, (void)port;
    fake.evtchn_dead = false;
    notify();
    return 33;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce, (void)port;
    return 0;
}

xc_evtchn_port_or_error_t xc_evtchn_alloc_unbound(xc_interface *xch,
                                                  uint32_t dom,
                                                  uint32_t remote)
{
    (void)xch, (void)dom;
    ck_assert_uint_eq(remote, 0);
    return 50 + fake.ports++;
}

int xc_evtchn_status(xc_interface *xch, xc_evtchn_status_t *status)
{
    (void)xch;
    status->status = status->port == 50 ? EVTCHNSTAT_unbound
                                        : EVTCHNSTAT_closed;
    status->u.unbound.dom = 0;
    return 0;
}

int xc_domain_subscribe_for_suspend(xc_interface *xch, uint32_t domid,
                                    evtchn_port_t port)
{
    (void)xch, (void)domid;
    fake.subscribed = port;
    return gone();
}

int xc_suspend_evtchn_init_sane(xc_interface *xch, xenevtchn_handle *xce,
                                uint32_t domid, int port, int *lock_fd)
{
    (void)xch;
    if (fake.foreign_lock) {
        *lock_fd = -1;
        errno = EINVAL;
        return -1;
    }
    fake.locked = true;
    fake.subscribed = (uint32_t)port;
    *lock_fd = 99;
    return xenevtchn_bind_interdomain(xce, domid, (evtchn_port_t)port);
}

int xc_suspend_evtchn_release(xc_interface *xch, xenevtchn_handle *xce,
                              uint32_t domid, int port, int *lock_fd)
{
    (void)xch, (void)domid;
    ck_assert_int_eq(*lock_fd, 99);
    ck_assert(fake.locked);
    fake.locked = false;
    *lock_fd = -1;
    return xenevtchn_unbind(xce, (evtchn_port_t)port);
}

/* ---- xenstore ---- */

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return (struct xs_handle *)&handle;
}

void xs_close(struct xs_handle *xs)
{
    (void)xs;
}

static const char *node(const char *path)
{
    if (strstr(path, "/control/shutdown"))
        return fake.control;
    if (!strncmp(path, "/libcolo/", 9) && strstr(path, "/owner"))
        return fake.owner[0] ? fake.owner : NULL;
    if (!strncmp(path, "/libxl/", 7) && strstr(path, "/params"))
        return fake.medium;
    if (strstr(path, "/name"))
        return fake.name ? fake.name :
               fake.incoming ? "guest--incoming" : "guest";
    if (strstr(path, "/libcolo-copy"))
        return fake.copy_mark ? "1" : NULL;
    if (strstr(path, "/libcolo-suspend-port"))
        return fake.old_port[0] ? fake.old_port : NULL;
    if (strstr(path, "/device/suspend/event-channel"))
        return fake.channel[0] ? fake.channel : NULL;
    return NULL;
}

void *xs_read(struct xs_handle *xs, xs_transaction_t t, const char *path,
              unsigned *len)
{
    const char *value = node(path);

    (void)xs, (void)t;
    if (!value) {
        errno = ENOENT;
        return NULL;
    }
    *len = (unsigned)strlen(value);
    return strdup(value);
}

bool xs_write(struct xs_handle *xs, xs_transaction_t t, const char *path,
              const void *data, unsigned len)
{
    char *to = strstr(path, "/libcolo-suspend-port") ? fake.old_port :
               strstr(path, "/device/suspend/") ? fake.channel : fake.control;

    (void)xs;
    if (strstr(path, "/libcolo-copy")) {
        fake.copy_mark = true;
        return true;
    }
    if (t && fake.ack_in_transaction)
        return true; /* it will not be committed */
    memcpy(to, data, len);
    to[len] = 0;
    return true;
}

bool xs_rm(struct xs_handle *xs, xs_transaction_t t, const char *path)
{
    (void)xs, (void)t;
    if (strstr(path, "/device/suspend")) {
        fake.channel[0] = 0;
        return true;
    }
    ck_assert_ptr_nonnull(strstr(path, "/libcolo-copy"));
    fake.copy_mark = false;
    return true;
}

char **xs_directory(struct xs_handle *xs, xs_transaction_t t,
                    const char *path, unsigned *num)
{
    static const char names[] = "0\0x\0" "7\0" "7x";
    char **list = malloc(4 * sizeof(*list) + sizeof(names));
    char *text = (char *)(list + 4);

    (void)xs, (void)t;
    memcpy(text, names, sizeof(names));
    if (fake.exchanged)
        text[0] = '1';
    for (unsigned i = 0; i < 4; i++) {
        list[i] = text;
        text += strlen(text) + 1;
    }
    *num = strstr(path, "/device/") ? 4 - fake.unplugged : 4;
    return list;
}

bool xs_watch(struct xs_handle *xs, const char *path, const char *token)
{
    (void)xs, (void)path, (void)token;
    return true;
}

int xs_fileno(struct xs_handle *xs)
{
    (void)xs;
    return fake.watch_fd[0];
}

char **xs_check_watch(struct xs_handle *xs)
{
    char **event, byte;

    (void)xs;
    if (read(fake.watch_fd[0], &byte, 1) != 1 || !fake.fired) {
        errno = EAGAIN;
        return NULL;
    }
    event = malloc(2 * sizeof(*event) + 64);
    event[XS_WATCH_PATH] = (char *)(event + 2);
    event[XS_WATCH_TOKEN] = (char *)(event + 2);
    snprintf(event[XS_WATCH_TOKEN], 64, "%s", fake.fired);
    return event;
}

xs_transaction_t xs_transaction_start(struct xs_handle *xs)
{
    (void)xs;
    return 1;
}

bool xs_transaction_end(struct xs_handle *xs, xs_transaction_t t, bool abort)
{
    (void)xs, (void)t;
    if (abort || !fake.ack_in_transaction)
        return true;
    fake.ack_in_transaction = false;
    fake_xen_suspend();
    errno = EAGAIN;
    return false;
}

bool xs_resume_domain(struct xs_handle *xs, unsigned domid)
{
    (void)xs, (void)domid;
    fake.xs_resumes++;
    return true;
}

/* ---- the domain ---- */

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    (void)xch;
    if (cmd == XENVER_extraversion)
        snprintf(arg, sizeof(xen_extraversion_t), "%s", fake.xen_extra);
    return 4 << 16 | fake.xen_minor;
}

static void fill_info(xc_domaininfo_t *info)
{
    memset(info, 0, sizeof(*info));
    info->domain = FAKE_DOMID;
    info->flags = (fake.pv ? 0 : XEN_DOMINF_hvm_guest) |
                  (fake.dying ? XEN_DOMINF_dying : 0) |
                  (fake.paused ? XEN_DOMINF_paused : 0) |
                  (fake.shutdown ? XEN_DOMINF_shutdown |
                   (uint32_t)fake.reason << XEN_DOMINF_shutdownshift : 0);
    info->arch_config.emulation_flags = fake.emulated ? XEN_X86_EMU_PIT : 0;
    info->tot_pages = fake.tot_pages;
    info->max_pages = FAKE_GFNS;
}

int xc_domain_get_guest_width(xc_interface *xch, uint32_t domid,
                              unsigned *width)
{
    (void)xch, (void)domid;
    *width = fake.pv_width ? fake.pv_width : 8;
    return gone();
}

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
    (void)xch;
    memset(info, 0, sizeof(*info));
    info->capabilities = fake.no_shadow ? 0 : XEN_SYSCTL_PHYSCAP_shadow;
    return 0;
}

/* as the real one: the next domain when this one is not there */
int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned max,
                          xc_domaininfo_t *info)
{
    (void)xch, (void)max;
    fill_info(info);
    if (first != FAKE_DOMID || fake.gone)
        info->domain = FAKE_DOMID + 1;
    return 1;
}

int xc_domain_getinfo_single(xc_interface *xch, uint32_t domid,
                             xc_domaininfo_t *info);
int xc_domain_getinfo_single(xc_interface *xch, uint32_t domid,
                             xc_domaininfo_t *info)
{
    (void)xch;
    fill_info(info);
    if (domid == FAKE_DOMID)
        return gone();
    errno = ESRCH;
    return -1;
}

int xc_hvm_param_get(xc_interface *xch, uint32_t domid, uint32_t param,
                     uint64_t *value)
{
    (void)xch, (void)domid;
    *value = param == HVM_PARAM_STORE_PFN ? FAKE_STORE :
             param == HVM_PARAM_PAGING_RING_PFN ? FAKE_PAGING :
             param == HVM_PARAM_CONSOLE_PFN ? FAKE_CONSOLE :
             param == HVM_PARAM_CALLBACK_IRQ ? !fake.hvm_no_pv : 0;
    return gone();
}

int xc_domain_nr_gpfns(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
    (void)xch, (void)domid;
    *gpfns = fake.nr_gfns;
    return gone();
}

int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason)
{
    (void)xch, (void)domid;
    ck_assert_int_eq(reason, COLO_HV_SUSPEND);
    fake.shutdowns++;
    fake_xen_suspend();
    return 0;
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    (void)xch, (void)domid;
    fake.pauses++;
    fake.more_pauses += fake.paused;
    fake.paused = true;
    return gone();
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    (void)xch, (void)domid;
    fake.unpauses++;
    errno = EINVAL;
    if (!fake.paused)
        return -1;
    if (fake.more_pauses)
        fake.more_pauses--;
    else
        fake.paused = false;
    return gone();
}

int xc_domain_destroy(xc_interface *xch, uint32_t domid)
{
    (void)xch, (void)domid;
    fake.destroys++;
    fake.gone = true;
    return 0;
}

int xc_domain_hvm_getcontext(xc_interface *xch, uint32_t domid, uint8_t *buf,
                             uint32_t size)
{
    enum { FAKE_CONTEXT = 256, FAKE_CONTEXT_MOST = 640 };

    (void)xch, (void)domid;
    if (buf) {
        ck_assert_uint_ge(size, FAKE_CONTEXT_MOST);
        memset(buf, 0, FAKE_CONTEXT);
    }
    return gone() ? -1 : buf ? FAKE_CONTEXT : FAKE_CONTEXT_MOST;
}

int xc_vcpu_getcontext(xc_interface *xch, uint32_t domid, uint32_t vcpu,
                       vcpu_guest_context_any_t *ctxt)
{
    (void)xch, (void)domid, (void)vcpu;
    memset(ctxt, 0, sizeof(*ctxt));
    ctxt->c.user_regs.rax = fake.rax;
    return gone();
}

/* forgets wide registers, as the real one does */
int xc_vcpu_setcontext(xc_interface *xch, uint32_t domid, uint32_t vcpu,
                       vcpu_guest_context_any_t *ctxt)
{
    (void)xch, (void)domid, (void)vcpu;
    fake.setcontexts++;
    if (fake.fail_setcontext_times) {
        fake.fail_setcontext_times--;
        errno = fake.fail_setcontext;
        return -1;
    }
    ck_assert(fake.shutdown);
    fake.rax = ctxt->c.user_regs.rax;
    fake.xstate = 0;
    return gone();
}

/* ---- memory ---- */

/* Frames are copied, and copied back at the unmap if it was writable. */
static struct {
    uint8_t *addr;
    size_t n;
    xen_pfn_t gfns[512];
    bool writable;
} maps[64];

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom,
                           int prot, size_t pages, const xen_pfn_t *arr,
                           int *err)
{
    size_t slot = 0;

    (void)fmem, (void)dom;
    fake.maps++;
    if (gone() < 0)
        return NULL;
    while (maps[slot].addr)
        slot++;
    ck_assert_uint_lt(slot, COLO_ARRAY_LEN(maps));
    maps[slot].addr = calloc(pages, COLO_PAGE_SIZE);
    maps[slot].n = pages;
    maps[slot].writable = prot & PROT_WRITE;
    for (size_t i = 0; i < pages; i++) {
        bool ok = arr[i] < FAKE_MAX_GFNS &&
                  (fake.has[arr[i]] || fake.is_xen[arr[i]]);

        maps[slot].gfns[i] = ok ? arr[i] : FAKE_MAX_GFNS;
        err[i] = ok ? 0 : -EINVAL;
        if (ok)
            memcpy(maps[slot].addr + i * COLO_PAGE_SIZE, fake.pages[arr[i]],
                   COLO_PAGE_SIZE);
    }
    return maps[slot].addr;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr,
                           size_t pages)
{
    size_t slot = 0;

    (void)fmem;
    while (maps[slot].addr != addr)
        slot++;
    ck_assert_uint_eq(maps[slot].n, pages);
    for (size_t i = 0; maps[slot].writable && i < pages; i++) {
        if (maps[slot].gfns[i] < FAKE_MAX_GFNS)
            memcpy(fake.pages[maps[slot].gfns[i]],
                   maps[slot].addr + i * COLO_PAGE_SIZE, COLO_PAGE_SIZE);
    }
    free(maps[slot].addr);
    maps[slot].addr = NULL;
    return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned type, unsigned id,
    unsigned long frame, unsigned long nr_frames, void **paddr, int prot,
    int flags)
{
    (void)fmem, (void)domid, (void)type, (void)frame, (void)prot,
    (void)flags;
    ck_assert_uint_eq(id, XENMEM_resource_grant_table_id_shared);
    /* one more would make the guest's table grow */
    ck_assert_uint_eq(nr_frames, fake.grant_frames);
    *paddr = fake.grants;
    return (xenforeignmemory_resource_handle *)&handle;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    (void)fmem, (void)fres;
    return 0;
}

int xc_gnttab_query_size(xc_interface *xch, struct gnttab_query_size *query)
{
    (void)xch;
    query->nr_frames = fake.grant_frames;
    query->status = GNTST_okay;
    return gone();
}

int xc_gnttab_get_version(xc_interface *xch, uint32_t domid)
{
    (void)xch, (void)domid;
    return 1;
}

int xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid,
                                     unsigned long nr, unsigned order,
                                     unsigned flags, xen_pfn_t *arr)
{
    (void)xch, (void)domid, (void)order, (void)flags;
    if (fake.tot_pages + nr > FAKE_GFNS) {
        errno = ENOMEM;
        return -1;
    }
    for (unsigned long i = 0; i < nr; i++) {
        ck_assert(!fake.has[arr[i]]);
        fake.has[arr[i]] = true;
        fake.unlogged[arr[i]] = true;
    }
    fake.tot_pages += nr;
    fake.populated += (int)nr;
    return 0;
}

int xc_domain_decrease_reservation_exact(xc_interface *xch, uint32_t domid,
                                         unsigned long nr, unsigned order,
                                         xen_pfn_t *arr)
{
    (void)xch, (void)domid, (void)order;
    for (unsigned long i = 0; i < nr; i++) {
        ck_assert(fake.has[arr[i]]);
        fake.has[arr[i]] = false;
    }
    fake.tot_pages -= nr;
    fake.taken += (int)nr;
    return 0;
}

/* ---- domctls ---- */

int xc_shadow_control(xc_interface *xch, uint32_t domid, unsigned sop,
                      unsigned *mb, unsigned mode)
{
    (void)xch, (void)domid, (void)mb, (void)mode;
    if (gone() < 0)
        return -1;
    if (sop == XEN_DOMCTL_SHADOW_OP_OFF) {
        fake.offs++;
        fake.log_dirty = fake.enomem = false;
        memset(fake.dirty, 0, sizeof(fake.dirty));
        return 0;
    }
    ck_assert_uint_eq(sop, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY);
    if (fake.log_dirty) {
        errno = EINVAL;
        return -1;
    }
    fake.log_dirty = true;
    return 0;
}

static int shadow_op(struct xen_domctl_shadow_op *op)
{
    uint8_t *bitmap = op->dirty_bitmap.p;
    bool clean = op->op == XEN_DOMCTL_SHADOW_OP_CLEAN;

    if (fake.enomem) {
        errno = ENOMEM;
        return -1;
    }
    fake.cleans += clean;
    fake.peeks += !clean;
    fake.finals += op->mode & XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL ? 1 : 0;
    memset(bitmap, 0, (op->pages + 7) / 8);
    op->stats.dirty_count = 0;
    if (clean)
        memset(fake.unlogged, 0, sizeof(fake.unlogged));
    for (uint64_t i = 0; i < op->pages && i < FAKE_MAX_GFNS; i++) {
        if (!fake.dirty[i])
            continue;
        bitmap[i / 8] |= (uint8_t)(1 << i % 8);
        op->stats.dirty_count++;
        if (clean)
            fake.dirty[i] = false;
    }
    return 0;
}

static int vcpu_ext_state(struct xen_domctl *op, bool set)
{
    struct xen_domctl_vcpuextstate *x = &op->u.vcpuextstate;

    if (!set && !x->size && !x->xfeature_mask) {
        x->xfeature_mask = fake.xstate_wide ? 7 : 3;
        x->size = 600;
        return 0;
    }
    ck_assert(fake.shutdown || fake.paused);
    if (set)
        memcpy(&fake.xstate, x->buffer.p, 8);
    else
        memcpy(x->buffer.p, &fake.xstate, 8);
    x->size = 600;
    return 0;
}

static int resume_domain(void)
{
    fake.resumes++;
    if (fake.fail_resume_times) {
        fake.fail_resume_times--;
        errno = ENOMEM;
        return -1;
    }
    fake.shutdown = false;
    return 0;
}

int xencall1(xencall_handle *xcall, unsigned hypercall, uint64_t arg)
{
    struct xen_domctl *op = (struct xen_domctl *)(uintptr_t)arg;

    (void)xcall;
    ck_assert_uint_eq(hypercall, __HYPERVISOR_domctl);
    ck_assert_uint_eq(op->interface_version, XEN_DOMCTL_INTERFACE_VERSION);
    ck_assert_uint_eq(op->domain, FAKE_DOMID);
    if (gone() < 0)
        return -1;
    switch (op->cmd) {
    case XEN_DOMCTL_shadow_op:
        return shadow_op(&op->u.shadow_op);
    case XEN_DOMCTL_getvcpuextstate:
        return vcpu_ext_state(op, false);
    case XEN_DOMCTL_setvcpuextstate:
        return vcpu_ext_state(op, true);
    case XEN_DOMCTL_resumedomain:
        return resume_domain();
    case XEN_DOMCTL_getpageframeinfo3:
        ck_assert_uint_le(op->u.getpageframeinfo3.num, 1024);
        for (uint64_t i = 0; i < op->u.getpageframeinfo3.num; i++) {
            xen_pfn_t *p = &op->u.getpageframeinfo3.array.p[i];

            *p = *p < FAKE_MAX_GFNS && fake.has[*p] ?
                 XEN_DOMCTL_PFINFO_NOTAB : XEN_DOMCTL_PFINFO_XTAB;
        }
        return 0;
    }
    ck_abort_msg("domctl %u", op->cmd);
    return -1;
}
