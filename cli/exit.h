/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The exit codes of `colo`, for every subcommand; colo(1) has the same list.
 * Scripts depend on them: numbers never change their meaning.
 */
#ifndef CLI_EXIT_H
#define CLI_EXIT_H

#define CLI_OK              0 /* done as asked */
#define CLI_FAILED          1 /* not done; the message says why */
#define CLI_USAGE           2 /* the command line is wrong */
#define CLI_NOT_PROTECTABLE 3 /* the check refused the guest or the host */
#define CLI_NOT_FOUND       4 /* no such domain, or no session for it */
#define CLI_UNPROTECTED     5 /* protection was lost; the guest runs on here
                                 without it */
#define CLI_GUEST_ENDED     6 /* the guest itself has ended */
#define CLI_MOVED           7 /* the guest must not run here: the other side
                                 has it */
#define CLI_TIMEOUT         8 /* the session did not answer in time */

/* cli_exit_of - the exit code for a COLO_E_* of a request or a start. */
int cli_exit_of(int code);

#endif
