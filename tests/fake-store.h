/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A xenstore in memory for tests: one tree, any number of handles to it, in
 * one process and on any threads (one thread per handle).  Watches behave as
 * xenstored's do: they fire once when set, for changes at and below the
 * path, for the watcher's own changes too, and for the exact path of every
 * node that a removal takes along.
 */
#ifndef COLO_FAKE_STORE_H
#define COLO_FAKE_STORE_H

#include "../xenstore/store.h"

struct fake_tree;

struct fake_tree *fake_tree_new(void);
/* After every handle has been closed. */
void fake_tree_free(struct fake_tree *tree);

/* A new handle; closed by its ops->close. */
struct colo_store *fake_store_open(struct fake_tree *tree);

/* For tests, outside any handle: they fire watches like any other change. */
void fake_tree_set(struct fake_tree *tree, const char *path,
                   const char *value);
/* A value that may hold NUL bytes. */
void fake_tree_set_bytes(struct fake_tree *tree, const char *path,
                         const void *value, size_t len);
void fake_tree_rm(struct fake_tree *tree, const char *path);
/* Whether it is there; value to buf (may be NULL). */
bool fake_tree_get(struct fake_tree *tree, const char *path, char *buf,
                   size_t cap);
/* Nodes at and below path. */
unsigned int fake_tree_count(struct fake_tree *tree, const char *path);

#define FAKE_READ    1u
#define FAKE_WRITE   2u
#define FAKE_REMOVE  4u
#define FAKE_LIST    8u
#define FAKE_WATCH   16u
#define FAKE_UNWATCH 32u
#define FAKE_NEXT    64u
#define FAKE_CLAIM   128u
#define FAKE_ANY     255u

/* The nth call from now (1 = the next) of these kinds fails with code, and
 * does nothing; nth 0: none. */
void fake_store_fail(struct colo_store *store, unsigned int kinds,
                     unsigned int nth, int code);
/* As fake_store_fail, but every call from the nth on fails. */
void fake_store_fail_from(struct colo_store *store, unsigned int kinds,
                          unsigned int nth, int code);
/* Calls of these kinds so far. */
unsigned int fake_store_calls(struct colo_store *store, unsigned int kinds);

#endif
