#!/usr/bin/env python3
"""slipway-update from release to release, on files: what is offered, planned, applied, refused; and the bus."""

import contextlib
import functools
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import site_reader as reader
from servers import Reply, Web
from tiny import EPOCH, Key, Tiny, noise
from updatable import Machine, UpdateSite


# Runs a program and prints its peak memory in KiB; small itself, as a child begins with its parent's.
PEAK = """import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)"""


class Quiet(http.server.ThreadingHTTPServer):
    """Clients that go away in the middle are what is tested."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """A web server that understands Range; `limit` bytes of images, then it is gone."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send_endless(self):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            for _ in range(1 << 10):
                self.wfile.write(bytes(1 << 20))
                self.server.sent += 1

    def do_GET(self):
        server, path = self.server, pathlib.Path(self.translate_path(self.path))
        if server.endless and self.path.endswith(server.endless):
            return self.send_endless()
        if not path.is_file() or server.gone:
            return self.send_error(404)
        data, wanted = path.read_bytes(), self.headers.get("Range")
        status, headers = 200, {}
        if wanted:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted).groups()
            total, data = len(data), data[int(first):int(last) + 1]
            status, headers = 206, {"Content-Range": f"bytes {first}-{int(first) + len(data) - 1}/{total}"}
        if "/images/" in self.path:
            server.served += len(data)
            if server.limit is not None and server.served > server.limit:
                server.gone = True
                return self.send_error(503)
            server.slow.wait(server.delay)
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data)
        return None


@contextlib.contextmanager
def serving(directory):
    server = Quiet(("127.0.0.1", 0), functools.partial(RangeHandler, directory=str(directory)))
    server.served, server.limit, server.gone, server.endless, server.sent = 0, None, False, None, 0
    server.delay, server.slow = 0, threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.slow.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Update(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tiny = cls.enterClassContext(Tiny(cls.enterClassContext(Key())))
        cls.site = UpdateSite(cls.tiny)
        cls.tiny.layer["attributes"] = []
        cls.site.release("1.0", EPOCH)
        cls.site.release("1.1", EPOCH + 1, **{"usr/share/tiny/motd": "This is 1.1\n",
                                              "usr/etc/tiny.conf": "of the release\n",
                                              "usr/share/tiny/more": noise(400000, 7).hex()})
        cls.site.publish("1.0")
        cls.site.publish("1.1")

    def setUp(self):
        self.server = self.enterContext(serving(self.site.path))
        self.site.url = f"http://127.0.0.1:{self.server.server_port}"
        self.machine = Machine(self.tiny, "1.0", self.site)
        self.addCleanup(self.machine.remove)
        self.new_hash = json.loads(next((self.tiny.path / "1.1").glob("*.report.json")).read_text())["rootHash"]

    def refused(self, text, *words):
        """One message, and a disk and an ESP as they were."""
        before = self.machine.state()
        done = self.machine.run(*words)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn(text, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(before == self.machine.state(), "something was written")

    def applied(self):
        m = self.machine
        m.verify_slot("B", self.new_hash)
        m.check_table()
        self.assertEqual(m.names(), ["slipway_1.0.efi", "slipway_1.1+3.efi"])
        self.assertEqual((m.entries / "slipway_1.1+3.efi").read_bytes(),
                         next((self.tiny.path / "1.1").glob("*.efi")).read_bytes())
        b = m.slots()["B"]
        self.assertEqual((b["version"], b["state"], b["entry"], b["triesLeft"]), ("1.1", "idle", "trial", 3))

    def test_from_release_to_release(self):
        m = self.machine
        self.assertIsNone(m.json("status")["lastCheck"])
        before = m.state()
        self.assertEqual(m.update("check"), "release 1.1 can be applied\n")
        check = m.json("check")
        self.assertEqual((check["state"], check["running"], check["version"], check["rootHash"]),
                         ("available", "1.0", "1.1", self.new_hash))
        plan = m.json("plan")
        self.assertTrue(before == m.state(), "looking writes nothing")
        self.assertTrue(plan["fits"])
        self.assertGreater(plan["usr"]["reused"], 0)
        self.assertGreater(plan["fetchBytes"], 100000)
        applied = m.json("apply")
        self.assertTrue(applied["applied"])
        self.applied()
        status = m.json("status")
        self.assertEqual((status["pending"], status["lastCheck"]["version"]), ("1.1", "1.1"))
        self.assertEqual(m.update("check"), "release 1.1 is there, and boots next\n")
        served = self.server.served
        self.assertFalse(m.json("apply")["applied"])
        self.assertEqual(self.server.served, served, "nothing is fetched again")
        events = m.json("history")
        self.assertEqual([(e["event"], e["version"], e["rootHash"]) for e in events],
                         [("staged", "1.1", self.new_hash)])
        m.boot("1.1")
        self.assertEqual(m.update("check"), "release 1.1 runs\n")
        self.assertEqual(m.update("rollback"), "release 1.0 boots next\n")
        self.assertEqual(m.json("status")["pending"], "1.0")
        m.boot("1.0", blessed=False)
        self.assertEqual(m.json("check")["state"], "rolled-back")
        before = m.state()
        self.assertIn("rolled back by hand", m.update("auto"))
        self.assertTrue(before == m.state(), "nobody asked for it")
        self.assertEqual(m.update("rollback"), "release 1.1 boots next\n")
        self.assertEqual(m.json("status")["pending"], "1.1")
        self.assertEqual([e["event"] for e in m.json("history")], ["staged", "rolled-back", "rolled-back"])

    def test_stage_only(self):
        m = self.machine
        self.assertEqual(m.update("apply", "--stage-only"), "release 1.1 is staged\n")
        self.assertEqual(m.json("status")["pending"], None)
        served = self.server.served
        m.update("apply")
        self.applied()
        self.assertLess(self.server.served - served, 32768, "all but trees was there")

    def test_plan_tells_what_to_look_at(self):
        m = self.machine
        m.write("etc/tiny.conf", "of this machine\n")   # new here and in the release
        m.write("etc/own.conf", "nobody else's\n")
        m.write("var/lib/extensions/old/usr/lib/extension-release.d/extension-release.old",
                "ID=tiny\nSYSEXT_LEVEL=0.9\n")
        m.write("var/lib/extensions/any/usr/lib/extension-release.d/extension-release.any", "ID=_any\n")
        m.write("etc/extensions/v/usr/lib/extension-release.d/extension-release.v", "ID=tiny\nVERSION_ID=1\n")
        m.write("run/extensions/w/usr/lib/extension-release.d/extension-release.w", "ID=tiny\nVERSION_ID=7\n")
        plan = m.json("plan")
        self.assertEqual(plan["etc"], ["tiny.conf"])
        self.assertEqual(sorted(e["name"] for e in plan["extensions"]), ["old", "w"])
        self.assertIn("changed here and in the release: /etc/tiny.conf\n", m.update("plan"))

    def test_no_site(self):
        self.machine.configure()
        self.refused("no site is configured", "check")
        self.assertEqual(self.machine.update("auto"), "")

    def test_keys(self):
        m = self.machine
        m.write("etc/slipway/revoked.d/site.ed25519", self.site.public.read_text())
        self.refused("revoked", "apply")
        other = reader.keygen(m.path / "other").with_suffix(".ed25519").read_text()
        m.write("etc/slipway/keys.d/other.ed25519", other)
        self.refused("none of the keys", "apply")
        (m.root / "etc/slipway/revoked.d/site.ed25519").unlink()
        self.assertIn("can be applied", m.update("check"))

    def test_other_image(self):
        m = self.machine
        m.write("usr/lib/os-release", "IMAGE_ID=big\nIMAGE_VERSION=1.0\nSLIPWAY_TIMESTAMP=1\n")
        self.refused("big/amd64/stable", "apply")

    def test_downgrade(self):
        m = self.machine
        text = (m.root / "usr/lib/os-release").read_text()
        m.write("usr/lib/os-release", re.sub(r"TIMESTAMP=\d+", f"TIMESTAMP={EPOCH + 100}", text))
        self.refused("older than 1.0", "apply")
        m.update("apply", "--allow-downgrade")
        m.verify_slot("B", self.new_hash)

    def test_replayed_summary(self):
        m = self.machine
        m.update("check")
        state = json.loads((m.root / "var/lib/slipway/site.json").read_text())
        state["summaryTimestamp"] += 1
        m.write("var/lib/slipway/site.json", json.dumps(state))
        self.refused("older than the one that was seen before", "apply")

    def test_failed_release(self):
        m = self.machine
        event = {"time": 1, "event": "fell-back", "version": "1.1", "rootHash": self.new_hash, "tries": 3}
        m.write("var/lib/slipway/history.jsonl", json.dumps(event) + "\n")
        self.refused("fell back on this machine before", "apply")
        self.assertIn("fell back", m.update("auto"))
        m.update("apply", "--force")
        self.applied()

    def test_server_gone(self):
        m = self.machine
        self.server.limit = 60000
        done = m.run("apply")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(m.slots()["A"]["entry"], "good")
        self.assertNotIn("slipway_1.1+3.efi", m.names())
        m.check_table()
        self.server.limit, self.server.gone = None, False
        m.update("apply")
        self.applied()

    def test_endless_answers(self):
        """Neither memory nor disk takes what a server sends without end."""
        m = self.machine
        for name in ("/repo/summary", "/summary.sig", ".commitmeta", ".commit"):
            self.server.endless, self.server.sent = name, 0
            before = m.state()
            done = subprocess.run([sys.executable, "-c", PEAK, *m.argv("apply")], capture_output=True, text=True,
                                  timeout=120, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertTrue(before == m.state(), name)
            self.assertLess(int(done.stdout), 64 << 10, name)
            self.assertLess(self.server.sent, 300, name)
            self.assertFalse((m.root / "var/lib/slipway/site.json").exists())

    def test_cancel_and_two_at_once(self):
        m = self.machine
        self.server.delay = 30
        process = m.start("apply")
        deadline = time.monotonic() + 30
        while self.server.served == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertIn("another update is under way", m.run("apply").stderr)
        process.send_signal(signal.SIGTERM)
        self.server.slow.set()
        self.assertEqual(process.wait(timeout=30), -signal.SIGTERM)
        process.communicate()
        m.check_table()
        m.update("apply")
        self.applied()

    def test_does_not_fit(self):
        self.tiny.manifest["partitions"] |= {"usr": "8M"}
        self.site.release("1.2", EPOCH + 2, **{"usr/share/tiny/huge": noise(3 << 20, 9).hex()})
        self.site.publish("1.2", channel="large")
        self.machine.configure(site=self.site.url, channel="large")
        self.refused("release 1.2 does not fit: its image in its partition wants", "apply")
        plan = self.machine.json("plan")
        self.assertFalse(plan["fits"])
        self.assertIn("does not fit", plan["reason"])

    def test_auto_and_reboot(self):
        m = self.machine
        m.configure(site=self.site.url, reboot="marker", window={"days": []})
        m.update("auto")
        self.applied()
        self.assertTrue((m.root / "run/reboot-required").exists())
        self.assertEqual((m.root / "run/reboot-required.pkgs").read_text(), "slipway-release-1.1\n")

    def test_marker_of_an_update_by_hand(self):
        m = self.machine
        m.configure(site=self.site.url, reboot="marker")
        m.update("apply", "--stage-only")
        self.assertFalse((m.root / "run/reboot-required").exists())
        m.update("apply")
        self.assertEqual((m.root / "run/reboot-required.pkgs").read_text(), "slipway-release-1.1\n")
        self.assertTrue((m.root / "run/reboot-required").exists())

    def test_closed_window(self):
        m = self.machine
        start = time.strftime("%H:%M", time.localtime(time.time() + 6 * 3600))
        m.configure(site=self.site.url, window={"start": start, "lengthMinutes": 60})
        m.update("auto")
        self.assertEqual(m.names(), ["slipway_1.0.efi"])
        self.assertEqual(m.json("status")["lastCheck"]["version"], "1.1")

    def test_fleetlock(self):
        m = self.machine
        with Web({"/v1/pre-reboot": Reply(b"{}", status=409), "/v1/steady-state": b""}) as web:
            m.configure(site=self.site.url, reboot="fleetlock", fleetlockUrl=web.url(""), fleetlockGroup="edge")
            self.assertIn("not rebooted yet", m.update("auto"))
            self.applied()
            request = web.requests[-1]
            self.assertEqual((request.method, request.path, request.header("fleet-lock-protocol")),
                             ("POST", "/v1/pre-reboot", "true"))
            client = json.loads(request.body)["client_params"]
            self.assertEqual(client["group"], "edge")
            self.assertRegex(client["id"], "^[0-9a-f]{32}$")
            m.boot("1.1")
            for _ in range(2):
                m.update("auto")
            self.assertEqual([r.path for r in web.requests], ["/v1/pre-reboot", "/v1/steady-state"])

    def test_inspect_refuses_files(self):
        self.machine.update("apply")
        self.refused("not a device", "inspect", "ls", "-l")


class Bus(Update):
    """The daemon on a bus of its own."""

    def setUp(self):
        super().setUp()
        directory = self.enterContext(tempfile.TemporaryDirectory())
        config = pathlib.Path(directory, "bus.conf")
        config.write_text(f"""<busconfig><type>session</type><listen>unix:path={directory}/bus</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
<allow user="*"/></policy></busconfig>""")
        bus = subprocess.Popen(["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(self.stop, bus)
        self.environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus.stdout.readline().strip()}
        self.daemon = subprocess.Popen(self.machine.argv("daemon"), env=self.environment,
                                       stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.stop, self.daemon)
        deadline = time.monotonic() + 20
        while self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.GetNameOwner",
                        "string:org.slipway.Update1").returncode and time.monotonic() < deadline:
            time.sleep(0.1)

    @staticmethod
    def stop(process):
        process.terminate()
        process.communicate(timeout=20)

    def call(self, destination, path, method, *arguments):
        return subprocess.run(["dbus-send", "--system", "--print-reply=literal", f"--dest={destination}", path, method,
                               *arguments], env=self.environment, capture_output=True, text=True, timeout=60,
                              check=False)

    def method(self, name):
        return self.call("org.slipway.Update1", "/org/slipway/Update1", f"org.slipway.Update1.{name}")

    def property(self, name):
        done = self.call("org.slipway.Update1", "/org/slipway/Update1", "org.freedesktop.DBus.Properties.Get",
                         "string:org.slipway.Update1", f"string:{name}")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split("variant", 1)[1].strip()

    def wait_idle(self):
        deadline = time.monotonic() + 60
        while self.property("State") != "idle" and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.property("State"), "idle")


def load_tests(loader, tests, pattern):
    """The tests of the bus are its own, not those that it inherits the machine from."""
    suite = unittest.TestSuite()
    suite.addTests(loader.loadTestsFromTestCase(Update))
    suite.addTests(Bus(name) for name in ("bus_check", "bus_apply", "bus_cancel", "bus_rollback"))
    return suite


def bus_check(self):
    done = self.method("Check")
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertIn('"state":', done.stdout)
    self.assertIn("available", done.stdout)
    self.assertEqual(self.property("LastError"), "")
    self.server.gone = True
    done = self.method("Check")
    self.assertNotEqual(done.returncode, 0)
    self.assertIn("org.slipway.Update1.Failed", done.stderr)
    self.assertIn("summary", self.property("LastError"))


def bus_apply(self):
    monitor = subprocess.Popen(["dbus-monitor", "--system", "interface='org.freedesktop.DBus.Properties'"],
                               env=self.environment, stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    done = self.method("Apply")
    self.assertEqual(done.returncode, 0, done.stderr)
    self.wait_idle()
    self.assertEqual(self.property("LastError"), "")
    self.applied()
    slots = self.property("Slots")
    self.assertRegex(slots, r"(?s)A\s+running\s+1\.0\s+good.*B\s+idle\s+1\.1\s+trial")
    monitor.terminate()
    seen = monitor.communicate(timeout=20)[0]
    for state in ("checking", "staging", "verifying", "finalizing", "idle"):
        self.assertIn(f'string "{state}"', seen)


def bus_cancel(self):
    self.assertIn("org.slipway.Update1.Idle", self.method("Cancel").stderr)
    self.server.delay = 30
    self.assertEqual(self.method("Apply").returncode, 0)
    deadline = time.monotonic() + 30
    while self.server.served == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    self.assertEqual(self.property("State"), "staging")
    self.assertIn("org.slipway.Update1.Busy", self.method("Apply").stderr)
    self.assertEqual(self.method("Cancel").returncode, 0)
    self.server.slow.set()
    self.wait_idle()
    self.assertIn("signal 15", self.property("LastError"))
    self.assertNotIn("slipway_1.1+3.efi", self.machine.names())


def bus_rollback(self):
    done = self.method("Rollback")
    self.assertIn("no release that could be booted", done.stderr)
    self.machine.update("apply")
    self.machine.boot("1.1")
    done = self.method("Rollback")
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertEqual(self.machine.json("status")["pending"], "1.0")


for function in (bus_check, bus_apply, bus_cancel, bus_rollback):
    setattr(Bus, function.__name__, function)


if __name__ == "__main__":
    unittest.main()
