#!/usr/bin/env python3
"""kernel-config/ and `slipway kernel`: every option says who needs it, the image's kernel has what is
required; what check finds, wherever the configuration is; what merge writes; what build refuses."""

import gzip
import itertools
import json
import pathlib
import random
import re
import resource
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
from kernel_config import FRAGMENTS, SET, OFF, options, real_config
from tiny import KERNEL, Key, Tiny, kernel_module, make_deb, noise

SMALL = """CONFIG_X86_64=y
CONFIG_A=y
CONFIG_B=m
# CONFIG_C is not set
CONFIG_D=32
CONFIG_E="text"
"""
# What merge_config.sh takes of a fragment: two expressions of sed.
MERGE_CONFIG = [r"^(CONFIG_[a-zA-Z0-9_]*)=.*", r"^# (CONFIG_[a-zA-Z0-9_]*) is not set$"]


def slipway_run(*arguments, cwd=None):
    return subprocess.run([str(a) for a in (slipway.SLIPWAY, *arguments)], text=True, capture_output=True,
                          timeout=slipway.PATIENCE, cwd=cwd or slipway.PROJECT, check=False)


def kernel(*arguments, cwd=None):
    return slipway_run("kernel", *arguments, cwd=cwd)


class Fragments(unittest.TestCase):
    def test_form(self):
        """A reason above every option, and nothing that only looks like one of the words."""
        self.assertGreater(len(FRAGMENTS), 10)
        for path in FRAGMENTS:
            found = list(options(path))
            names = [o.name for o in found]
            self.assertTrue(names, path.name)
            self.assertEqual(len(names), len(set(names)), f"{path.name}: an option twice")
            for option in found:
                self.assertRegex(option.reason, r"\S", f"{path.name}: {option.name}: who needs it?")
                self.assertNotRegex(option.reason, r"^(required|recommended|amd64|arm64|modules)\b",
                                    f"{path.name}: {option.name}: words before no colon")

    def test_all_agree(self):
        """No two fragments contradict each other, and merge_config.sh reads the same options."""
        done = kernel("merge", *FRAGMENTS)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        names = [next(m.group(1) for m in (SET.fullmatch(line), OFF.fullmatch(line)) if m)
                 for line in lines]
        self.assertEqual(names, sorted(set(names)))
        texts = [path.read_text().splitlines() for path in FRAGMENTS]
        self.assertEqual(set(names), {m.group(1) for line in itertools.chain(*texts)
                                      for e in MERGE_CONFIG if (m := re.match(e, line))})

    def test_image_has_them(self):
        with real_config() as config:
            done = kernel("check", config, "--json", "--fragments",
                          ",".join(p.stem for p in FRAGMENTS), cwd=slipway.PROJECT)
            answer = json.loads(done.stdout)
            bad = [o for o in answer["options"]
                   if o["level"] == "required" and o["verdict"] not in ("ok", "not-applicable")]
            self.assertEqual(bad, [])
            self.assertEqual(done.returncode, 0)
            self.assertTrue(answer["good"])
            self.assertEqual(answer["architecture"], "amd64")
            # By this test's own reading of the files.
            self.assertEqual(len(answer["options"]), sum(len(list(options(p))) for p in FRAGMENTS))

    def test_speed(self):
        """A check takes no longer than the program takes to start, which is the measure of the machine: by turns, the best."""
        def spent(*arguments):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.assertEqual(slipway_run(*arguments).returncode, 0)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        names = ",".join(p.stem for p in FRAGMENTS)
        with real_config() as config:
            check = ("kernel", "check", config, "--fragments", names)
            turns = [(spent("--version"), spent(*check)) for _ in range(7)]
        starts, checks = map(min, zip(*turns))
        self.assertLess(checks, 2 * starts, turns)


class Check(unittest.TestCase):
    def setUp(self):
        self.path = slipway.scratch()
        self.addCleanup(subprocess.run, ["rm", "-rf", self.path], check=True)
        self.config = self.write("config", SMALL)

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def check(self, fragment, *more, config=None):
        fragments = [self.write(f"{i}.config", t) for i, t in enumerate((fragment, *more))]
        done = kernel("check", config or self.config, "--json", "--fragments",
                      ",".join(map(str, fragments)))
        self.assertIn(done.returncode, (0, 1), done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["good"], done.returncode == 0)
        return answer

    def test_verdicts(self):
        for fragment, verdict, good in (
                ("# r\nCONFIG_A=y\n", "ok", True),
                ("# r\nCONFIG_A=m\n", "ok", True),
                ("# r\nCONFIG_B=y\n", "module-instead-of-builtin", False),
                ("# r\nCONFIG_C=m\n", "missing", False),
                ("# r\nCONFIG_Z=y\n", "missing", False),
                ("# r\n# CONFIG_Z is not set\n", "ok", True),
                ("# r\n# CONFIG_A is not set\n", "not-off", False),
                ("# r\nCONFIG_D=32\n", "ok", True),
                ("# r\nCONFIG_D=33\n", "different", False),
                ('# r\nCONFIG_E="text"\n', "ok", True),
                ('# r\nCONFIG_E="texts"\n', "different", False),
                ("# recommended: r\nCONFIG_Z=y\n", "missing", True),
                ("# arm64: r\nCONFIG_Z=y\n", "not-applicable", True),
                ("# amd64: r\nCONFIG_Z=y\n", "missing", False)):
            with self.subTest(fragment):
                answer = self.check(fragment)
                self.assertEqual([(o["verdict"], o["reason"], o["line"])
                                  for o in answer["options"]], [(verdict, "r", 2)])
                self.assertEqual(answer["good"], good)

    def test_contradictory(self):
        answer = self.check("# one\nCONFIG_A=y\n", "\n# two\n# CONFIG_A is not set\n")
        self.assertFalse(answer["good"])
        self.assertEqual([[(pathlib.Path(side["fragment"]).name, side["line"], side["reason"])
                           for side in pair] for pair in answer["conflicts"]],
                         [[("0.config", 2, "one"), ("1.config", 3, "two")]])

    def test_for_people(self):
        fragment = self.write("f.config", "# the reason\nCONFIG_B=y\n\n# recommended: nicer\nCONFIG_Z=y\n")
        done = kernel("check", self.config, "--fragments", fragment)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        for what in ("module-instead-of-builtin", "CONFIG_B: wants y, has m", "f.config:2: the reason",
                     "CONFIG_Z: wants y, has nothing", "required: 0 as they must be, 1 not",
                     "recommended: 0 as they should be, 1 not"):
            self.assertIn(what, done.stdout)
        self.assertLess(done.stdout.index("CONFIG_B"), done.stdout.index("CONFIG_Z"))

    def test_usage(self):
        for arguments in (["check"], ["check", "a", "b"], ["merge"], ["no-such"], [],
                          ["check", "--no-such", "a"]):
            self.assertEqual(kernel(*arguments).returncode, 2, arguments)

    def test_trees(self):
        fragment = self.write("f.config", "# r\nCONFIG_A=y\n")
        for place in ("usr/lib/modules/6.1/config", "lib/modules/6.1/config", "boot/config-6.1"):
            with self.subTest(place):
                root = self.path / place.replace("/", "-")
                self.write(f"{root.name}/{place}", SMALL)
                done = kernel("check", root, "--fragments", fragment)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(place, done.stdout)
        self.write("usr-lib-modules-6.1-config/usr/lib/modules/6.2/config", SMALL)
        done = kernel("check", self.path / "usr-lib-modules-6.1-config", "--fragments", fragment)
        self.assertEqual(done.returncode, 1)
        self.assertIn("several kernels", done.stderr)

    def test_kernel_that_carries_it(self):
        inside = b"IKCFG_ST" + gzip.compress(SMALL.encode()) + b"IKCFG_ED"
        path = self.write("vmlinux", b"\x7fELF" + noise(5000) + inside + noise(5000, 2))
        self.assertTrue(self.check("# r\nCONFIG_A=y\n", config=path)["good"])
        path.write_bytes(b"\x7fELF" + noise(10000))
        done = kernel("check", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("CONFIG_IKCONFIG", done.stderr)

    # ---- merge ----

    def merge(self, *fragments, base=None):
        paths = [self.write(f"{i}.config", t) for i, t in enumerate(fragments)]
        more = ["--defconfig", self.write("base", base)] if base is not None else []
        return kernel("merge", *more, *paths)

    def test_merge(self):
        done = self.merge("CONFIG_B=m\nCONFIG_A=1\n", "# why\nCONFIG_B=y\n# CONFIG_C is not set\n",
                          base="CONFIG_A=2\nCONFIG_C=y\nCONFIG_K=y\n")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout,
                         "CONFIG_A=1\nCONFIG_B=y\n# CONFIG_C is not set\nCONFIG_K=y\n")

    def test_merge_conflicts(self):
        """Every one, with both lines; and nothing is written."""
        out = self.path / "out"
        one = self.write("one", "CONFIG_A=y\n\nCONFIG_B=1\n")
        two = self.write("two", "CONFIG_B=2\n# CONFIG_A is not set\n")
        done = kernel("merge", "./one", "./two", "-o", out, cwd=self.path)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("./one:1: CONFIG_A=y, but ./two:2: # CONFIG_A is not set", done.stderr)
        self.assertIn("./one:3: CONFIG_B=1, but ./two:1: CONFIG_B=2", done.stderr)
        self.assertFalse(out.exists())
        two.write_text("CONFIG_B=1\n")
        self.assertEqual(kernel("merge", one, two, "-o", out).returncode, 0)
        self.assertEqual(out.read_text(), "CONFIG_A=y\nCONFIG_B=1\n")

    def test_merge_is_the_same_in_any_order(self):
        shuffled = list(FRAGMENTS)
        texts = set()
        for seed in range(4):
            random.Random(seed).shuffle(shuffled)
            texts.add(kernel("merge", *shuffled).stdout)
        self.assertEqual(len(texts), 1)

    def test_merged_satisfies(self):
        merged = self.path / "merged"
        names = [p.stem for p in FRAGMENTS]
        self.assertEqual(kernel("merge", *names, "-o", merged, cwd=slipway.PROJECT).returncode, 0)
        done = kernel("check", merged, "--fragments", ",".join(names), cwd=slipway.PROJECT)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"recommended: \d+ as they should be, 0 not")


class Build(unittest.TestCase):
    """A build looks at the kernel that it packs."""

    @classmethod
    def setUpClass(cls):
        cls.key = cls.enterClassContext(Key())
        cls.tiny = cls.enterClassContext(Tiny(cls.key))

    def setUp(self):
        self.tiny.layer["kernel"] = {"config": ["need"]}
        self.fragment("# the layer's reason\nCONFIG_NEEDED=y\n\n# recommended: nicer\nCONFIG_NICE=y\n")

    def fragment(self, text):
        path = self.tiny.path / "kernel-config" / "need.config"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def kernel(self, config=None, inside=None):
        """Publishes a kernel with its configuration beside it, in it, or nowhere."""
        image = b"\x7fELF" + noise(5000)
        if inside is not None:
            image += b"IKCFG_ST" + gzip.compress(inside.encode(), mtime=0) + b"IKCFG_ED"
        files = {f"boot/vmlinuz-{KERNEL}": image,
                 f"usr/lib/modules/{KERNEL}/modules.order": b"kernel/tiny.ko\n",
                 f"usr/lib/modules/{KERNEL}/modules.builtin": b"",
                 f"usr/lib/modules/{KERNEL}/kernel/tiny.ko": kernel_module("tiny")}
        if config is not None:
            files[f"boot/config-{KERNEL}"] = config.encode()
        self.tiny.add(make_deb("linux-image", "6.1", files))

    def refuses(self, *what):
        before = set(self.tiny.output.iterdir()) if self.tiny.output.exists() else set()
        done = self.tiny.try_build()
        self.assertEqual(done.returncode, 1, done.stdout)
        for part in what:
            self.assertIn(part, done.stderr)
        self.assertEqual(before, set(self.tiny.output.iterdir()))

    def test_required(self):
        self.kernel("CONFIG_OTHER=y\n")
        self.refuses("merge: kernel: ", "layer 'base'", "CONFIG_NEEDED must be y and is not there",
                     "the layer's reason", "need.config:2")
        self.kernel("CONFIG_NEEDED=m\n")
        self.refuses("module-instead-of-builtin")
        self.kernel("CONFIG_NEEDED=y\n")
        self.tiny.build()
        # A fragment that asks for more is an input like any other.
        self.assertTrue(self.tiny.build()["unchanged"])
        self.fragment("# new\nCONFIG_MORE=y\n")
        self.refuses("CONFIG_MORE must be y")

    def test_inside_the_kernel(self):
        self.kernel(inside="CONFIG_NEEDED=y\n")
        self.tiny.build()
        for what in (self.tiny.output, self.tiny.artifact(".efi"), self.tiny.manifest_path,
                     "image/tiny/amd64"):
            with self.subTest(str(what)):
                done = self.tiny.run([str(slipway.SLIPWAY), "kernel", "check", str(what), "--cache",
                                      str(self.tiny.cache), "--fragments", "need", "--json"])
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                found = {o["option"]: o["verdict"] for o in json.loads(done.stdout)["options"]}
                self.assertEqual(found, {"CONFIG_NEEDED": "ok", "CONFIG_NICE": "missing"})
        # Without --fragments, a manifest means what its layers name.
        done = self.tiny.run([str(slipway.SLIPWAY), "kernel", "check", str(self.tiny.manifest_path),
                              "--cache", str(self.tiny.cache), "--json"])
        self.assertEqual(len(json.loads(done.stdout)["options"]), 2)

    def test_no_configuration(self):
        self.kernel()
        self.refuses("merge: kernel: ", "CONFIG_IKCONFIG")

    def test_trust(self):
        """What a manifest's "trust" stands on, no layer has to name."""
        self.kernel("CONFIG_NEEDED=y\n")
        self.tiny.manifest["trust"] = {"lockdown": True}
        self.addCleanup(self.tiny.manifest.pop, "trust")
        self.refuses('"trust": CONFIG_', "trust.config:")
        trust = next(p for p in FRAGMENTS if p.stem == "trust")
        self.kernel("CONFIG_NEEDED=y\n" + "".join(f"{o.name}={o.value}\n" for o in options(trust)
                                                  if o.required))
        self.tiny.build()

    def test_nothing_asked(self):
        self.kernel()
        del self.tiny.layer["kernel"]
        self.tiny.build()

    def test_no_such_fragment(self):
        self.kernel("CONFIG_NEEDED=y\n")
        self.tiny.layer["kernel"] = {"config": ["no-such"]}
        self.refuses("layer 'base'", "no-such.config")

    def test_contradictory(self):
        self.kernel("CONFIG_NEEDED=y\n")
        self.tiny.layer["kernel"] = {"config": ["need", "other"]}
        (self.tiny.path / "kernel-config/other.config").write_text("# CONFIG_NEEDED is not set\n")
        self.refuses("need.config:2: CONFIG_NEEDED=y, but ", "other.config:1: # CONFIG_NEEDED is not set")


if __name__ == "__main__":
    unittest.main()
