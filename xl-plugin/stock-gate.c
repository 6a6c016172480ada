/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stock-gate.h.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"
#include "hv/watchdog.h"
#include "run.h"
#include "stock-gate.h"

int stock_gate_start(struct stock_gate *gate, char *const words[2],
                     const struct stock_gate_fds *fds, struct colo_error *err)
{
    const int list[] = { fds->stream, fds->control, fds->bulk, fds->config };
    char path[512];
    char *argv[] = { path, (char *)(uintptr_t)"from-primary", words[0],
                     words[1], NULL };
    int e;

    gate->pidfd = -1;
    if (!xl_program(path, sizeof(path), "colo-stock"))
        return colo__fail(err, COLO_E_INVAL, 0, "xl", "the path of colo-stock "
                          "is too long");
    gate->control = fcntl(fds->control, F_DUPFD_CLOEXEC, 3);
    if (gate->control < 0)
        return colo__fail(err, COLO_E_SYS, errno, "xl", "the control link");
    e = colo__run(argv, false, NULL, list, COLO_ARRAY_LEN(list), &gate->pid);
    if (e)
        return colo__fail(err, COLO_E_SYS, e, "xl", "%s", path);
    /* unseen its end would be none; it ends with this process's links */
    gate->pidfd = colo__run_pidfd(gate->pid);
    return gate->pidfd >= 0 ? 0 :
           colo__fail(err, COLO_E_SYS, errno, "xl", "a pidfd of colo-stock");
}

void stock_gate_look(struct stock_gate *gate)
{
    struct pollfd pfd = { .fd = gate->pidfd, .events = POLLIN };
    int status = -1;

    if (gate->pidfd < 0 || poll(&pfd, 1, 0) != 1)
        return;
    while (waitpid(gate->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        close(gate->control);
    else
        colo__watchdog_last_words(gate->control);
    close(gate->pidfd);
    gate->pidfd = -1;
}
