/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Taking away what a killed session has left, found by names alone.  Called
 * by the watchdog, `colo recover` and the next start; one thread.
 */
#include <string.h>

#include "hold.h"
#include "netbuf.h"
#include "ports.h"
#include "tc.h"

#define MAX_FOUND 64

struct found {
    int index;
    bool is_ifb;
    enum colo_ifb_kind kind;
    struct colo_port_id id;
};

struct search {
    uint32_t domid;
    unsigned int count;
    bool too_many;
    struct found found[MAX_FOUND];
};

static void look_at(void *user, const struct colo_link_info *info)
{
    struct search *s = user;
    struct found f = { .index = info->index };

    f.is_ifb = colo__ifb_parse(info->name, &f.kind, &f.id);
    if (!f.is_ifb && !colo__port_find(info->name, &f.id))
        return;
    if (f.id.domid != s->domid)
        return;
    if (s->count == MAX_FOUND) {
        s->too_many = true;
        return;
    }
    s->found[s->count++] = f;
}

/* The interface that an ifb holds, 0: it has gone. */
static int port_of(const struct search *s, const struct colo_port_id *id)
{
    for (unsigned int i = 0; i < s->count; i++) {
        if (!s->found[i].is_ifb && colo__port_same(&s->found[i].id, id))
            return s->found[i].index;
    }
    return 0;
}

static int clean(struct colo_nl *nl, const struct search *s,
                 const struct found *f, bool release, struct colo_error *err)
{
    int dev;

    if (!f->is_ifb)
        return 0;
    if (f->kind == COLO_IFB_ANNOUNCE)
        return colo__tc_remove_link(nl, f->index, err);
    dev = port_of(s, &f->id);
    return release ? colo__hold_release(nl, dev, f->index, err)
                   : colo__hold_drop(nl, dev, f->index, err);
}

int colo__netbuf_cleanup(uint32_t domid, bool release, struct colo_error *err)
{
    struct search s = { .domid = domid };
    struct colo_nl nl;
    int rc, r;

    rc = colo__nl_open(&nl, 0, err);
    if (rc)
        return rc;
    rc = colo__links(&nl, look_at, &s, err);
    for (unsigned int i = 0; i < s.count; i++) {
        r = clean(&nl, &s, &s.found[i], release, rc ? NULL : err);
        rc = rc ? rc : r;
    }
    /* A redirection may be there without its ifb. */
    for (unsigned int i = 0; i < s.count; i++) {
        if (s.found[i].is_ifb)
            continue;
        r = colo__tc_no_redirect(&nl, s.found[i].index, rc ? NULL : err);
        rc = rc ? rc : r;
    }
    if (!rc && s.too_many)
        rc = colo__fail(err, COLO_E_LIMIT, 0, "net",
                        "domain %u has too many interfaces", domid);
    colo__nl_close(&nl);
    return rc;
}
