/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A configuration that the kernel command line names: by its URL, or as a file
 * (ignition.config.path=) on a device (ignition.config.device=), which is the label of a file
 * system or a path. The device is mounted read-only for a moment, somewhere nobody looks. */

#include "fetch.h"
#include "provider.h"
#include "strv.h"
#include "url.h"

/* Flatcar's and CoreOS's older names mean the same. */
static const char *const keys[] = { "ignition.config.url", "flatcar.config.url",
                                    "coreos.config.url" };

static int fetch_url(struct agent *a, const char *key, const char *url, struct config_text *ret,
                     struct error *err)
{
        const struct fetch_request request = { .url = url };
        char text[URL_TEXT_MAX];
        int r;

        r = fetch_text(a, &request, &ret->text, &ret->size, err);
        if (r >= 0)
                ret->source = strdup(startswith(url, "data:") ? "kernel command line"
                                                              : url_text(url, text));
        if (r >= 0 && !ret->source)
                r = error_oom(err);
        return error_prefix(err, r == FETCH_NOT_FOUND ? -ENOENT : r, "%s=", key);
}

/* ---- a file on a device ---- */

static int read_volume(const char *device, const char *path, struct config_text *ret,
                       struct error *err)
{
        _cleanup_volume_ struct volume volume = VOLUME_NULL;
        int r;

        r = volume_open(&volume, device, err);
        if (r >= 0)
                r = volume_read(&volume, path, &ret->text, &ret->size, err);
        return r == PROVIDER_NONE ? error_set(err, -ENOENT, "there is no %s", path) : r;
}

static int fetch_device(struct agent *a, const char *device, struct config_text *ret,
                        struct error *err)
{
        _cleanup_free_ char *path = kernel_argument("ignition.config.path"), *node = NULL;
        int r;

        if (string_is_empty(path))
                return error_set(err, -EINVAL,
                                 "ignition.config.device= wants ignition.config.path=");
        node = string_format("%s%s", *device == '/' ? "" : "/dev/disk/by-label/", device);
        ret->source = node ? string_format("%s of %s", path, node) : NULL;
        if (!ret->source)
                return error_oom(err);
        r = patience_path(a, node, 0, err);
        if (r >= 0)
                r = read_volume(node, path, ret, err);
        return error_prefix(err, r, "ignition.config.device=%s", device);
}

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        _cleanup_free_ char *device = kernel_argument("ignition.config.device");

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                _cleanup_free_ char *url = kernel_argument(keys[i]);

                if (!string_is_empty(url))
                        return fetch_url(a, keys[i], url, ret, err);
        }
        return string_is_empty(device) ? PROVIDER_NONE : fetch_device(a, device, ret, err);
}

const struct provider provider_cmdline = { .name = "cmdline", .fetch = fetch };
