/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The end of a guest of libvirt's, over a fake libxl: libvirt has the first
 * word and all the time that it takes, and a guest that it has ended and cannot
 * start is started without it.
 */
#include "fake-report.h"
#include "pure-common.h"

#include <unistd.h>

#include "../../toolstack/libvirt.h"

#define DOMID 7
#define NEXT 9
#define NEVER 1000000

/* what is done elsewhere at what time, and what was done here */
static struct {
    int now_ms;
    int paused_at, gone_at; /* by libvirt itself */
    bool gone, anew;        /* the domain; another one of the guest's */
    int restart, destroy;   /* status of libvirt's */
    bool ends;              /* restart ends it, at least */
    int asked, destroys, creates, preserves;
    libxl_action_on_shutdown on_reboot;
} world;

static void begin(void)
{
    memset(&world, 0, sizeof(world));
    world.paused_at = world.gone_at = NEVER;
    world.on_reboot = LIBXL_ACTION_ON_SHUTDOWN_RESTART;
}

static bool is_gone(void)
{
    return world.gone || world.now_ms >= world.gone_at;
}

/* ---- in place of the clock, libvirt.c and libxl ---- */

int usleep(useconds_t us)
{
    world.now_ms += (int)(us / 1000);
    return 0;
}

unsigned sleep(unsigned s)
{
    world.now_ms += (int)s * 1000;
    return 0;
}

bool libvirt_has(libxl_ctx *ctx, uint32_t domid)
{
    (void)ctx;
    ck_assert_uint_eq(domid, DOMID);
    return true;
}

int libvirt_do(const char *command, uint32_t domid)
{
    ck_assert_uint_eq(domid, DOMID);
    world.asked++;
    if (world.ends)
        world.gone = true;
    return strcmp(command, "restart") ? world.destroy : world.restart;
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
    (void)ctx;
    ck_assert_uint_eq(domid, DOMID);
    if (is_gone())
        return ERROR_DOMAIN_NOTFOUND;
    if (info)
        info->paused = world.now_ms >= world.paused_at;
    return 0;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *ret_n)
{
    libxl_dominfo *list = calloc(2, sizeof(*list));

    (void)ctx;
    *ret_n = 0;
    if (!is_gone())
        list[(*ret_n)++].domid = DOMID;
    if (world.anew)
        list[(*ret_n)++].domid = NEXT;
    return list;
}

void libxl_dominfo_list_free(libxl_dominfo *list, int n)
{
    (void)n;
    free(list);
}

int libxl_retrieve_domain_configuration(libxl_ctx *ctx, uint32_t domid,
                                        libxl_domain_config *config,
                                        const libxl_asyncop_how *how)
{
    (void)ctx, (void)domid, (void)how;
    config->on_reboot = world.on_reboot;
    config->disks = calloc(1, sizeof(*config->disks));
    config->num_disks = 1;
    libxl_device_disk_init(config->disks);
    config->disks->backend = LIBXL_DISK_BACKEND_PHY;
    config->disks->pdev_path = strdup("/dev/mapper/colo-dev-vg-web");
    return 0;
}

int libxl_domain_core_dump(libxl_ctx *ctx, uint32_t domid, const char *path,
                           const libxl_asyncop_how *how)
{
    (void)ctx, (void)domid, (void)path, (void)how;
    return 0;
}

int libxl_domain_preserve(libxl_ctx *ctx, uint32_t domid,
                          libxl_domain_create_info *info, const char *suffix,
                          libxl_uuid uuid)
{
    (void)ctx, (void)domid, (void)info, (void)suffix, (void)uuid;
    world.preserves++;
    return is_gone() ? ERROR_FAIL : 0;
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *how)
{
    (void)ctx, (void)how;
    ck_assert_uint_eq(domid, DOMID);
    world.destroys++;
    if (is_gone())
        return ERROR_DOMAIN_NOTFOUND;
    world.gone = true;
    return 0;
}

int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *config,
                            uint32_t *ret_domid, const libxl_asyncop_how *how,
                            const libxl_asyncprogress_how *console)
{
    (void)ctx, (void)how, (void)console;
    ck_assert(!world.anew);
    /* the device has gone with the domain */
    ck_assert_pstr_eq(config->disks->script, "block-colo");
    ck_assert_pstr_eq(config->disks->pdev_path, "/dev/vg/web");
    world.creates++;
    *ret_domid = NEXT;
    return 0;
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *how)
{
    (void)ctx, (void)how;
    ck_assert_uint_eq(domid, NEXT);
    return 0;
}

/* ---- tests ---- */

static int64_t reboots(void)
{
    return end_domain(DOMID, LIBXL_SHUTDOWN_REASON_REBOOT);
}

/* It sees the end itself, and is at it for a while. */
START_TEST(test_first_word)
{
    begin();
    world.gone_at = 1000;
    ck_assert_int_eq(reboots(), 0);
    ck_assert_int_eq(world.asked, 0);
    begin();
    world.paused_at = 1500;
    world.gone_at = 12000;
    ck_assert_int_eq(reboots(), 0);
    ck_assert_int_eq(world.asked, 0);
    ck_assert_int_eq(world.destroys + world.creates, 0);
    /* but not for ever */
    begin();
    world.paused_at = 0;
    ck_assert_int_eq(reboots(), 0);
    ck_assert_int_eq(world.asked, 1);
    ck_assert_int_le(world.now_ms, 31000);
}
END_TEST

START_TEST(test_asked)
{
    begin();
    ck_assert_int_eq(reboots(), 0);
    ck_assert_int_eq(world.asked, 1);
    ck_assert_int_eq(world.destroys + world.creates, 0);
    ck_assert_int_le(world.now_ms, 3000);
}
END_TEST

/* libvirtd was restarted in the middle of it, or died */
START_TEST(test_fails_halfway)
{
    static const int status[] = { EXIT_FAILED, EXIT_ABSENT };

    for (int i = 0; i < 4; i++) {
        begin();
        world.restart = status[i / 2];
        world.ends = i % 2;
        ck_assert_int_eq(reboots(), NEXT);
        ck_assert_int_eq(world.creates, 1);
    }
    begin();
    world.on_reboot = LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME;
    world.restart = EXIT_FAILED;
    world.ends = true;
    ck_assert_int_eq(reboots(), NEXT);
    begin();
    world.on_reboot = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
    world.destroy = EXIT_FAILED;
    world.ends = true;
    ck_assert_int_eq(reboots(), 0);
    ck_assert_int_eq(world.destroys, 1);
}
END_TEST

/* It says that it has failed, and the guest is there. */
START_TEST(test_has_it_anew)
{
    begin();
    world.restart = EXIT_FAILED;
    world.ends = world.anew = true;
    ck_assert_int_eq(reboots(), -1);
    ck_assert_int_eq(world.destroys + world.creates, 0);
}
END_TEST

PURE_MAIN("toolstack-end", test_first_word, test_asked, test_fails_halfway,
          test_has_it_anew)
