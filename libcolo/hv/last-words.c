/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What is said in place of a process that was killed, see watchdog.h.  Called
 * by colo-watchdog for a session, and by xl-plugin/stock-gate.c for a gate.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watchdog.h"

void colo__watchdog_last_words(int control)
{
    char words[COLO_LAST_WORDS];

    if (control < 0)
        return;
    memset(words, 0xff, sizeof(words));
    /* the session made it non-blocking, which it shares with us */
    for (size_t done = 0; done < sizeof(words);) {
        struct pollfd pfd = { .fd = control, .events = POLLOUT };
        ssize_t r = send(control, words + done, sizeof(words) - done,
                         MSG_NOSIGNAL);

        if (r > 0)
            done += (size_t)r;
        else if (r < 0 && errno == EAGAIN && poll(&pfd, 1, 1000) == 1)
            continue;
        else
            break;
    }
    close(control);
}
