/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What is done through libvirtd, over a fake one that is slow, is restarted, or
 * does by itself what it is asked for.
 */
#include "pure-common.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenctrl.h>

#include "../../toolstack/lv.h"
#include "fake-xen.h"

#define ANEW 8
#define LATE_MS 1500 /* after a second, nobody waits for who was not asked */

/* libvirtd; shared, since a part of what is tested is done by a child */
static struct {
    int life;           /* grows with each restart of it */
    int away;           /* after one, so many connects fail */
    bool dies_on_destroy;
    bool acts;          /* starts the guest anew, just after we came */
    bool hangs;         /* for a minute */
    int state;          /* of the guest, as it believes */
    unsigned id;        /* -1u: not running */
    bool transient;
    unsigned patience;  /* seconds that it has for a resume */
    int resumes, destroys, creates, refuses;
    bool sleeps;        /* refuses to wake the guest */
    bool dies_on_suspend; /* which the guest has been asked for by then */
    uint64_t xstate;    /* of the guest, when the child closes, */
    bool paused;
} *lvd;

/* a connection, and a guest seen through it, of one life of the daemon */
struct _virConnect {
    int life;
};

struct _virDomain {
    int life;
    unsigned id;
};

static void begin(void)
{
    int life[2];

    signal(SIGALRM, SIG_DFL); /* not the runner's */
    lvd = mmap(NULL, sizeof(*lvd), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(lvd, MAP_FAILED);
    memset(&fake, 0, sizeof(fake));
    lvd->state = VIR_DOMAIN_RUNNING;
    lvd->id = FAKE_DOMID;
    ck_assert_int_eq(pipe(life), 0);
    ck_assert_int_eq(dup2(life[0], LIFE_FD), LIFE_FD);
}

/* ---- in place of lv-main.c and report.c ---- */

void report(const char *word, const char *fmt, ...)
{
    (void)word;
    (void)fmt;
}

libxl_ctx *report_ctx(void)
{
    return NULL;
}

void lv_error(const char *what)
{
    (void)what;
}

virConnectPtr lv_connect(void)
{
    virConnectPtr conn;

    if (lvd->life && lvd->away > 0) {
        lvd->away--;
        return NULL;
    }
    conn = calloc(1, sizeof(*conn));
    conn->life = lvd->life;
    return conn;
}

static virDomainPtr a_domain(virConnectPtr conn)
{
    virDomainPtr dom;

    if (conn->life != lvd->life ||
        (lvd->transient && lvd->id == -1u))
        return NULL;
    dom = calloc(1, sizeof(*dom));
    dom->life = conn->life;
    dom->id = lvd->id;
    return dom;
}

int lv_open(uint32_t domid, virConnectPtr *ret_conn, virDomainPtr *ret_dom)
{
    ck_assert_uint_eq(domid, FAKE_DOMID);
    *ret_dom = NULL;
    *ret_conn = lv_connect();
    if (!*ret_conn)
        return EXIT_ABSENT;
    *ret_dom = a_domain(*ret_conn);
    ck_assert_ptr_nonnull(*ret_dom);
    if (lvd->acts) {
        lvd->id = ANEW;
        fake.gone = true;
    }
    return EXIT_OK;
}

void lv_close(virConnectPtr conn, virDomainPtr dom)
{
    lvd->xstate = fake.xstate;
    lvd->paused = fake.paused;
    free(conn);
    free(dom);
}

char *lv_definition(virDomainPtr dom, unsigned flags)
{
    (void)dom, (void)flags;
    return strdup("<domain/>");
}

unsigned sleep(unsigned s)
{
    (void)s;
    return 0;
}

/* ---- libvirt ---- */

int virConnectIsAlive(virConnectPtr conn)
{
    return conn->life == lvd->life;
}

int virConnectClose(virConnectPtr conn)
{
    free(conn);
    return 0;
}

virDomainPtr virDomainLookupByUUID(virConnectPtr conn,
                                   const unsigned char *uuid)
{
    ck_assert_int_eq(uuid[0], 42);
    return a_domain(conn);
}

int virDomainGetUUID(virDomainPtr dom, unsigned char *uuid)
{
    memset(uuid, 42, VIR_UUID_BUFLEN);
    return dom->life == lvd->life ? 0 : -1;
}

unsigned virDomainGetID(virDomainPtr dom)
{
    return dom->id; /* as of its look-up */
}

int virDomainFree(virDomainPtr dom)
{
    free(dom);
    return 0;
}

int virDomainGetState(virDomainPtr dom, int *state, int *reason,
                      unsigned flags)
{
    (void)dom, (void)reason, (void)flags;
    *state = lvd->state;
    return 0;
}

int virDomainResume(virDomainPtr dom)
{
    (void)dom;
    lvd->resumes++;
    lvd->patience = alarm(0);
    alarm(lvd->patience);
    if (lvd->hangs)
        poll(NULL, 0, 60000);
    lvd->state = VIR_DOMAIN_RUNNING;
    return xc_domain_unpause(NULL, FAKE_DOMID);
}

int virDomainPMSuspendForDuration(virDomainPtr dom, unsigned target,
                                  unsigned long long duration, unsigned flags)
{
    (void)dom, (void)target, (void)duration, (void)flags;
    if (lvd->dies_on_suspend)
        return -1;
    fake.shutdown = true;
    fake.reason = COLO_HV_SUSPEND;
    return 0;
}

int virDomainPMWakeup(virDomainPtr dom, unsigned flags)
{
    (void)dom, (void)flags;
    if (lvd->sleeps)
        return -1;
    fake.xstate = 0; /* as Xen does when its caller sets a context */
    fake.shutdown = false;
    return 0;
}

int virDomainIsPersistent(virDomainPtr dom)
{
    (void)dom;
    return !lvd->transient;
}

int virDomainIsActive(virDomainPtr dom)
{
    return dom->id != -1u;
}

/* whatever it is now */
int virDomainDestroy(virDomainPtr dom)
{
    if (dom->life != lvd->life)
        return -1;
    ck_assert_uint_eq(lvd->id, FAKE_DOMID);
    lvd->destroys++;
    lvd->id = -1u;
    fake.gone = true;
    lvd->life += lvd->dies_on_destroy;
    return 0;
}

static bool create(int life)
{
    if (life != lvd->life || lvd->id != -1u)
        return false;
    if (lvd->refuses > 0) {
        lvd->refuses--;
        return false;
    }
    lvd->creates++;
    lvd->id = ANEW;
    return true;
}

int virDomainCreate(virDomainPtr dom)
{
    return create(dom->life) ? 0 : -1;
}

virDomainPtr virDomainCreateXML(virConnectPtr conn, const char *xml,
                                unsigned flags)
{
    (void)flags;
    ck_assert_str_eq(xml, "<domain/>");
    return create(conn->life) ? a_domain(conn) : NULL;
}

/* ---- tests ---- */

START_TEST(test_restart)
{
    for (int transient = 0; transient < 2; transient++) {
        begin();
        lvd->transient = transient;
        lvd->refuses = 1;
        ck_assert_int_eq(lv_restart(FAKE_DOMID), EXIT_OK);
        ck_assert_int_eq(lvd->destroys, 1);
        ck_assert_int_eq(lvd->creates, 1);
        ck_assert_uint_eq(lvd->id, ANEW);
    }
    begin();
    lvd->refuses = 100;
    ck_assert_int_eq(lv_restart(FAKE_DOMID), EXIT_FAILED);
}
END_TEST

/* its connection is of no use any more, and another one is, a little later */
START_TEST(test_restarted_meanwhile)
{
    for (int transient = 0; transient < 2; transient++) {
        begin();
        lvd->transient = transient;
        lvd->dies_on_destroy = true;
        ck_assert_int_eq(lv_restart(FAKE_DOMID), EXIT_OK);
        ck_assert_int_eq(lvd->creates, 1);
        ck_assert_uint_eq(lvd->id, ANEW);
    }
    begin();
    lvd->dies_on_destroy = true;
    lvd->away = 4;
    ck_assert_int_eq(lv_restart(FAKE_DOMID), EXIT_OK);
    ck_assert_int_eq(lvd->creates, 1);
    /* it does not come back: others do it */
    begin();
    lvd->dies_on_destroy = true;
    lvd->away = 1000;
    ck_assert_int_eq(lv_restart(FAKE_DOMID), EXIT_ABSENT);
    ck_assert_int_eq(lvd->creates, 0);
}
END_TEST

/* What runs by then is the guest that it has started anew. */
START_TEST(test_has_done_it)
{
    for (int transient = 0; transient < 2; transient++) {
        begin();
        lvd->transient = transient;
        lvd->acts = true;
        ck_assert_int_eq(lv_restart(FAKE_DOMID), EXIT_OK);
        ck_assert_int_eq(lvd->destroys + lvd->creates, 0);
        begin();
        lvd->acts = true;
        ck_assert_int_eq(lv_destroy(FAKE_DOMID), EXIT_OK);
        ck_assert_int_eq(lvd->destroys, 0);
        ck_assert_uint_eq(lvd->id, ANEW);
    }
}
END_TEST

START_TEST(test_start)
{
    begin();
    lvd->state = VIR_DOMAIN_PAUSED;
    ck_assert_int_eq(lv_start(FAKE_DOMID), EXIT_OK);
    ck_assert_int_eq(lvd->resumes, 1);
    ck_assert_int_eq(lvd->state, VIR_DOMAIN_RUNNING);
    ck_assert_int_eq(fake.unpauses, 0); /* in the child, if at all */
    begin();
    ck_assert_int_eq(lv_start(FAKE_DOMID), EXIT_OK);
    ck_assert_int_eq(lvd->resumes, 0);
}
END_TEST

/* The guest does not stand still for as long as libvirtd does, and not twice.
 * The child's pause is not seen here: so it is paused from the beginning. */
START_TEST(test_start_hangs)
{
    begin();
    lvd->state = VIR_DOMAIN_PAUSED;
    lvd->hangs = fake.paused = true;
    ck_assert_int_eq(lv_start(FAKE_DOMID), EXIT_FAILED);
    ck_assert_int_eq(lvd->resumes, 1);
    ck_assert(!fake.paused);
    ck_assert_uint_eq(lvd->patience, 1);
    ck_assert_int_eq(lv_rearm(FAKE_DOMID), EXIT_FAILED);
    ck_assert_int_eq(lvd->resumes, 1);
}
END_TEST

/* on the host that has protected it, all along */
START_TEST(test_rearm)
{
    begin();
    strcpy(fake.old_port, "5");
    lvd->state = VIR_DOMAIN_PAUSED;
    ck_assert_int_eq(lv_rearm(FAKE_DOMID), EXIT_OK);
    ck_assert_int_eq(lvd->resumes, 1);
}
END_TEST

/* A guest that is woken finds all that was in its registers; one that is not
 * woken is not left paused, either. */
START_TEST(test_rearm_registers)
{
    for (int sleeps = 0; sleeps < 2; sleeps++) {
        begin();
        strcpy(fake.old_port, "5");
        fake.xstate_wide = true;
        fake.xstate = 0x5678;
        lvd->sleeps = sleeps;
        lvd->paused = true;
        ck_assert_int_eq(lv_rearm(FAKE_DOMID),
                         sleeps ? EXIT_FAILED : EXIT_OK);
        ck_assert_uint_eq(lvd->xstate, 0x5678);
        ck_assert(!lvd->paused);
    }
}
END_TEST

static void *suspend_late(void *arg)
{
    poll(NULL, 0, LATE_MS);
    fake.shutdown = true;
    fake.reason = COLO_HV_SUSPEND;
    return arg;
}

/* It was restarted when it had asked the guest to suspend: the guest does so,
 * a little later, for nobody. */
START_TEST(test_rearm_late)
{
    pthread_t guest;

    begin();
    ck_assert_int_eq(pipe2(fake.watch_fd, O_CLOEXEC | O_NONBLOCK), 0);
    strcpy(fake.old_port, "5");
    fake.xen_extra = ".7";
    lvd->dies_on_suspend = true;
    ck_assert_int_eq(pthread_create(&guest, NULL, suspend_late, NULL), 0);
    ck_assert_int_eq(lv_rearm(FAKE_DOMID), EXIT_FAILED);
    ck_assert_int_eq(pthread_join(guest, NULL), 0);
    ck_assert(!fake.shutdown);
    ck_assert_int_eq(fake.resumes, 1);
}
END_TEST

PURE_MAIN("toolstack-libvirt", test_restart, test_restarted_meanwhile,
          test_has_done_it, test_start, test_start_hangs, test_rearm,
          test_rearm_registers, test_rearm_late)
