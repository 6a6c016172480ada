/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See nbd-netlink.h.  Source: linux drivers/block/nbd.c, nbd-netlink.h.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "nbd-netlink.h"

#define WHERE "disk-nbd"
#define REPLY_SECONDS 10

struct nl {
    struct nl_sock *sock;
    struct nl_msg *msg;
    int index;      /* out of the reply */
    int sys_errno;  /* out of an error message */
    bool done;
};

static void nl_end(struct nl *nl)
{
    if (nl->msg)
        nlmsg_free(nl->msg);
    if (nl->sock)
        nl_socket_free(nl->sock);
}

static int nl_begin(struct nl *nl, int command, struct colo_error *err)
{
    struct timeval limit = { .tv_sec = REPLY_SECONDS };
    int family, r;

    *nl = (struct nl){ .index = -1 };
    nl->sock = nl_socket_alloc();
    nl->msg = nlmsg_alloc();
    if (!nl->sock || !nl->msg)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "netlink");
    r = genl_connect(nl->sock);
    if (r)
        return colo__fail(err, COLO_E_SYS, 0, WHERE, "netlink: %s",
                          nl_geterror(r));
    setsockopt(nl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &limit,
               sizeof(limit));
    family = genl_ctrl_resolve(nl->sock, NBD_GENL_FAMILY_NAME);
    if (family < 0)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "this kernel has no nbd: modprobe nbd");
    if (!genlmsg_put(nl->msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, 0,
                     (uint8_t)command, NBD_GENL_VERSION))
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "netlink");
    return 0;
}

static int on_valid(struct nl_msg *msg, void *arg)
{
    struct nl *nl = arg;
    struct nlattr *attrs[NBD_ATTR_MAX + 1];

    if (!genlmsg_parse(nlmsg_hdr(msg), 0, attrs, NBD_ATTR_MAX, NULL) &&
        attrs[NBD_ATTR_INDEX])
        nl->index = (int)nla_get_u32(attrs[NBD_ATTR_INDEX]);
    return NL_OK;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
    struct nl *nl = arg;

    (void)msg;
    nl->done = true;
    return NL_STOP;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
    struct nl *nl = arg;

    (void)from;
    nl->sys_errno = -e->error;
    nl->done = true;
    return NL_STOP;
}

/* Returns 0, a positive errno of the kernel, or -1: no answer. */
static int nl_talk(struct nl *nl)
{
    struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
    int r = -1;

    if (!cb)
        return ENOMEM;
    nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, nl);
    nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, nl);
    nl_cb_err(cb, NL_CB_CUSTOM, on_error, nl);
    if (nl_send_auto(nl->sock, nl->msg) >= 0) {
        while (!nl->done && nl_recvmsgs(nl->sock, cb) >= 0)
            ;
        if (nl->done)
            r = nl->sys_errno;
    }
    nl_cb_put(cb);
    return r;
}

static int put_socket(struct nl_msg *msg, int sock)
{
    struct nlattr *list, *item;

    list = nla_nest_start(msg, NBD_ATTR_SOCKETS);
    if (!list)
        return -1;
    item = nla_nest_start(msg, NBD_SOCK_ITEM);
    if (!item || nla_put_u32(msg, NBD_SOCK_FD, (uint32_t)sock))
        return -1;
    nla_nest_end(msg, item);
    nla_nest_end(msg, list);
    return 0;
}

int colo__nbd_connect(int sock, const struct colo_nbd_config *config,
                      int *ret_index, struct colo_error *err)
{
    struct nl nl;
    int rc, r;

    rc = nl_begin(&nl, NBD_CMD_CONNECT, err);
    if (rc)
        goto out;
    if (nla_put_u64(nl.msg, NBD_ATTR_SIZE_BYTES, config->size) ||
        nla_put_u64(nl.msg, NBD_ATTR_BLOCK_SIZE_BYTES, config->block_size) ||
        nla_put_u64(nl.msg, NBD_ATTR_SERVER_FLAGS, config->flags) ||
        nla_put_u64(nl.msg, NBD_ATTR_TIMEOUT, config->timeout_s) ||
        nla_put_u64(nl.msg, NBD_ATTR_DEAD_CONN_TIMEOUT, config->dead_s) ||
        nla_put_string(nl.msg, NBD_ATTR_BACKEND_IDENTIFIER,
                       config->identifier) ||
        put_socket(nl.msg, sock)) {
        rc = colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "netlink");
        goto out;
    }
    r = nl_talk(&nl);
    if (r || nl.index < 0) {
        rc = colo__fail(err, COLO_E_SYS, r > 0 ? r : 0, WHERE,
                        "the kernel gives no nbd device");
        goto out;
    }
    *ret_index = nl.index;
out:
    nl_end(&nl);
    return rc;
}

int colo__nbd_reconfigure(int index, int sock, const char *identifier,
                          struct colo_error *err)
{
    struct nl nl;
    int rc, r;

    if (!colo__nbd_is(index, identifier))
        return colo__fail(err, COLO_E_NOTFOUND, 0, WHERE,
                          "nbd%d is another disk's", index);
    rc = nl_begin(&nl, NBD_CMD_RECONFIGURE, err);
    if (rc)
        goto out;
    if (nla_put_u32(nl.msg, NBD_ATTR_INDEX, (uint32_t)index) ||
        nla_put_string(nl.msg, NBD_ATTR_BACKEND_IDENTIFIER, identifier) ||
        put_socket(nl.msg, sock)) {
        rc = colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "netlink");
        goto out;
    }
    r = nl_talk(&nl);
    if (r == ENOSPC)
        rc = colo__fail(err, COLO_E_STATE, r, WHERE,
                        "nbd%d has no dead socket", index);
    else if (r == EINVAL && !colo__nbd_connected(index))
        rc = colo__fail(err, COLO_E_NOTFOUND, r, WHERE,
                        "nbd%d is not connected", index);
    else if (r)
        rc = colo__fail(err, COLO_E_SYS, r > 0 ? r : 0, WHERE,
                        "nbd%d takes no new socket", index);
out:
    nl_end(&nl);
    return rc;
}

int colo__nbd_disconnect(int index, const char *identifier,
                         struct colo_error *err)
{
    struct nl nl;
    int rc, r;

    if (!colo__nbd_is(index, identifier))
        return 0;
    rc = nl_begin(&nl, NBD_CMD_DISCONNECT, err);
    if (rc)
        goto out;
    if (nla_put_u32(nl.msg, NBD_ATTR_INDEX, (uint32_t)index)) {
        rc = colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "netlink");
        goto out;
    }
    r = nl_talk(&nl);
    if (r && colo__nbd_connected(index))
        rc = colo__fail(err, COLO_E_SYS, r > 0 ? r : 0, WHERE,
                        "cannot disconnect nbd%d", index);
out:
    nl_end(&nl);
    return rc;
}

bool colo__nbd_connected(int index)
{
    char path[64];

    /* is there only while it has a connection */
    snprintf(path, sizeof(path), "/sys/block/nbd%d/pid", index);
    return !access(path, F_OK);
}

/* Returns whether the kernel says for what it is connected. */
static bool read_backend(const char *name, char *text, size_t cap)
{
    char path[PATH_MAX];
    FILE *f;
    bool there;

    snprintf(path, sizeof(path), "/sys/block/%s/backend", name);
    f = fopen(path, "re");
    if (!f)
        return false;
    there = fgets(text, (int)cap, f);
    if (there)
        text[strcspn(text, "\n")] = 0;
    fclose(f);
    return there;
}

bool colo__nbd_is(int index, const char *identifier)
{
    char name[32], text[128];
    struct utsname kernel;

    snprintf(name, sizeof(name), "nbd%d", index);
    if (read_backend(name, text, sizeof(text)))
        return !strcmp(text, identifier);
    /* connected without one, it is not by us */
    return !colo__nbd_connected(index) || uname(&kernel) ||
        !colo__nbd_tells(kernel.release);
}

int colo__nbd_find(const char *identifier)
{
    DIR *dir = opendir("/sys/block");
    struct dirent *entry;
    int found = -1;

    while (dir && found < 0 && (entry = readdir(dir))) {
        char text[128];
        int index;

        if (sscanf(entry->d_name, "nbd%d", &index) == 1 &&
            read_backend(entry->d_name, text, sizeof(text)) &&
            !strcmp(text, identifier))
            found = index;
    }
    if (dir)
        closedir(dir);
    return found;
}

int colo__nbd_number(int index, dev_t *ret_dev, struct colo_error *err)
{
    unsigned int maj, min;
    char path[64];
    FILE *f;
    int n = 0;

    snprintf(path, sizeof(path), "/sys/block/nbd%d/dev", index);
    f = fopen(path, "re");
    if (f) {
        n = fscanf(f, "%u:%u", &maj, &min);
        fclose(f);
    }
    if (n != 2)
        return colo__fail(err, COLO_E_SYS, ENODEV, WHERE, "nbd%d", index);
    *ret_dev = makedev(maj, min);
    return 0;
}
