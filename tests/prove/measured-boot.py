#!/usr/bin/env python3
"""ROOT is sealed by the TPM: it opens under each release that our key signed, and under nothing else"""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

MARKER = "what must not be read from the disk "
HEADER = 16 << 20  # of LUKS2
GPT = 34 * 512
UP = "measured login:"
NOT_OPENED = "ROOT is encrypted, and the TPM does not open it"
NO_TPM = "ROOT is encrypted, and there is no TPM 2.0 that measured the boot"
CANNOT_MAKE = "This image encrypts ROOT with a key in the TPM, and this machine has no TPM 2.0"


# ---- releases ----

def keys_of(name):
    """A directory for --keys, which the ordinary user can read; made once, so that a build with it is kept."""
    directory = slipway.work_dir() / "measured-keys" / name
    key = directory / "pcr.key"
    if not key.exists():
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        key.chmod(0o600)
    slipway.give_to_user(directory)
    return directory


def compose(place, name, trust, options=(), keys=None):
    """The container host with the layer tpm2; releases that differ in options alone have one /usr."""
    manifest = json.loads(slipway.IMAGE.read_text())
    manifest["layers"].append("tpm2")
    manifest |= {"outputs": ["raw"], "trust": trust, "kernel": {"options": list(options)}}
    (place / "layers/images/measured.json").write_text(json.dumps(manifest))
    built = slipway.build(place, slipway.work_dir() / f"measured-{name}", slipway.work_dir() / "cache",
                          *(["--keys", keys] if keys else []), manifest="measured")
    return {"raw": str(built.artifact(".raw")), "efi": str(built.artifact(".efi")),
            "rootHash": built.answer["rootHash"], "pcr11": built.report()["pcr11"]}


def releases():
    place = slipway.reachable_copy(slipway.work_dir() / "place-measured")
    ours, theirs = keys_of("ours"), keys_of("theirs")
    sealed = {"measuredBoot": True, "root": "tpm2"}
    built = {
        "first": compose(place, "first", sealed, keys=ours),
        "second": compose(place, "second", sealed, ["slipway.second"], ours),
    }
    if not slipway.QUICK:
        built |= {
            "foreign": compose(place, "foreign", sealed, keys=theirs),
            "unsigned": compose(place, "unsigned", {}),
            "if-present": compose(place, "if-present", sealed | {"root": "tpm2-if-present"}, keys=ours),
        }
    if len({b["rootHash"] for b in built.values()}) != 1:
        raise SystemExit("measured-boot: the releases must share one /usr")
    return built


# ---- the disk ----

def partitions(disk):
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], check=True, capture_output=True,
                                      text=True).stdout)["partitiontable"]["partitions"]
    return {p["name"]: (p["start"] * 512, p["size"] * 512) for p in table}


def install(disk, release):
    """The only entry of the boot menu is this release's."""
    esp = f"{disk}@@{partitions(disk)['esp'][0]}"
    subprocess.run(["mdel", "-i", esp, "::/EFI/Linux/*.efi"], check=True)
    subprocess.run(["mcopy", "-i", esp, release["efi"], "::/EFI/Linux/slipway_1.0.0.efi"], check=True)


def read(disk, start, size):
    with open(disk, "rb") as f:
        f.seek(start)
        return f.read(size)


def identity(disk):
    """What making a new ROOT would change."""
    start, _ = partitions(disk)["root"]
    return hashlib.sha256(read(disk, 0, GPT) + read(disk, start, HEADER)).hexdigest()


def holds(disk, text):
    """Whether ROOT's partition has the bytes anywhere; holes are passed over."""
    start, size = partitions(disk)["root"]
    found, at, end = False, start, start + size
    with open(disk, "rb") as f:
        while not found and at < end:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            found = text.encode() in os.pread(f.fileno(), (4 << 20) + len(text), at)
            at += 4 << 20
    return found


def check_header(scratch, disk, public):
    """The key slot is the TPM's, for PCR 11 as our key signs it, and for no PCR's present value."""
    start, _ = partitions(disk)["root"]
    header = scratch / "header"
    header.write_bytes(read(disk, start, HEADER))
    text = subprocess.run(["cryptsetup", "luksDump", "--dump-json-metadata", header], check=True,
                          capture_output=True, text=True).stdout
    metadata = json.loads(text)
    (token,) = metadata["tokens"].values()
    got = {k: token[k] for k in ("type", "tpm2-pcrs", "tpm2_pubkey_pcrs")}
    if got != {"type": "systemd-tpm2", "tpm2-pcrs": [], "tpm2_pubkey_pcrs": [11]}:
        raise SystemExit(f"measured-boot: the token says {got}")
    if len(metadata["keyslots"]) != 1 or public not in json.dumps(token):
        raise SystemExit("measured-boot: one key slot, bound to our key, is what there must be")
    return 4


# ---- boots ----

def config(scratch, public):
    c = machine.Ignition().file("/etc/hostname", "measured\n", overwrite=True)
    c.user("core", groups=["sudo"], sshAuthorizedKeys=[public])
    c.file("/var/lib/marker", MARKER * 2000)
    return c.write(scratch / "measured.ign")


QUESTIONS = {
    "pcr11": "cat /sys/class/tpm/tpm0/pcr-sha256/11",
    "root": "findmnt -nro SOURCE,FSTYPE /",
    "link": "readlink -f /dev/disk/by-partlabel/root",
    "volume": "readlink -f /dev/mapper/slipway-root",
    "marker": "sudo wc -c < /var/lib/marker",
    "failed": "systemctl --failed --no-legend --plain",
    "machine": "cat /etc/machine-id",
}


def ask(vm, key):
    """All of it in one command: each costs seconds under emulation."""
    script = "; ".join(f"echo '=={name}'; {command} 2>&1" for name, command in QUESTIONS.items())
    parts = vm.ssh(key, script, check=False).split("==")[1:]
    return {name: text.strip() for name, _, text in (p.partition("\n") for p in parts)}


def expect(what, answers, **wanted):
    for name, value in wanted.items():
        if answers.get(name) != value:
            raise SystemExit(f"measured-boot: {what}: {name} must be {value!r}, not {answers.get(name)!r}")
    return len(wanted)


class Bench:
    def __init__(self, scratch, built):
        self.scratch, self.built, self.checks = scratch, built, 0
        self.key, public = machine.ssh_key(scratch)
        self.ignition = config(scratch, public)
        self.identity = None  # machine-id: a new ROOT would have another

    def disk(self, name, release):
        disk = self.scratch / name
        subprocess.run(["cp", "--sparse=always", release["raw"], disk], check=True)
        return disk

    def boots(self, what, disk, release, tpm):
        """The machine comes up with the ROOT that it has had."""
        options = [f"--tpm={tpm}"] if tpm else []
        with machine.Machine(disk, self.ignition, snapshot=False, options=options) as vm:
            match, _ = vm.wait_for(f"{UP}|Failed with result")
            if match.group() != UP:
                raise SystemExit(f"measured-boot: {what}: the boot failed:\n{vm.console[-4000:]}")
            seconds, answers = vm.age(), ask(vm, self.key)
            vm.poweroff(self.key)
        self.identity = self.identity or answers["machine"]
        self.checks += expect(what, answers, marker=str(len(MARKER) * 2000), failed="")
        if not tpm:
            self.checks += expect(what, answers, root="/dev/vda8 ext4", link="/dev/vda8")
            return
        self.checks += expect(what, answers, machine=self.identity, link=answers["volume"],
                              root="/dev/mapper/slipway-root ext4",
                              pcr11=release["pcr11"]["enter-initrd:leave-initrd:sysinit:ready"].upper())
        print(f"{what}: PCR 11 as predicted, ROOT open; up after {seconds:.0f} s", flush=True)

    def refuses(self, what, disk, message, tpm=None):
        """The boot says why it does not go on, and leaves the disk as it is."""
        before = identity(disk) if "root" in partitions(disk) else None
        options = [f"--tpm={tpm}"] if tpm else []
        with machine.Machine(disk, self.ignition, snapshot=False, options=options) as vm:
            vm.wait_for(message)
            seconds = vm.age()
        after = identity(disk) if "root" in partitions(disk) else None
        if before != after:
            raise SystemExit(f"measured-boot: {what}: the disk was changed")
        self.checks += 2
        print(f"{what}: refused after {seconds:.0f} s: {message}", flush=True)


def prove_releases(bench):
    """Provisioned under the first release, opened under the second."""
    first, second = bench.built["first"], bench.built["second"]
    disk, tpm = bench.disk("disk.raw", first), bench.scratch / "tpm"
    bench.boots("first boot", disk, first, tpm)
    bench.checks += check_header(bench.scratch, disk, bench.built["public"])
    if holds(disk, MARKER):
        raise SystemExit("measured-boot: contents of ROOT lie on the disk in the clear")
    bench.checks += 1
    install(disk, second)
    bench.boots("next release", disk, second, tpm)
    return disk, tpm


def prove_rest(bench, disk, tpm):
    built = bench.built
    install(disk, built["first"])
    bench.boots("the way back", disk, built["first"], tpm)
    install(disk, built["foreign"])
    bench.refuses("signed by another key", disk, NOT_OPENED, tpm)
    install(disk, built["unsigned"])
    bench.refuses("not signed", disk, NOT_OPENED, tpm)
    install(disk, built["first"])
    bench.refuses("another TPM", disk, NOT_OPENED, bench.scratch / "other-tpm")
    bench.refuses("no TPM any more", disk, NO_TPM)
    bench.refuses("no TPM, and it must be", bench.disk("none.raw", built["first"]), CANNOT_MAKE)
    plain = bench.disk("plain.raw", built["if-present"])
    bench.boots("no TPM, and it need not be", plain, built["if-present"], None)
    if not holds(plain, MARKER):
        raise SystemExit("measured-boot: a plain ROOT must hold what it holds: the search finds nothing")
    bench.checks += 1


def public_key():
    """As the token has it: base64 of the PEM text."""
    pem = subprocess.run(["openssl", "pkey", "-in", keys_of("ours") / "pcr.key", "-pubout"], check=True,
                         capture_output=True).stdout
    return base64.b64encode(pem).decode()


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF_RELEASES"] = json.dumps(releases() | {"public": public_key()})
    machine.enter_namespace()
    scratch = slipway.scratch()
    try:
        bench = Bench(scratch, json.loads(os.environ["SLIPWAY_PROOF_RELEASES"]))
        disk, tpm = prove_releases(bench)
        if not slipway.QUICK:
            prove_rest(bench, disk, tpm)
        print(f"measured-boot: {bench.checks} checks held in {'2' if slipway.QUICK else '9'} boots; ROOT opens under "
              f"each release of ours and under nothing else")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
