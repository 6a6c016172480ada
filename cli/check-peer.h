/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the other host says about a guest that it is to hold: `colo check
 * --host` there, for colo check and colo protect.
 */
#ifndef CLI_CHECK_PEER_H
#define CLI_CHECK_PEER_H

#include "check-report.h"

#define CHECK_SSH    "ssh -o BatchMode=yes"
#define CHECK_REMOTE "colo"

/* check_peer - the findings of host go into report, which knows from the
 * check of domain here what the guest needs there.  Waits for up to a minute,
 * or until cancel_fd (-1: none) is readable.
 * Returns  false: the host could not be asked; that is a finding too, unless
 *          it was cancelled, or report->absent. */
bool check_peer(struct check_report *report, const char *ssh,
                const char *remote, const char *host, const char *domain,
                int cancel_fd);

/* check_stock - what it means that host has only stock Xen: a warning, or
 * refused for what that cannot do.  mode: COLO_MODE_*. */
void check_stock(struct check_report *report, const char *host, int mode);

#endif
