/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Numbered frames of many kinds, sent where a guest would send them and
 * looked for where they leave.
 */
#ifndef NET_WIRE_H
#define NET_WIRE_H

#include <stdbool.h>
#include <stdint.h>

enum kind { IPV4, IPV6, ARP, VLAN, JUMBO, GSO, KINDS };

/* A packet socket on the interface called name, that sends or that listens to
 * what the interface sends: there frames have the order of a wire, while
 * the far end of a veth pair has a queue for each CPU. */
int wire_open(const char *name, bool listen);

/* Send frame number seq. */
void wire_send(int fd, enum kind kind, uint32_t seq);

/* The next numbered frame: its number, or -1 if none comes within ms.  Says
 * so and counts a failure if it is not what was sent. */
long wire_next(int fd, int ms);

/* How many frames from that MAC come until there is silence for ms. */
int wire_count_from(int fd, const uint8_t mac[6], int ms);

#endif
