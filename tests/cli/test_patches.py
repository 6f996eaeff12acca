#!/usr/bin/env python3
"""Patches of kernel modules, from `slipway publish` to the slot of a machine that stages from nginx."""

import base64
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import site_reader as reader
from site_reader import listing, publish, release, tool
from tiny import EPOCH, KERNEL, Key, Tiny, kernel_module, noise
from update_site import BLOCK, Machine, Nginx

NAMES = [f"made-up-{n}" for n in range(5)]
REF = "tiny/amd64/stable"


def modules(version):
    """Files of the layer: a kernel's modules of some version, packed as the kernel's build does it."""
    files = {}
    for seed, name in enumerate(NAMES):
        body = noise(40000, seed + 1).hex().encode()
        plain = kernel_module(name) + b"".join(body[i:i + 1000] + version.encode() for i in range(0, len(body), 1000))
        packed = subprocess.run(["xz", "-T2", "--check=crc32", "--lzma2=preset=6,dict=1MiB"], input=plain, check=True,
                                capture_output=True).stdout
        files[f"usr/lib/modules/{KERNEL}/kernel/{name}.ko.xz"] = packed
    return files


class Patches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tiny = cls.enterClassContext(Tiny(cls.enterClassContext(Key())))
        cls.tiny.manifest["partitions"]["usr"] = "16M"
        cls.key = reader.keygen(cls.tiny.path / "key")
        release(cls.tiny, "1.0", EPOCH, **modules("first"))
        release(cls.tiny, "1.1", EPOCH + 1, **{"usr/share/tiny/motd": "Same kernel\n"})
        release(cls.tiny, "1.2", EPOCH + 2, **modules("other"))
        cls.first = cls.tiny.path / "site"
        for version in ("1.0", "1.1", "1.2"):
            cls.publishes(version, cls.first)

    def setUp(self):
        self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(dir=self.tiny.path)))
        self.site = self.path / "site"
        shutil.copytree(self.first, self.site, symlinks=True)
        self.machines = 0

    @classmethod
    def publishes(cls, build, site, *options, key=None):
        done = publish(cls.tiny, build, site, key or cls.key, "--json", *options)
        if done.returncode != 0:
            raise AssertionError(f"slipway publish: exit {done.returncode}: {done.stderr}")
        return json.loads(done.stdout), done.stderr

    def files(self, site=None):
        return sorted(p.name for p in ((site or self.site) / "patches").glob("*"))

    def record(self, version):
        """A release's directory, and what release.json says."""
        report = json.loads((self.tiny.path / version / f"tiny_{version}.report.json").read_text())
        directory = self.site / "images" / report["rootHash"]
        return directory, json.loads((directory / "release.json").read_text())

    # ---- publishing ----

    def test_one_file_for_a_pair_of_sets(self):
        old, same, new = (self.record(v)[1]["modules"] for v in ("1.0", "1.1", "1.2"))
        self.assertEqual(old, same)
        self.assertEqual(self.files(), [f"{old}-{new}.patches", f"{old}-{new}.patches.sig"])
        top = self.modules("1.0")
        listed = tool("sha256sum", *sorted(p.relative_to(top) for p in top.rglob("*.ko.xz")), cwd=top)
        self.assertEqual(tool("sha256sum", input=listed).split()[0], old)

    def test_signature_is_openssl_s(self):
        name = self.files()[0]
        data, seal = ((self.site / "patches" / n).read_bytes() for n in (name, name + ".sig"))
        self.assertEqual(struct.unpack("<Q", seal[:8])[0], len(data))
        self.assertEqual(len(seal), 8 + 64)
        public = base64.b64decode(self.key.with_suffix(".ed25519").read_text())
        self.assertTrue(reader.verifies(public, data, seal[8:]))

    def test_again_changes_nothing(self):
        before = listing(self.site)
        answer, said = self.publishes("1.2", self.site)
        self.assertEqual((answer["changed"], said), (False, ""))
        self.assertEqual(listing(self.site), before)

    def test_damage_is_made_again(self):
        path = self.site / "patches" / self.files()[0]
        good = path.read_bytes()
        for bad in (good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b""):
            path.write_bytes(bad)
            _, said = self.publishes("1.2", self.site)
            self.assertIn("patches of kernel modules", said)
            self.assertEqual(path.read_bytes(), good)

    def test_another_key(self):
        """Known by one of the keys, it is signed with both; by none, it is made and signed anew."""
        second = reader.keygen(self.path / "second")
        seal = self.site / "patches" / self.files()[1]
        _, said = self.publishes("1.2", self.site, "--key", second)
        self.assertEqual((said, len(seal.read_bytes())), ("", 8 + 2 * 64))
        third = reader.keygen(self.path / "third")
        _, said = self.publishes("1.2", self.site, key=third)
        self.assertIn("patches of kernel modules", said)
        self.assertEqual(len(seal.read_bytes()), 8 + 64)

    def test_none_wanted(self):
        site = self.path / "none"
        for version in ("1.0", "1.2"):
            self.publishes(version, site, "--patch-level", "0")
        self.assertEqual(self.files(site), [])
        done = publish(self.tiny, "1.2", site, self.key, "--patch-level", "23")
        self.assertEqual((done.returncode, done.stdout), (2, ""))

    def test_pruned(self):
        answer, _ = self.publishes(None, self.site, "--prune", "--keep", "1")
        self.assertEqual((answer["patchesRemoved"], len(self.files())), (0, 2))
        (self.site / "patches" / "README").write_text("mine\n")
        release(self.tiny, "1.3", EPOCH + 3, **modules("third"))
        self.publishes("1.3", self.site)
        self.assertEqual(len(self.files()), 5)
        answer, _ = self.publishes(None, self.site, "--prune", "--keep", "1")
        self.assertEqual((answer["patchesRemoved"], len(self.files())), (1, 3))

    # ---- staging ----

    def modules(self, version):
        """/usr/lib/modules of a release, from the site's repository."""
        place = self.path / f"modules-{version}"
        if not place.exists():
            commit = json.loads((self.tiny.path / version / f"tiny_{version}.report.json").read_text())["commit"]
            tool("ostree", f"--repo={self.site / 'repo'}", "checkout", "-U", "--subpath=/usr/lib/modules", commit, place)
        return place

    def machine(self):
        """One that runs 1.0 and gets 1.2."""
        self.machines += 1
        machine = Machine(self.path / f"machine{self.machines}", self.record("1.2")[0])
        old = self.record("1.0")[0]
        machine.add_source("usr", old / "usr.img", old / "usr.tree")
        machine.add_source("uki", old / "uki.efi", old / "uki.tree")
        return machine

    def options(self, key=None):
        public = (key or self.key).with_suffix(".ed25519").read_text().strip()
        return f"--modules={self.modules('1.0')}", f"--key={public}"

    def stages(self, url, *options):
        machine = self.machine()
        done = machine.run(url, *options)
        self.assertEqual((done.returncode, done.error), (0, ""))
        if "--plan" not in options:
            self.assertEqual(machine.wrong(), [])
        return done.counts

    def test_staged(self):
        blocks = sum(-(-len(data) // BLOCK) for data in modules("other").values())
        with Nginx(self.site, self.path / "nginx") as server:
            plain = self.stages(server.url)
            counts = self.stages(server.url, *self.options())
            plan = self.stages(server.url, "--plan", *self.options())
        self.assertEqual(plain["usr"]["patched"], 0)
        self.assertEqual(counts["usr"]["patched"], blocks)
        self.assertEqual(counts["usr"]["missing"], plain["usr"]["missing"] - blocks)
        self.assertLess(counts["usr"]["bytes"], plain["usr"]["bytes"] - blocks * BLOCK // 2)
        self.assertEqual(plan["usr"], counts["usr"])
        self.assertLess(counts["fetched"], plain["fetched"])

    def test_without_good_patches(self):
        """Whatever the site has, the slot gets what the release wants."""
        path = self.site / "patches" / self.files()[0]
        seal = path.with_name(path.name + ".sig")
        good = {p: p.read_bytes() for p in (path, seal)}
        stranger = reader.keygen(self.path / "stranger")
        with Nginx(self.site, self.path / "nginx") as server:
            plain = self.stages(server.url)
            self.assertEqual(self.stages(server.url, *self.options(stranger))["usr"]["patched"], 0)
            for what, name, data in [
                    ("gone", path, None), ("no signature", seal, None), ("longer", path, good[path] + b"x"),
                    ("shorter", path, good[path][:-9]), ("bits", path, good[path][:500] + b"?" + good[path][501:]),
                    ("huge", seal, b"\xff" * 8 + good[seal][8:]), ("wrong length", seal, good[seal][:-1]),
                    ("endless", seal, good[seal] * 1000)]:
                with self.subTest(what):
                    name.unlink()
                    if data is not None:
                        name.write_bytes(data)
                    counts = self.stages(server.url, *self.options())
                    self.assertEqual(counts["usr"]["patched"], 0)
                    self.assertEqual(counts["usr"]["missing"], plain["usr"]["missing"])
                    name.write_bytes(good[name])
            self.assertGreater(self.stages(server.url, *self.options())["usr"]["patched"], 0)

    def test_another_pair_under_the_name(self):
        """A signed file for other sets is no use, and none that has another's name."""
        release(self.tiny, "1.4", EPOCH + 4, **modules("fourth"))
        self.publishes("1.4", self.site)
        old, new = (self.record(v)[1]["modules"] for v in ("1.0", "1.2"))
        for other in {n.removesuffix(".sig") for n in self.files()} - {f"{old}-{new}.patches"}:
            for suffix in ("", ".sig"):
                shutil.copyfile(self.site / "patches" / (other + suffix), self.site / "patches" / f"{old}-{new}.patches{suffix}")
        with Nginx(self.site, self.path / "nginx") as server:
            self.assertEqual(self.stages(server.url, *self.options())["usr"]["patched"], 0)

    def test_same_modules_ask_for_nothing(self):
        with Nginx(self.site, self.path / "nginx") as server:
            public = self.key.with_suffix(".ed25519").read_text().strip()
            self.stages(server.url, f"--modules={self.modules('1.2')}", f"--key={public}")
            self.assertEqual([r for r in server.requests() if "/patches/" in r[3]], [])


if __name__ == "__main__":
    unittest.main()
