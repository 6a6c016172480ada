/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The Xen backend on a real host, without a session around it.
 *
 *   hv-xen-probe cycle DOMAIN N MS        N checkpoints to nowhere, timed
 *   hv-xen-probe seed DOMAIN FILE         a seed to a file; the guest goes on
 *   hv-xen-probe hang DOMAIN asked|stopped  then sleeps, to be killed
 *   hv-xen-probe life DOMAIN monitor|end REASON
 *   hv-xen-probe cancel DOMAIN US         ask, cancel after US, 50 times
 *   hv-xen-probe state DOMAIN FILE        its machine state (also a fuzz seed)
 *   hv-xen-probe send DOMAIN N MS ADDR    seed and N checkpoints to recv
 *   hv-xen-probe recv [run]               the other side; run: take over
 *
 * Build directory: tests/e2e; copy it and libexec's programs to a Xen host
 * and run it as root, with COLO_LIBEXECDIR in the environment if they are
 * not where they get installed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hv/hv.h"
#include "hv/watchdog.h"

#define PORT 7790
#define BATCH 4096
#define STOP_MS 20000
#define SEED_MS 300000

enum { STOP, DIRTY, READ, STATE, RESUME, TOTAL, NR_STEPS };

static const char *const step_names[] = {
    "stop", "dirty", "read", "state", "resume", "total",
};

struct probe {
    struct colo_hv *hv;
    const struct colo_hv_ops *ops;
    struct colo_bitmap bm;
    uint64_t *gfns;
    uint8_t *kinds, *pages, *state;
    size_t cap;
    uint32_t state_len;
};

static uint64_t now_us(void)
{
    return colo__now_us(&colo__clock_monotonic);
}

static void die(const struct colo_error *err, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", what, err->where, err->text);
    exit(1);
}

static void on_log(void *user, int level, int sys_errno, const char *context,
                   const char *text)
{
    (void)user;
    fprintf(stderr, "[%d] %s: %s (%d)\n", level, context, text, sys_errno);
}

static void probe_open(struct probe *p, const char *domain)
{
    struct colo_log log = { on_log, NULL, COLO_LOG_DEBUG };
    struct colo_error err = { 0 };

    memset(p, 0, sizeof(*p));
    colo__bitmap_init(&p->bm);
    p->state = malloc(1 << 20);
    if (colo__hv_xen_open(domain, getenv("COLO_LIBEXECDIR"), &log, &p->hv,
                          &err))
        die(&err, "open");
    p->ops = colo__hv_ops(p->hv);
}

/* until one of the events */
static void wait_for(struct probe *p, uint32_t events, int timeout_ms)
{
    uint64_t end = now_us() + (uint64_t)timeout_ms * 1000;
    struct colo_error err = { 0 };
    struct colo_hv_event ev;

    for (;;) {
        struct pollfd pfd = { p->ops->fd(p->hv), POLLIN, 0 };

        if (p->ops->poll(p->hv, &ev, &err))
            die(&err, "poll");
        if (ev.events & COLO_HV_EV_PROGRESS)
            fprintf(stderr, "seed %llu/%llu\n",
                    (unsigned long long)ev.seed_done,
                    (unsigned long long)ev.seed_total);
        if (ev.events & events)
            return;
        if (ev.events & COLO_HV_EV_GUEST) {
            fprintf(stderr, "the guest has ended\n");
            exit(1);
        }
        if (now_us() > end) {
            fprintf(stderr, "nothing happened in %d ms\n", timeout_ms);
            exit(1);
        }
        poll(&pfd, 1, 100);
    }
}

/* the frames of p->bm to p->gfns, room for their pages */
static size_t gather(struct probe *p)
{
    size_t n = colo__bitmap_count(&p->bm), got;
    uint64_t pos = 0;

    if (n > p->cap) {
        p->cap = n + BATCH;
        p->gfns = realloc(p->gfns, p->cap * sizeof(*p->gfns));
        p->kinds = realloc(p->kinds, p->cap);
        p->pages = realloc(p->pages, p->cap * COLO_PAGE_SIZE);
        if (!p->gfns || !p->kinds || !p->pages)
            exit(1);
    }
    got = colo__bitmap_scan(&p->bm, &pos, p->gfns, n);
    return got;
}

/* dirty + read + state of a stopped guest; returns the pages */
static size_t capture(struct probe *p, uint32_t flags, uint64_t *t)
{
    struct colo_error err = { 0 };
    bool lost = false;
    size_t n;

    colo__bitmap_zero(&p->bm);
    if (p->ops->dirty(p->hv, &p->bm, flags, &lost, &err))
        die(&err, "dirty");
    t[DIRTY] = now_us();
    if (lost)
        fprintf(stderr, "lost: %s\n", err.text);
    n = gather(p);
    if (p->ops->read(p->hv, p->gfns, n, p->pages, p->kinds, &err))
        die(&err, "read");
    t[READ] = now_us();
    if (p->ops->machine->get(p->hv, p->state, 1 << 20, &p->state_len, &err))
        die(&err, "machine get");
    if (p->ops->machine->check(p->hv, p->state, p->state_len, &err))
        die(&err, "machine check");
    t[STATE] = now_us();
    return n;
}

static void resume(struct probe *p, uint64_t *t)
{
    struct colo_error err = { 0 };

    if (p->ops->stop->resume(p->hv, &err))
        die(&err, "resume");
    t[RESUME] = now_us();
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print_steps(uint64_t (*steps)[NR_STEPS], size_t n,
                        uint64_t *pages)
{
    uint64_t *v = calloc(n, sizeof(*v));

    qsort(pages, n, sizeof(*pages), by_value);
    printf("%zu cycles, pages min/median/max %llu/%llu/%llu\n", n,
           (unsigned long long)pages[0], (unsigned long long)pages[n / 2],
           (unsigned long long)pages[n - 1]);
    for (int s = 0; s < NR_STEPS; s++) {
        for (size_t i = 0; i < n; i++)
            v[i] = steps[i][s];
        qsort(v, n, sizeof(*v), by_value);
        printf("%-7s us min/median/p95/max %llu/%llu/%llu/%llu\n",
               step_names[s], (unsigned long long)v[0],
               (unsigned long long)v[n / 2],
               (unsigned long long)v[n * 95 / 100],
               (unsigned long long)v[n - 1]);
    }
    free(v);
}

/* one stop .. resume; sends to fd if it is not -1 */
static size_t checkpoint(struct probe *p, uint64_t steps[NR_STEPS])
{
    struct colo_error err = { 0 };
    uint64_t t[NR_STEPS], start = now_us();
    size_t n;

    if (p->ops->stop->request(p->hv, &err))
        die(&err, "request");
    wait_for(p, COLO_HV_EV_STOPPED, STOP_MS);
    t[STOP] = now_us();
    n = capture(p, COLO_DIRTY_CLEAN | COLO_DIRTY_FINAL, t);
    resume(p, t);
    steps[STOP] = t[STOP] - start;
    for (int s = DIRTY; s <= RESUME; s++)
        steps[s] = t[s] - t[s - 1];
    steps[TOTAL] = t[RESUME] - start;
    return n;
}

static int cycle(const char *domain, size_t n, unsigned ms)
{
    uint64_t (*steps)[NR_STEPS] = calloc(n, sizeof(*steps));
    uint64_t *pages = calloc(n, sizeof(*pages));
    struct colo_error err = { 0 };
    struct probe p;

    probe_open(&p, domain);
    if (p.ops->track(p.hv, 1, &err))
        die(&err, "track");
    for (size_t i = 0; i < n; i++) {
        usleep(ms * 1000);
        pages[i] = checkpoint(&p, steps[i]);
    }
    if (p.ops->track(p.hv, 0, &err))
        die(&err, "track off");
    p.ops->close(p.hv);
    print_steps(steps, n, pages);
    return 0;
}

static void seed_out(struct probe *p, int fd)
{
    struct colo_error err = { 0 };
    uint64_t t[NR_STEPS], start = now_us();

    if (p->ops->life->seed_out(p->hv, fd, &err))
        die(&err, "seed_out");
    wait_for(p, COLO_HV_EV_SEEDED, SEED_MS);
    printf("seeded in %llu ms\n",
           (unsigned long long)((now_us() - start) / 1000));
    if (p->ops->track(p->hv, 1, &err))
        die(&err, "track");
    t[STOP] = now_us();
    printf("first set: %zu pages\n",
           capture(p, COLO_DIRTY_CLEAN | COLO_DIRTY_SEED, t));
}

static int seed(const char *domain, const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t t[NR_STEPS];
    struct probe p;

    probe_open(&p, domain);
    seed_out(&p, fd);
    resume(&p, t);
    p.ops->close(p.hv);
    return 0;
}

static int state(const char *domain, const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct colo_error err = { 0 };
    struct probe p;

    probe_open(&p, domain);
    if (p.ops->machine->get(p.hv, p.state, 1 << 20, &p.state_len, &err))
        die(&err, "machine get");
    if (write(fd, p.state, p.state_len) != (ssize_t)p.state_len)
        return 1;
    p.ops->close(p.hv);
    return close(fd);
}

/* with a watchdog of its own, as a session has one */
static int hang(const char *domain, bool stopped)
{
    const char *uuid = "00000000-0000-0000-0000-000000000001";
    struct colo_error err = { 0 };
    struct colo_hv_info info;
    struct probe p;
    pid_t pid;
    int fd;

    probe_open(&p, domain);
    if (p.ops->info(p.hv, &info, &err) ||
        colo__watchdog_start(info.domid, uuid, getenv("COLO_LIBEXECDIR"), &fd,
                             &pid, &err) ||
        p.ops->track(p.hv, 1, &err) ||
        p.ops->stop->request(p.hv, &err))
        die(&err, "hang");
    if (stopped)
        wait_for(&p, COLO_HV_EV_STOPPED, STOP_MS);
    printf("hanging\n");
    fflush(stdout);
    return pause();
}

static int life(const char *domain, const char *what, int reason)
{
    struct colo_error err = { 0 };
    struct probe p;

    probe_open(&p, domain);
    if (!strcmp(what, "monitor")) {
        if (p.ops->life->abandon(p.hv, &err))
            die(&err, "abandon");
    } else {
        if (p.ops->life->end_guest(p.hv, reason, &err))
            die(&err, "end_guest");
        wait_for(&p, COLO_HV_EV_ENDED, SEED_MS);
    }
    p.ops->close(p.hv);
    return 0;
}

static int cancel(const char *domain, unsigned us)
{
    int late = 0, n = 50;
    struct colo_error err = { 0 };
    struct colo_hv_info info;
    struct probe p;

    probe_open(&p, domain);
    for (int i = 0; i < n; i++) {
        bool stopped = false;

        if (p.ops->stop->request(p.hv, &err))
            die(&err, "request");
        usleep(us);
        if (p.ops->stop->cancel(p.hv, &stopped, &err))
            die(&err, "cancel");
        late += stopped;
        if (stopped && p.ops->stop->resume(p.hv, &err))
            die(&err, "resume");
        usleep(50000);
        if (p.ops->info(p.hv, &info, &err) ||
            info.state != COLO_HV_RUNNING)
            printf("state %d after cancel %d\n", info.state, i);
    }
    printf("%d cancelled, of them %d had stopped\n", n, late);
    p.ops->close(p.hv);
    return 0;
}

/* ---- over the wire, for tests only: {n, state_len} gfns kinds pages state */

static int connect_to(const char *addr)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(PORT) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (inet_pton(AF_INET, addr, &sa.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        perror(addr);
        exit(1);
    }
    return fd;
}

static void put(int fd, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)data + done, len - done,
                         MSG_NOSIGNAL);

        if (n <= 0) {
            perror("send");
            exit(1);
        }
        done += (size_t)n;
    }
}

static bool get(int fd, void *data, size_t len)
{
    return recv(fd, data, len, MSG_WAITALL) == (ssize_t)len;
}

static void send_epoch(struct probe *p, int fd, size_t n)
{
    uint64_t head[2] = { n, p->state_len };

    put(fd, head, sizeof(head));
    put(fd, p->gfns, n * sizeof(*p->gfns));
    put(fd, p->kinds, n);
    put(fd, p->pages, n * COLO_PAGE_SIZE);
    put(fd, p->state, p->state_len);
    if (!get(fd, head, 8)) {
        fprintf(stderr, "the receiver has gone\n");
        exit(1);
    }
}

static int do_send(const char *domain, size_t n, unsigned ms,
                   const char *addr)
{
    uint64_t steps[NR_STEPS];
    struct probe p;
    int fd;

    probe_open(&p, domain);
    seed_out(&p, connect_to(addr));
    fd = connect_to(addr);
    send_epoch(&p, fd, colo__bitmap_count(&p.bm));
    resume(&p, steps);
    for (size_t i = 0; i < n; i++) {
        size_t pages;

        usleep(ms * 1000);
        pages = checkpoint(&p, steps);
        send_epoch(&p, fd, pages);
    }
    printf("%zu epochs sent\n", n);
    fflush(stdout);
    /* as a power cut: the guest here must not speak any more */
    if (getenv("PROBE_CUT"))
        _exit(0);
    p.ops->close(p.hv);
    return 0;
}

static void apply(struct probe *p, size_t n)
{
    struct colo_error err = { 0 };
    size_t from = 0;

    while (from < n) {
        size_t to = from;
        uint8_t kind = p->kinds[from];
        int rc = 0;

        while (to < n && p->kinds[to] == kind)
            to++;
        if (kind == COLO_PAGE_DATA)
            rc = p->ops->write(p->hv, p->gfns + from, to - from,
                               p->pages + from * COLO_PAGE_SIZE, &err);
        else if (kind == COLO_PAGE_GONE)
            rc = p->ops->write(p->hv, p->gfns + from, to - from, NULL, &err);
        if (rc)
            die(&err, "write");
        from = to;
    }
    if (p->ops->machine->set(p->hv, p->state, p->state_len, &err))
        die(&err, "machine set");
}

static bool recv_epoch(struct probe *p, int fd)
{
    uint64_t head[2], start;

    if (!get(fd, head, sizeof(head)) || head[1] > 1 << 20)
        return false;
    colo__bitmap_resize(&p->bm, head[0]);
    colo__bitmap_fill(&p->bm);
    gather(p);
    p->state_len = (uint32_t)head[1];
    if (!get(fd, p->gfns, head[0] * 8) || !get(fd, p->kinds, head[0]) ||
        !get(fd, p->pages, head[0] * COLO_PAGE_SIZE) ||
        !get(fd, p->state, head[1]))
        return false;
    start = now_us();
    apply(p, head[0]);
    printf("applied %llu pages in %llu us\n", (unsigned long long)head[0],
           (unsigned long long)(now_us() - start));
    put(fd, head, 8);
    return true;
}

static int do_recv(bool run)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(PORT) };
    int one = 1, l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
    struct colo_error err = { 0 };
    uint64_t start;
    struct probe p;

    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(l, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(l, 2) < 0)
        return 1;
    probe_open(&p, NULL);
    if (p.ops->life->seed_in(p.hv, accept4(l, NULL, NULL, SOCK_CLOEXEC),
                             &err))
        die(&err, "seed_in");
    wait_for(&p, COLO_HV_EV_SEEDED, SEED_MS);
    fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
    while (recv_epoch(&p, fd))
        ;
    start = now_us();
    if (run ? p.ops->life->start(p.hv, &err)
            : p.ops->life->destroy(p.hv, &err))
        die(&err, "start or destroy");
    printf("%s in %llu us\n", run ? "started" : "destroyed",
           (unsigned long long)(now_us() - start));
    p.ops->close(p.hv);
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";

    if (argc == 5 && !strcmp(mode, "cycle"))
        return cycle(argv[2], strtoul(argv[3], NULL, 10),
                     (unsigned)atoi(argv[4]));
    if (argc == 4 && !strcmp(mode, "seed"))
        return seed(argv[2], argv[3]);
    if (argc == 4 && !strcmp(mode, "hang"))
        return hang(argv[2], !strcmp(argv[3], "stopped"));
    if (argc >= 4 && !strcmp(mode, "life"))
        return life(argv[2], argv[3], argc > 4 ? atoi(argv[4]) : 0);
    if (argc == 4 && !strcmp(mode, "cancel"))
        return cancel(argv[2], (unsigned)atoi(argv[3]));
    if (argc == 4 && !strcmp(mode, "state"))
        return state(argv[2], argv[3]);
    if (argc == 6 && !strcmp(mode, "send"))
        return do_send(argv[2], strtoul(argv[3], NULL, 10),
                       (unsigned)atoi(argv[4]), argv[5]);
    if (argc >= 2 && !strcmp(mode, "recv"))
        return do_recv(argc > 2);
    fprintf(stderr, "usage: see the head of hv-xen-probe.c\n");
    return 2;
}
