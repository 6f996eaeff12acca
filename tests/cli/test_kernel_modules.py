#!/usr/bin/env python3
"""slipway kernel modules, "modules": "closure", and a kernel from the cache, on a tiny image."""

import json
import lzma
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
import tiny

MODULES = f"usr/lib/modules/{tiny.KERNEL}"
KERNEL = f"/{MODULES}/kernel"
FIRMWARE = "/usr/lib/firmware"
# Below kernel/: what depmod must find out about each.
FILES = {
    "fs/wanted.ko": tiny.kernel_module("wanted", needs=["help_me"], softdep=["pre: quiet_friend"],
                                       alias=["fs-wanted"], firmware=["acme/wanted.bin", "acme/any-*.bin"]),
    "lib/helper.ko": tiny.kernel_module("helper", exports=["help_me"], needs=["deep"]),
    "lib/deep.ko.xz": lzma.compress(tiny.kernel_module("deep", exports=["deep"],
                                                       firmware=["deep/packed.bin"])),
    "lib/quiet-friend.ko": tiny.kernel_module("quiet_friend"),
    "net/filter/nft_a.ko": tiny.kernel_module("nft_a"),
    "net/filter/nft-b.ko": tiny.kernel_module("nft_b"),
    "net/filter/xt_a.ko": tiny.kernel_module("xt_a"),
    "drivers/net/eth/one.ko": tiny.kernel_module("one"),
    "drivers/net/eth/two.ko": tiny.kernel_module("two", firmware=["unwanted.bin"]),
    "tiny.ko": tiny.kernel_module("tiny"),
}
FIRMWARES = {
    "acme/wanted.bin": "real.bin", "acme/real.bin": b"real", "acme/any-1.bin": b"1",
    "acme/other.bin": b"other", "deep/packed.bin.xz": lzma.compress(b"packed"),
    "unwanted.bin": b"unwanted", "intel-ucode/06-01": b"microcode", "builtin.bin": b"builtin",
}
BUILTIN = b"kernel/built/in.ko\n"


def linux_image(files=FILES, firmware=FIRMWARES):
    contents = {f"boot/vmlinuz-{tiny.KERNEL}": tiny.noise(50000, 2),
                f"{MODULES}/modules.order": "".join(f"kernel/{n}\n" for n in files).encode(),
                f"{MODULES}/modules.builtin": BUILTIN,
                f"{MODULES}/modules.builtin.modinfo": b"in.license=GPL\0in.firmware=builtin.bin\0"}
    contents |= {f"{MODULES}/kernel/{name}": data for name, data in files.items()}
    contents |= {f"usr/lib/firmware/{name}": data for name, data in firmware.items()}
    return tiny.make_deb("linux-image", "6.1", contents)


class Modules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = cls.enterClassContext(tiny.Key())

    def setUp(self):
        self.tiny = self.enterContext(tiny.Tiny(self.key))
        self.tiny.add(linux_image())
        self.tiny.layer["kernel"]["modules"] = ["fs-wanted", "nft_*", "in"]

    def modules(self, *options):
        self.tiny.write()
        return self.tiny.run([str(slipway.SLIPWAY), "kernel", "modules", "--cache",
                              str(self.tiny.cache), "--mirror", f"test={self.tiny.server.url}",
                              str(self.tiny.manifest_path), *options])

    def answer(self):
        done = self.modules("--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def listing(self):
        """Paths of the image that `build` composes."""
        commit = self.tiny.report()["commit"]
        ls = ["ostree", f"--repo={self.tiny.cache}/repo", "ls", "-R", commit, "/usr/lib"]
        text = subprocess.run(ls, check=True, text=True, capture_output=True).stdout
        return {line.split(maxsplit=4)[4].split(" -> ")[0] for line in text.splitlines()}

    def read(self, path):
        cat = ["ostree", f"--repo={self.tiny.cache}/repo", "cat", self.tiny.report()["commit"], path]
        return subprocess.run(cat, check=True, text=True, capture_output=True).stdout

    KEPT = {f"{KERNEL}/{name}" for name in
            ("fs/wanted.ko", "lib/helper.ko", "lib/deep.ko.xz", "lib/quiet-friend.ko",
             "net/filter/nft_a.ko", "net/filter/nft-b.ko", "tiny.ko")}
    KEPT_FIRMWARE = {f"{FIRMWARE}/{name}" for name in
                     ("acme/wanted.bin", "acme/real.bin", "acme/any-1.bin", "deep/packed.bin.xz",
                      "intel-ucode/06-01", "builtin.bin")}
    DROPPED = {f"{KERNEL}/{name}" for name in
               ("net/filter/xt_a.ko", "drivers/net/eth/one.ko", "drivers/net/eth/two.ko")}
    DROPPED_FIRMWARE = {f"{FIRMWARE}/acme/other.bin", f"{FIRMWARE}/unwanted.bin"}

    def test_closure(self):
        answer = self.answer()
        self.assertEqual(set(answer["keep"]), self.KEPT | self.KEPT_FIRMWARE)
        self.assertEqual(set(answer["drop"]), self.DROPPED | self.DROPPED_FIRMWARE)
        self.assertEqual(answer["version"], tiny.KERNEL)
        size = sum(len(FILES[path.removeprefix(f"{KERNEL}/")]) for path in self.DROPPED)
        size += len("other") + len("unwanted")
        self.assertEqual(answer["droppable"], {"files": 5, "bytes": size})
        rows = {row["directory"]: row for row in answer["directories"]}
        self.assertEqual(rows["drivers/net"]["droppable"]["files"], 2)
        self.assertEqual(rows["firmware/acme"]["needed"]["files"], 3)
        self.assertEqual(sum(row["droppable"]["bytes"] for row in rows.values()), size)

    def test_text(self):
        done = self.modules()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^drivers/net +0 +0 +2 +\d+$")
        self.assertRegex(done.stdout, r"(?m)^total +13 +\d+ +5 +\d+$")
        names = self.modules("--names").stdout.splitlines()
        self.assertEqual({line.split()[2] for line in names if line.startswith("drop ")},
                         self.DROPPED | self.DROPPED_FIRMWARE)

    def test_paths_and_manifest(self):
        self.tiny.layer["kernel"]["modules"] = ["drivers/net/**"]
        self.tiny.manifest["kernel"] = {"modules": ["xt_a"]}
        kept = {name for name in self.answer()["keep"] if name.startswith(KERNEL)}
        self.assertEqual(kept, {f"{KERNEL}/{name}" for name in
                                ("drivers/net/eth/one.ko", "drivers/net/eth/two.ko",
                                 "net/filter/xt_a.ko", "tiny.ko")})

    def test_nothing_of_that_name(self):
        self.tiny.layer["kernel"]["modules"] = ["no_such_*", "xt_a"]
        self.assertEqual(self.modules().returncode, 0)
        self.tiny.layer["kernel"]["modules"] = ["no_such"]
        done = self.modules()
        self.assertEqual(done.returncode, 1)
        self.assertIn("layer 'base'", done.stderr)
        self.assertIn("'no_such' is not in the image", done.stderr)
        self.tiny.layer["modules"] = "closure"
        done = self.tiny.try_build()
        self.assertEqual(done.returncode, 1)
        self.assertIn("'no_such' is not in the image", done.stderr)

    def test_all_are_shipped_unless_asked(self):
        self.tiny.build()
        everything = self.KEPT | self.DROPPED | self.KEPT_FIRMWARE | self.DROPPED_FIRMWARE
        self.assertEqual(everything - self.listing(), set())

    def test_closure_is_shipped(self):
        self.tiny.layer["modules"] = "closure"
        self.tiny.build()
        there = self.listing()
        self.assertEqual((self.KEPT | self.KEPT_FIRMWARE) - there, set())
        self.assertEqual((self.DROPPED | self.DROPPED_FIRMWARE) & there, set())
        # Directories that hold nothing are gone, and depmod knows of what is left only.
        self.assertNotIn(f"{KERNEL}/drivers", there)
        self.assertIn(f"{KERNEL}/net/filter", there)
        index = self.read(f"/{MODULES}/modules.dep")
        self.assertIn("kernel/fs/wanted.ko: kernel/lib/helper.ko kernel/lib/deep.ko.xz", index)
        self.assertNotIn("xt_a", index)
        # Nothing is left to drop, and nothing more is needed.
        answer = self.answer()
        self.assertEqual(answer["drop"], [])
        self.assertEqual(set(answer["keep"]), self.KEPT | self.KEPT_FIRMWARE)

    def test_closure_is_reproducible(self):
        self.tiny.layer["modules"] = "closure"
        self.tiny.build()
        first = self.tiny.report()["commit"]
        self.tiny.build(cache=self.tiny.path / "other", output=self.tiny.path / "other-out")
        report = self.tiny.report(self.tiny.path / "other-out")
        self.assertEqual(report["commit"], first)

    def test_without_firmware(self):
        self.tiny.add(linux_image(firmware={}))
        self.assertEqual(set(self.answer()["keep"]), self.KEPT)

    def test_broken_module(self):
        """A driver whose firmware nobody can tell is no reason to guess."""
        self.tiny.add(linux_image(files=FILES | {"lib/deep.ko.xz": b"\xfd7zXZ\0 cut off"}))
        done = self.modules()
        self.assertEqual(done.returncode, 1)
        self.assertIn("deep.ko.xz", done.stderr)


class Kernels(unittest.TestCase):
    """A kernel that kernel-config/build would have put into the cache."""

    def setUp(self):
        self.tiny = self.enterContext(tiny.Tiny(self.enterContext(tiny.Key())))
        self.tiny.layer["packages"].remove("linux-image")
        self.tiny.layer["initrd"]["modules"] = ["built_in"]
        self.tiny.layer["kernel"] = {"build": "mine"}

    def put_kernel(self, seed=1):
        directory = self.tiny.cache / "kernels" / "0123" / "kernel" / MODULES
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "vmlinuz").write_bytes(tiny.noise(50000, seed))
        (directory / "modules.order").write_text("")
        (directory / "modules.builtin").write_text("kernel/built-in.ko\n")
        (directory / "modules.builtin.modinfo").write_bytes(b"built_in.license=GPL\0")
        link = self.tiny.cache / "kernels" / "mine"
        if not link.is_symlink():
            link.symlink_to("0123")

    def test_image_with_it(self):
        self.put_kernel()
        self.assertFalse(self.tiny.build()["unchanged"])
        self.assertTrue(self.tiny.build()["unchanged"])
        uki = self.tiny.artifact(".efi").read_bytes()
        self.assertIn(tiny.noise(50000, 1), uki)
        self.put_kernel(seed=2)
        self.assertFalse(self.tiny.build()["unchanged"])
        self.assertIn(tiny.noise(50000, 2), self.tiny.artifact(".efi").read_bytes())

    def test_not_there(self):
        done = self.tiny.try_build()
        self.assertEqual(done.returncode, 1)
        self.assertIn("layer 'base'", done.stderr)
        self.assertIn("`kernel-config/build mine` compiles that kernel", done.stderr)

    def test_bad_names(self):
        for name in ("../mine", ".", ".hidden", "a/b", ""):
            self.tiny.layer["kernel"] = {"build": name}
            done = self.tiny.try_build()
            self.assertEqual(done.returncode, 1, name)
            self.assertRegex(done.stderr, "is no name|build", name)


if __name__ == "__main__":
    unittest.main()
