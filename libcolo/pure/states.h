/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The state machines of a session as tables: primary, secondary, failover.
 * Pure: who may go where on which event, and which action that starts; the
 * actions are elsewhere.  Source: libcolo-states(7), which shows these tables
 * and is compared with them by a test.
 */
#ifndef COLO_PURE_STATES_H
#define COLO_PURE_STATES_H

#include <stddef.h>
#include <stdint.h>

/* events of a session */
enum {
    COLO_EV_START,      /* colo_set_replication(enable) or run */
    COLO_EV_CONNECTED,  /* HELLO of the peer came and fits */
    COLO_EV_SEEDED,     /* secondary: the replica is there, paused */
    COLO_EV_READY,      /* primary: CHECKPOINT_READY came */
    COLO_EV_TIMER,      /* primary: a checkpoint is due or was asked for */
    COLO_EV_REQUEST,    /* secondary: CHECKPOINT_REQUEST came */
    COLO_EV_REPLY,      /* primary: CHECKPOINT_REPLY came */
    COLO_EV_STOPPED,    /* primary: the guest stands still */
    COLO_EV_COMMITTED,  /* primary: RECEIVED came, all followers agree */
    COLO_EV_WHOLE,      /* secondary: the epoch is whole and verified */
    COLO_EV_LOADED,     /* secondary: the epoch is applied */
    COLO_EV_PEER_LOST,  /* silence, reset or end of the link */
    COLO_EV_MAY_RUN,    /* the arbiter said yes */
    COLO_EV_MUST_NOT,   /* the arbiter said no */
    COLO_EV_FAILOVER,   /* somebody asked for it here */
    COLO_EV_YIELD,      /* primary: the peer was told to take over */
    COLO_EV_STARTED,    /* secondary: the replica runs */
    COLO_EV_STOP,       /* somebody asked for a clean end */
    COLO_EV_GUEST_END,  /* the guest powered off, rebooted, crashed, went */
    COLO_EV_ERROR,      /* anything that makes going on unsafe */
    COLO_EV_DEADLINE,   /* the state took too long */
    COLO_EV_DONE,       /* everything that ENDING waits for has happened */
    /* in mode colo, where the same message or fact has another consequence */
    COLO_EV_HALT,       /* secondary: REQUEST came, the replica may run */
    COLO_EV_BOTH_STOPPED, /* primary: the guest stands still, too */
    COLO_EV_AGREED,     /* primary: as COMMITTED */
    /* in both */
    COLO_EV_CRIPPLED,   /* primary: the guest cannot go on here; the backup has
                           a whole epoch of it */
    COLO_EV_COUNT
};

/* what a transition starts; primary.c and secondary.c have the bodies */
enum {
    COLO_ACT_NONE,
    COLO_ACT_CONNECT,
    COLO_ACT_SEED,        /* primary: write the seed; secondary: restore it */
    COLO_ACT_READY,       /* secondary: say CHECKPOINT_READY */
    COLO_ACT_PROTECT,     /* primary: start followers, first checkpoint */
    COLO_ACT_REQUEST,     /* primary: ask for a checkpoint */
    COLO_ACT_REPLY,       /* secondary: begin to receive */
    COLO_ACT_STOP_GUEST,  /* primary: live round, then stop the guest */
    COLO_ACT_CAPTURE,     /* primary: copy, go on, send behind the guest */
    COLO_ACT_RELEASE,     /* primary: let the epoch's output go */
    COLO_ACT_RECEIVED,    /* secondary: acknowledge, begin to apply */
    COLO_ACT_LOADED,      /* secondary: say so, or run a waiting failover */
    COLO_ACT_RELAUNCH,    /* secondary: failover once the load is over */
    COLO_ACT_ASK,         /* ask the arbiter */
    COLO_ACT_ALONE,       /* primary: the guest goes on unprotected */
    COLO_ACT_YIELD,       /* primary: end the guest, the peer has it */
    COLO_ACT_TAKE_OVER,   /* secondary: load the context and start */
    COLO_ACT_HAND_OVER,   /* secondary: give the guest to the toolstack */
    COLO_ACT_DESTROY,     /* secondary: take the replica away */
    COLO_ACT_STOP,        /* say STOP and wait for the answer */
    COLO_ACT_GUEST_END,   /* primary: carry out the end of the guest */
    COLO_ACT_GIVE_UP,     /* end with the error at hand */
    COLO_ACT_HALT,        /* secondary: live round, then stop the replica */
    COLO_ACT_REPORT,      /* secondary: reply, say what it wrote, receive */
    COLO_ACT_COMPARE,     /* primary: copy, compare with what the replica
                             wrote, send; the guest stands still */
    COLO_ACT_COMMIT,      /* primary: the epoch counts; wait for the load */
    COLO_ACT_GO_ON,       /* primary: the guest goes on as the replica does */
    COLO_ACT_COUNT
};

struct colo_transition {
    uint8_t from, event, to, action;
    const char *why;
};

struct colo_state_table {
    const char *name;
    const struct colo_transition *rows;
    size_t count;
};

extern const struct colo_state_table colo__primary_table;
extern const struct colo_state_table colo__secondary_table;

/* colo__transition - the row for this pair, NULL = not allowed. */
const struct colo_transition *
colo__transition(const struct colo_state_table *table, int from, int event);

const char *colo__event_name(int event);
const char *colo__action_name(int action);

/* ---- failover: QEMU COLO's machine ------------------------------------ */

enum {
    COLO_FAILOVER_NONE,      /* nobody wants one */
    COLO_FAILOVER_REQUIRE,   /* wanted */
    COLO_FAILOVER_ACTIVE,    /* under way */
    COLO_FAILOVER_RELAUNCH,  /* came while an epoch was loaded: afterwards */
    COLO_FAILOVER_COMPLETED,
    COLO_FAILOVER_COUNT
};

/* colo__failover_check - may it go from here to there?  Pure. */
int colo__failover_check(int from, int to);
const char *colo__failover_name(int state);

#endif
