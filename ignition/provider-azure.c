/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Azure: user data from the instance metadata service (IMDS), else the custom data that the fabric
 * puts on a virtual CD. While a machine is young IMDS answers 404, 410 and 429 for a time, which
 * says nothing about user data. Azure Stack has only the CD. */

#include <fcntl.h>
#include <limits.h>
#include <linux/cdrom.h>
#include <sys/ioctl.h>

#include "fetch.h"
#include "process.h"
#include "provider.h"
#include "strv.h"

static const char user_data_url[] = "http://169.254.169.254/metadata/instance/compute/userData"
                                    "?api-version=2021-01-01&format=text";

/* An empty text: there is no user data. */
static int fetch_user_data(struct agent *a, struct config_text *ret, struct error *err)
{
        static const struct http_header header = { .name = "Metadata", .value = "true" };
        static const unsigned retry_codes[] = { 404, 410, 429, 0 };
        const struct fetch_request request = {
                .url = user_data_url,
                .headers = &header,
                .header_count = 1,
                .retry_codes = retry_codes,
                .direct = true,
        };
        int r = fetch_text(a, &request, &ret->text, &ret->size, err);

        if (r == FETCH_NOT_FOUND) /* to the last; that there is none is said otherwise */
                return error_prefix(err, -EREMOTEIO, "user data");
        if (r < 0)
                return r;
        ret->source = strdup("Azure's metadata service");
        return ret->source ? config_text_unbase64(ret, err) : error_oom(err);
}

/* ---- the CD ---- */

static bool has_disc(const char *device)
{
        _cleanup_close_ int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        return fd >= 0 && ioctl(fd, CDROM_DRIVE_STATUS, CDSL_CURRENT) == CDS_DISC_OK;
}

/* PROVIDER_NONE: this is the disc, and it has no custom data. *ret_done: it is the disc. */
static int read_disc(const char *device, struct config_text *ret, bool *ret_done, struct error *err)
{
        _cleanup_volume_ struct volume volume = VOLUME_NULL;
        _cleanup_free_ char *environment = NULL;
        size_t size;
        int r;

        r = volume_open(&volume, device, err);
        if (r >= 0)
                r = volume_read(&volume, "/ovf-env.xml", &environment, &size, err);
        if (r < 0)
                return r == PROVIDER_NONE ? error_set(err, -ENOENT, "has no ovf-env.xml") : r;
        *ret_done = true;
        r = volume_read(&volume, "/CustomData.bin", &ret->text, &ret->size, err);
        if (r >= 0)
                ret->source = string_format("CustomData.bin on %s", device);
        return r >= 0 && !ret->source ? error_oom(err) : r;
}

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

static int fetch_disc(struct agent *a, const char *const types[], struct config_text *ret,
                      struct error *err)
{
        struct patience patience = patience_for(a, "the CD with custom data", 0);
        _cleanup_strv_ char **checked = NULL;
        bool done = false;
        int r = 0;

        for (;;) {
                for (size_t i = 0; types[i]; i++) {
                        _cleanup_strv_ char **devices = NULL;

                        r = list_devices(types[i], &devices, err);
                        if (r >= 0)
                                r = try_devices(a, devices, &checked, ret, &done, err);
                        if (r < 0 || done)
                                return r;
                }
                r = patience_wait(a, &patience, err);
                if (r < 0)
                        return r;
        }
}

static int fetch_azure(struct agent *a, struct config_text *ret, struct error *err)
{
        static const char *const types[] = { "udf", NULL };
        int r = fetch_user_data(a, ret, err);

        if (r < 0 || ret->size > 0)
                return r;
        log_line(&a->log, LOG_INFO, "no user data; looking for custom data");
        config_text_done(ret);
        return fetch_disc(a, types, ret, err);
}

static int fetch_stack(struct agent *a, struct config_text *ret, struct error *err)
{
        static const char *const types[] = { "udf", "iso9660", NULL };

        return fetch_disc(a, types, ret, err);
}

const struct provider provider_azure = { .name = "azure", .fetch = fetch_azure };
const struct provider provider_azurestack = { .name = "azurestack", .fetch = fetch_stack };
