/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Channels of an update site: what may follow what, files there and back, the space contract to the
 * byte, and the trend. */

#include "channel.h"
#include "strv.h"
#include "test.h"

static struct sha256 digest(uint8_t n)
{
        struct sha256 d = {};

        d.bytes[0] = n;
        return d;
}

/* Content is what the number says. */
static struct release release(const char *version, uint64_t timestamp, uint8_t content)
{
        return (struct release){
                .version = (char *)version,
                .timestamp = timestamp,
                .root_hash = digest(content),
                .uki_root_hash = digest(content),
                .usr_size = content * MIB,
                .tree_size = 8192,
                .layout = { content * MIB, MIB, 64 * MIB },
        };
}

static void add(struct channel *c, const char *version, uint64_t timestamp, uint8_t content)
{
        struct release r = release(version, timestamp, content);
        struct sha256 commit = digest(content);
        struct error err = {};

        assert_ok(channel_add(c, &r, &commit, &err), &err);
}

static void names(void **state _unused_)
{
        static const char *const bad[] = { "", ".", "..", "-x", ".x", "a/b", "Stable", "a b", "ä" };
        char longest[CHANNEL_NAME_MAX + 2];

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(channel_name_valid(bad[i]));
        memset(longest, 'a', sizeof(longest));
        longest[CHANNEL_NAME_MAX + 1] = '\0';
        assert_false(channel_name_valid(longest));
        assert_true(channel_name_valid(longest + 1));
        assert_true(channel_name_valid("stable-2.x"));
}

static const struct {
        const char *version;
        uint64_t timestamp;
        uint8_t content;
        bool older;
        int code;
} followers[] = {
        { "1.2", 30, 9, false, 0 },       /* newer */
        { "1.1", 20, 2, false, 0 },       /* the last one */
        { "1.1", 20, 3, false, -EEXIST }, /* other content */
        { "1.1", 20, 3, true, -EEXIST },
        { "1.0", 10, 1, false, -ESTALE }, /* there, but older */
        { "1.0", 10, 1, true, 0 },
        { "1.0", 40, 5, false, -EEXIST },
        { "1.3", 15, 5, false, -ESTALE }, /* the timestamp decides */
        { "1.1~rc1", 20, 5, false, -ESTALE },
        { "1.1.1", 20, 5, false, 0 },
};

static void follows(void **state _unused_)
{
        _cleanup_channel_ struct channel c = {};

        add(&c, "1.0", 10, 1);
        add(&c, "1.1", 20, 2);
        for (size_t i = 0; i < ARRAY_SIZE(followers); i++) {
                struct release r =
                        release(followers[i].version, followers[i].timestamp, followers[i].content);
                struct error err = {};

                if (channel_check(&c, &r, followers[i].older, &err) != followers[i].code)
                        fail_msg("%zu: %s", i, err.message);
        }
}

static void stored(void **state _unused_)
{
        _cleanup_channel_ struct channel c = {}, again = {};
        char *path = test_mkdir();
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};
        bool changed = false;

        assert_ok(channel_load(fd, "channels/a/b/c", &c, &err), &err);
        assert_null(channel_last(&c));
        add(&c, "1.0", 10, 1);
        add(&c, "1.1", 20, 2);
        assert_ok(channel_save(&c, fd, "channels/a/b/c", &changed, &err), &err);
        assert_true(changed);
        assert_int_equal(faccessat(fd, "channels/a/b/c/layouts.json", F_OK, 0), -1);
        assert_ok(channel_load(fd, "channels/a/b/c", &again, &err), &err);
        assert_int_equal(again.releases.count, 2);
        assert_memory_equal(&channel_last(&again)->root_hash, &channel_last(&c)->root_hash, 32);
        changed = false;
        assert_ok(channel_save(&again, fd, "channels/a/b/c", &changed, &err), &err);
        assert_false(changed);
        test_rmdir(path);
}

/* The list has each version once, the one that was published last at its end, and an end. */
static void remembered(void **state _unused_)
{
        _cleanup_channel_ struct channel c = {};
        char version[24];

        for (unsigned i = 0; i < CHANNEL_RELEASES_MAX + 5; i++) {
                snprintf(version, sizeof(version), "1.%u", i);
                add(&c, version, i, 1);
        }
        assert_int_equal(c.releases.count, CHANNEL_RELEASES_MAX);
        assert_string_equal(channel_releases(&c)[0].version, "1.5");
        add(&c, "1.7", 7, 1);
        assert_string_equal(channel_last(&c)->version, "1.7");
        assert_string_equal(channel_releases(&c)[0].version, "1.6");
        for (size_t i = 0; i + 1 < c.releases.count; i++)
                assert_string_not_equal(channel_releases(&c)[i].version, "1.7");
}

static void set_layouts(struct channel *c, const char *text)
{
        char *directory = test_mkdir();
        _cleanup_free_ char *path = string_format("%s/layouts.json", directory);
        struct error err = {};

        assert_ok(file_write(AT_FDCWD, path, text, strlen(text), 0644, &err), &err);
        assert_ok(channel_set_layouts(c, path, &err), &err);
        test_rmdir(directory);
}

static void space(void **state _unused_)
{
        _cleanup_channel_ struct channel c = {};
        struct release r = release("1.0", 1, 10);
        struct error err = {};

        assert_ok(channel_fits(&c, &r, &err), &err); /* nothing was promised */
        set_layouts(&c, "{\"layouts\": [{\"name\": \"a\", \"usr\": \"10M\", \"usrVerity\": \"1M\","
                        " \"esp\": \"64M\"}]}");
        assert_ok(channel_fits(&c, &r, &err), &err);
        r.layout.usr += 1;
        assert_int_equal(channel_fits(&c, &r, &err), -ENOSPC);
        assert_string_equal(err.message,
                            "version 1.0 does not fit layout 'a': it needs a partition usr of "
                            "10485761 bytes, there are 10485760: 1 bytes are missing");
        /* What lacks most is told. */
        set_layouts(&c,
                    "{\"layouts\": ["
                    "{\"name\": \"a\", \"usr\": \"9M\", \"usrVerity\": \"1M\", \"esp\": \"64M\"},"
                    "{\"name\": \"b\", \"usr\": \"9M\", \"usrVerity\": \"1M\", \"esp\": \"60M\"}"
                    "]}");
        assert_int_equal(channel_fits(&c, &r, &err), -ENOSPC);
        assert_non_null(strstr(err.message, "layout 'b': it needs a partition esp of 67108864"));
}

static void trend(void **state _unused_)
{
        _cleanup_channel_ struct channel c = {};
        struct channel_trend t;

        assert_false(channel_trend(&c, &t));
        add(&c, "1.0", 1, 10);
        assert_true(channel_trend(&c, &t));
        assert_null(t.layout);
        assert_int_equal(t.growth, 0);
        assert_true(t.left == UINT64_MAX);

        /* Over the last eight: from 12 to 26 MiB. */
        for (uint8_t i = 1; i <= 8; i++) {
                char version[8];

                snprintf(version, sizeof(version), "1.%u", i);
                add(&c, version, i, (uint8_t)(10 + 2 * i));
        }
        set_layouts(&c,
                    "{\"layouts\": ["
                    "{\"name\": \"big\", \"usr\": \"1G\", \"usrVerity\": \"16M\", \"esp\": \"1G\"},"
                    "{\"name\": \"small\", \"usr\": \"31M\", \"usrVerity\": \"1M\", "
                    "\"esp\": \"64M\"}]}");
        assert_true(channel_trend(&c, &t));
        assert_string_equal(t.layout, "small");
        assert_string_equal(t.partition, "usr");
        assert_int_equal(t.releases, 8);
        assert_int_equal(t.growth, 2 * MIB);
        assert_int_equal(t.left, 2); /* 28 and 30 MiB */
        assert_int_equal(t.size, 26 * MIB);
        assert_int_equal(t.limit, 31 * MIB);

        /* Releases that shrink fit for ever; then the fullest partition is told. */
        add(&c, "1.9", 9, 1);
        assert_true(channel_trend(&c, &t));
        assert_true(t.left == UINT64_MAX);
        assert_string_equal(t.partition, "esp");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names),      cmocka_unit_test(follows), cmocka_unit_test(stored),
                cmocka_unit_test(remembered), cmocka_unit_test(space),   cmocka_unit_test(trend),
        };

        return test_run(tests);
}
