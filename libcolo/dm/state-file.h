/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Memory that QEMU and we share: a file without a name, handed over by the
 * monitor as an "fdset".  Called by dm-qmp.c.
 */
#ifndef COLO_DM_STATE_FILE_H
#define COLO_DM_STATE_FILE_H

#include "qmp.h"

struct colo_state_file {
    int fd;          /* as QEMU has it, offset included; -1: none */
    int read_fd;     /* the same file for our reading, if fd is not; or -1 */
    uint64_t fdset;  /* QEMU's number for it */
    bool shared;     /* it has one */
    uint8_t *map;    /* size bytes, if asked for */
    size_t size;
};

#define COLO_STATE_FILE_NONE { .fd = -1, .read_fd = -1 }

/* colo__state_file_share - make one and hand it over.
 * Shape    size 0: empty, QEMU may only write to it; else mapped, QEMU may do
 *          both. */
int colo__state_file_share(struct colo_state_file *file, struct colo_qmp *qmp,
                           size_t size, uint64_t deadline_us,
                           struct colo_error *err);

/* colo__state_file_drop - give its memory back.  QEMU keeps the empty file
 * until it runs and a client leaves: it frees none while it stands still. */
void colo__state_file_drop(struct colo_state_file *file,
                           struct colo_qmp *qmp, uint64_t deadline_us);

/* colo__state_file_sweep - the same for those of a client that was killed. */
int colo__state_file_sweep(struct colo_qmp *qmp, uint64_t deadline_us,
                           struct colo_error *err);

#endif
