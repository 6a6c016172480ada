/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which network cards a session of mode colo finds.
 */
#include <stdio.h>

#include "pure-common.h"

#include "../fake-store.h"
#include "nets.h"
#include "network.h"

#define BACKEND "/local/domain/0/backend/vif/7/"

static int find(struct fake_tree *tree, struct colo_nets *nets,
                struct colo_error *err)
{
    struct colo_store *store = fake_store_open(tree);
    int rc;

    memset(nets, 0, sizeof(*nets));
    rc = colo__nets_find(store, 7, nets, err);
    colo__store_ops(store)->close(store);
    return rc;
}

START_TEST(none_is_fine)
{
    struct fake_tree *tree = fake_tree_new();
    struct colo_nets nets;

    ck_assert_int_eq(find(tree, &nets, NULL), 0);
    ck_assert_uint_eq(nets.count, 0);
    fake_tree_free(tree);
}
END_TEST

START_TEST(each_has_a_number)
{
    struct fake_tree *tree = fake_tree_new();
    struct colo_nets nets;

    fake_tree_set(tree, BACKEND "0/bridge", "xenbr0");
    fake_tree_set(tree, BACKEND "3/bridge", "xenbr0");
    fake_tree_set(tree, BACKEND "3/vifname", "web0");
    fake_tree_set(tree, BACKEND "what/bridge", "no card");
    fake_tree_set(tree, BACKEND "256/bridge", "no number of one");
    ck_assert_int_eq(find(tree, &nets, NULL), 0);
    ck_assert_uint_eq(nets.count, 2);
    /* in any order */
    ck_assert_uint_eq(nets.net[0].name.devid + nets.net[1].name.devid, 3);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(!nets.net[i].name.emulated); /* no such interface here */
        ck_assert_str_eq(nets.net[i].id,
                         nets.net[i].name.devid ? "3" : "0");
    }
    fake_tree_free(tree);
}
END_TEST

START_TEST(too_many_and_a_store_that_fails)
{
    struct fake_tree *tree = fake_tree_new();
    struct colo_store *store;
    struct colo_error err;
    struct colo_nets nets = { 0 };
    char path[80];

    for (int i = 0; i <= COLO_WIRE_NETS; i++) {
        snprintf(path, sizeof(path), BACKEND "%d/bridge", i);
        fake_tree_set(tree, path, "xenbr0");
    }
    ck_assert_int_eq(find(tree, &nets, &err), COLO_E_LIMIT);
    store = fake_store_open(tree);
    fake_store_fail(store, FAKE_LIST, 1, COLO_E_STORE);
    ck_assert_int_eq(colo__nets_find(store, 7, &nets, &err), COLO_E_STORE);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}
END_TEST

/* A replica runs only with a proxy for each of its cards. */
START_TEST(those_of_the_replica)
{
    struct fake_tree *tree = fake_tree_new();
    struct colo_store *store = fake_store_open(tree);
    struct colo_nets nets = { 0 };
    struct colo_error err;

    ck_assert_int_eq(colo__nets_match(&nets, store, 7, &err), 0);
    fake_tree_set(tree, "/libxl/7/device/vif/3/backend",
                  "/local/domain/0/backend/vif/7/3");
    /* a primary that tells of none */
    ck_assert_int_eq(colo__nets_match(&nets, store, 7, &err),
                     COLO_E_UNSUPPORTED);
    ck_text(err, "has 1 network cards, and the primary told of 0:");
    nets.count = 1;
    ck_assert_int_eq(colo__nets_match(&nets, store, 7, &err),
                     COLO_E_UNSUPPORTED);
    ck_text(err, "others");
    nets.net[0].name.devid = 3;
    ck_assert_int_eq(colo__nets_match(&nets, store, 7, &err), 0);
    nets.count = 2;
    ck_assert_int_eq(colo__nets_match(&nets, store, 7, &err),
                     COLO_E_UNSUPPORTED);
    fake_store_fail(store, FAKE_LIST, 1, COLO_E_STORE);
    ck_assert_int_eq(colo__nets_match(&nets, store, 7, &err), COLO_E_STORE);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}
END_TEST

/* What a card is called that never spoke. */
START_TEST(configured)
{
    static const uint8_t heard[6] = { 0, 0x16, 0x3e, 1, 2, 3 };
    static const uint8_t silent[6] = { 0, 0x16, 0x3e, 0xa, 0xb, 0xc };
    struct fake_tree *tree = fake_tree_new();
    struct colo_store *store = fake_store_open(tree);
    struct colo_learn learn = { 0 };

    colo__network_configured(store, 7, &learn);
    ck_assert_uint_eq(learn.count, 0);
    colo__learn_mac(&learn, 0, heard);
    fake_tree_set(tree, BACKEND "0/mac", "00:16:3e:01:02:03");
    fake_tree_set(tree, BACKEND "1/mac", "00:16:3E:0a:0B:0c");
    fake_tree_set(tree, BACKEND "2/mac", "00:16:3e:01:02");
    fake_tree_set(tree, BACKEND "3/mac", "00:16:3e:01:02:03:04");
    fake_tree_set(tree, BACKEND "4/mac", "ff:ff:ff:ff:ff:ff");
    fake_tree_set(tree, BACKEND "5/bridge", "xenbr0");
    fake_tree_set(tree, BACKEND "256/mac", "00:16:3e:01:02:05");
    colo__network_configured(store, 7, &learn);
    ck_assert_uint_eq(learn.count, 2);
    ck_assert_int_eq(learn.entry[1].card, 1);
    ck_assert_int_eq(learn.entry[1].family, 0);
    ck_assert_mem_eq(learn.entry[1].mac, silent, 6);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}
END_TEST

PURE_MAIN("nets", configured, none_is_fine, each_has_a_number,
          too_many_and_a_store_that_fails, those_of_the_replica)
