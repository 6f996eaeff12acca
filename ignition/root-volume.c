/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See root-volume.h. systemd's programs do the work, as their formats are what later boots, and
 * people with systemd-cryptenroll, find on the disk:
 *
 *   systemd-repart      makes the partition and the volume with a random key, which the TPM seals
 *                       for the policy "PCR 11 has a value that the key in .pcrpkey has signed".
 *                       No PCR's present value is in it, so it opens under the next release, and
 *                       under the one before, which the same key has signed.
 *   systemd-cryptsetup  opens it with the signature in .pcrsig of the UKI that runs.
 *
 * systemd-stub leaves key and signature in /.extra. With Secure Boot on, PCR 7 (that it is on, and
 * who may sign) is bound as well: without it whoever starts a program of his own before us could
 * measure what he likes. A change of the firmware's keys then loses ROOT, as it should.
 *
 * The TPM's chip is reached through the kernel's resource manager; that it measured the boot shows
 * in a variable of systemd-stub. */

#include <fcntl.h>

#include "agent.h"
#include "io.h"
#include "process.h"
#include "root-volume.h"
#include "strv.h"

/* udev makes it for the partition. The kernel learns a partition's name only when it reads the
 * table itself, so in the boot that makes ROOT sysfs does not say which it is. */
#define NEW_ROOT "/dev/slipway/root-encrypted"

#define EFI_VARIABLES "/sys/firmware/efi/efivars/"

/* Attributes, then the value. */
enum { EFI_VARIABLE_MAX = 64, EFI_VALUE = 4 };

static const char tpm_device[] = "/dev/tpmrm0";
static const char stub_variable[] =
        EFI_VARIABLES "StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
static const char secure_boot_variable[] =
        EFI_VARIABLES "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

static const char luks_magic[] = { 'L', 'U', 'K', 'S', '\xba', '\xbe', 0, 2 };

static const char argument_name[] = "slipway.root";

/* ---- the machine ---- */

static bool exists(const char *root, const char *path)
{
        _cleanup_free_ char *whole = string_format("%s%s", root, path);

        return whole && access(whole, F_OK) == 0;
}

static bool variable_is_1(const char *root, const char *path)
{
        _cleanup_free_ char *whole = string_format("%s%s", root, path), *value = NULL;
        struct error ignored;
        size_t size;

        return whole &&
               file_read(AT_FDCWD, whole, EFI_VARIABLE_MAX, &value, &size, &ignored) >= 0 &&
               size == EFI_VALUE + 1 && value[EFI_VALUE] == 1;
}

void root_machine_probe(const char *root, struct root_machine *ret)
{
        ret->measured = exists(root, tpm_device) && exists(root, stub_variable);
        ret->secure_boot = variable_is_1(root, secure_boot_variable);
}

/* ---- what is wanted ---- */

static const struct {
        const char *argument;
        bool encrypt, needs_tpm;
} wishes[] = {
        { "plain", false, false },
        { "tpm2", true, true },
        { "tpm2-if-present", true, false },
};

int root_volume_wanted(const char *argument, const struct root_machine *machine, bool *ret,
                       struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
                if (!streq(argument ?: "plain", wishes[i].argument))
                        continue;
                if (wishes[i].needs_tpm && !machine->measured)
                        return error_set(err, -ENODEV,
                                         "This image encrypts ROOT with a key in the TPM, and this "
                                         "machine has no TPM 2.0 that measured the boot");
                *ret = wishes[i].encrypt && machine->measured;
                return 0;
        }
        return error_set(err, -EINVAL, "Kernel argument %s=%s: not known", argument_name, argument);
}

int root_volume_check_plain(const char *argument, struct error *err)
{
        if (argument && streq(argument, "tpm2"))
                return error_set(err, -EKEYREJECTED,
                                 "ROOT is not encrypted, and this image takes no other");
        return 0;
}

int root_volume_possible(struct error *err)
{
        _cleanup_free_ char *argument = kernel_argument(argument_name);
        struct root_machine machine;
        bool ignored;

        root_machine_probe("", &machine);
        return root_volume_wanted(argument, &machine, &ignored, err);
}

/* ---- making ---- */

void root_volume_command(bool encrypted, const struct root_machine *machine,
                         const char *argv[static ROOT_COMMAND_MAX])
{
        const char *const plain[] = { "systemd-repart", "--dry-run=no" };
        const char *const sealed[] = {
                "--definitions=/sysusr/usr/lib/slipway/repart.encrypted.d",
                "--tpm2-device=auto",
                "--tpm2-public-key=/.extra/tpm2-pcr-public-key.pem",
                "--tpm2-public-key-pcrs=11",
                machine->secure_boot ? "--tpm2-pcrs=7" : "--tpm2-pcrs=",
        };
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                argv[n++] = plain[i];
        for (size_t i = 0; encrypted && i < ARRAY_SIZE(sealed); i++)
                argv[n++] = sealed[i];
        argv[n] = NULL;
}

/* ---- opening ---- */

bool root_volume_is(int fd)
{
        char found[sizeof(luks_magic)];
        struct error ignored;
        size_t n;

        return io_pread(fd, found, sizeof(found), 0, &n, &ignored) >= 0 && n == sizeof(found) &&
               memcmp(found, luks_magic, sizeof(found)) == 0;
}

static int open_volume(const char *device, struct error *err)
{
        int r = spawn((const char *const[]){ "systemd-cryptsetup", "attach",
                                             strrchr(ROOT_VOLUME, '/') + 1, device, "-",
                                             "luks,discard,headless=yes,tpm2-device=auto,"
                                             "tpm2-signature=/.extra/tpm2-pcr-signature.json",
                                             NULL },
                      &spawn_says, NULL, err);

        if (r == -ENOENT)
                return error_set(err, r, "ROOT is encrypted, and this image cannot open it");
        return error_prefix(
                err, r,
                "ROOT is encrypted, and the TPM does not open it: not the machine it was "
                "made on, or not a release signed by the same key");
}

int root_volume_open(const char *name, struct error *err)
{
        _cleanup_free_ char *device = string_format("/dev/%s", name);
        _cleanup_free_ char *argument = kernel_argument(argument_name);
        _cleanup_close_ int fd = -1;
        struct root_machine machine;

        if (!device)
                return error_oom(err);
        fd = open(device, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", device);
        if (!root_volume_is(fd))
                return root_volume_check_plain(argument, err);
        close(TAKE_FD(fd));
        if (access(ROOT_VOLUME, F_OK) == 0)
                return 0;
        root_machine_probe("", &machine);
        if (!machine.measured)
                return error_set(
                        err, -ENODEV,
                        "ROOT is encrypted, and there is no TPM 2.0 that measured the boot");
        return open_volume(device, err);
}

/* ---- making and opening ---- */

static int open_new(struct error *err)
{
        int r;

        if (access(ROOT_VOLUME, F_OK) == 0)
                return 0;
        r = spawn((const char *const[]){ "udevadm", "wait", "--timeout=60", NEW_ROOT, NULL },
                  &spawn_says, NULL, err);
        if (r < 0)
                return error_set(err, r,
                                 "No encrypted ROOT was made: is there one of the configuration?");
        return open_volume(NEW_ROOT, err);
}

int root_volume_make(struct error *err)
{
        _cleanup_free_ char *argument = kernel_argument(argument_name);
        const char *argv[ROOT_COMMAND_MAX];
        struct root_machine machine;
        bool encrypted;
        int r;

        root_machine_probe("", &machine);
        r = root_volume_wanted(argument, &machine, &encrypted, err);
        if (r < 0)
                return r;
        root_volume_command(encrypted, &machine, argv);
        r = spawn(argv, &spawn_says, NULL, err);
        return r < 0 || !encrypted ? r : open_new(err);
}
