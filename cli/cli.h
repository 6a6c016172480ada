/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the subcommands of `colo` share.  They use the public colo.h only.
 * One thread; messages for people go to stderr, results to stdout.
 */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <colo.h>

#include "exit.h"

/* ---- the table of subcommands (main.c) --------------------------------- */

#define CLI_NO_RECOVER 1u /* do not put right what killed sessions left */

struct cli_command {
    const char *name;
    const char *args;    /* the rest of the synopsis */
    const char *summary; /* under 60 characters */
    const char *options; /* one "  --x  text" line each, or NULL */
    int (*run)(int argc, char **argv); /* returns CLI_*; argv[0] is name */
    uint32_t flags;
};

/* Every cmd-*.c has one or some of these. */
extern const struct cli_command cli_cmd_check;
extern const struct cli_command cli_cmd_checkpoint;
extern const struct cli_command cli_cmd_delay;
extern const struct cli_command cli_cmd_events;
extern const struct cli_command cli_cmd_failover;
extern const struct cli_command cli_cmd_protect;
extern const struct cli_command cli_cmd_receive;
extern const struct cli_command cli_cmd_recover;
extern const struct cli_command cli_cmd_status;
extern const struct cli_command cli_cmd_stop;
extern const struct cli_command cli_cmd_verify;
extern const struct cli_command cli_cmd_version;

/* cli_recover - a session that was killed leaves a guest perhaps stopped:
 * every command looks after that first.  No reason to refuse the command. */
void cli_recover(void);

/* ---- the command line (options.c) -------------------------------------- */

/* cli_usage - the help of one command, to out. */
void cli_usage(const struct cli_command *command, FILE *out);
/* cli_option - what getopt_long gave and the command does not know itself:
 * 'h' prints the help, else an error was printed.  Returns the exit code. */
int cli_option(const struct cli_command *command, int c);
/* cli_operands - true if between min and max operands are left; else the
 * error has been printed and the command returns CLI_USAGE. */
bool cli_operands(const struct cli_command *command, int argc, int min,
                  int max);
/* cli_number - a decimal number from min to max, else the error has been
 * printed. */
bool cli_number(const char *what, const char *text, uint64_t min,
                uint64_t max, uint64_t *ret_number);
/* cli_choice - the index of text in the NULL-terminated words, else -1 and the
 * error has been printed. */
int cli_choice(const char *what, const char *text, const char *const *words);
/* cli_toolstack - COLO_TOOLSTACK_*, else -1 and the error has been printed. */
int cli_toolstack(const char *text);
/* cli_peer - COLO_PEER_*, likewise. */
int cli_peer(const char *text);

/* ---- messages (message.c) ---------------------------------------------- */

/* cli_say, cli_error - one line on stderr, "colo: " in front. */
void cli_say(const char *fmt, ...) COLO_PRINTF(1, 2);
/* cli_say_event - what becomes of a replica, with -v given verbose times. */
void cli_say_event(const struct colo_event *event, int verbose);
/* cli_fail - "colo: WHAT: text of err", and the exit code for it. */
int cli_fail(const struct colo_error *err, const char *fmt, ...)
    COLO_PRINTF(2, 3);
/* cli_log - the log callback's settings for -v given verbose times. */
struct colo_log cli_log(int verbose);
/* cli_log_open - from now on messages go to LOGDIR/NAME.log, with the time.
 * Returns false (and says so where messages went until now) if it cannot. */
bool cli_log_open(const char *name);
/* cli_say_log - where that guest's log file is, if there is anything in it. */
void cli_say_log(const char *name);

/* ---- numbers for people (format.c) ------------------------------------- */

#define CLI_FORMAT_MAX 32
/* All write to buf (CLI_FORMAT_MAX bytes) and return it. */
const char *cli_format_bytes(uint64_t bytes, char *buf);  /* "1.5 GiB" */
const char *cli_format_us(uint64_t us, char *buf);        /* "35.2 ms" */
const char *cli_format_age(uint64_t ms, char *buf);       /* "3 min 2 s" */

/* ---- one status on the screen (status-text.c) -------------------------- */

void cli_status_text(const struct colo_status *status, FILE *out);
void cli_status_line_header(FILE *out);
void cli_status_line(const struct colo_status *status, FILE *out);

/* ---- clients (client.c) ------------------------------------------------ */

/* cli_connect - colo_connect with messages; NULL and the exit code. */
struct colo_client *cli_connect(const char *domain, int *ret_exit);
/* cli_client_wait - follow until done says so or the session has gone.
 * Returns 1 done, 0 the session has gone, < 0 COLO_E_*. */
int cli_client_wait(struct colo_client *client, uint32_t timeout_ms,
                    bool (*done)(const struct colo_status *status),
                    struct colo_status *ret_status, struct colo_error *err);

#endif
