#!/usr/bin/env python3
"""slipway: what its verbs print, write and answer, on a tiny image; other programs agree with it."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
from tiny import Key, Tiny, make_deb

# Prints $SAYS where QEMU would: on the terminal, and in the log file of the console when it has one.
FAKE_QEMU = """#!/bin/sh
[ "$1" = --version ] && exec echo "QEMU emulator version 9.0.0"
echo "$SAYS"
for argument; do
    case $argument in *,logfile=*) echo "$SAYS" > "${argument##*,logfile=}";; esac
done
"""
# Says which of its siblings are TPMs.
FAKE_TPM_QEMU = """#!/bin/sh
case $* in *--version*) echo "QEMU emulator version 10.0"; exit;; esac
echo "$*"
sleep 0.3
for status in /proc/[0-9]*/status; do
    if grep -qs "^PPid:[[:space:]]*$$$" $status && grep -qs "^Name:[[:space:]]*swtpm$" $status; then
        echo "swtpm $(basename $(dirname $status))"
    fi
done
"""
GOLDEN = slipway.PROJECT / "tests" / "golden"


def tool(*argv):
    """What another program says; it must succeed."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{argv[0]}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Slipway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = cls.enterClassContext(Key())
        cls.tiny = cls.enterClassContext(Tiny(cls.key))
        cls.tiny.manifest["outputs"] = ["raw", "qcow2", "vhd"]
        cls.answer = cls.tiny.build()
        cls.report = cls.tiny.report()
        cls.repo = f"--repo={cls.tiny.cache / 'repo'}"

    def says(self, verb, *arguments, status=0):
        done = self.tiny.slipway(verb, *arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr == "", status == 0, done.stderr)
        return done.stdout if status == 0 else done.stderr

    # ---- what the artifacts are, by others' word ----

    def test_commit(self):
        commit = self.answer["commit"]
        tool("ostree", self.repo, "fsck", "--quiet")
        listing = tool("ostree", self.repo, "ls", "-R", commit)
        for path in ("/usr/etc/protocols", "/usr/lib/modules/6.1-tiny/vmlinuz", "/usr/share/tiny/motd"):
            self.assertRegex(listing, rf"(?m) {path}$")
        place = self.tiny.path / "checkout"
        tool("ostree", self.repo, "checkout", "-U", commit, place)
        self.assertEqual((place / "usr/share/tiny/motd").read_text(), "Welcome\n")
        shown = tool("ostree", self.repo, "show", "--print-metadata-key=slipway.root-hash", commit)
        self.assertEqual(shown.strip(), f"'{self.report['rootHash']}'")
        self.assertIn(f"image/tiny/amd64", tool("ostree", self.repo, "refs"))

    def image(self):
        """The EROFS image, out of the disk."""
        usr = self.report["layout"]["partitions"][1]
        path = self.tiny.path / "usr.erofs"
        with open(self.tiny.artifact(".raw"), "rb") as disk:
            disk.seek(usr["start"])
            path.write_bytes(disk.read(self.report["usrSize"]))
        return path

    def test_erofs(self):
        image = self.image()
        tool("fsck.erofs", image)
        superblock = tool("dump.erofs", "-s", image)
        self.golden("tiny-erofs.txt", re.sub(r"(?m)^(Filesystem created|Filesystem UUID):.*\n", "",
                                             superblock))

    def test_qcow2(self):
        tool("qemu-img", "check", "-q", self.tiny.artifact(".qcow2"))
        tool("qemu-img", "compare", "-q", self.tiny.artifact(".raw"), self.tiny.artifact(".qcow2"))

    def test_vhd(self):
        raw, vhd = self.tiny.artifact(".raw"), self.tiny.artifact(".vhd")
        tool("qemu-img", "compare", "-q", "-f", "raw", "-F", "vpc", raw, vhd)
        self.assertEqual(json.loads(tool("qemu-img", "info", "-f", "vpc", "--output=json", vhd))["virtual-size"],
                         raw.stat().st_size)
        self.assertIn("a VHD: make a raw disk of it first", self.says("verify", vhd, status=1))
        self.assertIn("id=disk,format=vpc,", tool(slipway.SLIPWAY, "run", vhd, "--print"))

    def test_disk(self):
        self.assertIn("No problems found", tool("sgdisk", "--verify", self.tiny.artifact(".raw")))

    def test_report(self):
        """Everything but digests and what depends on the programs' bytes."""
        text = json.dumps({**self.report, "key": "…"}, indent=1)
        text = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "…", text)
        self.golden("tiny-report.json", text + "\n")

    def golden(self, name, text):
        path = GOLDEN / name
        if slipway.UPDATE_GOLDEN:
            path.write_text(text)
        self.assertEqual(text, path.read_text())

    # ---- verbs ----

    def test_build_is_quiet(self):
        """Piped, a build prints its result and nothing else."""
        done = self.tiny.try_build()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith("unchanged\n"))

    def test_until(self):
        with Tiny(self.key) as tiny:
            answer = tiny.build("--until", "commit")
            self.assertEqual(answer["seconds"]["erofs"], 0)
            self.assertFalse(list(tiny.output.glob("tiny*")))
            self.assertEqual(tiny.try_build("--until", "lunch").returncode, 2)

    def test_plan(self):
        plan = self.says("plan", self.tiny.manifest_path)
        self.assertRegex(plan, r"\Atiny 1.0 \(amd64\), 4 packages, ")
        self.assertRegex(plan, r"(?m)^ 2  usr +A +usr_1.0 +65 +4 ")
        planned = json.loads(self.says("plan", self.tiny.manifest_path, "--json"))
        for key in ("usrSize", "hashTreeSize", "initrdSize", "ukiSize"):
            self.assertEqual(planned[key], self.report[key], key)
        places = [[(p["label"], p["start"], p["size"], p.get("used")) for p in of["layout"]["partitions"]]
                  for of in (planned, self.report)]
        self.assertEqual(*places)

    def test_lock(self):
        with Tiny(self.key) as tiny:
            tiny.write()
            self.assertEqual(tiny.try_build("--locked").returncode, 1)
            self.assertEqual(tiny.slipway("lock", tiny.manifest_path).returncode, 0)
            lock = json.loads(tiny.lock_path.read_text())
            self.assertEqual([p["name"] for p in lock["packages"]],
                             ["base-files", "hello", "linux-image", "systemd"])
            self.assertEqual(self.hello(tiny, "--locked"), "1.0")
            # A newer package is taken, unless the lock is to be followed.
            tiny.add(make_deb("hello", "2.0", {"usr/bin/hello": b"2"}, depends="base-files"))
            self.assertEqual(self.hello(tiny), "2.0")
            self.assertEqual(self.hello(tiny, "--locked"), "1.0")

    @staticmethod
    def hello(tiny, *options):
        """The version of hello that a build takes."""
        tiny.build(*options)
        return next(p["version"] for p in tiny.report()["packages"] if p["name"] == "hello")

    def test_ids_are_stable(self):
        """An account keeps its number although others come before it."""
        with Tiny(self.key) as tiny:
            tiny.write()
            tiny.slipway("lock", tiny.manifest_path)
            before = tiny.build() and tiny.report()["users"]
            tiny.layer["sysusers"] = ["u aaa - - / -"]
            after = tiny.build() and tiny.report()["users"]
            self.assertEqual(set(after) - set(before), {"aaa"})
            self.assertEqual(after["tinyd"], before["tinyd"])

    def test_verify(self):
        lines = self.says("verify", self.tiny.output).splitlines()
        self.assertEqual([line.split(":")[0] for line in lines], [
            *["ok  artifacts"] * 4, "ok  partition table", "ok  EFI system partition", *["--  boot loader"] * 2,
            "ok  boot menu", "--  kernel image", "ok  command line", "--  PCR policy", "ok  slot",
            "--  root hash signature", "--  IPE policy", "ok  hash tree", "ok  blocks", "ok  commit"])
        disk = self.tiny.artifact(".raw")
        usr = self.report["layout"]["partitions"][1]["start"] + 4096
        original = disk.read_bytes()
        try:
            damaged = bytearray(original)
            damaged[usr] ^= 1
            disk.write_bytes(damaged)
            done = self.tiny.slipway("verify", self.tiny.output)
            self.assertEqual(done.returncode, 1)
            self.assertIn("tiny_1.0.raw: its digest differs from the report's", done.stderr)
        finally:
            disk.write_bytes(original)

    def test_diff(self):
        with Tiny(self.key) as tiny:
            a = tiny.build()["commit"]
            tiny.files["usr/share/tiny/more"] = "x\n"
            tiny.layer["kernel"]["options"].append("debug")
            b = tiny.build()["commit"]
            self.assertEqual(tiny.slipway("diff", a, a).stdout.strip(), "size +0 bytes")
            said = tiny.slipway("diff", a, b).stdout
            self.assertRegex(said, r"(?m)^  \+ /usr/share/tiny/more  2 bytes")
            files = json.loads(tiny.slipway("diff", "--json", a, b).stdout)["files"]
            self.assertIn("/usr/share/tiny/more", json.dumps(files))

    def test_schema(self):
        for what, key in (("manifest", "repositories"), ("layer", "packages")):
            schema = json.loads(tool(slipway.SLIPWAY, "schema", what))
            self.assertIn(key, schema["properties"])
            self.assertFalse(schema["additionalProperties"])
        self.assertEqual(self.tiny.run([str(slipway.SLIPWAY), "schema", "moon"]).returncode, 2)

    def test_run_print(self):
        done = self.tiny.run([str(slipway.SLIPWAY), "run", "--print", self.tiny.artifact(".raw")])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("qemu-system-x86_64", done.stdout)
        done = self.tiny.run([str(slipway.SLIPWAY), "run", self.tiny.path / "no-such-disk"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-disk", done.stderr)

    def test_run_provisioning(self):
        """A program in QEMU's place ends well; what the console said decides, when there is a configuration."""
        bin_, config = self.tiny.path / "bin", self.tiny.path / "config.ign"
        bin_.mkdir()
        config.write_text("{}")
        fake = bin_ / "qemu-system-x86_64"
        fake.write_text(FAKE_QEMU)
        fake.chmod(0o755)
        env = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"}
        disk = str(self.tiny.artifact(".raw"))
        for options, says, status, last in (
                ((), "======== Ignition failed: stage disks ========", 0, ""),
                (("--ignition", config), "login:", 0, ""),
                (("--ignition", config), "======== Ignition failed: stage disks ========", 1, "stage disks")):
            done = subprocess.run([slipway.SLIPWAY, "run", disk, *options], capture_output=True, text=True,
                                  env={**env, "SAYS": says}, timeout=60)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(says, done.stdout)
            self.assertIn(last, done.stderr.splitlines()[-1] if done.stderr else "")

    def test_run_tpm(self):
        """swtpm's state is made once and kept; the TPM ends with the machine; without swtpm it says what is missing."""
        bin_, state = self.tiny.path / "tpm-bin", self.tiny.path / "a.tpm"
        bin_.mkdir()
        fake = bin_ / "qemu-system-x86_64"
        fake.write_text(FAKE_TPM_QEMU)
        fake.chmod(0o755)
        argv = [slipway.SLIPWAY, "run", str(self.tiny.artifact(".raw")), f"--tpm={state}"]
        made = []
        for _ in range(2):
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"socket,id=tpm,fd=\d+")
            pid = int(re.search(r"^swtpm (\d+)$", done.stdout, re.M).group(1))
            self.assertTrue(self._ends(pid), "swtpm outlives the machine")
            made.append((state / "tpm2-00.permall").read_bytes())
        self.assertEqual(*made)
        os.symlink("/bin/sh", bin_ / "sh")
        done = subprocess.run([*argv[:-1], "--tpm"], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PATH": str(bin_)})
        self.assertEqual(done.returncode, 1)
        # valgrind's posix_spawn() never says that there is no program.
        missing = "swtpm: exit status 127" if slipway.WATCHED else "no swtpm here: packages swtpm and swtpm-tools"
        self.assertRegex(done.stderr, rf"TPM '.*\.raw\.tpm': {missing}")

    @staticmethod
    def _ends(pid):
        for _ in range(100):
            try:
                if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
            except FileNotFoundError:
                return True
            time.sleep(0.1)
        return False


if __name__ == "__main__":
    unittest.main()
