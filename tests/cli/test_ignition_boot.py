#!/usr/bin/env python3
"""ignition-boot, which the initrd's units call, in a root with a sysfs of its own: a disk with /usr, and with ROOT or without."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

INSIDE = "IGNITION_BOOT_NAMESPACE"


class Boot(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(dir="/mnt"))
        for name in ("usr", "sysusr/usr", "sys/dev/block", "sys/disk/part1", "sys/disk/part2", "run", "proc"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            if pathlib.Path("/", name).exists():
                (self.root / name).symlink_to(f"usr/{name}")
        subprocess.run(["mount", "--bind", "/usr", self.root / "usr"], check=True)
        self.addCleanup(subprocess.run, ["umount", self.root / "usr"], check=True)
        shutil.copy2(slipway.IGNITION_BOOT, self.root / "ignition-boot")
        device = os.stat(self.root / "sysusr/usr").st_dev
        (self.root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").symlink_to("../../disk/part1")
        for part, label in (("part1", "usr-1.0.0"), ("part2", "other")):
            (self.root / "sys/disk" / part / "partition").write_text("1\n")
            self.label(part, label)

    def label(self, part, label):
        (self.root / "sys/disk" / part / "uevent").write_text(f"DEVNAME=vda{part[-1]}\nPARTNAME={label}\n")

    def run_boot(self, *argv):
        return subprocess.run(["chroot", self.root, "/ignition-boot", *argv], capture_output=True, text=True, timeout=slipway.PATIENCE)

    def test_root_missing(self):
        """A condition of a unit: 0 goes on to make ROOT, 1 leaves it, 255 fails."""
        self.assertEqual(self.run_boot("root-missing").returncode, 0)
        self.label("part2", "root")
        self.assertEqual(self.run_boot("root-missing").returncode, 1)
        (self.root / "sysusr/usr").rmdir()
        done = self.run_boot("root-missing")
        self.assertEqual((done.returncode, done.stderr), (255, "<3>ignition-boot: /sysusr/usr: No such file or directory\n"))

    def test_state(self):
        """A disk without ROOT is a new machine's; one whose ROOT cannot be read may be either's."""
        self.assertEqual(self.run_boot("state").returncode, 0)
        self.assertEqual([path.name for path in (self.root / "run/ignition").iterdir()], ["firstboot"])
        self.label("part2", "root")
        done = self.run_boot("state")
        self.assertEqual((done.returncode, done.stderr), (255, "<3>ignition-boot: /dev/vda2: No such file or directory\n"))

    def test_show(self):
        self.assertEqual(self.run_boot("show").returncode, 0)

    def test_usage(self):
        self.assertEqual(self.run_boot().returncode, 2)
        self.assertEqual(self.run_boot("nonesuch").returncode, 2)
        self.assertEqual(self.run_boot("--help").returncode, 0)


def main():
    if INSIDE not in os.environ:
        os.execvpe("unshare", ["unshare", "--mount", "--map-root-user", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
    unittest.main()


if __name__ == "__main__":
    main()
