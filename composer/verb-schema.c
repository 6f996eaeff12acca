/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway schema manifest|layer|sysext: the tables of manifest.c, layer.c and extension.c as JSON
 * Schema. */

#include "cli.h"
#include "extension.h"
#include "manifest.h"

static const struct {
        const char *name;
        const struct record *record;
} schemas[] = {
        { "manifest", &manifest_record },
        { "layer", &layer_record },
        { "sysext", &extension_record },
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        const struct record **record = state->input;

        switch (key) {
        case ARGP_KEY_ARG:
                for (size_t i = 0; i < ARRAY_SIZE(schemas); i++)
                        if (streq(schemas[i].name, argument))
                                *record = schemas[i].record;
                if (!*record)
                        argp_error(state, "'manifest', 'layer' or 'sysext', not '%s'", argument);
                return 0;
        case ARGP_KEY_END:
                if (!*record)
                        *record = &manifest_record;
                return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { NULL,
                                  parse_option,
                                  "[manifest|layer|sysext]",
                                  "Prints the JSON Schema of a file format (default: manifest).",
                                  NULL,
                                  NULL,
                                  NULL };

int verb_schema(int argc, char *argv[], struct error *err)
{
        const struct record *record = NULL;
        json_object *schema;
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &record);
        r = record_schema(record, &schema, err);
        if (r < 0)
                return r;
        cli_print_json(schema);
        return 0;
}
