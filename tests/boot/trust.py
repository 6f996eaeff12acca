#!/usr/bin/env python3
"""The whole chain of trust in one machine: what `prove secure-boot`, `root-hash-signature`, `measured-boot`,
`only-usr-runs` and `mac` show one by one, on one image that has all of it, started once. Then what is on its disk is
changed, and must be refused."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import servers
import slipway
import trusted

TRUST = {"secureBoot": True, "rootHash": "required", "onCorruption": "panic", "measuredBoot": True, "root": "tpm2",
         "ipe": "audit", "lockdown": True}


secure_boot, root_hash, measured, only_usr, mac = map(slipway.proof, (
    "secure-boot", "root-hash-signature", "measured-boot", "only-usr-runs", "mac"))


def compose():
    """The image, as an ordinary user, and what its keys have signed besides."""
    only_usr.make_signed()
    built = trusted.image("trust", TRUST, ["tpm2"])
    disk = built.artifact(".raw")
    secure_boot.offline(secure_boot.Esp(disk), trusted.keys())
    return {"disk": str(disk), "pcr11": built.report()["pcr11"]}


def config(scratch, public):
    hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", "slipway", "secret"], check=True, capture_output=True,
                            text=True).stdout.strip()
    c = machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"])
    c.user("worker", sshAuthorizedKeys=[public], passwordHash=hashed, shell="/bin/bash")
    c.file("/var/lib/marker", measured.MARKER * 2000)
    return c.write(scratch / "trust.ign")


def check_measured(vm, key, pcr11):
    measured.expect("first boot", measured.ask(vm, key), failed="", root="/dev/mapper/slipway-root ext4",
                    pcr11=pcr11["enter-initrd:leave-initrd:sysinit:ready"].upper())


def check_ways(vm, key, scratch):
    """Leaves IPE reporting, nothing failed, and no files that are root's where others want theirs."""
    host = only_usr.Host(vm, key, scratch)
    only_usr.report_then_enforce(host)
    if host.problems:
        raise SystemExit("only-usr-runs:\n" + "\n".join(host.problems))
    host.run("echo 0 >/sys/kernel/security/ipe/enforce; systemctl reset-failed; rm -rf /tmp/u")


def run(disk, options, scratch, pcr11):
    key, public = machine.ssh_key(scratch)
    with servers.Web({"/": b"hello from the builder\n"}) as web, \
         machine.Machine(disk, config(scratch, public), snapshot=False, options=options) as vm:
        _, age = vm.wait_for("login:", 2 * machine.BOOT_DEADLINE)
        secure_boot.check_enrolled(vm, key)
        root_hash.check_verified(vm, key)
        check_measured(vm, key, pcr11)
        check_ways(vm, key, scratch)
        mac.check(vm, key, scratch, web.port)
        vm.poweroff(key)
        return age


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_TRUST"] = json.dumps(compose())
    machine.enter_namespace()
    built = json.loads(os.environ["SLIPWAY_TRUST"])
    scratch = slipway.scratch()
    try:
        disk, variables = root_hash.Disk(built["disk"], scratch / "disk.raw"), scratch / "disk.efivars"
        age = run(disk.path, [f"--secure-boot={variables}", f"--tpm={scratch / 'tpm'}"], scratch, built["pcr11"])
        if measured.holds(disk.path, measured.MARKER):
            raise SystemExit("trust: contents of ROOT lie on the disk in the clear")
        refused = secure_boot.refusals(disk.path, variables, scratch)
        refused += root_hash.refusals(disk, variables, ["a wrong byte in the signature", "no signature"])
        print(f"trust: every link held in one machine, up after {age:.0f} s; {refused} of {refused} changed disks refused")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
