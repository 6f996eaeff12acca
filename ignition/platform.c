/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which platform this is. */

#include <fcntl.h>

#include "provider.h"

static const struct provider *const providers[] = {
        &provider_applehv,         &provider_azure,  &provider_azurestack, &provider_file,
        &provider_hyperv,          &provider_metal,  &provider_qemu,       &provider_virtualbox,
        &provider_nvidiabluefield, &provider_vmware, &provider_zvm,
};

/* Names that images of Flatcar have on their kernel command lines. */
static const struct {
        const char *name, *platform;
} aliases[] = {
        { "ami", "aws" },
        { "cloudsigma", "metal" },
        { "ec2", "aws" },
        { "equinix", "packet" },
        { "gce", "gcp" },
        { "hyper-v", "hyperv" },
        { "interoute", "metal" },
        { "niftycloud", "metal" },
        { "pxe", "metal" },
        { "rackspace", "metal" },
        { "rackspace-onmetal", "metal" },
        { "vagrant", "metal" },
        { "xendom0", "metal" },
};

static const char *canonical(const char *platform)
{
        for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
                if (streq(aliases[i].name, platform))
                        return aliases[i].platform;
        return platform;
}

const struct provider *provider_find(const char *platform)
{
        const char *name = canonical(platform);

        for (size_t i = 0; i < ARRAY_SIZE(providers); i++)
                if (streq(providers[i]->name, name))
                        return providers[i];
        return metadata_find(name) ?: drive_find(name);
}

/* Virtual machines without DMI tables may have QEMU's device all the same. */
const char *platform_detect(void)
{
        static const char *const keys[] = { "ignition.platform.id", "flatcar.oem.id" };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                _cleanup_free_ char *value = kernel_argument(keys[i]);
                const struct provider *provider = value ? provider_find(value) : NULL;

                if (provider)
                        return provider->name;
        }
        return platform_from_dmi("/sys/class/dmi/id")
                       ?: access("/sys/firmware/qemu_fw_cfg", F_OK) == 0 ? provider_qemu.name
                                                                         : provider_metal.name;
}

int config_text_read(const char *const paths[], struct config_text *ret, struct error *err)
{
        for (size_t i = 0; paths[i]; i++) {
                int r;

                if (access(paths[i], F_OK) < 0)
                        continue;
                r = file_read(AT_FDCWD, paths[i], CONFIG_SIZE_MAX, &ret->text, &ret->size, err);
                if (r < 0)
                        return r;
                ret->source = strdup(paths[i]);
                return ret->source ? 0 : error_oom(err);
        }
        return PROVIDER_NONE;
}

void config_text_done(struct config_text *t)
{
        free(t->source);
        free(t->text);
        *t = (struct config_text){};
}
