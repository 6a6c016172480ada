# SPDX-License-Identifier: GPL-2.0-or-later
# What every Makefile.am starts with.
AM_CPPFLAGS = -I$(top_srcdir)/libcolo
AM_CFLAGS = -std=gnu11 $(WARNINGS) $(SANITIZERS) -fvisibility=hidden -pthread
AM_LDFLAGS = $(SANITIZERS)
