/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Preflight: what xenstore says about a guest's devices.
 */
#include "check-common.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fake-store.h"
#include "../xenstore/owner.h"

#define GUEST "00112233-4455-6677-8899-aabbccddeeff"

static struct fake_tree *tree;

static void setup(void)
{
    tree = fake_tree_new();
    fake_tree_set(tree, "/local/domain/7/memory/target", "131072");
    fake_tree_set(tree, "/local/domain/7/control/feature-suspend", "1");
}

/* A device as libxl records it, served by domain b; returns its backend. */
static const char *device(const char *kind, const char *id, unsigned b)
{
    static char backend[160];
    char path[160];

    snprintf(backend, sizeof(backend), "/local/domain/%u/backend/%s/7/%s", b,
             kind, id);
    snprintf(path, sizeof(path), "/libxl/7/device/%s/%s/backend", kind, id);
    fake_tree_set(tree, path, backend);
    return backend;
}

static void below(const char *dir, const char *node, const char *value)
{
    char path[240];

    snprintf(path, sizeof(path), "%s/%s", dir, node);
    fake_tree_set(tree, path, value);
}

static bool no_module;
static int mode = COLO_MODE_REMUS;

/* Look, and give the tree back. */
static void look(struct found *found, bool p2m_tracked)
{
    struct colo_guest_facts guest = good_guest();
    struct colo_host_facts host = good_host();
    struct colo_store *store = fake_store_open(tree);
    struct colo_error err;

    host.p2m_tracked = p2m_tracked;
    if (no_module) {
        strcpy(host.no_net, "ifb");
        strcpy(host.no_colo_net, "cls_bpf");
        strcpy(host.no_disk, "nbd");
        host.no_nbdkit = "nbdkit";
    }
    found_init(found);
    ck_assert_int_eq(colo__check_device_rules(store, &host, &guest, mode,
                                              &found->out, &err), 0);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}

START_TEST(test_none)
{
    struct found found;

    setup();
    look(&found, true);
    ck_assert_int_eq(found.n, 1); /* that it can suspend */
    ck_assert_int_eq(found_result(&found, "suspend"), COLO_CHECK_OK);
}
END_TEST

START_TEST(test_disks)
{
    struct found found;
    const char *backend;

    setup();
    backend = device("vbd", "51712", 0);
    below(backend, "mode", "w");
    below(backend, "dev", "xvda");
    backend = device("vbd", "51728", 0);
    below(backend, "mode", "r");
    below(backend, "dev", "xvdb");
    backend = device("vbd", "51744", 0);
    below(backend, "mode", "w");
    below(backend, "script", "/etc/xen/scripts/block-colo");
    look(&found, true);
    ck_assert_int_eq(found.out.refused, 1);
    ck_assert_int_eq(found_result(&found, "disk-not-replicated"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "disk-read-only"),
                     COLO_CHECK_WARNING);
    ck_assert_int_eq(found_result(&found, "disk"), COLO_CHECK_OK);
    /* one that nobody writes needs no copy, whoever serves it */
    setup();
    backend = device("vbd", "51744", 0);
    below(backend, "mode", "r");
    below(backend, "script", "/etc/xen/scripts/block-colo");
    look(&found, true);
    ck_assert_int_eq(found.out.refused, 0);
    ck_assert_int_eq(found_result(&found, "disk-read-only"),
                     COLO_CHECK_WARNING);
    ck_assert_int_eq(found_result(&found, "disk-needed"), -1);
}
END_TEST

/* A disk of blkback's with these params and Xen's own script; what is said of
 * it, and the advice. */
static int one_disk(const char *kind, const char *params, char advice[330])
{
    char backend[160], path[80];
    struct found found;
    int result;

    setup();
    snprintf(backend, sizeof(backend), "/local/domain/0/backend/%s/7/51712",
             kind);
    snprintf(path, sizeof(path), "/libxl/7/device/vbd/51712/backend");
    fake_tree_set(tree, path, backend);
    below(backend, "mode", "w");
    below(backend, "dev", "xvda");
    below(backend, "script", "/etc/xen/scripts/block");
    if (params)
        below(backend, "params", params);
    look(&found, true);
    result = found_result(&found, "disk");
    ck_assert_int_ne(result, found_result(&found, "disk-not-replicated"));
    ck_assert_int_eq(found.out.refused, result != COLO_CHECK_OK);
    for (int i = 0; i < found.n; i++) {
        if (!strcmp(found.ids[i], "disk-not-replicated"))
            snprintf(advice, 330, "%s", found.advices[i]);
    }
    return result;
}

/* libvirt cannot name a block script: its guest's disk is the device. */
START_TEST(test_disks_of_libvirt)
{
    static const struct { const char *kind, *params, *advice; } bad[] = {
        { "vbd", "/dev/vg/web", "/dev/mapper/colo-dev-vg-web as" },
        { "vbd", "/dev/mapper/colo-web",
          "/dev/mapper/colo-dev-mapper-colo=2Dweb as" },
        { "vbd", "/dev/mapper/colo-a-b==0123456789abcdef", "colo-disk(8)" },
        { "vbd", "relative", "colo-disk(8)" },
        { "vbd", "/web", "colo-disk(8)" },
        { "vbd", NULL, "colo-disk(8)" },
        { "qdisk", "raw:/srv/web.raw", "/dev/mapper/colo-srv-web.raw as" },
        { "qdisk", "aio:/dev/mapper/colo-dev-vg-web", "driver phy" },
        { "qdisk", "/dev/mapper/colo-dev-vg-web", "driver phy" },
    };
    char advice[330];

    ck_assert_int_eq(one_disk("vbd", "/dev/mapper/colo-dev-vg-web", advice),
                     COLO_CHECK_OK);
    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        ck_assert_msg(one_disk(bad[i].kind, bad[i].params, advice) !=
                      COLO_CHECK_OK, "taken: %s", bad[i].params);
        ck_assert_msg(strstr(advice, bad[i].advice), "%s: %s", bad[i].params,
                      advice);
    }
}
END_TEST

/* The backup is asked for a disk as large as this one, however odd its name. */
START_TEST(test_disk_needed)
{
    char path[] = "/tmp/colo disk XXXXXX", text[330];
    int fd = mkstemp(path);
    const char *backend;
    struct found found;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 1024 + 100), 0);
    for (int i = 0; i < 2; i++) {
        setup();
        backend = device("vbd", "51712", 0);
        below(backend, "mode", "w");
        below(backend, "script", "/etc/xen/scripts/block-colo");
        below(backend, "params", path);
        look(&found, true);
        snprintf(text, sizeof(text), "%d bytes are needed at %s",
                 i ? 0 : 1024, path);
        ck_assert_int_eq(found_result(&found, "disk-needed"), COLO_CHECK_OK);
        ck_assert_str_eq(found.texts[2], text);
        unlink(path);
    }
    close(fd);
}
END_TEST

/* What serves disks is looked for as it would be run. */
START_TEST(test_nbdkit)
{
    char folder[] = "/tmp/colo-path-XXXXXX", path[64];
    struct colo_host_facts host = good_host();
    struct found found;
    FILE *f;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("PATH", folder, 1);
    colo__check_module_facts(&host);
    ck_assert_str_eq(host.no_nbdkit, "nbdkit");
    snprintf(path, sizeof(path), "%s/nbdkit", folder);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
    chmod(path, 0755);
    snprintf(path, sizeof(path), "/nowhere:%s", folder);
    setenv("PATH", path, 1);
    colo__check_module_facts(&host);
    ck_assert(!host.no_nbdkit || strcmp(host.no_nbdkit, "nbdkit"));
    snprintf(path, sizeof(path), "%s/nbdkit", folder);
    unlink(path);
    rmdir(folder);
    host = good_host();
    found_init(&found);
    colo__check_follower_rules(&host, &found.out);
    ck_assert_int_eq(found.n, 0);
    strcpy(host.no_disk, "nbd");
    strcpy(host.no_colo_net, "tun");
    host.no_nbdkit = "nbdkit";
    colo__check_follower_rules(&host, &found.out);
    ck_assert_int_eq(found.n, 3);
    ck_assert_int_eq(found.out.refused, 0);
}
END_TEST

/* What is held or replicated needs modules, and only then. */
START_TEST(test_modules)
{
    struct found found;

    setup();
    no_module = true;
    look(&found, true);
    ck_assert_int_eq(found.out.refused, 0);
    setup();
    device("vif", "0", 0);
    below(device("vbd", "51712", 0), "mode", "w");
    below(device("vbd", "51712", 0), "script", "/etc/xen/scripts/block-colo");
    look(&found, true);
    no_module = false;
    ck_assert_int_eq(found.out.refused, 3);
    ck_assert_int_eq(found_result(&found, "disk-nbdkit"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "net-modules"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "disk-modules"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "net-buffered"), -1);
}
END_TEST

START_TEST(test_modules_of_colo)
{
    struct found found;

    mode = COLO_MODE_COLO;
    setup();
    device("vif", "0", 0);
    look(&found, true);
    ck_assert_int_eq(found_result(&found, "net-compared"), COLO_CHECK_OK);
    ck_assert_int_eq(found_result(&found, "net-buffered"), -1);
    no_module = true;
    setup();
    device("vif", "0", 0);
    look(&found, true);
    no_module = false;
    mode = COLO_MODE_REMUS;
    ck_assert_int_eq(found.out.refused, 1);
    ck_assert_int_eq(found_result(&found, "net-modules"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "net-compared"), -1);
}
END_TEST

START_TEST(test_nets)
{
    struct found found;

    setup();
    below(device("vif", "0", 0), "bridge", "xenbr0");
    device("vif", "1", 0);
    device("vif", "2", 3);
    look(&found, true);
    ck_assert_int_eq(found.out.refused, 1);
    ck_assert_int_eq(found_result(&found, "driver-domain"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "net-buffered"), COLO_CHECK_OK);
    ck_assert_int_eq(found_result(&found, "bridge-needed"), COLO_CHECK_OK);
    ck_assert_int_eq(found.n, 4); /* it is told once, not for each */
}
END_TEST

/* After a takeover in mode colo; of the emulated card as of the other. */
START_TEST(test_net_served)
{
    static const char *const served[] = { "cn7.1", "cne7.1" };
    char command[80];
    struct found found;

    for (size_t i = 0; i < COLO_ARRAY_LEN(served); i++) {
        if (unshare(CLONE_NEWNET)) /* without rights nothing is served */
            return;
        setup();
        device("vif", "1", 0);
        look(&found, true);
        ck_assert_int_eq(found_result(&found, "net-served"), -1);
        snprintf(command, sizeof(command), "ip link add %s type bridge",
                 served[i]);
        ck_assert_int_eq(system(command), 0);
        setup();
        device("vif", "0", 0);
        look(&found, true);
        ck_assert_int_eq(found_result(&found, "net-served"), -1);
        setup();
        device("vif", "1", 0);
        look(&found, true);
        ck_assert_int_eq(found.out.refused, 1);
        ck_assert_int_eq(found_result(&found, "net-served"),
                         COLO_CHECK_REFUSED);
    }
}
END_TEST

START_TEST(test_others)
{
    struct found found;

    setup();
    below(device("pci", "0", 0), "num_devs", "1");
    device("console", "0", 0);
    device("vkb", "0", 0);
    device("9pfs", "0", 0);
    device("vtpm", "0", 0);
    device("hologram", "0", 0);
    look(&found, true);
    ck_assert_int_eq(found.out.refused, 4);
    ck_assert_int_eq(found_result(&found, "pci-passthrough"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "shared-files"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "vtpm"), COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "device-unknown"),
                     COLO_CHECK_REFUSED);
}
END_TEST

/* xl leaves the bus behind when the last device has been detached. */
START_TEST(test_pci_detached)
{
    struct found found;

    setup();
    below(device("pci", "0", 0), "num_devs", "0");
    look(&found, true);
    ck_assert_int_eq(found.out.refused, 0);
}
END_TEST

START_TEST(test_balloon)
{
    struct found found;

    setup();
    fake_tree_set(tree, "/local/domain/7/memory/target", "65536");
    look(&found, false);
    ck_assert_int_eq(found_result(&found, "ballooning"), COLO_CHECK_WARNING);
    setup();
    look(&found, false);
    ck_assert_int_eq(found_result(&found, "ballooning"), COLO_CHECK_OK);
}
END_TEST

START_TEST(test_stub_domains)
{
    struct found found;

    setup();
    fake_tree_set(tree, "/local/domain/7/image/device-model-domid", "8");
    fake_tree_set(tree, "/local/domain/7/target", "6");
    look(&found, true);
    ck_assert_int_eq(found.out.refused, 2);
    ck_assert_int_eq(found_result(&found, "stub-domain"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "is-stub-domain"),
                     COLO_CHECK_REFUSED);
}
END_TEST

START_TEST(test_session)
{
    struct colo_owner self;
    struct colo_error err;
    struct found found;
    char text[64];

    ck_assert_int_eq(colo__owner_self(&self, &err), 0);
    colo__xs_owner_build(text, sizeof(text), &self, &err);
    setup();
    fake_tree_set(tree, "/libcolo/" GUEST "/owner", text);
    look(&found, true);
    ck_assert_int_eq(found_result(&found, "has-session"),
                     COLO_CHECK_REFUSED);
    /* of a process that has ended: recover cleans it, no reason to refuse */
    self.start++;
    colo__xs_owner_build(text, sizeof(text), &self, &err);
    setup();
    fake_tree_set(tree, "/libcolo/" GUEST "/owner", text);
    look(&found, true);
    ck_assert_int_eq(found.out.refused, 0);
}
END_TEST

/* What a guest or a broken toolstack may leave there. */
START_TEST(test_rubbish)
{
    struct found found;
    char longer[300];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    setup();
    fake_tree_set(tree, "/libxl/7/device/vbd/1/backend", longer);
    fake_tree_set(tree, "/libxl/7/device/vbd/2/backend", "");
    fake_tree_set(tree, "/libxl/7/device/vbd/3/other", "x");
    fake_tree_set_bytes(tree, "/libxl/7/device/vbd/4/backend", "/a\0b", 4);
    fake_tree_set(tree, "/local/domain/7/memory/target", "-5 potatoes");
    fake_tree_set(tree, "/libcolo/" GUEST "/owner", longer);
    below(device("vbd", "5", 0), "dev", "a\nb\x1b[1m");
    look(&found, false);
    for (int i = 0; i < found.n; i++)
        ck_assert_ptr_null(strpbrk(found.texts[i], "\n\x1b"));
    ck_assert_int_eq(found_result(&found, "disk-not-replicated"),
                     COLO_CHECK_REFUSED);
    /* what cannot be read is not taken for harmless */
    ck_assert_int_eq(found_result(&found, "device-unknown"),
                     COLO_CHECK_REFUSED);
    ck_assert_int_eq(found.out.refused, 3);
}
END_TEST

START_TEST(test_store_fails)
{
    struct colo_guest_facts guest = good_guest();
    struct colo_host_facts host = good_host();
    struct colo_store *store;
    struct colo_error err;
    struct found found;

    setup();
    device("vbd", "1", 0);
    store = fake_store_open(tree);
    for (unsigned nth = 1; nth <= 3; nth++) {
        found_init(&found);
        if (nth <= 2)
            fake_store_fail(store, FAKE_LIST, nth, COLO_E_STORE);
        else /* owner, stub x 2, target, suspend, then the backend */
            fake_store_fail(store, FAKE_READ, 6, COLO_E_STORE);
        ck_assert_int_eq(colo__check_device_rules(store, &host, &guest, mode,
                                                  &found.out, &err),
                         COLO_E_STORE);
    }
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}
END_TEST

PURE_MAIN("check-devices", test_none, test_disks,
          test_disks_of_libvirt, test_disk_needed, test_nbdkit,
          test_modules,
          test_modules_of_colo, test_nets, test_net_served, test_others,
          test_pci_detached, test_balloon, test_stub_domains, test_session,
          test_rubbish, test_store_fails)
