/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The main loop of a process that runs a session: its descriptor, its
 * deadline, and signals.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "session-wait.h"

/* What a terminal would stop us with (Ctrl-Z): a session that stands still is
 * a dead host to its peer. */
static const int ignored[] = { SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU };

bool cli_signals_open(int *ret_fd)
{
    struct sigaction ignore;
    sigset_t set;
    int fd;

    memset(&ignore, 0, sizeof(ignore));
    ignore.sa_handler = SIG_IGN;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        sigaction(ignored[i], &ignore, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        cli_say("signalfd: %s", strerror(errno));
        return false;
    }
    *ret_fd = fd;
    return true;
}

/* Signals that come together count once: whoever ends a group of processes
 * or a terminal sends more than one. */
#define TOGETHER_MS 1000

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* 1: a clean end is under way, -1: the second signal.  *stopping: when the
 * first came, 0 = none has. */
static int on_signal(struct colo_session *session, int signal_fd,
                     bool with_hangup, uint64_t *stopping)
{
    struct signalfd_siginfo info;
    struct colo_error err;

    while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP && !with_hangup)
            continue;
        if (*stopping && now_ms() - *stopping < TOGETHER_MS)
            continue;
        if (*stopping)
            return -1;
        *stopping = now_ms();
        cli_say("%s: ending protection (once more: at once)",
                strsignal((int)info.ssi_signo));
        if (colo_session_stop(session, &err))
            return -1; /* not possible in this state: close ends it */
    }
    return 1;
}

int cli_session_loop(struct colo_session *session, int signal_fd,
                     bool with_hangup, struct colo_error *err)
{
    uint64_t stopping = 0;
    int rc;

    for (;;) {
        bool signalled = false;

        rc = session_wait(session, signal_fd, &signalled, err);
        if (rc)
            return rc;
        if (signalled &&
            on_signal(session, signal_fd, with_hangup, &stopping) < 0) {
            memset(err, 0, sizeof(*err));
            err->code = COLO_E_REFUSED;
            snprintf(err->text, sizeof(err->text), "ended by a signal");
            return err->code;
        }
        rc = colo_session_process(session, err);
        if (rc <= 0)
            return rc;
    }
}
