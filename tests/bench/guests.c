/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What protecting 1, 10 and 100 guests costs a host: both sides of every
 * session are in this process and on this thread (which says nothing about
 * networks, and counts each session twice), guests of 16 MiB whose vCPUs
 * make a step every 5 ms.  Memory is the library's own (anonymous), not the
 * guests'.
 */
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "parts.h"

#define WARM_MS 500
#define SEED_MS 60000
#define MEASURE_MS 3000
#define MAX_GUESTS 100

struct protected {
    struct sim_config config;
    struct sim_guest *guest;
    struct colo_session *sessions[2];
};

static struct colo_session *new_session(struct protected *p, int role,
                                        const int fds[2], uint32_t delta_mib)
{
    static const char id[16] = "bench-session-1";
    struct colo_session *session;
    struct colo_config config;
    struct colo_parts parts;
    struct colo_error err = { 0 };

    memset(&parts, 0, sizeof(parts));
    colo_config_init(&config, sizeof(config));
    config.role = role;
    config.transport = COLO_TRANSPORT_FD;
    if (delta_mib)
        config.delta_mib = delta_mib;
    parts.watchdog_fd = -1;
    parts.session_id = id;
    parts.hv = need(role == COLO_ROLE_PRIMARY ? sim_hv_primary(p->guest)
                                              : sim_hv_secondary(&p->config));
    if (colo__link_fd_new(fds[0], &parts.control, &err) ||
        colo__link_fd_new(fds[1], &parts.bulk, &err) ||
        colo__session_new(&config, &parts, &session, &err) ||
        colo_set_replication(session, 1, role == COLO_ROLE_PRIMARY, 0, &err))
        die("session", &err);
    return session;
}

static void protect(struct protected *p, uint32_t i, uint32_t delta_mib)
{
    struct colo_error err = { 0 };
    int control[2], bulk[2];

    sim_config_init(&p->config);
    p->config.nr_gfns = 4096;
    p->config.sparse = true;
    p->config.step_us = 5000;
    p->config.pulse.seed = i + 1;
    p->config.vcpu = SIM_VCPU_THREAD;
    if (sim_guest_new(&p->config, &p->guest, &err) ||
        sim_guest_run(p->guest, &err))
        die("guest", &err);
    p->config.vcpu = SIM_VCPU_NONE; /* of the replica */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bulk))
        die("socketpair", NULL);
    p->sessions[0] = new_session(p, COLO_ROLE_PRIMARY,
                                 (int[2]){ control[0], bulk[0] },
                                 delta_mib);
    p->sessions[1] = new_session(p, COLO_ROLE_SECONDARY,
                                 (int[2]){ control[1], bulk[1] },
                                 delta_mib);
}

/* Everything for so long: process whoever is ready or due. */
static void serve(struct protected *p, uint32_t n, uint64_t ms)
{
    static struct pollfd pfds[2 * MAX_GUESTS];
    uint64_t end = now_ns() / 1000000 + ms;

    for (;;) {
        uint64_t now = now_ns() / 1000000, next = end;

        if (now >= end)
            return;
        for (uint32_t i = 0; i < 2 * n; i++) {
            struct colo_session *s = p[i / 2].sessions[i % 2];
            uint64_t at = colo_session_get_deadline(s);

            pfds[i].fd = colo_session_get_fd(s);
            pfds[i].events = POLLIN;
            if (at < next)
                next = at;
        }
        poll(pfds, 2 * n, next > now ? (int)(next - now) : 0);
        now = now_ns() / 1000000;
        for (uint32_t i = 0; i < 2 * n; i++) {
            struct colo_session *s = p[i / 2].sessions[i % 2];
            struct colo_error err = { 0 };

            if (!pfds[i].revents && colo_session_get_deadline(s) > now)
                continue;
            if (colo_session_process(s, &err) <= 0)
                die("a session ended", &err);
        }
    }
}

static double cpu_us(void)
{
    struct rusage ru;

    getrusage(RUSAGE_SELF, &ru);
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
           (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static double status_value(const char *name)
{
    char line[256];
    double value = 0;
    FILE *f = need(fopen("/proc/self/status", "r"));

    while (fgets(line, sizeof(line), f))
        if (!strncmp(line, name, strlen(name)))
            value = strtod(line + strlen(name) + 1, NULL);
    fclose(f);
    return value;
}

static double descriptors(void)
{
    DIR *dir = need(opendir("/proc/self/fd"));
    double n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Their sum; *ret_least is that of the slowest session. */
static uint64_t checkpoints(struct protected *p, uint32_t n,
                            struct series *pauses, uint64_t *ret_least)
{
    uint64_t sum = 0;

    *ret_least = UINT64_MAX;

    for (uint32_t i = 0; i < n; i++) {
        struct colo_status status = { .size = sizeof(status) };
        struct colo_error err = { 0 };

        if (colo_query_status(p[i].sessions[0], &status, &err))
            die("status", &err);
        sum += status.checkpoints;
        if (status.checkpoints < *ret_least)
            *ret_least = status.checkpoints;
        if (pauses)
            series_add(pauses, (double)status.pause_median_us);
    }
    return sum;
}

/* Until every session has committed twice. */
static void settle(struct protected *p, uint32_t n)
{
    uint64_t least = 0, end = now_ns() / 1000000 + SEED_MS;

    while (least < 2) {
        if (now_ns() / 1000000 > end)
            die("sessions do not get ready", NULL);
        serve(p, n, 100);
        checkpoints(p, n, NULL, &least);
    }
    serve(p, n, WARM_MS);
}

/* delta_mib 0: the default */
static void guests(uint32_t n, uint32_t delta_mib, const char *name)
{
    struct protected *p = need(calloc(n, sizeof(*p)));
    double anon = status_value("RssAnon"), fds = descriptors();
    double threads = status_value("Threads"), cpu;
    struct series pauses = { 0 };
    uint64_t before, least;

    for (uint32_t i = 0; i < n; i++)
        protect(&p[i], i, delta_mib);
    settle(p, n);
    before = checkpoints(p, n, NULL, &least);
    cpu = cpu_us();
    serve(p, n, MEASURE_MS);
    cpu = cpu_us() - cpu;
    before = checkpoints(p, n, &pauses, &least) - before;
    printf("guests_%s_checkpoints_per_s=%.1f\n", name,
           (double)before * 1000 / MEASURE_MS);
    printf("guests_%s_pause_median_us=%.0f\n", name, series_median(&pauses));
    printf("guests_%s_cpu_percent_each=%.3f\n", name,
           cpu / (MEASURE_MS * 10.0) / n);
    printf("guests_%s_library_kib_each=%.0f\n", name,
           (status_value("RssAnon") - anon) / n);
    printf("guests_%s_threads_each=%.1f\n", name,
           (status_value("Threads") - threads) / n - 1); /* its vCPU */
    printf("guests_%s_descriptors_each=%.1f\n", name,
           (descriptors() - fds) / n);
    for (uint32_t i = 0; i < n; i++) {
        colo_session_stop(p[i].sessions[0], NULL);
        colo_session_close(p[i].sessions[1]);
        colo_session_close(p[i].sessions[0]);
        sim_guest_free(p[i].guest);
    }
    free(p);
}

void bench_guests(void)
{
    struct rlimit rl;

    if (!getrlimit(RLIMIT_NOFILE, &rl)) {
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
    printf("# guests: both sides in one process; 16 MiB each, 100 ms; delta "
           "cache of 8 MiB, or the default\n");
    guests(1, 0, "1_default");
    guests(1, 8, "1");
    guests(10, 8, "10");
    guests(MAX_GUESTS, 8, "100");
}
