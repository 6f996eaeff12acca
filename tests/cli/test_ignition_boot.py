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

STAMP = "sysroot/.etc/provisioned"
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

    def device(self, path, **attributes):
        place = self.root / "sys" / path
        place.mkdir(parents=True)
        for name, text in attributes.items():
            (place / name).write_text(text + "\n")
        (place / "uevent").write_text("")
        return place / "uevent"

    def test_network(self):
        """Network cards are announced, and nothing else is."""
        pci, vmbus = "bus/pci/devices/0000:00:0{}.0", "bus/vmbus/devices/{}"
        cards = [self.device(pci.format(1), **{"class": "0x020000"}), self.device("bus/virtio/devices/virtio1", device="0x0001"),
                 self.device(vmbus.format(1), class_id="{f8615163-df3e-46c5-913f-f2d2f965ed0e}"),
                 self.device("bus/xen/devices/vif-0"), self.device("class/net/eth0")]
        others = [self.device(pci.format(2), **{"class": "0x010200"}), self.device("bus/virtio/devices/virtio2", device="0x0010"),
                  self.device(vmbus.format(2), class_id="{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}"),
                  self.device("bus/pci/devices/bare")]
        self.assertEqual(self.run_boot("network").returncode, 0)
        self.assertEqual([path.read_text() for path in cards], ["add"] * len(cards))
        self.assertEqual([path.read_text() for path in others], [""] * len(others))

    def test_complete(self):
        """The stamp is on ROOT, whoever is told or not; the /usr on top is gone."""
        (self.root / STAMP).parent.mkdir(parents=True)
        subprocess.run(["mount", "--bind", "/usr", self.root / "usr"], check=True)
        done = self.run_boot("complete")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("<4>ignition: ", done.stderr)
        self.assertTrue((self.root / STAMP).exists())
        tops = [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if f" {self.root}/usr " in line]
        self.assertEqual(len(tops), 1)

    def test_complete_without_root(self):
        done = self.run_boot("complete")
        self.assertEqual((done.returncode, done.stderr), (255, "<3>ignition-boot: /sysroot: No such file or directory\n"))

    def test_noexec(self):
        places = {"dev": "nosuid,noexec", "dev/shm": "nosuid,nodev,noexec", "run": "nosuid,nodev,noexec"}
        for place in places:
            (self.root / place).mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.root / place], check=True)
            self.addCleanup(subprocess.run, ["umount", self.root / place], check=True)
        self.assertEqual(self.run_boot("noexec").returncode, 0)
        for place, flags in places.items():
            found = subprocess.run(["findmnt", "-nro", "VFS-OPTIONS", self.root / place], check=True, capture_output=True, text=True)
            self.assertEqual(found.stdout.strip(), f"rw,{flags},relatime")

    def test_use_image(self):
        (self.root / "sysusr/usr/image").touch()
        done = subprocess.run(["chroot", self.root, "/bin/sh", "-c", f"{slipway.IGNITION_BOOT.absolute()} use-image; exec 3</usr/image"],
                              capture_output=True, text=True, timeout=slipway.PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        subprocess.run(["umount", self.root / "usr"], check=True)

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
