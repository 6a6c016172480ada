/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The public preflight calls: collect the facts, let the rules look at them.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static const char context[] = "check";

void colo__check_say(struct colo_check_out *out, int result, const char *id,
                     const char *advice, const char *fmt, ...)
{
    struct colo_check_item item = { result, id, "", advice };
    char text[640]; /* a disk's target may be long */
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?'; /* texts of guests are in it */
    }
    item.text = text;
    if (result == COLO_CHECK_REFUSED)
        out->refused++;
    if (out->fn)
        out->fn(out->user, &item);
}

/* ---- a name or a number -> domain id ------------------------------------ */

struct search {
    struct colo_store *store;
    const char *name;
    uint32_t domid;
    bool found;
};

static int has_name(void *user, const char *id)
{
    struct search *search = user;
    char path[64], name[128];

    if (snprintf(path, sizeof(path), "/local/domain/%s/name", id) >=
        (int)sizeof(path))
        return 0;
    if (colo__store_ops(search->store)->read(search->store, path, name,
                                             sizeof(name), NULL) ||
        strcmp(name, search->name))
        return 0;
    search->domid = (uint32_t)strtoul(id, NULL, 10);
    search->found = true;
    return 1;
}

/* As in xl: what consists of digits is a domain id. */
static int find_domain(struct colo_store *store, const char *domain,
                       uint32_t *ret_domid, struct colo_error *err)
{
    struct search search = { store, domain, 0, false };
    size_t digits = strspn(domain, "0123456789");
    int rc;

    if (digits && !domain[digits] && digits <= 5) {
        *ret_domid = (uint32_t)strtoul(domain, NULL, 10);
        return 0;
    }
    rc = colo__store_ops(store)->list(store, "/local/domain", has_name,
                                      &search, err);
    if (rc && rc != COLO_E_NOTFOUND)
        return rc;
    if (!search.found)
        return colo__fail(err, COLO_E_NOTFOUND, 0, context,
                          "no domain is called %s on this host", domain);
    *ret_domid = search.domid;
    return 0;
}

static void read_name(struct colo_store *store,
                      struct colo_guest_facts *guest)
{
    char path[64];
    int rc;

    snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/name",
             guest->domid);
    rc = colo__store_ops(store)->read(store, path, guest->name,
                                      sizeof(guest->name), NULL);
    if (rc)
        guest->name[0] = '\0';
    guest->name_len = rc == COLO_E_LIMIT ? sizeof(guest->name) :
                      (uint32_t)strlen(guest->name);
}

/* ---- public ------------------------------------------------------------- */

int colo_check_domain(const char *domain, int mode, colo_check_fn *fn,
                      void *user, struct colo_error *err)
{
    struct colo_check_out out = { fn, user, 0 };
    struct colo_store *store = NULL;
    struct colo_guest_facts guest;
    struct colo_host_facts host;
    uint32_t domid = 0;
    int rc;

    if (!domain || !domain[0])
        return colo__fail(err, COLO_E_INVAL, 0, context, "no domain given");
    if (mode != COLO_MODE_REMUS && mode != COLO_MODE_COLO)
        return colo__fail(err, COLO_E_INVAL, 0, context,
                          "mode %d is not known", mode);
    rc = colo__check_host_facts(&host, err);
    if (rc) goto out;
    colo__check_host_rules(&host, COLO_LIBEXECDIR, &out);
    if (!host.is_root || !host.is_dom0)
        goto out; /* no way to look further; it has been said why */
    rc = colo__store_xs_open(&store, err);
    if (rc) goto out;
    rc = find_domain(store, domain, &domid, err);
    if (rc) goto out;
    rc = colo__check_guest_facts(domid, &guest, err);
    if (rc) goto out;
    colo__check_hap_rules(&host, guest.kind, &out);
    read_name(store, &guest);
    colo__check_guest_rules(&host, &guest, mode, &out);
    rc = colo__check_device_rules(store, &host, &guest, mode, &out, err);
out:
    if (store)
        colo__store_ops(store)->close(store);
    return rc ? rc : out.refused;
}
