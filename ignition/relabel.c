/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SELinux labels. When the root has a policy (/etc/selinux/config names it), setfiles goes once
 * over everything that this stage made or changed: the journal knows. It also runs when an earlier
 * attempt was cut off between its last write and the removal of its journal. */

#include <fcntl.h>
#include <sys/mman.h>

#include "files.h"
#include "process.h"

static const char config_path[] = "/etc/selinux/config";

/* Written by shadow-utils' ways, whether or not they changed. */
static const char *const accounts[] = { "etc/passwd",   "etc/passwd-",  "etc/group",
                                        "etc/group-",   "etc/shadow",   "etc/shadow-",
                                        "etc/gshadow",  "etc/gshadow-", "etc/subuid",
                                        "etc/subuid-",  "etc/subgid",   "etc/subgid-",
                                        "etc/.pwd.lock" };

struct list {
        struct work *work;
        struct buffer paths; /* NUL-separated, below --root */
};

static void list_done(struct list *list)
{
        buffer_done(&list->paths);
}

/* SELINUXTYPE= of the last line that has one; NULL: none. */
static char *policy_of(const char *text)
{
        char *found = NULL;

        for (const char *line = text; line && *line;
             line = strchr(line, '\n'), line += line != NULL) {
                const char *value = startswith(line, "SELINUXTYPE=");
                size_t n = value ? strcspn(value, " \t\r\n") : 0;

                if (n == 0 || memchr(value, '/', n))
                        continue;
                free(found);
                found = strndup(value, n);
        }
        return found;
}

static int add_path(const char *path, bool absent _unused_, void *userdata)
{
        struct list *list = userdata;
        const char *root = list->work->agent->options.root;
        struct stat st;

        if (!root_stat(list->work->root, path, &st))
                return 0;
        buffer_printf(&list->paths, "%s/%s", streq(root, "/") ? "" : root, path);
        buffer_append(&list->paths, "", 1);
        return list->paths.failed ? -ENOMEM : 0;
}

static int collect(struct list *list, struct error *err)
{
        int r;

        r = journal_for_paths(&list->work->journal, add_path, list);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(accounts); i++)
                r = add_path(accounts[i], false, list);
        if (r >= 0)
                r = add_path(result_path + 1, true, list);
        return r < 0 ? error_code(err, r, "list of paths") : 0;
}

/* The list goes to setfiles as a file without a name, so it never blocks on a full pipe. */
static int run_setfiles(struct work *w, const char *contexts, const struct buffer *paths,
                        struct error *err)
{
        const char *const argv[] = { "setfiles", "-vF0", "-r", w->agent->options.root,
                                     contexts,   "-f",   "-",  NULL };
        _cleanup_close_ int fd = memfd_create("paths", MFD_CLOEXEC);
        int r;

        if (fd < 0)
                return error_errno(err, "memory file");
        r = io_pwrite(fd, paths->data, paths->size, 0, err);
        return r < 0 ? r : spawn(argv, &(struct spawn_options){ .stdin_fd = fd }, NULL, err);
}

static int relabel_with(struct work *w, const char *policy, struct error *err)
{
        _cleanup_(list_done) struct list list = { .work = w };
        _cleanup_free_ char *contexts = NULL;
        unsigned op;
        int r;

        if (asprintf(&contexts, "%s/etc/selinux/%s/contexts/files/file_contexts",
                     w->agent->options.root, policy) < 0) {
                contexts = NULL;
                return error_oom(err);
        }
        r = collect(&list, err);
        if (r < 0)
                return r;
        op = log_start(&w->agent->log, "relabeling for the SELinux policy \"%s\"", policy);
        r = run_setfiles(w, contexts, &list.paths, err);
        log_end(&w->agent->log, op, r < 0 ? err : NULL, "relabeling for the SELinux policy \"%s\"",
                policy);
        return error_prefix(err, r, "SELinux labels");
}

int relabel(struct work *w, struct error *err)
{
        _cleanup_free_ char *text = NULL, *policy = NULL;
        int r;

        r = root_read(w->root, config_path, &text, err);
        if (r < 0 || !text)
                return r;
        policy = policy_of(text);
        return policy ? relabel_with(w, policy, err) : 0;
}
