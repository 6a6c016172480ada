/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Preflight: each thing that is wrong with a guest is said, under its own id,
 * and nothing else is.
 */
#include "check-common.h"

/* What a mistake in one fact must lead to. */
static void expect(const struct colo_guest_facts *guest, int mode,
                   const char *id)
{
    struct colo_host_facts host = good_host();
    struct found found;

    found_init(&found);
    colo__check_guest_rules(&host, guest, mode, &found.out);
    ck_assert_int_eq(found.out.refused, id ? 1 : 0);
    if (id)
        ck_assert_int_eq(found_result(&found, id), COLO_CHECK_REFUSED);
}

START_TEST(test_good)
{
    struct colo_guest_facts guest = good_guest();
    struct colo_host_facts host = good_host();
    struct found found;

    expect(&guest, COLO_MODE_REMUS, NULL);
    expect(&guest, COLO_MODE_COLO, "mode-colo");
    found_init(&found);
    found.out.fn = NULL; /* only counted */
    colo__check_guest_rules(&host, &guest, COLO_MODE_COLO, &found.out);
    ck_assert_int_eq(found.out.refused, 1);
}
END_TEST

START_TEST(test_each)
{
    struct colo_guest_facts guest;

#define WRONG(field, value, id) \
    guest = good_guest(); \
    guest.field = value; \
    expect(&guest, COLO_MODE_REMUS, id)

    WRONG(dying, true, "not-running");
    WRONG(paused, true, "not-running");
    WRONG(shutdown_reason, 0, "not-running");
    WRONG(shutdown_reason, 2, "not-running");
    WRONG(pv_events, false, "no-pv-drivers");
    WRONG(pod_entries, 1, "populate-on-demand");
    WRONG(hap, false, "shadow-paging");
    WRONG(nested, true, "nested");
    WRONG(iommu, true, "iommu");
    WRONG(is_xenstore, true, "control-domain");
    WRONG(domid, 0, "control-domain");
    WRONG(name_len, 63, NULL);
    WRONG(name_len, 64, "name-too-long");
#undef WRONG
}
END_TEST

static void expect_pv(const struct colo_host_facts *host,
                      const struct colo_guest_facts *guest, int result)
{
    struct found found;

    found_init(&found);
    colo__check_guest_rules(host, guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found.out.refused, result == COLO_CHECK_REFUSED);
    ck_assert_int_eq(found_result(&found, "type-pv"), result);
}

/* Where Xen can tell what it writes, a PV guest is protected, with a warning. */
START_TEST(test_pv)
{
    struct colo_guest_facts guest = good_guest();
    struct colo_host_facts host = good_host();
    struct found found;

    guest.kind = COLO_GUEST_PV;
    guest.pv_events = guest.hap = false;
    for (int shadow = 0; shadow < 2; shadow++) {
        host.shadow = shadow;
        expect_pv(&host, &guest, shadow ? COLO_CHECK_WARNING :
                                          COLO_CHECK_REFUSED);
    }
    guest.pv_bits = 64;
    expect_pv(&host, &guest, COLO_CHECK_WARNING);
    guest.pv_bits = 32;
    expect_pv(&host, &guest, COLO_CHECK_REFUSED);
    found_init(&found);
    colo__check_guest_rules(&host, &guest, COLO_MODE_COLO, &found.out);
    ck_assert_int_eq(found_result(&found, "mode-colo"), COLO_CHECK_REFUSED);
}
END_TEST

/* With help or without for Remus; only without PV drivers for COLO. */
START_TEST(test_hvm)
{
    struct colo_guest_facts guest = good_guest();

    guest.kind = COLO_GUEST_HVM;
    expect(&guest, COLO_MODE_REMUS, NULL);
    expect(&guest, COLO_MODE_COLO, "mode-colo");
    guest.pv_events = false;
    expect(&guest, COLO_MODE_REMUS, NULL);
    expect(&guest, COLO_MODE_COLO, NULL);
}
END_TEST

/* Every reason is given, not only the first. */
START_TEST(test_all_at_once)
{
    struct colo_guest_facts guest = good_guest();
    struct colo_host_facts host = good_host();
    struct found found;

    guest.kind = COLO_GUEST_HVM;
    guest.paused = guest.nested = guest.iommu = true;
    guest.pv_events = guest.hap = false;
    guest.pod_entries = 5;
    found_init(&found);
    colo__check_guest_rules(&host, &guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found.out.refused, 5);
}
END_TEST

/* The backup is asked for what this item begins with. */
START_TEST(test_need)
{
    struct colo_guest_facts guest = good_guest();
    struct colo_host_facts host = good_host();
    struct found found;

    found_init(&found);
    colo__check_guest_rules(&host, &guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found_result(&found, "file-needed"), -1);
    snprintf(guest.kernel, sizeof(guest.kernel), "/boot/k");
    found_init(&found);
    colo__check_guest_rules(&host, &guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found_result(&found, "file-needed"), COLO_CHECK_OK);
    for (int i = 0; i < found.n; i++) {
        if (!strcmp(found.ids[i], "memory-needed")) {
            ck_assert_uint_eq(strtoull(found.texts[i], NULL, 10),
                              32768 + 128 + 256 + 512);
            return;
        }
    }
    ck_abort_msg("no memory-needed");
}
END_TEST

/* so that a number that was given is no number at the backup */
START_TEST(test_name)
{
    struct colo_guest_facts guest = good_guest();
    struct colo_host_facts host = good_host();
    struct found found;

    found_init(&found);
    colo__check_guest_rules(&host, &guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found_result(&found, "name"), -1);
    strcpy(guest.name, "my guest");
    guest.name_len = 8;
    found_init(&found);
    colo__check_guest_rules(&host, &guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found_result(&found, "name"), COLO_CHECK_OK);
    ck_assert_str_eq(found.texts[0], "its name is my guest");
}
END_TEST

/* whether the backup's libvirt is asked for */
START_TEST(test_libvirt)
{
    struct colo_guest_facts guest = good_guest();
    struct colo_host_facts host = good_host();
    struct found found;

    found_init(&found);
    colo__check_guest_rules(&host, &guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found_result(&found, "libvirt"), -1);
    guest.libvirt = true;
    colo__check_guest_rules(&host, &guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found_result(&found, "libvirt"), COLO_CHECK_OK);
    guest.kind = COLO_GUEST_PV;
    found_init(&found);
    colo__check_guest_rules(&host, &guest, COLO_MODE_REMUS, &found.out);
    ck_assert_int_eq(found_result(&found, "libvirt"), -1);
}
END_TEST

START_TEST(test_host)
{
    struct colo_host_facts host;
    struct found found;

#define HOST(field, value, id, result) \
    host = good_host(); \
    host.field = value; \
    found_init(&found); \
    colo__check_host_rules(&host, "/nowhere", &found.out); \
    ck_assert_int_eq(found_result(&found, id), result)

    HOST(is_root, false, "not-root", COLO_CHECK_REFUSED);
    HOST(is_dom0, false, "not-dom0", COLO_CHECK_REFUSED);
    HOST(xen_minor, 16, "xen-too-old", COLO_CHECK_REFUSED);
    HOST(xen_major, 3, "xen-too-old", COLO_CHECK_REFUSED);
    HOST(xen_minor, 17, "xen-version", COLO_CHECK_OK);
    HOST(dom0_kib, 1000, "dom0-memory", COLO_CHECK_WARNING);
    HOST(dom0_kib, 0, "dom0-memory", -1); /* unknown */
    HOST(hvm, true, "no-toolstack-helper", COLO_CHECK_REFUSED);
#undef HOST
}
END_TEST

/* Any guest but a PV guest needs it, and one that is not known. */
START_TEST(test_hap)
{
    static const struct {
        int32_t kind;
        int result;
    } rows[] = {
        { 0, COLO_CHECK_REFUSED },
        { COLO_GUEST_PVH, COLO_CHECK_REFUSED },
        { COLO_GUEST_HVM, COLO_CHECK_REFUSED },
        { COLO_GUEST_PV, -1 },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(rows); i++) {
        struct colo_host_facts host = good_host();
        struct found found;

        found_init(&found);
        colo__check_hap_rules(&host, rows[i].kind, &found.out);
        ck_assert_int_eq(found.n, 0);
        host.hap = false;
        colo__check_hap_rules(&host, rows[i].kind, &found.out);
        ck_assert_int_eq(found_result(&found, "no-hap"), rows[i].result);
        host.hvm = false;
        found_init(&found);
        colo__check_hap_rules(&host, rows[i].kind, &found.out);
        ck_assert_int_eq(found_result(&found, "no-hap"), rows[i].result);
    }
}
END_TEST

START_TEST(test_memory)
{
    struct colo_host_facts host = good_host();
    struct found found;

    found_init(&found);
    colo__check_memory_rules(&host, 100000, &found.out);
    ck_assert_int_eq(found.out.refused, 0);
    colo__check_memory_rules(&host, 100001, &found.out);
    ck_assert_int_eq(found.out.refused, 1);
    host.is_dom0 = false; /* nothing is known then */
    colo__check_memory_rules(&host, UINT64_MAX, &found.out);
    ck_assert_int_eq(found.out.refused, 1);
}
END_TEST

PURE_MAIN("check-guest", test_good, test_each, test_pv, test_hvm,
          test_all_at_once, test_need, test_name, test_libvirt, test_host,
          test_hap, test_memory)
