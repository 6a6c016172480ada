/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One run: the guest, a process for each side, the relay, the fault at its
 * moment, and the wait for what comes of it.  A process of its own, so that
 * whatever is left can be reaped here.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chaos.h"

#define TICK_US 500
#define FAULT_WAIT_MS 2500 /* for the moment of the fault to come */
#define SETTLE_MS 2500     /* for the sessions to end by themselves */
#define END_MS 5000        /* once told to stop */
#define SURVIVE_EPOCHS 4   /* a fault that is survived: so many more */

static uint64_t now_ms(void)
{
    return colo__now_us(&colo__clock_monotonic) / 1000;
}

static void tick(void)
{
    struct timespec ts = { .tv_nsec = TICK_US * 1000 };

    nanosleep(&ts, NULL);
}

static _Noreturn void broken(const char *what, const struct colo_error *err)
{
    fprintf(stderr, "chaos: %s: %s\n", what, err ? err->text : "failed");
    exit(2);
}

/* ---- processes --------------------------------------------------------- */

static void reap(struct run *run)
{
    for (int i = 0; i < 2; i++) {
        int status;

        if (!run->pid[i] || waitpid(run->pid[i], &status, WNOHANG) <= 0)
            continue;
        run->pid[i] = 0;
        run->killed[i] = WIFSIGNALED(status);
        run->crashed[i] = (WIFSIGNALED(status) &&
                           WTERMSIG(status) != SIGKILL) ||
                          (WIFEXITED(status) && WEXITSTATUS(status) &&
                           WEXITSTATUS(status) != EXIT_ERROR);
        if (run->killed[i] && !i && run->plan->fault == FAULT_KILL_HOST)
            run->host_dead = true;
    }
}

/* The other processes' ends of the links must not stay open anywhere else: the
 * death of one must be seen. */
static pid_t fork_side(struct run *run, int role, int fds[2][4],
                       int command[2])
{
    struct side side = {
        .plan = run->plan, .rec = run->rec, .role = role,
        .guest = role == COLO_ROLE_PRIMARY ? run->guest : NULL,
        .dir = run->sdir, .command = command[0],
    };
    int mine = role == COLO_ROLE_PRIMARY ? 0 : 3;
    char path[PATH_MAX + 16];
    pid_t pid = fork();

    if (pid)
        return pid;
    close(command[1]);
    for (int link = 0; link < 2; link++) {
        side.fds[link] = fds[link][mine];
        for (int i = 0; i < 4; i++)
            if (i != mine && fds[link][i] >= 0)
                close(fds[link][i]);
    }
    side.do_steps = run->plan->step &&
                    (role == COLO_ROLE_SECONDARY) ==
                        (run->plan->fault == FAULT_KILL_SECONDARY);
    snprintf(path, sizeof(path), "%s/%s.log", run->dir,
             colo_role_name(role));
    side.log = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    side_main(&side);
}

/* Links: ends 0 and 3 are the sides', 1 and 2 the relay's, or 0 and 3 are one
 * pair. */
static void start_sides(struct run *run)
{
    int fds[2][4], pipes[2][2], relay[2][2];

    for (int link = 0; link < 2; link++) {
        int a[2] = { -1, -1 }, b[2] = { -1, -1 };

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a) ||
            (run->plan->relay &&
             socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b)))
            broken("socketpair", NULL);
        fds[link][0] = a[0];
        fds[link][1] = run->plan->relay ? a[1] : -1;
        fds[link][2] = b[0];
        fds[link][3] = run->plan->relay ? b[1] : a[1];
        relay[link][0] = fds[link][1];
        relay[link][1] = fds[link][2];
    }
    for (int i = 0; i < 2; i++) {
        if (pipe2(pipes[i], O_CLOEXEC))
            broken("pipe", NULL);
        run->command[i] = pipes[i][1];
        run->pid[i] = fork_side(run, i ? COLO_ROLE_SECONDARY
                                       : COLO_ROLE_PRIMARY, fds, pipes[i]);
        if (run->pid[i] < 0)
            broken("fork", NULL);
        close(pipes[i][0]);
    }
    for (int link = 0; link < 2; link++) {
        close(fds[link][0]);
        close(fds[link][3]);
    }
    if (run->plan->relay) {
        run->relay = relay_start((const int(*)[2])relay,
                                 &run->rec->host_down);
        if (!run->relay)
            broken("relay", NULL);
        relay_delay(run->relay, 15, run->plan->latency_ms);
        if (run->plan->fault == FAULT_KILL_HOST && run->plan->gone_silent)
            relay_keep_open(run->relay);
    }
}

static void tell(struct run *run, int side, char word)
{
    if (run->pid[side])
        (void)!write(run->command[side], &word, 1);
}

/* ---- the fault --------------------------------------------------------- */

static void kill_side(struct run *run, int side)
{
    if (run->pid[side])
        kill(run->pid[side], SIGKILL);
}

static void kill_host(struct run *run)
{
    struct sim_look look;

    sim_guest_look(run->guest, &look);
    /* the watchdog first: it must not see its session die */
    if (run->rec->watchdog_pid)
        kill(run->rec->watchdog_pid, SIGKILL);
    atomic_store(&run->rec->host_down, 1);
    kill_side(run, 0);
    kill(look.vcpu_pid, SIGKILL);
    run->host_dead = true;
}

static void track_off(struct run *run)
{
    struct sim_guest *replica = NULL;

    sim_guest_track_off(run->guest);
    if (!run->plan->track_off_there ||
        sim_guest_attach(run->sdir, &replica, NULL))
        return;
    sim_guest_track_off(replica);
    sim_guest_free(replica);
}

static void cripple(struct run *run)
{
    struct sim_guest *replica = NULL;

    atomic_store(&run->rec->before, atomic_load(&run->rec->commits));
    if (run->plan->fault == FAULT_CRIPPLE) {
        sim_guest_cripple(run->guest, run->plan->told);
    } else if (!sim_guest_attach(run->sdir, &replica, NULL)) {
        /* a replica that nobody looks into: only the event says it */
        sim_guest_cripple(replica, run->plan->told ||
                                       run->plan->mode != COLO_MODE_COLO);
        sim_guest_free(replica);
    }
}

static void inject(struct run *run)
{
    const struct plan *plan = run->plan;
    uint64_t salt = plan->seed * 31 + plan->run * UINT64_C(7919);

    switch (plan->fault) {
    case FAULT_KILL_PRIMARY:   kill_side(run, 0); break;
    case FAULT_KILL_HOST:      kill_host(run); break;
    case FAULT_KILL_SECONDARY: kill_side(run, 1); break;
    case FAULT_KILL_BOTH:      kill_side(run, 0); kill_side(run, 1); break;
    case FAULT_CUT:            relay_cut(run->relay, 3); break;
    case FAULT_CUT_CONTROL:    relay_cut(run->relay, RELAY_CONTROL); break;
    case FAULT_CUT_BULK:       relay_cut(run->relay, RELAY_BULK); break;
    case FAULT_SILENT:         relay_drop(run->relay, 15); break;
    case FAULT_SILENT_OUT:     relay_drop(run->relay, 3 | RELAY_OUT); break;
    case FAULT_SILENT_BACK:    relay_drop(run->relay, 3 | RELAY_BACK); break;
    case FAULT_STALL:          relay_stall(run->relay, 15); break;
    case FAULT_DELAY: relay_delay(run->relay, 15, plan->delay_ms); break;
    case FAULT_FLIP_CONTROL:
        relay_flip(run->relay, RELAY_CONTROL | (salt & 2 ? RELAY_OUT
                                                         : RELAY_BACK), salt);
        break;
    case FAULT_FLIP_BULK:
        relay_flip(run->relay, RELAY_BULK |
                                   (plan->mode == COLO_MODE_COLO && salt & 4
                                        ? RELAY_BACK : RELAY_OUT), salt);
        break;
    case FAULT_TRACK_OFF:      track_off(run); break;
    case FAULT_STUCK:          sim_guest_stuck(run->guest, true); break;
    case FAULT_SUSPEND:        sim_guest_suspend(run->guest); break;
    case FAULT_GUEST_END: sim_guest_shutdown(run->guest, plan->reason); break;
    case FAULT_GROW:           sim_guest_grow(run->guest, 40); break;
    case FAULT_FAILOVER:       tell(run, 1, 'f'); break;
    case FAULT_CRIPPLE:
    case FAULT_CRIPPLE_REPLICA: cripple(run); break;
    default:                   break; /* none; at a step; at a call */
    }
}

static bool survived(int fault)
{
    return fault == FAULT_NONE || fault == FAULT_DELAY ||
           fault == FAULT_TRACK_OFF || fault == FAULT_SUSPEND ||
           fault == FAULT_GROW || fault == FAULT_HV_PRIMARY ||
           fault == FAULT_HV_SECONDARY || fault == FAULT_FLIP_CONTROL ||
           fault == FAULT_FLIP_BULK;
}

static bool both_ended(struct run *run)
{
    reap(run);
    return !run->pid[0] && !run->pid[1];
}

static bool one_ended(struct run *run)
{
    reap(run);
    return !run->pid[0] || !run->pid[1];
}

/* Until so many commits or the end of a session. */
static void wait_commits(struct run *run, uint64_t commits, uint64_t until)
{
    while (atomic_load(&run->rec->commits) < commits && now_ms() < until &&
           !one_ended(run))
        tick();
}

static void the_fault(struct run *run)
{
    const struct plan *plan = run->plan;
    uint64_t until = now_ms() + FAULT_WAIT_MS;
    struct timespec ts = { .tv_nsec = plan->delay_us * 1000L };

    if (plan->step) {
        while (!atomic_load(&run->rec->injected) && now_ms() < until &&
               !one_ended(run))
            tick();
        if (plan->fault == FAULT_KILL_BOTH)
            kill_side(run, 1);
        return;
    }
    /* after 0 commits: any moment since the start, the seed included */
    wait_commits(run, plan->after_epochs, until);
    nanosleep(&ts, NULL);
    if (!one_ended(run))
        inject(run);
    if (survived(plan->fault))
        wait_commits(run, atomic_load(&run->rec->commits) + SURVIVE_EPOCHS,
                     now_ms() + SETTLE_MS);
}

static void the_end(struct run *run)
{
    uint64_t until = now_ms() + SETTLE_MS;

    if (survived(run->plan->fault))
        tell(run, 0, 's');
    while (!both_ended(run) && now_ms() < until)
        tick();
    if (both_ended(run))
        return;
    tell(run, 0, 's');
    tell(run, 1, 's');
    until = now_ms() + END_MS;
    while (!both_ended(run) && now_ms() < until)
        tick();
    for (int i = 0; i < 2; i++) {
        if (!run->pid[i])
            continue;
        run->hung[i] = true;
        kill(run->pid[i], SIGABRT);
        waitpid(run->pid[i], NULL, 0);
        run->pid[i] = 0;
    }
}

/* ---- before and after -------------------------------------------------- */

static void make_dirs(struct run *run)
{
    const char *base = getenv("TMPDIR");

    if (!base)
        base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(run->dir, sizeof(run->dir), "%s/chaos-XXXXXX", base);
    if (!mkdtemp(run->dir))
        broken("mkdtemp", NULL);
    snprintf(run->pdir, sizeof(run->pdir), "%s/primary", run->dir);
    snprintf(run->sdir, sizeof(run->sdir), "%s/secondary", run->dir);
    if (mkdir(run->pdir, 0700) || mkdir(run->sdir, 0700))
        broken("mkdir", NULL);
}

static void remove_dirs(struct run *run)
{
    static const char *const files[] = {
        "primary/mem", "primary/ctl", "primary/event", "secondary/mem",
        "secondary/ctl", "secondary/event", "primary.log", "secondary.log",
        "primary", "secondary", "",
    };
    char path[PATH_MAX + 32];

    for (size_t i = 0; i < COLO_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", run->dir, files[i]);
        remove(path);
    }
}

/* The last lines of a log. */
static void show_log(const struct run *run, const char *name)
{
    char path[PATH_MAX + 16], line[600];
    long lines = 0, at = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.log", run->dir, name);
    f = fopen(path, "r");
    if (!f)
        return;
    while (fgets(line, sizeof(line), f))
        lines++;
    rewind(f);
    printf("---- %s\n", name);
    while (fgets(line, sizeof(line), f))
        if (at++ >= lines - 45)
            fputs(line, stdout);
    fclose(f);
}

void run_one(const struct plan *plan, struct verdict *ret_verdict)
{
    struct run run = { .plan = plan };
    struct sim_config guest = plan->guest;
    struct colo_error err = { 0 };

    memset(ret_verdict, 0, sizeof(*ret_verdict));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    run.rec = mmap(NULL, sizeof(*run.rec), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run.rec == MAP_FAILED)
        broken("mmap", NULL);
    make_dirs(&run);
    guest.dir = run.pdir;
    if (sim_guest_new(&guest, &run.guest, &err) ||
        sim_guest_run(run.guest, &err))
        broken("guest", &err);
    start_sides(&run);
    the_fault(&run);
    the_end(&run);
    judge(&run, ret_verdict);
    sim_guest_kill(run.guest);
    sim_guest_free(run.guest);
    relay_stop(run.relay);
    if (ret_verdict->loss || ret_verdict->stopped || ret_verdict->hang ||
        ret_verdict->both_run) {
        show_log(&run, "primary");
        show_log(&run, "secondary");
    }
    remove_dirs(&run);
}
