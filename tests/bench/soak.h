/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The long run: a protected guest and a protected disk for hours, each side a
 * process of its own, stopped and protected again every few minutes, while
 * memory, descriptors and threads of all of them are watched.
 *
 *   soak.c         processes, rounds, the end, what is printed
 *   soak-guest.c   the processes of the two sessions
 *   soak-disk.c    the process that writes to the disk and plays its session
 *   soak-sample.c  what every process uses, and how that grows
 */
#ifndef SOAK_H
#define SOAK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
    SOAK_DRIVER, SOAK_PRIMARY, SOAK_SECONDARY, SOAK_WRITER, SOAK_DISK_PRIMARY,
    SOAK_DISK_SECONDARY, SOAK_KNOWN
};

#define SOAK_MARKS 64
#define SOAK_WHYS 8

#define SOAK_STOP 1
#define SOAK_FAILOVER 2

/* Between the processes of a run. */
struct soak_shared {
    uint32_t seconds;                /* of the whole run */
    uint32_t round_ms;
    int listener;                    /* the secondary's, on loopback */
    uint16_t port;
    _Atomic pid_t pid[SOAK_KNOWN];   /* 0: not yet */
    _Atomic uint32_t quit;           /* no further round */
    _Atomic uint32_t losses;
    char why[SOAK_WHYS][240];        /* the first of them */
    /* sessions; [0] primary */
    _Atomic uint32_t want[2];        /* SOAK_STOP, SOAK_FAILOVER; taken */
    _Atomic uint32_t ended[2];       /* rounds */
    _Atomic uint64_t guest_seed;     /* of the guest that runs now */
    _Atomic uint64_t round_commits, commits, takeovers, guest_protections;
    _Atomic uint64_t released;       /* last epoch of this round, 0 none */
    struct {
        _Atomic uint64_t epoch, step;
    } marks[SOAK_MARKS];             /* where epochs were cut */
    /* disk */
    _Atomic uint64_t disk_epochs, disk_protections, disk_requests;
};

/* soak.c */
void soak_lost(struct soak_shared *shared, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t soak_now_ms(void);
void soak_nap(uint32_t ms);

/* The rest never returns: the exit status is 0, or 1 after soak_lost. */
_Noreturn void soak_primary(struct soak_shared *shared);
_Noreturn void soak_secondary(struct soak_shared *shared);
_Noreturn void soak_writer(struct soak_shared *shared, const char *dir);

/* ---- soak-sample.c ----------------------------------------------------- */

struct soak_samples;

/* How the use of all processes grew: mean (memory) or median of the last
 * third of the samples against the first third, of the process that grew
 * most. */
struct soak_growth {
    double rss_percent, anon_percent, fds, threads;
    bool bad; /* over what is allowed */
};

struct soak_samples *soak_samples_new(uint32_t capacity);
/* Whatever has a pid, and the children of that. */
void soak_samples_take(struct soak_samples *samples,
                       const struct soak_shared *shared, double hours);
/* A line for each process. */
void soak_samples_print(const struct soak_samples *samples,
                        struct soak_growth *ret_growth);

#endif
