/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-attach SESSION: what `colo receive --attach` runs: copies the stdio of
 * the second ssh to the process that receives this session.  Not for people.
 * A program of its own, because it uses the inside of the library.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "link/link.h"

int main(int argc, char **argv)
{
    struct colo_error err;
    int in_fd, out_fd;

    if (argc != 2) {
        fprintf(stderr, "colo-attach: `colo receive --attach` runs this\n");
        return 2;
    }
    /* the call owns and closes what it gets; 0 and 1 stay taken */
    in_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (in_fd < 0 || out_fd < 0) {
        perror("colo-attach");
        return 1;
    }
    /* ssh ends when nobody holds its pipes any more */
    if (!freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w",
                                                      stdout)) {
        perror("colo-attach: /dev/null");
        return 1;
    }
    if (colo__bootstrap_attach(argv[1], in_fd, out_fd, &err)) {
        fprintf(stderr, "colo-attach: %s\n", err.text);
        return 1;
    }
    return 0;
}
