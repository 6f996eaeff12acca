#!/usr/bin/env python3
"""A configuration in a file on a device that the kernel command line names: mounted read-only, read, let go."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

CONFIG = b'{"ignition": {"version": "3.2.0"}, "storage": {"directories": [{"path": "/found"}]}}'


class Devices(unittest.TestCase):
    @classmethod
    def device(cls, image):
        loop = subprocess.run(["losetup", "--find", "--show", "--read-only", str(image)], check=True, capture_output=True,
                              text=True).stdout.strip()
        cls.addClassCleanup(subprocess.run, ["losetup", "--detach", loop], check=True)
        return loop

    @classmethod
    def setUpClass(cls):
        cls.path = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        image = cls.path / "image"
        content = cls.path / "content"
        (content / "etc").mkdir(parents=True)
        (content / "etc" / "config.ign").write_bytes(CONFIG)
        (content / "link.ign").symlink_to("/etc/config.ign")  # inside the device
        (content / "escape.ign").symlink_to("../../../../../../etc/hostname")
        subprocess.run(["mkfs.ext4", "-q", "-d", str(content), str(image), "4M"], check=True)
        cls.disk = cls.device(image)

    def fetch(self, device, path, *options):
        cmdline, cache = self.path / "cmdline", self.path / "cache"
        cmdline.write_text(f"ignition.config.device={device} ignition.config.path={path}\n")
        cache.unlink(missing_ok=True)
        done = subprocess.run([str(slipway.IGNITION), "--platform=metal", "--stage=fetch-offline", "--log-to-stdout",
                               f"--root={self.path}", f"--config-cache={cache}", f"--state-file={self.path}/state",
                               f"--neednet={self.path}/neednet", *options], capture_output=True, text=True, timeout=slipway.PATIENCE,
                              env={**os.environ, "IGNITION_KERNEL_CMDLINE_PATH": str(cmdline),
                                   "IGNITION_SYSTEM_CONFIG_DIR": str(self.path)})
        self.assertNotIn("ignition-device", pathlib.Path("/proc/self/mountinfo").read_text())
        return done.returncode, done.stderr, cache.read_text() if cache.exists() else None

    def test_file(self):
        for path in ("/etc/config.ign", "etc/config.ign", "/link.ign"):
            with self.subTest(path):
                code, errors, cache = self.fetch(self.disk, path)
                self.assertEqual(code, 0, errors)
                self.assertIn("/found", cache)

    def test_nothing_there(self):
        for path in ("/other", "/escape.ign", "/etc/config.ign/x", ""):
            with self.subTest(path):
                code, errors, cache = self.fetch(self.disk, path)
                self.assertEqual((code, cache), (1, None))
                self.assertRegex(errors, "ignition.config.path=|there is no /")

    def test_device_that_never_comes(self):
        code, errors, _ = self.fetch("no-such-label", "/x", "--fetch-timeout=1s")
        self.assertEqual(code, 1)
        self.assertIn("/dev/disk/by-label/no-such-label did not appear in time", errors)

    def test_device_that_holds_no_file_system(self):
        image = self.path / "empty"
        image.write_bytes(bytes(1 << 20))
        empty = self.device(image)
        code, errors, _ = self.fetch(empty, "/x")
        self.assertEqual(code, 1)
        self.assertIn(f"ignition.config.device={empty}: {empty}: no file system", errors)


if __name__ == "__main__":
    unittest.main()
