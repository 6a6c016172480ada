/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What every byte of a simulated guest must be, and where two guests differ.
 * Reads only; the vCPU must stand still.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "sim-internal.h"

int sim__origin(const struct pulse_params *params,
                struct pulse_state *ret_state)
{
    size_t bytes = (size_t)params->pages * COLO_PAGE_SIZE;
    void *mem;
    int r;

    if (!bytes)
        return -1;
    mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        return -1;
    r = pulse_init(mem, ret_state, params, NULL, NULL);
    munmap(mem, bytes);
    return r;
}

/* Content and presence of a frame behind the pulse area at that step. */
static bool expect_frame(const struct sim_layout *layout, uint64_t step,
                         uint64_t gfn, uint8_t *ret_page)
{
    uint64_t turns = layout->balloon_every ? step / layout->balloon_every : 0;

    memset(ret_page, 0, COLO_PAGE_SIZE);
    if (gfn >= layout->nr_gfns - layout->hole_pages)
        return false;
    if (gfn >= sim_static_at(layout) || !turns) {
        sim__static_page(layout, gfn, ret_page);
        return true;
    }
    return turns % 2 == 0; /* taken again: zero */
}

static bool verify_pulse(const struct sim_guest *guest,
                         const struct pulse_state *want, char *why, size_t cap)
{
    struct pulse_report report;

    memset(&report, 0, sizeof(report));
    for (uint32_t p = 0; p < want->pages; p++)
        if (!sim_guest_present(guest, p)) {
            snprintf(why, cap, "frame %u is not there", p);
            return false;
        }
    if (!pulse_verify(guest->mem, want, 0, want->pages, &report))
        return true;
    snprintf(why, cap,
             "%llu of %u pulse pages wrong at step %llu; first: page %u is "
             "%s, of step %llu instead of %llu",
             (unsigned long long)report.count, want->pages,
             (unsigned long long)want->step, report.page,
             pulse_kind_name(report.kind),
             (unsigned long long)report.page_step,
             (unsigned long long)report.want_step);
    return false;
}

bool sim_guest_verify(const struct sim_guest *guest,
                      const struct sim_config *config, char *why, size_t cap)
{
    const struct sim_layout *layout = &guest->ctl->layout;
    const struct pulse_state *have = &guest->ctl->context;
    struct pulse_state origin, want;
    uint8_t page[COLO_PAGE_SIZE];

    if (layout->nr_gfns != config->nr_gfns ||
        memcmp(&layout->pulse, &config->pulse, sizeof(config->pulse)) ||
        sim__origin(&config->pulse, &origin)) {
        snprintf(why, cap, "sizes are not those of the configuration");
        return false;
    }
    pulse_seek(&origin, have->step, &want);
    if (memcmp(&want, have, sizeof(want))) {
        snprintf(why, cap, "context is not that of step %llu",
                 (unsigned long long)have->step);
        return false;
    }
    if (!verify_pulse(guest, &want, why, cap))
        return false;
    for (uint64_t gfn = want.pages; gfn < layout->nr_gfns; gfn++) {
        bool there = expect_frame(layout, have->step, gfn, page);

        if (!sim_guest_compared(guest, gfn))
            continue;
        if (there != sim_guest_present(guest, gfn)) {
            snprintf(why, cap, "frame %llu is%s there at step %llu",
                     (unsigned long long)gfn, there ? " not" : "",
                     (unsigned long long)have->step);
            return false;
        }
        if (there && memcmp(page, sim_guest_page(guest, gfn), sizeof(page))) {
            snprintf(why, cap, "frame %llu is wrong at step %llu",
                     (unsigned long long)gfn,
                     (unsigned long long)have->step);
            return false;
        }
    }
    return true;
}

uint64_t sim_guest_differ(const struct sim_guest *a,
                          const struct sim_guest *b)
{
    uint64_t end = atomic_load(&a->ctl->nr_gfns);

    if (atomic_load(&b->ctl->nr_gfns) > end)
        end = atomic_load(&b->ctl->nr_gfns);
    for (uint64_t gfn = 0; gfn < end; gfn++) {
        if (!sim_guest_compared(a, gfn))
            continue;
        if (sim_guest_present(a, gfn) != sim_guest_present(b, gfn))
            return gfn;
        if (sim_guest_present(a, gfn) &&
            memcmp(sim_guest_page(a, gfn), sim_guest_page(b, gfn),
                   COLO_PAGE_SIZE))
            return gfn;
    }
    return UINT64_MAX;
}
