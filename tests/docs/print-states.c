/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Prints a state table as libcolo-states(7) shows it, so that test-docs.sh can
 * compare them and nobody has to type them: primary, secondary or failover.
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pure/states.h"

static void print_table(const struct colo_state_table *table)
{
    int last = -1;

    for (size_t i = 0; i < table->count; i++) {
        const struct colo_transition *row = &table->rows[i];

        if (row->from != last)
            printf("\n");
        last = row->from;
        printf(" %-11s %-12s %-11s %s\n", colo_state_name(row->from),
               colo__event_name(row->event), colo_state_name(row->to),
               colo__action_name(row->action));
    }
}

static void print_failover(void)
{
    printf("\n");
    for (int from = 0; from < COLO_FAILOVER_COUNT; from++) {
        for (int to = 0; to < COLO_FAILOVER_COUNT; to++) {
            if (!colo__failover_check(from, to))
                printf(" %-11s %s\n", colo__failover_name(from),
                       colo__failover_name(to));
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "primary"))
        print_table(&colo__primary_table);
    else if (argc == 2 && !strcmp(argv[1], "secondary"))
        print_table(&colo__secondary_table);
    else if (argc == 2 && !strcmp(argv[1], "failover"))
        print_failover();
    else
        return 2;
    return 0;
}
