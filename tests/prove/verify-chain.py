#!/usr/bin/env python3
"""whatever is changed on a disk, `slipway verify` names the link that it broke

A small image with every link (Secure Boot, signed root hash, IPE policy, PCR policy), made from packages of our own. Each change is
made on the raw disk, judged, and taken back. Nothing is booted. What has to do with the root hash's signature is judged by systemd-dissect
as well, in User-mode Linux."""

import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "boot")]
import slipway
import uml
from tiny import Key, Tiny, noise

MIB, BLOCK, SECTOR = 1 << 20, 4096, 512
TRUST = {"secureBoot": True, "rootHash": "required", "measuredBoot": True, "ipe": "enforce", "onCorruption": "panic"}
ANYWHERE = 8 if slipway.QUICK else 64  # more flips of random bits in image and tree


class Disk:
    """The disk, and how it is changed: what a change has written is put back behind it."""

    def __init__(self, path, report):
        self.path, self.size = path, path.stat().st_size
        self.places = {}
        for p in report["layout"]["partitions"]:
            self.places.setdefault(p["role"], (p["start"], p["size"], p.get("used", 0)))
        self.image = f"{path}@@{self.start('esp')}"
        self.backup = path.with_suffix(".backup")
        shutil.copyfile(path, self.backup)

    def start(self, role):
        return self.places[role][0]

    def read(self, offset, size):
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def write(self, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def flip(self, offset, bit=0):
        self.write(offset, bytes([self.read(offset, 1)[0] ^ 1 << bit]))

    def restore(self):
        subprocess.run(["cp", "--sparse=always", self.backup, self.path], check=True)

    def tool(self, *argv):
        return subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "MTOOLS_SKIP_CHECK": "1"}).stdout

    def file(self, name):
        return self.tool("mtype", "-i", self.image, f"::{name}")

    def find(self, name, inside):
        """Where the bytes of a file lie, `inside` bytes from its start: mtools writes it in one piece, the second copy of the boot
        loader behind the first."""
        data = self.file(name)
        esp = self.read(self.start("esp"), self.places["esp"][1])
        at = esp.rfind(data) if name == INSTALLED else esp.find(data)
        assert at >= 0, name
        return self.start("esp") + at + inside

    def find_text(self, text, role):
        start, size, _ = self.places[role]
        at = self.read(start, min(size, 64 * MIB)).find(text)
        assert at >= 0, text
        return start + at


LOADER, INSTALLED = "EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"
UKI = "EFI/Linux/slipway_1.0+3.efi"


def fat_start(disk):
    return disk.start("esp") + int.from_bytes(disk.read(disk.start("esp") + 14, 2), "little") * SECTOR


def fat_size(disk):
    return int.from_bytes(disk.read(disk.start("esp") + 36, 4), "little") * SECTOR


def section(disk, name):
    """Where a section of the UKI lies on the disk."""
    data = disk.file(UKI)
    at = int.from_bytes(data[0x3c:0x40], "little")
    count, optional = int.from_bytes(data[at + 6:at + 8], "little"), int.from_bytes(data[at + 20:at + 22], "little")
    for i in range(count):
        row = data[at + 24 + optional + 40 * i:][:40]
        if row[:8].rstrip(b"\0") == name:
            return disk.find(UKI, int.from_bytes(row[20:24], "little"))
    raise SystemExit(f"no section {name}")


def add_entry(disk):
    disk.path.with_suffix(".conf").write_text("title other\nlinux /EFI/Linux/other\n")
    disk.tool("mmd", "-i", disk.image, "::loader/entries")
    disk.tool("mcopy", "-i", disk.image, str(disk.path.with_suffix(".conf")), "::loader/entries/other.conf")


def unsign(disk, name):
    """Takes the certificates off, as a program that has none."""
    data = bytearray(disk.file(name))
    entry = int.from_bytes(data[0x3c:0x40], "little") + 24 + 112 + 4 * 8
    table = int.from_bytes(data[entry:entry + 4], "little")
    data[entry:entry + 8] = bytes(8)
    path = disk.path.with_suffix(".efi")
    path.write_bytes(data[:table])
    disk.tool("mcopy", "-o", "-i", disk.image, str(path), f"::{name}")


def other_slot(disk):
    disk.tool("sgdisk", "--partition-guid=2:R", str(disk.path))


def in_value(key, back):
    """A character of a value of the signature's JSON, counted from its end."""
    def change(disk):
        text = disk.read(disk.start("usr-verity-sig"), 64 * 1024)
        value = re.search(rb'"%s":"([^"]*)"' % key.encode(), text)
        at = value.end(1) - back
        same = text[at:at + 1] in b"Aa"  # as a digit of a root hash
        disk.write(disk.start("usr-verity-sig") + at, b"B" if same else b"A")
    return change


def text_of(name, old, new):
    """Other words of the same length in a text of the UKI."""
    def change(disk):
        at = section(disk, name)
        text = disk.read(at, 4096)
        assert old in text and len(old) == len(new)
        disk.write(at + text.index(old), new)
    return change


def flip(where):
    return lambda disk: disk.flip(where(disk))


def tree(block, byte):
    return flip(lambda disk: disk.start("usr-verity") + block * BLOCK + byte)


def usr(byte):
    return flip(lambda disk: disk.start("usr") + byte)


BOOT, ROOT = ("--keys",), ("--certificate",)  # with the whole directory of keys; with the root hash's certificate alone
CHANGES = (
    ("the GPT's header", "partition table", BOOT, flip(lambda d: SECTOR + 16)),
    ("a UUID in the GPT", "partition table", BOOT, flip(lambda d: 2 * SECTOR + 128 + 16)),
    ("the backup GPT's header", "partition table", BOOT, flip(lambda d: d.size - SECTOR + 24)),
    ("a UUID in the backup GPT", "partition table", BOOT, flip(lambda d: d.size - 33 * SECTOR + 128 + 16)),
    ("FAT's boot sector", "EFI system partition", BOOT, flip(lambda d: d.start("esp") + 510)),
    ("the first allocation table", "EFI system partition", BOOT, flip(lambda d: fat_start(d) + 40)),
    ("the second allocation table", "EFI system partition", BOOT, flip(lambda d: fat_start(d) + fat_size(d) + 40)),
    ("the boot loader's code", "boot loader", BOOT, flip(lambda d: d.find(LOADER, len(d.file(LOADER)) // 4))),
    ("the boot loader that updates look at", "boot loader", BOOT,
     flip(lambda d: d.find(INSTALLED, len(d.file(INSTALLED)) // 4))),
    ("a boot loader without signature", "boot loader", BOOT, lambda d: unsign(d, LOADER)),
    ("no boot loader", "boot loader", BOOT, lambda d: d.tool("mdel", "-i", d.image, f"::{LOADER}")),
    ("another program on the ESP", "boot loader", BOOT, lambda d: (unsign(d, INSTALLED),)),
    ("loader.conf", "boot menu", BOOT, flip(lambda d: d.find("loader/loader.conf", 3))),
    ("a boot entry that is no UKI", "boot menu", BOOT, add_entry),
    ("the kernel", "kernel image", BOOT, flip(lambda d: section(d, b".linux") + 1000)),
    ("the initrd", "kernel image", BOOT, flip(lambda d: section(d, b".initrd") + 100)),
    ("the command line", "kernel image", BOOT, flip(lambda d: section(d, b".cmdline") + 10)),
    ("the UKI's signature", "kernel image", BOOT, flip(lambda d: d.find(UKI, len(d.file(UKI)) - 40))),
    ("a UKI without signature", "kernel image", BOOT, lambda d: unsign(d, UKI)),
    ("no UKI", "kernel image", BOOT, lambda d: d.tool("mdel", "-i", d.image, f"::{UKI}")),
    ("a command line without root hash", "command line", ROOT, text_of(b".cmdline", b"usrhash=", b"usrhast=")),
    ("PCR 11's signature", "PCR policy", ROOT, flip(lambda d: section(d, b".pcrsig") + 120)),
    ("what PCR 11 measures", "PCR policy", ROOT, flip(lambda d: section(d, b".linux") + 1000)),
    ("a slot with another UUID", "slot", BOOT, other_slot),
    ("the signature's JSON", "root hash signature", BOOT, flip(lambda d: d.start("usr-verity-sig"))),
    ("the signature's root hash", "root hash signature", BOOT, in_value("rootHash", 1)),
    ("a byte of the PKCS#7", "root hash signature", BOOT, in_value("signature", 40)),
    ("a byte of the PKCS#7's signer", "root hash signature", BOOT, in_value("signature", 420)),
    ("something behind the signature", "root hash signature", BOOT, flip(lambda d: d.start("usr-verity-sig") + 60000)),
    ("no signature", "root hash signature", BOOT, lambda d: d.write(d.start("usr-verity-sig"), bytes(64 * 1024))),
    ("the IPE policy", "IPE policy", BOOT, in_value("ipePolicy", 40)),
    ("the superblock's magic", "hash tree", BOOT, tree(0, 0)),
    ("the superblock's block size", "hash tree", BOOT, tree(0, 65)),
    ("the superblock's number of blocks", "hash tree", BOOT, tree(0, 75)),
    ("the tree's top", "hash tree", BOOT, tree(1, 5)),
    ("a leaf", "hash tree", BOOT, tree(2, 77)),
    ("the first byte of /usr", "blocks", BOOT, usr(0)),
    ("a byte of /usr", "blocks", BOOT, usr(3 * BLOCK + 17)),
)


def verify(disk, arguments):
    """The link that breaks, or None; and what is said of each."""
    done = subprocess.run([slipway.SLIPWAY, "verify", "--json", *arguments, str(disk.path)], capture_output=True, text=True)
    checks = json.loads(done.stdout)
    broken = [c["link"] for c in checks if c["state"] == "broken"]
    if (done.returncode != 0) != bool(broken) or len(broken) > 1 or (broken and not done.stderr.startswith(f"slipway: {broken[0]}: ")):
        raise SystemExit(f"verify: exit {done.returncode}, {broken}: {done.stderr}")
    return broken[0] if broken else None, checks


def certificates(keys):
    return {BOOT: ("--keys", str(keys)), ROOT: ("--certificate", f"root-hash:{keys}/verity.crt")}


def prove(tiny, keys):
    disk = Disk(tiny.artifact(".raw"), tiny.report())
    chosen = certificates(keys)
    for arguments in chosen.values():
        broken, checks = verify(disk, arguments)
        if broken:
            raise SystemExit(f"the disk as it was built breaks at '{broken}': {checks[-1]}")
    links = list(dict.fromkeys(c["link"] for c in verify(disk, chosen[BOOT])[1]))
    for what, link, which, change in CHANGES:
        change(disk)
        found, checks = verify(disk, chosen[which])
        if found != link:
            raise SystemExit(f"{what}: broke '{link}', and verify said {found!r}: {checks[-1]}")
        print(f"{what}: {link}: {checks[-1]['what']}")
        disk.restore()
    missing = set(links) - {link for _, link, _, _ in CHANGES}
    if missing:
        raise SystemExit(f"links that nothing broke: {missing}")
    return len(links), len(CHANGES) + anywhere(disk, chosen[BOOT])


def anywhere(disk, arguments):
    """Any bit of image and hash tree."""
    rng = random.Random(6)
    for role, link in (("usr", "blocks"), ("usr-verity", "hash tree")):
        start, _, used = disk.places[role]
        first = BLOCK if role == "usr-verity" else 0  # the superblock has unused bytes
        for _ in range(ANYWHERE):
            at, bit = start + rng.randrange(first, used), rng.randrange(8)
            disk.flip(at, bit)
            found, _ = verify(disk, arguments)
            if found != link:
                raise SystemExit(f"bit {bit} of byte {at - start} of {role}: verify said {found!r}")
            disk.flip(at, bit)
    return 2 * ANYWHERE


NOISE = "usr/share/tiny/noise"
PEER_REFUSES = ("the signature's root hash", "a byte of the PKCS#7", "a byte of the PKCS#7's signer", "the tree's top", "the first byte of /usr")
PEER_MODULES = ("dm-verity", "erofs", "loop", "vfat", "nls_cp437", "nls_iso8859-1")
# It finds the root hash beside the disk, the signature in it, and certificates in verity.d. The good disk comes last: what is open is shared.
PEER = """
try() {{
    echo "== $1"
    if systemd-dissect --mount --mkdir --read-only {directory}/$2.raw /run/$2; then sha256sum </run/$2/{noise}; fi
}}
mkdir /run/verity.d
try "no certificate" good
cp {keys}/db.crt /run/verity.d
try "another certificate" good
cp {keys}/verity.crt /run/verity.d
{changed}
echo "== said"
systemd-dissect --json=short {directory}/good.raw
try good good
"""


def peer(tiny, keys, root_hash):
    """systemd's own reader of disk images takes /usr as built, with its signature, and nothing that was changed."""
    directory = tiny.path / "peer"
    directory.mkdir()
    disk = Disk(tiny.artifact(".raw"), tiny.report())
    changes = {what: change for what, _, _, change in CHANGES}
    names = {what: f"changed{n}" for n, what in enumerate(PEER_REFUSES)} | {"good": "good"}
    for what, name in names.items():
        if what != "good":
            changes[what](disk)
        subprocess.run(["cp", "--sparse=always", disk.path, directory / f"{name}.raw"], check=True)
        (directory / f"{name}.usrhash").write_text(root_hash)
        disk.restore()
    changed = "\n".join(f'try "{what}" {names[what]}' for what in PEER_REFUSES)
    script = PEER.format(directory=directory, keys=keys, noise=NOISE, changed=changed)
    said = uml.run(["sh", "-c", script], modules=PEER_MODULES)[1]
    answers = dict(part.split("\n", 1) for part in said.split("== ")[1:])
    digest = hashlib.sha256(tiny.files[NOISE]).hexdigest()
    taken = sorted(what for what, text in answers.items() if digest in text)
    wanted = {"good", "said", "no certificate", "another certificate", *PEER_REFUSES}
    if taken != ["good"] or set(answers) != wanted or not re.search(r'"designator":"usr",[^}]*"verity":"signed"', answers["said"]):
        raise SystemExit(f"systemd-dissect takes {taken}:\n{said}")
    return len(answers) - 2


def without_signatures(tiny, keys):
    """An image that has none is sound, and is not what somebody wants who has a certificate."""
    tiny.manifest.pop("trust")
    tiny.build()
    disk = Disk(tiny.artifact(".raw"), tiny.report())
    broken, checks = verify(disk, ())
    unsigned = {c["link"] for c in checks if c["state"] == "unsigned"}
    if broken or unsigned != {"boot loader", "kernel image", "PCR policy", "root hash signature", "IPE policy"}:
        raise SystemExit(f"an unsigned image: broken {broken}, unsigned {unsigned}")
    for arguments, link in ((certificates(keys)[BOOT], "boot loader"), (certificates(keys)[ROOT], "root hash signature")):
        if verify(disk, arguments)[0] != link:
            raise SystemExit(f"an unsigned image and {arguments}: not refused at '{link}'")


def main():
    with Key() as key, Tiny(key) as tiny:
        keys = tiny.path / "keys"
        subprocess.run([slipway.SLIPWAY, "keygen", "--secure-boot", keys], check=True)
        tiny.trust(TRUST)
        tiny.files[NOISE] = noise(1 * MIB)  # so that the hash tree has two levels
        root_hash = tiny.build("--keys", keys)["rootHash"]
        links, changes = prove(tiny, keys)
        refused = peer(tiny, keys, root_hash)
        without_signatures(tiny, keys)
    print(f"verify-chain: {links} links, {changes} mutations, all found at their link; systemd-dissect takes the disk as it was built and "
          f"refuses it {refused} times")


if __name__ == "__main__":
    main()
