/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The public interface of libcolo, and its only public header: sessions
 * (one protected guest on one side), clients (a session that another
 * process runs), proxies (things that must follow checkpoints), preflight.
 *
 * Conventions.  A call returns 0, or a negative COLO_E_* and fills *err
 * when err is not NULL; output parameters are then untouched.  Strings are
 * UTF-8, borrowed until the call returns unless said otherwise.  Times are
 * CLOCK_MONOTONIC.  One thread per handle at a time, except where a Threads
 * line says more.  After fork(), only the close call may be used.  The
 * library installs no signal handler, never exits, and writes nothing to
 * stdout or stderr: messages go to the log callback.
 */
#ifndef COLO_H
#define COLO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define COLO_PUBLIC __attribute__((visibility("default")))
#define COLO_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define COLO_PUBLIC
#define COLO_PRINTF(f, a)
#endif

#define COLO_VERSION "0.1.0"

/* ---- errors ------------------------------------------------------------ */

/* Codes say what the caller may do next; the text says what happened. */
#define COLO_E_INVAL       (-1)  /* an argument is wrong: fix the call */
#define COLO_E_STATE       (-2)  /* not in this state: see the text */
#define COLO_E_NOMEM       (-3)  /* no memory: retry later */
#define COLO_E_SYS         (-4)  /* a system call failed: see sys_errno */
#define COLO_E_PEER        (-5)  /* the peer is gone or silent: fail over */
#define COLO_E_TIMEOUT     (-6)  /* a local wait passed its deadline */
#define COLO_E_PROTO       (-7)  /* the peer sent what it must not: give up */
#define COLO_E_VERSION     (-8)  /* the peer speaks another version */
#define COLO_E_CORRUPT     (-9)  /* a checksum did not match: nothing loaded */
#define COLO_E_HV         (-10)  /* the hypervisor refused: see sys_errno */
#define COLO_E_GUEST      (-11)  /* the guest is gone or does not answer */
#define COLO_E_UNSUPPORTED (-12) /* cannot be protected: see the text */
#define COLO_E_REFUSED    (-13)  /* the arbiter or an operator said no */
#define COLO_E_LIMIT      (-14)  /* a configured limit was reached */
#define COLO_E_NOTFOUND   (-15)  /* no such domain, session or node */
#define COLO_E_AUTH       (-16)  /* the peer did not prove who it is */
#define COLO_E_EXISTS     (-17)  /* it is there already */
#define COLO_E_STORE      (-18)  /* xenstore refused: see sys_errno */
#define COLO_E_PEER_SAID  (-19)  /* the peer reported an error of its own */

/* colo_error - what went wrong; owned by the caller, fixed size.
 * Shape    where: the part that failed ("wire", "hv-xen", ...);
 *          text: one sentence without newline, with the way out if known.
 * Units    sys_errno: errno value, or 0 if no system call was involved. */
struct colo_error {
    int32_t code;
    int32_t sys_errno;
    char where[32];
    char text[200];
};

/* colo_strerror - the name and meaning of a code.
 * Returns  a static string, also for unknown codes.
 * Threads  any. */
COLO_PUBLIC const char *colo_strerror(int code);

/* ---- log --------------------------------------------------------------- */

#define COLO_LOG_DEBUG   0
#define COLO_LOG_INFO    1
#define COLO_LOG_NOTICE  2
#define COLO_LOG_WARNING 3
#define COLO_LOG_ERROR   4

/* colo_log_fn - receives one message.
 * Shape    sys_errno: errno value or -1; context: the part that speaks;
 *          text: no newline.
 * Threads  called on the thread that is in a colo_ call and on the
 *          session's worker thread; must not call back into libcolo. */
typedef void colo_log_fn(void *user, int level, int sys_errno,
                         const char *context, const char *text);

struct colo_log {
    colo_log_fn *fn;   /* NULL: silent */
    void *user;        /* borrowed; must outlive the handle */
    int32_t min_level; /* COLO_LOG_*: less is dropped before formatting */
};

/* ---- names of states --------------------------------------------------- */

#define COLO_ROLE_PRIMARY   1
#define COLO_ROLE_SECONDARY 2

#define COLO_MODE_NONE  0
#define COLO_MODE_REMUS 1
#define COLO_MODE_COLO  2

/* Why replication ended (QEMU COLO's COLOExitReason). */
#define COLO_REASON_NONE       0  /* it has never ended */
#define COLO_REASON_REQUEST    1  /* somebody asked for it */
#define COLO_REASON_PROCESSING 2  /* it is ending now */
#define COLO_REASON_ERROR      3  /* an error ended it */

/* States of a session; the table is in libcolo-states(7). */
#define COLO_STATE_NEW        0
#define COLO_STATE_CONNECTING 1
#define COLO_STATE_SEEDING    2
#define COLO_STATE_WAITING    3  /* primary: guest runs, next epoch later */
#define COLO_STATE_REQUESTED  4  /* primary: asked, peer has not replied */
#define COLO_STATE_STOPPING   5  /* primary: the guest is asked to stop */
#define COLO_STATE_COMMITTING 6  /* primary: sent or being sent, no ack yet */
#define COLO_STATE_READY      7  /* secondary: holds a whole epoch */
#define COLO_STATE_RECEIVING  8  /* secondary: an epoch is coming in */
#define COLO_STATE_LOADING    9  /* secondary: a whole epoch is applied */
#define COLO_STATE_TAKEOVER  10  /* secondary: starting the replica */
#define COLO_STATE_ACTIVE    11  /* secondary: the replica is the guest */
#define COLO_STATE_ARBITRATING 12 /* peer lost: may this side run? */
#define COLO_STATE_ENDING    13
#define COLO_STATE_ENDED     14
#define COLO_STATE_COUNT     15

/* colo_state_name, colo_mode_name, colo_role_name, colo_reason_name -
 * the words that status, events and xenstore use.
 * Returns  a static string; "unknown" for other numbers.
 * Threads  any. */
COLO_PUBLIC const char *colo_state_name(int state);
COLO_PUBLIC const char *colo_mode_name(int mode);
COLO_PUBLIC const char *colo_role_name(int role);
COLO_PUBLIC const char *colo_reason_name(int reason);

/* colo_features - what this build can do.
 * Returns  a static string of words: "tls ssh xen-4.17 lz4 ...".
 * Threads  any. */
COLO_PUBLIC const char *colo_features(void);

/* ---- status and events ------------------------------------------------- */

/* colo_checkpoint_info - the figures of one committed checkpoint.
 * Units    *_us: microseconds; *_pages: 4096-byte pages; *_bytes: bytes. */
struct colo_checkpoint_info {
    uint64_t epoch;
    uint64_t dirty_pages;   /* captured in this epoch, live round included */
    uint64_t final_pages;   /* of them copied while the guest was stopped */
    uint64_t zero_pages;
    uint64_t delta_pages;   /* sent as a difference */
    uint64_t wire_bytes;    /* on the bulk link, this epoch */
    uint64_t pause_us;      /* stop asked .. guest runs again */
    uint64_t stop_us;       /* of it: until the guest stood still */
    uint64_t copy_us;       /* of it: bitmap, scan and copy */
    uint64_t state_us;      /* of it: CPU and device context */
    uint64_t resume_us;     /* of it: letting it go on */
    uint64_t commit_us;     /* guest runs again .. RECEIVED; mode colo: guest
                               stands still .. RECEIVED */
};

/* colo_lockstep_info - mode colo: what both copies did until a checkpoint.
 * Units    *_pages: 4096-byte pages; *_bytes: bytes; total_*: since the start,
 *          the others: of the last checkpoint. */
struct colo_lockstep_info {
    uint64_t own_dirty_pages;   /* written by the guest */
    uint64_t peer_dirty_pages;  /* written by the replica */
    uint64_t equal_pages;       /* of both: equal, and not sent */
    uint64_t sent_pages;
    uint64_t list_bytes;        /* what the backup sent: frames and hashes */
    uint64_t total_equal_pages, total_sent_pages;
    uint64_t total_bytes;       /* both directions of the bulk link */
};

/* What a committed epoch means. */
#define COLO_COMMIT_ACKNOWLEDGED   0 /* the peer has said that it holds it */
#define COLO_COMMIT_UNACKNOWLEDGED 1 /* stock Xen, which says nothing: its
                                        host's kernel has all bytes of it */
#define COLO_COMMIT_WRITTEN        2 /* stock Xen, through ssh: the ssh of this
                                        host has taken all bytes of it */

/* colo_commit_name - "acknowledged", "unacknowledged", "unacknowledged-ssh".
 * Threads  any. */
COLO_PUBLIC const char *colo_commit_name(int commit);

/* colo_status - one look at a session.  size: set by the caller to
 * sizeof(struct colo_status); fields beyond it are not written. */
struct colo_status {
    uint32_t size;
    int32_t role, state, mode, last_mode, reason;
    int32_t replication_error;     /* 1: see error */
    uint32_t domid;
    uint32_t interval_ms;
    char name[64];
    char uuid[40];
    char peer[128];
    char error[200];               /* last error, "" = none */
    uint64_t epoch;                /* last committed */
    uint64_t last_commit_ms;       /* age in milliseconds; 0 = never */
    uint64_t checkpoints;          /* committed since the start */
    uint64_t pause_median_us, pause_p95_us;  /* of the last 128 */
    uint64_t dirty_pages_median;
    uint64_t bytes_per_second;     /* bulk link, last 128 checkpoints */
    uint64_t seed_done, seed_total, seed_bytes_per_second;
    uint64_t audit_pages;          /* compared so far */
    uint64_t audit_mismatches;     /* unexplained, and repaired */
    uint64_t audit_known;          /* differed for a known reason */
    uint64_t full_resyncs;
    struct colo_checkpoint_info last;
    uint64_t disks;                /* that are replicated */
    uint64_t disk_done, disk_total;  /* bytes, of their first copies */
    uint64_t interfaces;           /* whose output is held */
    uint64_t held_bytes, held_max; /* output held at the last look; the most */
    uint64_t output_lost;          /* frames: the buffer was full */
    struct colo_lockstep_info lockstep; /* primary, mode colo */
    int32_t commit;                /* primary: COLO_COMMIT_* */
    int32_t audit_off;             /* primary, 1: pages are not compared: so
                                      asked, or the peer or a PV guest
                                      does not allow it */
};

#define COLO_EVENT_STATE      1  /* state, old_state */
#define COLO_EVENT_CHECKPOINT 2  /* checkpoint */
#define COLO_EVENT_PROGRESS   3  /* seed_done, seed_total, seed rate */
#define COLO_EVENT_WARNING    4  /* text */
#define COLO_EVENT_EXIT       5  /* mode, reason, code, text */

struct colo_event {
    uint32_t size;
    int32_t type;
    int32_t state, old_state;
    int32_t mode, reason, code;
    uint64_t seed_done, seed_total, seed_bytes_per_second;
    const struct colo_checkpoint_info *checkpoint; /* until return, or NULL */
    const char *text;                              /* until return, or NULL */
};

/* colo_event_fn - told on the thread that is in colo_session_process() or
 * colo_client_process().  May call colo_session_* requests (they are queued)
 * but not process, run or close. */
typedef void colo_event_fn(void *user, const struct colo_event *event);

/* ---- session ----------------------------------------------------------- */

struct colo_session;

#define COLO_TRANSPORT_TLS 0  /* bootstrap over ssh, then TLS 1.3-PSK */
#define COLO_TRANSPORT_SSH 1  /* everything through ssh */
#define COLO_TRANSPORT_FD  2  /* the caller's connected stream sockets */

#define COLO_PEER_LIBCOLO 0   /* a session of libcolo */
#define COLO_PEER_AUTO    1   /* that, or stock Xen where there is no libcolo */
#define COLO_PEER_STOCK   2   /* `xl migrate-receive -r` of stock Xen */

#define COLO_TOOLSTACK_AUTO    0 /* libvirt if it has the guest, else xl */
#define COLO_TOOLSTACK_XL      1 /* the replica is a domain of libxl's alone */
#define COLO_TOOLSTACK_LIBVIRT 2 /* the replica is a guest of libvirt's */

#define COLO_ARBITER_NONE 0   /* the survivor of the link runs */

/* colo_config - settings of a session.
 * Shape    size: sizeof(struct colo_config).  colo_config_init() fills in
 *          the defaults named below; set what differs.
 * Units    *_ms: milliseconds; 0 in a *_ms field means its default.
 * Owner    everything is copied by colo_session_open(); descriptors of
 *          COLO_TRANSPORT_FD and boot_* belong to the session afterwards. */
struct colo_config {
    uint32_t size;
    int32_t role;               /* COLO_ROLE_* */
    int32_t mode;               /* COLO_MODE_REMUS (default), _COLO; of the
                                   secondary: the primary's counts */
    int32_t transport;          /* COLO_TRANSPORT_TLS (default) */
    int32_t arbiter;            /* COLO_ARBITER_NONE (default) */
    const char *domain;         /* primary: name or domid of the guest */
    const char *peer;           /* primary: host name for ssh */
    const char *address;        /* TLS: connect here (NULL: as ssh reached);
                                   stock peer: ADDRESS:PORT of its xl, without
                                   ssh (NULL: through ssh) */
    const char *ssh_command;    /* NULL: "ssh -o BatchMode=yes" */
    const char *remote_command; /* NULL: "colo receive" */
    int32_t control_fd, bulk_fd;   /* COLO_TRANSPORT_FD, else -1 */
    int32_t boot_in_fd, boot_out_fd; /* secondary: what ssh gave us, or -1 */
    uint32_t interval_ms;       /* from stop to stop, default 100; mode colo:
                                   at most so long without a checkpoint,
                                   default 20000 */
    uint32_t heartbeat_ms;      /* default 100 */
    uint32_t dead_ms;           /* silence that means dead, default 1000 */
    uint32_t stop_ms;           /* guest may take to suspend, default 10000 */
    uint32_t connect_ms;        /* ssh, handshake, HELLO; default 30000 */
    uint32_t seed_ms;           /* silence while seeding, default 60000 */
    uint32_t commit_ms;         /* epoch sent .. RECEIVED, default 10000 */
    uint32_t audit_checkpoints; /* every page is compared within so many
                                   checkpoints; default 256, 0xffffffff off */
    uint32_t delta_mib;         /* memory for last sent content, default 64 */
    int32_t live_round;         /* -1 adaptive (default), 0 never, 1 always */
    int32_t compress;           /* -1 adaptive (default), 0 never, 1 always */
    struct colo_log log;
    colo_event_fn *event_fn;    /* NULL: no events */
    void *event_user;           /* borrowed; must outlive the session */
    const char *libexecdir;     /* NULL: where it was installed */
    int32_t disks;              /* primary: 1 (default) writable disks are
                                   replicated, 0 they are left alone: what
                                   the guest writes is not on the backup;
                                   mode colo: 1 */
    int32_t network_buffer;     /* primary: 1 (default) output is held until
                                   its epoch is committed, 0 it leaves at
                                   once, and clients may see what is lost;
                                   mode colo: 1 */
    uint32_t disk_memory_mib;   /* of each disk's proxy, for writes that are
                                   under way or not committed; default 64 */
    uint32_t disk_spill_mib;    /* secondary: what more of them may go into a
                                   file; default 1024 */
    const char *disk_spill_dir; /* secondary: where; NULL: beside the disks'
                                   bitmaps, /var/lib/libcolo/disk */
    int32_t peer_kind;          /* primary: COLO_PEER_LIBCOLO (default): what is
                                   at the other end.  Stock Xen: mode remus
                                   only, no disks, and commits mean less, see
                                   COLO_COMMIT_* and colo(1) */
    uint32_t hold_ms;           /* primary, mode colo: what one copy has sent
                                   waits so long for the other's, then a
                                   checkpoint makes them equal; default 3000.
                                   An acknowledgement: an eighth of it, and
                                   at least 400 */
    int32_t toolstack;          /* COLO_TOOLSTACK_AUTO (default): whose the
                                   replica is; to be set on both sides.  AUTO
                                   on a secondary without libvirt: xl's */
    int32_t disk_track;         /* to be set on both sides: 1 the kernel notes
                                   what the guest writes once protection has
                                   ended here, so that the next need not
                                   compare whole disks; 0 (default) not */
    const char *net_policy;     /* primary, mode colo: what becomes of classes
                                   of frames, as words CLASS=POLICY ("dns=pass
                                   quic=pass"), see colo-net(8); NULL
                                   (default): link passes, the rest is
                                   compared */
};

/* colo_config_init - fill a config with the defaults.
 * Returns  0, COLO_E_INVAL if size is unknown (a newer caller). */
COLO_PUBLIC int colo_config_init(struct colo_config *config, size_t size);

/* colo_session_open - make a session; nothing is contacted yet.
 * Owner    *ret_session belongs to the caller: colo_session_close().
 * Errors   COLO_E_INVAL  a setting is missing or wrong (named in text)
 *          COLO_E_NOTFOUND no such domain
 *          COLO_E_UNSUPPORTED this guest cannot be protected
 *          COLO_E_EXISTS another session protects this guest
 *          COLO_E_HV, COLO_E_STORE, COLO_E_SYS, COLO_E_NOMEM
 * Blocks   some milliseconds (hypervisor and xenstore requests).
 * Since    LIBCOLO_0.1 */
COLO_PUBLIC int colo_session_open(const struct colo_config *config,
                                  struct colo_session **ret_session,
                                  struct colo_error *err);

/* colo_session_get_fd - a descriptor to poll for input.
 * Returns  the descriptor; owned by the session, the same until close. */
COLO_PUBLIC int colo_session_get_fd(struct colo_session *session);

/* colo_session_get_events - what to poll the descriptor for.
 * Returns  poll(2) bits (POLLIN). */
COLO_PUBLIC int colo_session_get_events(struct colo_session *session);

/* colo_session_get_deadline - when to call process at the latest.
 * Returns  absolute CLOCK_MONOTONIC milliseconds; UINT64_MAX = never. */
COLO_PUBLIC uint64_t colo_session_get_deadline(struct colo_session *session);

/* colo_session_process - do what can be done now; the first call starts the
 * session, as colo_set_replication(enable) does.
 * Returns  1 the session goes on, 0 it has ended as asked (the secondary:
 *          or it has taken over), < 0 it has ended by that error; the guest
 *          runs, wherever it must.  COLO_E_GUEST on the primary: the guest
 *          itself has ended; COLO_E_REFUSED: the other side has it.
 * Blocks   the capture of one epoch (milliseconds); never for the peer. */
COLO_PUBLIC int colo_session_process(struct colo_session *session,
                                     struct colo_error *err);

/* colo_session_run - process until the session has ended.
 * Returns  as the last process.  Blocks as long as protection lasts. */
COLO_PUBLIC int colo_session_run(struct colo_session *session,
                                 struct colo_error *err);

/* colo_session_close - release everything; a session that still runs is
 * stopped first, the guest goes on.  NULL is fine.
 * Blocks   up to a second; on a secondary that takes over, until it has; on a
 *          primary whose first copy is broken off, up to half a minute. */
COLO_PUBLIC void colo_session_close(struct colo_session *session);

/* colo_set_replication - switch replication (QEMU COLO's
 * xen-set-replication).  enable=1: start; enable=0, failover=0: stop
 * cleanly; enable=0, failover=1: take over here.
 * primary  must say the role the session has.
 * Errors   COLO_E_INVAL failover together with enable, or the other role
 *          COLO_E_STATE not possible now
 * Since    LIBCOLO_0.1 */
COLO_PUBLIC int colo_set_replication(struct colo_session *session, int enable,
                                     int primary, int failover,
                                     struct colo_error *err);

/* colo_replication_status - QEMU COLO's query-xen-replication-status.
 * Shape    *ret_error: 1 when replication has failed; desc: cap bytes,
 *          always terminated, "" when there is no error. */
COLO_PUBLIC int colo_replication_status(struct colo_session *session,
                                        int *ret_error, char *desc, size_t cap,
                                        struct colo_error *err);

/* colo_do_checkpoint - ask for one checkpoint now (once, however often it
 * is asked before it happens).
 * Errors   COLO_E_STATE not protecting
 * Threads  any thread. */
COLO_PUBLIC int colo_do_checkpoint(struct colo_session *session,
                                   struct colo_error *err);

/* colo_query_status - fill *status (status->size set by the caller). */
COLO_PUBLIC int colo_query_status(struct colo_session *session,
                                  struct colo_status *status,
                                  struct colo_error *err);

/* colo_session_set_delay - change the checkpoint interval while running.
 * Units    milliseconds, 1..600000.
 * Errors   COLO_E_STATE this is the secondary
 * Threads  any thread. */
COLO_PUBLIC int colo_session_set_delay(struct colo_session *session,
                                       uint32_t interval_ms,
                                       struct colo_error *err);

/* colo_session_failover - take over here: on the secondary the replica is
 * started from the last whole epoch, on the primary the guest goes on alone.
 * Errors   COLO_E_STATE there is no whole epoch yet.
 * Threads  any thread. */
COLO_PUBLIC int colo_session_failover(struct colo_session *session,
                                      struct colo_error *err);

/* colo_session_stop - end replication cleanly; the guest runs at the
 * primary, the replica is destroyed.
 * Threads  any thread. */
COLO_PUBLIC int colo_session_stop(struct colo_session *session,
                                  struct colo_error *err);

/* ---- client: a session that another process runs, through xenstore ----- */

struct colo_client;

/* colo_connect - find the session of a domain on this host.
 * Shape    domain: name or domid.
 * Errors   COLO_E_NOTFOUND no session for this domain
 *          COLO_E_STORE    xenstore cannot be reached
 * Owner    colo_client_close(). */
COLO_PUBLIC int colo_connect(const char *domain,
                             struct colo_client **ret_client,
                             struct colo_error *err);
COLO_PUBLIC void colo_client_close(struct colo_client *client);

/* colo_client_list - call fn for every session on this host.
 * Shape    fn gets a filled status; a non-zero return ends the walk. */
COLO_PUBLIC int colo_client_list(int (*fn)(void *user,
                                           const struct colo_status *status),
                                 void *user, struct colo_error *err);

/* colo_client_query_status - as colo_query_status. */
COLO_PUBLIC int colo_client_query_status(struct colo_client *client,
                                         struct colo_status *status,
                                         struct colo_error *err);

/* colo_client_do_checkpoint, _set_delay, _failover, _stop,
 * _set_replication - as the session's calls; they return when the session
 * has answered.
 * Errors   COLO_E_TIMEOUT  no answer within timeout_ms
 *          COLO_E_PEER_SAID  the session refused; text has its reason
 *          COLO_E_NOTFOUND the session has gone */
COLO_PUBLIC int colo_client_do_checkpoint(struct colo_client *client,
                                          uint32_t timeout_ms,
                                          struct colo_error *err);
COLO_PUBLIC int colo_client_set_delay(struct colo_client *client,
                                      uint32_t interval_ms,
                                      uint32_t timeout_ms,
                                      struct colo_error *err);
COLO_PUBLIC int colo_client_failover(struct colo_client *client,
                                     uint32_t timeout_ms,
                                     struct colo_error *err);
COLO_PUBLIC int colo_client_stop(struct colo_client *client,
                                 uint32_t timeout_ms,
                                 struct colo_error *err);
/* colo_client_verify - compare the disks of both sides while the guest runs
 * protected; asked of the primary's session.
 * Shape    chunks of 64 KiB: how many were compared, how many differed (a
 *          sound pair has none).
 * Errors   as above; COLO_E_PEER_SAID also: it has no disks, it is not
 *          protecting, the comparison failed.
 * Blocks   as long as reading every disk once takes. */
COLO_PUBLIC int colo_client_verify(struct colo_client *client,
                                   uint32_t timeout_ms,
                                   uint64_t *ret_compared,
                                   uint64_t *ret_differing,
                                   struct colo_error *err);
COLO_PUBLIC int colo_client_set_replication(struct colo_client *client,
                                            int enable, int primary,
                                            int failover, uint32_t timeout_ms,
                                            struct colo_error *err);

/* colo_client_set_event_fn, _get_fd, _process - follow a session.
 * Events arrive from process(); an event that came and went between two
 * calls is seen as its last value only.
 * Returns  process: 1 go on, 0 the session has gone, < 0 error. */
COLO_PUBLIC int colo_client_set_event_fn(struct colo_client *client,
                                         colo_event_fn *fn, void *user,
                                         struct colo_error *err);
COLO_PUBLIC int colo_client_get_fd(struct colo_client *client);
COLO_PUBLIC int colo_client_process(struct colo_client *client,
                                    struct colo_error *err);

/* ---- proxy: what must follow checkpoints, in a process of its own ------ */

struct colo_proxy;

#define COLO_PROXY_START      1  /* mode in arg */
#define COLO_PROXY_CHECKPOINT 2  /* epoch in arg */
#define COLO_PROXY_COMMIT     3  /* epoch in arg */
#define COLO_PROXY_FAILOVER   4
#define COLO_PROXY_STOP       5  /* 1 in arg, only on the backup: the takeover
                                    that FAILOVER told did not come about, and
                                    the guest goes on at the peer */
#define COLO_PROXY_VERIFY     6  /* compare with the twin, online: answer at
                                    once (an error: it cannot), then tell
                                    the event "verified COMPARED DIFFERING" or
                                    "verify-failed TEXT" */

struct colo_proxy_request {
    uint32_t size;
    int32_t verb;   /* COLO_PROXY_* */
    uint64_t seq;   /* goes back in the reply */
    uint64_t arg;
};

/* colo_proxy_join - join the session of a domain.
 * Shape    class_name: "disk", "net", ...; id: e.g. "xvda"; both of
 *          [A-Za-z0-9_-], at most 32 bytes.
 * Errors   COLO_E_NOTFOUND no session; COLO_E_EXISTS the id is taken
 * Owner    colo_proxy_close() (leaves the session). */
COLO_PUBLIC int colo_proxy_join(const char *domain, const char *class_name,
                                const char *id, struct colo_proxy **ret_proxy,
                                struct colo_error *err);
COLO_PUBLIC void colo_proxy_close(struct colo_proxy *proxy);
COLO_PUBLIC int colo_proxy_get_fd(struct colo_proxy *proxy);

/* colo_proxy_next - the next request, without waiting.  When the descriptor
 * is readable, call it until it gives 0.
 * Shape    ret_request->size: set by the caller, sizeof(*ret_request).
 * Returns  1 *ret_request filled, 0 none now, < 0 error
 *          (COLO_E_NOTFOUND: the session has gone: release everything). */
COLO_PUBLIC int colo_proxy_next(struct colo_proxy *proxy,
                                struct colo_proxy_request *ret_request,
                                struct colo_error *err);

/* colo_proxy_reply - answer a request; error NULL = ok, else the reason. */
COLO_PUBLIC int colo_proxy_reply(struct colo_proxy *proxy, uint64_t seq,
                                 const char *error, struct colo_error *err);

/* colo_proxy_event - tell the session something ("diverged REASON"). */
COLO_PUBLIC int colo_proxy_event(struct colo_proxy *proxy, const char *event,
                                 struct colo_error *err);

/* colo_proxy_stream - connect to the proxy of the same class and id at the
 * peer, through the session: bytes both ways, in order, encrypted on their
 * way.  Once per proxy, after COLO_PROXY_START was received.
 * Owner    *ret_fd is a connected stream socket (blocking, close-on-exec) and
 *          the caller's.  It ends when either proxy closes its own, or the
 *          session ends.
 * Errors   COLO_E_NOTFOUND this session has no stream for this proxy
 *          COLO_E_PEER it was connected before, or the session has gone
 * Since    LIBCOLO_0.1 */
COLO_PUBLIC int colo_proxy_stream(struct colo_proxy *proxy, int *ret_fd,
                                  struct colo_error *err);

/* ---- preflight --------------------------------------------------------- */

#define COLO_CHECK_OK      0
#define COLO_CHECK_WARNING 1
#define COLO_CHECK_REFUSED 2

/* colo_check_item - one finding.  id: a stable word ("pci-passthrough");
 * text: what is so; advice: the way out, "" if none is needed. */
struct colo_check_item {
    int32_t result;
    const char *id;
    const char *text;
    const char *advice;
};

typedef void colo_check_fn(void *user, const struct colo_check_item *item);

/* colo_check_domain - every reason why this guest could not be protected
 * from this host.  colo_check_host - the same of this host as a backup.
 * Returns  the number of COLO_CHECK_REFUSED items, or < 0 if it could not
 *          look (COLO_E_NOTFOUND, COLO_E_HV, COLO_E_STORE). */
COLO_PUBLIC int colo_check_domain(const char *domain, int mode,
                                  colo_check_fn *fn, void *user,
                                  struct colo_error *err);
COLO_PUBLIC int colo_check_host(uint64_t need_pages, colo_check_fn *fn,
                                void *user, struct colo_error *err);

/* colo_recover - put right what a killed session left on this host: resume
 * guests that it had stopped, log-dirty off, nodes removed.
 * Disks whose colo-disk was killed are put back on their backings, too.
 * Returns  the number of sessions and disks cleaned, or < 0. */
COLO_PUBLIC int colo_recover(struct colo_log *log, struct colo_error *err);

#ifdef __cplusplus
}
#endif
#endif
