#!/usr/bin/env python3
"""slipway sysext: the image of an extension, and what is refused. sfdisk, veritysetup, fsck.erofs and openssl read it."""

import base64
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import extension
import slipway
from extension import Extension
from site_reader import tool

DATA = slipway.PROJECT / "tests/data/sysext"


class Scratch(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="slipway-sysext-")))

    def refused(self, ext, text):
        done = ext.run()
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn(text, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual([p.name for p in ext.output.glob("*")] if ext.output.exists() else [], [])


class Build(Scratch):
    def test_partitions(self):
        """A table without defects, types of the architecture, UUIDs from the root hash."""
        for architecture, root in (("amd64", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"),
                                   ("arm64", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE")):
            ext = Extension(self.path, version=f"1.{len(architecture)}{architecture}", architecture=architecture)
            image = ext.build("--keys", extension.keys(self.path / "keys"))
            self.assertIn("No problems found", tool("sgdisk", "-v", image))
            table = json.loads(tool("sfdisk", "--json", image))["partitiontable"]["partitions"]
            self.assertEqual([p["name"] for p in table], ["root", "root-verity", "root-verity-sig"])
            self.assertEqual(table[0]["type"], root)
            halves = "".join(p["uuid"].replace("-", "").lower() for p in table[:2])
            self.assertEqual(halves, ext.report()["rootHash"])
            self.assertTrue(all("60" in p["attrs"] for p in table))

    def test_contents(self):
        """Root's files, capabilities and setuid bits of an archive, the text for the host; the tree is the hash tree's."""
        ext = Extension(self.path, scope=["system"], reloadManager=True,
                        files={"usr/bin/tool": b"\x7fELF" + os.urandom(300000), "opt/tool/data": "x" * 9000})
        ext.put("usr/share/tool/readme", "hello\n", 0o600)
        (ext.tree / "usr/bin/link").symlink_to("tool")
        ext.build()
        image, tree, signature = ext.parts()
        self.assertEqual(signature, b"")
        (self.path / "image").write_bytes(image)
        (self.path / "tree").write_bytes(tree)
        tool("veritysetup", "verify", self.path / "image", self.path / "tree", ext.report()["rootHash"])
        tool("fsck.erofs", f"--extract={self.path / 'x'}", self.path / "image")
        got = {str(p.relative_to(self.path / "x")): p for p in (self.path / "x").rglob("*") if not p.is_dir()}
        text = got.pop("usr/lib/extension-release.d/extension-release.hello").read_text()
        self.assertEqual(text, "ID=debian\nSYSEXT_LEVEL=1.0\nARCHITECTURE=x86-64\nSYSEXT_ID=hello\n"
                         "SYSEXT_VERSION_ID=1.0\nSYSEXT_SCOPE=system\nEXTENSION_RELOAD_MANAGER=1\n")
        self.assertEqual(sorted(got), ["opt/tool/data", "usr/bin/link", "usr/bin/tool", "usr/share/tool/readme"])
        for name in ("opt/tool/data", "usr/bin/tool"):
            self.assertEqual(got[name].read_bytes(), (ext.tree / name).read_bytes())
        self.assertEqual(got["usr/share/tool/readme"].stat().st_mode & 0o7777, 0o644)
        self.assertIn(b"SYSEXT_LEVEL=1.0\n", image, "the text is not compressed")

    def test_archives(self):
        """An archive is what the directory is, however it is packed and whoever owns its files."""
        ext = Extension(self.path, files={"usr/bin/a": "a" * 5000, "usr/share/b": "b\n"})
        (ext.tree / "usr/share/b").chmod(0o644)
        ext.build()
        wanted = ext.report()["sha256"]

        def foreign(info):
            info.uid, info.gid, info.mtime = 1234, 99, 1
            return info

        for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tar.xz", "w:xz")):
            with tarfile.open(ext.path / f"a{suffix}", mode) as archive:
                archive.add(ext.tree, ".", filter=foreign)
            ext.description["source"] = f"a{suffix}"
            ext.build()
            self.assertEqual(ext.report()["sha256"], wanted, suffix)

    def test_equal_bytes(self):
        """Whatever the directory, umask, time zone and number of threads, and without root."""
        first = Extension(self.path / "a", files={f"usr/share/x/{i}": f"{i}\n" * 5000 for i in range(40)})
        second = Extension(self.path / "b", files={f"usr/share/x/{i}": f"{i}\n" * 5000 for i in reversed(range(40))})
        keys = extension.keys(self.path / "keys")
        one = first.build("--keys", keys, "--threads", "1").read_bytes()
        two = second.build("--keys", keys, "--threads", "4",
                           wrapper=["env", "TZ=Asia/Tokyo", "unshare", "-Ur", "sh", "-c", 'umask 077; exec "$@"', "sh"])
        self.assertTrue(one == two.read_bytes())
        self.assertEqual(first.report(), second.report())

    def test_signature(self):
        ext = Extension(self.path)
        keys = extension.keys(self.path / "keys")
        ext.build("--keys", keys)
        said = json.loads(ext.parts()[2])
        self.assertEqual(said["rootHash"], ext.report()["rootHash"])
        self.assertEqual(said["certificateFingerprint"], ext.report()["certificateFingerprint"])
        (self.path / "p7s").write_bytes(base64.b64decode(said["signature"], validate=True))
        (self.path / "text").write_text(said["rootHash"])
        verify = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", self.path / "p7s", "-content",
                  self.path / "text", "-nointern", "-noverify", "-out", os.devnull, "-certfile"]
        subprocess.run([*verify, keys / "verity.crt"], check=True, capture_output=True)
        self.assertNotEqual(subprocess.run([*verify, keys / "db.crt"], capture_output=True).returncode, 0)

    def test_unsigned_is_said(self):
        self.assertIn("unsigned", Extension(self.path).run().stderr)

    def test_what_is_there_stays_until_the_end(self):
        ext = Extension(self.path)
        before = ext.build().read_bytes()
        (ext.tree / "usr/lib").mkdir()
        (ext.tree / "usr/lib/os-release").write_text("ID=evil\n")
        self.assertEqual(ext.run().returncode, 1)
        self.assertTrue((ext.output / ext.file).read_bytes() == before)


class Verify(Scratch):
    """slipway verify knows such an image."""

    def verify(self, image, *options):
        return subprocess.run([slipway.SLIPWAY, "verify", image, *options], capture_output=True, text=True, check=False)

    def test_holds(self):
        ext, keys = Extension(self.path), extension.keys(self.path / "keys")
        done = self.verify(ext.build("--keys", keys), "--keys", keys)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split(":")[0] for line in done.stdout.splitlines()],
                         ["ok  partition table", "ok  extension", "ok  root hash signature", "ok  hash tree", "ok  blocks"])
        self.assertIn(ext.report()["rootHash"], done.stdout)

    def test_broken(self):
        ext, keys = Extension(self.path), extension.keys(self.path / "keys")
        raw = ext.build("--keys", keys).read_bytes()
        report, image = ext.report(), self.path / "changed.raw"
        tree = extension.ROOT + report["imageSize"]
        for offset, link in ((1024 + extension.ROOT, "blocks"), (tree - 1, "blocks"), (tree + 4096, "hash tree"),
                             (tree + report["hashTreeSize"] + 700, "root hash signature"), (1024 + 60, "partition table")):
            data = bytearray(raw)
            data[offset] ^= 2
            image.write_bytes(data)
            done = self.verify(image, "--keys", keys)
            self.assertEqual(done.returncode, 1, link)
            self.assertIn(f"slipway: {link}: ", done.stderr)

    def test_unsigned(self):
        image, keys = Extension(self.path).build(), extension.keys(self.path / "keys")
        self.assertEqual(self.verify(image).returncode, 0)
        self.assertIn("the root hash is not signed", self.verify(image, "--keys", keys).stderr)
        other = Extension(self.path, version="2").build("--keys", extension.keys(self.path / "other"))
        self.assertIn("root hash signature: signed by another", self.verify(other, "--keys", keys).stderr)


class Refused(Scratch):
    def test_description(self):
        """Each file of the corpus, for the reason that its name says."""
        reasons = {"both": "one of", "neither": "one of", "any-level": "nobody looks", "name-path": "\"name\" may hold",
                   "name-missing": "\"name\"", "level-upper": "\"level\" may hold", "scope": "\"scope\" may hold",
                   "architecture": "\"architecture\"", "unknown-key": "unknown", "erofs-level": "level",
                   "version-slash": "\"version\" must be", "source-number": "\"source\""}
        files = sorted(DATA.glob("should-fail-*.json"))
        self.assertEqual({f.stem.removeprefix("should-fail-") for f in files}, set(reasons))
        for file in files:
            done = subprocess.run([slipway.SLIPWAY, "sysext", file, "-o", self.path / "out"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1, file.name)
            self.assertIn(reasons[file.stem.removeprefix("should-fail-")].lower(), done.stderr.lower(), file.name)
            self.assertRegex(done.stderr, r"\.json:\d+:\d+: ", file.name)

    def test_tree(self):
        for number, (path, text) in enumerate({
                "etc/passwd": "'etc': an extension has usr and opt, nothing else",
                "bin/sh": "'bin': an extension has usr and opt",
                "usr/lib/os-release": "/usr/lib/os-release would hide the host's",
                "usr/lib/extension-release.d/extension-release.x": "is made from the description",
                "usr/lib": "/usr/lib is no directory: it would hide the host's",
                "usr": "/usr is no directory"}.items()):
            with self.subTest(path):
                self.refused(Extension(self.path, version=str(number), files={path: "x"}), text)

    def test_empty(self):
        ext = Extension(self.path, files={"usr/bin/x": "x"})
        (ext.tree / "usr/bin/x").unlink()
        self.refused(ext, "there is no file in it")

    def test_source(self):
        self.refused(Extension(self.path, source="nothing"), "No such file or directory")
        ext = Extension(self.path, version="2", source="tree.zip")
        (ext.path / "tree.zip").write_bytes(b"PK")
        self.refused(ext, "unknown compression")
        ext = Extension(self.path, version="3", source="a.tar")
        (ext.path / "a.tar").write_bytes(b"x" * 10240)
        self.refused(ext, "source ")

    def test_archive(self):
        """Names that leave the tree, devices, files of other places."""
        def member(name, **what):
            info = tarfile.TarInfo(name)
            for key, value in what.items():
                setattr(info, key, value)
            return info

        for number, (info, text) in enumerate((
                (member("../usr/bin/x"), "component '..'"), (member("/usr/bin/x"), "absolute"),
                (member("usr/dev", type=tarfile.CHRTYPE), "device nodes"),
                (member("etc/shadow"), "an extension has usr and opt"),
                (member("usr/lib", type=tarfile.SYMTYPE, linkname="/tmp"), "is no directory"))):
            ext = Extension(self.path, version=str(number), source="a.tar")
            with tarfile.open(ext.path / "a.tar", "w") as archive:
                archive.addfile(info)
            with self.subTest(info.name):
                self.refused(ext, text)

    def test_keys(self):
        ext = Extension(self.path)
        done = ext.run("--keys", self.path / "none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("key 'db'", done.stderr)
        keys = extension.keys(self.path / "keys")
        (keys / "verity.key").chmod(0o644)
        self.assertIn("others may use this key", ext.run("--keys", keys).stderr)


if __name__ == "__main__":
    unittest.main()
