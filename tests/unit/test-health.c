/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Health checks: what files say, and running them: real programs, a real web server. Units need
 * systemd: see tests/cli/test_update_health.py. */

#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "health.h"
#include "strv.h"

static void put(const char *root, const char *path, const char *text)
{
        _cleanup_free_ char *whole = string_format("%s/%s", root, path), *directory = strdup(whole);
        struct error err = {};

        *strrchr(directory, '/') = '\0';
        assert_ok(path_mkdirs(AT_FDCWD, directory, 0755, &err), &err);
        assert_ok(file_write(AT_FDCWD, whole, text, strlen(text), 0644, &err), &err);
}

static const struct health_check *check_of(const struct health *h, size_t i)
{
        assert_true(i < h->checks.count);
        return (const struct health_check *)h->checks.items + i;
}

#define USR "usr/lib/slipway/health.d/"
#define ETC "etc/slipway/health.d/"

static void test_files(void **state _unused_)
{
        _cleanup_(health_done) struct health none = {}, h = {};
        char *root = test_mkdir();
        struct error err = {};

        assert_ok(health_load(root, &none, &err), &err);
        assert_int_equal(none.checks.count, 0);
        assert_int_equal(none.deadline, HEALTH_DEADLINE_DEFAULT);
        put(root, USR "a.json",
            "{\"checks\":[{\"name\":\"one\",\"units\":[\"a.service\"]}],"
            "\"deadline\":400}");
        put(root, USR "b.json", "{\"checks\":[{\"name\":\"two\",\"noFailedUnits\":true}]}");
        put(root, USR "ignored.txt", "{");
        put(root, ETC "b.json",
            "{\"checks\":[{\"name\":\"mine\",\"http\":{\"url\":\"http://x/\"},"
            "\"timeout\":7}],\"deadline\":20}");
        put(root, ETC "c.json", "{\"checks\":[{\"name\":\"box\",\"container\":\"web\"}]}");
        assert_ok(health_load(root, &h, &err), &err);
        assert_int_equal(h.checks.count, 3);
        assert_int_equal(h.deadline, 400);
        assert_string_equal(check_of(&h, 0)->name, "one");
        assert_ptr_equal(check_of(&h, 0)->ops, &health_units_ops);
        assert_int_equal(check_of(&h, 0)->timeout, HEALTH_TIMEOUT_DEFAULT);
        assert_string_equal(check_of(&h, 1)->name, "mine");
        assert_ptr_equal(check_of(&h, 1)->ops, &health_http_ops);
        assert_int_equal(check_of(&h, 1)->timeout, 7);
        assert_int_equal(check_of(&h, 1)->http.status, 200);
        assert_ptr_equal(check_of(&h, 2)->ops, &health_container_ops);
        test_rmdir(root);
}

/* Every file of tests/data/health that should fail is a check that fails, with the place in it. */
static void test_broken(void **state _unused_)
{
        _cleanup_closedir_ DIR *d = opendir(TEST_DATA_DIR "/health");
        unsigned n = 0;

        assert_non_null(d);
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                _cleanup_(health_done) struct health h = {};
                _cleanup_free_ char *text = NULL;
                struct health_failure failure = {};
                struct error err = {};
                char *root;

                if (!startswith(e->d_name, "should-fail-"))
                        continue;
                root = test_mkdir();
                assert_ok(file_read(dirfd(d), e->d_name, 1 << 20, &text, NULL, &err), &err);
                put(root, USR "x.json", text);
                put(root, USR "y.json",
                    "{\"checks\":[{\"name\":\"never\",\"command\":[\"false\"]}]}");
                assert_ok(health_load(root, &h, &err), &err);
                assert_int_equal(health_run(&h, NULL, &failure, &err), -ETIME);
                assert_string_equal(failure.check, "x.json");
                assert_ptr_equal(strstr(failure.reason, USR "x.json:"), failure.reason);
                assert_true(failure.reason[strlen(USR "x.json:")] >= '1' &&
                            failure.reason[strlen(USR "x.json:")] <= '9');
                test_rmdir(root);
                n++;
        }
        assert_true(n >= 10);
}

static void test_good(void **state _unused_)
{
        _cleanup_(health_done) struct health h = {};
        struct error err = {};

        assert_ok(record_load(AT_FDCWD, TEST_DATA_DIR "/health/good", &health_record, &h, &err),
                  &err);
        assert_int_equal(h.checks.count, 5);
        assert_int_equal(h.deadline, 120);
        assert_int_equal(check_of(&h, 2)->http.status, 401);
}

/* ---- running ---- */

static char *heard;

static void hear(void *userdata _unused_, const struct health_check *c, const char *reason)
{
        char *more = string_format("%s%s:%s;", heard ?: "", c->name, reason ?: "passed");

        free(heard);
        heard = more;
}

/* Runs the checks of one file; what was told is in heard. */
static int run(const char *text, struct health_failure *ret, double *ret_seconds)
{
        const struct health_watcher watcher = { hear, NULL };
        _cleanup_(health_done) struct health h = {};
        struct timespec before, after;
        char *root = test_mkdir();
        struct error err = {};
        int r;

        free(TAKE_PTR(heard));
        put(root, USR "x.json", text);
        assert_ok(health_load(root, &h, &err), &err);
        clock_gettime(CLOCK_MONOTONIC, &before);
        r = health_run(&h, &watcher, ret, &err);
        clock_gettime(CLOCK_MONOTONIC, &after);
        *ret_seconds = (double)(after.tv_sec - before.tv_sec) +
                       (double)(after.tv_nsec - before.tv_nsec) / 1e9;
        if (r < 0)
                assert_int_equal(r, -ETIME);
        test_rmdir(root);
        return r;
}

static void test_pass(void **state _unused_)
{
        struct health_failure f = {};
        double seconds;

        assert_int_equal(run("{\"checks\":[{\"name\":\"a\",\"command\":[\"true\"]},"
                             "{\"name\":\"b\",\"command\":[\"sh\",\"-c\",\"exit 0\"]}]}",
                             &f, &seconds),
                         0);
        assert_non_null(strstr(heard, "a:passed;"));
        assert_non_null(strstr(heard, "b:passed;"));
        assert_true(seconds < 20);
        free(TAKE_PTR(heard));
}

/* It is tried again until it passes. */
static void test_again(void **state _unused_)
{
        char *directory = test_mkdir();
        _cleanup_free_ char *text =
                string_format("{\"checks\":[{\"name\":\"third\",\"command\":[\"sh\",\"-c\","
                              "\"echo x >>%s/n; test $(wc -l <%s/n) -ge 3\"]}],\"deadline\":60}",
                              directory, directory);
        struct health_failure f = {};
        double seconds;

        assert_int_equal(run(text, &f, &seconds), 0);
        assert_true(seconds >= 0.3);
        assert_string_equal(heard, "third:passed;");
        free(TAKE_PTR(heard));
        test_rmdir(directory);
}

static void test_deadline(void **state _unused_)
{
        struct health_failure f = {};
        double seconds;

        assert_int_equal(
                run("{\"checks\":[{\"name\":\"good\",\"command\":[\"true\"]},"
                    "{\"name\":\"bad\",\"command\":[\"sh\",\"-c\",\"echo no >&2; exit 3\"]},"
                    "{\"name\":\"slow\",\"command\":[\"sleep\",\"100\"]}],\"deadline\":2}",
                    &f, &seconds),
                -ETIME);
        assert_string_equal(f.check, "bad");
        assert_string_equal(f.reason, "sh: exit status 3: no");
        assert_non_null(strstr(heard, "good:passed;"));
        assert_non_null(strstr(heard, "slow:no answer before the deadline;"));
        assert_true(seconds >= 2 && seconds < 20);
        free(TAKE_PTR(heard));
}

/* A try that hangs is killed with what it started, and says so. */
static void test_timeout(void **state _unused_)
{
        char *directory = test_mkdir();
        _cleanup_free_ char *path = string_format("%s/pid", directory), *pid = NULL,
                            *text = string_format(
                                    "{\"checks\":[{\"name\":\"hangs\",\"command\":[\"sh\",\"-c\","
                                    "\"sleep 1000 & echo $! >%s/pid; wait\"],\"timeout\":1}],"
                                    "\"deadline\":2}",
                                    directory);
        struct health_failure f = {};
        struct error err = {};
        double seconds;

        assert_int_equal(run(text, &f, &seconds), -ETIME);
        assert_string_equal(f.reason, "no answer within 1 s");
        assert_ok(file_read(AT_FDCWD, path, 100, &pid, NULL, &err), &err);
        for (unsigned n = 0; n < 500 && kill(atoi(pid), 0) == 0; n++) {
                _cleanup_free_ char *stat = string_format("/proc/%d/stat", atoi(pid)), *line = NULL;

                /* Perhaps nobody reaps it here. */
                if (file_read(AT_FDCWD, stat, 4096, &line, NULL, &err) < 0 || strstr(line, ") Z "))
                        break;
                assert_true(n < 499);
                usleep(10000);
        }
        free(TAKE_PTR(heard));
        test_rmdir(directory);
}

static void test_no_program(void **state _unused_)
{
        struct health_failure f = {};
        double seconds;

        assert_int_equal(
                run("{\"checks\":[{\"name\":\"x\",\"command\":[\"/nonexistent/program\"]}],"
                    "\"deadline\":1}",
                    &f, &seconds),
                -ETIME);
        assert_string_equal(f.reason, test_is_watched()
                                              ? "/nonexistent/program: exit status 127: "
                                              : "/nonexistent/program: No such file or directory");
        free(TAKE_PTR(heard));
}

static int crash_try(const struct health_check *c _unused_, struct error *err _unused_)
{
        raise(SIGKILL);
        return 0;
}

/* A check that crashes takes nobody with it. */
static void test_crash(void **state _unused_)
{
        static const struct health_ops crashing = { "crash", NULL, crash_try };
        struct health_check check = { .name = (char *)"c", .timeout = 5, .ops = &crashing };
        struct health h = { .checks = { &check, 1 }, .deadline = 1 };
        struct health_failure f = {};
        struct error err = {};

        assert_int_equal(health_run(&h, NULL, &f, &err), -ETIME);
        assert_string_equal(f.reason, "the check was killed by signal 9");
        assert_string_equal(err.message, "c: the check was killed by signal 9");
}

/* ---- a web server ---- */

static const char server[] = "import http.server, sys\n"
                             "class H(http.server.BaseHTTPRequestHandler):\n"
                             "    def do_GET(self):\n"
                             "        status = int(self.path[1:])\n"
                             "        self.send_response(status)\n"
                             "        if status == 302: self.send_header('Location', '/200')\n"
                             "        self.send_header('Content-Length', '100000')\n"
                             "        self.end_headers()\n"
                             "        self.wfile.write(b'x' * 100000)\n"
                             "    def log_message(self, *a): pass\n"
                             "s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)\n"
                             "print(s.server_port, flush=True)\n"
                             "s.serve_forever()\n";

static pid_t start_server(int *ret_port)
{
        char text[16] = "";
        int fds[2];
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
                dup2(fds[1], STDOUT_FILENO);
                execlp("python3", "python3", "-c", server, NULL);
                _exit(127);
        }
        close(fds[1]);
        assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
        close(fds[0]);
        *ret_port = atoi(text);
        return pid;
}

static void test_http(void **state _unused_)
{
        static const struct {
                int path, wanted;
                bool good;
        } cases[] = {
                { 200, 200, true },  { 401, 401, true }, { 503, 200, false },
                { 302, 200, false }, { 302, 302, true }, { 200, 204, false },
        };
        int port;
        pid_t pid = start_server(&port);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = string_format(
                        "{\"checks\":[{\"name\":\"web\",\"http\":{\"url\":"
                        "\"http://127.0.0.1:%d/%d\",\"status\":%d}}],\"deadline\":%d}",
                        port, cases[i].path, cases[i].wanted,
                        cases[i].good       ? 60
                        : test_is_watched() ? 30
                                            : 2);
                _cleanup_free_ char *reason =
                        string_format("http://127.0.0.1:%d/%d: status %d, not %d", port,
                                      cases[i].path, cases[i].path, cases[i].wanted);
                struct health_failure f = {};
                double seconds;

                assert_int_equal(run(text, &f, &seconds), cases[i].good ? 0 : -ETIME);
                if (!cases[i].good)
                        assert_string_equal(f.reason, reason);
                free(TAKE_PTR(heard));
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

/* Nobody listens there (port 9, discard). */
#define REFUSED(deadline)                                                                                     \
        "{\"checks\":[{\"name\":\"web\",\"http\":{\"url\":\"http://127.0.0.1:9/\"}}],\"deadline\":" #deadline \
        "}"

static void test_http_refused(void **state _unused_)
{
        struct health_failure f = {};
        double seconds;

        assert_int_equal(run(test_is_watched() ? REFUSED(30) : REFUSED(1), &f, &seconds), -ETIME);
        assert_ptr_equal(strstr(f.reason, "http://127.0.0.1:9/: "), f.reason);
        free(TAKE_PTR(heard));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_files),        cmocka_unit_test(test_broken),
                cmocka_unit_test(test_good),         cmocka_unit_test(test_pass),
                cmocka_unit_test(test_again),        cmocka_unit_test(test_deadline),
                cmocka_unit_test(test_timeout),      cmocka_unit_test(test_no_program),
                cmocka_unit_test(test_crash),        cmocka_unit_test(test_http),
                cmocka_unit_test(test_http_refused),
        };

        return test_run(tests);
}
