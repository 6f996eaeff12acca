/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Boots a disk in QEMU: the command line as a pure function of what is wanted and what the
 * builder's machine offers. */

#include "error.h"
#include "run-azure.h"

enum {
        RUN_MEMORY_DEFAULT = 2048 /* MiB */,
        RUN_CPUS_DEFAULT = 2,
        RUN_VERSION_TEXT_MAX = 4096,
};

struct run_options {
        const char *disk, *format;       /* see run_disk_format() */
        const char *ignition, *platform; /* NULL: none, as detected */
        unsigned ssh_port;               /* on the builder's loopback; 0: none */
        unsigned memory_mib, cpus;
        bool snapshot;         /* writes are forgotten at the end */
        bool secure_boot;      /* firmware that checks signatures, once it has keys */
        const char *variables; /* file that keeps the firmware's variables; NULL: nothing does */
        const char *variables_from; /* file that they are then copied from; NULL: the firmware's */
        char *const *extra;         /* arguments for QEMU, behind ours; NULL: none */
};

struct run_machine {
        bool kvm;
        unsigned qemu_major;  /* version */
        const char *firmware; /* OVMF's code */
        int variables_fd;     /* OVMF's variables: open and inherited, changed as the guest likes */
        int log_fd;           /* inherited, gets a copy of what the console prints; 0: none */
        int tpm_fd;           /* inherited, a TPM's control channel (run-tpm.h); 0: no TPM */
        const struct azure_box *azure; /* what the machine meets on Azure; NULL: it is not there */
};

/* Whether it is the platform whose machine has a box beside it (run-azure.h). */
bool run_on_azure(const struct run_options *options);

/* The argv. -EINVAL for a platform that is no name. Caller frees. */
int run_command(const struct run_options *options, const struct run_machine *machine, char ***ret,
                struct error *err) _must_check_;

/* Finds the firmware, opens its variables (the file for them, made in setup mode when it is not
 * there, or a copy in memory, whose fd survives exec), tries /dev/kvm, asks QEMU for its version.
 */
int run_probe(const struct run_options *options, struct run_machine *ret,
              struct error *err) _must_check_;
/* Where variables are kept beside a disk; caller frees, NULL: out of memory. */
char *run_variables_path(const char *disk);
/* "qcow2", "vpc" (a fixed VHD) or "raw", by the file's first and last bytes; NULL: err says why. */
const char *run_disk_format(const char *path, struct error *err);
