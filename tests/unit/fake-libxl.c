/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A stand-in for stock libxl in test-xl-plugin: a shared object with the two
 * calls that the plug-in takes over and two that it does not, with a version as
 * the real one has.  Each notes that it was called and with what.
 */
#include <stdio.h>
#include <string.h>

#pragma GCC visibility push(default)
#include <libxl.h>

struct fake_calls {
    int remus_start, create_restore, suspend, unpause;
    uint32_t domid;
    int send_fd, recv_fd;
};

struct fake_calls *fake_libxl_calls(void);

static struct fake_calls calls;

struct fake_calls *fake_libxl_calls(void)
{
    return &calls;
}

int libxl_domain_remus_start(libxl_ctx *ctx, libxl_domain_remus_info *info,
                             uint32_t domid, int send_fd, int recv_fd,
                             const libxl_asyncop_how *ao_how)
{
    (void)ctx;
    (void)info;
    (void)ao_how;
    calls.remus_start++;
    calls.domid = domid;
    calls.send_fd = send_fd;
    calls.recv_fd = recv_fd;
    return -1001;
}

int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *d_config,
                                uint32_t *domid, int restore_fd,
                                int send_back_fd,
                                const libxl_domain_restore_params *params,
                                const libxl_asyncop_how *ao_how,
                                const libxl_asyncprogress_how *aop_console_how)
{
    (void)ctx;
    (void)d_config;
    (void)params;
    (void)ao_how;
    (void)aop_console_how;
    calls.create_restore++;
    calls.send_fd = send_back_fd;
    calls.recv_fd = restore_fd;
    *domid = 4711;
    return -1002;
}

char *libxl_domain_config_to_json(libxl_ctx *ctx, libxl_domain_config *p)
{
    char text[128];

    (void)ctx;
    snprintf(text, sizeof(text), "{\"name\":\"%s\"}", p->c_info.name);
    return strdup(text);
}

int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
                         const libxl_asyncop_how *ao_how)
{
    (void)ctx;
    (void)domid;
    (void)fd;
    (void)flags;
    (void)ao_how;
    calls.suspend++;
    return -1003;
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *ao_how)
{
    (void)ctx;
    (void)domid;
    (void)ao_how;
    calls.unpause++;
    return -1004;
}
