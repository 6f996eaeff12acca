#!/usr/bin/env python3
"""slipway-health against a systemd that answers as the test wants, and against none."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import manager_bus
import slipway

HEALTH = slipway.LIBEXEC / "slipway-health"
SOCKET = pathlib.Path("/run/systemd/private")


def enter_namespace():
    """With a /run and a /bin for podman of our own."""
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--mount", "--net", sys.executable, *sys.argv])
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)


class Systemd:
    """Units by name: (load, active); what was asked of it."""

    def __init__(self):
        self.lock, self.units, self.asked = threading.Lock(), {}, []

    def set(self, **units):
        with self.lock:
            self.asked.clear()
            self.units = {"default.target": "active"} | {k.replace("_", "."): v for k, v in units.items()}

    def answer(self, member, arguments):
        with self.lock:
            self.asked.append((member, arguments))
            if member == "ListUnitsByNames":
                return manager_bus.units([(n, "loaded" if n in self.units else "not-found",
                                           self.units.get(n, "inactive")) for n in arguments])
            if member == "ListUnitsFiltered":
                return manager_bus.units([(n, "loaded", state) for n, state in self.units.items()
                                          if state in arguments])
        return "o", manager_bus.text("/job/1")


def run(checks, deadline=1, path=None, options=()):
    """(exit status, output) of the checks."""
    with tempfile.TemporaryDirectory() as root:
        directory = pathlib.Path(root, "usr/lib/slipway/health.d")
        directory.mkdir(parents=True)
        (directory / "x.json").write_text(json.dumps({"checks": checks, "deadline": deadline}))
        env = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}
        done = subprocess.run([str(HEALTH), f"--root={root}", *options], capture_output=True, text=True,
                              timeout=slipway.PATIENCE, env=env | ({"PATH": path} if path else {}))
        return done.returncode, done.stdout + done.stderr


class Health(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.systemd = Systemd()
        manager_bus.serve(str(SOCKET), cls.systemd.answer)

    def good(self, check, deadline=30):
        status, output = run([{"name": "x"} | check], deadline)
        self.assertEqual((status, output), (0, "x: passed\n"))

    def bad(self, check, reason, **options):
        status, output = run([{"name": "x"} | check], **options)
        self.assertEqual(status, 1, output)
        self.assertEqual(output, f"x: failed: {reason}\nslipway-health: x: {reason}\n")

    def test_units(self):
        self.systemd.set(a_service="active", b_socket="active", c_service="failed")
        self.good({"units": ["a.service", "b.socket"]})
        self.bad({"units": ["a.service", "c.service"]}, "c.service is failed")
        self.bad({"units": ["c.service", "d.mount"]}, "c.service is failed, d.mount is not found")
        self.systemd.set(a_service="activating")
        self.bad({"units": ["a.service"]}, "a.service is activating")

    def test_many_units(self):
        self.systemd.set()
        names = [f"u{i}.service" for i in range(10)]
        self.bad({"units": names}, ", ".join(f"{n} is not found" for n in names[:8]) + ", …")

    def test_becomes_active(self):
        self.systemd.set(a_service="activating")
        threading.Timer(1.5, self.systemd.set, kwargs={"a_service": "active"}).start()
        started = time.monotonic()
        self.good({"units": ["a.service"]})
        self.assertGreaterEqual(time.monotonic() - started, 1)

    def test_failed_units(self):
        self.systemd.set(a_service="active")
        self.good({"noFailedUnits": True})
        self.systemd.set(a_service="failed", b_service="failed")
        self.bad({"noFailedUnits": True}, "a.service is failed, b.service is failed")

    def test_nothing_failed_yet(self):
        """Before the default target is reached nothing is known to be well."""
        self.systemd.set(default_target="inactive")
        self.bad({"noFailedUnits": True}, "default.target is inactive")

    def test_container(self):
        with tempfile.TemporaryDirectory() as tools:
            podman = pathlib.Path(tools, "podman")
            podman.write_text("#!/bin/sh\n[ \"$*\" = 'container inspect --format={{.State.Status}} -- web' ] || exit 9\n"
                              f"cat {tools}/state\n")
            podman.chmod(0o755)
            path = f"{tools}:/usr/bin:/bin"
            pathlib.Path(tools, "state").write_text("running\n")
            self.assertEqual(run([{"name": "x", "container": "web"}], 30, path), (0, "x: passed\n"))
            pathlib.Path(tools, "state").write_text("exited\n")
            self.bad({"container": "web"}, "container 'web' is exited", path=path)
            pathlib.Path(tools, "state").unlink()
            self.bad({"container": "web"}, f"podman: exit status 1: cat: {tools}/state: No such file or directory",
                     path=path)

    def test_by_hand_nothing_reboots(self):
        """Not without --trial, and not where no boot loader says that this is one."""
        self.systemd.set()
        for options in ((), ("--trial",)):
            status, _ = run([{"name": "x", "command": ["false"]}], options=options)
            self.assertEqual(status, 1)
        self.assertEqual([a for a in self.systemd.asked if a[0] == "StartUnit"], [])

    def test_no_systemd(self):
        SOCKET.rename("/run/elsewhere")
        try:
            status, output = run([{"name": "x", "units": ["a.service"]}])
        finally:
            pathlib.Path("/run/elsewhere").rename(SOCKET)
        self.assertEqual(status, 1)
        self.assertIn("x: failed: connect to systemd: ", output)

    def test_no_directory(self):
        done = subprocess.run([str(HEALTH), "--root=/nonexistent"], capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stderr),
                         (1, "slipway-health: /nonexistent: No such file or directory\n"))


if __name__ == "__main__":
    enter_namespace()
    unittest.main()
