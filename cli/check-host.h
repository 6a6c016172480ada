/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo check --host: this host as a backup, and what a guest needs of it.
 */
#ifndef CLI_CHECK_HOST_H
#define CLI_CHECK_HOST_H

#include "check-report.h"

#define CHECK_NEEDS_MAX 16 /* more bridges or files are not looked at */

struct check_disk {
    const char *target;
    uint64_t bytes; /* of the guest's; 0 = unknown */
};

struct check_needs {
    bool guest;        /* a guest is meant, so what is not named here is not
                          needed */
    const char *name;  /* must be free, or NULL */
    uint64_t pages;
    bool nets;         /* its network cards are to be compared */
    int32_t mode;
    int32_t toolstack; /* COLO_TOOLSTACK_* of a guest of libvirt's; -1: it is
                          none */
    const char *bridges[CHECK_NEEDS_MAX], *files[CHECK_NEEDS_MAX];
    struct check_disk disks[CHECK_NEEDS_MAX];
    int n_bridges, n_files, n_disks;
};

/* check_disk_parse - PATH:BYTES; text is cut at the colon.  False: it is none,
 * which has been said. */
bool check_disk_parse(char *text, struct check_disk *ret_disk);

/* check_host - all findings, and the verdict.  Returns the exit code. */
int check_host(struct check_report *report, const struct check_needs *needs,
               bool json);

#endif
