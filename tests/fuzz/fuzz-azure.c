/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What Azure's services say to a virtual machine, each reader given the same bytes: goal state,
 * versions, OVF environment and any other XML, the instance's JSON, networkd's lease. Pools of
 * key-value pairs are fuzz-provider's. */

#include "azure.h"
#include "strv.h"
#include "xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int visit(const char *path, const char *text, void *userdata, struct error *err _unused_)
{
        if (!*path || strlen(path) >= XML_PATH_MAX || strlen(text) > *(size_t *)userdata)
                abort();
        return 0;
}

/* What was read can be said again, and is read as the same. */
static void fuzz_goal_state(const char *text, size_t size)
{
        _cleanup_(azure_goal_state_done) struct azure_goal_state goal = {};
        _cleanup_free_ char *report = NULL;
        struct error err;

        if (azure_goal_state_parse(text, size, &goal, &err) < 0)
                return;
        report = azure_health_xml(&goal, goal.instance);
        if (xml_for_elements(report, strlen(report), visit, &(size_t){ SIZE_MAX }, &err) < 0)
                abort();
}

static void fuzz_instance(const char *text, size_t size)
{
        struct azure_instance instance = {};
        struct error err;

        if (azure_instance_parse(text, size, &instance, &err) == 0)
                STRV_FOREACH (key, instance.keys)
                        if (strpbrk(*key, "\r\n") || strlen(*key) > AZURE_KEY_MAX)
                                abort();
        azure_instance_done(&instance);
}

static void fuzz_texts(const char *text, size_t size)
{
        _cleanup_(azure_environment_done) struct azure_environment environment = {};
        char address[AZURE_ADDRESS_SIZE];
        struct error err;
        bool classic;

        if (xml_for_elements(text, size, visit, &size, &err) == 0 &&
            azure_versions_parse(text, size, &classic, &err) < 0)
                abort();
        if (azure_environment_parse(text, size, &environment, &err) == 0 &&
            environment.custom_data && strlen(environment.custom_data) > size)
                abort();
        if (azure_lease_wireserver(text, address) && strlen(address) >= sizeof(address))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = malloc(size + 1), *tight = malloc(size ?: 1);
        struct error err;

        memcpy(text, data, size);
        text[size] = '\0';
        memcpy(tight, data, size); /* XML needs no NUL behind it */
        fuzz_texts(text, size);
        fuzz_goal_state(text, size);
        fuzz_instance(text, size);
        return xml_for_elements(tight, size, visit, &size, &err) > 0;
}
