/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See capture.h.
 */
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"

#define WHERE "capture"

struct capture {
    pcap_t *pcap;
    const char *path;
    struct capture_frame frame;
    bool has;
};

int capture_next(struct capture *c, struct colo_error *err)
{
    struct pcap_pkthdr *head;
    const u_char *data;
    int r = pcap_next_ex(c->pcap, &head, &data);

    c->has = r == 1;
    if (r == PCAP_ERROR_BREAK)
        return 0; /* its end */
    if (r != 1)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%.80s: %.100s",
                          c->path, pcap_geterr(c->pcap));
    c->frame.number++;
    c->frame.at_us = (uint64_t)head->ts.tv_sec * 1000000u +
                     (uint64_t)head->ts.tv_usec;
    c->frame.data = data;
    c->frame.len = head->caplen;
    c->frame.cut = head->caplen < head->len;
    return 0;
}

int capture_open(const char *path, struct capture **ret,
                 struct colo_error *err)
{
    char text[PCAP_ERRBUF_SIZE] = "";
    struct capture *c = calloc(1, sizeof(*c));
    int rc;

    if (!c)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "%.80s", path);
    c->path = path;
    c->pcap = pcap_open_offline(path, text);
    if (!c->pcap)
        rc = colo__fail(err, COLO_E_SYS, 0, WHERE, "%.180s", text);
    else if (pcap_datalink(c->pcap) != DLT_EN10MB)
        rc = colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE,
                        "%.80s is no capture of Ethernet", path);
    else
        rc = capture_next(c, err);
    if (rc) {
        capture_close(c);
        return rc;
    }
    *ret = c;
    return 0;
}

void capture_close(struct capture *c)
{
    if (!c)
        return;
    if (c->pcap)
        pcap_close(c->pcap);
    free(c);
}

const struct capture_frame *capture_peek(const struct capture *c)
{
    return c->has ? &c->frame : NULL;
}
