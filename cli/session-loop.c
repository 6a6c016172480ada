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

/* close ends it */
static int at_once(struct colo_error *err)
{
    memset(err, 0, sizeof(*err));
    err->code = COLO_E_REFUSED;
    snprintf(err->text, sizeof(err->text), "ended by a signal");
    return err->code;
}

int cli_session_signal(struct colo_session *session, int signal_fd,
                       bool with_hangup, uint64_t *stopping,
                       struct colo_error *err)
{
    struct signalfd_siginfo info;

    while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP && !with_hangup)
            continue;
        if (*stopping && now_ms() - *stopping < TOGETHER_MS)
            continue;
        if (*stopping)
            return at_once(err);
        *stopping = now_ms();
        cli_say("%s: ending protection (once more: at once)",
                strsignal((int)info.ssi_signo));
        if (colo_session_stop(session, err))
            return at_once(err); /* not possible in this state */
    }
    return 0;
}

int cli_session_loop(struct colo_session *session, int signal_fd,
                     bool with_hangup, struct colo_error *err)
{
    uint64_t stopping = 0;
    int rc;

    for (;;) {
        struct pollfd fds[2] = { { 0 }, { signal_fd, POLLIN, 0 } };

        rc = session_wait(session, fds, 2, err);
        if (!rc && fds[1].revents)
            rc = cli_session_signal(session, signal_fd, with_hangup,
                                    &stopping, err);
        if (rc)
            return rc;
        rc = colo_session_process(session, err);
        if (rc <= 0)
            return rc;
    }
}
