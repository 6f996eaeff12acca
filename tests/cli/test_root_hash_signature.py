#!/usr/bin/env python3
"""The signature of the root hash: from the build to the update site, and from there to a machine's idle slot."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import site_reader as reader
from site_reader import publish
import slipway
from tiny import Key, Tiny
from update_site import BLOCK, Machine, Nginx, Site, blocks

KIB = 1024
ROOM = 64 * KIB  # what an update writes of the partition
EBADMSG, ENOENT, ENOSPC, EINVAL, EREMOTEIO = 74, 2, 28, 22, 121


def openssl(*arguments, **how):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, **how)


class Build(unittest.TestCase):
    """A signed image, and a site with it."""

    @classmethod
    def setUpClass(cls):
        cls.tiny = cls.enterClassContext(Tiny(cls.enterClassContext(Key())))
        cls.keys = cls.tiny.path / "keys"
        subprocess.run([slipway.SLIPWAY, "keygen", "--secure-boot", cls.keys], check=True)
        cls.tiny.trust({"rootHash": "signed"})
        cls.tiny.write()
        only_signed = cls.tiny.layer_path.parent / "files.signed/usr/share/tiny/only-signed"
        only_signed.parent.mkdir(parents=True)
        only_signed.write_text("of a signed image\n")
        cls.tiny.build("--keys", cls.keys, write=False)
        cls.report = cls.tiny.report()
        place = next(p for p in cls.report["layout"]["partitions"] if p["role"] == "usr-verity-sig")
        with open(cls.tiny.artifact(".raw"), "rb") as disk:
            disk.seek(place["start"])
            cls.partition = disk.read(place["size"])
        cls.text = cls.partition.rstrip(b"\0")
        cls.signature = json.loads(cls.text)

    def test_image(self):
        """The certificate is where systemd looks for it; and a layer has files for signed images alone."""
        def cat(path):
            return reader.tool("ostree", f"--repo={self.tiny.cache / 'repo'}", "cat", self.report["commit"], path)

        self.assertEqual(cat("/usr/lib/verity.d/slipway.crt"), (self.keys / "verity.crt").read_text())
        self.assertEqual(cat("/usr/share/tiny/only-signed"), "of a signed image\n")

    def test_partition(self):
        """The object of the Discoverable Partitions Specification, and OpenSSL takes what is in it."""
        self.assertEqual(self.signature["rootHash"], self.report["rootHash"])
        der = openssl("x509", "-in", self.keys / "verity.crt", "-outform", "DER", check=True).stdout
        self.assertEqual(self.signature["certificateFingerprint"], hashlib.sha256(der).hexdigest())
        self.assertIn("ipePolicy", self.signature)
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch)
            (path / "p7s").write_bytes(base64.b64decode(self.signature["signature"], validate=True))
            for text, code in ((self.report["rootHash"], 0), (self.report["rootHash"][:-1] + "g", 4)):
                (path / "text").write_text(text)
                done = openssl("cms", "-verify", "-binary", "-inform", "DER", "-in", path / "p7s", "-content", path / "text",
                               "-certfile", self.keys / "verity.crt", "-nointern", "-noverify", "-out", os.devnull)
                self.assertEqual(done.returncode, code, done.stderr)

    def test_again(self):
        """The same build gives the same signature, bit for bit."""
        again = self.tiny.path / "again"
        self.tiny.build("--keys", self.keys, output=again, write=False)
        first, second = (json.loads((p / "tiny_1.0.report.json").read_text()) for p in (self.tiny.output, again))
        self.assertEqual(first["artifacts"], second["artifacts"])

    def test_published(self):
        key = reader.keygen(self.tiny.path / "key")
        site = self.tiny.path / "site"
        done = publish(self.tiny, self.tiny.output.name, site, key)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        images = site / "images" / self.report["rootHash"]
        release = json.loads((images / "release.json").read_text())
        published = (images / "usr.sig").read_bytes()
        self.assertEqual(published, self.text)
        self.assertEqual((release["usrSignatureSize"], release["usrSignature"]),
                         (len(published), hashlib.sha256(published).hexdigest()))

    def test_keys_are_wanted(self):
        done = self.tiny.try_build(output=self.tiny.path / "no-keys")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--keys", done.stderr)

    def test_verify(self):
        """The whole chain of the disk, and what is missing of it is named."""
        disk = self.tiny.artifact(".raw")
        done = self.tiny.slipway("verify", "--certificate", f"root-hash:{self.keys / 'verity.crt'}", disk)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for line in ("ok  root hash signature: the root hash is signed", "--  kernel image: EFI/Linux/slipway_1.0+3.efi is not signed",
                     "ok  hash tree: "):
            self.assertIn(line, done.stdout)
        for arguments, says in ((("--keys", self.keys), "slipway: boot loader: EFI/BOOT/BOOTX64.EFI is not signed"),
                                (("--certificate", f"root-hash:{self.keys / 'db.crt'}"),
                                 "slipway: root hash signature: EFI/Linux/slipway_1.0+3.efi: signed by another certificate's key"),
                                (("--certificate", disk), f"slipway: {disk}: "),
                                (("--keys", self.tiny.path), "neither db.crt nor verity.crt")):
            done = self.tiny.slipway("verify", *arguments, disk)
            self.assertEqual(done.returncode, 1)
            self.assertIn(says, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_verify_no_disk(self):
        """Files that are no raw disk, each with its reason."""
        with tempfile.TemporaryDirectory() as scratch:
            for content, says in ((b"QFI\xfb" + bytes(4 * KIB), "qemu-img convert"), (b"", "partition table: "),
                                  (bytes(1 << 20), "No GPT")):
                path = pathlib.Path(scratch, "disk")
                path.write_bytes(content)
                done = self.tiny.slipway("verify", path)
                self.assertEqual(done.returncode, 1)
                self.assertIn(says, done.stderr)


class Stage(unittest.TestCase):
    """What the agent does with it."""

    @classmethod
    def setUpClass(cls):
        cls.path = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="slipway-signature-")))
        cls.site = Site(cls.path / "site")
        cls.count = 0
        work = cls.path / "nginx"
        cls.server = Nginx(cls.site.path, work)
        cls.enterClassContext(cls.server)

    def release(self, signature=None, said=None, **members):
        """A release with a signature (bytes); what it says of that, if not the truth."""
        type(self).count += 1
        place = self.site.add(blocks(range(1, 40)), blocks(range(100, 110)) + b"uki %d" % self.count, str(self.count))
        release = json.loads((place / "release.json").read_text())
        if signature is None:
            return place
        text = signature if isinstance(signature, bytes) else json.dumps({"rootHash": release["rootHash"], **signature}).encode()
        (place / "usr.sig").write_bytes(text)
        said = text if said is None else said
        release |= {"usrSignature": hashlib.sha256(said).hexdigest(), "usrSignatureSize": len(said), **members}
        (place / "release.json").write_text(json.dumps(release))
        return place

    def machine(self, release, partition=1024 * KIB, content=b""):
        machine = Machine(self.path / f"machine{self.count}", release)
        if partition:
            with open(machine.path / "usr.sig", "wb") as file:
                file.write(content)
                file.truncate(partition)
        return machine

    def stage(self, machine, *options):
        done = machine.run(self.server.url, *options)
        self.assertEqual((done.returncode, done.error), (0, ""))
        return done.counts

    def refused(self, machine, code, says):
        before = (machine.path / "usr.sig").read_bytes()
        done = machine.run(self.server.url)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"({code})\n", done.error)
        self.assertRegex(done.error, says)
        self.assertEqual((machine.path / "usr.sig").read_bytes(), before)

    def partition(self, machine):
        return (machine.path / "usr.sig").read_bytes()

    def test_written(self):
        """In place of a longer one, of which nothing stays; the second time it is there already."""
        release = self.release({"signature": "AAAA"})
        machine = self.machine(release, content=b"x" * ROOM + b"behind")
        self.stage(machine)
        text = (release / "usr.sig").read_bytes()
        self.assertEqual(self.partition(machine)[:ROOM], text + bytes(ROOM - len(text)))
        self.assertEqual(self.partition(machine)[ROOM:ROOM + 6], b"behind")
        self.assertEqual(self.stage(machine)["requests"], 0)

    def test_plan_writes_nothing(self):
        machine = self.machine(self.release({"signature": "AAAA"}), content=b"old")
        before = self.partition(machine)
        self.assertGreater(self.stage(machine, "--plan")["requests"], 1)
        self.assertEqual(self.partition(machine), before)

    def test_unsigned_release(self):
        """A stale signature does not stay."""
        machine = self.machine(self.release(), content=b'{"rootHash":"of another image"}')
        self.stage(machine)
        self.assertEqual(self.partition(machine), bytes(1024 * KIB))

    def test_no_partition(self):
        """Old disks have none: the release comes without."""
        machine = self.machine(self.release({"signature": "AAAA"}), partition=0)
        self.stage(machine)

    def test_hostile(self):
        good = {"signature": "AAAA"}
        cases = [
            ("another file", (b'{"rootHash": 1}', b'{"rootHash": 2}'), EBADMSG, "not the file that the release names"),
            ("a longer file", (b'{"rootHash": 1}  ', b'{"rootHash": 1}'), EREMOTEIO, "bytes, not 15"),
            ("of another image", (json.dumps({"rootHash": "ab" * 32, **good}).encode(),), EBADMSG, "of another root hash"),
            ("no JSON", (b"#" * 300,), EINVAL, "usr.sig"),
            ("no PKCS#7", ({},), EINVAL, "lacks \"signature\""),
        ]
        for what, arguments, code, says in cases:
            with self.subTest(what):
                self.refused(self.machine(self.release(*arguments)), code, says)
        release = self.release(good)
        (release / "usr.sig").unlink()
        self.refused(self.machine(release), ENOENT, "usr.sig")

    def test_small_partition(self):
        self.refused(self.machine(self.release({"signature": "A" * 8 * KIB}), partition=4 * KIB), ENOSPC, "do not fit")


if __name__ == "__main__":
    unittest.main()
