/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See run.h. The machine is a small one that starts fast: q35 without default devices, virtio disk,
 * network and entropy, no video; the serial console and QEMU's monitor share stdio (ctrl-a x ends
 * it, ctrl-a h helps). The configuration goes where Ignition looks for it on QEMU, fw_cfg
 * opt/com.coreos/config. A platform is named on the kernel's command line: systemd-stub takes more
 * of it from SMBIOS type 11 strings. On Azure it is recognised as there, by what SMBIOS says of the
 * machine, and its network goes through a box that is Azure (run-azure.h). */

#include <cpuid.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "io.h"
#include "process.h"
#include "run.h"
#include "strv.h"
#include "vhd.h"

#define QEMU "qemu-system-x86_64"

/* Of a processor that says it is quick with strings, a kernel clears pages by bytes. TCG takes them
 * one by one before QEMU 10, which are seconds of a boot. And QEMU 7's faults in cmpxchg16b, which
 * kernels from 6.11 on use. */
#define TCG_PROCESSOR "max,erms=off,fsrm=off"

enum { VARIABLES_SIZE_MAX = 16 * 1024 * 1024, PLATFORM_NAME_MAX = 32 };

/* Feature bits of CPUID's leaves 1 (Intel SDM) and 80000001h (AMD APM). */
enum { CPUID_1_ECX_VMX = 1 << 5, CPUID_80000001_ECX_SVM = 1 << 2 };

/* Where distributions put OVMF. Secure Boot is a build of its own, which keeps its variables where
 * only System Management Mode can write; those beside it have no keys yet: setup mode. */
static const struct {
        bool secure;
        const char *code, *variables;
} firmware_files[] = {
        { false, "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
        { false, "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
        { false, "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
        { false, "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
        { false, "/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin" },
        { true, "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
        { true, "/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
        { true, "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
        { true, "/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd",
          "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
        { true, "/usr/share/qemu/ovmf-x86_64-smm-code.bin",
          "/usr/share/qemu/ovmf-x86_64-smm-vars.bin" },
};

static const char *const fixed[] = {
        QEMU,       "-name", "slipway", "-no-user-config", "-nodefaults",
        "-display", "none",  "-device", "virtio-rng-pci",
};
static const char console[] = "stdio,id=console,mux=on,signal=off";

/* An argv being made; remembers that memory ran out. */
struct command {
        char **argv;
        bool failed;
};

static void add(struct command *c, const char *argument)
{
        c->failed |= strv_extend(&c->argv, argument) < 0;
}

/* Takes value over; NULL: memory ran out when it was made. */
static void add_option(struct command *c, const char *option, char *value)
{
        add(c, option);
        if (value)
                add(c, value);
        c->failed |= !value;
        free(value);
}

/* QEMU separates by commas; one inside a value is written twice. */
static char *quote(const char *value)
{
        _cleanup_buffer_ struct buffer b = {};
        char *quoted;

        for (; *value; value++)
                buffer_append(&b, *value == ',' ? ",," : value, *value == ',' ? 2 : 1);
        return buffer_take(&b, &quoted, NULL) < 0 ? NULL : quoted;
}

static void add_file(struct command *c, const char *option, const char *before, const char *path)
{
        _cleanup_free_ char *quoted = quote(path);

        c->failed |= !quoted;
        if (quoted)
                add_option(c, option, string_format("%s%s", before, quoted));
}

static void add_console(struct command *c, const struct run_machine *m)
{
        add_option(c, "-chardev",
                   m->log_fd > 0 ? string_format("%s,logfile=/proc/self/fd/%d", console, m->log_fd)
                                 : strdup(console));
        add_option(c, "-serial", strdup("chardev:console"));
        add_option(c, "-mon", strdup("chardev=console,mode=readline"));
}

static void add_processor(struct command *c, const struct run_options *o,
                          const struct run_machine *m)
{
        add_option(c, "-accel", strdup(m->kvm ? "kvm" : "tcg,thread=multi"));
        add_option(c, "-cpu",
                   strdup(m->kvm              ? "host"
                          : m->qemu_major < 8 ? TCG_PROCESSOR ",cx16=off"
                                              : TCG_PROCESSOR));
        add_option(c, "-smp", string_format("%u", o->cpus));
        add_option(c, "-m", string_format("%u", o->memory_mib));
}

/* What keeps the guest's system from the firmware's variables, behind its back. */
static void add_machine(struct command *c, const struct run_options *o)
{
        add_option(c, "-machine", strdup(o->secure_boot ? "q35,smm=on" : "q35"));
        if (o->secure_boot) {
                add_option(c, "-global", strdup("driver=cfi.pflash01,property=secure,value=on"));
                add_option(c, "-global", strdup("ICH9-LPC.disable_s3=1"));
        }
}

static void add_firmware(struct command *c, const struct run_machine *m)
{
        add_file(c, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=", m->firmware);
        add_option(c, "-drive",
                   string_format("if=pflash,unit=1,format=raw,file=/proc/self/fd/%d",
                                 m->variables_fd));
}

static void add_disk(struct command *c, const struct run_options *o)
{
        _cleanup_free_ char *before = string_format(
                "if=none,id=disk,format=%s,cache=unsafe,discard=unmap%s,file=", o->format,
                o->snapshot ? ",snapshot=on" : "");

        c->failed |= !before;
        if (before)
                add_file(c, "-drive", before, o->disk);
        add(c, "-device");
        add(c, "virtio-blk-pci,drive=disk,bootindex=1");
}

/* The interface's frames go to the box, which has the user network at its other side. */
static void add_azure_network(struct command *c, const struct azure_box *box)
{
        add_option(c, "-netdev", string_format("socket,id=net,fd=%d", box->nic_fd));
        add_option(c, "-netdev", string_format("socket,id=far,fd=%d", box->network_fd));
        add_option(c, "-netdev", strdup("hubport,id=hub-user,hubid=0,netdev=user"));
        add_option(c, "-netdev", strdup("hubport,id=hub-far,hubid=0,netdev=far"));
}

static void add_network(struct command *c, const struct run_options *o, const struct run_machine *m)
{
        const char *id = m->azure ? "user,id=user,ipv6=off" : "user,id=net";

        add_option(c, "-netdev",
                   o->ssh_port > 0
                           ? string_format("%s,hostfwd=tcp:127.0.0.1:%u-:22", id, o->ssh_port)
                           : strdup(id));
        if (m->azure)
                add_azure_network(c, m->azure);
        add_option(
                c, "-device",
                m->azure ? string_format("virtio-net-pci,netdev=net,romfile=,mac=%s", m->azure->mac)
                         : strdup("virtio-net-pci,netdev=net,romfile="));
}

static void add_tpm(struct command *c, const struct run_machine *m)
{
        if (m->tpm_fd == 0)
                return;
        add_option(c, "-chardev", string_format("socket,id=tpm,fd=%d", m->tpm_fd));
        add_option(c, "-tpmdev", strdup("emulator,id=tpm,chardev=tpm"));
        add_option(c, "-device", strdup("tpm-crb,tpmdev=tpm"));
}

bool run_on_azure(const struct run_options *options)
{
        return options->platform && streq(options->platform, "azure");
}

/* What firmware says of a machine on Azure, and the CD-ROM in it. */
static void add_azure(struct command *c, const struct azure_box *box)
{
        add_option(c, "-smbios",
                   strdup("type=3,manufacturer=Microsoft Corporation,asset="
                          "7783-7084-3265-9085-8269-3286-77"));
        if (!box) /* only shown: the rest is the box's */
                return;
        add_option(c, "-smbios",
                   string_format("type=1,manufacturer=Microsoft Corporation,product=Virtual "
                                 "Machine,version=Hyper-V UEFI Release v4.1,uuid=%s",
                                 box->vm_id));
        if (!box->has_disc)
                return;
        add_option(c, "-drive",
                   string_format("if=none,id=disc,format=raw,media=cdrom,readonly=on,"
                                 "file=/proc/self/fd/%d",
                                 box->disc_fd));
        add_option(c, "-device", strdup("virtio-scsi-pci,id=scsi"));
        add_option(c, "-device", strdup("scsi-cd,bus=scsi.0,drive=disc"));
}

static int add_provisioning(struct command *c, const struct run_options *o,
                            const struct run_machine *m, struct error *err)
{
        if (run_on_azure(o)) {
                add_azure(c, m->azure);
                return 0;
        }
        if (o->ignition)
                add_file(c, "-fw_cfg", "name=opt/com.coreos/config,file=", o->ignition);
        if (!o->platform)
                return 0;
        if (strlen(o->platform) > PLATFORM_NAME_MAX || !*o->platform ||
            o->platform[strspn(o->platform, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
                return error_set(err, -EINVAL, "\"%s\" is no name of a platform", o->platform);
        add_option(
                c, "-smbios",
                string_format(
                        "type=11,value=io.systemd.stub.kernel-cmdline-extra=ignition.platform.id=%s",
                        o->platform));
        return 0;
}

int run_command(const struct run_options *options, const struct run_machine *machine, char ***ret,
                struct error *err)
{
        struct command c = {};
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
                add(&c, fixed[i]);
        add_machine(&c, options);
        add_console(&c, machine);
        add_processor(&c, options, machine);
        add_firmware(&c, machine);
        add_disk(&c, options);
        add_network(&c, options, machine);
        add_tpm(&c, machine);
        r = add_provisioning(&c, options, machine, err);
        for (char *const *extra = options->extra; extra && *extra; extra++)
                add(&c, *extra);
        if (r >= 0 && c.failed)
                r = error_oom(err);
        if (r < 0) {
                strv_free(c.argv);
                return r;
        }
        *ret = c.argv;
        return 0;
}

/* A copy of the variables that nobody else sees; inherited by exec, gone with the process. */
static int open_variables(const char *path, int *ret, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        _cleanup_close_ int fd = -1;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, VARIABLES_SIZE_MAX, &data, &size, err);
        if (r < 0)
                return r;
        fd = memfd_create("efi-variables", 0);
        if (fd < 0)
                return error_errno(err, "EFI variables");
        r = io_pwrite(fd, data, size, 0, err);
        if (r < 0)
                return r;
        *ret = TAKE_FD(fd);
        return 0;
}

/* Those that outlive the machine. QEMU sees to it that only one uses them at a time. */
static int open_kept_variables(const char *template, const char *path, int *ret, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = 0;

        if (access(path, F_OK) < 0) {
                r = file_read(AT_FDCWD, template, VARIABLES_SIZE_MAX, &data, &size, err);
                if (r >= 0)
                        r = file_write(AT_FDCWD, path, data, size, 0600, err);
        }
        if (r < 0)
                return r;
        *ret = open(path, O_RDWR); /* inherited */
        return *ret < 0 ? error_errno(err, "%s", path) : 0;
}

static int find_firmware(const struct run_options *o, struct run_machine *m, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(firmware_files); i++) {
                if (firmware_files[i].secure != o->secure_boot ||
                    access(firmware_files[i].code, R_OK) < 0)
                        continue;
                m->firmware = firmware_files[i].code;
                return o->variables
                               ? open_kept_variables(firmware_files[i].variables, o->variables,
                                                     &m->variables_fd, err)
                               : open_variables(o->variables_from ?: firmware_files[i].variables,
                                                &m->variables_fd, err);
        }
        return error_set(err, -ENOENT,
                         "No UEFI firmware %sfor virtual machines found: package ovmf (or "
                         "edk2-ovmf)",
                         o->secure_boot ? "with Secure Boot " : "");
}

/* "QEMU emulator version 7.2.22 (…)"; an unknown answer counts as new. */
static int qemu_version(unsigned *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        const char *number;
        int r;

        r = spawn((const char *const[]){ QEMU, "--version", NULL },
                  &(struct spawn_options){ .output_limit = RUN_VERSION_TEXT_MAX }, &text, err);
        if (r < 0)
                return r;
        number = strstr(text, "version ");
        *ret = number ? (unsigned)strtoul(number + strlen("version "), NULL, 10) : UINT32_MAX;
        return 0;
}

/* Intel's VMX or AMD's SVM. A /dev/kvm without either is paravirtual (PVM): it runs kernels made
 * for it, and stops at the first instructions of any firmware. */
static bool processor_virtualizes(void)
{
        unsigned a, b, c, d;

        if (__get_cpuid(1, &a, &b, &c, &d) && (c & CPUID_1_ECX_VMX))
                return true;
        return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & CPUID_80000001_ECX_SVM);
}

char *run_variables_path(const char *disk)
{
        return string_format("%s.efivars", disk);
}

int run_probe(const struct run_options *options, struct run_machine *ret, struct error *err)
{
        _cleanup_close_ int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        struct run_machine m = { .kvm = kvm >= 0 && processor_virtualizes(), .variables_fd = -1 };
        int r;

        r = qemu_version(&m.qemu_major, err);
        if (r >= 0)
                r = find_firmware(options, &m, err);
        if (r < 0)
                return r;
        *ret = m;
        return 0;
}

const char *run_disk_format(const char *path, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct vhd_footer footer;
        char magic[4] = {};
        bool vhd = false;

        if (fd < 0) {
                error_errno(err, "%s", path);
                return NULL;
        }
        if (io_read(fd, magic, sizeof(magic), NULL, err) < 0)
                return NULL;
        if (memcmp(magic, "QFI\xfb", sizeof(magic)) == 0)
                return "qcow2";
        if (vhd_footer_read(fd, &vhd, &footer, err) < 0) {
                error_prefix(err, err->code, "%s", path);
                return NULL;
        }
        return vhd ? "vpc" : "raw";
}
