/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See bench.h.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void series_add(struct series *s, double v)
{
    if (s->n < MAX_REPS)
        s->v[s->n++] = v;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double series_median(const struct series *s)
{
    struct series sorted = *s;

    qsort(sorted.v, (size_t)sorted.n, sizeof(sorted.v[0]), compare);
    return sorted.n ? sorted.v[sorted.n / 2] : 0;
}

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void die(const char *what, const struct colo_error *err)
{
    fprintf(stderr, "bench: %s: %s\n", what, err ? err->text : "failed");
    exit(1);
}

void *need(void *p)
{
    if (!p)
        die("no memory", NULL);
    return p;
}

void bench_guest_init(struct bench_guest *g, uint64_t bytes,
                      uint32_t pulse_pages)
{
    struct colo_error err = { 0 };

    memset(g, 0, sizeof(*g));
    sim_config_init(&g->config);
    g->config.nr_gfns = bytes / COLO_PAGE_SIZE;
    g->config.pulse.pages = pulse_pages;
    g->config.pulse.hot = pulse_pages / 4;
    g->config.pulse.per_step = 16;
    g->config.pulse.cold_per_step = 4;
    g->config.sparse = true;
    g->config.vcpu = SIM_VCPU_NONE;
    if (sim_guest_new(&g->config, &g->guest, &err))
        die("guest", &err);
    g->hv = need(sim_hv_primary(g->guest));
    sim_guest_pause(g->guest, false);
    if (colo__hv_ops(g->hv)->track(g->hv, 1, &err))
        die("track", &err);
}

void bench_guest_spread(struct bench_guest *g, uint64_t count)
{
    uint64_t first = g->config.pulse.pages + 64;
    uint64_t room = g->config.nr_gfns - first - g->config.hole_pages;
    uint64_t x = 88172645463325252;

    free(g->gfns);
    g->gfns = need(malloc(count * sizeof(*g->gfns)));
    g->count = count;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t *page;

        g->gfns[i] = first + i * (room / count);
        page = (uint64_t *)sim_guest_page(g->guest, g->gfns[i]);
        for (size_t w = 0; w < COLO_PAGE_SIZE / 8; w++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            page[w] = x;
        }
    }
}

void bench_guest_mark(struct bench_guest *g)
{
    for (uint64_t i = 0; i < g->count; i++)
        sim_guest_mark(g->guest, g->gfns[i]);
}

void bench_guest_stop(struct bench_guest *g)
{
    struct colo_hv_event ev;
    struct colo_error err = { 0 };

    if (colo__hv_ops(g->hv)->stop->request(g->hv, &err) ||
        colo__hv_ops(g->hv)->poll(g->hv, &ev, &err) ||
        !(ev.events & COLO_HV_EV_STOPPED))
        die("stop", &err);
}

void bench_guest_resume(struct bench_guest *g)
{
    struct colo_error err = { 0 };

    if (colo__hv_ops(g->hv)->stop->resume(g->hv, &err))
        die("resume", &err);
}

void bench_guest_fini(struct bench_guest *g)
{
    colo__hv_ops(g->hv)->close(g->hv);
    sim_guest_free(g->guest);
    free(g->gfns);
    memset(g, 0, sizeof(*g));
}

/* ---- links ------------------------------------------------------------- */

static void tcp_pair(int fd[2])
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(sin);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&sin, len) ||
        listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&sin, &len))
        die("listen", NULL);
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd[0] < 0 || connect(fd[0], (struct sockaddr *)&sin, len))
        die("connect", NULL);
    fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; i < 2; i++)
        setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    close(listener);
}

struct server {
    int fd;
    struct colo_link *link;
    int rc;
};

static const uint8_t tls_key[32] = { 1, 2, 3 };

static void *serve(void *arg)
{
    struct server *s = arg;

    s->rc = colo__link_tls_new(s->fd, true, tls_key, "bench", 5000, &s->link,
                               NULL);
    return NULL;
}

void bench_tls_pair(struct colo_link **ret_a, struct colo_link **ret_b)
{
    struct colo_error err = { 0 };
    struct server s = { 0 };
    pthread_t thread;
    int fd[2];

    tcp_pair(fd);
    s.fd = fd[1];
    pthread_create(&thread, NULL, serve, &s);
    if (colo__link_tls_new(fd[0], false, tls_key, "bench", 5000, ret_a, &err))
        die("tls", &err);
    pthread_join(thread, NULL);
    if (s.rc)
        die("tls server", NULL);
    *ret_b = s.link;
}
