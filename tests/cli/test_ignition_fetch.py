#!/usr/bin/env python3
"""Fetching: the real `ignition` against servers on loopback, in a network namespace of its own.

What goes wrong here is what goes wrong at first boots: servers that are not up yet, answer slowly,
break off, redirect, stand behind a proxy or have certificates that nobody knows."""

import base64
import gzip
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import servers
import slipway
from servers import Proxy, Reply, Tftp, Web, redirect

FAR = "10.9.8.7"  # an address that is not a loopback one, so that proxies are asked
LARGE = 300 << 20
MORE_MEMORY_KIB = 8 << 10  # what a large body may take more than a small one


def data_url(data):
    return "data:;base64," + base64.b64encode(data).decode()


def sha512(data):
    return "sha512-" + hashlib.sha512(data).hexdigest()


def peak_memory_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+)", status)
    return int(found.group(1)) if found else 0


class Done:
    """A stage that has run."""

    def __init__(self, process, output, errors, seconds):
        self.code, self.output, self.errors, self.seconds = process.returncode, output, errors, seconds


class Host:
    """A machine to be: its root and what the stages exchange."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.directory.name)
        self.root = self.path / "root"
        self.root.mkdir()
        self.cmdline("")

    def cmdline(self, text):
        (self.path / "cmdline").write_text(text)

    def config(self, ignition=None, files=(), version="3.4.0"):
        tree = {"ignition": {"version": version, **(ignition or {})}, "storage": {"files": list(files)}}
        (self.path / "config.ign").write_text(json.dumps(tree))

    def argv(self, stage, *options):
        return [str(slipway.IGNITION), "--platform=file", f"--stage={stage}", f"--root={self.root}",
                f"--config-cache={self.path}/cache.json", f"--state-file={self.path}/state",
                f"--neednet={self.path}/neednet", "--log-to-stdout", *options]

    def start(self, stage, *options, **environment):
        return subprocess.Popen(self.argv(stage, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True,
                                env={**os.environ, "IGNITION_CONFIG_FILE": str(self.path / "config.ign"),
                                     "IGNITION_SYSTEM_CONFIG_DIR": str(self.path),
                                     "IGNITION_KERNEL_CMDLINE_PATH": str(self.path / "cmdline"), **environment})

    def run(self, stage, *options, **environment):
        began = time.monotonic()
        process = self.start(stage, *options, **environment)
        output, errors = process.communicate(timeout=2 * slipway.PATIENCE)
        return Done(process, output, errors, time.monotonic() - began)

    def peak_of(self, stage):
        """Runs a stage whose output is small, and returns the most memory it had."""
        process, peak = self.start(stage), 0
        while process.poll() is None:
            peak = max(peak, peak_memory_kib(process.pid))
            time.sleep(0.005)
        output, _ = process.communicate()
        if process.returncode != 0:
            raise AssertionError(output)
        return peak

    def content(self, path):
        return (self.root / path.lstrip("/")).read_bytes()

    def cache(self):
        return json.loads((self.path / "cache.json").read_text())


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.host = Host()
        self.addCleanup(self.host.directory.cleanup)

    def serve(self, server):
        self.enterContext(server)
        return server

    def passes(self, *stages):
        for stage in stages:
            done = self.host.run(stage)
            self.assertEqual(done.code, 0, done.output + done.errors)
        return done

    def fails(self, stage, *said, options=()):
        done = self.host.run(stage, *options)
        self.assertEqual(done.code, 1, done.output + done.errors)
        for text in said:
            self.assertIn(text, done.errors)
        return done

    def write(self, *resources, ignition=None, **more):
        """A configuration with a file for each resource: /0, /1, …; fetched and written."""
        self.host.config(ignition, [{"path": f"/{i}", "contents": resource, **more}
                                    for i, resource in enumerate(resources)])
        self.passes("fetch")
        return self.host.run("files")

    def writes(self, *resources, **more):
        done = self.write(*resources, **more)
        self.assertEqual(done.code, 0, done.output + done.errors)
        return done

    def refuses(self, resource, *said, **more):
        done = self.write(resource, **more)
        self.assertEqual(done.code, 1, done.output + done.errors)
        for text in said:
            self.assertIn(text, done.errors)
        self.assertFalse((self.host.root / "0").exists())
        return done


class Configurations(FetchTest):
    """The configuration itself comes from the network."""

    TEXT = b'{"ignition": {"version": "3.2.0"}, "storage": {"files": [{"path": "/x", "mode": 384}]}}'

    def test_url_on_the_kernel_command_line(self):
        web = self.serve(Web({"/c": self.TEXT}))
        self.host.cmdline(f"quiet ignition.config.url={web.url('/c')}\n")
        self.passes("fetch", "files")
        self.assertEqual(self.host.content("/x"), b"")
        self.assertEqual(dict(web.requests[0].headers), {
            "Host": f"127.0.0.1:{web.port}",
            "Accept-Encoding": "identity",
            "Accept": "application/vnd.coreos.ignition+json;version=3.6.0, */*;q=0.1",
            "User-Agent": web.requests[0].header("User-Agent"),
        })
        self.assertRegex(web.requests[0].header("User-Agent"), r"^Ignition/\d")

    def test_offline(self):
        web = self.serve(Web({"/c": self.TEXT}))
        self.host.cmdline(f"ignition.config.url={web.url('/c')}")
        self.passes("fetch-offline")
        self.assertTrue((self.host.path / "neednet").exists())
        self.assertFalse((self.host.path / "cache.json").exists())
        self.assertEqual(web.requests, [])

    def test_offline_with_something_remote(self):
        self.host.config(files=[{"path": "/x", "contents": {"source": "http://127.0.0.1:1/x"}}])
        self.passes("fetch-offline")
        self.assertTrue((self.host.path / "neednet").exists())
        self.assertTrue((self.host.path / "cache.json").exists())

    def test_what_needs_the_network_offline(self):
        tang = {"url": "http://127.0.0.1:1", "thumbprint": "x"}
        remote = {"source": "http://127.0.0.1:1/x"}
        cases = [
            (False, {}), (False, {"keyFile": {"source": "data:,x"}}), (True, {"keyFile": remote}),
            (True, {"clevis": {"tang": [tang]}}), (False, {"clevis": {"tang": [{**tang, "advertisement": "{}"}]}}),
            (True, {"clevis": {"tang": [{**tang, "advertisement": "{}"}, {**tang, "url": "http://127.0.0.1:2"}]}}),
            (False, {"clevis": {"tpm2": True}}), (False, {"clevis": {"custom": {"pin": "tpm2", "config": "{}"}}}),
            (True, {"clevis": {"custom": {"pin": "tpm2", "config": "{}", "needsNetwork": True}}}),
        ]
        for needed, volume in cases:
            with self.subTest(volume=volume):
                for name in ("neednet", "cache.json"):
                    (self.host.path / name).unlink(missing_ok=True)
                tree = {"ignition": {"version": "3.4.0"}, "storage": {"luks": [{"name": "a", "device": "/dev/a", **volume}]}}
                (self.host.path / "config.ign").write_text(json.dumps(tree))
                self.passes("fetch-offline")
                self.assertEqual((self.host.path / "neednet").exists(), needed)
                self.assertTrue((self.host.path / "cache.json").exists())
        for append in ([], [remote]):
            (self.host.path / "neednet").unlink(missing_ok=True)
            self.host.config(files=[{"path": "/x", "append": append}])
            self.passes("fetch-offline")
            self.assertEqual((self.host.path / "neednet").exists(), bool(append))

    def test_offline_with_a_remote_authority(self):
        tls = {"certificateAuthorities": [{"source": "http://127.0.0.1:1/ca"}]}
        self.host.config({"security": {"tls": tls}})
        self.passes("fetch-offline")
        self.assertTrue((self.host.path / "neednet").exists())
        self.assertFalse((self.host.path / "cache.json").exists())

    def test_not_there(self):
        web = self.serve(Web())
        self.host.cmdline(f"ignition.config.url={web.url('/c')}")
        self.fails("fetch", "ignition.config.url=", web.url("/c"), "attempt 1: HTTP status 404")

    def test_time_before_a_configuration(self):
        web = self.serve(Web({"/c": Reply(status=503)}))
        self.host.cmdline(f"ignition.config.url={web.url('/c')}")
        done = self.fails("fetch", "HTTP status 503; given up after 1s (--fetch-timeout)",
                          options=["--fetch-timeout=1s"])
        self.assertLess(done.seconds, 3 + slipway.SLACK)

    @unittest.skipIf(slipway.WATCHED, "under valgrind the deadline is over before there is an answer")
    def test_deadline(self):
        web = self.serve(Web({"/c": Reply(status=503)}))
        self.host.cmdline(f"ignition.config.url={web.url('/c')}")
        done = self.fails("fetch", web.url("/c"), "HTTP status 503; given up after 1.5s (--deadline)",
                          options=["--deadline=1500ms", "--fetch-timeout=0"])
        self.assertTrue(1 < done.seconds < 4 + slipway.SLACK, done.seconds)

    @unittest.skipIf(slipway.WATCHED, "under valgrind the deadline is over before there is an answer")
    def test_deadline_cuts_an_answer_short(self):
        web = self.serve(Web({"/c": [Reply(status=500), Reply(self.TEXT, wait=30)]}))
        self.host.cmdline(f"ignition.config.url={web.url('/c')}")
        done = self.fails("fetch", "attempt 2: no response headers when time was up",
                          "(before: HTTP status 500)", "(--deadline)", options=["--deadline=1s"])
        self.assertLess(done.seconds, 3 + slipway.SLACK)

    def test_a_signal_ends_the_waiting(self):
        web = self.serve(Web({"/c": Reply(status=503)}))
        self.host.cmdline(f"ignition.config.url={web.url('/c')}")
        process = self.host.start("fetch")
        while len(web.requests) < 4:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        process.communicate(timeout=10)
        self.assertNotEqual(process.returncode, 0)
        self.assertLess(time.monotonic() - began, 1 + slipway.SLACK)


class Retries(FetchTest):
    def test_errors_for_a_while(self):
        web = self.serve(Web({"/f": [Reply(status=500), Reply(b"no", status=503), b"yes"]}))
        done = self.writes({"source": web.url("/f")})
        self.assertEqual(self.host.content("/0"), b"yes")
        self.assertEqual(re.findall(r"GET error: (.*)", done.output),
                         ["HTTP status 500; next attempt in 200ms, time left: unlimited",
                          "HTTP status 503; next attempt in 400ms, time left: unlimited"])

    def test_server_that_is_not_up_yet(self):
        with Web() as web:
            port = web.port
        self.host.config(files=[{"path": "/0", "contents": {"source": f"http://127.0.0.1:{port}/f"}}])
        self.passes("fetch")
        process = self.host.start("files")
        for line in process.stdout:
            if "GET error" in line:
                break
        self.serve(Web({"/f": b"late"}, port=port))
        process.communicate(timeout=60)
        self.assertEqual((process.returncode, self.host.content("/0")), (0, b"late"))

    def test_refusals_are_final(self):
        for status in (400, 401, 403, 404, 410, 206, 304):
            with self.subTest(status):
                web = self.serve(Web({"/f": Reply(b"" if status == 304 else b"no", status=status)}))
                self.refuses({"source": web.url("/f")}, f"attempt 1: HTTP status {status}", web.url("/f"),
                             "$.storage.files.0.contents")
                self.assertEqual(len(web.requests), 1)

    def test_no_content(self):
        web = self.serve(Web({"/f": Reply(status=204, headers={"Content-Length": None})}))
        self.writes({"source": web.url("/f")})
        self.assertEqual(self.host.content("/0"), b"")

    def test_body_that_breaks_off(self):
        whole = b"what is there in the end"
        web = self.serve(Web({"/f": [Reply(bytes(200_000), cut=150_000), Reply(whole, cut=5), whole]}))
        self.writes({"source": web.url("/f"), "verification": {"hash": sha512(whole)}})
        self.assertEqual(self.host.content("/0"), whole)
        self.assertEqual(len(web.requests), 3)

    def test_compressed_body_that_breaks_off(self):
        whole = os.urandom(300_000)
        packed = gzip.compress(whole)
        web = self.serve(Web({"/f": [Reply(packed, cut=200_000), packed]}))
        self.writes({"source": web.url("/f"), "compression": "gzip", "verification": {"hash": sha512(whole)}})
        self.assertEqual(self.host.content("/0"), whole)

    def test_what_was_there_stays_when_an_appended_body_breaks_off(self):
        web = self.serve(Web({"/a": b"first ", "/b": [Reply(b"x" * 100, cut=50), b"second"]}))
        self.writes({"source": web.url("/a")}, append=[{"source": web.url("/b")}])
        self.assertEqual(self.host.content("/0"), b"first second")

    def test_time_for_headers(self):
        web = self.serve(Web({"/f": Reply(b"late", wait=30)}))
        done = self.refuses({"source": web.url("/f")}, "no response headers", "ignition.timeouts.httpTotal",
                            ignition={"timeouts": {"httpResponseHeaders": 1, "httpTotal": 4}})
        self.assertIn("GET error: no response headers within 1s; next attempt in 200ms", done.output)
        self.assertTrue(3 < done.seconds < 7 + slipway.SLACK, done.seconds)

    def test_slow_headers_are_waited_for(self):
        web = self.serve(Web({"/f": Reply(b"late", wait=1.5)}))
        self.writes({"source": web.url("/f")}, ignition={"timeouts": {"httpResponseHeaders": 0}})
        self.assertEqual(len(web.requests), 1)

    def test_total_time(self):
        web = self.serve(Web({"/f": Reply(status=502)}))
        done = self.refuses({"source": web.url("/f")},
                            "HTTP status 502; given up after 2s (ignition.timeouts.httpTotal)",
                            ignition={"timeouts": {"httpTotal": 2}})
        self.assertTrue(1.5 < done.seconds < 4 + slipway.SLACK, done.seconds)
        self.assertGreaterEqual(len(web.requests), 4)


class Contents(FetchTest):
    TEXT = b"hello\n" * 1000

    def test_compression_and_hash(self):
        packed = gzip.compress(self.TEXT)
        web = self.serve(Web({"/f": self.TEXT, "/z": packed, "/zz": packed + packed}))
        self.writes({"source": web.url("/f"), "verification": {"hash": sha512(self.TEXT)}},
                    {"source": web.url("/z"), "compression": "gzip",
                     "verification": {"hash": "sha256-" + hashlib.sha256(self.TEXT).hexdigest()}},
                    {"source": web.url("/zz"), "compression": "gzip"},
                    {"source": web.url("/z")})
        self.assertEqual([self.host.content(f"/{i}") for i in range(4)],
                         [self.TEXT, self.TEXT, self.TEXT * 2, packed])

    def test_content_encoding_is_not_undone(self):
        packed = gzip.compress(self.TEXT)
        web = self.serve(Web({"/f": Reply(packed, headers={"Content-Encoding": "gzip"})}))
        self.writes({"source": web.url("/f")})
        self.assertEqual(self.host.content("/0"), packed)

    def test_wrong_content(self):
        packed = gzip.compress(self.TEXT)
        web = self.serve(Web({"/f": self.TEXT, "/z": packed, "/short": packed[:-9], "/long": packed + b"x"}))
        for path, compression, hashed, said in (
                ("/f", None, b"other", "hash verification failed"),
                ("/z", "gzip", packed, "hash verification failed"),  # it is that of what is inside
                ("/f", "gzip", None, "gzip: incorrect header check"),
                ("/short", "gzip", None, "gzip: data ends early"),
                ("/long", "gzip", None, "gzip: ")):
            with self.subTest(path=path, said=said):
                web.requests.clear()
                resource = {"source": web.url(path), "compression": compression}
                if hashed:
                    resource["verification"] = {"hash": sha512(hashed)}
                self.refuses(resource, said)
                self.assertEqual(len(web.requests), 1)

    @unittest.skipIf(slipway.WATCHED, "the memory would be valgrind's own")
    def test_large_bodies_take_no_memory(self):
        packed = gzip.compress(bytes(LARGE), 1)
        web = self.serve(Web({"/small": b"x", "/large": Reply(size=LARGE), "/bomb": packed}))
        peaks = {}
        for path, compression in (("/small", None), ("/large", None), ("/bomb", "gzip")):
            self.host.config(files=[{"path": path, "contents": {
                "source": web.url(path), "compression": compression,
                "verification": {"hash": sha512(b"x" if path == "/small" else bytes(LARGE))}}}])
            self.passes("fetch")
            peaks[path] = self.host.peak_of("files")
        self.assertEqual((self.host.root / "large").stat().st_size, LARGE)
        self.assertEqual((self.host.root / "bomb").stat().st_size, LARGE)
        self.assertGreater(peaks["/small"], 1024)
        self.assertLess(max(peaks.values()) - peaks["/small"], MORE_MEMORY_KIB, peaks)


class Headers(FetchTest):
    def test_own_headers_replace_defaults(self):
        web = self.serve(Web({"/f": b"x"}))
        self.writes({"source": web.url("/f"), "httpHeaders": [{"name": "X-Own", "value": "a b"},
                                                              {"name": "accept", "value": "text/plain"},
                                                              {"name": "User-Agent", "value": "me"}]})
        names = {name.lower(): value for name, value in web.requests[0].headers}
        self.assertEqual(len(web.requests[0].headers), len(names))
        self.assertEqual(names, {"host": f"127.0.0.1:{web.port}", "x-own": "a b", "accept": "text/plain",
                                 "user-agent": "me", "accept-encoding": "identity"})

    def test_a_header_without_value(self):
        web = self.serve(Web({"/f": b"x"}))
        self.refuses({"source": web.url("/f"), "httpHeaders": [{"name": "X-Own", "value": None}]},
                     "unable to parse HTTP header 'X-Own'", "$.storage.files.0.contents.httpHeaders.0")
        self.assertEqual(web.requests, [])

    def test_a_header_cannot_bring_another(self):
        web = self.serve(Web({"/f": b"x"}))
        for name, value in (("X-Own", "a\r\nX-Other: b"), ("X-Own: a\r\nX-Other", "b"), ("X Own", "a")):
            with self.subTest(name):
                self.refuses({"source": web.url("/f"), "httpHeaders": [{"name": name, "value": value}]},
                             "unable to parse HTTP header")
        self.assertEqual(web.requests, [])

    def test_redirects_drop_all_of_them(self):
        goal = self.serve(Web({"/goal": b"here"}))
        for status in (301, 302, 303, 307, 308):
            web = self.serve(Web({"/f": redirect("/same", status), "/same": redirect(goal.url("/goal"), status)}))
            with self.subTest(status):
                self.writes({"source": web.url("/f"), "httpHeaders": [{"name": "Authorization", "value": "me"}]})
                self.assertEqual(self.host.content("/0"), b"here")
                self.assertEqual(web.requests[0].header("Authorization"), "me")
                self.assertEqual(web.requests[1].headers, [("Host", f"127.0.0.1:{web.port}")])
                self.assertEqual(goal.requests[-1].headers, [("Host", f"127.0.0.1:{goal.port}")])
            (self.host.root / "0").unlink()

    def test_many_redirects(self):
        routes = {f"/{i}": redirect(f"/{i + 1}") for i in range(22)} | {"/22": b"here"}
        web = self.serve(Web(routes))
        self.writes({"source": web.url("/0")})
        self.assertEqual(len(web.requests), 23)

    def test_a_loop_ends_with_the_time(self):
        web = self.serve(Web({"/f": redirect("/f")}))
        done = self.refuses({"source": web.url("/f")}, " redirects", ignition={"timeouts": {"httpTotal": 2}})
        self.assertLess(done.seconds, 4 + slipway.SLACK)
        self.assertLess(len(web.requests), 40)

    def test_redirects_that_lead_elsewhere(self):
        for target in ("file:///etc/passwd", "ftp://127.0.0.1/x", "tftp://127.0.0.1/x", "data:,x"):
            with self.subTest(target):
                web = self.serve(Web({"/f": redirect(target)}))
                self.refuses({"source": web.url("/f")}, f"redirect to {target}")

    def test_an_error_behind_a_redirect_starts_from_the_beginning(self):
        web = self.serve(Web({"/f": redirect("/g"), "/g": [Reply(status=500), b"here"]}))
        self.writes({"source": web.url("/f"), "httpHeaders": [{"name": "X-Own", "value": "a"}]})
        self.assertEqual(web.paths(), ["/f", "/g", "/f", "/g"])
        self.assertEqual([request.header("X-Own") for request in web.requests], ["a", None, "a", None])


class Proxies(FetchTest):
    def test_what_goes_through(self):
        proxy, web = self.serve(Proxy()), self.serve(Web({"/f": b"direct"}, host=FAR))
        for bypass, content in (([], b"proxied"), ([FAR], b"direct"), (["10.0.0.0/8"], b"direct"),
                                ([f"{FAR}:{web.port}"], b"direct"), ([f"{FAR}:1"], b"proxied"),
                                (["example.com", "*"], b"direct"), (["10.0.0.0/16"], b"proxied")):
            with self.subTest(bypass):
                self.writes({"source": web.url("/f")}, ignition={"proxy": {"httpProxy": proxy.url,
                                                                           "noProxy": bypass}})
                self.assertEqual(self.host.content("/0"), content)
            (self.host.root / "0").unlink()
        self.assertEqual({request.path for request in proxy.requests}, {web.url("/f")})

    def test_loopback_never_does(self):
        proxy, web = self.serve(Proxy()), self.serve(Web({"/f": b"direct"}))
        self.writes({"source": web.url("/f")}, {"source": web.url("/f").replace("127.0.0.1", "localhost")},
                    ignition={"proxy": {"httpProxy": proxy.url}})
        self.assertEqual(self.host.content("/0") + self.host.content("/1"), b"directdirect")
        self.assertEqual(proxy.requests, [])

    def test_the_environment_is_ignored(self):
        proxy, web = self.serve(Proxy()), self.serve(Web({"/f": b"direct"}, host=FAR))
        self.host.config(files=[{"path": "/0", "contents": {"source": web.url("/f")}}])
        self.passes("fetch")
        names = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
        done = self.host.run("files", **{name: proxy.url for name in names})
        self.assertEqual((done.code, self.host.content("/0")), (0, b"direct"))
        (self.host.root / "0").unlink()
        self.host.config({"proxy": {"httpProxy": proxy.url}}, [{"path": "/0", "contents": {"source": web.url("/f")}}])
        self.passes("fetch")
        done = self.host.run("files", no_proxy="*", NO_PROXY="*")
        self.assertEqual((done.code, self.host.content("/0")), (0, b"proxied"))


class Authorities(FetchTest):
    @classmethod
    def setUpClass(cls):
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.authority = servers.Authority(pathlib.Path(directory))
        cls.issued = cls.authority.issue(FAR, "127.0.0.1")
        cls.pem = cls.authority.certificate.read_bytes()

    def trust(self, *sources, **more):
        return {"security": {"tls": {"certificateAuthorities": [{"source": s} for s in sources]}}, **more}

    def test_unknown_authority(self):
        web = self.serve(Web({"/f": b"x"}, tls=self.issued))
        total = 15 if slipway.WATCHED else 1  # under valgrind a handshake takes its time
        self.refuses({"source": web.url("/f")}, "certificate", ignition={"timeouts": {"httpTotal": total}})
        self.assertEqual(web.requests, [])

    def test_own_authority(self):
        web = self.serve(Web({"/f": b"secret"}, tls=self.issued))
        self.writes({"source": web.url("/f")}, ignition=self.trust(data_url(b"# ours\n" + self.pem + b"\n" + self.pem)))
        self.assertEqual(self.host.content("/0"), b"secret")

    def test_name_that_does_not_match(self):
        web = self.serve(Web({"/f": b"x"}, tls=self.issued, name="localhost"))
        self.refuses({"source": web.url("/f")}, "localhost",
                     ignition=self.trust(data_url(self.pem), timeouts={"httpTotal": 1}))
        self.assertEqual(web.requests, [])

    def test_remote_authority_goes_into_the_cache(self):
        web = self.serve(Web({"/f": b"secret"}, tls=self.issued))
        plain = self.serve(Web({"/ca": gzip.compress(self.pem)}))
        tls = {"certificateAuthorities": [{"source": plain.url("/ca"), "compression": "gzip",
                                           "verification": {"hash": sha512(self.pem)},
                                           "httpHeaders": [{"name": "X-Own", "value": "a"}]}]}
        self.writes({"source": web.url("/f")}, ignition={"security": {"tls": tls}})
        self.assertEqual(self.host.content("/0"), b"secret")
        self.assertEqual([request.header("X-Own") for request in plain.requests], ["a"])
        self.assertEqual(self.host.cache()["ignition"]["security"]["tls"]["certificateAuthorities"],
                         [{"source": data_url(self.pem), "verification": {"hash": sha512(self.pem)}}])

    def test_garbage(self):
        key = self.authority.key.read_bytes()
        for bundle in (b"no certificate", self.pem + b"garbage", self.pem[:-40], self.pem + key, key,
                       b"<html>" + self.pem.replace(b"BEGIN", b"BEG1N")):
            with self.subTest(bundle[:30]):
                self.host.config(self.trust(data_url(bundle)))
                self.fails("fetch", "certificate authority: ", "PEM block",
                           "$.ignition.security.tls.certificateAuthorities.0.source")

    def test_through_a_proxy(self):
        proxy, web = self.serve(Proxy()), self.serve(Web({"/f": b"secret"}, host=FAR, tls=self.issued))
        self.writes({"source": web.url("/f"), "httpHeaders": [{"name": "X-Own", "value": "a"}]},
                    ignition=self.trust(data_url(self.pem), proxy={"httpsProxy": proxy.url}))
        self.assertEqual(self.host.content("/0"), b"secret")
        self.assertEqual([(r.method, r.path, r.header("X-Own")) for r in proxy.requests],
                         [("CONNECT", f"{FAR}:{web.port}", None)])
        self.assertEqual(web.requests[0].header("X-Own"), "a")

    def test_handshake_that_never_comes(self):
        web = self.serve(Web())  # plain: does not answer a client's hello
        url = web.url("/f").replace("http:", "https:")
        self.refuses({"source": url}, url, ignition={"timeouts": {"httpTotal": 1}})


class OverTftp(FetchTest):
    def test_files(self):
        text = b"0123456789" * 1000
        tftp = self.serve(Tftp({"/dir/f": text, "/z": gzip.compress(text), "/empty": b"", "/even": b"x" * 1024}))
        self.writes({"source": tftp.url("/dir/f")},
                    {"source": tftp.url("/z"), "compression": "gzip", "verification": {"hash": sha512(text)}},
                    {"source": tftp.url("/empty")}, {"source": tftp.url("/even")})
        self.assertEqual([self.host.content(f"/{i}") for i in range(4)], [text, text, b"", b"x" * 1024])
        self.assertEqual(tftp.asked[0], ("/dir/f", "octet"))

    def test_not_there(self):
        tftp = self.serve(Tftp({}))
        self.refuses({"source": tftp.url("/f")}, "attempt 1: ", tftp.url("/f"))
        self.assertEqual(len(tftp.asked), 1)

    def test_lost_packets(self):
        tftp = self.serve(Tftp({"/f": b"x" * 2000}, lose=1))
        done = self.writes({"source": tftp.url("/f")})
        self.assertEqual(self.host.content("/0"), b"x" * 2000)
        self.assertLess(done.seconds, 20 + slipway.SLACK)

    def test_nobody_there(self):
        self.refuses({"source": "tftp://127.0.0.1:9/f"}, "tftp://127.0.0.1:9/f",
                     ignition={"timeouts": {"httpTotal": 2}})


if __name__ == "__main__":
    servers.enter_namespace(FAR)
    unittest.main()
