/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Stop, cancel and resume of the simulated guest, its ends, and that its vCPU
 * process and watchdog survive the death of the process that runs the
 * session.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "sim-pair.h"

static int32_t state_of(const struct sim_guest *guest)
{
    struct sim_look look;

    sim_guest_look(guest, &look);
    return look.state;
}

static void nap(int ms)
{
    struct timespec ts = { .tv_nsec = ms * 1000000L };

    nanosleep(&ts, NULL);
}

static void started(struct sim_pair *p)
{
    sim_pair_start(p);
    ck_assert(sim_guest_wait_steps(p->guest, 3, 5000));
}

START_TEST(stands_still)
{
    struct sim_pair p;
    struct sim_look a, b;

    sim_pair_init(&p);
    p.config.stop_delay_us = 3000;
    started(&p);
    sim_ok(&p, colo__hv_ops(p.hv)->stop->request(p.hv, &p.err));
    ck_assert_uint_eq(sim_wait(&p, p.hv, COLO_HV_EV_STOPPED),
                      COLO_HV_EV_STOPPED);
    sim_guest_look(p.guest, &a);
    nap(5);
    sim_guest_look(p.guest, &b);
    ck_assert_uint_eq(a.steps, b.steps);
    ck_assert_int_eq(b.state, COLO_HV_STOPPED);
    sim_ok(&p, colo__hv_ops(p.hv)->stop->resume(p.hv, &p.err));
    ck_assert(sim_guest_wait_steps(p.guest, a.steps + 3, 5000));
    sim_pair_fini(&p);
}
END_TEST

/* Whatever cancel says, after the resume that follows it the guest runs and
 * no late answer stops it. */
START_TEST(cancel_races_with_the_answer)
{
    struct sim_pair p;
    const struct colo_stop_ops *stop;
    uint32_t late = 0;
    bool stopped;

    sim_pair_init(&p);
    p.config.step_us = 20;
    p.config.stop_delay_us = 100;
    started(&p);
    stop = colo__hv_ops(p.hv)->stop;
    for (int i = 0; i < 400; i++) {
        uint64_t until = colo__now_us(&colo__clock_monotonic) + 60;

        sim_ok(&p, stop->request(p.hv, &p.err));
        while (colo__now_us(&colo__clock_monotonic) < until)
            ;
        sim_ok(&p, stop->cancel(p.hv, &stopped, &p.err));
        late += stopped;
        if (stopped)
            sim_ok(&p, stop->resume(p.hv, &p.err));
        ck_assert_int_eq(state_of(p.guest), COLO_HV_RUNNING);
    }
    nap(5);
    ck_assert_int_eq(state_of(p.guest), COLO_HV_RUNNING);
    ck_assert_msg(late > 0 && late < 400, "%u of 400 stopped", late);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(stop_never_answers)
{
    struct sim_pair p;
    struct pollfd pfd = { .events = POLLIN };
    bool stopped;

    sim_pair_init(&p);
    started(&p);
    sim_guest_stuck(p.guest, true);
    sim_ok(&p, colo__hv_ops(p.hv)->stop->request(p.hv, &p.err));
    pfd.fd = colo__hv_ops(p.hv)->fd(p.hv);
    ck_assert_int_eq(poll(&pfd, 1, 20), 0);
    sim_ok(&p, colo__hv_ops(p.hv)->stop->cancel(p.hv, &stopped, &p.err));
    ck_assert(!stopped);
    sim_guest_stuck(p.guest, false);
    nap(5);
    ck_assert_int_eq(state_of(p.guest), COLO_HV_RUNNING);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(somebody_else_stops_it)
{
    struct sim_pair p;

    sim_pair_init(&p);
    started(&p);
    sim_guest_suspend(p.guest);
    ck_assert_uint_eq(sim_wait(&p, p.hv, COLO_HV_EV_STOPPED),
                      COLO_HV_EV_STOPPED);
    ck_assert_int_eq(state_of(p.guest), COLO_HV_STOPPED);
    /* a request finds it so, and says so */
    sim_ok(&p, colo__hv_ops(p.hv)->stop->request(p.hv, &p.err));
    sim_wait(&p, p.hv, COLO_HV_EV_STOPPED);
    sim_ok(&p, colo__hv_ops(p.hv)->stop->resume(p.hv, &p.err));
    ck_assert_int_eq(state_of(p.guest), COLO_HV_RUNNING);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(guest_ends)
{
    struct sim_pair p;
    const struct colo_hv_ops *ops;
    struct colo_hv_info info;
    uint32_t domid;

    sim_pair_init(&p);
    started(&p);
    ops = colo__hv_ops(p.hv);
    sim_ok(&p, ops->info(p.hv, &info, &p.err));
    domid = info.domid;
    ck_assert_int_lt(ops->life->end_guest(p.hv, COLO_HV_REBOOT, &p.err), 0);
    sim_guest_shutdown(p.guest, COLO_HV_REBOOT);
    ck_assert_uint_eq(sim_wait(&p, p.hv, COLO_HV_EV_GUEST), COLO_HV_EV_GUEST);
    sim_ok(&p, ops->info(p.hv, &info, &p.err));
    ck_assert_int_eq(info.state, COLO_HV_SHUTDOWN);
    ck_assert_int_eq(info.reason, COLO_HV_REBOOT);
    sim_ok(&p, ops->life->end_guest(p.hv, COLO_HV_REBOOT, &p.err));
    sim_wait(&p, p.hv, COLO_HV_EV_ENDED);
    sim_ok(&p, ops->info(p.hv, &info, &p.err));
    ck_assert_int_eq(info.state, COLO_HV_RUNNING);
    ck_assert_uint_ne(info.domid, domid);
    ck_assert(sim_guest_wait_steps(p.guest, 3, 5000));
    sim_guest_shutdown(p.guest, COLO_HV_POWEROFF);
    sim_wait(&p, p.hv, COLO_HV_EV_GUEST);
    sim_ok(&p, ops->life->end_guest(p.hv, COLO_HV_POWEROFF, &p.err));
    sim_wait(&p, p.hv, COLO_HV_EV_ENDED);
    sim_ok(&p, ops->info(p.hv, &info, &p.err));
    ck_assert_int_eq(info.state, COLO_HV_GONE);
    ck_assert_int_eq(ops->stop->request(p.hv, &p.err), COLO_E_GUEST);
    sim_pair_fini(&p);
}
END_TEST

START_TEST(seed_fails_and_ends)
{
    struct sim_pair p;
    struct colo_hv_event ev;
    int fds[2], rc = 0;

    sim_pair_init(&p);
    started(&p);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    sim_ok(&p, colo__hv_ops(p.hv)->life->seed_out(p.hv, fds[0], &p.err));
    close(fds[1]);
    for (int i = 0; i < 500 && !rc; i++, nap(1))
        rc = colo__hv_ops(p.hv)->poll(p.hv, &ev, &p.err);
    ck_assert_int_eq(rc, COLO_E_PEER);
    ck_text(p.err, "seed");
    /* one that nobody reads: resume and close end it, and in time */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    sim_ok(&p, colo__hv_ops(p.hv)->life->seed_out(p.hv, fds[0], &p.err));
    sim_ok(&p, colo__hv_ops(p.replica_hv)->life->seed_in(p.replica_hv, fds[1],
                                                         &p.err));
    sim_ok(&p, colo__hv_ops(p.hv)->stop->resume(p.hv, &p.err));
    ck_assert_int_eq(state_of(p.guest), COLO_HV_RUNNING);
    sim_pair_fini(&p);
}
END_TEST

/* A child makes a guest with a vCPU process in a directory, is killed while
 * the guest is stopped; guest and watchdog go on without it. */
START_TEST(outlives_its_session)
{
    struct sim_pair p;
    char dir[] = "/tmp/sim-test-XXXXXX", cmd[64];
    struct sim_guest *guest = NULL;
    struct sim_look look;
    pid_t pid;
    int status;

    sim_pair_init(&p);
    ck_assert(mkdtemp(dir));
    p.config.dir = dir;
    p.config.vcpu = SIM_VCPU_PROCESS;
    p.config.life_ms = 20000;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid = fork();
    if (pid == 0) {
        static struct sim_watchdog *kept;

        sim_pair_start(&p);
        kept = sim_watchdog_start(p.guest);
        ck_assert(kept);
        colo__hv_ops(p.hv)->track(p.hv, 1, &p.err);
        colo__hv_ops(p.hv)->stop->request(p.hv, &p.err);
        sim_wait(&p, p.hv, COLO_HV_EV_STOPPED);
        raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    sim_ok(&p, sim_guest_attach(dir, &guest, &p.err));
    sim_guest_look(guest, &look);
    ck_assert(sim_guest_wait_steps(guest, look.steps + 10, 5000));
    sim_guest_look(guest, &look);
    ck_assert_int_eq(look.state, COLO_HV_RUNNING);
    ck_assert(!look.tracking);
    ck_assert_uint_eq(look.bad, 0);
    sim_guest_kill(guest);
    sim_guest_free(guest); /* reaps the vCPU, which is ours now */
    ck_assert(kill(look.vcpu_pid, 0) < 0);
    snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
    ck_assert_int_eq(system(cmd), 0);
}
END_TEST

PURE_MAIN("sim-stop", stands_still, cancel_races_with_the_answer,
          stop_never_answers, somebody_else_stops_it, guest_ends,
          seed_fails_and_ends, outlives_its_session)
