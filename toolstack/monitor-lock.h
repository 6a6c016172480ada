/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One process at a time sees to the end of a domain: a monitor that waits for
 * it, or whoever carries it out, which may take longer than a session waits
 * for it (a core dump of a large guest).
 */
#ifndef COLO_MONITOR_LOCK_H
#define COLO_MONITOR_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#define MONITOR_HELD (-1)    /* there is somebody already */
#define MONITOR_NO_LOCK (-2) /* no place for locks: go on without */

/* monitor_lock - a descriptor that is the lock, or one of the above.  Nobody
 * else in this process may open the file of the same domain meanwhile. */
int monitor_lock(uint32_t domid, int wait_ms);
/* monitor_acts - the end of the domain is being carried out from now on: the
 * holder is not to be stopped any more.  Fine with no lock. */
void monitor_acts(int fd);
/* monitor_is_there - somebody else has the lock */
bool monitor_is_there(uint32_t domid);
/* monitor_stop - no monitor of ours watches this domain any more */
void monitor_stop(uint32_t domid);

#endif
