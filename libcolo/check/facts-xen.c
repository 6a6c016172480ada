/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the rules need to know, from libxenctrl, /proc and the toolstack's
 * record of the guest's configuration.  Source: xen/domctl.h, xen/sysctl.h.
 */
#include "../hv/compat-xen.h"

#include <inttypes.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "check.h"

static const char context[] = "check";

/* At most cap - 1 bytes of a file; "" if there is none. */
static void read_file(const char *path, char *buf, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t r;

    while (fd >= 0 && len + 1 < cap &&
           (r = read(fd, buf + len, cap - 1 - len)) > 0)
        len += (size_t)r;
    if (fd >= 0)
        close(fd);
    buf[len] = 0;
}

static bool in_dom0(void)
{
    char text[64];

    read_file("/proc/xen/capabilities", text, sizeof(text));
    return strstr(text, "control_d") != NULL;
}

static uint64_t dom0_available_kib(void)
{
    char text[4096], *line;

    read_file("/proc/meminfo", text, sizeof(text));
    line = strstr(text, "MemAvailable:");
    return line ? strtoull(line + sizeof("MemAvailable:") - 1, NULL, 10) : 0;
}

int colo__check_host_facts(struct colo_host_facts *ret_facts,
                           struct colo_error *err)
{
    struct colo_host_facts facts;
    xen_extraversion_t extra;
    xc_interface *xch = NULL;
    xc_physinfo_t physinfo;
    int rc, version;

    memset(&facts, 0, sizeof(facts));
    facts.is_root = geteuid() == 0;
    facts.is_dom0 = in_dom0();
    colo__check_module_facts(&facts);
    if (!facts.is_root || !facts.is_dom0) {
        rc = 0;
        goto out;
    }
    xch = xc_interface_open(NULL, NULL, 0);
    if (!xch) {
        rc = colo__fail(err, COLO_E_HV, errno, context,
                        "cannot talk to the hypervisor");
        goto out;
    }
    memset(&physinfo, 0, sizeof(physinfo));
    memset(extra, 0, sizeof(extra));
    version = xc_version(xch, XENVER_version, NULL);
    if (version < 0 || xc_version(xch, XENVER_extraversion, &extra) < 0 ||
        xc_physinfo(xch, &physinfo)) {
        /* Control calls of another release are refused with EACCES. */
        rc = colo__fail(err, COLO_E_HV, errno, context, "the hypervisor does "
                        "not answer; this libcolo is built for Xen %s",
                        COLO_XEN_VERSION);
        goto out;
    }
    facts.xen_major = (uint32_t)version >> 16;
    facts.xen_minor = (uint32_t)version & 0xffff;
    snprintf(facts.xen_extra, sizeof(facts.xen_extra), "%.15s", extra);
    facts.p2m_tracked = compat_p2m_is_tracked(facts.xen_major,
                                              facts.xen_minor,
                                              facts.xen_extra);
    facts.hvm = physinfo.capabilities & XEN_SYSCTL_PHYSCAP_hvm;
    facts.hap = physinfo.capabilities & XEN_SYSCTL_PHYSCAP_hap;
    facts.shadow = physinfo.capabilities & XEN_SYSCTL_PHYSCAP_shadow;
    facts.free_pages = physinfo.free_pages + physinfo.scrub_pages;
    facts.free_pages -= physinfo.outstanding_pages < facts.free_pages ?
                        physinfo.outstanding_pages : facts.free_pages;
    facts.dom0_kib = dom0_available_kib();
    rc = 0;
out:
    if (xch)
        xc_interface_close(xch);
    if (!rc)
        *ret_facts = facts;
    return rc;
}

static int32_t kind_of(const xc_domaininfo_t *info)
{
    if (!(info->flags & XEN_DOMINF_hvm_guest))
        return COLO_GUEST_PV;
    /* Only the local interrupt controller is emulated for PVH. */
    if (info->arch_config.emulation_flags &
        (XEN_X86_EMU_PM | XEN_X86_EMU_RTC | XEN_X86_EMU_PIC |
         XEN_X86_EMU_VGA))
        return COLO_GUEST_HVM;
    return COLO_GUEST_PVH;
}

/* The value of a string member, if it is a plain path. */
static void read_path(const char *text, const char *key, char *buf,
                      size_t cap)
{
    const char *value = strstr(text, key);
    size_t n;

    buf[0] = 0;
    if (!value)
        return;
    value += strlen(key);
    n = strcspn(value, "\"\\ \t\n'");
    if (value[0] != '/' || value[n] != '"' || n >= cap)
        return;
    memcpy(buf, value, n);
    buf[n] = 0;
}

/* libxl keeps a guest's configuration as JSON; some settings of it cannot be
 * asked of Xen. */
static void read_configuration(struct colo_guest_facts *facts)
{
    const size_t cap = 256 * 1024;
    char path[160], *text = malloc(cap), *value;

    if (!text)
        return;
    snprintf(path, sizeof(path),
             "/var/lib/xen/userdata-d.%" PRIu32 ".%s.libvirt-xml",
             facts->domid, facts->uuid);
    read_file(path, text, 2);
    facts->libvirt = text[0] != '\0';
    snprintf(path, sizeof(path),
             "/var/lib/xen/userdata-d.%" PRIu32 ".%s.libxl-json",
             facts->domid, facts->uuid);
    read_file(path, text, cap);
    facts->nested = strstr(text, "\"nested_hvm\": \"True\"") != NULL;
    value = strstr(text, "\"passthrough\": \"");
    facts->iommu = value && strncmp(value + 16, "disabled", 8) &&
                   strncmp(value + 16, "unknown", 7);
    read_path(text, "\"kernel\": \"", facts->kernel, sizeof(facts->kernel));
    read_path(text, "\"ramdisk\": \"", facts->ramdisk,
              sizeof(facts->ramdisk));
    free(text);
}

static void fill(const xc_domaininfo_t *info, struct colo_guest_facts *facts)
{
    const uint8_t *u = info->handle;

    facts->domid = info->domain;
    snprintf(facts->uuid, sizeof(facts->uuid), "%02x%02x%02x%02x-%02x%02x-"
             "%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
             u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
             u[13], u[14], u[15]);
    facts->kind = kind_of(info);
    facts->shutdown_reason = info->flags & XEN_DOMINF_shutdown ?
                             compat_shutdown_reason(info) : -1;
    facts->dying = info->flags & XEN_DOMINF_dying;
    facts->paused = info->flags & XEN_DOMINF_paused;
    facts->is_xenstore = info->flags & XEN_DOMINF_xs_domain;
    facts->hap = info->flags & XEN_DOMINF_hap;
    facts->tot_pages = info->tot_pages;
    facts->max_pages = info->max_pages;
    facts->vcpus = info->max_vcpu_id + 1;
}

int colo__check_guest_facts(uint32_t domid, struct colo_guest_facts *ret_facts,
                            struct colo_error *err)
{
    uint64_t tot = 0, cache = 0, entries = 0, callback = 0;
    struct colo_guest_facts facts;
    xc_interface *xch = NULL;
    xc_domaininfo_t info;
    unsigned width = 0;
    int rc;

    memset(&facts, 0, sizeof(facts));
    xch = xc_interface_open(NULL, NULL, 0);
    if (!xch) {
        rc = colo__fail(err, COLO_E_HV, errno, context,
                        "cannot talk to the hypervisor");
        goto out;
    }
    if (compat_domain_getinfo(xch, domid, &info)) {
        rc = errno == ESRCH ?
             colo__fail(err, COLO_E_NOTFOUND, 0, context,
                        "no domain %" PRIu32, domid) :
             colo__fail(err, COLO_E_HV, errno, context,
                        "domain %" PRIu32, domid);
        goto out;
    }
    fill(&info, &facts);
    if (facts.kind == COLO_GUEST_PV &&
        !xc_domain_get_guest_width(xch, domid, &width))
        facts.pv_bits = width * 8;
    /* A PV guest has neither. */
    if (!xc_domain_get_pod_target(xch, domid, &tot, &cache, &entries))
        facts.pod_entries = entries;
    if (!xc_hvm_param_get(xch, domid, HVM_PARAM_CALLBACK_IRQ, &callback))
        facts.pv_events = callback != 0;
    read_configuration(&facts);
    rc = 0;
out:
    if (xch)
        xc_interface_close(xch);
    if (!rc)
        *ret_facts = facts;
    return rc;
}
