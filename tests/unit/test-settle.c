/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a boot shows: facts in, events out. */

#include "test.h"

#include "kernel-log.h"
#include "settle.h"
#include "strv.h"

#define OLD  "1.0.0"
#define NEW  "1.0.1"
#define BOOT "00112233445566778899aabbccddeeff"

static struct sha256 hash_of(uint8_t byte)
{
        struct sha256 h;

        memset(h.bytes, byte, sizeof(h.bytes));
        return h;
}

static char *journal[] = { (char *)"last words", NULL };

/* One row: what was in the history, which entries are there, what comes of it. */
struct past {
        int kind;
        uint8_t hash;
};

static const struct {
        const char *name;
        struct past past[5];
        const char *entries[3];
        struct past news[3];
        const char *reason; /* of the last of the news */
} cases[] = {
        { "first boot of all",
          { {} },
          { "slipway_1.0.0+2-1.efi" },
          { { HISTORY_BOOTED, 1 } },
          NULL },
        { "blessed in it",
          { { HISTORY_BOOTED, 1 } },
          { "slipway_1.0.0.efi" },
          { { HISTORY_GOOD, 1 } },
          NULL },
        { "blessed, history lost",
          { {} },
          { "slipway_1.0.0.efi" },
          { { HISTORY_BOOTED, 1 }, { HISTORY_GOOD, 1 } },
          NULL },
        { "nothing new",
          { { HISTORY_BOOTED, 1 }, { HISTORY_GOOD, 1 } },
          { "slipway_1.0.0.efi" },
          { {} },
          NULL },
        { "another one is being tried",
          { { HISTORY_BOOTED, 1 }, { HISTORY_GOOD, 1 }, { HISTORY_STAGED, 2 } },
          { "slipway_1.0.0.efi", "slipway_1.0.1+1-2.efi" },
          { {} },
          NULL },
        { "it never reached the host",
          { { HISTORY_BOOTED, 1 }, { HISTORY_GOOD, 1 }, { HISTORY_STAGED, 2 } },
          { "slipway_1.0.0.efi", "slipway_1.0.1+0-3.efi" },
          { { HISTORY_FELL_BACK, 2 } },
          "none of its 3 boots reached the host: kernel, initrd or dm-verity" },
        { "it reached the host and died",
          { { HISTORY_BOOTED, 1 },
            { HISTORY_GOOD, 1 },
            { HISTORY_STAGED, 2 },
            { HISTORY_BOOTED, 2 } },
          { "slipway_1.0.0.efi", "slipway_1.0.1+0-3.efi" },
          { { HISTORY_FELL_BACK, 2 } },
          "the host ran, but its health was not known before it ended: panic, hang or power" },
        { "it was not well",
          { { HISTORY_GOOD, 1 },
            { HISTORY_BOOTED, 1 },
            { HISTORY_STAGED, 2 },
            { HISTORY_BOOTED, 2 },
            { HISTORY_UNHEALTHY, 2 } },
          { "slipway_1.0.1+0-3.efi", "slipway_1.0.0.efi" },
          { { HISTORY_FELL_BACK, 2 } },
          "a reason" },
        { "that is told",
          { { HISTORY_BOOTED, 1 },
            { HISTORY_GOOD, 1 },
            { HISTORY_STAGED, 2 },
            { HISTORY_FELL_BACK, 2 } },
          { "slipway_1.0.0.efi", "slipway_1.0.1+0-3.efi" },
          { {} },
          NULL },
        { "staged again: another story",
          { { HISTORY_BOOTED, 1 },
            { HISTORY_GOOD, 1 },
            { HISTORY_UNHEALTHY, 2 },
            { HISTORY_FELL_BACK, 2 },
            { HISTORY_STAGED, 2 } },
          { "slipway_1.0.0.efi", "slipway_1.0.1+0-3.efi" },
          { { HISTORY_FELL_BACK, 2 } },
          "none of its 3 boots reached the host: kernel, initrd or dm-verity" },
        { "rolled back by hand",
          { { HISTORY_BOOTED, 1 }, { HISTORY_GOOD, 1 }, { HISTORY_ROLLED_BACK, 2 } },
          { "slipway_1.0.0.efi", "slipway_1.0.1+0.efi" },
          { {} },
          NULL },
        { "the running one has no tries left",
          { { HISTORY_BOOTED, 1 } },
          { "slipway_1.0.0+0-3.efi" },
          { {} },
          NULL },
};

static void fill_history(const struct past *past, size_t count, struct history_event *events,
                         struct history *h)
{
        *h = (struct history){ .items = events };
        for (; h->count < count && past[h->count].hash != 0; h->count++)
                events[h->count] = (struct history_event){
                        .kind = past[h->count].kind,
                        .root_hash = hash_of(past[h->count].hash),
                        .version = (char *)(past[h->count].hash == 1 ? OLD : NEW),
                        .boot_id = (char *)BOOT,
                        .reason = past[h->count].kind == HISTORY_UNHEALTHY ? (char *)"a reason"
                                                                           : NULL,
                        .check =
                                past[h->count].kind == HISTORY_UNHEALTHY ? (char *)"a check" : NULL,
                        .journal = past[h->count].kind == HISTORY_UNHEALTHY ? journal : NULL,
                };
}

static void fill_slots(struct slots *s)
{
        *s = (struct slots){ .count = 2 };
        for (size_t i = 0; i < 2; i++) {
                struct sha256 hash = hash_of((uint8_t)(i + 1));

                snprintf(s->items[i].usr.label, sizeof(s->items[i].usr.label), "usr_%s",
                         i == 0 ? OLD : NEW);
                gpt_uuids_from_root_hash(&hash, &s->items[i].usr.uuid, &s->items[i].tree.uuid);
        }
}

static void check_case(size_t i)
{
        struct running running = { .version = OLD, .boot_id = BOOT, .root_hash = hash_of(1) };
        _cleanup_(history_done) struct history news = {};
        struct entries entries = {};
        struct history_event events[5];
        struct history history;
        struct error err = {};
        struct slots slots;
        struct settle_facts f = { &running, &entries, &slots, &history, 1790000000 };
        size_t n = 0;

        fill_history(cases[i].past, ARRAY_SIZE(events), events, &history);
        fill_slots(&slots);
        for (; entries.count < 3 && cases[i].entries[entries.count]; entries.count++)
                assert_int_equal(boot_entry_parse(cases[i].entries[entries.count],
                                                  &entries.items[entries.count]),
                                 0);
        assert_ok(settle_decide(&f, &news, &err), &err);
        for (; n < ARRAY_SIZE(cases[i].news) && cases[i].news[n].hash != 0; n++) {
                struct sha256 hash = hash_of(cases[i].news[n].hash);

                assert_true(n < news.count);
                assert_int_equal(news.items[n].kind, cases[i].news[n].kind);
                assert_true(sha256_equal(&news.items[n].root_hash, &hash));
                assert_int_equal(news.items[n].time, f.now);
        }
        assert_int_equal(news.count, n);
        if (cases[i].reason)
                assert_string_equal(news.items[n - 1].reason, cases[i].reason);
}

static void test_cases(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                print_message("  %s\n", cases[i].name);
                check_case(i);
        }
}

/* What the release said last is told again by the old one. */
static void test_last_words(void **state _unused_)
{
        static const struct past past[] = { { HISTORY_STAGED, 2 }, { HISTORY_UNHEALTHY, 2 } };
        struct running running = { .version = OLD, .boot_id = BOOT, .root_hash = hash_of(1) };
        _cleanup_(history_done) struct history news = {};
        struct entries entries = { .count = 1 };
        struct history_event events[2], *e;
        struct slots slots = {};
        struct history history;
        struct settle_facts f = { &running, &entries, &slots, &history, 1 };
        struct sha256 hash = hash_of(2);
        struct error err = {};

        fill_history(past, ARRAY_SIZE(past), events, &history);
        assert_int_equal(boot_entry_parse("slipway_1.0.1+0-3.efi", &entries.items[0]), 0);
        assert_ok(settle_decide(&f, &news, &err), &err);
        assert_int_equal(news.count, 2);
        e = &news.items[1];
        assert_string_equal(e->version, NEW);
        assert_string_equal(e->check, "a check");
        assert_string_equal(e->boot_id, BOOT);
        assert_string_equal(e->journal[0], "last words");
        assert_int_equal(e->tries, 3);
        /* No slot has its label any more: the history still knows the root hash. */
        assert_true(sha256_equal(&e->root_hash, &hash));
}

static void test_running(void **state _unused_)
{
        static const char *const bad[] = { "",
                                           "IMAGE_VERSION=",
                                           "IMAGE_VERSION=\"\"",
                                           "IMAGE_VERSION=\"a b\"",
                                           "XIMAGE_VERSION=1",
                                           "IMAGE_VERSION=a/b" };
        char version[BOOT_VERSION_MAX + 1], id[BOOT_ID_SIZE];

        assert_int_equal(running_version("ID=debian\nIMAGE_VERSION=\"1.0~rc1\"\n", version), 0);
        assert_string_equal(version, "1.0~rc1");
        assert_int_equal(running_version("IMAGE_VERSION=2\nA=b", version), 0);
        assert_string_equal(version, "2");
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(running_version(bad[i], version), -ENODATA);
        assert_int_equal(running_boot_id("00112233-4455-6677-8899-aabbccddeeff\n", id), 0);
        assert_string_equal(id, BOOT);
        assert_int_equal(running_boot_id("00112233-4455", id), -EINVAL);
        assert_int_equal(running_boot_id(BOOT "00", id), -EINVAL);
}

static void test_on_trial(void **state _unused_)
{
        static const struct {
                const char *entry;
                bool trial;
        } booted[] = {
                { "slipway_1+2-1.efi", true },  { "slipway_1+1-2.efi", true },
                { "slipway_1+0-3.efi", true },  { "slipway_1+0-4.efi", false },
                { "slipway_1+0-9.efi", false }, { "slipway_1.efi", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(booted); i++) {
                struct boot_entry e;

                assert_int_equal(boot_entry_parse(booted[i].entry, &e), 0);
                assert_int_equal(running_on_trial(&e), booted[i].trial);
        }
}

static void test_fall_back(void **state _unused_)
{
        static const struct {
                const char *entries[3];
                bool can;
        } sets[] = {
                { { "slipway_1.0.1+2-1.efi" }, false },
                { { "slipway_1.0.1+2-1.efi", "slipway_1.0.0.efi" }, true },
                { { "slipway_1.0.1+2-1.efi", "slipway_1.0.0+0-3.efi" }, false },
                { { "slipway_1.0.1+2-1.efi", "slipway_1.0.0+1.efi" }, true },
                { {}, false },
        };
        struct running running = { .version = NEW };

        for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
                struct entries e = {};

                for (; e.count < 3 && sets[i].entries[e.count]; e.count++)
                        assert_int_equal(
                                boot_entry_parse(sets[i].entries[e.count], &e.items[e.count]), 0);
                assert_int_equal(running_can_fall_back(&running, &e), sets[i].can);
        }
}

/* The newest log of several places, and only its end. */
static void test_kernel_log(void **state _unused_)
{
        static const char old[] = "old\n", new[] = "a\nb\nKernel panic - not syncing\n";
        char *directory = test_mkdir();
        _cleanup_free_ char *archive = string_format("%s/var/lib/systemd/pstore/1", directory),
                            *live = string_format("%s/sys/fs/pstore", directory);
        _cleanup_strv_ char **none = NULL, **lines = NULL;
        _cleanup_close_ int archive_fd = -1, live_fd = -1;
        const struct timespec past[] = { { 1000, 0 }, { 1000, 0 } };
        struct error err = {};

        assert_int_equal(kernel_log_tail(directory, 2, &none), 0);
        assert_null(none);
        archive_fd = path_open_dir(AT_FDCWD, archive, 0755, &err);
        live_fd = path_open_dir(AT_FDCWD, live, 0755, &err);
        assert_ok(file_write(archive_fd, "dmesg.txt", new, strlen(new), 0600, &err), &err);
        assert_ok(file_write(live_fd, "dmesg-efi-1", old, strlen(old), 0600, &err), &err);
        assert_int_equal(utimensat(live_fd, "dmesg-efi-1", past, 0), 0);
        assert_int_equal(kernel_log_tail(directory, 2, &lines), 0);
        assert_int_equal(strv_length(lines), 2);
        assert_string_equal(lines[0], "b");
        assert_string_equal(lines[1], "Kernel panic - not syncing");
        test_rmdir(directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),     cmocka_unit_test(test_last_words),
                cmocka_unit_test(test_running),   cmocka_unit_test(test_on_trial),
                cmocka_unit_test(test_fall_back), cmocka_unit_test(test_kernel_log),
        };

        return test_run(tests);
}
