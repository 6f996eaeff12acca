"""A machine on files, which `slipway-update` brings from one tiny release to the next: an image as its disk, a
directory as its ESP, another with its configuration and state.

    with Key() as key, Tiny(key) as tiny:
        site = UpdateSite(tiny)                 # keys, a directory, a web server
        site.release("1.0", EPOCH); site.publish("1.0")
        machine = Machine(tiny, "1.0", site)
        machine.update("apply")
"""

import hashlib
import json
import os
import shutil
import subprocess

import site_reader as reader
import slipway
from tiny import EPOCH

UPDATE = slipway.LIBEXEC / "slipway-update"
PIECE = 1 << 16


def contents(path, without=()):
    """A sparse file as its size and the hashes of its pieces that are not all zeros, by offset: as good for comparing as its bytes, and
    holes are not read. without: (start, size) of what does not count."""
    found = {}
    with open(path, "rb") as file:
        fd, at = file.fileno(), 0
        while at < os.fstat(fd).st_size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA) // PIECE * PIECE
            except OSError:  # ENXIO: holes up to the end
                break
            data = bytearray(os.pread(fd, PIECE, at))
            for start, size in without:
                first, end = max(start - at, 0), min(start + size - at, len(data))
                if first < end:
                    data[first:end] = bytes(end - first)
            if data.count(0) != len(data):
                found[at] = hashlib.sha256(data).digest()
            at += PIECE
        return os.fstat(fd).st_size, found


class UpdateSite:
    def __init__(self, tiny, url=None):
        self.tiny, self.path, self.url = tiny, tiny.path / "site", url
        self.key = reader.keygen(tiny.path / "update-key")
        self.public = self.key.with_suffix(".ed25519")

    def release(self, version, epoch, **files):
        reader.release(self.tiny, version, epoch, **files)

    def publish(self, version, *options, channel="stable"):
        done = reader.publish(self.tiny, version, self.path, self.key, *options, channel=channel)
        if done.returncode != 0:
            raise AssertionError(f"slipway publish: exit {done.returncode}: {done.stderr}")


class Machine:
    """One that runs a release, in slot A."""

    def __init__(self, tiny, version, site, name="machine", **config):
        build, self.path = tiny.path / version, tiny.path / name
        self.disk, self.esp, self.root = self.path / "disk.raw", self.path / "esp", self.path / "root"
        self.command_line = self.path / "cmdline"
        self.entries = self.esp / "EFI/Linux"
        self.entries.mkdir(parents=True)
        self.path.joinpath("root").mkdir()
        subprocess.run(["cp", "--sparse=always", next(build.glob("*.raw")), self.disk], check=True)
        shutil.copyfile(next(build.glob("*.efi")), self.entries / f"slipway_{version}.efi")
        report = json.loads(next(build.glob("*.report.json")).read_text())
        self.version, self.root_hash = version, report["rootHash"]
        self.command_line.write_text(f"quiet usrhash={self.root_hash} rw\n")
        epoch = report.get("timestamp", EPOCH)
        self.write("usr/lib/os-release", f'ID=tiny\nVERSION_ID="1"\nIMAGE_ID=tiny\nIMAGE_VERSION={version}\n'
                   f"SLIPWAY_TIMESTAMP={epoch}\n")
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.write("usr/etc/protocols", "ip 0 IP\n")
        self.write("etc/protocols", "ip 0 IP\n")
        self.write("etc/slipway/keys.d/site.ed25519", site.public.read_text())
        self.configure(site=site.url, **config)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def configure(self, **config):
        self.config = {k: v for k, v in config.items() if v is not None}
        self.write("etc/slipway/update.json", json.dumps(self.config))

    def argv(self, *words):
        return [str(UPDATE), "--disk", str(self.disk), "--esp", str(self.esp), "--root", str(self.root),
                "--cmdline", str(self.command_line), *words]

    def run(self, *words, **how):
        return subprocess.run(self.argv(*words), capture_output=True, text=True, timeout=120, check=False, **how)

    def start(self, *words):
        return subprocess.Popen(self.argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def update(self, *words):
        """What it prints; it must succeed."""
        done = self.run(*words)
        if done.returncode != 0:
            raise AssertionError(f"slipway-update {' '.join(words)}: exit {done.returncode}: {done.stderr}")
        return done.stdout

    def json(self, *words):
        return json.loads(self.update("--json", *words))

    def names(self):
        return sorted(p.name for p in self.entries.iterdir())

    def state(self):
        """What an update changes: for what must leave all as it was."""
        return contents(self.disk), {p.name: p.read_bytes() for p in self.entries.iterdir()}

    def slots(self):
        return {slot["slot"]: slot for slot in self.json("status")["slots"]}

    def partition(self, number):
        """(start, size) in bytes."""
        table = json.loads(reader.tool("sfdisk", "--json", self.disk))["partitiontable"]
        sector = table.get("sectorsize", 512)
        node = next(p for p in table["partitions"] if p["node"].endswith(str(number)))
        return node["start"] * sector, node["size"] * sector

    def verify_slot(self, name, root_hash):
        """The word of veritysetup on a slot."""
        usr = self.slots()[name]["partition"]
        for number, file in ((usr, "usr"), (usr + 1, "tree")):
            start, size = self.partition(number)
            with open(self.disk, "rb") as disk, open(self.path / file, "wb") as out:
                disk.seek(start)
                out.write(disk.read(size))
        reader.tool("veritysetup", "verify", self.path / "usr", self.path / "tree", root_hash)

    def check_table(self):
        text = reader.tool("sgdisk", "-v", self.disk)
        if "No problems found" not in text:
            raise AssertionError(text)

    def boot(self, version, blessed=True):
        """As if systemd-boot had started the release, and all was well."""
        entry = next(p for p in self.entries.iterdir() if p.name.startswith(f"slipway_{version}"))
        if blessed:
            entry.rename(self.entries / f"slipway_{version}.efi")
        self.command_line.write_text(f"usrhash={self.hash_of(version)}\n")
        text = (self.root / "usr/lib/os-release").read_text()
        self.write("usr/lib/os-release", text.replace(f"IMAGE_VERSION={self.version}", f"IMAGE_VERSION={version}"))
        self.version = version

    def hash_of(self, version):
        table = json.loads(reader.tool("sfdisk", "--json", self.disk))["partitiontable"]["partitions"]
        halves = [p["uuid"].replace("-", "").lower() for p in table if p.get("name", "").endswith(f"_{version}")]
        return "".join(halves[:2])

    def remove(self):
        shutil.rmtree(self.path)
