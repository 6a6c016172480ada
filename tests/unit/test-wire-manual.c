/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * libcolo-wire(7) has every message, its number, and every limit as the code
 * has them, and none that the code does not have.
 */
#include "pure-common.h"

#include <ctype.h>
#include <stdio.h>

#include "engine/receive.h"
#include "pure/wire.h"

struct row {
    char words[3][32];
    int count;
};

static FILE *open_page(void)
{
    const char *srcdir = getenv("srcdir");
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/../../man/libcolo-wire.pod",
             srcdir ? srcdir : ".");
    f = fopen(path, "re");
    ck_assert_msg(f, "cannot open %s", path);
    return f;
}

/* The next row of a table (an indented line) from under this heading on;
 * false at the next heading of the same kind. */
static bool next_row(FILE *f, struct row *row)
{
    char line[256];

    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "=head", 5) == 0)
            return false;
        if (line[0] != ' ')
            continue;
        memset(row, 0, sizeof(*row));
        row->count = sscanf(line, "%31s %31s %31s", row->words[0],
                            row->words[1], row->words[2]);
        if (row->count >= 2)
            return true;
    }
    return false;
}

static void go_to(FILE *f, const char *heading)
{
    char line[256];

    rewind(f);
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, heading) == 0)
            return;
    }
    ck_abort_msg("there is no %s", heading);
}

/* marks in seen the types of the table under heading */
static void read_types(FILE *f, const char *heading, bool *seen)
{
    struct row row;

    go_to(f, heading);
    while (next_row(f, &row)) {
        unsigned long type;

        if (!isdigit((unsigned char)row.words[0][0]))
            continue;
        type = strtoul(row.words[0], NULL, 10);
        ck_assert_uint_lt(type, 256);
        ck_assert_str_eq(row.words[1], colo__msg_name((uint32_t)type));
        ck_assert(!seen[type]);
        seen[type] = true;
    }
}

START_TEST(test_types)
{
    bool seen[256] = { false };
    FILE *f = open_page();

    read_types(f, "=head2 Control link", seen);
    read_types(f, "=head2 Bulk link", seen);
    for (uint32_t type = 0; type < 256; type++) {
        bool known = strcmp(colo__msg_name(type), "unknown") != 0;

        if (known != seen[type])
            ck_abort_msg("message type %u: code %d, page %d", type, known,
                         seen[type]);
    }
    fclose(f);
}
END_TEST

START_TEST(test_limits)
{
    static const struct {
        const char *name;
        unsigned long long most;
    } limits[] = {
        { "CONTROL", COLO_WIRE_MAX_CONTROL },
        { "BULK", COLO_WIRE_MAX_BULK },
        { "PAGES", COLO_WIRE_MAX_PAGES },
        { "GONE", COLO_WIRE_MAX_GONE },
        { "AUDIT", COLO_WIRE_MAX_AUDIT },
        { "DIRTY", COLO_WIRE_MAX_DIRTY },
        { "DIFFER", COLO_WIRE_MAX_DIFFER },
        { "STATE", COLO_STATE_MAX },
        { "HELLO", COLO_WIRE_HELLO_MAX },
        { "GFN", COLO_GFN_MAX },
    };
    FILE *f = open_page();
    struct row row;
    size_t i = 0;

    go_to(f, "=head1 LIMITS");
    while (next_row(f, &row)) {
        if (strcmp(row.words[0], "limit") == 0)
            continue;
        ck_assert_uint_lt(i, COLO_ARRAY_LEN(limits));
        ck_assert_str_eq(row.words[0], limits[i].name);
        ck_assert_uint_eq(strtoull(row.words[1], NULL, 10), limits[i].most);
        i++;
    }
    ck_assert_uint_eq(i, COLO_ARRAY_LEN(limits));
    fclose(f);
}
END_TEST

START_TEST(test_codings)
{
    static const char *const names[] = {
        [COLO_CODING_RAW] = "RAW", [COLO_CODING_ZERO] = "ZERO",
        [COLO_CODING_LZ4] = "LZ4", [COLO_CODING_XOR] = "XOR",
    };
    FILE *f = open_page();
    bool in_table = false;
    struct row row;
    size_t i = 0;

    go_to(f, "=head2 PAGES");
    while (next_row(f, &row)) {
        if (strcmp(row.words[0], "coding") == 0) {
            in_table = true;
        } else if (in_table) {
            ck_assert_uint_lt(i, COLO_ARRAY_LEN(names));
            ck_assert_uint_eq(strtoul(row.words[0], NULL, 10), i);
            ck_assert_str_eq(row.words[1], names[i]);
            i++;
        }
    }
    ck_assert_uint_eq(i, COLO_ARRAY_LEN(names));
    fclose(f);
}
END_TEST

PURE_MAIN("wire-manual", test_types, test_limits, test_codings)
