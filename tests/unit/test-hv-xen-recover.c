/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What is done for a session that has died, and what is not any more where
 * somebody else has the guest by then: over a fake Xen.
 */
#include "pure-common.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../xenstore/owner.h"
#include "fake-xen.h"
#include "hv/hv-xen.h"
#include "hv/watchdog.h"

struct setup {
    struct colo_error err;
};

/* a domain that a session has been at, which is no more */
static void begin(struct setup *t)
{
    struct colo_hv *hv = fake_xen_start("guest");

    memset(t, 0, sizeof(*t));
    colo__hv_ops(hv)->close(hv);
    fake.log_dirty = true;
}

/* this process has a session of it */
static void own(void)
{
    struct colo_owner self = { 0 };
    struct colo_error err;

    ck_assert_int_eq(colo__owner_self(&self, &err), 0);
    snprintf(fake.owner, sizeof(fake.owner), "%d %llu", (int)self.pid,
             (unsigned long long)self.start);
}

static int recover(struct setup *t, pid_t died, uint32_t wait_ms)
{
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    return colo__hv_xen_recover(FAKE_DOMID, died, wait_ms, NULL, &t->err);
}

static pid_t session(void)
{
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    return colo__hv_xen_session(FAKE_DOMID);
}

static int look(struct setup *t, struct colo_recovery *r)
{
    return colo__recovery_look(r, NULL, &t->err);
}

/* What the watchdog does for a session that was killed. */
START_TEST(test_killed)
{
    struct setup t;

    begin(&t);
    for (int stopped = 0; stopped < 2; stopped++) {
        struct colo_recovery r = { .domid = FAKE_DOMID, .died = 1 };

        ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
        fake.subscribed = 50;
        fake.log_dirty = true;
        fake.offs = fake.resumes = 0;
        snprintf(fake.control, sizeof(fake.control), "suspend");
        if (stopped)
            fake_xen_suspend();
        memcpy(fake.old_port, "50", 3);
        memcpy(fake.channel, "50", 3);
        ck_assert_int_eq(look(&t, &r), 0);
        ck_assert(!fake.shutdown && !fake.log_dirty);
        ck_assert_uint_eq(fake.subscribed, 0);
        ck_assert_str_eq(fake.control, "");
        ck_assert_int_eq(fake.resumes, stopped);
        /* others are kept off, and what is found later is only the guest */
        ck_assert(fake.locked);
        ck_assert_str_eq(fake.channel, "50");
        fake.log_dirty = true;
        fake_xen_suspend();
        ck_assert_int_eq(look(&t, &r), 0);
        ck_assert(!fake.shutdown && fake.log_dirty);
        ck_assert_int_eq(fake.offs, 1);
        ck_assert(fake.locked);
        colo__recovery_end(&r);
        ck_assert(!fake.locked);
        ck_assert_str_eq(fake.channel, "");
    }
}
END_TEST

START_TEST(test_gone)
{
    struct colo_recovery r = { .domid = 99, .died = 1 };
    struct setup t;

    begin(&t);
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    ck_assert_int_eq(look(&t, &r), COLO_E_NOTFOUND);
    colo__recovery_end(&r);
}
END_TEST

/* xl save or migrate: its suspend and its record are none of ours */
START_TEST(test_another_tool)
{
    struct colo_recovery r = { .domid = FAKE_DOMID, .died = 1 };
    struct setup t;

    begin(&t);
    fake.foreign_lock = true;
    fake_xen_suspend();
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    ck_assert_int_eq(look(&t, &r), COLO_E_STATE);
    ck_text(t.err, "another tool");
    colo__recovery_end(&r);
    ck_assert(fake.shutdown && fake.log_dirty);
    ck_assert_int_eq(fake.offs, 0);
}
END_TEST

/* What could not be done is done at the next look, but for the record. */
START_TEST(test_again)
{
    struct colo_recovery r = { .domid = FAKE_DOMID, .died = 1 };
    struct setup t;

    begin(&t);
    fake.fail_resume_times = 3;
    fake_xen_suspend();
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    ck_assert_int_ne(look(&t, &r), 0);
    ck_assert(fake.shutdown);
    fake.log_dirty = true;
    ck_assert_int_eq(look(&t, &r), 0);
    ck_assert(!fake.shutdown && fake.log_dirty);
    colo__recovery_end(&r);
}
END_TEST

START_TEST(test_another_session)
{
    struct setup t;

    begin(&t);
    own();
    fake_xen_suspend();
    ck_assert_int_eq(recover(&t, 1, 50), COLO_E_EXISTS);
    ck_text(t.err, "another session");
    ck_assert(fake.shutdown && fake.log_dirty);
    ck_assert_int_eq(fake.offs, 0);
    ck_assert_int_eq(session(), getpid());
    /* one that is dead, too, and the one whose helper it was */
    snprintf(fake.owner, sizeof(fake.owner), "%d 1", (int)getpid());
    ck_assert_int_eq(session(), 0);
    ck_assert_int_eq(recover(&t, 1, 50), 0);
    ck_assert(!fake.shutdown && !fake.log_dirty);
    own();
    fake_xen_suspend();
    ck_assert_int_eq(recover(&t, getpid(), 50), 0);
    ck_assert(!fake.shutdown);
}
END_TEST

/* One after the other in one process, the first of which has given up. */
START_TEST(test_same_process)
{
    struct colo_recovery r = { .domid = FAKE_DOMID, .died = getpid() };
    struct setup t;

    begin(&t);
    own();
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    ck_assert_int_eq(look(&t, &r), 0);
    ck_assert_int_eq(look(&t, &r), 0);
    fake.owner[0] = 0;
    fake_xen_suspend();
    ck_assert_int_eq(look(&t, &r), 0);
    ck_assert(!fake.shutdown);
    own();
    fake_xen_suspend();
    ck_assert_int_eq(look(&t, &r), COLO_E_EXISTS);
    ck_assert(fake.shutdown && !fake.locked);
    colo__recovery_end(&r);
}
END_TEST

/* It comes while the guest could still suspend: it has switched the record on
 * anew, and suspends the guest itself. */
static void *comes_meanwhile(void *arg)
{
    int *offs = arg;

    usleep(1500000);
    *offs = fake.offs;
    fake.log_dirty = true;
    own();
    fake_xen_suspend();
    return NULL;
}

START_TEST(test_another_session_meanwhile)
{
    struct setup t;
    pthread_t th;
    int offs = 0;

    begin(&t);
    pthread_create(&th, NULL, comes_meanwhile, &offs);
    ck_assert_int_eq(recover(&t, 1, 10000), COLO_E_EXISTS);
    pthread_join(th, NULL);
    ck_assert_int_eq(offs, 1);
    ck_assert_int_eq(fake.offs, 1);
    ck_assert(fake.shutdown && fake.log_dirty);
}
END_TEST

static void *suspends_late(void *arg)
{
    (void)arg;
    usleep(1500000);
    fake_xen_suspend();
    return NULL;
}

START_TEST(test_late)
{
    struct setup t;
    pthread_t th;

    begin(&t);
    pthread_create(&th, NULL, suspends_late, NULL);
    ck_assert_int_eq(recover(&t, 1, 10000), 0);
    pthread_join(th, NULL);
    ck_assert(!fake.shutdown && !fake.log_dirty);
    ck_assert_int_eq(fake.offs, 1);
}
END_TEST

/* ---- a helper that is given up ---- */

static void *is_it_resumed(void *arg)
{
    bool *resumed = arg;

    usleep(3500000);
    *resumed = !fake.shutdown;
    return NULL;
}

static void put_helper(struct colo_hv *hv, char *dir, const char *text)
{
    struct colo_hv_xen *xen = colo__hv_xen(hv);
    char path[64];
    FILE *f;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/colo-toolstack", dir);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fprintf(f, "#!/bin/sh\n%s\n", text), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, 0700), 0);
    free(xen->libexecdir);
    xen->libexecdir = strdup(dir);
}

/* it has left this file behind */
static void check_helper(const char *dir, const char *file)
{
    char path[128], command[64];

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    ck_assert_int_eq(access(path, F_OK), 0);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* It needs longer than usual: it has ended before the session has, and the
 * guest does not stand still for that long. */
START_TEST(test_slow_helper)
{
    struct colo_hv *hv = fake_xen_start("guest");
    char dir[] = "/tmp/colo-recover.XXXXXX";
    struct colo_error err;
    bool resumed = false;
    pthread_t th;

    put_helper(hv, dir, "read x <&4; sleep 5; touch ${0%/*}/ended; exit 1");
    ck_assert_int_eq(colo__hv_ops(hv)->life->seed_out(
                         hv, open("/dev/null", O_WRONLY), &err), 0);
    fake_xen_suspend();
    pthread_create(&th, NULL, is_it_resumed, &resumed);
    colo__hv_ops(hv)->close(hv);
    pthread_join(th, NULL);
    ck_assert(resumed);
    check_helper(dir, "ended");
}
END_TEST

/* A replica that its helper has made just when it was given up. */
START_TEST(test_not_yet_adopted)
{
    struct colo_hv *hv = fake_xen_start(NULL);
    char dir[] = "/tmp/colo-recover.XXXXXX";
    struct colo_error err;

    put_helper(hv, dir, "touch ${0%/*}/$1-$2; [ $1 = destroy ] || "
               "echo domid 7 >&3; echo done >&3");
    ck_assert_int_eq(colo__hv_ops(hv)->life->seed_in(
                         hv, open("/dev/null", O_RDONLY), &err), 0);
    ck_assert_int_eq(colo__hv_ops(hv)->life->destroy(hv, &err), 0);
    ck_assert_int_eq(fake.pauses, 1);
    /* once */
    ck_assert_int_eq(colo__hv_ops(hv)->life->destroy(hv, &err), 0);
    ck_assert_int_eq(fake.pauses, 1);
    colo__hv_ops(hv)->close(hv);
    check_helper(dir, "destroy-7");
}
END_TEST

/* The longest name, with what a replica has behind it. */
START_TEST(test_long_name)
{
    struct colo_hv *hv = fake_xen_start(NULL);
    char dir[] = "/tmp/colo-recover.XXXXXX", name[80], file[80] = "start-";
    struct colo_hv_info info;
    struct colo_error err;
    bool guest = true;

    memset(name, 'n', 63);
    memcpy(file + 6, name, 63);
    memcpy(name + 63, "--incoming", 11);
    fake.name = name;
    fake.paused = true;
    put_helper(hv, dir, "touch ${0%/*}/$1-$3; echo done >&3");
    ck_assert_int_eq(colo__hv_xen_adopt(colo__hv_xen(hv), FAKE_DOMID, &err),
                     0);
    ck_assert_int_eq(colo__hv_ops(hv)->info(hv, &info, &err), 0);
    ck_assert_str_eq(info.name, name);
    ck_assert_int_eq(colo__hv_ops(hv)->life->start(hv, &err), 0);
    colo__hv_ops(hv)->close(hv);
    check_helper(dir, file);
    /* and as a replica that nobody has started */
    fake.paused = true;
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    ck_assert_int_eq(colo__hv_xen_drop_replica(FAKE_DOMID, NULL, &guest,
                                               &err), 0);
    ck_assert(!guest);
    ck_assert_int_eq(fake.destroys, 1);
}
END_TEST

PURE_MAIN("hv-xen-recover", test_killed, test_gone, test_another_tool,
          test_again, test_another_session, test_another_session_meanwhile,
          test_late, test_same_process, test_slow_helper,
          test_not_yet_adopted, test_long_name)
