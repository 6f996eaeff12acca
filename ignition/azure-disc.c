/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The CD that the platform puts into the machine's drive while it is new: ovf-env.xml, and with
 * custom data also CustomData.bin. The drive may appear late, and without its driver not at all.
 * Azure makes UDF; elsewhere ISO 9660 is seen.
 *
 * The same custom data stands in ovf-env.xml, as base64; it is read where the file is missing. */

#include <fcntl.h>
#include <linux/cdrom.h>
#include <sys/ioctl.h>

#include "azure.h"
#include "bus.h"
#include "process.h"
#include "provider.h"
#include "strv.h"
#include "xml.h"

enum { PPS_MAX = 64, CUSTOM_DATA_MAX = 512 * 1024, DRIVER_MS = 3000 };
/* include/scsi/scsi_proto.h, TYPE_ROM */
#define SCSI_CD "5"

static const char drive[] = "/dev/sr0";

static bool has_disc(const char *device)
{
        _cleanup_close_ int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        return fd >= 0 && ioctl(fd, CDROM_DRIVE_STATUS, CDSL_CURRENT) == CDS_DISC_OK;
}

/* ---- ovf-env.xml ---- */

void azure_environment_done(struct azure_environment *e)
{
        free(e->custom_data);
        free(e->preprovisioned);
        free(e->pps_type);
        *e = (struct azure_environment){};
}

int azure_environment_parse(const char *text, size_t size, struct azure_environment *ret,
                            struct error *err)
{
#define SECTION(name) "Environment/" name
        static const struct xml_field fields[] = {
                { SECTION("ProvisioningSection/LinuxProvisioningConfigurationSet/CustomData"),
                  offsetof(struct azure_environment, custom_data), CUSTOM_DATA_MAX, 0 },
                { SECTION("PlatformSettingsSection/PlatformSettings/PreprovisionedVm"),
                  offsetof(struct azure_environment, preprovisioned), PPS_MAX, 0 },
                { SECTION("PlatformSettingsSection/PlatformSettings/PreprovisionedVMType"),
                  offsetof(struct azure_environment, pps_type), PPS_MAX, 0 },
        };

        azure_environment_done(ret);
        return xml_decode(text, size, fields, ARRAY_SIZE(fields), ret, err);
}

static int check_pps(const struct azure_environment *e, struct error *err)
{
        bool yes = e->preprovisioned && strcasecmp(e->preprovisioned, "true") == 0;

        return azure_refuse_pps(string_is_empty(e->pps_type) && yes ? "Running"
                                                                    : e->pps_type ?: "",
                                err);
}

/* ---- reading the disc ---- */

static int take_element(const char *device, struct azure_environment *e, struct config_text *ret,
                        struct error *err)
{
        if (string_is_empty(e->custom_data))
                return PROVIDER_NONE;
        ret->source = string_format("ovf-env.xml on %s", device);
        if (!ret->source)
                return error_oom(err);
        ret->text = TAKE_PTR(e->custom_data);
        ret->size = strlen(ret->text);
        return config_text_unbase64(ret, err);
}

/* PROVIDER_NONE: this is the disc, and it has no custom data. *ret_done: it is the disc. */
static int read_disc(const char *device, struct config_text *ret, bool *ret_done, struct error *err)
{
        _cleanup_(azure_environment_done) struct azure_environment environment = {};
        _cleanup_volume_ struct volume volume = VOLUME_NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = volume_open(&volume, device, err);
        if (r >= 0)
                r = volume_read(&volume, "/ovf-env.xml", &text, &size, err);
        if (r < 0)
                return r == PROVIDER_NONE ? error_set(err, -ENOENT, "has no ovf-env.xml") : r;
        *ret_done = true;
        r = azure_environment_parse(text, size, &environment, err);
        if (r < 0)
                return error_prefix(err, r, "ovf-env.xml on %s", device);
        r = check_pps(&environment, err);
        if (r >= 0)
                r = volume_read(&volume, "/CustomData.bin", &ret->text, &ret->size, err);
        if (r == PROVIDER_NONE)
                return take_element(device, &environment, ret, err);
        if (r >= 0)
                ret->source = string_format("CustomData.bin on %s", device);
        return r >= 0 && !ret->source ? error_oom(err) : r;
}

/* ---- finding it ---- */

/* Devices with the file system, as blkid lists them; none is not a failure. */
static int list_devices(const char *type, char ***ret, struct error *err)
{
        _cleanup_free_ char *token = string_format("TYPE=%s", type), *output = NULL;
        const char *const argv[] = {
                "blkid", "-c", "/dev/null", "-o", "device", "-t", token, NULL
        };
        int r;

        if (!token)
                return error_oom(err);
        r = spawn(argv, NULL, &output, err);
        if (r < 0)
                return r == -ECHILD ? 0 : r;
        return strv_split(output, "\n", ret) < 0 ? error_oom(err) : 0;
}

static int try_devices(struct agent *a, char **devices, char ***checked, struct config_text *ret,
                       bool *ret_done, struct error *err)
{
        STRV_FOREACH (device, devices) {
                int r;

                if (strv_contains(*checked, *device) || !has_disc(*device))
                        continue;
                r = read_disc(*device, ret, ret_done, err);
                if (*ret_done)
                        return r;
                log_line(&a->log, LOG_INFO, "%s: %s", *device, err->message);
                if (strv_extend(checked, *device) < 0)
                        return error_oom(err);
        }
        return 0;
}

/* A drive is a SCSI device, with or without its driver. The initrd's udev heard of it when there
 * was no driver to load yet. It is asked again, which costs us nothing, and given some time; where
 * it does not do it, we do. */
static void load_driver(struct agent *a)
{
        static const char *const modprobe[] = { "modprobe", "-q", "sr_mod", NULL };
        struct error err = {};

        if (access(drive, F_OK) == 0)
                return;
        if (bus_announce("/sys/bus/scsi/devices/*", "type", SCSI_CD) > 0 &&
            patience_path(a, drive, DRIVER_MS, &err) >= 0)
                return;
        if (spawn(modprobe, NULL, NULL, &err) < 0)
                log_line(&a->log, LOG_INFO, "loading sr_mod: %s", err.message);
}

/* Of whatever blkid calls a CD's file system. */
static int ask_blkid(struct agent *a, char ***checked, struct config_text *ret, bool *ret_done,
                     struct error *err)
{
        static const char *const types[] = { "udf", "iso9660" };
        int r = 0;

        for (size_t i = 0; r >= 0 && !*ret_done && i < ARRAY_SIZE(types); i++) {
                _cleanup_strv_ char **devices = NULL;

                r = list_devices(types[i], &devices, err);
                if (r >= 0)
                        r = try_devices(a, devices, checked, ret, ret_done, err);
        }
        return r;
}

/* The drive where Azure has it comes first: to ask blkid takes an emulated machine two tenths of a
 * second. */
int azure_disc_fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        struct patience patience = patience_for(a, "the CD with custom data", 0);
        _cleanup_strv_ char **checked = NULL;
        char *first[] = { (char *)drive, NULL };
        bool done = false;
        int r;

        load_driver(a);
        for (;;) {
                r = try_devices(a, first, &checked, ret, &done, err);
                if (r >= 0 && !done)
                        r = ask_blkid(a, &checked, ret, &done, err);
                if (r >= 0 && !done)
                        r = patience_wait(a, &patience, err);
                if (r < 0 || done)
                        return r;
        }
}

/* ---- afterwards ---- */

void azure_disc_eject(struct azure *z)
{
        _cleanup_close_ int fd = -1;

        if (!has_disc(drive))
                return;
        fd = open(drive, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, CDROMEJECT) < 0)
                log_line(z->log, LOG_INFO, "%s: not ejected: %m", drive);
}
