/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Guests that libvirt's Xen driver has started.  All that talks to libvirtd is
 * the program colo-toolstack-libvirt, which a host without libvirt need not be
 * able to start.
 *
 * Whose a guest is: libvirt keeps its definition as libxl's userdata
 * "libvirt-xml" of that very domain, and takes it for its own after a restart
 * of libvirtd by this alone.  So do we.
 */
#ifndef COLO_TOOLSTACK_LIBVIRT_H
#define COLO_TOOLSTACK_LIBVIRT_H

#include "toolstack.h"

#define TOOLSTACK_AUTO 0
#define TOOLSTACK_XL 1
#define TOOLSTACK_LIBVIRT 2

/* Exit status of colo-toolstack-libvirt beside EXIT_*: libvirtd is not there,
 * and nothing was done or read. */
#define EXIT_ABSENT 3
#define XML_FD 5
#ifndef LIBVIRT_FIFO_DIR
#define LIBVIRT_FIFO_DIR "/run/libcolo"
#endif
/* what libvirtd restores from; the number is the helper's */
#define LIBVIRT_FIFO LIBVIRT_FIFO_DIR "/restore-%d"

/* toolstack_word - TOOLSTACK_*, or -1 */
int toolstack_word(const char *word);

bool libvirt_has(libxl_ctx *ctx, uint32_t domid);

/* libvirt_do - a command of colo-toolstack-libvirt about a domain: "start",
 * "destroy", "restart", "rearm".  Returns its exit status. */
int libvirt_do(const char *command, uint32_t domid);

/* libvirt_xml - libvirt's definition of the running guest, or NULL; free(). */
char *libvirt_xml(uint32_t domid);

/* libvirt_restore - a paused domain of libvirt's from the stream at stdin; its
 * domid is reported.  *ret_helper: for restore_undo, which may be needed before
 * this returns. */
int libvirt_restore(const char *xml, const char *uuid, pid_t *ret_helper);
/* restore_undo - that helper, 0 none, was killed: libvirtd is not kept waiting
 * by what it has left */
void libvirt_restore_undo(pid_t helper);

#endif
