/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Shared by the files of colo-toolstack.  One thread; a process per command.
 */
#ifndef COLO_TOOLSTACK_H
#define COLO_TOOLSTACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <libxl.h>
#include <libxl_utils.h>

#define REPORT_FD 3
#define LIFE_FD 4

/* exit status of the commands */
#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2

/* report.c: lines on fd 3; cut at 250 bytes, one line each */
void report(const char *word, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* report_ctx - a libxl context whose messages become report lines; NULL and
 * a line on failure. */
libxl_ctx *report_ctx(void);
/* report_logger - the same for libxc; the process's for ever */
xentoollog_logger *report_logger(void);

/* io.c: write_all - false: errno says why.
 * read_text - all there is, with a NUL, or NULL: nothing, more than a seed's
 * configuration can be, or nothing for that long; free(). */
bool write_all(int fd, const void *data, size_t len);
char *read_text(int fd, int timeout_ms);

/* supervise.c: run work in a child; if it fails, or our starter dies, run
 * undo in this process.  Returns the exit status. */
int supervise(int (*work)(void *arg), void (*undo)(void *arg, bool killed),
              void *arg);

/* A guest that is started anew; backends of the old one may need the pause. */
#define CREATE_TRIES 3
#define CREATE_PAUSE_S 2

/* end.c: what the domain's configuration says for this shutdown reason.
 * Returns the domain that came after it, 0 none, or -1. */
int64_t end_domain(uint32_t domid, int reason);

/* cmd-save.c: what a seed begins with; toolstack: TOOLSTACK_*, see libvirt.h */
int write_config(libxl_ctx *ctx, uint32_t domid, int toolstack, int fd);

/* cmd-*.c */
int cmd_save(uint32_t domid, int toolstack);
int cmd_stream(uint32_t domid);
int cmd_restore(bool streamed, int toolstack);
int cmd_start(uint32_t domid, const char *name);
int cmd_destroy(uint32_t domid);
int cmd_end(uint32_t domid, int reason);
int cmd_config(uint32_t domid);
int cmd_monitor(uint32_t domid);

#endif
