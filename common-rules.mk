# SPDX-License-Identifier: GPL-2.0-or-later
# What every Makefile.am starts with.
AM_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/libcolo -I$(top_builddir)
AM_CFLAGS = -std=gnu11 $(WARNINGS) $(SANITIZERS) -fvisibility=hidden -pthread
AM_LDFLAGS = $(SANITIZERS)
