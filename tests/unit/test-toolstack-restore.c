/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A restore through libvirtd that is given up: the helper and what feeds the
 * FIFO are killed, and nobody may be left waiting at it.
 */
#include "fake-report.h"
#include "pure-common.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../toolstack/libvirt.h"
#include "pure/seed-header.h"

/* COLO_LIBEXECDIR and LIBVIRT_FIFO_DIR are one folder, see Makefile.am */
#define HELPER COLO_LIBEXECDIR "/colo-toolstack-libvirt"
#define CONFIG "{}\0<domain/>"

/* ---- in place of libxl ---- */

int libxl_domain_config_from_json(libxl_ctx *ctx, libxl_domain_config *config,
                                  const char *json)
{
    (void)ctx, (void)json;
    config->c_info.name = strdup("guest");
    return 0;
}

int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *ret_domid)
{
    (void)ctx, (void)name, (void)ret_domid;
    return ERROR_INVAL;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *ret_n)
{
    (void)ctx;
    *ret_n = 0;
    return NULL;
}

/* ---- the test ---- */

static void put(const char *path, const void *data, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
    ck_assert_int_eq(close(fd), 0);
}

/* its number is that of the helper */
static pid_t wait_for_fifo(void)
{
    char text[16] = "";

    for (int i = 0; i < 3000; i++) {
        FILE *f = fopen(COLO_LIBEXECDIR "/made", "re");

        if (f) {
            ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
            fclose(f);
            return (pid_t)atoi(text);
        }
        poll(NULL, 0, 10);
    }
    ck_abort_msg("the helper has not made its FIFO");
    return 0;
}

static pid_t begin(int *ret_life)
{
    static const char script[] =
        "#!/bin/sh\nmkfifo " COLO_LIBEXECDIR "/restore-$$ || exit 1\n"
        "echo $$ >" COLO_LIBEXECDIR "/making\n"
        "mv " COLO_LIBEXECDIR "/making " COLO_LIBEXECDIR "/made\n"
        "exec sleep 100\n";
    uint8_t seed[SEED_HEADER + sizeof(CONFIG)];
    int life[2];
    pid_t pid;

    ck_assert_int_eq(system("rm -rf " COLO_LIBEXECDIR), 0);
    ck_assert_int_eq(mkdir(COLO_LIBEXECDIR, 0700), 0);
    put(HELPER, script, sizeof(script) - 1, 0700);
    seed_header_put(seed, sizeof(CONFIG));
    memcpy(seed + SEED_HEADER, CONFIG, sizeof(CONFIG));
    put(COLO_LIBEXECDIR "/seed", seed, sizeof(seed), 0600);
    ck_assert_int_eq(pipe2(life, O_CLOEXEC), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        int fd = open(COLO_LIBEXECDIR "/seed", O_RDONLY | O_CLOEXEC);

        if (dup2(fd, STDIN_FILENO) < 0 || dup2(life[0], LIFE_FD) < 0)
            _exit(9);
        close(life[1]);
        _exit(cmd_restore(false, TOOLSTACK_LIBVIRT));
    }
    close(life[0]);
    *ret_life = life[1];
    return pid;
}

START_TEST(test_given_up)
{
    pid_t helper, pid, reader;
    int life, status = 0;
    char path[64];

    pid = begin(&life);
    helper = wait_for_fifo();
    snprintf(path, sizeof(path), LIBVIRT_FIFO, (int)helper);
    reader = fork();
    ck_assert_int_ge(reader, 0);
    if (!reader) { /* a worker of libvirtd */
        char byte;
        int fd;

        close(life);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        _exit(fd >= 0 && read(fd, &byte, 1) == 0 ? 0 : 1);
    }
    poll(NULL, 0, 200); /* it waits there; any other order is fine, too */
    close(life);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILED);
    ck_assert_int_eq(access(path, F_OK), -1);
    for (int i = 0; i < 3000; i++) {
        if (waitpid(reader, &status, WNOHANG) == reader)
            goto released;
        poll(NULL, 0, 10);
    }
    kill(reader, SIGKILL);
    ck_abort_msg("the reader still waits");
released:
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_int_eq(system("rm -rf " COLO_LIBEXECDIR), 0);
}
END_TEST

PURE_MAIN("toolstack-restore", test_given_up)
