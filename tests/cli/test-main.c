/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What every command says about killed sessions before it does its own: the
 * recovery and the commands are made up here.
 */
#include <unistd.h>

#include "../unit/pure-common.h"

int colo_main(int argc, char **argv);

#define main colo_main
#include "../../cli/main.c"
#undef main

static int recovered; /* what colo_recover returns */

int colo_recover(struct colo_log *log, struct colo_error *err)
{
    (void)log;
    memset(err, 0, sizeof(*err));
    err->code = recovered;
    strcpy(err->text, "domain 7 cannot be resumed");
    return recovered;
}

static int done(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return CLI_OK;
}

#define COMMAND(word) \
    const struct cli_command cli_cmd_##word = { \
        #word, "", "", NULL, done, 0 \
    }
COMMAND(check);
COMMAND(checkpoint);
COMMAND(delay);
COMMAND(events);
COMMAND(failover);
COMMAND(protect);
COMMAND(receive);
COMMAND(recover);
COMMAND(status);
COMMAND(stop);
COMMAND(verify);
COMMAND(version);

/* Whether `colo status` said those words; none: it said nothing. */
static bool says(int rc, const char *words)
{
    char *argv[] = { (char[]){ "colo" }, (char[]){ "status" }, NULL };
    FILE *file = tmpfile();
    char text[1024];
    ssize_t n;

    recovered = rc;
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
    ck_assert_int_eq(colo_main(2, argv), CLI_OK);
    n = pread(fileno(file), text, sizeof(text) - 1, 0);
    ck_assert_int_ge(n, 0);
    fclose(file);
    text[n] = '\0';
    return words ? strstr(text, words) != NULL : !n;
}

START_TEST(test_recover)
{
    ck_assert(says(0, NULL));
    ck_assert(says(1, "put right what 1 killed session had left"));
    /* the guest may stand still: nobody else would say so */
    ck_assert(says(COLO_E_HV, "could not be put right: domain 7 cannot be "
                              "resumed; see `colo recover -v`"));
    ck_assert(says(COLO_E_STORE, NULL)); /* the command's own words */
}
END_TEST

PURE_MAIN("cli-main", test_recover)
