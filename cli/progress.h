/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The progress of the first copy: one line that is rewritten on a terminal,
 * a plain line for every tenth elsewhere.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli.h"

struct cli_progress {
    bool terminal;   /* stderr is one */
    bool open;       /* the cursor is in a progress line */
    uint64_t tenths; /* printed last, without a terminal */
};

void cli_progress_init(struct cli_progress *progress);
void cli_progress_show(struct cli_progress *progress, const char *name,
                       const struct colo_event *event);
/* cli_progress_end - leave the line, before anything else is printed. */
void cli_progress_end(struct cli_progress *progress);

#endif
