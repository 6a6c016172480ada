/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Many runs, as many at once as there are processors, and the sum of them.
 * Usage: chaos-campaign [runs] [seed] [first run] [remus|colo].
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chaos.h"

#define MAX_JOBS 64
#define RUN_SECONDS 40

struct job {
    pid_t pid; /* 0: free */
    struct plan plan;
    struct verdict *verdict; /* shared */
};

struct sums {
    uint64_t faults[FAULT_COUNT], runs, losses, stopped, hangs, both,
        takeovers, commits, starved;
};

static void start(struct job *job, uint64_t seed, uint32_t run, int mode)
{
    plan_make(&job->plan, seed, run, mode);
    memset(job->verdict, 0, sizeof(*job->verdict));
    fflush(stdout);
    job->pid = fork();
    if (job->pid < 0) {
        perror("fork");
        exit(2);
    }
    if (job->pid)
        return;
    alarm(RUN_SECONDS);
    setvbuf(stdout, NULL, _IOFBF, 1 << 18); /* one write: not mixed */
    run_one(&job->plan, job->verdict);
    exit(0);
}

static void add(struct sums *sums, struct job *job, int status)
{
    const struct verdict *v = job->verdict;
    char text[600];

    sums->runs++;
    sums->faults[job->plan.fault]++;
    sums->losses += v->loss;
    sums->stopped += v->stopped;
    sums->both += v->both_run;
    sums->takeovers += v->took_over;
    sums->starved += v->starved;
    sums->commits += v->commits;
    if (status || v->hang)
        sums->hangs++;
    if (!status && !v->loss && !v->stopped && !v->hang && !v->both_run)
        return;
    plan_print(&job->plan, text, sizeof(text));
    printf("FAILED run %u of seed %llu: %s%s\n  %s\n"
           "  again: tests/chaos/chaos 1 %llu %u %s\n",
           job->plan.run, (unsigned long long)job->plan.seed,
           status ? "the run itself broke; " : "", v->why, text,
           (unsigned long long)job->plan.seed, job->plan.run,
           colo_mode_name(job->plan.mode));
}

/* One job that has ended; waits for it. */
static void collect(struct sums *sums, struct job *jobs, int n)
{
    int status;
    pid_t pid = wait(&status);

    for (int i = 0; i < n; i++)
        if (jobs[i].pid == pid) {
            jobs[i].pid = 0;
            add(sums, &jobs[i], status);
        }
}

static bool any_running(const struct job *jobs, int n)
{
    for (int i = 0; i < n; i++)
        if (jobs[i].pid)
            return true;
    return false;
}

static void campaign(uint64_t seed, uint32_t first, uint32_t runs, int mode,
                     int n, struct sums *sums)
{
    struct job jobs[MAX_JOBS] = { 0 };
    uint32_t next = first;

    for (int i = 0; i < n; i++) {
        jobs[i].verdict = mmap(NULL, sizeof(struct verdict),
                               PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (jobs[i].verdict == MAP_FAILED)
            exit(2);
    }
    while (next - first < runs || any_running(jobs, n)) {
        for (int i = 0; i < n && next - first < runs; i++)
            if (!jobs[i].pid)
                start(&jobs[i], seed, next++, mode);
        collect(sums, jobs, n);
    }
}

int main(int argc, char **argv)
{
    uint32_t runs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0)
                             : (uint64_t)time(NULL);
    uint32_t first = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 0) : 0;
    int mode = argc > 4 && !strcmp(argv[4], "colo") ? COLO_MODE_COLO
                                                    : COLO_MODE_REMUS;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    struct sums sums = { 0 };
    uint64_t t0 = colo__now_us(&colo__clock_monotonic);

    signal(SIGPIPE, SIG_IGN);
    n = n < 1 ? 1 : n > MAX_JOBS ? MAX_JOBS : n;
    printf("chaos_seed=%llu\n", (unsigned long long)seed);
    printf("chaos_mode=%s\n", colo_mode_name(mode));
    campaign(seed, first, runs, mode, (int)n, &sums);
    printf("chaos_runs=%llu\n", (unsigned long long)sums.runs);
    for (int i = 0; i < FAULT_COUNT; i++)
        printf("chaos_fault_%s=%llu\n", fault_name(i),
               (unsigned long long)sums.faults[i]);
    printf("chaos_checkpoints=%llu\n", (unsigned long long)sums.commits);
    printf("chaos_takeovers=%llu\n", (unsigned long long)sums.takeovers);
    printf("chaos_starved=%llu\n", (unsigned long long)sums.starved);
    printf("chaos_seconds=%.1f\n",
           (double)(colo__now_us(&colo__clock_monotonic) - t0) / 1e6);
    printf("chaos_losses=%llu\n", (unsigned long long)sums.losses);
    printf("chaos_stopped_primaries=%llu\n",
           (unsigned long long)sums.stopped);
    printf("chaos_double_runs=%llu\n", (unsigned long long)sums.both);
    printf("chaos_hangs=%llu\n", (unsigned long long)sums.hangs);
    return sums.losses || sums.stopped || sums.both || sums.hangs;
}
