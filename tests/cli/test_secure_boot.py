#!/usr/bin/env python3
"""Secure Boot on a tiny image: keys, signatures that other programs check, signatures made elsewhere, keys in a token."""

import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
from tiny import Key, Tiny, make_deb

SOFTHSM = next((p for p in map(pathlib.Path, ("/usr/lib/softhsm/libsofthsm2.so",
                                               "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")) if p.exists()), None)
ESP = "@@1048576"


def tool(*argv, **how):
    """What another program says; it must succeed."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, check=False, **how)
    if done.returncode != 0:
        raise AssertionError(f"{argv[0]}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class SecureBoot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = cls.enterClassContext(Key())
        cls.tiny = cls.enterClassContext(Tiny(cls.key))
        cls.tiny.trust({"secureBoot": True})
        cls.keys = cls.tiny.path / "keys"
        cls.keygen(cls.keys)
        cls.others = cls.tiny.path / "others"
        cls.keygen(cls.others)
        cls.answer = cls.tiny.build("--keys", cls.keys)
        cls.public = cls.tiny.path / "public"
        cls.public.mkdir()
        for path in [*cls.keys.glob("*.crt"), *cls.keys.glob("*.auth")]:
            shutil.copy(path, cls.public)

    @classmethod
    def keygen(cls, directory):
        tool(slipway.SLIPWAY, "keygen", "--secure-boot", directory)

    def esp(self, name, output=None):
        disk = (output or self.tiny.output) / "tiny_1.0.raw"
        return tool("mtype", "-i", f"{disk}{ESP}", f"::{name}")

    def scratch(self, name):
        path = self.tiny.path / self.id().rpartition(".")[2]
        path.mkdir(exist_ok=True)
        return path / name

    def fails(self, done, *words):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    # ---- keys here ----

    def test_others_agree(self):
        for name in ("EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi", "EFI/Linux/slipway_1.0+3.efi"):
            path = self.scratch("image.efi")
            path.write_bytes(self.esp(name))
            tool("sbverify", "--cert", self.keys / "db.crt", path)
            tool("osslsigncode", "verify", "-CAfile", self.keys / "db.crt", path)
            done = subprocess.run(["sbverify", "--cert", self.others / "db.crt", path], capture_output=True, check=False)
            self.assertNotEqual(done.returncode, 0)

    def test_published_is_signed(self):
        uki = self.tiny.artifact(".efi").read_bytes()
        self.assertEqual(uki, self.esp("EFI/Linux/slipway_1.0+3.efi"))
        self.assertEqual(self.tiny.report()["ukiSize"], len(uki))

    def test_enrolment(self):
        for name in ("PK.auth", "KEK.auth", "db.auth"):
            self.assertEqual(self.esp(f"loader/keys/auto/{name}"), (self.keys / name).read_bytes())
        self.assertIn(b"\nsecure-boot-enroll if-safe\n", self.esp("loader/loader.conf"))

    def test_same_bytes(self):
        output = self.scratch("out")
        self.assertFalse(self.tiny.build("--keys", self.keys, output=output)["unchanged"])
        self.assertTrue(self.tiny.build("--keys", self.keys, output=output)["unchanged"])
        for suffix in (".raw", ".efi", ".report.json"):
            self.assertEqual((output / f"tiny_1.0{suffix}").read_bytes(), self.tiny.artifact(suffix).read_bytes(), suffix)

    def test_bad_keys(self):
        keys = self.scratch("keys")
        shutil.copytree(self.keys, keys)
        build = lambda: self.tiny.try_build("--keys", keys, output=self.scratch("out"))
        self.fails(self.tiny.try_build(output=self.scratch("out")), "wants keys")
        os.chmod(keys / "db.key", 0o640)
        self.fails(build(), "db.key", "others may use this key")
        os.chmod(keys / "db.key", 0o600)
        shutil.copy(self.others / "db.crt", keys)
        self.fails(build(), "db.crt", "not of the private key beside it")
        shutil.copy(self.keys / "db.crt", keys)
        (keys / "KEK.auth").write_bytes((self.keys / "KEK.auth").read_bytes()[:-1])
        self.fails(build(), "KEK.auth", "Not a signed UEFI variable")
        (keys / "KEK.auth").unlink()
        self.fails(build(), "KEK.auth")
        self.assertFalse([p for p in self.scratch("out").glob("tiny*")])

    def test_keygen(self):
        self.assertEqual(stat.S_IMODE((self.keys / "db.key").stat().st_mode), 0o600)
        before = (self.keys / "db.key").read_bytes()
        done = subprocess.run([slipway.SLIPWAY, "keygen", "--secure-boot", self.keys], capture_output=True, text=True,
                              check=False)
        self.fails(done, "may be keys")
        self.assertEqual((self.keys / "db.key").read_bytes(), before)

    def test_shim(self):
        """Shim is started by the firmware, and has beside it what it starts by name."""
        self.tiny.manifest["trust"] = {"secureBoot": True, "shim": True}
        output = self.scratch("out")
        try:
            self.fails(self.tiny.try_build("--keys", self.keys, output=output), "shimx64.efi.signed", "layer 'shim'")
            self.tiny.add(make_deb("shim-signed", "1", {"usr/lib/shim/shimx64.efi.signed": b"SHIM",
                                                        "usr/lib/shim/mmx64.efi.signed": b"MOK MANAGER"}))
            self.tiny.layer["packages"].append("shim-signed")
            self.tiny.build("--keys", self.keys, output=output)
        finally:
            self.tiny.manifest["trust"] = {"secureBoot": True}
            if "shim-signed" in self.tiny.layer["packages"]:
                self.tiny.layer["packages"].remove("shim-signed")
            self.tiny.write()
        self.assertEqual(self.esp("EFI/BOOT/BOOTX64.EFI", output), b"SHIM")
        self.assertEqual(self.esp("EFI/BOOT/mmx64.efi", output), b"MOK MANAGER")
        loader = self.esp("EFI/BOOT/grubx64.efi", output)
        self.assertEqual(loader, self.esp("EFI/systemd/systemd-bootx64.efi", output))
        self.assertEqual(loader, self.esp("EFI/BOOT/BOOTX64.EFI"))

    # ---- keys elsewhere ----

    def ask(self, name):
        """A build without private keys: the directory with what wants a signature, and where the image would be."""
        requests, output = self.scratch(name), self.scratch(f"{name}-out")
        answer = self.tiny.build("--keys", self.public, "--unsigned-artifacts", requests, output=output)
        self.assertEqual(answer["unsigned"], 2)
        self.assertEqual(list(output.glob("tiny*")), [])
        return requests, output

    def answer_all(self, requests, keys=None):
        """By the commands that the list names, where the keys are."""
        for request in json.loads((requests / "signing.json").read_text())["requests"]:
            self.assertEqual(len((requests / request["file"]).read_bytes()), request["size"])
            for path in (keys or self.keys).glob(f"{request['role']}.[kc]*"):
                shutil.copy(path, requests)
            tool(*request["command"].split(), cwd=requests)

    def attach(self, requests, output, keys=None):
        return self.tiny.slipway("sign", "--attach", requests, "--keys", keys or self.public, output)

    def test_elsewhere(self):
        requests, output = self.ask("requests")
        self.fails(self.attach(requests, output), "not signed yet", "uki.signed.efi", "boot-loader.signed.efi")
        self.answer_all(requests)
        done = self.attach(requests, output)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("EFI/BOOT/BOOTX64.EFI", "EFI/Linux/slipway_1.0+3.efi"):
            path = self.scratch("image.efi")
            path.write_bytes(self.esp(name, output))
            tool("sbverify", "--cert", self.keys / "db.crt", path)
        report = json.loads((output / "tiny_1.0.report.json").read_text())
        self.assertEqual(report["rootHash"], self.tiny.report()["rootHash"])
        self.assertEqual({a["name"] for a in report["artifacts"]}, {a["name"] for a in self.tiny.report()["artifacts"]})
        # The answers are there now, so a build with them is whole at once.
        self.assertEqual(self.tiny.build("--keys", self.public, "--unsigned-artifacts", requests, output=output)["unsigned"], 0)

    def test_elsewhere_by_osslsigncode(self):
        requests, output = self.ask("requests")
        for name in ("uki", "boot-loader"):
            tool("osslsigncode", "sign", "-certs", self.keys / "db.crt", "-key", self.keys / "db.key", "-h", "sha256",
                 "-in", requests / f"{name}.efi", "-out", requests / f"{name}.signed.efi")
        done = self.attach(requests, output)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_elsewhere_refused(self):
        requests, output = self.ask("requests")
        self.answer_all(requests, self.others)
        self.fails(self.attach(requests, output), "boot-loader.signed.efi", "not by this certificate")
        self.answer_all(requests)
        good = {p.name: p.read_bytes() for p in requests.iterdir() if p.is_file()}
        names = json.loads(good["signing.json"])
        uki = good["uki.signed.efi"]
        middle = len(good["uki.efi"]) // 2
        cases = {
            "boot-loader.signed.efi": [(uki, "of another image"), (good["boot-loader.efi"], "it has no signature"),
                                       (b"", "Not a sound PE32+"), (uki[:-8], "Not a sound PE32+")],
            "uki.efi": [(good["uki.efi"][:middle] + b"!" + good["uki.efi"][middle + 1:], "not as the build left it")],
            "signing.json": [(json.dumps(names | {"requests": [r | {"answer": "../x"} for r in names["requests"]]}).encode(),
                              "called otherwise"),
                             (json.dumps(names | {"requests": [r | {"name": "../x"} for r in names["requests"]]}).encode(),
                              "not a name"),
                             (json.dumps(names | {"image": "other"}).encode(), "of another image"),
                             (json.dumps(names | {"requests": [r | {"role": "pcr"} for r in names["requests"]]}).encode(),
                              "wants no signature")],
        }
        for name, changes in cases.items():
            for data, message in changes:
                (requests / name).write_bytes(data)
                self.fails(self.attach(requests, output), message)
                self.assertEqual(list(output.glob("tiny*")), [], message)
            (requests / name).write_bytes(good[name])
        # A right answer, but the layer has changed meanwhile: it is of other bytes then.
        self.tiny.files["usr/share/tiny/motd"] = "Changed\n"
        self.tiny.write()
        try:
            self.fails(self.attach(requests, output), "of another image")
            self.assertEqual(list(output.glob("tiny*")), [])
        finally:
            self.tiny.files["usr/share/tiny/motd"] = "Welcome\n"
            self.tiny.write()
        self.assertEqual(self.attach(requests, output).returncode, 0)

    def test_elsewhere_everything(self):
        """Root hash, PCR policies and images: in two rounds, as the UKI holds signatures itself. The result is what keys
        here would have made, but for what sbsign puts into its signatures."""
        trust = {"secureBoot": True, "rootHash": "signed", "measuredBoot": True}
        requests, output, here = self.scratch("requests"), self.scratch("out"), self.scratch("here")
        shutil.copy(self.keys / "pcr.pub", self.public)
        self.tiny.manifest["trust"] = trust
        try:
            self.tiny.build("--keys", self.keys, output=here)
            first = self.tiny.build("--keys", self.public, "--unsigned-artifacts", requests, output=output)
            names = [r["name"] for r in json.loads((requests / "signing.json").read_text())["requests"]]
            self.assertEqual(first["unsigned"], len(names))
            self.assertNotIn("uki", names)
            self.assertIn("root-hash", names)
            self.assertIn("pcr-policy", names)
            self.answer_all(requests)
            self.fails(self.attach(requests, output), "one more round: 1 signatures")
            self.assertEqual(list(output.glob("tiny*")), [])
            self.answer_all(requests)
            done = self.attach(requests, output)
            self.assertEqual(done.returncode, 0, done.stderr)
        finally:
            self.tiny.manifest["trust"] = {"secureBoot": True}
        sections = [(d / "tiny_1.0.efi").read_bytes()[:self.table(d / "tiny_1.0.efi")] for d in (here, output)]
        self.assertEqual(len(sections[0]), len(sections[1]))
        differ = sum(a != b for a, b in zip(*sections))
        self.assertLessEqual(differ, 12)  # checksum, size of the table

    @staticmethod
    def table(path):
        """Where the certificate table of a PE image begins."""
        data = path.read_bytes()
        entry = int.from_bytes(data[0x3c:0x40], "little") + 24 + 112 + 32
        return int.from_bytes(data[entry:entry + 4], "little")

    # ---- a token ----

    def plug_ins(self):
        """What OpenSSL here has for tokens, as an environment in which there is nothing else: Debian 13 has both, Debian 12 the engine."""
        found = {}
        for letter, variable in (("m", "OPENSSL_MODULES"), ("e", "OPENSSL_ENGINES")):
            said = tool("openssl", "version", f"-{letter}").decode()
            path = pathlib.Path(os.environ.get(variable) or json.loads(said.partition(": ")[2]))
            if (path / "pkcs11.so").exists():
                found[variable] = {"OPENSSL_MODULES": "/nonexistent", "OPENSSL_ENGINES": "/nonexistent"} | {variable: str(path)}
        self.assertTrue(found)
        return found

    def test_token(self):
        """A key that never leaves its token signs the same bytes as the file that it came from."""
        keys, tokens, output = self.scratch("keys"), self.scratch("tokens"), self.scratch("out")
        tokens.mkdir()
        shutil.copytree(self.keys, keys)
        conf = self.scratch("softhsm2.conf")
        conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        env = {"SOFTHSM2_CONF": str(conf), "PKCS11_MODULE_PATH": str(SOFTHSM), "PKCS11_PROVIDER_MODULE": str(SOFTHSM)}
        softhsm = ["softhsm2-util", "--module", SOFTHSM]
        tool(*softhsm, "--init-token", "--free", "--label", "slipway", "--so-pin", "1234", "--pin", "5678",
             env=os.environ | env)
        tool(*softhsm, "--import", keys / "db.key", "--token", "slipway", "--label", "db", "--id", "01", "--pin", "5678",
             env=os.environ | env)
        uri = "pkcs11:token=slipway;object=%s;type=private?pin-value=5678\n"
        for name, plug_in in self.plug_ins().items():
            with self.subTest(name):
                (keys / "db.key").write_text(uri % "db")
                self.tiny.build("--keys", keys, output=output, env=env | plug_in)
                self.assertEqual((output / "tiny_1.0.efi").read_bytes(), self.tiny.artifact(".efi").read_bytes())
                shutil.rmtree(output)
                (keys / "db.key").write_text(uri % "other")
                self.fails(self.tiny.try_build("--keys", keys, output=output, env=env | plug_in), "db.key",
                           "no private key there")
        (keys / "db.key").write_text(uri % "db")
        none = {"OPENSSL_MODULES": "/nonexistent", "OPENSSL_ENGINES": "/nonexistent"}
        self.fails(self.tiny.try_build("--keys", keys, output=output, env=env | none), "db.key", "no private key there")


if __name__ == "__main__":
    unittest.main()
