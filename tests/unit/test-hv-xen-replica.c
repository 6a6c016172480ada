/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A replica that runs, over a fake Xen: it goes on from wherever it stands, and
 * no write of it is missed; it is a copy until it is the guest.
 */
#include "pure-common.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xenctrl.h>

#include "dm/dm.h"
#include "fake-xen.h"
#include "hv/hv-xen.h"
#include "hv/watchdog.h"

#define HOLE 1600 /* a frame without memory */

/* its device model: stops after the processors, goes on before them */
struct model {
    const struct colo_dm_ops *ops;
    bool runs, logs, resumed;
};

static int model_stop(struct colo_dm *dm, struct colo_error *err)
{
    (void)err;
    ck_assert(fake.shutdown || fake.paused);
    ((struct model *)dm)->runs = false;
    return 0;
}

static int model_cont(struct colo_dm *dm, struct colo_error *err)
{
    struct model *model = (struct model *)dm;

    (void)err;
    ck_assert(model->runs || fake.shutdown || fake.paused);
    model->runs = true;
    return 0;
}

static int model_log(struct colo_dm *dm, int on, struct colo_error *err)
{
    (void)err;
    ((struct model *)dm)->logs = on;
    return 0;
}

static void model_close(struct colo_dm *dm)
{
    (void)dm;
}

static int model_fd(struct colo_dm *dm)
{
    (void)dm;
    return -1;
}

static bool model_gone(struct colo_dm *dm)
{
    (void)dm;
    return false;
}

static bool model_resumed(struct colo_dm *dm)
{
    return ((struct model *)dm)->resumed;
}

static const struct colo_dm_ops model_ops = {
    .close = model_close,
    .dirty_log = model_log,
    .stop = model_stop,
    .cont = model_cont,
    .resumed = model_resumed,
    .fd = model_fd,
    .gone = model_gone,
};

struct setup {
    struct model model;
    struct colo_hv *hv;
    const struct colo_hv_ops *ops;
    struct colo_bitmap bm;
    struct colo_error err;
};

static void begin(struct setup *t)
{
    memset(t, 0, sizeof(*t));
    t->hv = fake_xen_start(NULL);
    t->ops = colo__hv_ops(t->hv);
    colo__bitmap_init(&t->bm);
    ck_assert_int_eq(t->ops->life->run(t->hv, &t->err), COLO_E_STATE);
    fake.paused = fake.hvm_no_pv = fake.incoming = true;
    ck_assert_int_eq(colo__hv_xen_adopt(colo__hv_xen(t->hv), FAKE_DOMID,
                                        &t->err), 0);
    t->model.ops = &model_ops;
    colo__hv_xen(t->hv)->devices.has_model = true;
    colo__hv_xen(t->hv)->devices.dm = (struct colo_dm *)&t->model;
}

static void end(struct setup *t)
{
    colo__bitmap_fini(&t->bm);
    t->ops->close(t->hv);
    ck_assert_uint_eq(fake.subscribed, 0);
}

/* as a toolstack makes it: paused, once, beside a device model that goes on */
static void seeded(struct setup *t, bool hvm)
{
    char dir[] = "/tmp/colo-replica.XXXXXX", path[64];
    struct colo_hv_xen *hv;
    uint32_t events = 0;
    FILE *f;

    memset(t, 0, sizeof(*t));
    t->hv = fake_xen_start(NULL);
    t->ops = colo__hv_ops(t->hv);
    colo__bitmap_init(&t->bm);
    fake.paused = fake.incoming = true;
    fake.hvm_no_pv = fake.emulated = hvm;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    hv = colo__hv_xen(t->hv);
    t->model = (struct model){ .ops = &model_ops, .runs = true };
    hv->devices.dm = (struct colo_dm *)&t->model;
    free(hv->libexecdir);
    hv->libexecdir = strdup(dir);
    snprintf(path, sizeof(path), "%s/colo-toolstack", dir);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "#!/bin/sh\n[ $1 = start ] || echo domid %d >&3\n"
            "echo done >&3\n", FAKE_DOMID);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, 0700), 0);
    ck_assert_int_eq(t->ops->life->seed_in(t->hv, open("/dev/null", O_RDONLY),
                                           &t->err), 0);
    for (int i = 0; i < 3000 && !(events & COLO_HV_EV_SEEDED); i++) {
        events |= fake_xen_poll(t->hv);
        poll(NULL, 0, 10);
    }
    ck_assert(events & COLO_HV_EV_SEEDED);
    unlink(path);
    rmdir(dir);
}

static int state(struct setup *t)
{
    struct colo_hv_info info;

    ck_assert_int_eq(t->ops->info(t->hv, &info, &t->err), 0);
    return info.state;
}

static void run(struct setup *t)
{
    ck_assert_int_eq(t->ops->life->run(t->hv, &t->err), 0);
    ck_assert(!fake.paused && !fake.shutdown && fake.copy_mark);
    ck_assert(t->model.runs && t->model.logs == fake.log_dirty);
}

static void first_run(struct setup *t)
{
    ck_assert_int_eq(t->ops->track(t->hv, 1, &t->err), 0);
    run(t);
    ck_assert_int_eq(fake.unpauses, 1);
}

static void stop(struct setup *t)
{
    ck_assert_int_eq(t->ops->stop->request(t->hv, &t->err), 0);
    ck_assert(fake.shutdown);
    ck_assert_uint_eq(fake_xen_poll(t->hv), COLO_HV_EV_STOPPED);
    ck_assert(!t->model.runs);
}

static void dirty(struct setup *t)
{
    bool lost = true;

    colo__bitmap_fini(&t->bm);
    colo__bitmap_init(&t->bm);
    ck_assert_int_eq(t->ops->dirty(t->hv, &t->bm, COLO_DIRTY_CLEAN |
                                   COLO_DIRTY_FINAL, &lost, &t->err), 0);
    ck_assert(!lost);
}

static void give(struct setup *t, uint64_t gfn)
{
    static const uint8_t page[COLO_PAGE_SIZE];

    ck_assert_int_eq(t->ops->write(t->hv, &gfn, 1, page, &t->err), 0);
}

START_TEST(test_who_can_be_copied)
{
    struct setup t;

    begin(&t);
    ck_assert_int_eq(colo__hv_xen_can_copy(t.hv, &t.err), 0);
    fake.hvm_no_pv = false; /* it has loaded them meanwhile */
    ck_assert_int_eq(colo__hv_xen_can_copy(t.hv, &t.err), COLO_E_UNSUPPORTED);
    ck_text(t.err, "xen_nopv");
    ck_text(t.err, "remus");
    fake.hvm_no_pv = true;
    colo__hv_xen(t.hv)->devices.has_model = false;
    ck_assert_int_eq(colo__hv_xen_can_copy(t.hv, &t.err), COLO_E_UNSUPPORTED);
    ck_text(t.err, "PVH");
    ck_text(t.err, "remus");
    colo__hv_xen(t.hv)->devices.has_model = true;
    end(&t);
}
END_TEST

START_TEST(test_cycle)
{
    struct setup t;

    begin(&t);
    give(&t, 5);
    first_run(&t);
    for (int i = 1; i <= 3; i++) {
        fake_xen_touch(5);
        stop(&t);
        dirty(&t);
        ck_assert(colo__bitmap_test(&t.bm, 5));
        ck_assert(!colo__bitmap_test(&t.bm, 6));
        run(&t);
        ck_assert_int_eq(fake.resumes, i);
    }
    ck_assert_int_eq(fake.unpauses, 1);
    ck_assert_int_eq(fake.setcontexts, 0);
    ck_assert_int_eq(fake.shutdowns, 3);
    end(&t);
}
END_TEST

/* memory that an epoch brings: no change behind our back, and watched */
START_TEST(test_grows)
{
    struct setup t;

    begin(&t);
    first_run(&t);
    stop(&t);
    dirty(&t);
    give(&t, HOLE);
    ck_assert_int_eq(fake.populated, 1);
    run(&t);
    fake_xen_touch(HOLE);
    stop(&t);
    dirty(&t);
    ck_assert(colo__bitmap_test(&t.bm, HOLE));
    run(&t);
    end(&t);
}
END_TEST

/* it has powered itself off: the next machine state brings it back */
START_TEST(test_shut_down)
{
    struct setup t;

    begin(&t);
    first_run(&t);
    fake.shutdown = true;
    fake.reason = COLO_HV_POWEROFF;
    fake.fired = "release";
    ck_assert_int_eq(write(fake.watch_fd[1], "w", 1), 1);
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_GUEST);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_STOPPED);
    ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
    run(&t);
    ck_assert_int_eq(fake.shutdowns, 0);
    ck_assert_int_ge(fake.xs_resumes, 1);
    /* and again it is news */
    fake.shutdown = true;
    ck_assert_int_eq(write(fake.watch_fd[1], "w", 1), 1);
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_GUEST);
    end(&t);
}
END_TEST

/* a driver that the guest loads later */
START_TEST(test_pv_drivers)
{
    struct setup t;

    begin(&t);
    first_run(&t);
    fake.hvm_no_pv = false;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err),
                     COLO_E_UNSUPPORTED);
    ck_assert(!fake.shutdown && !fake.control[0]);
    end(&t);
}
END_TEST

START_TEST(test_no_devices)
{
    struct setup t;

    begin(&t);
    colo__hv_xen(t.hv)->devices.has_model = false;
    ck_assert_int_eq(t.ops->life->run(t.hv, &t.err), COLO_E_UNSUPPORTED);
    ck_assert(fake.paused && !fake.copy_mark);
    end(&t);
}
END_TEST

static void takes_over(struct setup *t)
{
    ck_assert_int_eq(t->ops->life->start(t->hv, &t->err), 0);
    ck_assert(!fake.paused && !fake.shutdown && !fake.copy_mark);
    ck_assert(t->model.runs);
    ck_assert_int_eq(t->ops->track(t->hv, 0, &t->err), 0);
    end(t);
}

START_TEST(test_start)
{
    struct setup t;
    bool stopped = false;

    /* never run: mode remus */
    begin(&t);
    takes_over(&t);
    ck_assert_int_eq(fake.unpauses, 1);
    /* it runs: without a break */
    begin(&t);
    first_run(&t);
    takes_over(&t);
    ck_assert_int_eq(fake.unpauses, 1);
    ck_assert_int_eq(fake.resumes, 0);
    /* stopped, and not given anything */
    begin(&t);
    first_run(&t);
    stop(&t);
    ck_assert_int_eq(t.ops->stop->cancel(t.hv, &stopped, &t.err), 0);
    ck_assert(stopped);
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), 0);
    takes_over(&t);
    ck_assert_int_eq(fake.resumes, 1);
    ck_assert_int_eq(fake.setcontexts, 0);
    /* stopped, and given all of an epoch */
    begin(&t);
    first_run(&t);
    stop(&t);
    takes_over(&t);
    ck_assert_int_eq(fake.resumes, 1);
}
END_TEST

/* A card that goes on would write into the memory of a guest that stands still:
 * also in mode remus, where nothing of it runs before a takeover. */
START_TEST(test_devices_stand_still)
{
    struct setup t;

    seeded(&t, true);
    ck_assert(!t.model.runs);
    /* somebody who takes the replica for a guest lets them go on */
    ck_assert_int_eq(state(&t), COLO_HV_PAUSED);
    ck_assert(!t.ops->life->devices_go_on(t.hv));
    t.model.resumed = true;
    ck_assert(t.ops->life->devices_go_on(t.hv));
    t.model.resumed = false;
    ck_assert_int_eq(t.ops->life->start(t.hv, &t.err), 0);
    ck_assert(t.model.runs);
    end(&t);
}
END_TEST

/* An operator takes the paused replica for a guest: what he can undo is one
 * pause, and the replica has more until it is the guest. */
START_TEST(test_resumed_by_hand)
{
    struct setup t;

    for (int resumes = -1; resumes <= 1; resumes++) {
        seeded(&t, false);
        ck_assert_int_eq(state(&t), COLO_HV_PAUSED);
        if (resumes > 0)
            ck_assert_int_eq(xc_domain_unpause(NULL, FAKE_DOMID), 0);
        else if (resumes < 0)
            ck_assert_int_eq(xc_domain_pause(NULL, FAKE_DOMID), 0);
        ck_assert_int_eq(state(&t), COLO_HV_PAUSED);
        ck_assert_int_eq(t.ops->life->start(t.hv, &t.err), 0);
        ck_assert_int_eq(state(&t), COLO_HV_RUNNING);
        ck_assert_int_eq(fake.more_pauses, 0);
        end(&t);
    }
    /* more often: this can be seen */
    seeded(&t, false);
    ck_assert_int_eq(xc_domain_unpause(NULL, FAKE_DOMID), 0);
    ck_assert_int_eq(xc_domain_unpause(NULL, FAKE_DOMID), 0);
    ck_assert_int_eq(state(&t), COLO_HV_RUNNING);
    ck_assert_int_eq(t.ops->life->start(t.hv, &t.err), 0);
    end(&t);
}
END_TEST

/* "virsh shutdown" of the copy: the guest that it becomes does not do that */
START_TEST(test_shutdown_by_hand)
{
    struct setup t;

    seeded(&t, false);
    strcpy(fake.control, "poweroff");
    ck_assert_int_eq(t.ops->life->start(t.hv, &t.err), 0);
    ck_assert_str_eq(fake.control, "");
    ck_assert(!fake.paused);
    end(&t);
    begin(&t);
    strcpy(fake.control, "reboot");
    first_run(&t);
    ck_assert_str_eq(fake.control, "");
    /* of one that runs it is the guest's, as far as anybody knows */
    strcpy(fake.control, "poweroff");
    takes_over(&t);
    ck_assert_str_eq(fake.control, "poweroff");
}
END_TEST

static int drop(bool *ret_guest)
{
    struct colo_error err;

    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    return colo__hv_xen_drop_replica(FAKE_DOMID, NULL, ret_guest, &err);
}

/* Its session was killed: a copy goes, a guest stays. */
START_TEST(test_dropped)
{
    bool guest = true;
    struct setup t;

    begin(&t);
    first_run(&t);
    end(&t);
    /* there is no helper; but it cannot run any more */
    ck_assert_int_eq(drop(&guest), 0);
    ck_assert(!guest);
    ck_assert_int_eq(fake.destroys, 1);
    ck_assert_int_eq(fake.pauses, 1); /* before anybody is asked to end it */
    begin(&t);
    first_run(&t);
    takes_over(&t);
    ck_assert_int_eq(drop(&guest), 0);
    ck_assert(guest);
    ck_assert_int_eq(fake.destroys, 0);
    /* killed before it had let it go on */
    fake_xen_suspend();
    ck_assert_int_eq(drop(&guest), 0);
    ck_assert(guest && !fake.shutdown);
    ck_assert_int_eq(fake.destroys, 0);
}
END_TEST

/* libvirt made it under the guest's own name: it is a copy while it is paused
 * and bears the mark, and the session takes the mark away at a takeover */
START_TEST(test_own_name)
{
    bool guest = false;
    struct setup t;

    begin(&t);
    end(&t);
    fake.incoming = false;
    ck_assert_int_eq(drop(&guest), 0);
    ck_assert_int_eq(fake.destroys, 0);
    fake.copy_mark = true;
    fake.paused = false;
    ck_assert_int_eq(drop(&guest), 0);
    ck_assert_int_eq(fake.destroys, 0);
    fake.paused = true;
    ck_assert(guest);
    ck_assert_int_eq(drop(&guest), 0);
    ck_assert(!guest);
    ck_assert_int_eq(fake.destroys, 1);
}
END_TEST

PURE_MAIN("hv-xen-replica", test_who_can_be_copied, test_cycle,
          test_grows, test_shut_down,
          test_pv_drivers, test_no_devices, test_start,
          test_devices_stand_still, test_resumed_by_hand,
          test_shutdown_by_hand, test_dropped,
          test_own_name)
