/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The tables of states.h.  A pair that is not listed is refused.  Rows of one
 * state stand together, in the order in which a session meets them.
 */
#include "states.h"

#include "../internal.h"

#define S(x) COLO_STATE_##x
#define E(x) COLO_EV_##x
#define A(x) COLO_ACT_##x

static const struct colo_transition primary_rows[] = {
    { S(NEW), E(START), S(CONNECTING), A(CONNECT), "reach the peer" },
    { S(NEW), E(STOP), S(ENDED), A(NONE), "nothing was begun" },

    { S(CONNECTING), E(CONNECTED), S(SEEDING), A(SEED),
      "both agree on version and features" },
    { S(CONNECTING), E(STOP), S(ENDED), A(ALONE), "nothing to undo" },
    { S(CONNECTING), E(FAILOVER), S(ENDED), A(ALONE), "guest stays here" },
    { S(CONNECTING), E(PEER_LOST), S(ENDED), A(GIVE_UP), "not reached" },
    { S(CONNECTING), E(GUEST_END), S(ENDING), A(GUEST_END), "guest ended" },
    { S(CONNECTING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(CONNECTING), E(DEADLINE), S(ENDED), A(GIVE_UP), "peer too slow" },

    { S(SEEDING), E(READY), S(WAITING), A(PROTECT), "the replica exists" },
    { S(SEEDING), E(STOP), S(ENDING), A(STOP), "asked to end" },
    { S(SEEDING), E(FAILOVER), S(ENDING), A(STOP), "guest stays here" },
    { S(SEEDING), E(PEER_LOST), S(ENDED), A(ALONE), "backup lost" },
    { S(SEEDING), E(GUEST_END), S(ENDING), A(GUEST_END), "guest ended" },
    { S(SEEDING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(SEEDING), E(DEADLINE), S(ENDED), A(GIVE_UP), "seed stands still" },

    { S(WAITING), E(TIMER), S(REQUESTED), A(REQUEST), "epoch is over" },
    { S(WAITING), E(STOP), S(ENDING), A(STOP), "asked to end" },
    { S(WAITING), E(FAILOVER), S(ENDING), A(STOP), "guest stays here" },
    { S(WAITING), E(YIELD), S(ENDING), A(YIELD), "the peer takes over" },
    { S(WAITING), E(CRIPPLED), S(ENDING), A(YIELD),
      "its devices are gone: the peer takes over" },
    { S(WAITING), E(PEER_LOST), S(ARBITRATING), A(ASK), "backup lost" },
    { S(WAITING), E(GUEST_END), S(ENDING), A(GUEST_END), "guest ended" },
    { S(WAITING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },

    { S(REQUESTED), E(REPLY), S(STOPPING), A(STOP_GUEST),
      "the peer can take an epoch" },
    { S(REQUESTED), E(STOP), S(ENDING), A(STOP), "asked to end" },
    { S(REQUESTED), E(FAILOVER), S(ENDING), A(STOP), "guest stays here" },
    { S(REQUESTED), E(YIELD), S(ENDING), A(YIELD), "the peer takes over" },
    { S(REQUESTED), E(CRIPPLED), S(ENDING), A(YIELD),
      "its devices are gone: the peer takes over" },
    { S(REQUESTED), E(PEER_LOST), S(ARBITRATING), A(ASK), "backup lost" },
    { S(REQUESTED), E(GUEST_END), S(ENDING), A(GUEST_END), "guest ended" },
    { S(REQUESTED), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(REQUESTED), E(DEADLINE), S(ENDED), A(GIVE_UP),
      "the peer does not get ready" },

    { S(STOPPING), E(STOPPED), S(COMMITTING), A(CAPTURE),
      "the guest stands still" },
    { S(STOPPING), E(BOTH_STOPPED), S(COMMITTING), A(COMPARE),
      "so does the replica" },
    { S(STOPPING), E(STOP), S(ENDING), A(STOP), "asked to end" },
    { S(STOPPING), E(FAILOVER), S(ENDING), A(STOP), "guest stays here" },
    { S(STOPPING), E(YIELD), S(ENDING), A(YIELD), "the peer takes over" },
    { S(STOPPING), E(CRIPPLED), S(ENDING), A(YIELD),
      "its devices are gone: the peer takes over" },
    { S(STOPPING), E(PEER_LOST), S(ARBITRATING), A(ASK), "backup lost" },
    { S(STOPPING), E(GUEST_END), S(ENDING), A(GUEST_END), "guest ended" },
    { S(STOPPING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(STOPPING), E(DEADLINE), S(ENDED), A(GIVE_UP),
      "the guest does not suspend" },

    { S(COMMITTING), E(COMMITTED), S(WAITING), A(RELEASE),
      "the backup holds the epoch" },
    { S(COMMITTING), E(AGREED), S(LOADING), A(COMMIT),
      "the backup holds the epoch; both stand still" },
    { S(COMMITTING), E(STOP), S(ENDING), A(STOP), "asked to end" },
    { S(COMMITTING), E(FAILOVER), S(ENDING), A(STOP), "guest stays here" },
    { S(COMMITTING), E(YIELD), S(ENDING), A(YIELD), "the peer takes over" },
    { S(COMMITTING), E(CRIPPLED), S(ENDING), A(YIELD),
      "its devices are gone: the peer takes over" },
    { S(COMMITTING), E(PEER_LOST), S(ARBITRATING), A(ASK), "backup lost" },
    { S(COMMITTING), E(GUEST_END), S(ENDING), A(GUEST_END), "guest ended" },
    { S(COMMITTING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(COMMITTING), E(DEADLINE), S(ENDED), A(GIVE_UP),
      "the epoch is not acknowledged" },

    { S(LOADING), E(LOADED), S(WAITING), A(GO_ON), "both are equal" },
    { S(LOADING), E(STOP), S(ENDING), A(STOP), "asked to end" },
    { S(LOADING), E(FAILOVER), S(ENDING), A(STOP), "guest stays here" },
    { S(LOADING), E(YIELD), S(ENDING), A(YIELD), "the peer takes over" },
    { S(LOADING), E(CRIPPLED), S(ENDING), A(YIELD),
      "its devices are gone: the peer takes over" },
    { S(LOADING), E(PEER_LOST), S(ARBITRATING), A(ASK), "backup lost" },
    { S(LOADING), E(GUEST_END), S(ENDING), A(GUEST_END), "guest ended" },
    { S(LOADING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(LOADING), E(DEADLINE), S(ENDED), A(GIVE_UP),
      "the backup does not load the epoch" },

    { S(ARBITRATING), E(MAY_RUN), S(ENDED), A(ALONE),
      "the guest goes on unprotected" },
    { S(ARBITRATING), E(MUST_NOT), S(ENDING), A(YIELD),
      "the other side has the guest" },
    { S(ARBITRATING), E(STOP), S(ENDED), A(ALONE), "the operator decides" },
    { S(ARBITRATING), E(FAILOVER), S(ENDED), A(ALONE),
      "the operator decides" },
    { S(ARBITRATING), E(GUEST_END), S(ENDING), A(GUEST_END), "guest ended" },
    { S(ARBITRATING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(ARBITRATING), E(DEADLINE), S(ENDED), A(GIVE_UP),
      "the arbiter does not answer" },

    { S(ENDING), E(DONE), S(ENDED), A(NONE), "all is undone" },
    { S(ENDING), E(PEER_LOST), S(ENDING), A(NONE), "nothing to wait for" },
    { S(ENDING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(ENDING), E(DEADLINE), S(ENDED), A(NONE), "the peer does not answer" },
};

static const struct colo_transition secondary_rows[] = {
    { S(NEW), E(START), S(CONNECTING), A(CONNECT), "wait for the peer" },
    { S(NEW), E(STOP), S(ENDED), A(NONE), "nothing was begun" },

    { S(CONNECTING), E(CONNECTED), S(SEEDING), A(SEED),
      "both agree on version and features" },
    { S(CONNECTING), E(STOP), S(ENDED), A(DESTROY), "nothing to undo" },
    { S(CONNECTING), E(PEER_LOST), S(ENDED), A(GIVE_UP), "not reached" },
    { S(CONNECTING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(CONNECTING), E(DEADLINE), S(ENDED), A(GIVE_UP), "peer too slow" },

    { S(SEEDING), E(SEEDED), S(READY), A(READY), "the replica exists" },
    { S(SEEDING), E(STOP), S(ENDING), A(DESTROY), "asked to end" },
    { S(SEEDING), E(PEER_LOST), S(ENDED), A(GIVE_UP),
      "half a seed is no guest" },
    { S(SEEDING), E(GUEST_END), S(ENDING), A(DESTROY), "guest ended" },
    { S(SEEDING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(SEEDING), E(DEADLINE), S(ENDED), A(GIVE_UP), "seed stands still" },

    { S(READY), E(REQUEST), S(RECEIVING), A(REPLY), "an epoch comes" },
    { S(READY), E(HALT), S(STOPPING), A(HALT), "an epoch comes" },
    { S(READY), E(STOP), S(ENDING), A(DESTROY), "asked to end" },
    { S(READY), E(GUEST_END), S(ENDING), A(DESTROY), "guest ended" },
    { S(READY), E(PEER_LOST), S(ARBITRATING), A(ASK), "primary lost" },
    { S(READY), E(FAILOVER), S(ARBITRATING), A(ASK), "asked to take over" },
    { S(READY), E(ERROR), S(ENDED), A(GIVE_UP), "error" },

    { S(STOPPING), E(STOPPED), S(RECEIVING), A(REPORT),
      "the replica stands still" },
    { S(STOPPING), E(STOP), S(ENDING), A(DESTROY), "asked to end" },
    { S(STOPPING), E(GUEST_END), S(ENDING), A(DESTROY), "guest ended" },
    { S(STOPPING), E(PEER_LOST), S(ARBITRATING), A(ASK),
      "primary lost; the replica goes on as it is" },
    { S(STOPPING), E(FAILOVER), S(ARBITRATING), A(ASK),
      "asked to take over; the replica goes on as it is" },
    { S(STOPPING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(STOPPING), E(DEADLINE), S(ENDED), A(GIVE_UP),
      "the replica does not stop" },

    { S(RECEIVING), E(WHOLE), S(LOADING), A(RECEIVED),
      "whole and verified: the commit point" },
    { S(RECEIVING), E(STOP), S(ENDING), A(DESTROY), "asked to end" },
    { S(RECEIVING), E(GUEST_END), S(ENDING), A(DESTROY), "guest ended" },
    { S(RECEIVING), E(PEER_LOST), S(ARBITRATING), A(ASK),
      "primary lost; the half epoch is dropped" },
    { S(RECEIVING), E(FAILOVER), S(ARBITRATING), A(ASK),
      "asked to take over; the half epoch is dropped" },
    { S(RECEIVING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(RECEIVING), E(DEADLINE), S(ENDED), A(GIVE_UP),
      "the epoch does not come" },

    { S(LOADING), E(LOADED), S(READY), A(LOADED), "the epoch is in place" },
    { S(LOADING), E(STOP), S(ENDING), A(DESTROY), "asked to end" },
    { S(LOADING), E(GUEST_END), S(ENDING), A(DESTROY), "guest ended" },
    { S(LOADING), E(PEER_LOST), S(LOADING), A(RELAUNCH),
      "primary lost; the load is finished first" },
    { S(LOADING), E(FAILOVER), S(LOADING), A(RELAUNCH),
      "asked to take over; the load is finished first" },
    { S(LOADING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(LOADING), E(DEADLINE), S(ENDED), A(GIVE_UP), "loading hangs" },

    { S(ARBITRATING), E(MAY_RUN), S(TAKEOVER), A(TAKE_OVER),
      "the replica becomes the guest" },
    { S(ARBITRATING), E(MUST_NOT), S(ENDING), A(DESTROY),
      "the other side has the guest" },
    { S(ARBITRATING), E(PEER_LOST), S(ARBITRATING), A(NONE), "known" },
    { S(ARBITRATING), E(FAILOVER), S(ARBITRATING), A(NONE), "under way" },
    { S(ARBITRATING), E(STOP), S(ENDING), A(DESTROY), "asked to end" },
    { S(ARBITRATING), E(GUEST_END), S(ENDING), A(DESTROY), "guest ended" },
    { S(ARBITRATING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(ARBITRATING), E(DEADLINE), S(ENDED), A(GIVE_UP),
      "the arbiter does not answer" },

    { S(TAKEOVER), E(STARTED), S(ACTIVE), A(HAND_OVER), "the guest runs" },
    { S(TAKEOVER), E(PEER_LOST), S(TAKEOVER), A(NONE), "known" },
    { S(TAKEOVER), E(FAILOVER), S(TAKEOVER), A(NONE), "under way" },
    { S(TAKEOVER), E(ERROR), S(ENDED), A(GIVE_UP), "it does not start" },

    { S(ACTIVE), E(DONE), S(ENDED), A(NONE), "the toolstack has the guest" },
    { S(ACTIVE), E(PEER_LOST), S(ACTIVE), A(NONE), "known" },
    { S(ACTIVE), E(ERROR), S(ENDED), A(GIVE_UP), "error" },

    { S(ENDING), E(DONE), S(ENDED), A(NONE), "all is undone" },
    { S(ENDING), E(PEER_LOST), S(ENDING), A(NONE), "nothing to wait for" },
    { S(ENDING), E(ERROR), S(ENDED), A(GIVE_UP), "error" },
    { S(ENDING), E(DEADLINE), S(ENDED), A(NONE), "no answer" },
};

const struct colo_state_table colo__primary_table = {
    "primary", primary_rows, COLO_ARRAY_LEN(primary_rows)
};
const struct colo_state_table colo__secondary_table = {
    "secondary", secondary_rows, COLO_ARRAY_LEN(secondary_rows)
};

const struct colo_transition *
colo__transition(const struct colo_state_table *table, int from, int event)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].from == from && table->rows[i].event == event)
            return &table->rows[i];
    }
    return NULL;
}

static const char *name_of(const char *const *names, size_t n, int i)
{
    return i >= 0 && (size_t)i < n && names[i] ? names[i] : "unknown";
}

const char *colo__event_name(int event)
{
    static const char *const names[COLO_EV_COUNT] = {
        "start", "connected", "seeded", "ready", "timer", "request", "reply",
        "stopped", "committed", "whole", "loaded", "peer-lost", "may-run",
        "must-not-run", "failover", "yield", "started", "stop", "guest-end",
        "error", "deadline", "done", "halt", "both-stopped", "agreed",
        "crippled",
    };

    return name_of(names, COLO_EV_COUNT, event);
}

const char *colo__action_name(int action)
{
    static const char *const names[COLO_ACT_COUNT] = {
        "-", "connect", "seed", "ready", "protect", "request", "reply",
        "stop-guest", "capture", "release", "received", "loaded", "relaunch",
        "ask", "alone", "yield", "take-over", "hand-over", "destroy", "stop",
        "guest-end", "give-up", "halt", "report", "compare", "commit",
        "go-on",
    };

    return name_of(names, COLO_ACT_COUNT, action);
}

const char *colo_state_name(int state)
{
    static const char *const names[COLO_STATE_COUNT] = {
        "new", "connecting", "seeding", "waiting", "requested", "stopping",
        "committing", "ready", "receiving", "loading", "takeover", "active",
        "arbitrating", "ending", "ended",
    };

    return name_of(names, COLO_STATE_COUNT, state);
}

const char *colo_mode_name(int mode)
{
    static const char *const names[] = { "none", "remus", "colo" };

    return name_of(names, COLO_ARRAY_LEN(names), mode);
}

const char *colo_role_name(int role)
{
    static const char *const names[] = { NULL, "primary", "secondary" };

    return name_of(names, COLO_ARRAY_LEN(names), role);
}

const char *colo_commit_name(int commit)
{
    static const char *const names[] = { "acknowledged", "unacknowledged",
                                         "unacknowledged-ssh" };

    return name_of(names, COLO_ARRAY_LEN(names), commit);
}

const char *colo_reason_name(int reason)
{
    static const char *const names[] = { "none", "request", "processing",
                                         "error" };

    return name_of(names, COLO_ARRAY_LEN(names), reason);
}

const char *colo__failover_name(int state)
{
    static const char *const names[COLO_FAILOVER_COUNT] = {
        "none", "require", "active", "relaunch", "completed",
    };

    return name_of(names, COLO_FAILOVER_COUNT, state);
}

int colo__failover_check(int from, int to)
{
    static const struct {
        uint8_t from, to;
    } allowed[] = {
        { COLO_FAILOVER_NONE, COLO_FAILOVER_REQUIRE },
        { COLO_FAILOVER_REQUIRE, COLO_FAILOVER_ACTIVE },
        { COLO_FAILOVER_ACTIVE, COLO_FAILOVER_RELAUNCH },
        { COLO_FAILOVER_RELAUNCH, COLO_FAILOVER_REQUIRE },
        { COLO_FAILOVER_ACTIVE, COLO_FAILOVER_COMPLETED },
        /* an operator's failover that could not be carried out */
        { COLO_FAILOVER_REQUIRE, COLO_FAILOVER_NONE },
        { COLO_FAILOVER_ACTIVE, COLO_FAILOVER_NONE },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(allowed); i++) {
        if (allowed[i].from == from && allowed[i].to == to)
            return 0;
    }
    return COLO_E_STATE;
}
