/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The pipe that a seed goes through between a session and its toolstack.  Any
 * thread.
 */
#ifndef COLO_SEED_PIPE_H
#define COLO_SEED_PIPE_H

#include "../internal.h"

/* colo__seed_pipe - fds[0] to read from, fds[1] to write to; as large as the
 * system lets it be.
 * we_write  a write to fds[1] never blocks: what a thread of ours needs, and
 *           no toolstack does */
int colo__seed_pipe(bool we_write, int fds[2], struct colo_error *err);

#endif
