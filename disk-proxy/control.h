/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Between a session and a disk: takes requests (proxy-source/), gives answers
 * and events.  One thread of its own; replies and events come to it by an
 * outbox, from any thread.
 */
#ifndef COLO_DISK_CONTROL_H
#define COLO_DISK_CONTROL_H

#include "../proxy-source/source.h"
#include "disk.h"

struct colo_control;

struct colo_control_config {
    struct colo_source_config source;
    /* -1, or: no session is joined before a byte comes here, and none at all
     * after its end of file: the guest's writes do not yet come to us */
    int hold_fd;
    void (*say)(void *user, const char *text);
    void *user;
};

/* colo__control_open - the sockets, no thread yet. */
int colo__control_open(const struct colo_control_config *config,
                       struct colo_control **ret_c, struct colo_error *err);
int colo__control_run(struct colo_control *c, struct colo_disk *disk,
                      struct colo_error *err);
/* ends the thread; the disk can then be closed, and then c */
void colo__control_end(struct colo_control *c);
void colo__control_close(struct colo_control *c); /* NULL is fine */

/* for struct colo_disk_config */
void colo__control_reply(void *control, uint64_t seq, const char *error);
void colo__control_event(void *control, const char *text);
void colo__control_say(void *control, const char *text);

#endif
