/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Shared by the files of colo-toolstack-libvirt.  A process per command.
 */
#ifndef COLO_LV_H
#define COLO_LV_H

#include <libvirt/libvirt.h>

#include "libvirt.h"

/* lv_open - a connection and the domain of this id.  Exit status. */
int lv_open(uint32_t domid, virConnectPtr *ret_conn, virDomainPtr *ret_dom);
/* lv_close - what may be NULL */
void lv_close(virConnectPtr conn, virDomainPtr dom);
/* lv_connect - a connection, within some seconds, or NULL */
virConnectPtr lv_connect(void);
/* lv_definition - flags beside SECURE; free().  NULL, and a line on failure. */
char *lv_definition(virDomainPtr dom, unsigned flags);
/* lv_error - libvirt's last error as a line */
void lv_error(const char *what);

int lv_restore(const char *uuid);
int lv_start(uint32_t domid);
int lv_rearm(uint32_t domid);
int lv_destroy(uint32_t domid);
int lv_restart(uint32_t domid);

#endif
