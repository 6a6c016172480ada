/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Filling a colo_error and naming its codes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static const struct {
    int code;
    const char *text;
} names[] = {
    { 0, "success" },
    { COLO_E_INVAL, "invalid argument" },
    { COLO_E_STATE, "not possible in this state" },
    { COLO_E_NOMEM, "out of memory" },
    { COLO_E_SYS, "system call failed" },
    { COLO_E_PEER, "the peer is gone or silent" },
    { COLO_E_TIMEOUT, "deadline passed" },
    { COLO_E_PROTO, "protocol violation by the peer" },
    { COLO_E_VERSION, "the peer speaks another version" },
    { COLO_E_CORRUPT, "checksum mismatch" },
    { COLO_E_HV, "the hypervisor refused" },
    { COLO_E_GUEST, "the guest is gone or does not answer" },
    { COLO_E_UNSUPPORTED, "cannot be protected" },
    { COLO_E_REFUSED, "refused" },
    { COLO_E_LIMIT, "limit reached" },
    { COLO_E_NOTFOUND, "not found" },
    { COLO_E_AUTH, "the peer did not prove who it is" },
    { COLO_E_EXISTS, "exists already" },
    { COLO_E_STORE, "xenstore refused" },
    { COLO_E_PEER_SAID, "the peer reported an error" },
};

const char *colo_strerror(int code)
{
    for (size_t i = 0; i < COLO_ARRAY_LEN(names); i++) {
        if (names[i].code == code)
            return names[i].text;
    }
    return "unknown error";
}

/* Texts come from peers, guests and xenstore too: one printable line. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f)
            *text = '?';
    }
}

int colo__fail(struct colo_error *err, int code, int sys_errno,
               const char *where, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    size_t n;

    if (err) {
        memset(err, 0, sizeof(*err));
        err->code = code;
        err->sys_errno = sys_errno;
        snprintf(err->where, sizeof(err->where), "%s", where);
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
        n = strlen(err->text);
        if (sys_errno && n + 1 < sizeof(err->text)) {
            const char *desc = strerrordesc_np(sys_errno);

            snprintf(err->text + n, sizeof(err->text) - n, ": %s",
                     desc ? desc : "unknown errno");
        }
        make_printable(err->text);
    }
    errno = saved;
    return code;
}
