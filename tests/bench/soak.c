/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * soak-run [SECONDS] - the long run, see soak.h and the script `soak`.
 * Starts the processes, says when a round of the sessions ends and how, takes
 * samples, and ends everything: in order if it can, by force if not.  SIGINT,
 * SIGTERM and SIGHUP end it early, in order, with figures.  SOAK_DIR: where
 * the disks are (default /var/tmp).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

#define TICK_MS 50
#define PROTECT_MS 90000  /* a round may take so long to be protected */
#define END_MS 60000      /* and everything to end */
#define ROUND_COMMITS 20  /* no round is shorter */
#define TAKEOVER_EVERY 4  /* rounds of the sessions */

struct run {
    struct soak_shared *shared;
    struct soak_samples *samples;
    char dir[64];
    uint64_t begin, next_sample, sample_ms;
    uint32_t rounds;        /* of the sessions, that were told to end */
    bool telling;           /* one of them has not ended yet */
    uint64_t round_begin, deadline;
    pid_t workers[3];
    double checkpoint_seconds;
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

uint64_t soak_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void soak_nap(uint32_t ms)
{
    struct timespec ts = { .tv_sec = ms / 1000,
                           .tv_nsec = ms % 1000 * 1000000L };

    nanosleep(&ts, NULL);
}

void soak_lost(struct soak_shared *shared, const char *fmt, ...)
{
    uint32_t i = atomic_fetch_add(&shared->losses, 1);
    va_list ap;

    if (i >= SOAK_WHYS)
        return;
    va_start(ap, fmt);
    vsnprintf(shared->why[i], sizeof(shared->why[i]), fmt, ap);
    va_end(ap);
}

/* ---- processes --------------------------------------------------------- */

static _Noreturn void broken(const char *what)
{
    fprintf(stderr, "soak: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void listen_here(struct soak_shared *shared)
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(sin);

    shared->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (shared->listener < 0 ||
        bind(shared->listener, (struct sockaddr *)&sin, len) ||
        listen(shared->listener, 4) ||
        getsockname(shared->listener, (struct sockaddr *)&sin, &len))
        broken("listen");
    shared->port = ntohs(sin.sin_port);
}

/* A group of its own: what a terminal sends to ours is for us to obey. */
static void start(struct run *run, int which)
{
    pid_t pid = fork();

    if (pid < 0)
        broken("fork");
    if (!pid) {
        setpgid(0, 0);
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        if (which == SOAK_PRIMARY)
            soak_primary(run->shared);
        if (which == SOAK_SECONDARY)
            soak_secondary(run->shared);
        close(run->shared->listener);
        soak_writer(run->shared, run->dir);
    }
    atomic_store(&run->shared->pid[which], pid);
    run->workers[which - SOAK_PRIMARY] = pid;
}

/* true: all workers have ended */
static bool reap(struct run *run)
{
    bool all = true;

    for (int i = 0; i < 3; i++) {
        int status;

        if (!run->workers[i])
            continue;
        if (waitpid(run->workers[i], &status, WNOHANG) <= 0) {
            all = false;
            continue;
        }
        run->workers[i] = 0;
        atomic_store(&run->shared->pid[SOAK_PRIMARY + i], 0);
        if (WIFSIGNALED(status))
            soak_lost(run->shared, "process %d died of signal %d", i,
                      WTERMSIG(status));
    }
    return all;
}

/* Children that should not be: what workers left comes to us. */
static unsigned kill_left(void)
{
    char path[64], line[512];
    struct dirent *de;
    unsigned n = 0;
    DIR *dir = opendir("/proc");

    while (dir && (de = readdir(dir))) {
        pid_t pid = (pid_t)strtol(de->d_name, NULL, 10), parent = 0;
        char *end = NULL;
        size_t got = 0;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = pid > 0 ? fopen(path, "re") : NULL;
        if (f) {
            got = fread(line, 1, sizeof(line) - 1, f);
            fclose(f);
        }
        line[got] = '\0';
        end = strrchr(line, ')');
        if (end && sscanf(end + 1, " %*c %d", &parent) == 1 &&
            parent == getpid() && kill(pid, SIGKILL) == 0) {
            waitpid(pid, NULL, 0);
            n++;
        }
    }
    if (dir)
        closedir(dir);
    return n;
}

static void end_all(struct run *run)
{
    uint64_t until = soak_now_ms() + END_MS;
    char cmd[128];
    unsigned left;

    while (!reap(run) && soak_now_ms() < until)
        soak_nap(TICK_MS);
    for (int i = 0; i < 3; i++) {
        if (!run->workers[i])
            continue;
        soak_lost(run->shared, "process %d does not end", i);
        kill(run->workers[i], SIGKILL);
        waitpid(run->workers[i], NULL, 0);
    }
    soak_nap(200); /* watchdogs end by themselves */
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    left = kill_left();
    if (left)
        soak_lost(run->shared, "%u processes were left behind", left);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", run->dir);
    if (system(cmd))
        fprintf(stderr, "soak: %s stays\n", run->dir);
}

/* ---- rounds of the sessions -------------------------------------------- */

static void tell_round(struct run *run, bool takeover)
{
    struct soak_shared *sh = run->shared;

    run->rounds++;
    run->telling = true;
    run->deadline = soak_now_ms() + END_MS;
    if (takeover)
        atomic_store(&sh->want[1], SOAK_FAILOVER);
    else
        atomic_store(&sh->want[0], SOAK_STOP);
}

static bool round_ended(const struct run *run)
{
    return atomic_load(&run->shared->ended[0]) == run->rounds &&
           atomic_load(&run->shared->ended[1]) == run->rounds;
}

static bool round_protects(const struct run *run)
{
    return atomic_load(&run->shared->round_commits) >= ROUND_COMMITS;
}

/* One look at the rounds; false: something takes too long. */
static bool turn(struct run *run)
{
    uint64_t now = soak_now_ms();

    if (run->telling && round_ended(run)) {
        run->telling = false;
        run->round_begin = now;
        run->deadline = now + PROTECT_MS;
    } else if (!run->telling && round_protects(run)) {
        run->deadline = UINT64_MAX;
        if (now - run->round_begin >= run->shared->round_ms)
            tell_round(run, (run->rounds + 1) % TAKEOVER_EVERY == 0);
    }
    if (now < run->deadline)
        return true;
    soak_lost(run->shared, run->telling ? "sessions do not end when asked"
                                        : "the guest is not protected");
    return false;
}

static void sample(struct run *run, bool warm)
{
    uint64_t now = soak_now_ms();

    if (now < run->next_sample)
        return;
    run->next_sample = now + run->sample_ms;
    if (warm)
        soak_samples_take(run->samples, run->shared,
                          (double)(now - run->begin) / 3600000);
}

static bool all_well(struct run *run)
{
    return !atomic_load(&run->shared->losses) && turn(run) &&
           !reap(run) && run->workers[0] && run->workers[1] &&
           run->workers[2];
}

static void the_run(struct run *run)
{
    uint64_t total = run->shared->seconds * UINT64_C(1000);
    uint64_t warm = total / 4 < 60000 ? total / 4 : 60000;
    struct soak_shared *sh = run->shared;

    run->begin = run->round_begin = soak_now_ms();
    run->deadline = run->begin + PROTECT_MS;
    while (!stopped && soak_now_ms() - run->begin < total && all_well(run)) {
        sample(run, soak_now_ms() - run->begin >= warm);
        soak_nap(TICK_MS);
    }
    /* the last round ends by a takeover */
    while (!(!run->telling && round_protects(run)) && all_well(run))
        soak_nap(TICK_MS);
    run->checkpoint_seconds = (double)(soak_now_ms() - run->begin) / 1000;
    atomic_store(&sh->quit, 1);
    tell_round(run, !atomic_load(&sh->losses));
    end_all(run);
    if (!round_ended(run))
        soak_lost(sh, "the sessions did not come to their end");
}

/* ---- the figures ------------------------------------------------------- */

static unsigned long long get(_Atomic uint64_t *n)
{
    return atomic_load(n);
}

static int report(struct run *run)
{
    struct soak_shared *sh = run->shared;
    struct soak_growth growth;
    uint32_t losses = atomic_load(&sh->losses);

    soak_samples_print(run->samples, &growth);
    printf("soak_seconds=%.0f\n", run->checkpoint_seconds);
    printf("soak_checkpoints=%llu\n", get(&sh->commits));
    printf("soak_protections=%llu\n", get(&sh->guest_protections));
    printf("soak_takeovers=%llu\n", get(&sh->takeovers));
    printf("soak_disk_epochs=%llu\n", get(&sh->disk_epochs));
    printf("soak_disk_requests=%llu\n", get(&sh->disk_requests));
    printf("soak_disk_protections=%llu\n", get(&sh->disk_protections));
    printf("soak_rss_growth_max_percent=%.2f\n", growth.rss_percent);
    printf("soak_anon_growth_max_percent=%.2f\n", growth.anon_percent);
    printf("soak_fd_growth_max=%.0f\n", growth.fds);
    printf("soak_thread_growth_max=%.0f\n", growth.threads);
    printf("soak_losses=%u\n", losses);
    fflush(stdout);
    for (uint32_t i = 0; i < losses && i < SOAK_WHYS; i++)
        fprintf(stderr, "soak: %s\n", sh->why[i]);
    if (growth.bad)
        fprintf(stderr, "soak: a process grows\n");
    return losses || growth.bad;
}

static void set_up(struct run *run, uint32_t seconds)
{
    const char *dir = getenv("SOAK_DIR");
    struct sigaction sa = { .sa_handler = on_signal };

    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    run->shared = mmap(NULL, sizeof(*run->shared), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run->shared == MAP_FAILED)
        broken("mmap");
    run->shared->seconds = seconds;
    run->shared->round_ms = seconds >= 1200 ? 150000 : seconds * 125;
    atomic_store(&run->shared->pid[SOAK_DRIVER], getpid());
    run->sample_ms = seconds >= 200 ? 10000 : seconds * 50;
    run->samples = soak_samples_new((uint32_t)(seconds * UINT64_C(1000) /
                                               run->sample_ms) + 16);
    if (!run->samples)
        broken("memory");
    snprintf(run->dir, sizeof(run->dir), "%.40s/colo-soak.XXXXXX",
             dir ? dir : "/var/tmp");
    if (!mkdtemp(run->dir))
        broken(run->dir);
    listen_here(run->shared);
}

int main(int argc, char **argv)
{
    static struct run run;
    unsigned long seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 7200;

    if (argc > 2 || seconds < 10 || seconds > 1000000) {
        fprintf(stderr, "usage: soak [SECONDS]   (10 to 1000000)\n");
        return 2;
    }
    set_up(&run, (uint32_t)seconds);
    start(&run, SOAK_PRIMARY);
    start(&run, SOAK_SECONDARY);
    start(&run, SOAK_WRITER);
    the_run(&run);
    return report(&run);
}
