/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Xen's own verify-stream-v2 (python, of Debian's xen-utils) for tests.
 *
 * It reads no stream with checkpoints: libxl's records between libxc's are
 * nothing to it.  So of those each layer is given to it alone.
 *
 * COLO_XEN_TOOLS: where it is, if not installed.
 */
#ifndef STREAM_VERIFY_H
#define STREAM_VERIFY_H

#include <fcntl.h>
#include <glob.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream-common.h"

static char verify_tools[512]; /* the folder with bin and lib/python */

/* false: there is none */
static inline bool verify_find(void)
{
    static const char *const places[] = {
        "/usr/lib/xen-*/bin/verify-stream-v2",
        "/usr/local/lib/colo-tests/xen/bin/verify-stream-v2",
    };
    const char *env = getenv("COLO_XEN_TOOLS");
    glob_t g = { 0 };

    if (env) {
        snprintf(verify_tools, sizeof(verify_tools), "%s", env);
        return true;
    }
    for (size_t i = 0; i < COLO_ARRAY_LEN(places); i++) {
        if (!glob(places[i], 0, NULL, &g)) {
            snprintf(verify_tools, sizeof(verify_tools), "%s", g.gl_pathv[0]);
            *strstr(verify_tools, "/bin/verify") = '\0';
            globfree(&g);
            return true;
        }
    }
    return false;
}

/* its exit code over these bytes: 0 good, 1 not, 2 its bug */
static inline int verify_bytes(const char *format, const uint8_t *bytes,
                               size_t len)
{
    char path[] = "/tmp/colo-stream.XXXXXX", tool[600], lib[600];
    int fd = mkstemp(path), status = -1;
    pid_t pid;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    ck_assert_int_eq(close(fd), 0);
    snprintf(tool, sizeof(tool), "%s/bin/verify-stream-v2", verify_tools);
    snprintf(lib, sizeof(lib), "%s/lib/python", verify_tools);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        setenv("PYTHONPATH", lib, 1);
        setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
        execlp("python3", "python3", tool, "-q", "-f", format, "-i", path,
               (char *)NULL);
        _exit(99);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    unlink(path);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* One layer of a stream with checkpoints, ended for the verifier; libxl's is
 * without the record that hands over to libxc.  to: as much room as from, and
 * 8 bytes.  What is not a whole record any more is left out.
 * Returns  its length */
static inline size_t verify_layer(const uint8_t *from, size_t len, int layer,
                                  uint8_t *to)
{
    static struct colo_stream_reader reader;
    struct colo_error err;
    size_t pos = 0, n = 0;

    colo__stream_reader_init(&reader, COLO_STREAM_REMUS, NULL);
    while (pos < len) {
        struct colo_stream_item item;
        int used = colo__stream_read(&reader, from + pos, len - pos, &item,
                                     &err);

        if (!used)
            break;
        ck_assert_msg(used > 0, "%s", err.text);
        if (item.layer == layer &&
            !(item.layer == COLO_STREAM_LIBXL && item.rule &&
              item.type == COLO_LIBXL_LIBXC_CONTEXT)) {
            memcpy(to + n, from + pos, (size_t)used);
            n += (size_t)used;
        }
        pos += (size_t)used;
    }
    memset(to + n, 0, 8);
    return n + 8;
}

#endif
