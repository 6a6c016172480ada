/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a host must have, as primary or as backup.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "check.h"

#define REFUSED COLO_CHECK_REFUSED
#define WARNING COLO_CHECK_WARNING
#define OK      COLO_CHECK_OK

/* Below this the buffers of one epoch may not fit into dom0. */
#define DOM0_LOW_KIB (192u * 1024u)

void colo__check_host_rules(const struct colo_host_facts *host,
                            const char *libexecdir,
                            struct colo_check_out *out)
{
    char helper[256];

    if (!host->is_root)
        colo__check_say(out, REFUSED, "not-root", "run it as root",
                        "only root may control guests");
    if (!host->is_dom0)
        colo__check_say(out, REFUSED, "not-dom0",
                        "boot the Xen hypervisor and run it in dom0",
                        "this is not dom0 of a Xen host");
    if (!host->is_root || !host->is_dom0)
        return;
    if (host->xen_major < 4 ||
        (host->xen_major == 4 && host->xen_minor < 17))
        colo__check_say(out, REFUSED, "xen-too-old",
                        "Xen 4.17 or later is needed", "Xen is %" PRIu32
                        ".%" PRIu32 "%s", host->xen_major, host->xen_minor,
                        host->xen_extra);
    else
        colo__check_say(out, OK, "xen-version", "", "Xen is %" PRIu32 ".%"
                        PRIu32 "%s", host->xen_major, host->xen_minor,
                        host->xen_extra);
    snprintf(helper, sizeof(helper), "%s/colo-toolstack", libexecdir);
    if (access(helper, X_OK))
        colo__check_say(out, REFUSED, "no-toolstack-helper",
                        "install libcolo as a whole", "%s is missing",
                        helper);
    if (host->dom0_kib && host->dom0_kib < DOM0_LOW_KIB)
        colo__check_say(out, WARNING, "dom0-memory", "give dom0 more memory "
                        "(dom0_mem=) or end something",
                        "dom0 has only %" PRIu64 " MiB available",
                        host->dom0_kib / 1024);
}

/* A PV guest needs neither. */
void colo__check_hap_rules(const struct colo_host_facts *host, int32_t kind,
                           struct colo_check_out *out)
{
    if (!host->is_root || !host->is_dom0 || kind == COLO_GUEST_PV ||
        (host->hvm && host->hap))
        return;
    colo__check_say(out, REFUSED, "no-hap", "enable VT-x with EPT, or AMD-V "
                    "with NPT, in the firmware", "the processor offers no %s",
                    host->hvm ? "nested paging" : "hardware virtualisation");
}

void colo__check_memory_rules(const struct colo_host_facts *host,
                              uint64_t need_pages, struct colo_check_out *out)
{
    if (!host->is_root || !host->is_dom0)
        return; /* unknown, and refused already */
    if (host->free_pages < need_pages)
        colo__check_say(out, REFUSED, "memory-short", "free memory: end "
                        "guests, or make dom0 smaller with `xl mem-set`",
                        "%" PRIu64 " MiB are free, the replica needs %" PRIu64
                        " MiB", host->free_pages / 256,
                        (need_pages + 255) / 256);
    else
        colo__check_say(out, OK, "memory-free", "", "%" PRIu64
                        " MiB are free", host->free_pages / 256);
}

void colo__check_follower_rules(const struct colo_host_facts *host,
                                struct colo_check_out *out)
{
    if (!host->is_root || !host->is_dom0)
        return;
    if (host->no_disk[0])
        colo__check_say(out, WARNING, "disk-modules", "install a kernel that "
                        "has them", "no disk can be replicated here: no "
                        "module %s", host->no_disk);
    if (host->no_nbdkit)
        colo__check_say(out, WARNING, "disk-nbdkit", "install nbdkit, and "
                        "libcolo as a whole", "no disk can be replicated "
                        "here: %s is missing", host->no_nbdkit);
    if (host->no_colo_net[0])
        colo__check_say(out, WARNING, "net-modules", "install a kernel that "
                        "has them, or use --mode remus", "no network card of "
                        "mode colo can be here: no module %s",
                        host->no_colo_net);
}
