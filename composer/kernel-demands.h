/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What fragments, taken together, ask of a kernel. A fragment is a file of kernel-config/, in
 * Kconfig's own syntax:
 *
 *         # ROOT                                      (required; the comment is the reason)
 *         CONFIG_EXT4_FS=m                            at least a module: m or y
 *
 *         # systemd
 *         CONFIG_CGROUPS=y                            built in
 *
 *         # recommended: no code runs from memory that was data
 *         # CONFIG_LEGACY_VSYSCALL_EMULATE is not set  off, or not there
 *
 *         # recommended, amd64: as many bits as there are
 *         CONFIG_ARCH_MMAP_RND_BITS=32                equal
 *
 *         # modules: nobody else's code                only of a kernel that can load any
 *         CONFIG_MODULE_SIG=y
 *
 * A comment stands for the options below it, up to the next comment or empty line. Two fragments
 * may ask for m and y; anything else in which they differ is a conflict. */

#include "kconfig.h"

struct kernel_demand {
        const struct kconfig_option *option;
        const struct kconfig *fragment; /* where it is from */
        const char *reason;             /* without the words before the colon */
        const char *architecture;       /* "amd64", "arm64"; NULL: any */
        bool required;                  /* else recommended */
        bool modules;                   /* only of a kernel that has modules */
};

struct kernel_conflict { /* of one option */
        struct kernel_demand a, b;
};

struct kernel_demands {
        struct kconfig *fragments;
        size_t n_fragments;
        struct kernel_demand *items; /* sorted by the options' names */
        size_t count;
        struct kernel_conflict *conflicts;
        size_t n_conflicts;
};

/* Takes parsed fragments (and the array) over, also when it fails. */
int kernel_demands_make(struct kconfig *fragments, size_t count, struct kernel_demands *ret,
                        struct error *err) _must_check_;
/* Loads fragments: files. Conflicts are no failure here. */
int kernel_demands_load(char *const *paths, struct kernel_demands *ret,
                        struct error *err) _must_check_;
/* Forgets what is only recommended, and conflicts with it. */
int kernel_demands_keep_required(struct kernel_demands *d, struct error *err) _must_check_;
void kernel_demands_done(struct kernel_demands *d);
#define _cleanup_kernel_demands_ _cleanup_(kernel_demands_done)

/* One configuration of them in the form of a defconfig: sorted, nothing but options. With a base
 * (NULL: none), what nobody asks for is as there. -EINVAL, with both lines, for a conflict. Caller
 * frees. */
int kernel_demands_merge(const struct kernel_demands *d, const struct kconfig *base, char **ret,
                         struct error *err) _must_check_;

/* -EINVAL, with both lines of the first one, when there are conflicts. */
int kernel_demands_refuse_conflicts(const struct kernel_demands *d, struct error *err) _must_check_;
/* "a.config:12: CONFIG_X=y, but b.config:40: # CONFIG_X is not set". Caller frees; NULL: no memory.
 */
char *kernel_conflict_text(const struct kernel_conflict *c);
