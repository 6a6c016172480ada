/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the hypervisor's view of a guest says against protecting it.  Pure.
 */
#include <inttypes.h>

#include "../hv/hv.h"
#include "check.h"

#define REFUSED COLO_CHECK_REFUSED
#define WARNING COLO_CHECK_WARNING
#define OK      COLO_CHECK_OK

/* Only by shadow page tables Xen knows what a PV guest writes, and not every
 * distribution builds it with them (Debian does not). */
static void check_pv(const struct colo_host_facts *host,
                     const struct colo_guest_facts *guest,
                     struct colo_check_out *out)
{
    if (guest->pv_bits && guest->pv_bits != 64)
        colo__check_say(out, REFUSED, "type-pv", "give it a kernel of 64 bits, "
                        "or configure it with type=\"pvh\"", "domain %" PRIu32
                        " is a PV guest of %" PRIu32 " bits", guest->domid,
                        guest->pv_bits);
    else if (!host->shadow)
        colo__check_say(out, REFUSED, "type-pv", "configure it with "
                        "type=\"pvh\", or use a Xen built with "
                        "CONFIG_SHADOW_PAGING", "it is a PV guest, and this "
                        "host's Xen, built without shadow paging, cannot "
                        "tell what such a guest writes");
    else
        colo__check_say(out, WARNING, "type-pv", "configure it with "
                        "type=\"pvh\" if its kernel can", "it is a PV "
                        "guest: its memory goes uncompressed, and cannot be "
                        "audited");
}

static void check_kind(const struct colo_host_facts *host,
                       const struct colo_guest_facts *guest,
                       struct colo_check_out *out)
{
    switch (guest->kind) {
    case COLO_GUEST_PVH:
        colo__check_say(out, OK, "type", "", "it is a PVH guest");
        break;
    case COLO_GUEST_HVM:
        colo__check_say(out, OK, "type", "", "it is an HVM guest, %s",
                        guest->pv_events ? "which suspends by itself" :
                        "which is stopped without its help");
        break;
    default:
        check_pv(host, guest, out);
        break;
    }
}

/* A paused or suspended guest cannot help at a checkpoint. */
static void check_state(const struct colo_guest_facts *guest,
                        struct colo_check_out *out)
{
    if (guest->dying)
        colo__check_say(out, REFUSED, "not-running", "",
                        "it is being destroyed");
    else if (guest->shutdown_reason >= 0)
        colo__check_say(out, REFUSED, "not-running", guest->shutdown_reason ==
                        2 ? "resume it, or run `colo recover` if a session "
                        "was killed" : "start it again", "it has shut down "
                        "(reason %" PRId32 ")", guest->shutdown_reason);
    else if (guest->paused)
        colo__check_say(out, REFUSED, "not-running",
                        "unpause it: `xl unpause`", "it is paused");
}

static void check_cooperation(const struct colo_guest_facts *guest,
                              struct colo_check_out *out)
{
    if (guest->kind != COLO_GUEST_PVH || guest->pv_events)
        return;
    colo__check_say(out, REFUSED, "no-pv-drivers", "wait until its "
                    "kernel has booted; the kernel needs Xen PV drivers "
                    "and suspend support", "it has no PV drivers "
                    "running, and cannot suspend for a checkpoint");
}

/* Both copies run: what the kernel has arranged with this host's hypervisor
 * and backends, only it could arrange again with the other's. */
static void check_mode(const struct colo_guest_facts *guest, int mode,
                       struct colo_check_out *out)
{
    if (mode != COLO_MODE_COLO)
        return;
    if (guest->kind != COLO_GUEST_HVM)
        colo__check_say(out, REFUSED, "mode-colo", "use --mode remus, or "
                        "configure it with type=\"hvm\" and boot it without "
                        "PV drivers", "only an HVM guest without PV drivers "
                        "can run on both hosts");
    else if (guest->pv_events)
        colo__check_say(out, REFUSED, "mode-colo", "use --mode remus, or boot "
                        "it without PV drivers (Linux: xen_nopv "
                        "xen_emul_unplug=never)", "it uses PV drivers, "
                        "whose links to this host cannot run on both");
}

static void check_memory(const struct colo_guest_facts *guest,
                         struct colo_check_out *out)
{
    if (guest->pod_entries)
        colo__check_say(out, REFUSED, "populate-on-demand", "start it with "
                        "maxmem equal to memory, or wait until its balloon "
                        "driver has taken the rest", "%" PRIu64
                        " pages of it are populated on demand",
                        guest->pod_entries);
    if (!guest->hap && guest->kind != COLO_GUEST_PV)
        colo__check_say(out, REFUSED, "shadow-paging",
                        "remove hap=0 from its configuration",
                        "it runs on shadow page tables");
    colo__check_say(out, OK, "memory-needed", "", "%" PRIu64 " pages (%"
                    PRIu64 " MiB) are needed on the backup",
                    colo__check_need(guest), colo__check_need(guest) / 256);
}

uint64_t colo__check_need(const struct colo_guest_facts *guest)
{
    /* libxl's sum for nested paging: 1 MiB for each processor and 4 KiB for
     * each MiB of the guest; and some for the domain itself. */
    return guest->tot_pages + guest->tot_pages / 256 + guest->vcpus * 256u +
           512u;
}

/* After a takeover it boots again from files of the backup. */
static void check_files(const struct colo_guest_facts *guest,
                        struct colo_check_out *out)
{
    if (guest->kernel[0])
        colo__check_say(out, OK, "file-needed", "", "%s is its kernel, to "
                        "boot again on the backup", guest->kernel);
    if (guest->ramdisk[0])
        colo__check_say(out, OK, "file-needed", "", "%s is its ramdisk, to "
                        "boot again on the backup", guest->ramdisk);
}

/* What a session and its peer tell of it has no room for more. */
static void check_name(const struct colo_guest_facts *guest,
                       struct colo_check_out *out)
{
    if (guest->name_len > COLO_HV_NAME_MAX)
        colo__check_say(out, REFUSED, "name-too-long", "give it a shorter one: "
                        "`xl rename`", "its name has more than %d characters",
                        COLO_HV_NAME_MAX);
    else if (guest->name[0]) /* whoever asked may have given a number */
        colo__check_say(out, OK, "name", "", "its name is %s", guest->name);
}

void colo__check_guest_rules(const struct colo_host_facts *host,
                             const struct colo_guest_facts *guest, int mode,
                             struct colo_check_out *out)
{
    if (guest->domid == 0 || guest->is_xenstore) {
        colo__check_say(out, REFUSED, "control-domain", "",
                        "it is a domain that this host runs on");
        return;
    }
    check_name(guest, out);
    /* the replica of a PV guest is xl's whoever has the guest */
    if (guest->libvirt && guest->kind != COLO_GUEST_PV)
        colo__check_say(out, OK, "libvirt", "", "it is libvirt's");
    check_kind(host, guest, out);
    check_mode(guest, mode, out);
    check_state(guest, out);
    check_cooperation(guest, out);
    check_memory(guest, out);
    check_files(guest, out);
    if (guest->nested)
        colo__check_say(out, REFUSED, "nested", "remove nestedhvm=1 from its "
                        "configuration", "it may run guests of its own, "
                        "whose memory is not tracked");
    if (guest->iommu)
        colo__check_say(out, REFUSED, "iommu", "remove passthrough= from its "
                        "configuration", "it is set up for devices of its "
                        "own, and Xen then refuses to track its memory");
}
