/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a run does, from its seed and number alone.
 */
#include <stdio.h>
#include <string.h>

#include "chaos.h"

static uint64_t next(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint32_t upto(uint64_t *x, uint32_t n) /* 0 .. n - 1 */
{
    return (uint32_t)(next(x) >> 33) % n;
}

static bool one_in(uint64_t *x, uint32_t n)
{
    return upto(x, n) == 0;
}

static const struct {
    const char *name;
    uint32_t weight;
} faults[FAULT_COUNT] = {
#define X(id, name, weight) { #name, weight },
    FAULTS(X)
#undef X
};

const char *fault_name(int fault)
{
    return faults[fault].name;
}

static int choose_fault(uint64_t *x)
{
    uint32_t sum = 0, at;
    int i;

    for (i = 0; i < FAULT_COUNT; i++)
        sum += faults[i].weight;
    at = upto(x, sum);
    for (i = 0; at >= faults[i].weight; i++)
        at -= faults[i].weight;
    return i;
}

static void plan_guest(struct plan *plan, uint64_t *x)
{
    struct sim_config *g = &plan->guest;

    sim_config_init(g);
    g->name = "chaos";
    g->nr_gfns = 256 + upto(x, 4) * 128;
    g->max_gfns = g->nr_gfns + 64;
    g->pulse.seed = next(x);
    g->pulse.pages = 96 + upto(x, 100);
    g->pulse.hot = 16 + upto(x, 32);
    g->pulse.per_step = 1 + upto(x, 12);
    g->pulse.cold_per_step = upto(x, 4);
    g->ring_every = upto(x, 6);
    if (one_in(x, 2)) {
        g->balloon_pages = 1 + upto(x, 40);
        g->balloon_every = 5 + upto(x, 100);
    }
    g->step_us = 50 + upto(x, 400);
    g->stop_delay_us = one_in(x, 2) ? upto(x, 2000) : 0;
    g->context_pad = one_in(x, 3) ? upto(x, 200000) : upto(x, 100);
    g->vcpu = SIM_VCPU_PROCESS;
    g->life_ms = 30000;
}

static void plan_config(struct plan *plan, uint64_t *x)
{
    struct colo_config *c = &plan->config;
    static const uint32_t audits[] = { 1, 4, 256, UINT32_MAX };

    colo_config_init(c, sizeof(*c));
    c->transport = COLO_TRANSPORT_FD;
    c->interval_ms = 1 + upto(x, 8);
    c->heartbeat_ms = 30;
    c->dead_ms = 350;
    c->stop_ms = 150;
    c->connect_ms = 3000;
    c->seed_ms = 1500;
    c->commit_ms = 800;
    c->audit_checkpoints = audits[upto(x, 4)];
    c->delta_mib = upto(x, 3);
    c->live_round = (int32_t)upto(x, 3) - 1;
    c->compress = (int32_t)upto(x, 3) - 1;
    c->log.min_level = COLO_LOG_DEBUG;
}

static const char *colo_step(const struct plan *plan, uint64_t *x)
{
    static const char *const primary[] = {
        "live", "stopped", "captured", "compared", "sent", "received",
        "committed", "resumed",
    };
    static const char *const secondary[] = {
        "request", "halted", "reply", "whole", "received", "applied", "set",
        "loaded",
    };

    if (plan->fault == FAULT_KILL_SECONDARY)
        return secondary[upto(x, COLO_ARRAY_LEN(secondary))];
    return primary[upto(x, COLO_ARRAY_LEN(primary))];
}

static void plan_step(struct plan *plan, uint64_t *x)
{
    static const char *const primary[] = {
        "live", "stopped", "captured", "resumed", "sent", "received",
        "committed",
    };
    static const char *const secondary[] = {
        "reply", "whole", "received", "loaded",
    };

    if (plan->mode == COLO_MODE_COLO)
        plan->step = colo_step(plan, x);
    else if (plan->fault == FAULT_KILL_SECONDARY)
        plan->step = secondary[upto(x, COLO_ARRAY_LEN(secondary))];
    else
        plan->step = primary[upto(x, COLO_ARRAY_LEN(primary))];
    plan->step_count = 1 + upto(x, 8);
}

/* Calls that fail once, or from then on where the guest can be resumed all
 * the same. */
static void plan_hv(struct plan *plan, uint64_t *x)
{
    static const int primary[] = {
        SIM_OP_POLL, SIM_OP_INFO, SIM_OP_TRACK, SIM_OP_DIRTY, SIM_OP_UNMARKED,
        SIM_OP_READ, SIM_OP_REQUEST, SIM_OP_CANCEL, SIM_OP_RESUME, SIM_OP_GET,
        SIM_OP_SEED_OUT, SIM_OP_ABANDON,
    };
    static const int secondary[] = {
        SIM_OP_POLL, SIM_OP_INFO, SIM_OP_READ, SIM_OP_WRITE, SIM_OP_CHECK,
        SIM_OP_SEED_IN, SIM_OP_DESTROY,
    };
    static const int replica[] = { /* mode colo */
        SIM_OP_POLL, SIM_OP_INFO, SIM_OP_TRACK, SIM_OP_DIRTY, SIM_OP_READ,
        SIM_OP_WRITE, SIM_OP_REQUEST, SIM_OP_CHECK, SIM_OP_SET, SIM_OP_RUN,
        SIM_OP_SEED_IN, SIM_OP_DESTROY,
    };
    static const int codes[] = { COLO_E_HV, COLO_E_SYS, COLO_E_NOMEM };

    if (plan->fault == FAULT_HV_PRIMARY)
        plan->hv_op = primary[upto(x, COLO_ARRAY_LEN(primary))];
    else if (plan->mode == COLO_MODE_COLO)
        plan->hv_op = replica[upto(x, COLO_ARRAY_LEN(replica))];
    else
        plan->hv_op = secondary[upto(x, COLO_ARRAY_LEN(secondary))];
    plan->hv_code = codes[upto(x, COLO_ARRAY_LEN(codes))];
    plan->hv_nth = 1 + upto(x, plan->hv_op == SIM_OP_SEED_OUT ||
                                       plan->hv_op == SIM_OP_SEED_IN ||
                                       plan->hv_op == SIM_OP_TRACK
                                   ? 1 : 12);
    plan->hv_on = one_in(x, 2) && plan->hv_op != SIM_OP_RESUME &&
                  plan->hv_op != SIM_OP_CANCEL;
}

/* Both run, each does some things in its own way, and each may lose its
 * record. */
static void plan_colo(struct plan *plan, uint64_t *x)
{
    plan->replica_runs = true;
    plan->guest.noise_pages = upto(x, 4);
    plan->guest.noise_every = upto(x, 5);
    plan->config.mode = COLO_MODE_COLO;
    plan->track_off_there = one_in(x, 2);
}

void plan_make(struct plan *plan, uint64_t seed, uint32_t run, int mode)
{
    uint64_t x = seed * UINT64_C(0x2545f4914f6cdd1d) + run;

    memset(plan, 0, sizeof(*plan));
    plan->seed = seed;
    plan->run = run;
    plan->mode = mode;
    next(&x);
    plan->fault = choose_fault(&x);
    plan->hv_op = -1;
    plan->tls = one_in(&x, 4);
    plan->relay = !one_in(&x, 4) ||
                  (plan->fault >= FAULT_CUT && plan->fault <= FAULT_FLIP_BULK);
    plan->gone_silent = one_in(&x, 2);
    plan->latency_ms = one_in(&x, 2) ? upto(&x, 5) : 0;
    plan->slow_follower = one_in(&x, 3);
    plan->after_epochs = upto(&x, 10);
    if (plan->fault == FAULT_FAILOVER)
        plan->after_epochs += 2; /* before, there is nothing to take over */
    plan->delay_us = upto(&x, 10000);
    plan->delay_ms = 1 + upto(&x, 30);
    plan->told = plan->delay_us % 2;
    plan->reason = (int)upto(&x, 2); /* poweroff, reboot */
    if (one_in(&x, 3))
        plan->reason = COLO_HV_CRASH;
    plan->replica_runs = one_in(&x, 3);
    plan_guest(plan, &x);
    plan_config(plan, &x);
    if (mode == COLO_MODE_COLO)
        plan_colo(plan, &x);
    if (plan->fault >= FAULT_KILL_PRIMARY &&
        plan->fault <= FAULT_KILL_BOTH && !one_in(&x, 3))
        plan_step(plan, &x);
    if (plan->fault == FAULT_HV_PRIMARY || plan->fault == FAULT_HV_SECONDARY)
        plan_hv(plan, &x);
}

void plan_print(const struct plan *plan, char *buf, size_t cap)
{
    const struct sim_config *g = &plan->guest;
    const struct colo_config *c = &plan->config;
    int n;

    n = snprintf(buf, cap,
                 "%s%s%s%s (%u ms)%s%s, %llu frames, pulse %u+%u/step, every "
                 "%u us, balloon %u/%u, context +%u; interval %u ms, live %d, "
                 "compress %d, delta %u, audit %u",
                 plan->mode == COLO_MODE_COLO ? "mode colo: " : "",
                 fault_name(plan->fault), plan->tls ? ", tls" : "",
                 plan->relay ? ", relay" : "",
                 plan->latency_ms,
                 plan->slow_follower ? ", slow follower" : "",
                 plan->gone_silent ? ", silent death" : "",
                 (unsigned long long)g->nr_gfns, g->pulse.per_step,
                 g->pulse.cold_per_step, g->step_us, g->balloon_pages,
                 g->balloon_every, g->context_pad, c->interval_ms,
                 c->live_round, c->compress, c->delta_mib,
                 c->audit_checkpoints);
    if (n < 0 || (size_t)n >= cap)
        return;
    if (plan->step)
        snprintf(buf + n, cap - (size_t)n, "; at step %s number %u",
                 plan->step, plan->step_count);
    else if (plan->hv_op >= 0)
        snprintf(buf + n, cap - (size_t)n, "; op %d call %u%s code %d",
                 plan->hv_op, plan->hv_nth, plan->hv_on ? " and on" : "",
                 plan->hv_code);
    else
        snprintf(buf + n, cap - (size_t)n, "; after %u commits and %u us",
                 plan->after_epochs, plan->delay_us);
}
