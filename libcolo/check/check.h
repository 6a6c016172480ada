/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Preflight: why a guest could not be protected, or a host hold a replica.
 * Facts are collected first (facts-xen.c asks the hypervisor), then rules
 * look at them: rules are pure, or read xenstore through its seam, so that
 * tests need no Xen.  Nothing here changes anything.  Any thread.
 */
#ifndef COLO_CHECK_H
#define COLO_CHECK_H

#include "../../xenstore/store.h"
#include "../internal.h"

/* Where findings go. */
struct colo_check_out {
    colo_check_fn *fn; /* may be NULL */
    void *user;
    int refused;       /* so far */
};

/* colo__check_say - one finding.  advice "": none is needed. */
void colo__check_say(struct colo_check_out *out, int result, const char *id,
                     const char *advice, const char *fmt, ...)
    COLO_PRINTF(5, 6);

#define COLO_GUEST_PV  1
#define COLO_GUEST_HVM 2
#define COLO_GUEST_PVH 3

/* What the hypervisor and the kernel of dom0 say about this host. */
struct colo_host_facts {
    bool is_root, is_dom0;    /* false: nothing below is filled */
    uint32_t xen_major, xen_minor;
    char xen_extra[16];       /* ".7" */
    bool p2m_tracked;         /* adding and taking memory is recorded */
    bool hvm, hap;            /* hardware virtualisation, nested paging */
    bool shadow;              /* writes of PV guests can be recorded */
    uint64_t free_pages;
    uint64_t dom0_kib;        /* MemAvailable, 0 = unknown */
    char no_net[80];          /* kernel modules that are not there: for the
                                 network buffer, */
    char no_colo_net[80];     /* for network cards of mode colo, */
    char no_disk[80];         /* for disks; "" none is missing */
    const char *no_nbdkit;    /* what serves disks and is not there, or NULL */
};

struct colo_guest_facts {
    uint32_t domid;
    uint32_t name_len;        /* 0: unknown */
    char name[128];           /* "": unknown, or longer */
    char uuid[40];
    int32_t kind;             /* COLO_GUEST_* */
    int32_t shutdown_reason;  /* -1: not shut down */
    bool dying, paused, is_xenstore, hap;
    uint32_t pv_bits;         /* of a PV guest's words; 0: unknown */
    bool pv_events;           /* it has set up event delivery */
    bool nested, iommu;       /* as its configuration says */
    bool libvirt;             /* it is libvirt's */
    uint64_t tot_pages, max_pages, pod_entries;
    uint32_t vcpus;
    char kernel[160], ramdisk[160]; /* files it boots from, "" = none */
};

/* ---- facts-xen.c ------------------------------------------------------- */

/* colo__check_host_facts - fails only if Xen is there and does not answer. */
int colo__check_host_facts(struct colo_host_facts *ret_facts,
                           struct colo_error *err);
/* colo__check_guest_facts.
 * Errors   COLO_E_NOTFOUND, COLO_E_HV. */
int colo__check_guest_facts(uint32_t domid, struct colo_guest_facts *ret_facts,
                            struct colo_error *err);

/* colo__check_module_facts - fills what is called no_... */
void colo__check_module_facts(struct colo_host_facts *facts);
/* colo__check_disk_size - in bytes, as a proxy will have it; 0: unknown. */
uint64_t colo__check_disk_size(const char *target);

/* ---- rules-host.c ------------------------------------------------------- */

/* As the host of a running or a future guest. */
void colo__check_host_rules(const struct colo_host_facts *host,
                            const char *libexecdir,
                            struct colo_check_out *out);
/* colo__check_hap_rules - of a guest of this kind, 0: it is not known. */
void colo__check_hap_rules(const struct colo_host_facts *host, int32_t kind,
                           struct colo_check_out *out);
/* colo__check_memory_rules - and as a backup with so much memory free. */
void colo__check_memory_rules(const struct colo_host_facts *host,
                              uint64_t need_pages,
                              struct colo_check_out *out);
/* colo__check_follower_rules - what some guests need of a backup: warnings, as
 * it is not known which guest is meant. */
void colo__check_follower_rules(const struct colo_host_facts *host,
                                struct colo_check_out *out);

/* ---- rules-guest.c ------------------------------------------------------ */

void colo__check_guest_rules(const struct colo_host_facts *host,
                             const struct colo_guest_facts *guest, int mode,
                             struct colo_check_out *out);
/* colo__check_need - memory that a replica takes, with what Xen needs for
 * its page tables. */
uint64_t colo__check_need(const struct colo_guest_facts *guest);

/* ---- rules-devices.c ---------------------------------------------------- */

/* colo__check_device_rules - disks, nets and the rest, memory target, and
 * whether somebody protects it already.
 * Errors   COLO_E_STORE ... as the store's. */
int colo__check_device_rules(struct colo_store *store,
                             const struct colo_host_facts *host,
                             const struct colo_guest_facts *guest, int mode,
                             struct colo_check_out *out,
                             struct colo_error *err);

#endif
