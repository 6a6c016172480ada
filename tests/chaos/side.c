/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The process of one session: puts it together from parts, runs it, obeys
 * one-letter commands, and kills itself at the step that the plan names.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "chaos.h"

static const uint8_t session_id[16] = "chaos-session-1";
static const uint8_t tls_key[32] = "chaos";

static void log_line(void *user, int level, int sys_errno,
                     const char *context, const char *text)
{
    struct side *side = user;
    char line[512];
    int n;

    (void)sys_errno;
    n = snprintf(line, sizeof(line), "%12llu %d %s: %s\n",
                 (unsigned long long)colo__now_us(&colo__clock_monotonic),
                 level, context, text);
    if (n > (int)sizeof(line))
        n = sizeof(line);
    (void)!write(side->log, line, (size_t)n);
    if (strstr(text, "nothing heard"))
        atomic_store(&side->rec->starved, 1);
    if (strstr(text, "the guest has ended"))
        atomic_store(&side->rec->end_seen, 1);
}

/* The end as the plan has it: of this process, or of the whole host. */
static _Noreturn void die_here(struct side *side)
{
    struct sim_look look;

    if (side->plan->fault == FAULT_KILL_HOST) {
        sim_guest_look(side->guest, &look);
        kill(atomic_load(&side->rec->watchdog_pid), SIGKILL);
        kill(look.vcpu_pid, SIGKILL);
        atomic_store(&side->rec->host_down, 1);
    }
    atomic_store(&side->rec->injected, 1);
    raise(SIGKILL);
    _exit(1);
}

static void on_step(void *user, const char *step)
{
    struct side *side = user;

    log_line(side, 0, 0, "step", step);
    if (side->do_steps && !strcmp(step, side->plan->step) &&
        ++side->steps_seen == side->plan->step_count)
        die_here(side);
}

static int open_links(struct side *side, struct colo_parts *parts,
                      struct colo_error *err)
{
    struct colo_link **links[2] = { &parts->control, &parts->bulk };

    for (int i = 0; i < 2; i++) {
        int rc;

        if (side->plan->tls)
            rc = colo__link_tls_new(side->fds[i],
                                    side->role == COLO_ROLE_SECONDARY,
                                    tls_key, "chaos", 2000, links[i], err);
        else
            rc = colo__link_fd_new(side->fds[i], links[i], err);
        if (rc)
            return rc;
    }
    return 0;
}

static void fail_as_planned(struct side *side, struct colo_hv *hv)
{
    const struct plan *plan = side->plan;
    int fault = side->role == COLO_ROLE_PRIMARY ? FAULT_HV_PRIMARY
                                                : FAULT_HV_SECONDARY;

    if (plan->fault == fault)
        sim_hv_fail(hv, plan->hv_op, plan->hv_nth, plan->hv_code,
                    plan->hv_on);
}

static int set_up(struct side *side, struct colo_session **ret_session,
                  struct colo_error *err)
{
    const struct plan *plan = side->plan;
    struct colo_config config = plan->config;
    struct sim_config replica = plan->guest;
    struct colo_parts parts;
    int rc;

    memset(&parts, 0, sizeof(parts));
    parts.watchdog_fd = -1;
    if (side->role == COLO_ROLE_PRIMARY) {
        struct sim_watchdog *wd = sim_watchdog_start(side->guest);

        if (!wd)
            return colo__fail(err, COLO_E_NOMEM, 0, "chaos", "watchdog");
        sim_watchdog_give(wd, &parts.watchdog_fd, &parts.watchdog_pid);
        atomic_store(&side->rec->watchdog_pid, parts.watchdog_pid);
        parts.hv = sim_hv_primary(side->guest);
    } else {
        replica.dir = side->dir;
        replica.vcpu = plan->replica_runs ? SIM_VCPU_PROCESS : SIM_VCPU_NONE;
        /* in mode colo it falls behind, gets ahead, or keeps up */
        replica.step_us = plan->mode != COLO_MODE_COLO ? 20
                          : replica.step_us * (plan->run % 3 + 1) / 2;
        parts.hv = sim_hv_secondary(&replica);
    }
    side->hv = parts.hv;
    fail_as_planned(side, parts.hv);
    rc = open_links(side, &parts, err);
    if (rc)
        return rc;
    parts.session_id = (const char *)session_id;
    parts.replication[0] = record_follower(side->rec, plan, side->role,
                                           parts.hv, side->guest);
    parts.step_fn = on_step;
    parts.step_user = side;
    config.role = side->role;
    config.log.fn = log_line;
    config.log.user = side;
    return colo__session_new(&config, &parts, ret_session, err);
}

static void obey(struct side *side, struct colo_session *session)
{
    struct colo_error err = { 0 };
    char word;

    if (read(side->command, &word, 1) != 1)
        return;
    if (word == 's')
        colo_session_stop(session, &err);
    else if (word == 'f' && colo_session_failover(session, &err))
        log_line(side, 3, 0, "chaos", err.text);
}

static int run_session(struct side *side, struct colo_session *session,
                       struct colo_error *err)
{
    int rc;

    rc = colo_set_replication(session, 1, side->role == COLO_ROLE_PRIMARY, 0,
                              err);
    if (rc)
        return rc;
    for (;;) {
        struct pollfd pfds[2] = {
            { .fd = colo_session_get_fd(session), .events = POLLIN },
            { .fd = side->command, .events = POLLIN },
        };
        uint64_t at, now;

        rc = colo_session_process(session, err);
        if (rc <= 0)
            return rc;
        at = colo_session_get_deadline(session);
        now = colo__now_us(&colo__clock_monotonic) / 1000;
        poll(pfds, 2, at <= now ? 0 : at - now < 100 ? (int)(at - now) : 100);
        if (pfds[1].revents)
            obey(side, session);
    }
}

void side_main(struct side *side)
{
    struct colo_session *session = NULL;
    struct colo_error err = { 0 };
    struct record *rec = side->rec;
    int i = side->role == COLO_ROLE_SECONDARY, rc;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, i ? "chaos-secondary" : "chaos-primary");
    signal(SIGPIPE, SIG_IGN);
    rc = set_up(side, &session, &err);
    if (!rc)
        rc = run_session(side, session, &err);
    log_line(side, 2, 0, "ended", rc ? err.text : "well");
    snprintf(rec->error[i], sizeof(rec->error[i]), "%s", rc ? err.text : "");
    rec->code[i] = rc;
    colo_session_close(session);
    _exit(rc ? EXIT_ERROR : 0);
}
