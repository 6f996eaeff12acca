/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* VMware: the variables guestinfo.ignition.config.data and .encoding (Flatcar's: also .url), asked
 * for through the hypervisor's port, or by VMware's tool where the processor does not tell of
 * VMware. A virtual machine that was deployed from an OVF template has them as properties in its
 * environment, which is one more variable. */

#include "fetch.h"
#include "process.h"
#include "provider.h"
#include "strv.h"
#include "vmware.h"

#define PREFIX "guestinfo.ignition.config."

/* -ENODATA: not set. */
static int run_tool(const char *command, char **ret, struct error *err)
{
        const char *const argv[] = { "vmware-rpctool", command, NULL };
        const struct spawn_options options = { .output_limit = CONFIG_SIZE_MAX };
        size_t size;
        int r = spawn(argv, &options, ret, err);

        if (r == -ENOENT)
                return error_set(err, r, "this is not a virtual machine of VMware");
        if (r < 0)
                return r == -ECHILD && strstr(err->message, "No value found") ? -ENODATA : r;
        size = strlen(*ret);
        if (size > 0 && (*ret)[size - 1] == '\n')
                (*ret)[size - 1] = '\0';
        return 0;
}

static int command(const char *text, char **ret, struct error *err)
{
        const struct vmware_port *port = vmware_find();

        return port ? vmware_command(port, text, ret, err) : run_tool(text, ret, err);
}

/* *ret is NULL when the variable is not set, or empty. */
static int get(const char *name, char **ret, struct error *err)
{
        _cleanup_free_ char *value = NULL, *text = string_format("info-get %s", name);
        int r = text ? command(text, &value, err) : error_oom(err);

        if (r < 0 && r != -ENODATA)
                return error_prefix(err, r, "%s", name);
        *ret = r < 0 || !*value ? NULL : TAKE_PTR(value);
        return 0;
}

/* ---- encodings ---- */

static const struct encoding {
        const char *name;
        bool base64, gzip;
} encodings[] = {
        { "", false, false },        { "b64", true, false },     { "base64", true, false },
        { "gz", false, true },       { "gzip", false, true },    { "gz+b64", true, true },
        { "gz+base64", true, true }, { "gzip+b64", true, true }, { "gzip+base64", true, true },
};

static int decode(struct config_text *t, const char *how, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(encodings); i++) {
                int r = 0;

                if (!streq(encodings[i].name, how))
                        continue;
                if (encodings[i].base64)
                        r = config_text_unbase64(t, err);
                return r >= 0 && encodings[i].gzip ? config_text_gunzip(t, err) : r;
        }
        return error_set(err, -EINVAL, "unsupported encoding '%s'", how);
}

/* ---- variables, or properties ---- */

static const char *const names[] = { PREFIX "data", PREFIX "data.encoding", PREFIX "url" };
enum { DATA, ENCODING, URL, VALUES };

struct values {
        char *value[VALUES];
};

static void values_done(struct values *v)
{
        for (size_t i = 0; i < VALUES; i++)
                free(v->value[i]);
}

static int get_values(struct values *v, struct error *err)
{
        _cleanup_free_ char *environment = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < VALUES; i++)
                r = get(names[i], &v->value[i], err);
        if (r >= 0 && !v->value[DATA] && !v->value[URL])
                r = get("guestinfo.ovfEnv", &environment, err);
        if (r < 0 || !environment)
                return r;
        values_done(v);
        *v = (struct values){};
        for (size_t i = 0; r >= 0 && i < VALUES; i++)
                r = ovf_property(environment, names[i], &v->value[i], err);
        return r;
}

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        _cleanup_(values_done) struct values v = {};
        int r = get_values(&v, err);

        if (r < 0)
                return r;
        if (string_is_empty(v.value[DATA]) && !string_is_empty(v.value[URL])) {
                ret->source = TAKE_PTR(v.value[URL]);
                return fetch_text(a, &(struct fetch_request){ .url = ret->source }, &ret->text,
                                  &ret->size, err);
        }
        if (string_is_empty(v.value[DATA]))
                return PROVIDER_NONE;
        ret->text = TAKE_PTR(v.value[DATA]);
        ret->size = strlen(ret->text);
        ret->source = strdup(names[DATA]);
        return ret->source ? decode(ret, v.value[ENCODING] ?: "", err) : error_oom(err);
}

/* A variable cannot be removed, only be overwritten: by an empty configuration. */
static int overwrite(struct agent *a _unused_, struct error *err)
{
        static const char *const commands[] = { "info-set " PREFIX "data e30=",
                                                "info-set " PREFIX "data.encoding base64" };
        _cleanup_free_ char *data = NULL;
        int r = get(names[DATA], &data, err);

        for (size_t i = 0; data && r >= 0 && i < ARRAY_SIZE(commands); i++) {
                _cleanup_free_ char *answer = NULL;

                r = command(commands[i], &answer, err);
        }
        return r;
}

const struct provider provider_vmware = { .name = "vmware", .fetch = fetch, .remove = overwrite };
