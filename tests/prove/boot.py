#!/usr/bin/env python3
"""the image boots, is provisioned once, runs containers, and executes nothing but the verified /usr"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway
from machine import is_

MESSAGE = "A container of the boot proof"
PASSWORD = "correct horse"
# Nothing of these may be on the host: what interprets or installs.
FORBIDDEN = ("apt apt-get dpkg perl python3 python gcc cc ld awk mawk gawk lua ruby node rpm dnf "
             "mkfs.erofs ostree make").split()
NOEXEC = "/ /var /tmp /run /home /root /dev/shm /etc /run/user/1000 /srv".split()


def config(public):
    c = machine.Ignition(slipway.PROJECT / "docs/examples/hello.ign.json")
    hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", "slipway", PASSWORD], check=True,
                            capture_output=True, text=True).stdout.strip()
    c.user("core", sshAuthorizedKeys=[public])
    c.user("worker", passwordHash=hashed, groups=["sudo", "systemd-journal"], shell="/bin/bash")
    c.file("/var/lib/proof/data", "some data", mode=0o640, user={"name": "worker"},
           group={"name": "systemd-journal"})
    storage = c.config["storage"]
    storage["directories"] = [{"path": "/var/lib/proof/private", "mode": 0o700,
                               "user": {"name": "core"}}]
    storage["links"] = [{"path": "/var/lib/proof/link", "target": "data"},
                        {"path": "/var/lib/proof/hard", "target": "/var/lib/proof/data",
                         "hard": True}]
    c.unit("proof.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
           "ExecStart=touch /run/proof-${NUMBER}\n[Install]\nWantedBy=multi-user.target\n")
    c.config["systemd"]["units"][-1]["dropins"] = [
        {"name": "number.conf", "contents": "[Service]\nEnvironment=NUMBER=7\n"}]
    return c


# What is true after every boot.
HOST = [
    ("systemctl is-system-running --wait", r"\Arunning$"),
    is_("systemctl --failed --no-legend --plain", ""),
    ("findmnt -no FSTYPE,OPTIONS /usr", r"^erofs\s+ro,"),
    ("findmnt -no SOURCE /usr", "^/dev/mapper/usr$"),
    ("cat /sys/block/dm-0/dm/uuid", "^CRYPT-VERITY-"),
    ("sudo dmsetup status usr", "verity V$"),
    ("findmnt -no FSTYPE,OPTIONS /etc", r"^overlay\s.*lowerdir=\S*/usr/etc"),
    ("sudo touch /usr/x", "Read-only file system"),
    ("sudo mount -o remount,rw /usr; sudo touch /usr/x", "Read-only file system"),
    is_("command -v " + " ".join(FORBIDDEN), ""),
    # A copied program and a script, both must be refused wherever they lie.
    is_("for d in " + " ".join(NOEXEC) + "; do "
        "sudo cp /usr/bin/true $d/proof-x; sudo chmod 755 $d/proof-x; "
        "$d/proof-x 2>/dev/null && echo ran in $d; sudo $d/proof-x 2>/dev/null && echo ran in $d; "
        "sudo rm $d/proof-x; done", ""),
    # Mounts where something may be executed or written by mistake: none but those known.
    is_("findmnt -rno TARGET,OPTIONS | grep -v noexec | cut -d' ' -f1 | "
        "grep -v -e '^/usr$' -e '^/var/lib/containers'", ""),
    is_("ls /run/proof-7", "/run/proof-7"),
]
# And before any update.
SLOTS = [("sudo slipway-update status", r"^slot A +running +1\.0\.0 .*^slot B +empty +-")]
# The boot that makes ROOT does not check it.
NEW = [("sudo journalctl -b -u systemd-fsck-root -o cat", "unmet condition check ConditionPathExists=!/run/ignition/root-made")]
# After the first one.
PROVISIONED = [
    is_("hostname", "hello"),
    ("id core", r"sudo"),
    ("id worker", r"sudo.*systemd-journal|systemd-journal.*sudo"),
    is_("stat -c '%U %G %a %s' /var/lib/proof/data", "worker systemd-journal 640 9"),
    is_("stat -c '%U %a' /var/lib/proof/private", "core 700"),
    is_("readlink /var/lib/proof/link", "data"),
    is_("stat -c %h /var/lib/proof/hard", "2"),
    ("sudo grep ^worker: /etc/shadow", re.escape("worker:$6$slipway$")),
    is_(f"echo '{PASSWORD}' | su -c 'echo as $(id -un)' worker 2>/dev/null", "as worker"),
    is_("systemctl is-enabled proof.service", "enabled"),
    # ROOT was made and grown: the disk is 7 GiB, the slots and the ESP take 2.6.
    ("findmnt -bno SIZE /", r"^4[0-9]{9}$"),
    ("sudo journalctl -b -u hello.service -o cat", MESSAGE),
    # The boot counter is taken off once, by the first boot that is complete.
    ("sudo systemctl start slipway-bless; sudo journalctl -b -u slipway-bless -o cat", r"^release 1\.0\.0 is good$"),
]
# After another one, to which another configuration was offered.
LATER = [
    is_("hostname", "mine"),
    is_("cat /etc/proof-kept", "kept"),
    ("ls /etc/proof-again", "No such file"),
    is_("ls /sys/firmware/efi/efivars | grep LoaderBootCountPath", ""),
    is_("cat machine-id /etc/machine-id | uniq | wc -l", "1"),
    ("sudo journalctl -b -u systemd-fsck-root -o cat", r"^root: clean,"),
]


def stages(vm, key):
    """Seconds of firmware (with boot loader), kernel, initrd, provisioning, userspace."""
    age, uptime = vm.clock(key)
    text = vm.ssh(key, "systemd-analyze")
    spent = {name: parse_seconds(value)
             for value, name in re.findall(r"([\w. ]+?) \((kernel|initrd)\)", text)}
    reached = re.search(r"multi-user.target reached after ([\w. ]+?) in userspace", text)
    lines = vm.ssh(key, "sudo journalctl -b -o short-monotonic --no-hostname _PID=1 "
                        "-g 'ignition-(fetch-offline|complete).service'", check=False)
    times = [float(t) for t in re.findall(r"^\[ *([0-9.]+)\] .*(?:Starting|Finished)", lines, re.M)]
    spent["firmware"] = age - uptime
    spent["provisioning"] = times[-1] - times[0] if len(times) > 1 else 0.0
    spent["initrd"] -= spent["provisioning"]
    spent["userspace"] = parse_seconds(reached.group(1))
    return spent


def parse_seconds(text):
    units = {"min": 60, "s": 1, "ms": 0.001, "us": 1e-6}
    return sum(float(n) * units[u] for n, u in re.findall(r"([0-9.]+)(min|ms|us|s)", text))


def show(name, spent):
    order = ("firmware", "kernel", "initrd", "provisioning", "userspace")
    total = sum(spent[k] for k in order)
    print(f"{name:11s} {total:5.1f} s = " + " + ".join(f"{k} {spent[k]:.1f}" for k in order))
    return total


def settle(vm, key):
    """The first boot's checks, after which the machine has something of its own. How many there were."""
    vm.wait_for(f"{MESSAGE}\\s")
    if "ignition" in vm.console.lower().split("login:")[0]:
        raise SystemExit("boot: a quiet boot printed something about ignition")
    count = len(vm.expect(key, HOST + PROVISIONED))
    vm.ssh(key, "echo kept | sudo tee /etc/proof-kept; cat /etc/machine-id > machine-id; "
                "sudo rm /etc/hostname; echo mine | sudo tee /etc/hostname")
    return count


def other(scratch):
    """Another configuration, which is offered to a later boot, and must be left alone."""
    c = machine.Ignition().file("/etc/hostname", "intruder\n", overwrite=True)
    return c.file("/etc/proof-again", "again").write(scratch / "other.ign")


def first_boot(disk, scratch, key, public):
    with machine.Registry(scratch) as registry:
        registry.push(machine.hello_image(scratch, MESSAGE), "hello:latest")
        with machine.Machine(disk, config(public).write(scratch / "proof.ign"), snapshot=False) as vm:
            count = settle(vm, key) + len(vm.expect(key, SLOTS + NEW))
            spent = stages(vm, key)
            vm.poweroff(key)
            return spent, count


def later_boot(disk, scratch, key):
    with machine.Machine(disk, other(scratch), snapshot=False) as vm:
        vm.wait_for("mine login:")
        count = len(vm.expect(key, HOST + SLOTS + LATER))
        spent = stages(vm, key)
        vm.poweroff(key)
        return spent, count


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF_DISK"] = str(slipway.real_image().artifact(".raw"))
    machine.enter_namespace(own_qemu=True)
    scratch = slipway.scratch()
    try:
        disk = scratch / "disk.raw"
        subprocess.run(["cp", "--sparse=always", os.environ["SLIPWAY_PROOF_DISK"], disk], check=True)
        key, public = machine.ssh_key(scratch)
        first, n = first_boot(disk, scratch, key, public)
        later, m = later_boot(disk, scratch, key)
        a, b = show("first boot", first), show("later boot", later)
        print(f"boot: {n + m} checks held; multi-user after {a:.1f} s with provisioning, "
              f"{b:.1f} s later ({100 * (a / b - 1):+.0f} %)")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
