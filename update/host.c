/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See host.h. */

#include <fcntl.h>

#include "esp-mount.h"
#include "host.h"
#include "io.h"
#include "strv.h"

enum { OS_RELEASE_MAX = 64 * 1024 };

const char *host_architecture(void)
{
#if defined(__x86_64__)
        return "amd64";
#elif defined(__aarch64__)
        return "arm64";
#else
#error "which architecture is this?"
#endif
}

char *host_path(const struct host_places *places, const char *path)
{
        return string_format("%s%s", places->root ?: "", path);
}

/* ---- os-release ---- */

/* The value of a line "KEY=value", without quotes. os-release(5) is a shell's language; of that,
 * what the composer writes is read: a word, or a word in quotes with backslashes. */
static char *unquote(const char *value)
{
        char quote = *value == '"' || *value == '\'' ? *value++ : '\0';
        char *text = strdup(value), *out = text;

        for (const char *in = text; in && *in && *in != quote; in++) {
                if (*in == '\\' && quote != '\'' && in[1])
                        in++;
                *out++ = *in;
        }
        if (text)
                *out = '\0';
        return text;
}

static int take_value(char **target, const char *value, struct error *err)
{
        free(*target);
        *target = unquote(value);
        return *target ? 0 : error_oom(err);
}

static int take_timestamp(uint64_t *target, const char *value, struct error *err)
{
        _cleanup_free_ char *text = unquote(value);
        char *end = text;

        if (!text)
                return error_oom(err);
        errno = 0;
        *target = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
        if (end == text || *end != '\0' || errno != 0)
                return error_set(err, -EINVAL, "SLIPWAY_TIMESTAMP: not a number");
        return 0;
}

int host_release_parse(const char *text, struct host_release *ret, struct error *err)
{
        _cleanup_(host_release_done) struct host_release release = {};
        const struct {
                const char *key;
                char **value;
        } keys[] = {
                { "IMAGE_ID=", &release.image },
                { "IMAGE_VERSION=", &release.version },
                { "VERSION_ID=", &release.version_id },
                { "SYSEXT_LEVEL=", &release.sysext_level },
        };
        _cleanup_strv_ char **lines = NULL;
        int r = strv_split(text, "\n", &lines) < 0 ? error_oom(err) : 0;

        STRV_FOREACH (line, lines) {
                const char *value = startswith(*line, "SLIPWAY_TIMESTAMP=");

                if (value && r >= 0)
                        r = take_timestamp(&release.timestamp, value, err);
                for (size_t i = 0; i < ARRAY_SIZE(keys) && r >= 0; i++) {
                        value = startswith(*line, keys[i].key);
                        r = value ? take_value(keys[i].value, value, err) : 0;
                }
        }
        if (r >= 0 && !release.version_id)
                r = take_value(&release.version_id, "", err);
        if (r >= 0 && (!release.image || !release.version))
                r = error_set(err, -ENODATA, "no IMAGE_ID and IMAGE_VERSION: not a Slipway image");
        if (r >= 0)
                *ret = TAKE_STRUCT(release);
        return r;
}

void host_release_done(struct host_release *r)
{
        free(r->image);
        free(r->version);
        free(r->version_id);
        free(r->sysext_level);
        *r = (struct host_release){};
}

int host_load_release(struct host *h, struct error *err)
{
        _cleanup_free_ char *path = host_path(&h->places, "/usr/lib/os-release"), *text = NULL;
        int r;

        if (!path)
                return error_oom(err);
        r = file_read(AT_FDCWD, path, OS_RELEASE_MAX, &text, NULL, err);
        if (r < 0)
                return r;
        host_release_done(&h->release);
        return error_prefix(err, host_release_parse(text, &h->release, err), "%s", path);
}

/* ---- slots ---- */

static int find_disk(struct host *h, struct error *err)
{
        struct uuid usr, tree;

        if (h->places.disk) {
                h->disk = strdup(h->places.disk);
                return h->disk ? 0 : error_oom(err);
        }
        gpt_uuids_from_root_hash(&h->root_hash, &usr, &tree);
        return slot_disk(&usr, &h->disk, err);
}

static int load(struct host *h, struct error *err)
{
        _cleanup_free_ char *command_line = NULL;
        int r;

        r = file_read(AT_FDCWD, h->places.command_line ?: "/proc/cmdline", SLOT_COMMAND_LINE_MAX,
                      &command_line, NULL, err);
        if (r < 0)
                return r;
        if (!slot_root_hash(command_line, &h->root_hash))
                return error_set(err, -ENODATA,
                                 "usrhash= is not on the kernel command line: not a Slipway host");
        r = find_disk(h, err);
        return r < 0 ? r : slots_load(h->disk, &h->slots, err);
}

int host_load(const struct host_places *places, struct host *ret, struct error *err)
{
        _cleanup_(host_done) struct host h = { .places = *places, .esp_fd = -1 };
        int r = load(&h, err);

        if (r < 0)
                return r;
        *ret = h;
        h = (struct host)HOST_NULL;
        ret->running = slots_find(&ret->slots, &ret->root_hash);
        for (size_t i = 0; ret->running && i < ret->slots.count; i++)
                if (&ret->slots.items[i] != ret->running)
                        ret->idle = &ret->slots.items[i];
        return 0;
}

/* ---- boot entries ---- */

static int open_esp(struct host *h, struct error *err)
{
        if (h->esp_fd >= 0)
                return 0;
        if (!h->places.esp)
                return esp_mount(&h->esp_fd, err);
        h->esp_fd = open(h->places.esp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return h->esp_fd < 0 ? error_errno(err, "%s", h->places.esp) : 0;
}

int host_load_entries(struct host *h, struct error *err)
{
        _cleanup_close_ int fd = -1;
        int r = open_esp(h, err);

        if (r < 0)
                return error_prefix(err, r, "ESP");
        fd = openat(h->esp_fd, "EFI/Linux", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "ESP: EFI/Linux");
        return error_prefix(err, entries_load(fd, &h->entries, err), "ESP: EFI/Linux");
}

void host_done(struct host *h)
{
        host_release_done(&h->release);
        free(h->disk);
        close_p(&h->esp_fd);
        *h = (struct host)HOST_NULL;
}
