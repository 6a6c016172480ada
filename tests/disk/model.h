/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the parts of the disk model share: side.c runs the two plugins and
 * speaks to them, guest.c writes and knows what must be read, model.c is the
 * plan of a run.
 */
#ifndef DISK_MODEL_H
#define DISK_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <libnbd.h>

#define SECTOR 512u
#define MAX_FLIGHT 16

enum {
    STOP, SESSION_GONE, SECONDARY_KILLED, PRIMARY_KILLED, FAILOVER,
    BOTH_KILLED, SURVIVOR_KILLED, PRIMARY_BACK, NR_ENDS,
    SYNC_SECONDARY_KILLED = NR_ENDS, SYNC_PRIMARY_KILLED, SURVIVOR_BROKEN,
    NR_FAULTS
};

extern const char *const fault_names[NR_FAULTS];

/* of all runs, which are processes */
struct shared {
    uint64_t faults[NR_FAULTS], epochs, verified, resyncs, failovers;
    uint64_t by_bitmap, partly; /* after a takeover */
    uint64_t colo_epochs, colo_failovers;
    uint64_t refused; /* to overwrite what was the guest's disk */
};

struct side {
    int index;
    char dir[96];
    bool secondary; /* role it was started in */
    pid_t pid;      /* 0: none */
    int control;    /* -1: none */
    uint64_t seq;   /* last request */
    struct nbd_handle *nbd;
    char event_error[256]; /* the last "error ..." */
    uint64_t compared, differing; /* of the last "verified" */
    uint64_t progress_total;
};

struct flight { /* a write whose end is not known */
    uint64_t offset;
    uint32_t len;
    uint8_t *data;
    int64_t cookie;
};

struct image { /* what a disk must read as */
    uint8_t *bytes;
    struct flight maybe[MAX_FLIGHT]; /* each as a whole, or not at all */
    unsigned nr_maybe;
};

struct model {
    uint64_t seed, random;
    struct shared *shared;
    char dir[64];
    uint64_t size;
    bool verbose;
    struct side side[2];
    int primary; /* index */
    uint64_t epoch, committed; /* last of each; 0: since in step */
    struct image now;  /* the guest's own view */
    struct image held; /* epoch: marked, not committed */
    struct image safe; /* committed: what a failover must give */
    bool colo;         /* this session's mode */
    struct image own;  /* of a running replica: what it must see, and what a
                          failover must give then */
    uint64_t memory_limit;
    bool spill;
    bool took_over; /* the other side is what the primary took over from */
};

/* ---- model.c ---- */
uint64_t rnd(struct model *m, uint64_t n); /* 0 .. n - 1 */
void lost(struct model *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));
void note(struct model *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

int other(struct model *m);         /* side that is not the primary */
bool replica_runs(struct model *m); /* mode colo, and it writes too */

/* ---- model-ends.c ---- */
void end_of_round(struct model *m);

/* ---- side.c ---- */
void side_start(struct model *m, int i, bool secondary);
void side_kill(struct model *m, int i, int sig); /* and wait for its end */
void side_connect(struct model *m, int i); /* control */
void side_leave(struct model *m, int i);   /* control and nbd, abruptly */
void side_nbd(struct model *m, int i);     /* connect the guest */
uint64_t side_send(struct model *m, int i, const char *verb, uint64_t arg);
/* 1 ok, 0 an error, -1 gone or no answer in time; what it was is in ret */
int side_answer(struct model *m, int i, uint64_t seq, int ms, char *ret);
/* the same for what must succeed */
void side_must(struct model *m, int i, const char *verb, uint64_t arg);
/* how often it has said so, in its log */
unsigned side_said(const struct model *m, int i, const char *what);
void side_path(const struct model *m, int i, const char *name, char *ret);

/* ---- guest.c ---- */
void image_init(struct model *m, struct image *im);
void image_read(struct model *m, int i, struct image *im); /* its file */
void image_copy(struct model *m, struct image *to, const struct image *from);
void image_settle(struct image *im); /* forget the maybes */
void image_free(struct image *im);
void guest_ops(struct model *m, unsigned n); /* all of them end */
void replica_ops(struct model *m, unsigned n); /* of the other copy's */
/* writes at side i that are under way; guest_land waits for them, or, if the
 * side is dead, leaves them in doubt */
unsigned guest_launch(struct model *m, int i, struct flight *f, unsigned n);
void guest_land(struct model *m, int i, struct image *im, struct flight *f,
                unsigned n, bool dead);
/* what the guest of side i reads; ambiguous writes are resolved into im */
void check_guest(struct model *m, int i, struct image *im, const char *what);
void check_file(struct model *m, int i, struct image *im, const char *what);

#endif
