/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The simulated vCPU: steps of pulse, the guest's own ballooning, writes by
 * its backends, and the answer to a stop.  A thread, or a process that was
 * forked and lives on without its parent; the loop is the same.  It uses
 * nothing but the two mappings, so that a kill of anybody else cannot
 * disturb it.
 *
 * Marking.  A frame is marked after it was written, with an atomic OR.  CLEAN
 * takes whole words by atomic exchange and the caller copies afterwards.  If
 * the mark came before the exchange, the copy sees the write (the exchange
 * reads from the OR); if it came after, the next CLEAN has it.  So a write
 * is never lost, though one may be copied twice, and a copy may be of
 * half a step: only the set of a stopped guest is consistent.  Marking only
 * before the write would lose one: mark, CLEAN, copy, write.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim-internal.h"

static void touch(void *user, uint32_t page)
{
    struct sim_guest *guest = user;

    guest->touched[guest->touched_count++] = page;
}

/* What no two copies do alike: a clock, an address in memory, ... */
static void make_noise(struct sim_guest *guest, uint64_t step)
{
    const struct sim_layout *layout = &guest->ctl->layout;
    uint64_t gfn = sim_noise_at(layout) + step % layout->noise_pages;

    sim_guest_scribble(guest, gfn, guest->ctl->salt + step);
    sim_guest_mark(guest, gfn);
}

static bool has_work(const struct sim_guest *guest)
{
    const struct sim_ctl *ctl = guest->ctl;

    return !(ctl->layout.flags & SIM_LAYOUT_LOCKSTEP) ||
           ctl->context.step < atomic_load(&ctl->goal);
}

static void one_step(struct sim_guest *guest)
{
    struct sim_ctl *ctl = guest->ctl;
    const struct sim_layout *layout = &ctl->layout;
    struct pulse_state *st = &ctl->context;
    uint32_t bad;

    guest->touched_count = 0;
    bad = pulse_step(guest->mem, st, touch, guest, &ctl->report);
    for (uint32_t i = 0; i < guest->touched_count; i++)
        sim_guest_mark(guest, guest->touched[i]);
    if (bad)
        atomic_fetch_add(&ctl->bad, bad);
    if (layout->balloon_every && st->step % layout->balloon_every == 0)
        sim_guest_balloon(guest, sim_balloon_at(layout),
                          layout->balloon_pages,
                          st->step / layout->balloon_every % 2);
    if (layout->ring_every && layout->ring_pages &&
        st->step % layout->ring_every == 0)
        sim_guest_scribble(guest, sim_ring_at(layout) +
                                      st->step % layout->ring_pages,
                           st->step);
    if (layout->noise_every && layout->noise_pages &&
        st->step % layout->noise_every == 0)
        make_noise(guest, st->step);
    atomic_store(&ctl->steps, st->step);
}

void sim_guest_steps(struct sim_guest *guest, uint64_t n)
{
    while (n--)
        one_step(guest);
}

static void rest(struct sim_guest *guest, uint32_t kick, uint32_t us)
{
    struct timespec ts = { .tv_sec = us / 1000000,
                           .tv_nsec = us % 1000000 * 1000 };

    syscall(SYS_futex, &guest->ctl->kick, FUTEX_WAIT, kick, &ts, NULL, 0);
}

/* When a stop that was first seen now is to be answered. */
static uint64_t answer_at(const struct sim_ctl *ctl, uint64_t now)
{
    uint64_t x = now * UINT64_C(0x9e3779b97f4a7c15);

    if (!ctl->stop_delay_us)
        return now;
    return now + (x >> 32) % ctl->stop_delay_us;
}

static void vcpu_loop(struct sim_guest *guest)
{
    struct sim_ctl *ctl = guest->ctl;
    uint64_t now = colo__now_us(&colo__clock_monotonic);
    uint64_t end = now + (uint64_t)ctl->life_ms * 1000, answer = 0;

    while (now < end && !atomic_load(&guest->quit)) {
        uint32_t kick = atomic_load(&ctl->kick);
        uint32_t run = atomic_load(&ctl->run);

        now = colo__now_us(&colo__clock_monotonic);
        if (run == SIM_GONE)
            break;
        if ((run != SIM_RUNNING && run != SIM_ASKED) ||
            atomic_load(&ctl->paused)) {
            rest(guest, kick, 100000);
            continue;
        }
        if (run == SIM_RUNNING)
            answer = 0;
        else if (!answer)
            answer = answer_at(ctl, now);
        if (run == SIM_ASKED && now >= answer && !atomic_load(&ctl->stuck)) {
            answer = 0;
            if (atomic_compare_exchange_strong(&ctl->run, &run,
                                               SIM_STOPPED)) {
                atomic_fetch_add(&ctl->stops, 1);
                sim__tell(guest);
            }
            continue;
        }
        /* announced first: who changes run and then finds no step under way
         * has the guest for himself */
        atomic_store(&ctl->in_step, 1);
        run = atomic_load(&ctl->run);
        if ((run == SIM_RUNNING || run == SIM_ASKED) &&
            !atomic_load(&ctl->paused) && has_work(guest))
            one_step(guest);
        atomic_store(&ctl->in_step, 0);
        if (!has_work(guest))
            rest(guest, kick, 1000);
        else if (ctl->step_us)
            rest(guest, kick, ctl->step_us);
    }
}

static void *thread_main(void *arg)
{
    vcpu_loop(arg);
    return NULL;
}

/* Keep the mappings and the event descriptor, nothing else: a socket held
 * here would hide the death of a session from its peer. */
static _Noreturn void process_main(struct sim_guest *guest)
{
    int null = open("/dev/null", O_RDWR);

    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (guest->event_out != 3)
        dup2(guest->event_out, 3);
    guest->event_out = 3;
    close_range(4, ~0u, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    prctl(PR_SET_NAME, "sim-vcpu");
    vcpu_loop(guest);
    _exit(0);
}

int sim__vcpu_start(struct sim_guest *guest, struct colo_error *err)
{
    pid_t pid;
    int r;

    if (guest->ctl->vcpu == SIM_VCPU_THREAD && !guest->has_thread) {
        r = pthread_create(&guest->thread, NULL, thread_main, guest);
        if (r)
            return colo__fail(err, COLO_E_SYS, r, "hv-sim",
                              "cannot start the vCPU");
        guest->has_thread = true;
    }
    if (guest->ctl->vcpu == SIM_VCPU_PROCESS && !guest->ctl->vcpu_pid) {
        pid = fork();
        if (pid < 0)
            return colo__fail(err, COLO_E_SYS, errno, "hv-sim",
                              "cannot start the vCPU");
        if (!pid)
            process_main(guest);
        atomic_store(&guest->ctl->vcpu_pid, pid);
    }
    return 0;
}

int sim_guest_run(struct sim_guest *guest, struct colo_error *err)
{
    int rc = sim__vcpu_start(guest, err);

    if (rc)
        return rc;
    sim_guest_pause(guest, false);
    return 0;
}

void sim__vcpu_join(struct sim_guest *guest)
{
    if (guest->has_thread) {
        atomic_store(&guest->quit, true);
        sim__kick(guest);
        pthread_join(guest->thread, NULL);
        guest->has_thread = false;
    }
    if (guest->ctl && guest->ctl->vcpu_pid && guest->ctl->run == SIM_GONE)
        waitpid(guest->ctl->vcpu_pid, NULL, 0); /* ECHILD: another's */
}
