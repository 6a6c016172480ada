/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The differences between the Xen releases that libcolo builds against
 * (4.17 to 4.20); everything else is written as if there were one Xen.  Used
 * by hv/ and by nothing else.
 */
#ifndef COLO_HV_COMPAT_XEN_H
#define COLO_HV_COMPAT_XEN_H

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <string.h>

#include <xenctrl.h>

/* Xen 4.18 took xc_domain_getinfo and xc_dominfo_t away and brought
 * xc_domain_getinfo_single; getinfolist is in all of them, but needs care:
 * it answers with the next domain when this one is gone.
 * Returns 0, or -1 with errno ESRCH when there is no such domain. */
static inline int compat_domain_getinfo(xc_interface *xch, uint32_t domid,
                                        xc_domaininfo_t *ret_info)
{
#ifdef HAVE_XC_DOMAIN_GETINFO_SINGLE
    return xc_domain_getinfo_single(xch, domid, ret_info);
#else
    int r = xc_domain_getinfolist(xch, domid, 1, ret_info);

    if (r < 0)
        return -1;
    if (r != 1 || ret_info->domain != domid) {
        errno = ESRCH;
        return -1;
    }
    return 0;
#endif
}

/* Same name and meaning everywhere; the shift is spelled out only here. */
static inline int compat_shutdown_reason(const xc_domaininfo_t *info)
{
    return (int)(info->flags >> XEN_DOMINF_shutdownshift
                 & XEN_DOMINF_shutdownmask);
}

/* The first Xen of each branch whose p2m changes reach the log-dirty bitmap
 * (hypervisor commit 98fccdf0ac "x86/mm: update log-dirty bitmap when
 * manipulating P2M"): 4.19.5, 4.20.3, 4.21.1 and 4.22.  extra:
 * XENVER_extraversion, ".5" or ".5-pre" (= still 4, plus some of 5). */
static inline bool compat_p2m_is_tracked(unsigned major, unsigned minor,
                                         const char *extra)
{
    static const struct {
        unsigned minor, point;
    } fixed[] = { { 19, 5 }, { 20, 3 }, { 21, 1 } };
    unsigned point = 0;

    if (major != 4)
        return major > 4;
    if (minor >= 22)
        return true;
    if (extra[0] != '.' || extra[1] < '0' || extra[1] > '9')
        return false;
    for (extra++; *extra >= '0' && *extra <= '9' && point < 1000; extra++)
        point = point * 10 + (unsigned)(*extra - '0');
    if (!strncmp(extra, "-pre", 4) && point)
        point--;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (fixed[i].minor == minor)
            return point >= fixed[i].point;
    }
    return false;
}

#endif
