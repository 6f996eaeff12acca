#!/usr/bin/env python3
"""the kernel opens /usr by a signature that it verified; a wrong one, or none where one is required, it does not"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "prove")]
import efi_variables
import machine
import slipway
import trusted

BLOCK = 4096
REFUSAL_DEADLINE = machine.BOOT_DEADLINE
FAILED = r"slipway-usr-signature: the signature of the root hash is refused: the kernel: (Key was rejected by service|Bad message)"
NOT_REQUIRED = "the root hash is signed, but not verified: the kernel: Required key not available"
UNIT = "sudo journalctl -b -o cat -u systemd-veritysetup@usr.service"


def signed_image(policy):
    """The container host with that "rootHash"."""
    trust = {"secureBoot": True, "rootHash": policy, "onCorruption": "panic"}
    return str(trusted.image(f"root-hash-{policy}", trust).artifact(".raw"))


class Disk:
    def __init__(self, original, path):
        report = json.loads(next(pathlib.Path(original).parent.glob("*.report.json")).read_text())
        subprocess.run(["cp", "--sparse=always", original, path], check=True)
        self.path = path
        self.partitions = {}
        for p in report["layout"]["partitions"]:
            self.partitions.setdefault(p["role"], p)

    def read(self, role, offset, size):
        with open(self.path, "rb") as file:
            file.seek(self.partitions[role]["start"] + offset)
            return file.read(size)

    def write(self, role, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(self.partitions[role]["start"] + offset)
            file.write(data)


def config(scratch):
    if not (scratch / "config.ign").exists():
        _, public = machine.ssh_key(scratch)
        machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"]).write(scratch / "config.ign")
    return scratch / "config.ign", scratch / "id_ed25519"


def check_verified(vm, key):
    """The kernel has looked at the signature, and takes nothing without."""
    vm.expect(key, (
        (UNIT, "^the root hash's signature is verified$"),
        ("sudo dmsetup table usr", r"verity 1 .* panic_on_corruption\b.* root_hash_sig_key_desc \S+"),
        ("cat /sys/module/dm_verity/parameters/require_signatures", "^Y$"),
        ("sudo ls /run/slipway", r"^usr\.p7s$")))


def verified(disk, variables, scratch):
    """Keys are enrolled, the kernel verifies; and a block that is not what was signed ends the machine."""
    ignition, key = config(scratch)
    block = disk.partitions["usr"]["used"] // BLOCK - 2
    with machine.Machine(disk.path, ignition, snapshot=False, options=[f"--secure-boot={variables}"]) as vm:
        _, age = vm.wait_for("login:", deadline=2 * machine.BOOT_DEADLINE)
        check_verified(vm, key)
        vm.expect(key, [("sudo dmsetup ls", r"\Ausr\s+\(\S+\)\s*\Z")])
        original = disk.read("usr", block * BLOCK, BLOCK)
        vm.ssh(key, "data=$(sudo dmsetup deps -o devname usr | grep -o '(.*' | tr -d '()' | tr ' ' '\\n' | sort | head -n 1) && "
                    f"head -c {BLOCK} /dev/zero | sudo dd of=/dev/$data bs={BLOCK} seek={block} conv=fsync,notrunc && "
                    "sudo systemd-run --no-block --quiet sh -c 'echo 3 >/proc/sys/vm/drop_caches; "
                    f"dd if=/dev/mapper/usr of=/dev/null bs={BLOCK} skip={block} count=1 iflag=direct'", check=False)
        vm.wait_for(r"Kernel panic - not syncing: dm-verity device corrupted", vm.age() + machine.BOOT_DEADLINE)
    disk.write("usr", block * BLOCK, original)
    return age


def must_fail(disk, variables, pattern, what):
    with machine.Machine(disk.path, options=[f"--secure-boot={variables}"]) as vm:
        match, age = vm.wait_for(f"(?P<refused>{pattern})|login:", deadline=REFUSAL_DEADLINE)
        if not match["refused"]:
            raise SystemExit(f"root-hash-signature: with {what} it booted")
        print(f"{what}: refused after {age:.0f} s: {match['refused']}")


def refusals(disk, variables, cases):
    text = disk.read("usr-verity-sig", 0, 64 * 1024)
    end = re.search(rb'"signature":"([^"]*)"', text).end(1)
    changes = {
        # 40 characters before the end: in the RSA signature.
        "a wrong byte in the signature": (end - 40, b"A" if text[end - 40:end - 39] != b"A" else b"B", FAILED),
        "no signature": (0, bytes(len(text.rstrip(b"\0"))),
                         "Failed to set up verity device 'usr': Required key not available|dm-verity.*Root hash verification failed"),
    }
    for what in cases:
        offset, data, pattern = changes[what]
        disk.write("usr-verity-sig", offset, data)
        must_fail(disk, variables, pattern, what)
        disk.write("usr-verity-sig", 0, text)
    return len(cases)


def not_required(disk, scratch):
    """One image for all: on a machine with the keys that it was sold with, and Secure Boot turned off, it boots without."""
    ignition, key = config(scratch)
    variables = scratch / "sold.efivars"
    variables.write_bytes(efi_variables.with_secure_boot_off(efi_variables.sold()))
    with machine.Machine(disk.path, ignition, options=[f"--secure-boot={variables}"]) as vm:
        vm.wait_for("login:")
        vm.expect(key, ((UNIT, f"^{NOT_REQUIRED}$"),
                        ("sudo dmsetup table usr", r"verity 1 (?!.*root_hash_sig_key_desc)"),
                        ("findmnt -no SOURCE /usr", "^/dev/mapper/usr$")))


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF_REQUIRED"] = signed_image("required")
        os.environ["SLIPWAY_PROOF_SIGNED"] = "" if slipway.QUICK else signed_image("signed")
    machine.enter_namespace()
    scratch = slipway.scratch()
    try:
        disk, variables = Disk(os.environ["SLIPWAY_PROOF_REQUIRED"], scratch / "disk.raw"), scratch / "disk.efivars"
        seconds = verified(disk, variables, scratch)
        refused = refusals(disk, variables, ["a wrong byte in the signature", "no signature"])
        if not slipway.QUICK:
            disk = Disk(os.environ["SLIPWAY_PROOF_SIGNED"], scratch / "signed.raw")
            refused += refusals(disk, variables, ["a wrong byte in the signature"])
            not_required(disk, scratch)
        print(f"root-hash-signature: verified by the kernel, login after {seconds:.0f} s; a corrupted block panicked; "
              f"{refused} of {refused} wrong or missing signatures refused")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
