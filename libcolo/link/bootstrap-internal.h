/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A bootstrap under way, and what its files offer each other.  Everything
 * below "the thread's" is touched by the bootstrap's thread only, until it
 * is joined.
 */
#ifndef COLO_BOOTSTRAP_INTERNAL_H
#define COLO_BOOTSTRAP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "bootstrap-line.h"
#include "link-internal.h"
#include "child.h"

struct colo_bootstrap;

/* The links of a bootstrap by number: what they are, and the first message on
 * each TLS connection, which says so ("COLOCTRL", "COLOBULK", "COLOSTR0"). */
#define COLO_BOOT_CONTROL 0u
#define COLO_BOOT_BULK 1u
#define COLO_BOOT_STREAM 2u
#define COLO_BOOT_LINKS (COLO_BOOT_STREAM + COLO_MAX_STREAMS)
#define COLO_BOOT_TAG 8
void colo__boot_tag(unsigned link, char ret_tag[COLO_BOOT_TAG]);
/* place - where a link of this bootstrap belongs; NULL: it has none such. */
struct colo_link **colo__boot_place(struct colo_bootstrap *boot,
                                    unsigned link);

struct colo_bootstrap {
    char *peer, *address, *ssh_command, *remote_command; /* or NULL */
    int32_t transport;
    bool primary;
    uint32_t timeout_ms, dead_ms;
    struct colo_log log;
    char ssh_client[64], ssh_server[64]; /* secondary: SSH_CONNECTION */
    uint64_t deadline_us;
    int cancel_fd, done_fd; /* eventfds */
    atomic_bool over;
    bool started, taken;
    pthread_t thread;

    /* the thread's */
    int in_fd, out_fd;      /* secondary */
    uint8_t key[COLO_BOOT_KEY];
    char identity[2 * COLO_BOOT_SESSION + 1];
    struct colo_child child[COLO_BOOT_LINKS]; /* primary: ssh; [0] alone, or
                                                one for each link */
    bool pumping;           /* secondary, ssh: pump copies stdio */
    pthread_t pump;
    int pump_fd;            /* its end of the control link */
    int pump_done_fd;       /* eventfd: it has ended */
    struct colo_bootstrap_result result;
    bool absent;            /* primary: there is no such command over there */
    struct colo_error err;
    int rc;
};

/* bootstrap-primary.c, bootstrap-secondary.c: all of it, on the thread. */
int colo__boot_primary(struct colo_bootstrap *boot, struct colo_error *err);
int colo__boot_secondary(struct colo_bootstrap *boot, struct colo_error *err);

/* bootstrap-accept.c: both TLS links, from whoever proves the key. */
int colo__boot_accept(struct colo_bootstrap *boot, int listener,
                      struct colo_error *err);

/* bootstrap-net.c */
int colo__boot_connect(struct colo_bootstrap *boot, const char *address,
                       uint16_t port, int *ret_fd, struct colo_error *err);
int colo__boot_listen(struct colo_bootstrap *boot, int *ret_fd,
                      uint16_t *ret_port, struct colo_error *err);
void colo__boot_tune(const struct colo_bootstrap *boot, int fd, bool bulk);

/* bootstrap-io.c.  read_line: without the newline, not a byte more than the
 * line.  *ret_len is 0 with rc COLO_E_PEER at the end of the stream.  */
int colo__boot_read_line(int fd, int cancel_fd, uint64_t deadline_us,
                         char *buf, size_t cap, size_t *ret_len,
                         struct colo_error *err);
int colo__boot_write_line(int fd, int cancel_fd, uint64_t deadline_us,
                          const struct colo_boot_line *line,
                          struct colo_error *err);
/* wait - colo__fd_wait with its errors. */
int colo__boot_wait(int fd, short events, int cancel_fd, uint64_t deadline_us,
                    const char *what, struct colo_error *err);

/* bootstrap.c */
void colo__boot_raise(int event_fd);
bool colo__boot_complete(struct colo_bootstrap *boot);

/* bootstrap-attach.c: the local socket that a second ssh comes in by */
int colo__boot_attach_listen(struct colo_bootstrap *boot, int *ret_fd,
                             struct colo_error *err);
int colo__boot_attach_accept(struct colo_bootstrap *boot, int listener,
                             struct colo_error *err);

#endif
