/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The state tables: every pair of state and event, what must hold for all of
 * them, and the failover machine of the seed.
 */
#include "pure-common.h"

#include "pure/states.h"

static const struct colo_state_table *const tables[] = {
    &colo__primary_table, &colo__secondary_table,
};

START_TEST(pairs_are_unique_and_sane)
{
    for (size_t t = 0; t < 2; t++) {
        bool seen[COLO_STATE_COUNT][COLO_EV_COUNT] = { { false } };

        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct colo_transition *row = &tables[t]->rows[i];

            ck_assert_int_lt(row->from, COLO_STATE_COUNT);
            ck_assert_int_lt(row->to, COLO_STATE_COUNT);
            ck_assert_int_lt(row->event, COLO_EV_COUNT);
            ck_assert_int_lt(row->action, COLO_ACT_COUNT);
            ck_assert_ptr_nonnull(row->why);
            ck_assert_msg(!seen[row->from][row->event], "%s: %s twice in %s",
                          tables[t]->name, colo__event_name(row->event),
                          colo_state_name(row->from));
            seen[row->from][row->event] = true;
            /* nothing leaves the last state */
            ck_assert_int_ne(row->from, COLO_STATE_ENDED);
        }
        for (int from = 0; from < COLO_STATE_COUNT; from++) {
            for (int ev = 0; ev < COLO_EV_COUNT; ev++)
                ck_assert_int_eq(seen[from][ev],
                                 colo__transition(tables[t], from, ev) !=
                                     NULL);
        }
    }
}
END_TEST

static bool used(const struct colo_state_table *table, int state)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].from == state)
            return true;
    }
    return false;
}

/* Whatever a state waits for may fail: an error ends it, a deadline ends it
 * where it waits for somebody else, and a clean end can be asked for. */
START_TEST(every_state_has_ways_out)
{
    for (size_t t = 0; t < 2; t++) {
        for (int state = 0; state < COLO_STATE_COUNT; state++) {
            if (!used(tables[t], state) || state == COLO_STATE_NEW)
                continue;
            ck_assert_msg(colo__transition(tables[t], state, COLO_EV_ERROR),
                          "%s: no way out of %s", tables[t]->name,
                          colo_state_name(state));
            if (state == COLO_STATE_WAITING || state == COLO_STATE_READY ||
                state == COLO_STATE_TAKEOVER || state == COLO_STATE_ACTIVE)
                continue; /* these wait for us or for nobody */
            ck_assert_msg(colo__transition(tables[t], state,
                                           COLO_EV_DEADLINE),
                          "%s: %s has no deadline", tables[t]->name,
                          colo_state_name(state));
        }
    }
}
END_TEST

START_TEST(secondary_takes_over_only_from_whole_epochs)
{
    /* the only way to TAKEOVER is the arbiter's word, and the only ways to
     * ask the arbiter are states that hold a whole epoch */
    const struct colo_state_table *t = &colo__secondary_table;

    for (size_t i = 0; i < t->count; i++) {
        const struct colo_transition *row = &t->rows[i];

        if (row->to == COLO_STATE_TAKEOVER && row->from != row->to) {
            ck_assert_int_eq(row->from, COLO_STATE_ARBITRATING);
            ck_assert_int_eq(row->event, COLO_EV_MAY_RUN);
        }
        if (row->to == COLO_STATE_ARBITRATING && row->from != row->to)
            ck_assert(row->from == COLO_STATE_READY ||
                      row->from == COLO_STATE_RECEIVING ||
                      row->from == COLO_STATE_STOPPING);
    }
    /* while an epoch is loaded, a failover waits */
    ck_assert_int_eq(colo__transition(t, COLO_STATE_LOADING,
                                      COLO_EV_PEER_LOST)->action,
                     COLO_ACT_RELAUNCH);
    ck_assert_int_eq(colo__transition(t, COLO_STATE_LOADING,
                                      COLO_EV_FAILOVER)->to,
                     COLO_STATE_LOADING);
}
END_TEST

/* In mode colo the guest stands still from STOPPING on; whatever happens there
 * leads back to where it runs: on, alone, or to its end. */
START_TEST(both_copies_go_on)
{
    static const struct {
        int from, event, to, action;
    } p[] = {
        { COLO_STATE_STOPPING, COLO_EV_BOTH_STOPPED, COLO_STATE_COMMITTING,
          COLO_ACT_COMPARE },
        { COLO_STATE_COMMITTING, COLO_EV_AGREED, COLO_STATE_LOADING,
          COLO_ACT_COMMIT },
        { COLO_STATE_LOADING, COLO_EV_LOADED, COLO_STATE_WAITING,
          COLO_ACT_GO_ON },
        { COLO_STATE_LOADING, COLO_EV_PEER_LOST, COLO_STATE_ARBITRATING,
          COLO_ACT_ASK },
        { COLO_STATE_LOADING, COLO_EV_YIELD, COLO_STATE_ENDING,
          COLO_ACT_YIELD },
        { COLO_STATE_LOADING, COLO_EV_STOP, COLO_STATE_ENDING,
          COLO_ACT_STOP },
        { COLO_STATE_LOADING, COLO_EV_DEADLINE, COLO_STATE_ENDED,
          COLO_ACT_GIVE_UP },
    }, s[] = {
        { COLO_STATE_READY, COLO_EV_HALT, COLO_STATE_STOPPING,
          COLO_ACT_HALT },
        { COLO_STATE_STOPPING, COLO_EV_STOPPED, COLO_STATE_RECEIVING,
          COLO_ACT_REPORT },
        { COLO_STATE_STOPPING, COLO_EV_PEER_LOST, COLO_STATE_ARBITRATING,
          COLO_ACT_ASK },
        { COLO_STATE_STOPPING, COLO_EV_FAILOVER, COLO_STATE_ARBITRATING,
          COLO_ACT_ASK },
        { COLO_STATE_STOPPING, COLO_EV_GUEST_END, COLO_STATE_ENDING,
          COLO_ACT_DESTROY },
    };
    const struct colo_transition *row;

    for (size_t i = 0; i < COLO_ARRAY_LEN(p); i++) {
        row = colo__transition(&colo__primary_table, p[i].from, p[i].event);
        ck_assert_ptr_nonnull(row);
        ck_assert_int_eq(row->to, p[i].to);
        ck_assert_int_eq(row->action, p[i].action);
    }
    for (size_t i = 0; i < COLO_ARRAY_LEN(s); i++) {
        row = colo__transition(&colo__secondary_table, s[i].from, s[i].event);
        ck_assert_ptr_nonnull(row);
        ck_assert_int_eq(row->to, s[i].to);
        ck_assert_int_eq(row->action, s[i].action);
    }
}
END_TEST

START_TEST(failover_is_the_seeds)
{
    static const uint8_t want[COLO_FAILOVER_COUNT][COLO_FAILOVER_COUNT] = {
        [COLO_FAILOVER_NONE][COLO_FAILOVER_REQUIRE] = 1,
        [COLO_FAILOVER_REQUIRE][COLO_FAILOVER_ACTIVE] = 1,
        [COLO_FAILOVER_REQUIRE][COLO_FAILOVER_NONE] = 1,
        [COLO_FAILOVER_ACTIVE][COLO_FAILOVER_RELAUNCH] = 1,
        [COLO_FAILOVER_ACTIVE][COLO_FAILOVER_COMPLETED] = 1,
        [COLO_FAILOVER_ACTIVE][COLO_FAILOVER_NONE] = 1,
        [COLO_FAILOVER_RELAUNCH][COLO_FAILOVER_REQUIRE] = 1,
    };

    for (int from = 0; from < COLO_FAILOVER_COUNT; from++) {
        for (int to = 0; to < COLO_FAILOVER_COUNT; to++)
            ck_assert_msg((colo__failover_check(from, to) == 0) ==
                              want[from][to],
                          "%s -> %s", colo__failover_name(from),
                          colo__failover_name(to));
    }
}
END_TEST

START_TEST(everything_has_a_name)
{
    for (int i = 0; i < COLO_STATE_COUNT; i++)
        ck_assert_str_ne(colo_state_name(i), "unknown");
    for (int i = 0; i < COLO_EV_COUNT; i++)
        ck_assert_str_ne(colo__event_name(i), "unknown");
    for (int i = 0; i < COLO_ACT_COUNT; i++)
        ck_assert_str_ne(colo__action_name(i), "unknown");
    for (int i = 0; i < COLO_FAILOVER_COUNT; i++)
        ck_assert_str_ne(colo__failover_name(i), "unknown");
    ck_assert_str_eq(colo_state_name(-1), "unknown");
    ck_assert_str_eq(colo_state_name(COLO_STATE_COUNT), "unknown");
    ck_assert_str_eq(colo_role_name(0), "unknown");
}
END_TEST

PURE_MAIN("states", pairs_are_unique_and_sane, every_state_has_ways_out,
          secondary_takes_over_only_from_whole_epochs, both_copies_go_on,
          failover_is_the_seeds,
          everything_has_a_name)
