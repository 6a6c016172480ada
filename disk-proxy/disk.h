/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A protected disk, on either side: what the guest reads and writes, and what
 * the session asks for.  The plugin and the tests are on top of it.
 *
 * Threads: read, write, zero, flush by any at once; request and the rest by
 * one, the control thread.  reply, event and say are called by any thread,
 * must not wait and must not call back.
 */
#ifndef COLO_DISK_H
#define COLO_DISK_H

#include "../libcolo/internal.h"

#define COLO_DISK_ALONE     0
#define COLO_DISK_PRIMARY   1
#define COLO_DISK_SECONDARY 2

#define COLO_DISK_VERIFY 100 /* a verb besides COLO_PROXY_* */

struct colo_disk_config {
    const char *backing, *meta;
    const char *tracked; /* a file that colo__disk_in_place looks at, or NULL */
    const char *flag;   /* see colo__meta_flag; NULL: none */
    const char *device; /* the guest's, NULL: none to look after */
    const char *usage;  /* a file that says how much is held, NULL: none */
    int role; /* COLO_DISK_* at the beginning */
    const char *spill_dir;   /* NULL: none */
    uint64_t memory_limit;   /* bytes, of each: ring, epoch log, overlay */
    uint64_t spill_limit;    /* bytes, of each: epoch log, overlay */
    unsigned silent_ms;      /* a twin that takes nothing is lost */
    /* error NULL: ok */
    void (*reply)(void *user, uint64_t seq, const char *error);
    void (*event)(void *user, const char *text);
    void (*say)(void *user, const char *text); /* for the log */
    void *user;
};

struct colo_disk;

/* colo__disk_open - a meta that is SYNCING on a side that is not secondary
 * opens, but every request of the guest is refused with EIO. */
int colo__disk_open(const struct colo_disk_config *config,
                    struct colo_disk **ret_disk, struct colo_error *err);

/* colo__disk_in_place - every write comes through from now on, and nobody was
 * asked for anything yet.  What a guest wrote past the metadata is in the
 * file `tracked`, a bit for each chunk; or it is not there, and the copy has a
 * new generation. */
int colo__disk_in_place(struct colo_disk *disk, struct colo_error *err);

/* colo__disk_close - as stop, and finish what is committed; NULL is fine.
 * Returns  false: the local disk holds a thread that uses it and config.user
 *          still, so nothing was freed: the process must end. */
bool colo__disk_close(struct colo_disk *disk);

uint64_t colo__disk_size(const struct colo_disk *disk);

/* what the guest asks for; 0 or an errno value */
int colo__disk_read(struct colo_disk *disk, void *buf, size_t len,
                    uint64_t offset);
int colo__disk_write(struct colo_disk *disk, const void *buf, size_t len,
                     uint64_t offset, bool fua);
int colo__disk_zero(struct colo_disk *disk, uint64_t len, uint64_t offset,
                    bool trim, bool fua);
int colo__disk_flush(struct colo_disk *disk);
/* true: a hole */
bool colo__disk_extent(struct colo_disk *disk, uint64_t offset, uint64_t len,
                       uint64_t *ret_len);

/* colo__disk_request - the session's: verb is one of COLO_PROXY_*, or
 * COLO_DISK_VERIFY.
 * Shape    answered by reply, now or later.  arg: of START the mode, of STOP
 *          see COLO_PROXY_STOP.  stream: of START, a connected socket to the
 *          twin, taken over; else -1. */
void colo__disk_request(struct colo_disk *disk, uint64_t seq, int verb,
                        uint64_t arg, int stream);

/* colo__disk_tell_usage - how much of memory and spill file is used, to the
 * session and the file: by the control thread, several times a second. */
void colo__disk_tell_usage(struct colo_disk *disk);

/* colo__disk_gone - the session is gone: as stop, without an answer. */
void colo__disk_gone(struct colo_disk *disk);

#endif
