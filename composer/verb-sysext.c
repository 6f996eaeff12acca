/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway sysext EXT.json: the image of a system extension. */

#include <fcntl.h>

#include "cli.h"
#include "extension.h"
#include "io.h"

enum { KEY_KEYS = 0x200, KEY_THREADS, KEY_JSON };

struct arguments {
        const char *extension, *output, *keys;
        unsigned threads;
        bool json;
};

static const struct argp_option options[] = {
        { "output", 'o', "DIR", 0, "Where the image goes (default: out)", 0 },
        { "keys", KEY_KEYS, "DIR", 0, "Sign its root hash with the verity key in this directory",
          0 },
        { "threads", KEY_THREADS, "N", 0, "Threads to use (default: one per CPU)", 0 },
        { "json", KEY_JSON, NULL, 0, "Print results as JSON", 0 },
        {},
};

static unsigned parse_threads(const char *text, struct argp_state *state)
{
        char *end;
        unsigned long n = strtoul(text, &end, 10);

        if (*end || n == 0 || n > 64)
                argp_error(state, "--threads wants a number from 1 to 64, not '%s'", text);
        return (unsigned)n;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case 'o': a->output = argument; return 0;
        case KEY_KEYS: a->keys = argument; return 0;
        case KEY_THREADS: a->threads = parse_threads(argument, state); return 0;
        case KEY_JSON: a->json = true; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->extension, "description");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which description?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options,
                                  parse_option,
                                  "EXT.json",
                                  "Builds the image of a system extension, which hosts merge into "
                                  "/usr and /opt.",
                                  NULL,
                                  NULL,
                                  NULL };

static void print_json(const struct arguments *a, const struct extension_image *i)
{
        json_object *root = json_object_new_object();
        char hex[SHA256_HEX_SIZE];

        json_object_object_add(root, "output", json_object_new_string(a->output));
        json_object_object_add(root, "file", json_object_new_string(i->name));
        json_object_object_add(root, "size", json_object_new_uint64(i->size));
        json_object_object_add(root, "rootHash",
                               json_object_new_string(sha256_hex(&i->root_hash, hex)));
        json_object_object_add(root, "signed", json_object_new_boolean(a->keys != NULL));
        cli_print_json(root);
}

static void print_text(const struct arguments *a, const struct extension_image *i)
{
        char hex[SHA256_HEX_SIZE], size[16];

        printf("%s/%s  %s\n", a->output, i->name, cli_size(i->size, size));
        printf("root hash %s\n", sha256_hex(&i->root_hash, hex));
        if (!a->keys)
                fputs("warning: unsigned (no --keys): hosts whose own root hash is signed refuse "
                      "it\n",
                      stderr);
}

static int build(const struct arguments *a, struct error *err)
{
        _cleanup_extension_ struct extension e = {};
        _cleanup_extension_image_ struct extension_image image = {};
        _cleanup_signer_ struct signer signer = {};
        _cleanup_close_ int output_fd = -1;
        int r = extension_load(a->extension, &e, err);

        if (r >= 0 && a->keys)
                r = signer_open(a->keys, SIGNER_VERITY, &signer, err);
        if (r < 0)
                return r;
        output_fd = path_open_dir(AT_FDCWD, a->output, 0755, err);
        if (output_fd < 0)
                return output_fd;
        drafts_sweep(output_fd);
        r = extension_build(&e, a->keys ? &signer : NULL, a->threads, output_fd, &image, err);
        if (r < 0)
                return r;
        if (a->json)
                print_json(a, &image);
        else
                print_text(a, &image);
        return 0;
}

int verb_sysext(int argc, char *argv[], struct error *err)
{
        struct arguments a = { .output = "out" };

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        return build(&a, err);
}
