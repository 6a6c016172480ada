/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One guest's protection as `colo protect` runs it, and what is said of it.
 */
#ifndef CLI_PROTECT_H
#define CLI_PROTECT_H

#include <stdbool.h>

#include "process.h"
#include "progress.h"

struct protect {
    struct colo_config config;
    struct cli_child child;  /* --daemon; else report_fd is -1 */
    struct cli_progress progress;
    char name[64];           /* of the guest, also when a number was given */
    const char *colo;        /* the colo command on the peer */
    char remote[512];
    char policy[160];        /* the words of --policy */
    bool daemon, check, committed;
    bool found;              /* the guest was here when it was checked */
    int verbose;
};

/* For the session's event_fn; user: the struct protect. */
void protect_event(void *user, const struct colo_event *event);

/* Check both hosts, protect until it ends or something comes on signal_fd, and
 * say how it ended.  Returns an exit code of exit.h. */
int protect_guest(struct protect *protect, int signal_fd);

#endif
