/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The third step of the disks stage: encrypted volumes. A volume is re-used when it need not be
 * wiped, its key is given, no clevis is asked for, and label, UUID and key fit. Keys pass to the
 * files stage through the state. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "block.h"
#include "base64.h"
#include "disks.h"
#include "fetch.h"
#include "process.h"
#include "resource.h"
#include "strv.h"

enum { KEY_BYTES = 4096 };

struct job {
        struct agent *agent;
        const struct luks *luks;
        char node[BLOCK_NODE_MAX];
        char *key;
        size_t key_size;
        bool generated;
};

static struct luks_key job_key(const struct job *j)
{
        return (struct luks_key){ j->key, j->key_size };
}

static void job_done(struct job *j)
{
        if (j->key)
                explicit_bzero(j->key, j->key_size);
        free(j->key);
}

static bool has_clevis(const struct luks *l)
{
        return l->clevis.tang.count > 0 || config_is_true(&l->clevis.tpm2) ||
               !string_is_empty(l->clevis.custom.pin);
}

/* ---- the key ---- */

static int generate_key(struct job *j, struct error *err)
{
        uint8_t bytes[KEY_BYTES];
        size_t have = 0;

        j->generated = true;
        j->key_size = 2 * KEY_BYTES;
        j->key = malloc(j->key_size + 1);
        if (!j->key)
                return error_oom(err);
        while (have < sizeof(bytes)) {
                ssize_t n = getrandom(bytes + have, sizeof(bytes) - have, 0);

                if (n < 0 && errno != EINTR)
                        return error_errno(err, "random bytes");
                have += n > 0 ? (size_t)n : 0;
        }
        for (size_t i = 0; i < sizeof(bytes); i++)
                sprintf(j->key + 2 * i, "%02x", bytes[i]);
        explicit_bzero(bytes, sizeof(bytes));
        return 0;
}

static int load_key(struct job *j, struct error *err)
{
        if (string_is_empty(j->luks->key_file.source))
                return generate_key(j, err);
        return agent_setting(
                j->agent, j->luks->key_file.at, NULL,
                resource_text(j->agent, &j->luks->key_file, &j->key, &j->key_size, err));
}

/* For /etc/luks; a key that clevis replaced is not kept. */
static int keep_key(struct job *j, struct error *err)
{
        _cleanup_free_ char *base64 = NULL, *url = NULL;

        if (has_clevis(j->luks))
                return 0;
        base64 = base64_encode(j->key, j->key_size);
        url = base64 ? string_format("data:;base64,%s", base64) : NULL;
        if (!url || state_set_key(&j->agent->state, "luksPersistKeyFiles", j->luks->name, url) < 0)
                return error_oom(err);
        return 0;
}

/* ---- what is there ---- */

int luks_decide(const struct luks *luks, enum luks_found found, const struct probe *other,
                enum verdict *ret, struct error *err)
{
        static const enum verdict verdicts[] = {
                [LUKS_NONE] = VERDICT_MAKE,
                [LUKS_UNFINISHED] = VERDICT_REMAKE,
                [LUKS_VOLUME] = VERDICT_KEEP,
        };
        bool generated = string_is_empty(luks->key_file.source);

        if (found == LUKS_OLD)
                return error_set(err, -EEXIST, "%s is LUKS version 1, which is not re-used",
                                 luks->device);
        if (found == LUKS_VOLUME && (has_clevis(luks) || generated))
                return error_set(err, -EEXIST,
                                 "%s has a LUKS volume, which can be re-used only with a keyFile "
                                 "and without clevis, and wipeVolume is not set",
                                 luks->device);
        if (found == LUKS_NONE && *other->type)
                return error_set(err, -EEXIST,
                                 "%s has something that is not LUKS (%s) and wipeVolume is not set",
                                 luks->device, other->type);
        *ret = verdicts[found];
        return 0;
}

static int check_key(struct job *j, bool *ret_reuse, struct error *err)
{
        const struct luks_key key = job_key(j);

        *ret_reuse = luks_is_wanted(j->node, j->luks, &key, err);
        return *ret_reuse ? 0
                          : error_prefix(err, -EEXIST,
                                         "%s has a LUKS volume and wipeVolume is not set",
                                         j->luks->device);
}

static int check_existing(struct job *j, bool *ret_reuse, struct error *err)
{
        enum luks_found found = LUKS_NONE;
        enum verdict verdict;
        struct probe p = {};
        int r;

        if (config_is_true(&j->luks->wipe))
                return probe_wipe(j->node, err);
        r = luks_inspect(j->node, &found, err);
        if (r >= 0 && found == LUKS_NONE)
                r = probe_device(j->node, &p, err);
        if (r >= 0)
                r = luks_decide(j->luks, found, &p, &verdict, err);
        if (r < 0 || verdict == VERDICT_MAKE)
                return r;
        if (verdict == VERDICT_KEEP)
                return check_key(j, ret_reuse, err);
        log_line(&j->agent->log, LOG_NOTICE,
                 "%s was made by an attempt that was cut off: making it anew", j->node);
        return probe_wipe(j->node, err);
}

/* ---- clevis ---- */

static void add_member(json_object *object, const char *key, json_object *value)
{
        json_object_object_add(object, key, value);
}

static json_object *tang_pins(const struct clevis *c)
{
        json_object *list = json_object_new_array();

        CONFIG_FOREACH(struct tang, t, &c->tang)
        {
                json_object *pin = json_object_new_object();

                add_member(pin, "url", json_object_new_string(t->url));
                add_member(pin, "thp", json_object_new_string(t->thumbprint));
                if (!string_is_empty(t->advertisement))
                        add_member(pin, "adv", json_tokener_parse(t->advertisement));
                json_object_array_add(list, pin);
        }
        return list;
}

/* {"t":1,"pins":{"tpm2":{},"tang":[…]}} */
static char *sss_config(const struct clevis *c)
{
        json_object *root = json_object_new_object(), *pins = json_object_new_object();
        char *text;

        if (config_is_true(&c->tpm2))
                add_member(pins, "tpm2", json_object_new_object());
        if (c->tang.count > 0)
                add_member(pins, "tang", tang_pins(c));
        add_member(root, "t", json_object_new_int64(c->threshold.value ?: 1));
        add_member(root, "pins", pins);
        text = strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(root);
        return text;
}

static int bind(struct job *j, const char *key_file, struct error *err)
{
        const struct clevis *c = &j->luks->clevis;
        bool custom = !string_is_empty(c->custom.pin);
        _cleanup_free_ char *config = custom ? strdup(c->custom.config) : sss_config(c);
        const char *const argv[] = { "clevis", "luks",  "bind",
                                     "-f",     "-k",    key_file,
                                     "-d",     j->node, custom ? c->custom.pin : "sss",
                                     config,   NULL };

        return config ? spawn(argv, NULL, NULL, err) : error_oom(err);
}

static int contact(struct agent *a, const struct tang *t, struct error *err)
{
        size_t size = strlen(t->url);
        _cleanup_free_ char *url = NULL, *answer = NULL;
        struct fetch_request request = {};

        while (size > 0 && t->url[size - 1] == '/')
                size--;
        url = string_format("%.*s/adv", (int)size, t->url);
        if (!url)
                return error_oom(err);
        request.url = url;
        return agent_setting(a, t->at, "url", fetch_text(a, &request, &answer, NULL, err));
}

/* clevis fetches the advertisements itself, and checks them, but tries only once: this waits until
 * the servers can be reached. */
static int contact_servers(struct job *j, struct error *err)
{
        int r = 0;

        CONFIG_FOREACH(struct tang, t, &j->luks->clevis.tang)
        if (r >= 0 && string_is_empty(t->advertisement))
                r = contact(j->agent, t, err);
        return r;
}

/* clevis reads the key from a file: one without a name, which only our children can open. */
static int bind_clevis(struct job *j, struct error *err)
{
        char path[64];
        _cleanup_close_ int fd = memfd_create("key", MFD_CLOEXEC);
        const struct luks_key key = job_key(j);
        int r;

        if (fd < 0)
                return error_errno(err, "memfd");
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
        r = io_write(fd, j->key, j->key_size, err);
        if (r >= 0)
                r = bind(j, path, err);
        if (r >= 0 && j->generated)
                r = luks_remove_key(j->node, &key, err);
        return r;
}

/* Proves that the machine can open the volume by itself, when no server has to be believed. */
static int unlock_clevis(struct job *j, struct error *err)
{
        const char *const argv[] = { "clevis", "luks", "unlock",      "-d",
                                     j->node,  "-n",   j->luks->name, NULL };
        const struct clevis *c = &j->luks->clevis;
        int64_t reachable = config_is_true(&c->tpm2);
        bool closed;
        int r;

        CONFIG_FOREACH(struct tang, t, &c->tang)
        reachable += string_is_empty(t->advertisement);
        if (reachable < (c->threshold.value ?: 1))
                return 0;
        r = luks_close(j->luks->name, j->node, &closed, err);
        return r < 0 ? r : spawn(argv, NULL, NULL, err);
}

/* ---- a volume ---- */

static int make(struct job *j, struct error *err)
{
        const struct luks_key key = job_key(j);
        bool clevis = has_clevis(j->luks), reuse = false;
        int r;

        r = check_existing(j, &reuse, err);
        if (r >= 0 && !reuse)
                r = luks_make(j->node, j->luks, &key, err);
        if (r >= 0)
                r = luks_open(j->node, j->luks, &key, err);
        if (r >= 0 && clevis)
                r = contact_servers(j, err);
        if (r >= 0 && clevis)
                r = bind_clevis(j, err);
        if (r >= 0 && clevis)
                r = unlock_clevis(j, err);
        return r < 0 ? r : keep_key(j, err);
}

static int find_node(const char *device, char ret[BLOCK_NODE_MAX], struct error *err)
{
        _cleanup_block_ struct block b = BLOCK_NULL;
        int r = block_open(device, O_RDONLY, &b, err);

        if (r >= 0)
                memcpy(ret, b.node, sizeof(b.node));
        return r;
}

int luks_check(struct agent *a, const struct luks *luks, struct error *err)
{
        if (string_is_empty(luks->name))
                return agent_setting_error(a, luks->at, "name", err, -EINVAL,
                                           "a LUKS volume needs a name");
        if (config_is_true(&luks->cex.enabled))
                return agent_setting_error(a, luks->at, "cex", err, -EOPNOTSUPP,
                                           "CEX secure keys (s390x) are not supported");
        return 0;
}

static int process(struct agent *a, const struct luks *luks, struct error *err)
{
        _cleanup_(job_done) struct job j = { .agent = a, .luks = luks };
        int r;

        r = luks_check(a, luks, err);
        if (r >= 0)
                r = devices_wait(a, &luks->device, 1, err);
        if (r >= 0)
                r = find_node(luks->device, j.node, err);
        if (r >= 0)
                r = load_key(&j, err);
        if (r >= 0)
                r = make(&j, err);
        return r < 0 ? r : devices_settle(a, j.node, err);
}

int disks_luks(struct agent *a, struct error *err)
{
        int r = 0;

        CONFIG_FOREACH(struct luks, luks, &a->config.root.storage.luks)
        {
                unsigned operation;

                if (r < 0)
                        return r;
                operation = log_start(&a->log, "creating \"%s\"", luks->name);
                r = agent_setting(a, luks->at, NULL, process(a, luks, err));
                log_end(&a->log, operation, r < 0 ? err : NULL, "creating \"%s\"", luks->name);
        }
        return r;
}

/* ---- before and after ---- */

int luks_release(struct agent *a, const struct luks *luks, struct error *err)
{
        char node[BLOCK_NODE_MAX];
        struct error absent;
        bool closed = false;
        int r;

        if (string_is_empty(luks->name) || find_node(luks->device, node, &absent) < 0)
                return 0;
        r = luks_close(luks->name, node, &closed, err);
        if (closed)
                log_line(&a->log, LOG_NOTICE, "closed \"%s\", which an earlier attempt opened",
                         luks->name);
        return agent_setting(a, luks->at, NULL, r);
}

int luks_finish(struct agent *a, struct error *err)
{
        int r = 0;

        CONFIG_FOREACH(struct luks, luks, &a->config.root.storage.luks)
        {
                char node[BLOCK_NODE_MAX];

                if (r >= 0)
                        r = find_node(luks->device, node, err);
                if (r >= 0)
                        r = luks_unmark(node, err);
                if (r < 0)
                        return agent_setting(a, luks->at, NULL, r);
        }
        return 0;
}
