/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Azure: user data from the instance metadata service, else the custom data that the fabric puts on
 * a virtual CD. Azure Stack has only the CD. When a stage fails, the platform is told, so that
 * whoever creates the machine learns the reason at once and not after twenty minutes that there is
 * none. */

#include <fcntl.h>

#include "azure.h"
#include "provider.h"

/* The platform gives a machine twenty minutes. */
enum { STAGE_MS = 600000, FAILURE_MS = 60000, FAILURE_ATTEMPTS = 5 };

static int open_azure(struct agent *a, struct azure *z, struct root *root, struct error *err)
{
        *z = (struct azure){ .log = &a->log, .root = root, .deadline = a->deadline };
        return root_open(root, "/", err);
}

/* An empty text: there is no user data. --fetch-timeout counts when somebody gave another one. */
static int fetch_user_data(struct agent *a, struct config_text *ret, struct error *err)
{
        uint64_t ms = a->options.fetch_timeout_ms == FETCH_TIMEOUT_DEFAULT_MS
                              ? AZURE_USER_DATA_MAX_MS
                              : a->options.fetch_timeout_ms;
        _cleanup_(root_done) struct root root = { .fd = -1 };
        _cleanup_(azure_done) struct azure z = {};
        int r;

        if (a->offline)
                return PROVIDER_NEEDS_NETWORK;
        r = open_azure(a, &z, &root, err);
        if (r >= 0)
                r = azure_imds_user_data(&z, ms, &ret->text, &ret->size, err);
        if (r < 0)
                return r;
        ret->source = strdup("Azure's metadata service");
        return ret->source ? config_text_unbase64(ret, err) : error_oom(err);
}

static int fetch_azure(struct agent *a, struct config_text *ret, struct error *err)
{
        int r = fetch_user_data(a, ret, err);

        if (r < 0 || ret->size > 0)
                return r;
        log_line(&a->log, LOG_INFO, "no user data; looking for custom data");
        config_text_done(ret);
        return error_prefix(err, azure_disc_fetch(a, ret, err), "there is no user data");
}

/* The state of the network is what the stage left: nothing is waited for that may not come. */
static void report_failure(struct agent *a, const char *stage, const char *reason)
{
        _cleanup_(root_done) struct root root = { .fd = -1 };
        _cleanup_(azure_done) struct azure z = {};
        char text[ERROR_MESSAGE_MAX + 64];
        struct error err = {};
        int r;

        if (a->offline)
                return;
        snprintf(text, sizeof(text), "ignition: stage %s: %s", stage, reason);
        r = open_azure(a, &z, &root, &err);
        z.deadline = 0; /* it may have passed */
        if (r >= 0 && azure_identity(root.fd, z.id, &err) < 0)
                log_line(&a->log, LOG_WARNING, "%s", err.message);
        if (r >= 0)
                r = azure_health_report(&z,
                                        &(struct azure_health){ .reason = text,
                                                                .total_ms = FAILURE_MS,
                                                                .attempts = FAILURE_ATTEMPTS },
                                        &err);
        if (r < 0)
                log_line(&a->log, LOG_WARNING, "the platform was not told: %s", err.message);
}

const struct provider provider_azure = {
        .name = "azure", .deadline_ms = STAGE_MS, .fetch = fetch_azure, .failed = report_failure
};
const struct provider provider_azurestack = { .name = "azurestack",
                                              .deadline_ms = STAGE_MS,
                                              .fetch = azure_disc_fetch };
