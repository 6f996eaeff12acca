/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See running.h. */

#include <fcntl.h>

#include "bless.h"
#include "esp-mount.h"
#include "io.h"
#include "loader-variable.h"
#include "running.h"
#include "slot.h"
#include "strv.h"
#include "version.h"

#define ENTRIES      "EFI/Linux"
#define OS_RELEASE   "/usr/lib/os-release"
#define COMMAND_LINE "/proc/cmdline"
#define BOOT_ID      "/proc/sys/kernel/random/boot_id"

enum { OS_RELEASE_MAX = 64 * 1024, BOOT_ID_FILE_MAX = 64 };

int running_version(const char *os_release, char ret[BOOT_VERSION_MAX + 1])
{
        _cleanup_strv_ char **lines = NULL;

        if (strv_split(os_release, "\n", &lines) < 0)
                return -ENOMEM;
        STRV_FOREACH (line, lines) {
                const char *value = startswith(*line, "IMAGE_VERSION=");
                size_t n;

                if (!value)
                        continue;
                value += strspn(value, "\"'");
                n = strcspn(value, "\"'");
                if (n == 0 || n > BOOT_VERSION_MAX || strspn(value, VERSION_CHARACTERS) < n)
                        return -ENODATA;
                memcpy(ret, value, n);
                ret[n] = '\0';
                return 0;
        }
        return -ENODATA;
}

int running_boot_id(const char *text, char ret[BOOT_ID_SIZE])
{
        size_t n = 0;

        for (; *text && *text != '\n'; text++) {
                if (*text == '-')
                        continue;
                if (n == BOOT_ID_SIZE - 1)
                        return -EINVAL;
                ret[n++] = *text;
        }
        ret[n] = '\0';
        return n == BOOT_ID_SIZE - 1 ? 0 : -EINVAL;
}

static int load_version(struct running *r, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int k = file_read(AT_FDCWD, OS_RELEASE, OS_RELEASE_MAX, &text, NULL, err);

        if (k < 0)
                return k;
        return running_version(text, r->version) < 0
                       ? error_set(err, -ENODATA, "%s: no IMAGE_VERSION", OS_RELEASE)
                       : 0;
}

static int load_root_hash(struct running *r, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int k = file_read(AT_FDCWD, COMMAND_LINE, SLOT_COMMAND_LINE_MAX, &text, NULL, err);

        if (k < 0)
                return k;
        return slot_root_hash(text, &r->root_hash)
                       ? 0
                       : error_set(err, -ENODATA, "%s: no usrhash=, so this is not a host of ours",
                                   COMMAND_LINE);
}

static int load_boot_id(struct running *r, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int k = file_read(AT_FDCWD, BOOT_ID, BOOT_ID_FILE_MAX, &text, NULL, err);

        if (k < 0)
                return k;
        return running_boot_id(text, r->boot_id) < 0 ? error_set(err, -EINVAL, "%s", BOOT_ID) : 0;
}

bool running_on_trial(const struct boot_entry *e)
{
        return e->counted && (e->tries_left > 0 || e->tries_done <= BOOT_TRIES);
}

static int load_trial(struct running *r, struct error *err)
{
        char path[LOADER_TEXT_MAX];
        struct boot_entry e;
        int k = loader_variable_read("LoaderBootCountPath", path, err);

        if (k <= 0)
                return k;
        if (bless_parse(path, &e) < 0)
                return error_set(err, -EINVAL, "LoaderBootCountPath: no entry of this system");
        r->trial = running_on_trial(&e);
        r->tries = e.tries_done;
        return 0;
}

int running_load(struct running *ret, struct error *err)
{
        struct running r = {};
        int k = load_version(&r, err);

        if (k >= 0)
                k = load_root_hash(&r, err);
        if (k >= 0)
                k = load_boot_id(&r, err);
        if (k >= 0)
                k = load_trial(&r, err);
        if (k >= 0)
                *ret = r;
        return k;
}

int running_entries(struct entries *ret, struct error *err)
{
        _cleanup_close_ int esp = -1, directory = -1;
        int r = esp_mount(&esp, err);

        if (r < 0)
                return r;
        directory = openat(esp, ENTRIES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
                return error_errno(err, ENTRIES);
        return entries_load(directory, ret, err);
}

bool running_can_fall_back(const struct running *r, const struct entries *e)
{
        for (size_t i = 0; i < e->count; i++)
                if (!streq(e->items[i].version, r->version) && boot_entry_bootable(&e->items[i]))
                        return true;
        return false;
}
