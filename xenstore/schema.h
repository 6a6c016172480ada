/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The one home of the xenstore contract: where nodes are and what their
 * values look like.  Pure: no I/O, no allocation, any thread.  Builders
 * bound what they write, parsers take any text.  The same contract for people
 * who write proxies or toolstacks is libcolo-xenstore(7); the two must agree.
 *
 *   /libcolo/UUID/NODE                   one session; UUID is the guest's
 *   /libcolo/UUID/proxy/CLASS/ID/NODE    one proxy that joined it
 */
#ifndef COLO_SCHEMA_H
#define COLO_SCHEMA_H

#include "../libcolo/internal.h"

#define COLO_XS_ROOT "/libcolo"

/* Nodes of a session. */
#define COLO_XS_OWNER         "owner"         /* PID STARTTIME */
#define COLO_XS_ROLE          "role"          /* colo_role_name() */
#define COLO_XS_YIELD         "yield"         /* 1: the guest is the peer's, and
                                                 is being destroyed here */
#define COLO_XS_STATE         "state"         /* colo_state_name() */
#define COLO_XS_MODE          "mode"          /* colo_mode_name() */
#define COLO_XS_LAST_MODE     "last-mode"
#define COLO_XS_REASON        "reason"        /* colo_reason_name() */
#define COLO_XS_EPOCH         "epoch"         /* decimal: last committed */
#define COLO_XS_PEER          "peer"          /* host name */
#define COLO_XS_ERROR         "error"         /* last error, or empty */
#define COLO_XS_DOMID         "domid"         /* decimal */
#define COLO_XS_NAME          "name"          /* of the guest */
#define COLO_XS_INTERVAL      "interval"      /* decimal milliseconds */
#define COLO_XS_STATS         "stats"         /* KEY=NUMBER ... */
#define COLO_XS_CHECKPOINT    "checkpoint"    /* KEY=NUMBER ... */
#define COLO_XS_PROGRESS      "progress"      /* KEY=NUMBER ... */
#define COLO_XS_FOLLOWERS     "followers"     /* KEY=NUMBER ... */
#define COLO_XS_CONTROL       "control"       /* SEQ VERB [NUMBER] */
#define COLO_XS_CONTROL_REPLY "control-reply" /* SEQ ok | SEQ error TEXT */
#define COLO_XS_VERIFIED      "verified"      /* COMPARED DIFFERING, of the
                                                 last verify */
#define COLO_XS_EXIT          "exit"          /* MODE REASON [TEXT] */
#define COLO_XS_PROXY         "proxy"         /* directory */
#define COLO_XS_STREAM        "stream"        /* directory: CLASS/ID = name of
                                                 an abstract socket */

/* Classes of proxies that mean something to us. */
#define COLO_XS_CLASS_DISK    "disk"    /* compares on verify */
#define COLO_XS_CLASS_NET     "net"     /* holds output: told of the end last */

/* Nodes of a proxy. */
#define COLO_XS_FAST          "fast"    /* name of an abstract socket */
#define COLO_XS_REQUEST       "request" /* SEQ VERB [ARGUMENT] */
#define COLO_XS_REPLY         "reply"   /* SEQ ok | SEQ error TEXT */
#define COLO_XS_EVENT         "event"   /* diverged REASON | error TEXT |
                                           progress DONE TOTAL |
                                           verified COMPARED DIFFERING |
                                           verify-failed TEXT */

#define COLO_XS_VALUE_MAX 4096 /* xenstore's limit for a value */
#define COLO_XS_PATH_MAX  256  /* every path of ours, terminated */
#define COLO_XS_UUID_MAX  40   /* terminated */
#define COLO_XS_WORD_MAX  33   /* class or id, terminated */

/* ---- paths ------------------------------------------------------------- */

/* colo__xs_word_ok - may text be a path component (class, id, uuid)?
 * [A-Za-z0-9_-], not empty, shorter than cap. */
bool colo__xs_word_ok(const char *text, size_t cap);

/* colo__xs_path - the path of a session's node; node NULL: its directory.
 * Errors   COLO_E_INVAL  uuid is not a word, or it does not fit. */
int colo__xs_path(char *buf, size_t cap, const char *uuid, const char *node,
                  struct colo_error *err);
int colo__xs_proxy_path(char *buf, size_t cap, const char *uuid,
                        const char *class_name, const char *id,
                        const char *node, struct colo_error *err);

/* colo__xs_stream_path - where the session names the socket of a proxy's
 * stream to its twin. */
int colo__xs_stream_path(char *buf, size_t cap, const char *uuid,
                         const char *class_name, const char *id,
                         struct colo_error *err);

/* colo__xs_proxy_split - which proxy and node a path below
 * /libcolo/UUID/proxy names.  1: filled (node "" for the proxy itself), 0: the
 * path is above the proxies or is none of ours. */
int colo__xs_proxy_split(const char *path, const char *uuid,
                         char ret_class[COLO_XS_WORD_MAX],
                         char ret_id[COLO_XS_WORD_MAX],
                         char ret_node[COLO_XS_WORD_MAX]);

/* ---- values ------------------------------------------------------------ */

/* A parser returns 0, or COLO_E_PROTO with the reason in *err and its outputs
 * untouched.  A builder returns 0, or COLO_E_LIMIT if cap is too small. */

int colo__xs_u64_parse(const char *text, uint64_t *ret, struct colo_error *err);

/* The number that colo_state_name() and its like name; -1 if none. */
int colo__xs_state_parse(const char *text);
int colo__xs_mode_parse(const char *text);
int colo__xs_role_parse(const char *text);
int colo__xs_reason_parse(const char *text);

/* colo_owner - a process; the start time (clock ticks after boot, field 22 of
 * /proc/PID/stat) tells it from a later one with the same pid. */
struct colo_owner {
    int32_t pid;
    uint64_t start;
};

int colo__xs_owner_build(char *buf, size_t cap, const struct colo_owner *owner,
                         struct colo_error *err);
int colo__xs_owner_parse(const char *text, struct colo_owner *ret_owner,
                         struct colo_error *err);

#define COLO_CONTROL_CHECKPOINT 1
#define COLO_CONTROL_FAILOVER   2
#define COLO_CONTROL_STOP       3
#define COLO_CONTROL_DELAY      4
#define COLO_CONTROL_VERIFY     5

#define COLO_DELAY_MAX_MS 600000u

struct colo_control {
    int32_t verb;
    uint32_t arg;   /* DELAY: milliseconds, 1..COLO_DELAY_MAX_MS */
    uint64_t seq;
};

int colo__xs_control_build(char *buf, size_t cap,
                           const struct colo_control *control,
                           struct colo_error *err);
int colo__xs_control_parse(const char *text, struct colo_control *ret_control,
                           struct colo_error *err);

/* colo__xs_seq - the number a text begins with, 0 if it has none: the
 * answer to a malformed request goes to it. */
uint64_t colo__xs_seq(const char *text);

int colo__xs_request_build(char *buf, size_t cap,
                           const struct colo_proxy_request *request,
                           struct colo_error *err);
/* Does not touch ret_request->size. */
int colo__xs_request_parse(const char *text,
                           struct colo_proxy_request *ret_request,
                           struct colo_error *err);

/* An answer, to a control request or of a proxy. */
struct colo_answer {
    uint64_t seq;
    bool ok;
    char text[200]; /* the reason if not ok; shortened to fit */
};

/* error NULL: ok.  Control characters become '?'. */
int colo__xs_answer_build(char *buf, size_t cap, uint64_t seq,
                          const char *error, struct colo_error *err);
int colo__xs_answer_parse(const char *text, struct colo_answer *ret_answer,
                          struct colo_error *err);

/* How a session ended, in one node: it is there for some milliseconds only,
 * which is too short to read several. */
struct colo_exit {
    int32_t mode, reason;
    char text[200]; /* "" if there is nothing to say */
};

int colo__xs_exit_build(char *buf, size_t cap, const struct colo_exit *end,
                        struct colo_error *err);
int colo__xs_exit_parse(const char *text, struct colo_exit *ret_end,
                        struct colo_error *err);

/* colo__xs_event_diverged - the REASON in a "diverged REASON", "" if it
 * gives none, NULL if it is another event. */
const char *colo__xs_event_diverged(const char *text);
/* colo__xs_event_progress - "progress DONE TOTAL", bytes, DONE at most TOTAL:
 * true and both filled. */
bool colo__xs_event_progress(const char *text, uint64_t *ret_done,
                             uint64_t *ret_total);
/* colo__xs_event_verified - "verified COMPARED DIFFERING", chunks. */
bool colo__xs_event_verified(const char *text, uint64_t *ret_compared,
                             uint64_t *ret_differing);
/* colo__xs_pair_parse - "A B": two numbers. */
bool colo__xs_pair_parse(const char *text, uint64_t *ret_a, uint64_t *ret_b);

/* KEY=NUMBER lists.  Unknown keys are skipped, so that newer sessions may add
 * some; missing keys leave their fields as they were.  In stats,
 * last_commit_ms is the CLOCK_MONOTONIC time of the commit and not its
 * age: an age would change all the time. */
int colo__xs_stats_build(char *buf, size_t cap,
                         const struct colo_status *status,
                         struct colo_error *err);
int colo__xs_stats_parse(const char *text, struct colo_status *status,
                         struct colo_error *err);
int colo__xs_followers_build(char *buf, size_t cap,
                             const struct colo_status *status,
                             struct colo_error *err);
int colo__xs_followers_parse(const char *text, struct colo_status *status,
                             struct colo_error *err);
int colo__xs_progress_build(char *buf, size_t cap,
                            const struct colo_status *status,
                            struct colo_error *err);
int colo__xs_progress_parse(const char *text, struct colo_status *status,
                            struct colo_error *err);

/* A checkpoint, and when it was committed (CLOCK_MONOTONIC): status may be
 * written less often than checkpoints happen. */
struct colo_committed {
    struct colo_checkpoint_info info;
    uint64_t at_ms;
};

int colo__xs_checkpoint_build(char *buf, size_t cap,
                              const struct colo_committed *committed,
                              struct colo_error *err);
int colo__xs_checkpoint_parse(const char *text,
                              struct colo_committed *committed,
                              struct colo_error *err);

/* colo__xs_clean - copy at most cap - 1 bytes, control characters become
 * '?': what goes into a value must be one line of text. */
void colo__xs_clean(char *buf, size_t cap, const char *text);

#endif
