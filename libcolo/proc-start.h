/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A process is known by its pid and the time when it was started: the same pid
 * may be another's later.  Reads /proc.  Any thread.
 */
#ifndef COLO_PROC_START_H
#define COLO_PROC_START_H

#include <stdint.h>
#include <sys/types.h>

/* colo__proc_start - when the process was started
 * @ret_start:  in clock ticks since the host booted
 *
 * Source: proc(5), /proc/PID/stat.
 * Returns  0, or -1: there is no such process, or nothing of it runs any more.
 *          A killed process whose first thread is a zombie still runs while
 *          another of its threads is inside a system call, say a write. */
int colo__proc_start(pid_t pid, uint64_t *ret_start);

#endif
