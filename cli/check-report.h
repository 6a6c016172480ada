/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The findings of a check, of this host and of the peer, as text or JSON.
 */
#ifndef CLI_CHECK_REPORT_H
#define CLI_CHECK_REPORT_H

#include "json.h"

struct check_report {
    yajl_gen gen;        /* NULL: text */
    bool verbose;        /* text: also what is fine */
    const char *where;   /* "local" or the peer, for the items that follow */
    unsigned refused, warnings;
    bool stock_ok;       /* a peer without libcolo is no finding, but: */
    bool absent;         /* it has none */
    bool pv;             /* the guest is one, from the finding "type-pv" */
    char name[128];      /* the guest's, from the finding "name" */
    unsigned disks;      /* replicated ones, from "disk" */
    uint64_t need_pages; /* from the finding "memory-needed"; 0 = unknown */
    int32_t mode;        /* what is meant, before the first finding: */
    int32_t toolstack;   /* COLO_MODE_*, COLO_TOOLSTACK_* */
    char needs[1024];    /* options for the peer's check, from "...-needed" */
    char more[4096];     /* likewise, which an older peer does not know */
    bool needs_cut;      /* one of them had no room */
    unsigned xen[2][2];  /* major and minor, of this host and of the one that
                            was asked then, from "xen-version"; 0 = unknown */
    /* NULL, or shows an item instead of both forms */
    void (*show)(void *user, const char *where,
                 const struct colo_check_item *item);
    void *show_user;
};

/* check_quote - append OPTION and a quoted WORD for the other host's shell.
 * False: it does not fit, nothing was appended. */
bool check_quote(char *buf, size_t cap, const char *option,
                 const char *word);

/* check_report_begin - json: the object is left open for the items. */
bool check_report_begin(struct check_report *report, bool json,
                        const char *domain, const char *host);
/* check_report_item - a colo_check_fn. */
void check_report_item(void *user, const struct colo_check_item *item);
/* check_report_merge - the items in what `colo check --host --json` printed.
 * False: it is not that. */
bool check_report_merge(struct check_report *report, const char *text);
/* check_report_pair - what both hosts' releases of Xen are to each other, once
 * both have been checked; nothing if one is not known. */
void check_report_pair(struct check_report *report);
/* check_report_end - the verdict.  Returns the exit code. */
int check_report_end(struct check_report *report, const char *verdict_yes,
                     const char *verdict_no);

#endif
