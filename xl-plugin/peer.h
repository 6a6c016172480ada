/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Who is at the other end of xl's two pipes: a host with this plug-in, or one
 * with stock Xen only.  A receiver with the plug-in says a line on the way
 * back, where stock Xen says nothing in mode Remus; a stock sender begins with
 * libxl's header, and one with the plug-in with another line.
 */
#ifndef XL_PEER_H
#define XL_PEER_H

#include "internal.h"

#define XL_HELLO "libcolo-xl 1 " /* the receiver's host name, new line */
#define XL_NAME_MAX 64

/* xl_peer_say_hello - the receiver's first words.
 * name     of this host; what is not a letter, digit, '.' or '-' is left out */
int xl_peer_say_hello(int fd, const char *name, struct colo_error *err);

/* xl_peer_parse_hello - a line, with its end; len: at most 1000.  Pure. */
int xl_peer_parse_hello(const char *line, size_t len, char name[XL_NAME_MAX],
                        struct colo_error *err);

/* xl_peer_wait_hello - the sender waits for them, ms milliseconds.  Not a
 * byte more is read.
 * name     the receiver's; "" nothing came: this is a stock peer
 * Errors   COLO_E_PEER  the other end is closed
 *          COLO_E_VERSION a plug-in of another version
 *          COLO_E_PROTO something else came */
int xl_peer_wait_hello(int fd, uint32_t ms, char name[XL_NAME_MAX],
                       struct colo_error *err);

/* xl_peer_is_stock - the receiver looks what the sender begins with, without
 * taking it: a pipe or a stream socket.
 * Errors   COLO_E_PEER  the other end is closed
 *          COLO_E_TIMEOUT nothing came in ms milliseconds
 *          COLO_E_SYS   this descriptor cannot be looked into */
int xl_peer_is_stock(int fd, uint32_t ms, bool *ret_stock,
                     struct colo_error *err);

#endif
