/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The initrd, composed from the image's own tree: what the layers' "initrd" sections include, the
 * shared libraries it needs (DT_NEEDED, DT_RUNPATH and dlopen notes, through libelf), kernel
 * modules with their dependencies and firmware (through libkmod), and the layers' initrd/ files. */

#include "manifest.h"
#include "workdir.h"

/* The kernel version in the tree: the one directory below /usr/lib/modules that holds a vmlinuz.
 * Caller frees. */
int kernel_version(const struct tree *tree, char **ret, struct error *err) _must_check_;

/* Writes newc cpio archives, compressed with zstd, to fd (from its start). Owners are 0:0, times
 * are one and the same in every release, order is the tree's: a pure function of its inputs. */
int initrd_build(const struct workdir *w, const struct manifest *m, const struct tree *tree, int fd,
                 struct error *err) _must_check_;
