/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The disk model's ways for a protection to end, and what must be there then.
 */
#include <signal.h>

#include "model.h"

/* what the secondary must hold when it has ended in order */
static void end_secondary(struct model *m, int s)
{
    side_kill(m, s, SIGTERM);
    if (m->committed)
        check_file(m, s, &m->safe, "the secondary's file");
}

/* also while the replica writes: it hears of nothing */
static void failover(struct model *m, int s)
{
    struct flight f[MAX_FLIGHT];
    unsigned n = 0;

    if (replica_runs(m)) {
        side_nbd(m, s);
        n = guest_launch(m, s, f, (unsigned)rnd(m, MAX_FLIGHT + 1));
    }
    side_must(m, s, "failover", 0);
    if (!replica_runs(m))
        return;
    guest_land(m, s, &m->own, f, n, false);
    image_copy(m, &m->safe, &m->own);
    m->shared->colo_failovers++;
}

/* the secondary has taken over: it is the guest's disk now */
static void taken_over(struct model *m, int s)
{
    check_guest(m, s, &m->safe, "after the failover");
    image_copy(m, &m->now, &m->safe);
    m->primary = s;
    guest_ops(m, (unsigned)rnd(m, 30));
    check_guest(m, s, &m->now, "writes after the failover");
    m->took_over = true;
    side_kill(m, s, SIGTERM);
    check_file(m, s, &m->now, "the survivor's file");
    m->shared->failovers++;
}

static void survivor_killed(struct model *m, int p, int s)
{
    uint8_t byte;

    side_kill(m, s, SIGKILL);
    side_start(m, s, false);
    side_nbd(m, s);
    if (nbd_pread(m->side[s].nbd, &byte, 1, 0, 0) < 0) {
        /* its log was in memory: it says so, and the other copy is newest */
        m->shared->faults[SURVIVOR_BROKEN]++;
        side_kill(m, s, SIGKILL);
        side_start(m, p, false);
        check_guest(m, p, &m->now, "the first primary again");
        return;
    }
    check_guest(m, s, &m->safe, "the survivor, killed");
    image_copy(m, &m->now, &m->safe);
    m->primary = s;
    m->took_over = true;
    guest_ops(m, (unsigned)rnd(m, 30));
}

static void kill_primary(struct model *m)
{
    struct flight f[MAX_FLIGHT];
    unsigned n = guest_launch(m, m->primary, f, (unsigned)rnd(m, 8));

    kill(m->side[m->primary].pid, SIGKILL);
    guest_land(m, m->primary, &m->now, f, n, true);
    side_kill(m, m->primary, SIGKILL);
}

static void failover_alive(struct model *m, int p, int s)
{
    uint8_t byte = 0;

    failover(m, s);
    if (rnd(m, 2)) {
        side_must(m, p, "failover", 0);
        if (nbd_pwrite(m->side[p].nbd, &byte, 1, 0, 0) == 0)
            lost(m, "the outdated side takes writes");
    }
    /* with an orderly end its bits are exactly what it wrote alone */
    side_kill(m, p, rnd(m, 3) ? SIGTERM : SIGKILL);
    taken_over(m, s);
}

void end_of_round(struct model *m)
{
    int end = (int)rnd(m, NR_ENDS), p = m->primary, s = other(m);

    if (!m->committed && (end == PRIMARY_KILLED || end == FAILOVER ||
                          end == SURVIVOR_KILLED))
        end = STOP;
    m->shared->faults[end]++;
    note(m, "end: %s", fault_names[end]);
    switch (end) {
    case STOP:
        side_must(m, p, "stop", 0);
        side_must(m, s, "stop", 0);
        check_guest(m, p, &m->now, "after stop");
        if (rnd(m, 2))
            end_secondary(m, s);
        break;
    case SESSION_GONE:
        side_leave(m, p);
        side_leave(m, s);
        check_guest(m, p, &m->now, "without a session");
        if (rnd(m, 2))
            end_secondary(m, s);
        break;
    case SECONDARY_KILLED:
        side_kill(m, s, SIGKILL);
        guest_ops(m, 5);
        check_guest(m, p, &m->now, "without a secondary");
        if (side_answer(m, p, side_send(m, p, "checkpoint", m->epoch + 1),
                        20000, NULL) == 1 &&
            side_answer(m, p, side_send(m, p, "checkpoint", m->epoch + 2),
                        20000, NULL) == 1)
            lost(m, "a checkpoint without a secondary");
        if (rnd(m, 2))
            side_must(m, p, "stop", 0);
        break;
    case PRIMARY_KILLED:
        kill_primary(m);
        failover(m, s);
        taken_over(m, s);
        break;
    case FAILOVER:
        failover_alive(m, p, s);
        break;
    case BOTH_KILLED:
        kill_primary(m);
        side_kill(m, s, SIGKILL);
        side_start(m, p, false);
        check_guest(m, p, &m->now, "after both were killed");
        break;
    case SURVIVOR_KILLED:
        kill_primary(m);
        failover(m, s);
        survivor_killed(m, p, s);
        break;
    case PRIMARY_BACK:
        kill_primary(m);
        side_must(m, s, "stop", 0);
        end_secondary(m, s);
        side_start(m, p, false);
        check_guest(m, p, &m->now, "the primary, back");
        break;
    }
    image_settle(&m->now);
}
