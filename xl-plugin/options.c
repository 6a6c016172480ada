/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See options.h.
 */
#include "options.h"

#define WHERE "xl"
#define INTERVAL_MAX 600000 /* as colo_session_set_delay() */

/* otherwise: what holds if xl was not told.  By its value, which is public
 * (0: not told, > 0: yes, < 0: no), not by libxl's calls: this object is loaded
 * into processes that have no libxl, too. */
static bool is(libxl_defbool value, bool otherwise)
{
    return value.val ? value.val > 0 : otherwise;
}

static int take_interval(const libxl_domain_remus_info *info,
                         struct xl_request *request, struct colo_error *err)
{
    if (info->interval < 0 || info->interval > INTERVAL_MAX)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "-i %d: must be from 1 to %d milliseconds",
                          info->interval, INTERVAL_MAX);
    request->interval_ms = (uint32_t)info->interval;
    return 0;
}

static int take_unsafe(const libxl_domain_remus_info *info,
                       struct xl_request *request, struct colo_error *err)
{
    (void)request;
    if (is(info->allow_unsafe, false) ||
        (!is(info->blackhole, false) && is(info->netbuf, true) &&
         is(info->diskbuf, true)))
        return 0;
    return colo__fail(err, COLO_E_REFUSED, 0, WHERE,
                      "-b, -n and -d lose what clients or disks were told: "
                      "they need -F");
}

static int take_blackhole(const libxl_domain_remus_info *info,
                          struct xl_request *request, struct colo_error *err)
{
    (void)err;
    request->nowhere = is(info->blackhole, false);
    return 0;
}

static int take_compression(const libxl_domain_remus_info *info,
                            struct xl_request *request,
                            struct colo_error *err)
{
    (void)err;
    request->compress = is(info->compression, true);
    /* xl itself sets this with -c, and means an old kind of compression */
    if (is(info->colo, false))
        request->compress = true;
    return 0;
}

static int take_netbuf(const libxl_domain_remus_info *info,
                       struct xl_request *request, struct colo_error *err)
{
    (void)err;
    request->network_buffer = is(info->netbuf, true);
    return 0;
}

static int take_diskbuf(const libxl_domain_remus_info *info,
                        struct xl_request *request, struct colo_error *err)
{
    (void)err;
    request->disks = is(info->diskbuf, true);
    return 0;
}

/* xl itself refuses these, but not every caller of libxl is xl.  Both copies
 * run: without proxies they would be two machines with one address and, on one
 * disk, two that write it. */
static int take_colo(const libxl_domain_remus_info *info,
                     struct xl_request *request, struct colo_error *err)
{
    if (is(info->colo, false) &&
        (is(info->blackhole, false) || !is(info->netbuf, true) ||
         !is(info->diskbuf, true)))
        return colo__fail(err, COLO_E_REFUSED, 0, WHERE,
                          "-c: the guest runs on both hosts, and its network "
                          "and disks must be in step: not with -b, -n or -d");
    request->mode = is(info->colo, false) ? COLO_MODE_COLO : COLO_MODE_REMUS;
    return 0;
}

/* In the order of xl(1).  The texts stand in xl-colo(1), word for word. */
static const struct xl_option table[] = {
    { 'i', "MS", XL_BY_COLO, "interval",
      "A checkpoint every MS milliseconds, from stop to stop; 200 if not "
      "given, as with stock xl.", take_interval },
    { 'u', NULL, XL_BY_COLO, "compression",
      "Never compress pages. Without it they are compressed where the link "
      "is slower than the coding. Without effect with -c.",
      take_compression },
    { 's', "COMMAND", XL_BY_XL, NULL,
      "Use COMMAND instead of ssh. If it is empty, HOST is a command line, "
      "which must start colo-xl migrate-receive -r at the backup.", NULL },
    { 'e', NULL, XL_BY_XL, NULL,
      "The receiver at the backup does not wait in the background for the "
      "end of the domain. Without effect where the backup has libcolo.",
      NULL },
    { 'N', "SCRIPT", XL_BY_NOBODY, "netbufscript",
      "Accepted: libcolo holds the guest's output without a script.", NULL },
    { 'F', NULL, XL_BY_COLO, "allow_unsafe",
      "Allow -b, -n and -d, which are refused without it.", take_unsafe },
    { 'b', NULL, XL_BY_COLO, "blackhole",
      "For measuring: checkpoints are taken, sent and held as ever, and "
      "forgotten on this host; there is no replica. Disks as with -d.",
      take_blackhole },
    { 'n', NULL, XL_BY_COLO, "netbuf",
      "Do not hold the guest's output: clients may see what a takeover "
      "loses.", take_netbuf },
    { 'd', NULL, XL_BY_COLO, "diskbuf",
      "Do not replicate disks: what the guest writes is not at the backup.",
      take_diskbuf },
    { 'c', NULL, XL_BY_COLO, "colo",
      "Mode COLO: the guest runs on both hosts. Not with -i, -b, -n, -d.",
      take_colo },
    { 'p', NULL, XL_BY_NOBODY, "userspace_colo_proxy",
      "Accepted with -c: libcolo's network proxy is one in user space.",
      NULL },
};

const struct xl_option *xl_option_at(size_t n)
{
    return n < COLO_ARRAY_LEN(table) ? &table[n] : NULL;
}

int xl_request_from(const libxl_domain_remus_info *info,
                    struct xl_request *ret, struct colo_error *err)
{
    struct xl_request request = { 0 };

    for (size_t i = 0; i < COLO_ARRAY_LEN(table); i++) {
        int rc = table[i].take ? table[i].take(info, &request, err) : 0;

        if (rc)
            return rc;
    }
    *ret = request;
    return 0;
}
