/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Stopping and going on over a fake Xen: above all, that no failure leaves
 * the guest stopped, and that a running guest's registers are never touched.
 */
#include "pure-common.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dm/dm.h"
#include "fake-xen.h"
#include "hv/hv-xen.h"
#include "hv/watchdog.h"

struct setup {
    struct colo_hv *hv;
    const struct colo_hv_ops *ops;
    struct colo_error err;
};

static void begin(struct setup *t)
{
    memset(t, 0, sizeof(*t));
    t->hv = fake_xen_start("guest");
    t->ops = colo__hv_ops(t->hv);
}

static void end(struct setup *t)
{
    t->ops->close(t->hv);
    ck_assert_uint_eq(fake.subscribed, 0);
    ck_assert(!fake.locked);
}

static void stop(struct setup *t)
{
    ck_assert_int_eq(t->ops->stop->request(t->hv, &t->err), 0);
    ck_assert_str_eq(fake.control, "suspend");
    ck_assert_uint_eq(fake_xen_poll(t->hv), 0);
    fake_xen_suspend();
    ck_assert_uint_eq(fake_xen_poll(t->hv), COLO_HV_EV_STOPPED);
}

static void resume(struct setup *t)
{
    ck_assert_int_eq(t->ops->stop->resume(t->hv, &t->err), 0);
    ck_assert(!fake.shutdown);
    ck_assert_uint_eq(fake.rax, 1);
}

START_TEST(test_cycle)
{
    struct setup t;

    begin(&t);
    for (int i = 1; i <= 3; i++) {
        stop(&t);
        ck_assert_uint_eq(fake.rax, 0);
        resume(&t);
        ck_assert_int_eq(fake.resumes, i);
        ck_assert_int_eq(fake.setcontexts, i);
        /* fine on a running guest, and does nothing to it */
        ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), 0);
        ck_assert_int_eq(fake.setcontexts, i);
    }
    ck_assert_int_eq(fake.ports, 1);
    ck_assert_int_eq(fake.xs_resumes, 0);
    end(&t);
}
END_TEST

static int poll_error(struct setup *t)
{
    struct colo_hv_event event;

    fake.fired = COLO_XEN_TOKEN_PLUG;
    ck_assert_int_eq(write(fake.watch_fd[1], "x", 1), 1);
    return t->ops->poll(t->hv, &event, &t->err);
}

/* A device comes or goes: the replica does not match any more.  One that is
 * about to be destroyed has lost nothing that counts. */
START_TEST(test_plugged)
{
    struct setup t;

    begin(&t);
    ck_assert_int_eq(poll_error(&t), 0);
    stop(&t);
    fake.unplugged = 1;
    ck_assert_int_eq(poll_error(&t), COLO_E_STATE);
    ck_assert_ptr_nonnull(strstr(t.err.text, "detached a device"));
    resume(&t);
    fake.paused = true;
    ck_assert_int_eq(poll_error(&t), 0);
    fake.paused = false;
    fake.dying = true;
    ck_assert_int_eq(poll_error(&t), 0);
    fake.dying = false;
    fake.gone = true;
    ck_assert_int_eq(poll_error(&t), 0);
    fake.gone = false;
    end(&t);
    begin(&t);
    fake.exchanged = true;
    ck_assert_int_eq(poll_error(&t), COLO_E_STATE);
    ck_assert_ptr_nonnull(strstr(t.err.text, "exchanged a device"));
    end(&t);
    /* a CD is put in, and taken out again */
    begin(&t);
    fake.medium = "";
    ck_assert_int_eq(colo__hv_xen_plug_watch(colo__hv_xen(t.hv), &t.err), 0);
    ck_assert_int_eq(poll_error(&t), 0);
    fake.medium = "/srv/a.iso";
    ck_assert_int_eq(poll_error(&t), COLO_E_STATE);
    ck_assert_ptr_nonnull(strstr(t.err.text, "its medium"));
    fake.medium = "";
    ck_assert_int_eq(poll_error(&t), 0);
    end(&t);
    begin(&t);
    colo__hv_xen(t.hv)->plug.count = 1;
    ck_assert_int_eq(poll_error(&t), COLO_E_STATE);
    ck_assert_ptr_nonnull(strstr(t.err.text, "attached a device"));
    end(&t);
}
END_TEST

/* the guest's port is used again by the next session */
START_TEST(test_old_port)
{
    struct setup t;
    char port[16];

    begin(&t);
    stop(&t);
    resume(&t);
    memcpy(port, fake.old_port, sizeof(port));
    end(&t);
    ck_assert_str_eq(port, "50");
    begin(&t);
    memcpy(fake.old_port, port, sizeof(port));
    stop(&t);
    ck_assert_int_eq(fake.ports, 0);
    resume(&t);
    end(&t);
    begin(&t);
    /* closed meanwhile: a kexec */
    snprintf(fake.old_port, sizeof(fake.old_port), "51");
    stop(&t);
    ck_assert_int_eq(fake.ports, 1);
    resume(&t);
    end(&t);
    begin(&t);
    /* or a dead session's, which is not yet unbound, and is published */
    snprintf(fake.old_port, sizeof(fake.old_port), "51");
    snprintf(fake.channel, sizeof(fake.channel), "51");
    stop(&t);
    ck_assert_str_eq(fake.old_port, "50");
    ck_assert_str_eq(fake.channel, "50");
    resume(&t);
    end(&t);
    ck_assert_str_eq(fake.channel, "");
}
END_TEST

/* libxl's lock is held, and libxl made to ask for it, while we suspend */
START_TEST(test_excludes_others)
{
    struct setup t;

    begin(&t);
    ck_assert(!fake.locked);
    stop(&t);
    ck_assert(fake.locked);
    ck_assert_str_eq(fake.channel, "50");
    ck_assert_uint_eq(fake.subscribed, 50);
    resume(&t);
    ck_assert(fake.locked);
    end(&t);
    ck_assert_str_eq(fake.channel, "");

    /* the guest has a channel of its own, which stays */
    begin(&t);
    snprintf(fake.channel, sizeof(fake.channel), "9");
    stop(&t);
    resume(&t);
    ck_assert_str_eq(fake.channel, "9");
    end(&t);
    ck_assert_str_eq(fake.channel, "9");
}
END_TEST

START_TEST(test_excluded_by_others)
{
    struct setup t;

    begin(&t);
    fake.foreign_lock = true;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), COLO_E_EXISTS);
    ck_text(t.err, "another tool is saving or migrating domain 7");
    ck_assert_str_eq(fake.control, "");
    ck_assert_str_eq(fake.channel, "");
    fake.foreign_lock = false;
    stop(&t);
    resume(&t);
    end(&t);
}
END_TEST

/* one line of a helper that is under way */
static int helper_says(struct setup *t, int what, const char *line)
{
    struct colo_xen_child *child = &colo__hv_xen(t->hv)->child;
    struct colo_hv_event event = { 0 };
    int p[2], rc;

    ck_assert_int_eq(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_gt(write(p[1], line, strlen(line)), 0);
    child->pid = 1;
    child->what = what;
    child->report_fd = p[0];
    rc = colo__hv_xen_life_poll(colo__hv_xen(t->hv), &event, &t->err);
    child->pid = 0;
    child->report_fd = -1;
    close(p[0]);
    close(p[1]);
    return rc;
}

/* From the seed's first pages on: libxl has looked at the lock by then, and
 * hears of suspends from xenstored, as without us. */
START_TEST(test_excludes_others_while_seeding)
{
    struct setup t;

    begin(&t);
    ck_assert_int_eq(helper_says(&t, COLO_XEN_CHILD_SAVE, "warning w\n"), 0);
    ck_assert(!fake.locked);
    ck_assert_int_eq(helper_says(&t, COLO_XEN_CHILD_END, "progress 5 9\n"), 0);
    ck_assert(!fake.locked);
    ck_assert_int_eq(helper_says(&t, COLO_XEN_CHILD_SAVE, "progress 5 9\n"),
                     0);
    ck_assert(fake.locked);
    ck_assert_str_eq(fake.channel, "50");
    ck_assert_uint_eq(fake.subscribed, 0);
    end(&t);

    begin(&t);
    fake.foreign_lock = true;
    ck_assert_int_eq(helper_says(&t, COLO_XEN_CHILD_SAVE, "progress 5 9\n"),
                     COLO_E_EXISTS);
    end(&t);
}
END_TEST

/* Somebody lets the guest go on while it is copied: that is no state of it. */
START_TEST(test_resumed_by_others)
{
    uint8_t state[8192];
    struct setup t;
    uint32_t len;

    begin(&t);
    stop(&t);
    ck_assert_int_eq(t.ops->machine->get(t.hv, state, sizeof(state), &len,
                                         &t.err), 0);
    fake.shutdown = false;
    ck_assert_int_eq(t.ops->machine->get(t.hv, state, sizeof(state), &len,
                                         &t.err), COLO_E_GUEST);
    ck_text(t.err, "somebody has resumed domain 7");
    end(&t);
}
END_TEST

/* "xl save" is refused, and resumes what it takes for its own suspend. */
START_TEST(test_resumed_before_we_look)
{
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    fake_xen_suspend();
    fake.shutdown = false;
    ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
    ck_assert_str_eq(fake.control, "suspend");
    fake_xen_suspend();
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_STOPPED);
    resume(&t);
    /* without PV drivers it stands still at once */
    fake.hvm_no_pv = true;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    fake.shutdown = false;
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_STOPPED);
    ck_assert_int_eq(fake.shutdowns, 2);
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), 0);
    end(&t);
}
END_TEST

/* An event of the stop before asks for nothing. */
START_TEST(test_old_event)
{
    struct setup t;

    begin(&t);
    stop(&t);
    resume(&t);
    ck_assert_int_eq(write(fake.evtchn_fd[1], "e", 1), 1);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    fake.control[0] = 0; /* the guest has read it */
    ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
    ck_assert_str_eq(fake.control, "");
    fake_xen_suspend();
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_STOPPED);
    resume(&t);
    end(&t);
}
END_TEST

START_TEST(test_wide_registers)
{
    struct setup t;

    begin(&t);
    fake.xstate = 0x1234;
    stop(&t);
    resume(&t);
    /* nothing to keep on a CPU without: the fake forgets them */
    ck_assert_uint_eq(fake.xstate, 0);
    fake.xstate_wide = true;
    fake.xstate = 0x5678;
    stop(&t);
    resume(&t);
    ck_assert_uint_eq(fake.xstate, 0x5678);
    end(&t);
}
END_TEST

/* A guest whose devices do not go on, and cannot be asked again. */
static int no_cont(struct colo_dm *dm, struct colo_error *err)
{
    (void)dm;
    return colo__fail(err, COLO_E_TIMEOUT, 0, "dm", "no answer");
}

static int fine(struct colo_dm *dm, struct colo_error *err)
{
    (void)dm, (void)err;
    return 0;
}

static int fine_log(struct colo_dm *dm, int on, struct colo_error *err)
{
    (void)dm, (void)on, (void)err;
    return 0;
}

static void no_close(struct colo_dm *dm)
{
    (void)dm;
}

/* its connection: one end of a pair */
static int model_ends[2] = { -1, -1 };

static int model_fd(struct colo_dm *dm)
{
    (void)dm;
    return model_ends[0];
}

static bool model_gone(struct colo_dm *dm)
{
    struct pollfd pfd = { model_ends[0], POLLRDHUP, 0 };

    (void)dm;
    return model_ends[0] >= 0 && poll(&pfd, 1, 0) == 1;
}

static const struct colo_dm_ops dead_model = {
    .close = no_close, .dirty_log = fine_log, .stop = fine, .cont = no_cont,
    .fd = model_fd, .gone = model_gone,
};

/* Its end is told once; and it says that the guest cannot go on, unless somebody
 * is about to destroy that, or it has shut down. */
START_TEST(test_devices_end)
{
    const struct colo_dm_ops *dm = &dead_model;
    struct epoll_event ev = { .events = EPOLLRDHUP };
    struct colo_hv_xen *hv;
    struct setup t;

    begin(&t);
    hv = colo__hv_xen(t.hv);
    ck_assert(!t.ops->life->crippled(t.hv));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, model_ends), 0);
    hv->devices.has_model = true;
    hv->devices.dm = (struct colo_dm *)&dm;
    ev.data.fd = model_ends[0];
    ck_assert_int_eq(epoll_ctl(hv->epoll_fd, EPOLL_CTL_ADD, model_ends[0],
                               &ev), 0);
    ck_assert_int_eq(write(model_ends[1], "event", 5), 5);
    ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
    ck_assert(!t.ops->life->crippled(t.hv));
    close(model_ends[1]);
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_DEVICES);
    ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
    ck_assert_int_eq(epoll_wait(hv->epoll_fd, &ev, 1, 0), 0);
    ck_assert(t.ops->life->crippled(t.hv));
    fake.paused = true;
    ck_assert(!t.ops->life->crippled(t.hv));
    hv->is_secondary = true; /* a replica is */
    ck_assert(t.ops->life->crippled(t.hv));
    hv->is_secondary = fake.paused = false;
    fake_xen_suspend();
    ck_assert(t.ops->life->crippled(t.hv));
    fake.reason = COLO_HV_POWEROFF;
    ck_assert(!t.ops->life->crippled(t.hv));
    fake.shutdown = false;
    fake.dying = true;
    ck_assert(!t.ops->life->crippled(t.hv));
    fake.dying = false;
    /* and nothing brings it back */
    hv->devices.dm = NULL;
    ck_assert_int_eq(colo__hv_xen_devices_open(hv, &t.err), COLO_E_HV);
    ck_text(t.err, "QEMU");
    ck_assert(t.ops->life->crippled(t.hv));
    close(model_ends[0]);
    model_ends[0] = model_ends[1] = -1;
    end(&t);
}
END_TEST

START_TEST(test_runs_without_devices)
{
    const struct colo_dm_ops *dm = &dead_model;
    struct colo_hv_xen *hv;
    struct setup t;

    begin(&t);
    hv = colo__hv_xen(t.hv);
    hv->devices.has_model = true;
    hv->devices.dm = (struct colo_dm *)&dm;
    stop(&t);
    ck_assert_int_ne(t.ops->stop->resume(t.hv, &t.err), 0);
    ck_assert(!fake.shutdown);
    ck_assert_uint_eq(fake.rax, 1);
    /* it is still known that they stand still */
    ck_assert_int_ne(t.ops->stop->resume(t.hv, &t.err), 0);
    ck_assert_int_eq(fake.resumes, 1);
    hv->devices.has_model = false;
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), 0);
    end(&t);
}
END_TEST

/* of a QEMU with an e1000 card */
enum { LONG_STATE = 170000 };

static int long_save(struct colo_dm *dm, uint8_t *buf, uint32_t cap,
                     uint32_t *ret_len, struct colo_error *err)
{
    (void)dm;
    *ret_len = LONG_STATE;
    if (cap < LONG_STATE)
        return colo__fail(err, COLO_E_LIMIT, 0, "dm", "no room");
    memset(buf, 1, LONG_STATE);
    return 0;
}

static const struct colo_dm_ops long_model = {
    .close = no_close, .dirty_log = fine_log, .stop = fine, .cont = fine,
    .fd = model_fd, .gone = model_gone, .save = long_save,
};

/* A guess, what it really takes, and then it is taken: three tries are all that
 * a checkpoint has.  Xen's own part takes less than Xen says. */
START_TEST(test_long_state)
{
    const struct colo_dm_ops *dm = &long_model;
    uint32_t cap = 8192, len = 0;
    uint8_t *state = NULL;
    struct colo_hv_xen *hv;
    struct setup t;
    int rc = COLO_E_LIMIT;

    begin(&t);
    hv = colo__hv_xen(t.hv);
    hv->devices.has_model = true;
    hv->devices.dm = (struct colo_dm *)&dm;
    stop(&t);
    for (int tries = 0; tries < 3 && rc == COLO_E_LIMIT; tries++) {
        state = realloc(state, cap);
        ck_assert_ptr_nonnull(state);
        rc = t.ops->machine->get(t.hv, state, cap, &len, &t.err);
        cap = len;
    }
    ck_assert_msg(!rc, "%s", t.err.text);
    ck_assert_uint_gt(len, LONG_STATE);
    ck_assert_uint_eq(state[len - 1], 1);
    free(state);
    resume(&t);
    hv->devices.has_model = false;
    end(&t);
}
END_TEST

START_TEST(test_resume_is_tried_again)
{
    struct setup t;

    begin(&t);
    stop(&t);
    fake.fail_setcontext = ENOMEM;
    fake.fail_setcontext_times = 1;
    fake.fail_resume_times = 1;
    resume(&t);
    /* and what goes on failing is an error, and close tries once more */
    stop(&t);
    fake.fail_resume_times = 3;
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), COLO_E_NOMEM);
    ck_assert(fake.shutdown);
    end(&t);
    ck_assert(!fake.shutdown);
    ck_assert_uint_eq(fake.rax, 1);
}
END_TEST

START_TEST(test_close_while_stopped)
{
    struct setup t;

    begin(&t);
    stop(&t);
    end(&t);
    ck_assert(!fake.shutdown);
    ck_assert_uint_eq(fake.rax, 1);
}
END_TEST

START_TEST(test_close_while_asked)
{
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    end(&t);
    ck_assert_str_eq(fake.control, "");
    ck_assert_int_eq(fake.setcontexts, 0);
}
END_TEST

START_TEST(test_cancel)
{
    bool stopped = true;
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    ck_assert_int_eq(t.ops->stop->cancel(t.hv, &stopped, &t.err), 0);
    ck_assert(!stopped);
    ck_assert_str_eq(fake.control, "");
    /* and again, as if nothing had been */
    stop(&t);
    resume(&t);
    /* nothing asked: nothing of somebody else's is taken back */
    snprintf(fake.control, sizeof(fake.control), "suspend");
    ck_assert_int_eq(t.ops->stop->cancel(t.hv, &stopped, &t.err), 0);
    ck_assert_str_eq(fake.control, "suspend");
    end(&t);
}
END_TEST

/* The answer comes between the look and the commit. */
START_TEST(test_cancel_at_the_last_minute)
{
    bool stopped = false;
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    fake.ack_in_transaction = true;
    ck_assert_int_eq(t.ops->stop->cancel(t.hv, &stopped, &t.err), 0);
    ck_assert(stopped);
    resume(&t);
    end(&t);
}
END_TEST

/* It has said yes and takes its time; nobody waits for it any more. */
START_TEST(test_cancel_too_late)
{
    bool stopped = true;
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    fake.control[0] = 0;
    ck_assert_int_eq(t.ops->stop->cancel(t.hv, &stopped, &t.err), 0);
    ck_assert(!stopped);
    fake_xen_suspend();
    ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
    ck_assert(!fake.shutdown);
    ck_assert_uint_eq(fake.rax, 1);
    end(&t);
}
END_TEST

/* kexec in the guest: no event any more; noticed at the deadline */
START_TEST(test_channel_reset)
{
    bool stopped = false;
    struct setup t;

    begin(&t);
    stop(&t);
    resume(&t);
    fake.evtchn_dead = true;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    fake_xen_suspend();
    ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
    ck_assert_int_eq(t.ops->stop->cancel(t.hv, &stopped, &t.err), 0);
    ck_assert(stopped);
    resume(&t);
    stop(&t);
    resume(&t);
    end(&t);
}
END_TEST

START_TEST(test_others)
{
    struct setup t;

    begin(&t);
    fake.shutdown = true;
    fake.reason = COLO_HV_POWEROFF;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), COLO_E_GUEST);
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), 0);
    ck_assert(fake.shutdown);
    fake.reason = COLO_HV_SUSPEND;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), COLO_E_STATE);
    fake.shutdown = false;
    fake.dying = true;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), COLO_E_GUEST);
    fake.gone = true;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), COLO_E_GUEST);
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), COLO_E_GUEST);
    end(&t);
}
END_TEST

START_TEST(test_no_pv_drivers)
{
    struct setup t;

    begin(&t);
    fake.hvm_no_pv = true;
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    ck_assert_int_eq(fake.shutdowns, 1);
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_STOPPED);
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), 0);
    ck_assert_int_eq(fake.setcontexts, 0);
    ck_assert(!fake.shutdown);
    end(&t);
}
END_TEST

/* another tool's suspend is seen as well, once */
START_TEST(test_somebody_elses)
{
    struct setup t;

    begin(&t);
    stop(&t);
    resume(&t);
    fake_xen_suspend();
    ck_assert_uint_eq(fake_xen_poll(t.hv), COLO_HV_EV_STOPPED);
    ck_assert_uint_eq(fake_xen_poll(t.hv), 0);
    resume(&t);
    end(&t);
}
END_TEST

static void release(struct setup *t, uint32_t events)
{
    fake.fired = "release";
    ck_assert_int_eq(write(fake.watch_fd[1], "w", 1), 1);
    ck_assert_uint_eq(fake_xen_poll(t->hv), events);
}

START_TEST(test_end_of_guest)
{
    struct colo_hv_info info;
    struct setup t;

    begin(&t);
    /* somebody else's end; xenstored may have seen ours stand still */
    release(&t, 0);
    ck_assert_int_eq(fake.xs_resumes, 1);
    stop(&t);
    release(&t, 0);
    ck_assert_int_eq(fake.xs_resumes, 1);
    resume(&t);
    ck_assert_int_eq(fake.xs_resumes, 2);
    fake.shutdown = true;
    fake.reason = COLO_HV_REBOOT;
    release(&t, COLO_HV_EV_GUEST);
    release(&t, 0);
    ck_assert_int_eq(t.ops->info(t.hv, &info, &t.err), 0);
    ck_assert_int_eq(info.state, COLO_HV_SHUTDOWN);
    ck_assert_int_eq(info.reason, COLO_HV_REBOOT);
    ck_assert_str_eq(info.name, "guest");
    fake.gone = true;
    ck_assert_int_eq(t.ops->info(t.hv, &info, &t.err), 0);
    ck_assert_int_eq(info.state, COLO_HV_GONE);
    end(&t);
}
END_TEST

/* What the watchdog does for a session that was killed while it ended its guest
 * for the peer. */
START_TEST(test_yield)
{
    static const char uuid[] = "00000000-0000-0000-0000-000000000000";
    static const char other[] = "00000000-0000-0000-0000-000000000001";
    struct setup t;

    begin(&t);
    t.ops->close(t.hv);
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    ck_assert_int_eq(colo__hv_xen_yield(FAKE_DOMID, other, NULL, &t.err),
                     COLO_E_NOTFOUND);
    ck_assert_int_eq(fake.pauses + fake.destroys, 0);
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    ck_assert_int_eq(colo__hv_xen_yield(FAKE_DOMID, uuid, NULL, &t.err), 0);
    ck_assert_int_eq(fake.pauses, 2); /* at once, and by the destroy */
    ck_assert_int_eq(fake.unpauses, 0);
    ck_assert_int_eq(fake.destroys, 1);
    ck_assert(fake.gone);
    ck_assert_int_eq(pipe(fake.evtchn_fd), 0);
    fake.gone = false;
    ck_assert_int_eq(colo__hv_xen_yield(99, uuid, NULL, &t.err),
                     COLO_E_NOTFOUND);
}
END_TEST

/* The session lets go on whatever stands still, which it does not yet. */
START_TEST(test_late_after_resume)
{
    bool stopped = true;
    struct setup t;

    begin(&t);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    fake.control[0] = 0;
    ck_assert_int_eq(t.ops->stop->cancel(t.hv, &stopped, &t.err), 0);
    ck_assert(!stopped);
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), 0);
    ck_assert_int_eq(fake.setcontexts, 0);
    fake_xen_suspend();
    fake_xen_poll(t.hv);
    ck_assert(!fake.shutdown);
    ck_assert_uint_eq(fake.rax, 1);
    end(&t);
}
END_TEST

static void *suspends_late(void *arg)
{
    (void)arg;
    usleep(1500000);
    fake_xen_suspend();
    return NULL;
}

START_TEST(test_late_at_close)
{
    bool stopped = true;
    struct setup t;
    pthread_t th;

    begin(&t);
    ck_assert_int_eq(t.ops->stop->request(t.hv, &t.err), 0);
    fake.control[0] = 0;
    ck_assert_int_eq(t.ops->stop->cancel(t.hv, &stopped, &t.err), 0);
    ck_assert_int_eq(t.ops->stop->resume(t.hv, &t.err), 0);
    pthread_create(&th, NULL, suspends_late, NULL);
    end(&t);
    pthread_join(th, NULL);
    ck_assert(!fake.shutdown);
}
END_TEST

PURE_MAIN("hv-xen-stop", test_cycle, test_plugged, test_old_port,
          test_excludes_others, test_excludes_others_while_seeding,
          test_excluded_by_others, test_resumed_by_others,
          test_resumed_before_we_look, test_old_event, test_wide_registers,
          test_devices_end, test_runs_without_devices,
          test_long_state,
          test_resume_is_tried_again, test_close_while_stopped,
          test_close_while_asked, test_cancel, test_cancel_at_the_last_minute,
          test_cancel_too_late, test_channel_reset, test_others,
          test_no_pv_drivers, test_somebody_elses, test_end_of_guest,
          test_yield, test_late_after_resume,
          test_late_at_close)
