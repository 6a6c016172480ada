/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What mode colo sends: whole sessions over simulated guests whose copies do
 * the same work, with some pages that no two copies write alike, against mode
 * remus, which sends the whole dirty set of the same guest at the same steps.
 * Both with and without coding of pages.  sent_share: bytes on the bulk link,
 * both directions, of colo by those of remus.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "bench.h"
#include "parts.h"

#define CHECKPOINTS 24
#define WARM 4           /* until what is sent as a difference is known */
#define STEPS 60         /* between two */
#define WAIT_MS 20000

struct figures {
    uint64_t checkpoints; /* that count */
    uint64_t dirty, sent, bytes;
    struct series pause, commit;
};

struct bench_pair {
    struct sim_config config;
    struct sim_guest *guest;
    struct colo_hv *replica_hv;
    struct colo_session *session[2];
    uint64_t seen;        /* checkpoints of the primary */
    struct figures *f;
};

static void on_event(void *user, const struct colo_event *ev)
{
    struct bench_pair *p = user;

    if (ev->type != COLO_EVENT_CHECKPOINT || ++p->seen <= WARM)
        return;
    p->f->checkpoints++;
    p->f->dirty += ev->checkpoint->dirty_pages;
    p->f->sent += ev->checkpoint->dirty_pages;
    p->f->bytes += ev->checkpoint->wire_bytes;
    series_add(&p->f->pause, (double)ev->checkpoint->pause_us);
    series_add(&p->f->commit, (double)ev->checkpoint->commit_us);
}

static void open_side(struct bench_pair *p, int role, int mode, int compress,
                      int control, int bulk)
{
    static const char id[16] = "bench-session-1";
    struct colo_parts parts = { .watchdog_fd = -1, .session_id = id };
    struct colo_config config;
    struct colo_error err;
    int i = role == COLO_ROLE_SECONDARY;

    colo_config_init(&config, sizeof(config));
    config.role = role;
    config.mode = mode;
    config.transport = COLO_TRANSPORT_FD;
    config.interval_ms = 600000;
    config.dead_ms = 10000;
    config.compress = compress;
    config.audit_checkpoints = COLO_AUDIT_OFF;
    if (!i) {
        config.event_fn = on_event;
        config.event_user = p;
    }
    parts.hv = i ? need(sim_hv_secondary(&p->config))
                 : need(sim_hv_primary(p->guest));
    if (i)
        p->replica_hv = parts.hv;
    if (colo__link_fd_new(control, &parts.control, &err) ||
        colo__link_fd_new(bulk, &parts.bulk, &err) ||
        colo__session_new(&config, &parts, &p->session[i], &err))
        die("session", &err);
}

static void turn(struct bench_pair *p)
{
    struct pollfd pfds[2];

    for (int i = 0; i < 2; i++) {
        struct colo_error err = { 0 };

        if (colo_session_process(p->session[i], &err) <= 0)
            die(i ? "secondary" : "primary", &err);
        pfds[i] = (struct pollfd){ .fd = colo_session_get_fd(p->session[i]),
                                   .events = POLLIN };
    }
    (void)poll(pfds, 2, 1);
}

static void until_checkpoint(struct bench_pair *p, uint64_t n)
{
    uint64_t end = now_ns() + WAIT_MS * UINT64_C(1000000);

    while (p->seen < n) {
        if (now_ns() > end)
            die("no checkpoint came", NULL);
        turn(p);
    }
}

static void end_pair(struct bench_pair *p)
{
    int rc[2] = { 1, 1 };

    (void)colo_session_stop(p->session[0], NULL);
    for (int n = 0; n < WAIT_MS && (rc[0] > 0 || rc[1] > 0); n++) {
        for (int i = 0; i < 2; i++)
            if (rc[i] > 0)
                rc[i] = colo_session_process(p->session[i], NULL);
        (void)poll(NULL, 0, 1);
    }
    if (rc[0] || rc[1])
        die("the sessions do not end well", NULL);
    for (int i = 0; i < 2; i++)
        colo_session_close(p->session[i]);
}

static void work(struct bench_pair *p, int mode, uint64_t goal)
{
    struct sim_guest *replica = sim_hv_guest(p->replica_hv);

    sim_guest_goal(p->guest, goal);
    if (mode == COLO_MODE_COLO)
        sim_guest_goal(replica, goal);
    if (!sim_guest_wait_steps(p->guest, goal, WAIT_MS) ||
        (mode == COLO_MODE_COLO &&
         !sim_guest_wait_steps(replica, goal, WAIT_MS)))
        die("the guests do not get there", NULL);
}

static void measure(int mode, int compress, uint32_t noise,
                    struct figures *ret_figures)
{
    struct bench_pair p = { .f = ret_figures };
    struct colo_status st = { .size = sizeof(st) };
    struct colo_error err;
    int control[2], bulk[2];
    uint64_t before = 0;

    memset(ret_figures, 0, sizeof(*ret_figures));
    sim_config_init(&p.config);
    p.config.nr_gfns = 16384; /* 64 MiB */
    p.config.pulse.pages = 12288;
    p.config.pulse.per_step = 32;
    p.config.pulse.hot = 2048;
    p.config.pulse.cold_per_step = 8;
    p.config.noise_pages = noise;
    p.config.noise_every = 1;
    p.config.step_us = 0;
    p.config.lockstep = true;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, control) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, bulk))
        die("socketpair", NULL);
    if (sim_guest_new(&p.config, &p.guest, &err) ||
        sim_guest_run(p.guest, &err))
        die("guest", &err);
    open_side(&p, COLO_ROLE_PRIMARY, mode, compress, control[0], bulk[0]);
    open_side(&p, COLO_ROLE_SECONDARY, mode, compress, control[1], bulk[1]);
    until_checkpoint(&p, 1);
    for (uint64_t n = 2; n <= CHECKPOINTS + WARM; n++) {
        work(&p, mode, n * STEPS);
        if (colo_query_status(p.session[0], &st, &err) ||
            colo_do_checkpoint(p.session[0], &err))
            die("checkpoint", &err);
        if (n == WARM + 1)
            before = st.lockstep.total_bytes;
        until_checkpoint(&p, n);
    }
    if (mode == COLO_MODE_COLO) {
        if (colo_query_status(p.session[0], &st, &err))
            die("status", &err);
        ret_figures->bytes = st.lockstep.total_bytes - before;
        ret_figures->dirty = st.lockstep.own_dirty_pages;
        ret_figures->sent = st.lockstep.sent_pages;
    } else {
        ret_figures->sent = ret_figures->dirty /= ret_figures->checkpoints;
    }
    end_pair(&p);
    sim_guest_free(p.guest);
}

static double compare(const char *name, int compress, uint32_t noise)
{
    struct figures remus, colo;
    double share;

    measure(COLO_MODE_REMUS, compress, noise, &remus);
    measure(COLO_MODE_COLO, compress, noise, &colo);
    printf("%s_dirty_pages=%llu\n", name, (unsigned long long)colo.dirty);
    printf("%s_sent_pages=%llu\n", name, (unsigned long long)colo.sent);
    printf("%s_remus_bytes=%llu\n", name, (unsigned long long)
           (remus.bytes / remus.checkpoints));
    printf("%s_colo_bytes=%llu\n", name, (unsigned long long)
           (colo.bytes / colo.checkpoints));
    printf("%s_remus_pause_us=%.0f\n", name, series_median(&remus.pause));
    printf("%s_colo_pause_us=%.0f\n", name, series_median(&colo.pause));
    printf("%s_colo_commit_us=%.0f\n", name, series_median(&colo.commit));
    share = (double)colo.bytes / (double)remus.bytes *
            ((double)remus.checkpoints / (double)colo.checkpoints);
    printf("%s_sent_share=%.4f\n", name, share);
    return share;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* one page in a hundred of those written differs */
    (void)compare("plain", 0, 16);
    printf("sent_share=%.4f\n", compare("coded", 1, 16));
    return 0;
}
