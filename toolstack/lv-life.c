/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A guest of libvirt's after a takeover, after protection, and at its end.
 *
 * start: the replica runs already, whether or not libvirtd answers; libvirtd
 * still has it as paused, and changes that by unpausing only.  So it is paused
 * for the moment of that call; a libvirtd that takes longer over it does not
 * hear of it.
 *
 * rearm: libxl, inside libvirtd, reports no shutdown of a domain that it has
 * once seen suspended; libvirt asks it anew when it wakes a guest that it has
 * suspended.  So it does both, once, and sees the guest's end itself from then
 * on, as of a guest that was never protected.  It stays paused in Xen from the
 * suspend until vCPU 0 has the registers again that a waking by libxl costs it.
 *
 * Whatever fails or dies meanwhile, the guest runs: see supervise.c, and
 * see_to_pending() for what libvirtd does after that.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libvirt/virterror.h>
#include <xenstore.h>

#include "hv/compat-xen.h"
#include "hv/watchdog.h"
#include "lv.h"

#define START_S 8
#define PAUSED_S 1   /* of it, or of the next one */
#define REARM_S 30
#define WAKE_S 8     /* the guest stands still */
#define STEP_S 60    /* of an end */
#define CREATE_LOOKS 8 /* a libvirtd that was restarted comes back meanwhile */
#define LATE_SUSPEND_MS 3000
/* libvirtd goes on with a request whose client has gone: it waits 30 s for its
 * turn, and libxl then a minute for the guest's answer. */
#define PENDING_MS 60000
#define LOOK_MS 100

struct life {
    uint32_t domid;
    bool rearm;
    pid_t session; /* that had the guest when we came; 0 none */
    bool asked;    /* libvirtd was asked to suspend it */
};

/* ---- Xen's side of it ---- */

static bool domain_info(uint32_t domid, xc_domaininfo_t *ret_info)
{
    xc_interface *xch = xc_interface_open(NULL, NULL, 0);
    bool found = xch && !compat_domain_getinfo(xch, domid, ret_info);

    if (xch)
        xc_interface_close(xch);
    return found && !(ret_info->flags & XEN_DOMINF_dying);
}

static bool domain_is_here(uint32_t domid)
{
    xc_domaininfo_t info;

    return domain_info(domid, &info);
}

static bool set_paused(uint32_t domid, bool paused)
{
    xc_interface *xch = xc_interface_open(NULL, NULL, 0);
    int r = -1;

    if (xch)
        r = paused ? xc_domain_pause(xch, domid)
                   : xc_domain_unpause(xch, domid);
    if (xch)
        xc_interface_close(xch);
    return r == 0;
}

/* Has a session asked Xen for suspends of it? (hv-xen-exclude.c) */
static bool was_suspended(uint32_t domid)
{
    struct xs_handle *xs = xs_open(0);
    char path[64], *value = NULL;
    unsigned len;
    bool found;

    snprintf(path, sizeof(path), "/local/domain/%u/libcolo-suspend-port",
             domid);
    if (xs)
        value = xs_read(xs, XBT_NULL, path, &len);
    found = value != NULL;
    free(value);
    xs_close(xs);
    return found;
}

/* ---- it runs, says libvirt ---- */

static int state_of(virDomainPtr dom)
{
    int state = VIR_DOMAIN_NOSTATE;

    return virDomainGetState(dom, &state, NULL, 0) < 0 ? -1 : state;
}

/* The alarm ends this process, and settle_undo() lets the guest run. */
static int unpause_by_libvirt(virDomainPtr dom, uint32_t domid)
{
    unsigned left;
    int r;

    if (!set_paused(domid, true)) {
        report("error", "domain %u cannot be paused for libvirt", domid);
        return EXIT_FAILED;
    }
    left = alarm(PAUSED_S);
    r = virDomainResume(dom);
    alarm(left);
    if (r < 0) {
        set_paused(domid, false);
        lv_error("resume");
    }
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int suspend_by_libxl(uint32_t domid)
{
    libxl_ctx *ctx = report_ctx();
    int r = ctx ? libxl_domain_suspend_only(ctx, domid, NULL) : -1;

    libxl_ctx_free(ctx);
    return r;
}

/* The alarm ends this process, and settle_undo() lets the guest run.  Paused,
 * it has the same registers before and after, but for what Xen has forgotten:
 * so they are put back whatever libvirtd says. */
static int wake_up(virDomainPtr dom, uint32_t domid)
{
    struct colo_hv_xen *wide = NULL;
    unsigned left;
    bool kept;
    int r;

    if (!set_paused(domid, true)) {
        report("error", "domain %u cannot be paused for libvirt", domid);
        return EXIT_FAILED;
    }
    kept = colo__hv_xen_wide_get(domid, &wide);
    left = alarm(WAKE_S);
    r = virDomainPMWakeup(dom, 0);
    alarm(left);
    if (r < 0)
        lv_error("wake up");
    if (!colo__hv_xen_wide_set(wide) || !kept)
        report("warning", "domain %u: the wide registers of vCPU 0 are lost",
               domid);
    colo__hv_xen_wide_close(wide);
    return set_paused(domid, false) && r >= 0 ? EXIT_OK : EXIT_FAILED;
}

/* Where libvirtd was restarted while a checkpoint was made, it has the guest
 * as suspended already. */
static int sleep_and_wake(virDomainPtr dom, struct life *life, int state)
{
    int r;

    if (state == VIR_DOMAIN_PMSUSPENDED) {
        r = suspend_by_libxl(life->domid);
    } else {
        life->asked = true;
        r = virDomainPMSuspendForDuration(dom, VIR_NODE_SUSPEND_TARGET_MEM, 0,
                                          0);
    }
    if (r < 0) {
        lv_error("suspend");
        return EXIT_FAILED;
    }
    return wake_up(dom, life->domid);
}

static int settle(void *arg)
{
    struct life *life = arg;
    virConnectPtr conn = NULL;
    virDomainPtr dom = NULL;
    int status, state;

    alarm(life->rearm ? REARM_S : START_S);
    status = lv_open(life->domid, &conn, &dom);
    if (status)
        goto out;
    state = state_of(dom);
    /* What was never suspended here has come by a takeover, and start has tried
     * that a moment ago: once is enough for a guest that runs. */
    if (state == VIR_DOMAIN_PAUSED &&
        (!life->rearm || was_suspended(life->domid))) {
        status = unpause_by_libvirt(dom, life->domid);
        state = VIR_DOMAIN_RUNNING;
    }
    if (!status && state != VIR_DOMAIN_RUNNING &&
        state != VIR_DOMAIN_PMSUSPENDED) {
        report("warning", "libvirt: the guest is in state %d", state);
        status = EXIT_FAILED;
    }
    if (!status && life->rearm && was_suspended(life->domid))
        status = sleep_and_wake(dom, life, state);
out:
    lv_close(conn, dom);
    return status;
}

/* Nobody else would wake it.  Meanwhile libxl's lock is held, so that what has
 * not begun yet fails in libvirtd before it touches the guest. */
static void see_to_pending(const struct life *life)
{
    struct colo_recovery r = {
        .domid = life->domid, .died = life->session,
    };
    uint64_t end = colo__now_us(&colo__clock_monotonic) + PENDING_MS * 1000;
    struct colo_error err;
    int rc;

    do {
        rc = colo__recovery_look(&r, NULL, &err);
        poll(NULL, 0, LOOK_MS);
    } while (rc != COLO_E_NOTFOUND && rc != COLO_E_GUEST &&
             rc != COLO_E_EXISTS && /* a new session sees to it itself */
             colo__now_us(&colo__clock_monotonic) < end);
    colo__recovery_end(&r);
}

/* In a process that nobody waits for. */
static bool leave_behind(const struct life *life)
{
    pid_t pid = fork();
    int fd;

    if (pid)
        return pid > 0;
    setsid();
    fd = open("/dev/null", O_RDWR);
    for (int i = 0; fd >= 0 && i <= XML_FD; i++)
        dup2(fd, i);
    see_to_pending(life);
    _exit(EXIT_OK);
}

/* The guest runs, as it did before we came.  A suspend that libvirtd was asked
 * for may come late, whether we were killed, or libvirtd, which then answers
 * that it failed. */
static void settle_undo(void *arg, bool killed)
{
    const struct life *life = arg;
    bool late = killed || life->asked;
    bool left = killed && life->asked && leave_behind(life);
    struct colo_error err = { 0 };
    xc_domaininfo_t info;

    if (!domain_info(life->domid, &info))
        return;
    if (info.flags & XEN_DOMINF_paused)
        set_paused(life->domid, false);
    if (life->rearm &&
        colo__hv_xen_recover(life->domid, life->session,
                             late && !left ? LATE_SUSPEND_MS : 0, NULL,
                             &err))
        report("warning", "%s", err.text);
}

int lv_start(uint32_t domid)
{
    struct life life = { .domid = domid };

    return supervise(settle, settle_undo, &life);
}

/* Whom somebody has paused in Xen, not only in libvirt's view, can neither be
 * suspended nor shall he be let run. */
int lv_rearm(uint32_t domid)
{
    xc_domaininfo_t info;
    struct life *life;

    if (domain_info(domid, &info) && info.flags & XEN_DOMINF_paused) {
        report("warning", "domain %u was paused, and stays so", domid);
        return EXIT_FAILED;
    }
    /* what the child has come to is asked when it has been killed */
    life = mmap(NULL, sizeof(*life), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (life == MAP_FAILED) {
        report("error", "no memory");
        return EXIT_FAILED;
    }
    *life = (struct life){
        .domid = domid, .rearm = true,
        .session = colo__hv_xen_session(domid),
    };
    return supervise(settle, settle_undo, life);
}

/* ---- its end ---- */

/* a guest that ends: libvirtd may be restarted meanwhile, and the connection
 * with it, or start the guest anew by itself */
struct ending {
    uint32_t domid;
    virConnectPtr conn;
    unsigned char uuid[VIR_UUID_BUFLEN];
};

static int ending_open(struct ending *e, uint32_t domid,
                       virDomainPtr *ret_dom)
{
    int status;

    *e = (struct ending){ .domid = domid };
    status = lv_open(domid, &e->conn, ret_dom);
    if (!status && virDomainGetUUID(*ret_dom, e->uuid) < 0) {
        lv_error("the guest's UUID");
        status = EXIT_FAILED;
    }
    return status;
}

/* The guest as libvirtd has it now, or NULL.  That the other end of the
 * connection has gone shows when it is used. */
static virDomainPtr look_up(struct ending *e)
{
    for (int i = 0; i < 2; i++) {
        virDomainPtr dom = NULL;

        alarm(STEP_S);
        if (e->conn && virConnectIsAlive(e->conn) != 1) {
            virConnectClose(e->conn);
            e->conn = NULL;
        }
        if (!e->conn)
            e->conn = lv_connect();
        if (e->conn)
            dom = virDomainLookupByUUID(e->conn, e->uuid);
        if (dom || !e->conn || virConnectIsAlive(e->conn) == 1)
            return dom;
    }
    return NULL;
}

/* One that libvirtd has ended itself meanwhile, and perhaps started again, is
 * another domain: so it is asked just before what the guest is now. */
static int destroy(struct ending *e)
{
    virDomainPtr dom = look_up(e);
    bool same = dom && virDomainGetID(dom) == e->domid;
    int r = same ? virDomainDestroy(dom) : 0;

    if (dom)
        virDomainFree(dom);
    if ((!same || r < 0) && domain_is_here(e->domid)) {
        lv_error("destroy");
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

int lv_destroy(uint32_t domid)
{
    virDomainPtr dom = NULL;
    struct ending e;
    int status = ending_open(&e, domid, &dom);

    if (!status)
        status = destroy(&e);
    lv_close(e.conn, dom);
    return status;
}

/* Returns as create. */
static int create_once(struct ending *e, const char *xml)
{
    virDomainPtr dom = look_up(e), made = NULL;
    int status = EXIT_ABSENT;

    if (!e->conn)
        goto out;
    status = EXIT_FAILED;
    if (dom && virDomainIsActive(dom) == 1)
        status = EXIT_OK; /* it was faster */
    else if (!xml && dom)
        status = virDomainCreate(dom) == 0 ? EXIT_OK : EXIT_FAILED;
    else if (xml)
        made = virDomainCreateXML(e->conn, xml, 0);
    if (made)
        status = EXIT_OK;
out:
    if (made)
        virDomainFree(made);
    if (dom)
        virDomainFree(dom);
    return status;
}

/* EXIT_ABSENT: libvirtd has not come back. */
static int create(struct ending *e, const char *xml)
{
    int status = EXIT_FAILED;

    for (int i = 0, refused = 0; i < CREATE_LOOKS && refused < CREATE_TRIES;
         i++) {
        sleep(CREATE_PAUSE_S);
        status = create_once(e, xml);
        if (status == EXIT_OK)
            return status;
        refused += status == EXIT_FAILED;
    }
    lv_error("start anew");
    return status;
}

/* As libvirt restarts a guest: from its definition, or, if it has none that
 * outlives the domain, from that of the domain. */
int lv_restart(uint32_t domid)
{
    virDomainPtr dom = NULL;
    char *xml = NULL;
    struct ending e;
    int status = ending_open(&e, domid, &dom);

    if (status)
        goto out;
    if (virDomainIsPersistent(dom) != 1) {
        xml = lv_definition(dom, VIR_DOMAIN_XML_INACTIVE);
        if (!xml) {
            status = EXIT_FAILED;
            goto out;
        }
    }
    status = destroy(&e);
    if (!status)
        status = create(&e, xml);
out:
    free(xml);
    lv_close(e.conn, dom);
    return status;
}
