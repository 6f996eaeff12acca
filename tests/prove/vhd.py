#!/usr/bin/env python3
"""the VHD for Azure is what Azure takes: its footer, its disk, its drivers and names, and it boots through it"""

import json
import os
import pathlib
import re
import shlex
import shutil
import struct
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import loopback_nvme
import machine
import slipway

IMAGE = "aks-node"
MIB = 1 << 20
FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427x")
FIELDS = ("cookie", "features", "version", "data_offset", "time", "creator", "creator_version", "host_os",
          "original_size", "current_size", "cylinders", "heads", "sectors", "type", "checksum", "uuid", "saved")
# Where the disk of the system is looked for, and the CD.
INITRD = ("hv_vmbus.ko", "hv_storvsc.ko", "pci-hyperv.ko", "sr_mod.ko", "81-slipway-azure-disk.rules",
          "slipway-azure-disk")
# The drivers of the bus find no bus here, so that they can only be looked up; the others are loaded.
DRIVERS = "hv_vmbus hv_utils hv_balloon hv_storvsc hv_netvsc pci-hyperv"
LOADED = "mana mlx4_en mlx5_core nvme sr_mod udf isofs"
MODEL = "MSFT NVMe Accelerator v1.0"
# The disks that the kernel connects to itself might come by several paths, and would hang on no controller then.
ONE_PATH = ("--", "-smbios", "type=11,value=io.systemd.stub.kernel-cmdline-extra=nvme_core.multipath=N")


class Wrong(SystemExit):
    def __init__(self, text):
        super().__init__(f"vhd: {text}")


class Checks:
    """Each is said to be right or ends the proof."""

    def __init__(self):
        self.count = 0

    def equal(self, what, found, wanted):
        self.count += 1
        if found != wanted:
            raise Wrong(f"{what} is {found!r}, not {wanted!r}")

    def true(self, what, condition):
        self.equal(what, bool(condition), True)


# ---- the file ----

def geometry(sectors):
    """The algorithm of the VHD specification's appendix, by itself."""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        per_track, heads = 255, 16
        return sectors // per_track // heads, heads, per_track
    per_track = 17
    tracks = sectors // per_track
    heads = max(4, (tracks + 1023) // 1024)
    if tracks >= heads * 1024 or heads > 16:
        per_track, heads = 31, 16
        tracks = sectors // per_track
    if tracks >= heads * 1024:
        per_track, heads = 63, 16
        tracks = sectors // per_track
    return tracks // heads, heads, per_track


def check_footer(c, vhd, size, epoch):
    c.equal("the file's size", vhd.stat().st_size, size + FOOTER.size)
    with open(vhd, "rb") as f:
        f.seek(size)
        data = f.read()
    footer = dict(zip(FIELDS, FOOTER.unpack(data)))
    c.equal("the checksum", footer.pop("checksum"), ~(sum(data) - sum(data[64:68])) & 0xffffffff)
    c.true("the id is one of version 4", uuid.UUID(bytes=footer.pop("uuid")).version == 4)
    c.equal("the reserved rest", data[85:], bytes(427))
    c.equal("the footer", footer, {
        "cookie": b"conectix", "features": 2, "version": 0x10000, "data_offset": 2 ** 64 - 1,
        "time": epoch - 946684800, "creator": b"qem2", "creator_version": 0x50003, "host_os": b"Wi2k",
        "original_size": size, "current_size": size, "type": 2, "saved": 0,
        **dict(zip(("cylinders", "heads", "sectors"), geometry(size // 512)))})


def check_file(c, built):
    raw, vhd = built.artifact(".raw"), built.artifact(".vhd")
    size = raw.stat().st_size
    c.equal("the disk's size beyond whole MiB", size % MIB, 0)
    check_footer(c, vhd, size, built.report()["epoch"])
    told = json.loads(subprocess.run(["qemu-img", "info", "-f", "vpc", "--output=json", vhd], check=True,
                                     capture_output=True, text=True).stdout)
    c.equal("the size that QEMU sees", told["virtual-size"], size)
    c.equal("qemu-img compare", subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", "vpc", raw, vhd],
                                               check=False).returncode, 0)
    used = vhd.stat().st_blocks * 512
    c.true("slipway run tells QEMU that it is a VHD", "format=vpc," in subprocess.run(
        [slipway.SLIPWAY, "run", vhd, "--print"], check=True, capture_output=True, text=True).stdout)
    c.true("holes are kept", used <= raw.stat().st_blocks * 512 + MIB)
    return size, used


def section(uki, name):
    """A section of a PE file, by its own headers."""
    data = uki.read_bytes()
    pe = struct.unpack_from("<I", data, 0x3c)[0]
    count, optional = struct.unpack_from("<H", data, pe + 6)[0], struct.unpack_from("<H", data, pe + 20)[0]
    for i in range(count):
        at = pe + 24 + optional + 40 * i
        label, size, _, _, offset = struct.unpack_from("<8sIIII", data, at)
        if label.rstrip(b"\0") == name:
            return data[offset:offset + size]
    raise Wrong(f"no section {name} in {uki.name}")


def archive_names(data):
    """The last component of every name in cpio archives (newc) that lie one behind the other."""
    position = 0
    while True:
        position = data.find(b"070701", position)
        if position < 0:
            return
        file_size, name_size = (int(data[position + at:position + at + 8], 16) for at in (54, 94))
        name = data[position + 110:position + 110 + name_size - 1].decode()
        yield name.rsplit("/", 1)[-1]
        position += (110 + name_size + 3) // 4 * 4 + (file_size + 3) // 4 * 4


def unpacked(packed):
    """The initrd's archives. Each begins at a block; zstd complains about the zeros in front of the next one, after
    it has written all there is."""
    starts = [at for at in range(0, len(packed), 4096) if packed[at:at + 4] == b"\x28\xb5\x2f\xfd"]
    return b"".join(subprocess.run(["zstd", "-qdc"], input=packed[start:end], check=False, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL).stdout
                    for start, end in zip(starts, [*starts[1:], len(packed)]))


def check_initrd(c, uki):
    names = set(archive_names(unpacked(section(uki, b".initrd"))))
    for name in INITRD:
        c.true(f"{name} is in the initrd", name in names)


def plan(manifest):
    place = slipway.work_dir() / "place"
    argv = [place / "bin/slipway", "plan", "--for", "azure", "--json", place / f"layers/images/{manifest}.json",
            "--cache", slipway.work_dir() / "cache", "--libexec", place / "libexec"]
    return subprocess.run(slipway.as_user(argv), capture_output=True, text=True, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})


def check_plan(c):
    done = plan(IMAGE)
    c.equal("the plan's exit status", done.returncode, 0)
    states = {row["check"]: row["state"] for row in json.loads(done.stdout)["checks"]}
    c.equal("what Azure would refuse", [name for name, state in states.items() if state == "refused"], [])
    c.true("the plan has many checks", len(states) > 25)
    return len(states)


def check_again(c, built):
    """Into another directory, from another time zone: the same bytes."""
    output = slipway.scratch("slipway-vhd-")
    try:
        slipway.give_to_user(output)
        again = slipway.build(slipway.work_dir() / "place", output, slipway.work_dir() / "cache", manifest=IMAGE,
                              env={"TZ": "Asia/Kathmandu", "LC_ALL": "C"})
        digests = [[a["sparseSha256"] for a in r.report()["artifacts"] if a["name"].endswith(".vhd")]
                   for r in (built, again)]
        c.equal("the second build's digest", digests[1], digests[0])
    finally:
        shutil.rmtree(output)


# ---- the guest ----

def guest_drivers(c, ask):
    c.equal("drivers that are not there", ask(f"for m in {DRIVERS}; do modprobe --show-depends $m >/dev/null 2>&1 || "
                                              "echo $m; done"), "")
    c.equal("drivers that do not load", ask(f"for m in {LOADED}; do modprobe $m 2>&1 || echo $m; done"), "")
    c.equal("symbols that are missing", ask("dmesg | grep -i 'unknown symbol' || true"), "")


def guest_disks(c, ask):
    """The disks of a machine with NVMe, by the kernel's own events and udev."""
    c.equal("udevadm verify", ask("udevadm verify --no-summary /usr/lib/udev/rules.d/81-slipway-azure*.rules 2>&1"), "")
    ask(loopback_nvme.script(MODEL, (1, 2, 65)))
    # The kernel counts its names as it finds the disks; the host counts namespaces.
    links = ask("cd /dev/disk/azure && find . -type l -printf '%P\\n' | while read -r link; do "
                "b=/sys/class/block/$(basename $(readlink -f $link)); "
                "echo $link $(cat $b/nsid $b/../nsid 2>/dev/null) $(cat $b/partition 2>/dev/null); done | LC_ALL=C sort")
    c.equal("the names of the disks", links.splitlines(), sorted([
        "os 1", "root 1", "os-part1 1 1", "root-part1 1 1",
        "data/by-lun/0 2", "data/by-lun/0-part1 2 1", "data/by-lun/63 65", "data/by-lun/63-part1 65 1"]))


def guest_clock(c, ask):
    """chrony runs by servers here, and by the host's clock where that is."""
    c.equal("chrony", ask("systemctl is-active chrony.service"), "active")
    c.equal("timesyncd", ask("systemctl is-active systemd-timesyncd.service systemd-timesyncd.timer || true").split(),
            ["inactive", "inactive"])
    c.true("servers of the network", "pool 2.debian.pool.ntp.org" in ask("chronyd -p"))
    hosts = ask("mkdir -p /run/chrony.d; ln -s /usr/lib/slipway/chrony-hyperv.conf /run/chrony.d/clock.conf; "
                "chronyd -p; rm /run/chrony.d/clock.conf")
    c.true("the host's clock", "refclock PHC /dev/ptp_hyperv" in hosts)
    c.true("only the host's clock", not re.search("(?m)^(pool|server)", hosts))
    c.equal("chrony's ports", ask("ss -lnup | grep chronyd || true"), "")


def listening(sockets):
    """Protocol and port of those that are not on the loopback, from what ss(8) lists."""
    found = set()
    for line in sockets.splitlines():
        protocol, _, _, _, local = line.split()[:5]
        address, port = local.rsplit(":", 1)
        if not address.startswith(("127.", "[::1]")):
            found.add((protocol, port))
    return found


def guest_host(c, ask):
    c.equal("failed units", ask("systemctl is-system-running --wait; systemctl --failed --no-legend --plain"), "running")
    c.equal("swap", ask("cat /proc/swaps | tail -n +2"), "")
    c.true("the serial console", "console=ttyS0" in ask("cat /proc/cmdline").split())
    c.equal("a login there", ask("systemctl is-active serial-getty@ttyS0.service"), "active")
    c.equal("ports that others reach", listening(ask("ss -Hlntu")), {("tcp", "22"), ("udp", "68")})
    c.equal("keep-alive", ask("sshd -T | grep -i '^clientaliveinterval'"), "clientaliveinterval 180")
    c.true("the journal has a limit", "SystemMaxUse=" in ask("systemd-analyze cat-config systemd/journald.conf"))
    c.equal("what is in the way of virtual functions",
            ask("networkctl cat 10-azure-virtual-function.network 2>/dev/null | grep -c Unmanaged=yes || true"), "1")


def check_guest(c, vm, key):
    """What of the layer can be seen in a guest; the proof `azure` asks the same of its machine."""
    def ask(command):
        return vm.ssh(key, f"sudo bash -c {shlex.quote(command)}").strip()

    for check in (guest_host, guest_drivers, guest_clock, guest_disks):
        check(c, ask)


def boot(c, disk, scratch):
    key, public = machine.ssh_key(scratch)
    config = machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"]).write(scratch / "vhd.ign")
    with machine.Machine(disk, config, options=ONE_PATH) as vm:
        vm.wait_for("login:")
        c.true("the whole VHD is the disk", vm.ssh(key, "lsblk -bdno SIZE /dev/vda").strip() ==
               str(pathlib.Path(disk).stat().st_size - FOOTER.size))
        check_guest(c, vm, key)
        vm.poweroff(key)


def prepare():
    """All that needs no machine; the disk, and what was found."""
    c = Checks()
    built = slipway.real_image(IMAGE)
    size, used = check_file(c, built)
    check_initrd(c, built.artifact(".efi"))
    rows = check_plan(c)
    if not slipway.QUICK:
        check_again(c, built)
    return {"disk": str(built.artifact(".vhd")), "count": c.count,
            "figure": f"{size // MIB} MiB, {used / MIB:.0f} allocated; {rows} rows of `plan --for azure`"}


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF"] = json.dumps(prepare())
    found = json.loads(os.environ["SLIPWAY_PROOF"])
    c = Checks()
    if not slipway.QUICK:
        machine.enter_namespace()
        scratch = slipway.scratch()
        try:
            boot(c, found["disk"], scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    print(f"vhd: {found['count'] + c.count} checks held; {found['figure']}")


if __name__ == "__main__":
    main()
