/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where fragments are found: a name is kernel-config/NAME.config in a given directory or up to two
 * above it (a layer's: then beside the layers, or above these), else where the program is, else
 * installed. What has a slash or ends with ".config" is a path. */

#include "kernel-demands.h"
#include "manifest.h"

#define KERNEL_CONFIG_DIR "/usr/share/slipway/kernel-config"

/* Loads fragments by their names; directory NULL: the current one. */
int kernel_fragments_load(const char *directory, char *const *names, struct kernel_demands *ret,
                          struct error *err) _must_check_;

/* The files of all fragments that the image wants, each once: those that its layers name, and what
 * the manifest's "trust" stands on. Caller frees. */
int kernel_fragments_list(const struct manifest *m, char ***ret, struct error *err) _must_check_;
int kernel_fragments_of_image(const struct manifest *m, struct kernel_demands *ret,
                              struct error *err) _must_check_;
/* -ENOTSUP, naming layer, option and reason, when the configuration lacks a required option;
 * kernel_require() has the rest. */
int kernel_fragments_require(const struct manifest *m, const struct kconfig *config,
                             struct error *err) _must_check_;
