#!/usr/bin/env python3
"""with Secure Boot on, firmware starts what is signed and nothing else: not one flipped byte of it"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import efi_variables
import machine
import slipway
import trusted

ESP = 1 << 20  # where the ESP begins
# Firmware and systemd-boot say so within seconds; a machine that boots prints none of these.
REFUSED = r"(?i:access denied|security (?:policy )?violation)"
STARTED = r"Linux version|login:|EFI stub|rcu:"
REFUSAL_DEADLINE = 180


class Esp:
    """The ESP inside a disk."""

    def __init__(self, disk):
        self.disk = disk
        self.image = f"{disk}@@{ESP}"

    def _tool(self, *argv):
        return subprocess.run(argv, check=True, capture_output=True,
                              env={**os.environ, "MTOOLS_SKIP_CHECK": "1"}).stdout

    def uki(self):
        names = self._tool("mdir", "-b", "-i", self.image, "::EFI/Linux").decode().split()
        return names[0]

    def read(self, name):
        return self._tool("mtype", "-i", self.image, name)

    def write(self, name, data):
        path = self.disk.with_suffix(".file")
        path.write_bytes(data)
        self._tool("mcopy", "-o", "-i", self.image, str(path), name)


def security_directory(data):
    """Where the entry of a PE image's certificate table is, and the table: offset, size."""
    optional = int.from_bytes(data[0x3c:0x40], "little") + 24
    entry = optional + 112 + 4 * 8
    return (entry, int.from_bytes(data[entry:entry + 4], "little"),
            int.from_bytes(data[entry + 4:entry + 8], "little"))


def flipped(data):
    """One bit, in the middle of what is signed."""
    _, table, _ = security_directory(data)
    changed = bytearray(data)
    changed[table // 2] ^= 1
    return bytes(changed)


def unsigned(data):
    entry, table, _ = security_directory(data)
    changed = bytearray(data[:table])
    changed[entry:entry + 8] = bytes(8)
    return bytes(changed)


def signed_by_another(data, scratch):
    other = scratch / "other"
    if not other.exists():
        subprocess.run([slipway.SLIPWAY, "keygen", "--secure-boot", other], check=True)
    (scratch / "plain.efi").write_bytes(unsigned(data))
    subprocess.run(["sbsign", "--key", other / "db.key", "--cert", other / "db.crt", "--output",
                    scratch / "other.efi", scratch / "plain.efi"], check=True, capture_output=True)
    return (scratch / "other.efi").read_bytes()


def offline(esp, keys):
    """What other programs think of the signatures."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "signed.efi"
        for name in (esp.uki(), "::EFI/BOOT/BOOTX64.EFI", "::EFI/systemd/systemd-bootx64.efi"):
            file.write_bytes(esp.read(name))
            for argv in (["sbverify", "--cert", keys / "db.crt", file],
                         ["osslsigncode", "verify", "-CAfile", keys / "db.crt", file]):
                done = subprocess.run(argv, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise SystemExit(f"secure-boot: {argv[0]} rejects {name}: {done.stdout}{done.stderr}")


def check_enrolled(vm, key):
    """Firmware checks, and the kernel trusts root hashes by what it was told at boot."""
    vm.expect(key, (
        ("od -An -tu1 /sys/firmware/efi/efivars/SecureBoot-*", r"\A +6 +0 +0 +0 +1$"),
        ("od -An -tu1 /sys/firmware/efi/efivars/SetupMode-*", r"\A +6 +0 +0 +0 +0$"),
        ("sudo dmesg", r"secureboot: Secure boot enabled"),
        ("sudo cat /proc/keys", r"Slipway Secure Boot signing key"),
        ("sudo cat /proc/keys", r"Slipway root hash signing key"),
        ("findmnt -no SOURCE /usr", "^/dev/mapper/usr$")))


def check_machine_owner(vm, key):
    """That told it shim, not firmware."""
    check_enrolled(vm, key)
    vm.expect(key, (
        ("mokutil --db", r"(?s)\A(?!.*Slipway).*Microsoft Corporation UEFI CA"),
        ("mokutil --list-enrolled", r"(?s)Slipway Secure Boot signing key.*Slipway root hash signing key"),
        ("sudo dmsetup table usr", r"verity 1 .* root_hash_sig_key_desc \S+")))


def boots(disk, variables, scratch, check_inside):
    """How long it took from power-on to login, keys that firmware takes from the disk included."""
    key = scratch / "id_ed25519"
    if not key.exists():
        machine.ssh_key(scratch)
    public = key.with_suffix(".pub").read_text().strip()
    config = machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"])
    config = config.write(scratch / "config.ign")
    with machine.Machine(disk, config, snapshot=False,
                         options=[f"--secure-boot={variables}"]) as vm:
        vm.wait_for("login:", deadline=2 * machine.BOOT_DEADLINE)
        check_inside(vm, key)
        vm.poweroff(key)
        return vm.age()


def must_be_refused(disk, variables, what):
    with machine.Machine(disk, options=[f"--secure-boot={variables}"]) as vm:
        _, age = vm.wait_for(f"(?:{REFUSED})|(?:{STARTED})", deadline=REFUSAL_DEADLINE)
        if re.search(STARTED, vm.console):
            raise SystemExit(f"secure-boot: {what} was started:\n{vm.console[-2000:]}")
        print(f"{what}: refused after {age:.0f} s")


def changed_is_refused(disk, variables, what, name, change):
    esp = Esp(disk)
    original = esp.read(name)
    esp.write(name, change(original))
    must_be_refused(disk, variables, what)
    esp.write(name, original)


def refusals(disk, variables, scratch):
    uki, loader = Esp(disk).uki(), "::EFI/BOOT/BOOTX64.EFI"
    cases = [("a UKI with one flipped bit", uki, flipped),
             ("an unsigned UKI", uki, unsigned),
             ("a boot loader with one flipped bit", loader, flipped),
             ("an unsigned boot loader", loader, unsigned),
             ("a UKI signed by another key", uki, lambda d: signed_by_another(d, scratch)),
             ("a boot loader signed by another key", loader, lambda d: signed_by_another(d, scratch))]
    cases = cases[:3] if slipway.QUICK else cases
    for case in cases:
        changed_is_refused(disk, variables, *case)
    return len(cases)


def with_shim(disk, scratch):
    """Firmware as it is sold starts shim alone, and shim starts what a machine owner's key has signed."""
    sold = efi_variables.sold()
    stranger, owned = scratch / "stranger.efivars", scratch / "owned.efivars"
    stranger.write_bytes(sold)
    owned.write_bytes(efi_variables.with_machine_owner_keys(sold, pathlib.Path(os.environ["SLIPWAY_PROOF_KEYS"]).read_bytes()))
    must_be_refused(disk, stranger, "shim, and no machine owner's key")
    seconds = boots(disk, owned, scratch, check_machine_owner)
    changed_is_refused(disk, owned, "shim, and a UKI with one flipped bit", Esp(disk).uki(), flipped)
    changed_is_refused(disk, owned, "shim, and a boot loader with one flipped bit", "::EFI/BOOT/grubx64.efi", flipped)
    return f"; by shim under Microsoft's keys in {seconds:.0f} s, with a machine owner's key alone, 3 of 3 others refused"


def copy(name, scratch):
    disk = scratch / f"{name}.raw"
    subprocess.run(["cp", "--sparse=always", os.environ[f"SLIPWAY_PROOF_{name}"], disk], check=True)
    return disk


def compose():
    disk = trusted.image("secure-boot", {"secureBoot": True}).artifact(".raw")
    offline(Esp(disk), trusted.keys())
    os.environ["SLIPWAY_PROOF_DISK"] = str(disk)
    if slipway.QUICK:
        return
    trust = {"secureBoot": True, "shim": True, "rootHash": "required"}
    os.environ["SLIPWAY_PROOF_SHIM"] = str(trusted.image("secure-boot-shim", trust, ["shim"]).artifact(".raw"))
    os.environ["SLIPWAY_PROOF_KEYS"] = str(trusted.keys() / "db.esl")


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        compose()
    machine.enter_namespace()
    scratch = slipway.scratch()
    try:
        disk, variables = copy("DISK", scratch), scratch / "disk.efivars"
        seconds = boots(disk, variables, scratch, check_enrolled)
        n = refusals(disk, variables, scratch)
        shim = "" if slipway.QUICK else with_shim(copy("SHIM", scratch), scratch)
        print(f"secure-boot: keys enrolled by the disk itself, booted signed in {seconds:.0f} s; "
              f"{n} of {n} changed disks refused{shim}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
