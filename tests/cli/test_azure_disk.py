#!/usr/bin/env python3
"""The udev rules of the layer azure, by udev itself, on devices as sysfs has them on Azure.

sysfs is made of files: in a mount namespace of its own it lies over /sys, and `udevadm test` says
what it would do. The program that the rules call is the release's."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

RULES = slipway.PROJECT / "layers/azure/files/usr/lib/udev/rules.d"
PROGRAM = slipway.LIBEXEC / "slipway-azure-disk"
VMBUS = "LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00"
TAIL = "1e82-4818-a1c3-63d806ec15bb"

# In the namespace: /sys is the made one, /run/udev and /dev are empty, the rules are the only ones.
INSIDE = r"""
set -e
mount --bind "$1/sys" /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/udev/rules.d /run/udev/data
mount -t tmpfs tmpfs /usr/lib/udev/rules.d
[ ! -d /lib/udev/rules.d ] || mount --bind /usr/lib/udev/rules.d /lib/udev/rules.d
mount -t tmpfs tmpfs /etc/udev
cp "$1"/rules/* /run/udev/rules.d
shift
for device; do
    echo "== $device"
    SYSTEMD_DEVICE_VERIFY_SYSFS=0 SYSTEMD_LOG_LEVEL=info udevadm test --action=add "$device" >/run/said 2>/dev/null ||
        echo "failed: $?"
    cat /run/said
    # Newer ones only say what they would remember of it.
    [ ! -e "$device/dev" ] || [ -e "/run/udev/data/b$(cat "$device/dev")" ] ||
        sed -n 's/^ *\(AZURE_DISK_.*\)/E:\1/p' /run/said >"/run/udev/data/b$(cat "$device/dev")"
done
"""


class Sysfs:
    """Devices as directories."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.devices = self.root / "sys/devices"
        for name in ("bus", "class", "dev", "devices"):
            (self.root / "sys" / name).mkdir(parents=True)
        self.number = 0

    def device(self, path, subsystem=None, driver=None, uevent=None, **attributes):
        directory = self.devices / path
        directory.mkdir(parents=True)
        self.write(directory, uevent="".join(f"{k}={v}\n" for k, v in (uevent or {}).items()), **attributes)
        if subsystem:
            self.link(directory / "subsystem", self.root / "sys/bus" / subsystem)
        if driver:
            self.link(directory / "driver", self.root / "sys/bus" / subsystem / "drivers" / driver)
        return directory

    @staticmethod
    def write(directory, **attributes):
        for name, value in attributes.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value if name == "uevent" else f"{value}\n")

    @staticmethod
    def link(path, target):
        target.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(target, path.parent))

    def block(self, parent, name, kind="disk", **attributes):
        self.number += 1
        path = f"{parent}/{name}"
        directory = self.device(path, "block", uevent={"MAJOR": 8, "MINOR": self.number, "DEVNAME": name,
                                                       "DEVTYPE": kind}, dev=f"8:{self.number}", **attributes)
        return directory

    def partition(self, disk, number):
        name = f"{disk.name}p{number}" if disk.name[-1].isdigit() else f"{disk.name}{number}"
        return self.block(disk.relative_to(self.devices), name, "partition", partition=number)

    def scsi(self, device_id, lun, name):
        """A SCSI disk on the VM bus, with its host, target and place."""
        bus = f"{VMBUS}/{device_id.strip('{}')}-{lun}"
        self.device(bus, "vmbus", "hv_storvsc", device_id=device_id)
        host = self.number
        self.device(f"{bus}/host{host}", "scsi")
        place = f"{bus}/host{host}/target{host}:0:0/{host}:0:0:{lun}"
        self.device(place, "scsi", "sd", timeout=30, vendor="Msft    ", model="Virtual Disk    ")
        disk = self.block(f"{place}/block", name)
        (disk / "device").symlink_to(f"../../../{host}:0:0:{lun}")
        return disk

    def passed_through(self, number, function, driver):
        """A PCI device behind a bus of its own, which hangs on the VM bus."""
        bus = f"{VMBUS}/{number:08x}-7870-47b5-b203-907d12ca697e"
        self.device(bus, "vmbus", "hv_pci", device_id=f"{{{bus.rsplit('/', 1)[1]}}}")
        pci = f"{bus}/pci{number:04x}:00/{number:04x}:00:{function}"
        self.device(pci, "pci", driver)
        return pci

    def nvme(self, number, model, nsid, serial="SN0001"):
        pci = self.passed_through(number, "00.0", "nvme")
        self.device(f"{pci}/nvme/nvme{number}", "nvme", model=model)
        return self.block(f"{pci}/nvme/nvme{number}", f"nvme{number}n{nsid}", nsid=nsid, serial=serial,
                          **{"queue/io_timeout": 30000})

    def net(self, name, driver, flags, ifindex):
        pci = self.passed_through(ifindex, "02.0", driver)
        return self.device(f"{pci}/net/{name}", "net", uevent={"INTERFACE": name, "IFINDEX": ifindex},
                           flags=flags, ifindex=ifindex, address="00:0d:3a:12:34:56")


def rule_files(directory):
    """The layer's rules, with the program where it is here."""
    directory.mkdir()
    for path in RULES.iterdir():
        text = path.read_text().replace("/usr/libexec/slipway-azure-disk", str(PROGRAM))
        (directory / path.name).write_text(text)


def properties(text):
    """KEY=VALUE lines of every device's section."""
    found, current = {}, None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("== "):
            current = found.setdefault(pathlib.Path(line[3:]).name, {})
        elif current is not None and "=" in line and line.split("=")[0].isupper():
            key, value = line.split("=", 1)
            current[key] = value
        elif line.startswith("failed"):
            raise AssertionError(text)
    return found


class Rules(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="slipway-udev-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.path, True)
        rule_files(self.path / "rules")
        self.sysfs = Sysfs(self.path)

    def ask(self, *devices):
        argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", INSIDE, "sh", str(self.path),
                *(f"/sys/{d.relative_to(self.path / 'sys')}" for d in devices)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return properties(done.stdout)

    def links(self, *devices):
        """The names that each gets below /dev/disk/azure."""
        return {name: sorted(link.removeprefix("/dev/disk/azure/")
                             for link in found.get("DEVLINKS", "").split())
                for name, found in self.ask(*devices).items()}

    def test_scsi(self):
        s = self.sysfs
        ids = {"sda": ("{f8b3781a-" + TAIL + "}", 0), "sdb": ("{f8b3781a-" + TAIL + "}", 1),
               "sdc": ("{f8b3781b-" + TAIL + "}", 0), "sdd": ("{f8b3781b-" + TAIL + "}", 63),
               "sde": ("{f8b3781c-" + TAIL + "}", 7), "sdf": ("{f8b3781a-" + TAIL + "}", 2),
               "sdg": ("{aaaaaaaa-" + TAIL + "}", 0)}
        disks = {name: s.scsi(*where, name) for name, where in ids.items()}
        self.assertEqual(self.links(*disks.values()), {
            "sda": ["os", "root"], "sdb": ["resource"],
            "sdc": ["data/by-lun/0", "scsi1/lun0"], "sdd": ["data/by-lun/63", "scsi1/lun63"],
            "sde": ["data/by-lun/7", "scsi2/lun7"], "sdf": [], "sdg": []})

    def test_generation_1(self):
        """The emulated IDE controller: ids of the devices, with whatever behind."""
        disks = [self.sysfs.scsi("{00000000-0000-8899-0000-000000000000}", 0, "sda"),
                 self.sysfs.scsi("{00000000-0001-8899-0000-000000000000}", 0, "sdb")]
        self.assertEqual(self.links(*disks), {"sda": ["os", "root"], "sdb": ["resource"]})

    def test_partitions(self):
        """In the order in which the kernel announces them: what is known of a disk is there for its partitions."""
        sda = self.sysfs.scsi("{f8b3781a-" + TAIL + "}", 0, "sda")
        sdc = self.sysfs.scsi("{f8b3781b-" + TAIL + "}", 3, "sdc")
        nvme = self.sysfs.nvme(5, "MSFT NVMe Accelerator v1.0", 2)
        devices = [sda, self.sysfs.partition(sda, 1), self.sysfs.partition(sda, 15), sdc,
                   self.sysfs.partition(sdc, 1), nvme, self.sysfs.partition(nvme, 1)]
        links = self.links(*devices)
        self.assertEqual(links["sda1"], ["os-part1", "root-part1"])
        self.assertEqual(links["sda15"], ["os-part15", "root-part15"])
        self.assertEqual(links["sdc1"], ["data/by-lun/3-part1", "scsi1/lun3-part1"])
        self.assertEqual(links["nvme5n2p1"], ["data/by-lun/0-part1"])

    def test_nvme(self):
        s = self.sysfs
        disks = [s.nvme(0, "MSFT NVMe Accelerator v1.0              ", 1), s.nvme(1, "MSFT NVMe Accelerator v1.0", 2),
                 s.nvme(2, "MSFT NVMe Accelerator v1.0", 65), s.nvme(3, "QEMU NVMe Ctrl", 1),
                 s.nvme(4, "Microsoft NVMe Direct Disk", 1)]
        self.assertEqual(self.links(*disks), {
            "nvme0n1": ["os", "root"], "nvme1n2": ["data/by-lun/0"], "nvme2n65": ["data/by-lun/63"],
            "nvme3n1": [], "nvme4n1": []})

    def test_local(self):
        """What another rule has found out of the disk is part of a name."""
        (self.path / "rules/60-serial.rules").write_text('KERNEL=="nvme*", ENV{ID_SERIAL_SHORT}="$attr{serial}"\n')
        local = self.sysfs.nvme(4, "Microsoft NVMe Direct Disk v2", 1, serial="ABC0001")
        remote = self.sysfs.nvme(5, "MSFT NVMe Accelerator v1.0", 1, serial="SN000001")
        self.assertEqual(self.links(local, remote), {"nvme4n1": ["local/by-serial/ABC0001"],
                                                     "nvme5n1": ["os", "root"]})

    def test_types(self):
        found = self.ask(self.sysfs.nvme(4, "Microsoft NVMe Direct Disk v2", 1),
                         self.sysfs.scsi("{f8b3781b-" + TAIL + "}", 3, "sdc"))
        self.assertEqual(found["nvme4n1"]["AZURE_DISK_TYPE"], "local")
        self.assertEqual(found["sdc"]["AZURE_DISK_TYPE"], "data")
        self.assertEqual(found["sdc"]["AZURE_DISK_LUN"], "3")

    def test_adapters(self):
        """Unmanaged: an adapter of those drivers that another one has made its slave."""
        s = self.sysfs
        adapters = {"enP1": ("mlx5_core", "0x1843"), "enP2": ("mana", "0x1a43"), "enP3": ("mlx4_core", "0x803"),
                    "enP4": ("mana", "0x1043"), "eth0": ("hv_netvsc", "0x1843"), "enP5": ("mana", "0x41843")}
        devices = [s.net(name, *what, index + 2) for index, (name, what) in enumerate(adapters.items())]
        found = self.ask(*devices)
        unmanaged = {name for name, p in found.items() if p.get("AZURE_UNMANAGED_SRIOV") == "1"}
        self.assertEqual(unmanaged, {"enP1", "enP2", "enP3", "enP5"})
        for name in unmanaged:
            self.assertEqual(found[name]["ID_NET_MANAGED_BY"], "unmanaged")

    def test_clock(self):
        clocks = [self.sysfs.device(f"virtual/ptp/ptp{i}", "ptp", clock_name=name, dev=f"250:{i}",
                                    uevent={"MAJOR": 250, "MINOR": i, "DEVNAME": f"ptp{i}"})
                  for i, name in enumerate(("KVM virtual PTP", "hyperv"))]
        found = self.ask(*clocks)
        self.assertNotIn("DEVLINKS", found["ptp0"])
        self.assertEqual(found["ptp1"]["DEVLINKS"], "/dev/ptp_hyperv")
        self.assertEqual(found["ptp1"]["SYSTEMD_WANTS"], "slipway-hyperv-clock.service")


class Program(unittest.TestCase):
    def test_usage(self):
        for argv in ([], ["relative"], ["/a", "/b"]):
            done = subprocess.run([PROGRAM, *argv], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("Usage: slipway-azure-disk", done.stderr)

    def test_nothing(self):
        for path in ("/", "/nowhere/block/sda", "/sys", "/" + "x" * 5000):
            done = subprocess.run([PROGRAM, path], capture_output=True, text=True, check=True)
            self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
