/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-xl-session: runs the session for xl, see helper.h.  Started by the
 * plug-in; not for users.  Uses libcolo's public interface only, and its way to
 * start a program, and to speak for one that was killed (stock-gate.c).
 *
 *   primary DOMID PEER remus|colo INTERVAL buffer|no-buffer disks|no-disks
 *           compress|no-compress
 *   nowhere         likewise, and PEER is a word only: colo-stock on this host
 *                   takes what a stock peer would, and forgets it
 *   secondary
 *   stock-secondary NAME UUID   of a primary with only stock Xen, whose stream
 *                   is XL_RECV_FD and whose guest XL_CONFIG_FD: through
 *                   colo-stock, see remus-compat/gate
 *   relay PID       libcolo's way to the peer, in place of ssh: relay.c
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check-waived.h"
#include "cli.h"
#include "colo.h"
#include "helper.h"
#include "process.h"
#include "relay.h"
#include "session-wait.h"
#include "stock-gate.h"

#define LIFE_FD 0
#define REPORT_FD 1
#define END_MS 2000 /* for an xl that is slow to hear how it ended */
#define DEAD_MAX 600000u
/* Nowhere is a process of this host: its silence says that it is held up, and
 * nothing of a host, see GATE_DEAD_MS of colo-stock. */
#define NOWHERE_DEAD_MS DEAD_MAX

/* ---- reports ------------------------------------------------------------ */

static void report(const char *word, int number, const char *text)
{
    char line[XL_LINE_MAX];
    int n = snprintf(line, sizeof(line) - 1, "%s %d %s", word, number, text);

    if (n > (int)sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    for (int i = 0; i < n; i++) {
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    }
    line[n++] = '\n';
    /* Shorter than PIPE_BUF: whole or not at all.  Not at all if xl has gone,
     * or stands still (^Z): the session must not wait for it, or the backup
     * would take this host for dead. */
    if (write(REPORT_FD, line, (size_t)n) < 0)
        return;
}

/* The last line is worth a wait. */
static void report_end(int code, const char *text)
{
    struct pollfd pfd = { .fd = REPORT_FD, .events = POLLOUT };

    (void)poll(&pfd, 1, END_MS);
    report("end", code, text);
}

struct running {
    struct colo_session *session;
    bool backup;
    bool checkpoint;      /* one was whole */
    bool active;          /* the replica is the guest */
    bool named;           /* and what is said goes to: */
    struct colo_log file; /* fn NULL: nowhere else */
};

/* What the session says is for its log; xl gets what a person must know. */
static void on_log(void *user, int level, int sys_errno, const char *context,
                   const char *text)
{
    const struct running *running = user;
    char line[XL_LINE_MAX];

    snprintf(line, sizeof(line), "%s: %s", context, text);
    report("log", level, line);
    if (running && running->file.fn && level >= running->file.min_level)
        running->file.fn(running->file.user, level, sys_errno, context, text);
}

/* At a takeover the backup's xl has gone with ssh and the other host.  So what
 * becomes of the guest is in the log of `colo receive`, too, from when its name
 * is known: that comes from the peer. */
static void open_log(struct running *running)
{
    struct colo_status status = { .size = sizeof(status) };

    if (!running->backup || running->named || !running->session ||
        colo_query_status(running->session, &status, NULL) || !status.name[0])
        return;
    running->named = true;
    if (!cli_log_open(status.name))
        return;
    running->file = cli_log(0);
    cli_say("%s: receiving from %s", status.name,
            status.peer[0] ? status.peer : "xl");
}

static void on_event(void *user, const struct colo_event *event)
{
    struct running *running = user;

    open_log(running);
    if (running->file.fn)
        cli_say_event(event, 0);
    if (event->type == COLO_EVENT_WARNING && event->text)
        report("log", COLO_LOG_WARNING, event->text);
    if (event->type == COLO_EVENT_STATE) {
        running->active |= event->state == COLO_STATE_ACTIVE;
        report("log", COLO_LOG_INFO, colo_state_name(event->state));
    }
    if (event->type == COLO_EVENT_CHECKPOINT && !running->checkpoint) {
        running->checkpoint = true;
        report("log", COLO_LOG_NOTICE, "the first checkpoint is whole");
    }
}

/* ---- the loop ----------------------------------------------------------- */

/* Until the session has ended.  When the primary's xl is gone it is asked to
 * end cleanly; where that is not possible in its state, closing it ends it.
 * The backup's xl may be gone because the primary's host is, with ssh: there
 * the session goes on, as that of `colo receive` does.  A signal ends either
 * cleanly: killed, a backup would leave its replica, and a primary's peer would
 * see a loss. */
static int loop(struct colo_session *session, bool ends_with_xl,
                int signal_fd, struct stock_gate *gate,
                struct colo_error *err)
{
    bool alive = ends_with_xl;
    uint64_t stopping = 0;

    for (;;) {
        struct pollfd fds[] = {
            { 0 }, { signal_fd, POLLIN, 0 },
            { alive ? LIFE_FD : gate ? gate->pidfd : -1, POLLIN, 0 },
        };
        int rc = session_wait(session, fds, 3, err);

        if (!rc && fds[1].revents)
            rc = cli_session_signal(session, signal_fd, false, &stopping,
                                    err);
        if (!rc && fds[2].revents && alive) {
            alive = false; /* nothing is ever written to it */
            rc = colo_session_stop(session, err);
        } else if (!rc && fds[2].revents) {
            stock_gate_look(gate);
        }
        if (rc)
            return rc;
        rc = colo_session_process(session, err);
        if (rc <= 0)
            return rc;
    }
}

/* gate: between it and its peer; NULL: there is none. */
static int run(struct colo_config *config, int signal_fd,
               struct stock_gate *gate)
{
    struct running running = {
        .backup = config->role == COLO_ROLE_SECONDARY,
    };
    struct colo_error err = { 0 };
    int rc;

    config->log.fn = on_log;
    config->log.user = &running;
    config->log.min_level = COLO_LOG_INFO;
    config->event_fn = on_event;
    config->event_user = &running;
    rc = colo_session_open(config, &running.session, &err);
    if (!rc) {
        rc = loop(running.session, !running.backup, signal_fd, gate, &err);
        colo_session_close(running.session);
    }
    report_end(!rc && running.active ? XL_TAKEN_OVER : rc, rc ? err.text : "");
    return rc ? 1 : 0;
}

/* ---- before it ---------------------------------------------------------- */

/* A session that was killed leaves a guest perhaps stopped, or a replica in the
 * way of the next: that is put right first, as by every `colo`.  No reason not
 * to begin. */
static void recover(void)
{
    struct colo_log log = { on_log, NULL, COLO_LOG_WARNING };
    struct colo_error err;
    char line[XL_LINE_MAX];
    int rc = colo_recover(&log, &err);

    if (rc > 0) {
        snprintf(line, sizeof(line), "put right what %d killed session%s had "
                 "left", rc, rc == 1 ? "" : "s");
        report("log", COLO_LOG_WARNING, line);
    }
    /* without xenstore nothing is known to be left, and the session itself
     * says that it is not there */
    if (rc < 0 && rc != COLO_E_STORE) {
        snprintf(line, sizeof(line), "what a killed session left could not be "
                 "put right: %s; see `colo recover -v`", err.text);
        report("log", COLO_LOG_WARNING, line);
    }
}

struct preflight {
    const struct colo_config *config;
    unsigned refused;
};

static void take_item(void *user, const struct colo_check_item *item)
{
    struct preflight *preflight = user;
    bool waived = check_waived(preflight->config, item);
    bool refused = item->result != COLO_CHECK_WARNING && !waived;
    const char *advice = waived ? "" : item->advice;
    char line[XL_LINE_MAX];

    if (item->result == COLO_CHECK_OK)
        return;
    snprintf(line, sizeof(line), "%s: %s%s%s", refused ? "refused" : "warning",
             item->text, *advice ? ": " : "", advice);
    report("log", refused ? COLO_LOG_ERROR : COLO_LOG_WARNING, line);
    preflight->refused += refused;
}

/* What `colo protect` refuses is refused: a disk that cannot be kept in step,
 * or output that cannot be held, would be found missing at the takeover. */
static int check(const struct colo_config *config, struct colo_error *err)
{
    struct preflight preflight = { .config = config };
    int rc = colo_check_domain(config->domain, config->mode, take_item,
                               &preflight, err);

    if (rc < 0 || !preflight.refused)
        return rc < 0 ? rc : 0;
    return colo__fail(err, COLO_E_UNSUPPORTED, 0, "xl", "not protected (%u "
                      "reason%s above); the guest runs on here as before",
                      preflight.refused, preflight.refused == 1 ? "" : "s");
}

/* ---- both sides --------------------------------------------------------- */

/* xl has no option for it.  What is no such number is as if not given. */
static uint32_t dead_ms(const struct colo_config *config)
{
    const char *text = getenv("COLO_XL_DEAD");
    unsigned long ms = text ? strtoul(text, NULL, 10) : 0;

    return ms >= 2 * config->heartbeat_ms && ms <= DEAD_MAX ? (uint32_t)ms :
           config->dead_ms;
}

static int run_primary(char **words, bool nowhere, int signal_fd)
{
    struct colo_config config;
    struct colo_error err = { 0 };
    char ssh[600];
    int rc;

    recover();
    colo_config_init(&config, sizeof(config));
    config.role = COLO_ROLE_PRIMARY;
    config.domain = words[0];
    config.peer = words[1];
    config.mode = strcmp(words[2], "colo") ? COLO_MODE_REMUS : COLO_MODE_COLO;
    config.interval_ms = (uint32_t)strtoul(words[3], NULL, 10);
    config.network_buffer = !strcmp(words[4], "buffer");
    config.disks = !nowhere && !strcmp(words[5], "disks");
    config.compress = strcmp(words[6], "compress") ? 0 : -1;
    config.dead_ms = nowhere ? NOWHERE_DEAD_MS : dead_ms(&config);
    config.transport = COLO_TRANSPORT_TLS;
    /* not ssh: the two pipes that xl has to the peer */
    snprintf(ssh, sizeof(ssh), "/proc/self/exe relay %ld", (long)getpid());
    config.ssh_command = ssh;
    config.remote_command = "migrate-receive";
    if (nowhere) {
        config.peer_kind = COLO_PEER_STOCK;
        if (!xl_program(ssh, sizeof(ssh), "colo-stock nowhere"))
            return 2;
    }
    rc = check(&config, &err);
    if (rc) {
        report_end(rc, err.text);
        return 1;
    }
    return run(&config, signal_fd, NULL);
}

static int run_secondary(int signal_fd)
{
    struct colo_config config;

    recover();
    colo_config_init(&config, sizeof(config));
    config.role = COLO_ROLE_SECONDARY;
    config.boot_in_fd = XL_RECV_FD;
    config.boot_out_fd = XL_SEND_FD;
    return run(&config, signal_fd, NULL);
}

/* The links are two sockets to colo-stock, which reads xl's stream. */
static int run_stock_secondary(char **words, int signal_fd)
{
    struct stock_gate gate = { .pidfd = -1 };
    struct stock_gate_fds fds = { .stream = XL_RECV_FD,
                                  .config = XL_CONFIG_FD };
    struct colo_config config;
    struct colo_error err = { 0 };
    int control[2] = { -1, -1 }, bulk[2] = { -1, -1 }, rc = 0;

    recover();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bulk) < 0)
        rc = colo__fail(&err, COLO_E_SYS, errno, "xl", "socketpair");
    fds.control = control[1];
    fds.bulk = bulk[1];
    if (!rc)
        rc = stock_gate_start(&gate, words, &fds, &err);
    if (rc) {
        report_end(rc, err.text);
        return 1;
    }
    /* it has its ends, and nobody else but the copy that gate is about */
    close(control[1]);
    close(bulk[1]);
    close(XL_RECV_FD);
    close(XL_SEND_FD);
    close(XL_CONFIG_FD);
    colo_config_init(&config, sizeof(config));
    config.role = COLO_ROLE_SECONDARY;
    config.transport = COLO_TRANSPORT_FD;
    config.control_fd = control[0];
    config.bulk_fd = bulk[0];
    return run(&config, signal_fd, &gate);
}

static bool keep_from_children(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    return flags >= 0 && !fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

int main(int argc, char **argv)
{
    int signal_fd = -1;

    if (argc >= 3 && !strcmp(argv[1], "relay"))
        return relay_run(argv[2]);
    /* A hang-up of ssh's terminal says nothing: what counts is whether xl
     * lives. */
    if (!cli_signals_open(&signal_fd))
        return 2;
    if (!keep_from_children(LIFE_FD) || !keep_from_children(REPORT_FD) ||
        !keep_from_children(XL_SEND_FD) || !keep_from_children(XL_RECV_FD) ||
        fcntl(REPORT_FD, F_SETFL, O_WRONLY | O_NONBLOCK)) {
        fprintf(stderr, "colo-xl-session: started by colo-xl, not by "
                "people\n");
        return 2;
    }
    if (argc == 9 && !strcmp(argv[1], "primary"))
        return run_primary(argv + 2, false, signal_fd);
    if (argc == 9 && !strcmp(argv[1], "nowhere"))
        return run_primary(argv + 2, true, signal_fd);
    if (argc == 2 && !strcmp(argv[1], "secondary"))
        return run_secondary(signal_fd);
    if (argc == 4 && !strcmp(argv[1], "stock-secondary") &&
        keep_from_children(XL_CONFIG_FD))
        return run_stock_secondary(argv + 2, signal_fd);
    return 2;
}
