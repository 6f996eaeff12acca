/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The instance metadata service, at 169.254.169.254 on every virtual machine. While a machine is
 * young it answers 404, 410 and 429 for a time, which says nothing about the machine. */

#include "azure.h"
#include "json.h"
#include "strv.h"

#define IMDS "http://169.254.169.254/metadata/instance"

enum { NAME_MAX_BYTES = 256 };

static const char *const headers[] = { "Metadata: true", "User-Agent: " AZURE_AGENT, NULL };

static const unsigned statuses[] = { 400, 404, 410, 429, 0 };
/* A question about one thing is not worded wrongly for a time. */
static const unsigned user_data_statuses[] = { 404, 410, 429, 0 };

static const struct azure_patience patience = { .statuses = statuses,
                                                .connect_ms = 30000,
                                                .attempt_ms = 60000,
                                                .pause_ms = 2000,
                                                .total_ms = AZURE_USER_DATA_MAX_MS };

/* ---- the instance ---- */

static const struct {
        const char *path[4];
        size_t offset;
} texts[] = {
        { { "compute", "name" }, offsetof(struct azure_instance, name) },
        { { "compute", "vmId" }, offsetof(struct azure_instance, vm_id) },
        { { "compute", "osProfile", "computerName" },
          offsetof(struct azure_instance, computer_name) },
        { { "compute", "osProfile", "adminUsername" }, offsetof(struct azure_instance, admin) },
        { { "extended", "compute", "ppsType" }, offsetof(struct azure_instance, pps_type) },
};

void azure_instance_done(struct azure_instance *i)
{
        for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
                free(*(char **)(void *)((char *)i + texts[k].offset));
        strv_free(i->keys);
        *i = (struct azure_instance){};
}

static json_object *member(json_object *object, const char *key)
{
        json_object *value = NULL;

        return json_object_is_type(object, json_type_object) &&
                               json_object_object_get_ex(object, key, &value)
                       ? value
                       : NULL;
}

/* "" for everything that is no text. */
static const char *text_of(json_object *value)
{
        return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static int take_text(json_object *root, size_t i, struct azure_instance *ret, struct error *err)
{
        char **to = (char **)(void *)((char *)ret + texts[i].offset);
        json_object *value = root;
        const char *text;

        for (size_t k = 0; texts[i].path[k]; k++)
                value = member(value, texts[i].path[k]);
        text = text_of(value);
        if (strlen(text) > NAME_MAX_BYTES)
                return error_set(err, -EINVAL, "its %s is longer than %d bytes", texts[i].path[1],
                                 NAME_MAX_BYTES);
        *to = strdup(text);
        return *to ? 0 : error_oom(err);
}

/* The portal leaves line ends in keys: a key is one line. */
static int take_key(const char *text, struct azure_instance *ret, struct error *err)
{
        _cleanup_free_ char *line = calloc(1, strlen(text) + 1);
        char *end = line;

        if (!line)
                return error_oom(err);
        if (strlen(text) > AZURE_KEY_MAX)
                return error_set(err, -EINVAL, "an SSH key is longer than %d bytes", AZURE_KEY_MAX);
        for (; *text; text++)
                if ((unsigned char)*text >= ' ')
                        *end++ = *text;
        while (end > line && end[-1] == ' ')
                *--end = '\0';
        return *line && strv_extend(&ret->keys, line) < 0 ? error_oom(err) : 0;
}

static int take_keys(json_object *keys, struct azure_instance *ret, struct error *err)
{
        size_t n = json_object_is_type(keys, json_type_array) ? json_object_array_length(keys) : 0;
        int r = 0;

        if (n > AZURE_KEYS_MAX)
                return error_set(err, -EINVAL, "it has more than %d SSH keys", AZURE_KEYS_MAX);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = take_key(text_of(member(json_object_array_get_idx(keys, i), "keyData")), ret,
                             err);
        return r;
}

int azure_instance_parse(const char *text, size_t size, struct azure_instance *ret,
                         struct error *err)
{
        _cleanup_json_ struct json_document d = {};
        json_object *compute;
        int r = 0;

        if (json_load("instance", text, size, false, &d, err) < 0)
                return err->code == -ENOMEM ? err->code : error_prefix(err, -EBADMSG, "answer");
        compute = member(d.root, "compute");
        if (!compute)
                return error_set(err, -EINVAL, "the answer has no \"compute\"");
        azure_instance_done(ret);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(texts); i++)
                r = take_text(d.root, i, ret, err);
        return r < 0 ? r : take_keys(member(compute, "publicKeys"), ret, err);
}

static int take_instance(const char *text, size_t size, void *userdata, struct error *err)
{
        return azure_instance_parse(text, size, userdata, err);
}

int azure_imds_instance(struct azure *z, struct error *err)
{
        struct azure_question question = { .what = "instance metadata",
                                           .url = IMDS "?api-version=2023-11-15&extended=true",
                                           .headers = headers,
                                           .patience = &patience,
                                           .take = take_instance,
                                           .userdata = &z->instance };

        return azure_ask(z, &question, err);
}

int azure_refuse_pps(const char *type, struct error *err)
{
        static const char *const types[] = { "Running", "Savable", "PreprovisionedOSDisk" };

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (streq(types[i], type))
                        return error_set(err, -EOPNOTSUPP,
                                         "this machine was made for a pool (pre-provisioning, type "
                                         "%s), which this system does not support: create it "
                                         "without",
                                         type);
        return 0;
}

/* ---- user data ---- */

struct user_data {
        char *text;
        size_t size;
};

static int take_user_data(const char *text, size_t size, void *userdata, struct error *err)
{
        struct user_data *data = userdata;

        data->text = malloc(size + 1);
        if (!data->text)
                return error_oom(err);
        memcpy(data->text, text, size + 1);
        data->size = size;
        return 0;
}

int azure_imds_user_data(struct azure *z, uint64_t total_ms, char **ret, size_t *ret_size,
                         struct error *err)
{
        const struct azure_patience own = { .statuses = user_data_statuses,
                                            .connect_ms = patience.connect_ms,
                                            .attempt_ms = patience.attempt_ms,
                                            .pause_ms = patience.pause_ms,
                                            .total_ms = total_ms };
        struct user_data data = {};
        struct azure_question question = { .what = "user data",
                                           .url = IMDS "/compute/userData?api-version=2021-01-01"
                                                       "&format=text",
                                           .headers = headers,
                                           .patience = &own,
                                           .take = take_user_data,
                                           .userdata = &data };
        int r = azure_ask(z, &question, err);

        if (r < 0)
                return r;
        *ret = data.text;
        *ret_size = data.size;
        return 0;
}
