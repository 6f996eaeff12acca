#!/usr/bin/env python3
"""ignition-boot, which the initrd's units call, in a root with a sysfs of its own: a disk with /usr, and with ROOT or without."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

INSIDE = "IGNITION_BOOT_NAMESPACE"
# What is in the root besides /usr. valgrind looks at itself in /proc.
PLACES = [slipway.PROJECT, slipway.PROGRAMS.parent.resolve(), *([pathlib.Path("/proc")] if "SLIPWAY_VALGRIND" in os.environ else [])]


class Boot(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(dir="/mnt"))
        for name in ("usr", "sysusr/usr", "sys/dev/block", "sys/disk/part1", "sys/disk/part2", "run", "proc", "tmp"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            if pathlib.Path("/", name).exists():
                (self.root / name).symlink_to(f"usr/{name}")
        for place in (pathlib.Path("/usr"), *PLACES):
            self.mount(place)
        device = os.stat(self.root / "sysusr/usr").st_dev
        (self.root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").symlink_to("../../disk/part1")
        for part, label in (("part1", "usr-1.0.0"), ("part2", "other")):
            (self.root / "sys/disk" / part / "partition").write_text("1\n")
            self.label(part, label)

    def mount(self, place):
        inside = self.root / place.relative_to("/")
        inside.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--rbind", place, inside], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", inside], check=True)

    def label(self, part, label):
        (self.root / "sys/disk" / part / "uevent").write_text(f"DEVNAME=vda{part[-1]}\nPARTNAME={label}\n")

    def run_boot(self, *argv):
        return subprocess.run(["chroot", self.root, slipway.IGNITION_BOOT.absolute(), *argv], capture_output=True, text=True, timeout=slipway.PATIENCE)

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
