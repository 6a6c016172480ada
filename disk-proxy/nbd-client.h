/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The user's half of an NBD connection before the kernel gets it: the
 * handshake; and the server's half of last resort: a relay that serves a
 * backing as it is.  Used by colo-disk.  No state: any thread.
 */
#ifndef COLO_DISK_NBD_CLIENT_H
#define COLO_DISK_NBD_CLIENT_H

#include "../libcolo/internal.h"

struct colo_nbd_export {
    uint64_t size;   /* bytes */
    uint16_t flags;  /* transmission flags */
};

/* colo__nbd_handshake - agree on the export "" of a newstyle server; what
 * follows on sock is requests and replies.
 * Errors   COLO_E_TIMEOUT not done in timeout_ms; COLO_E_PEER it has closed;
 *          COLO_E_PROTO; COLO_E_PEER_SAID it refused */
int colo__nbd_handshake(int sock, int timeout_ms,
                        struct colo_nbd_export *ret_export,
                        struct colo_error *err);

/* colo__nbd_relay - answer requests on sock from backing until the other side
 * closes.  For a connection that is past the handshake.
 * Shape    backing: opened with O_DIRECT; size bytes.
 * Returns  0 at the end of file, else an errno. */
int colo__nbd_relay(int sock, int backing, uint64_t size);

#endif
