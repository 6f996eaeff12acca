#!/usr/bin/env python3
"""Measured boot: what a build predicts and signs, against systemd-measure and openssl; what it refuses.

systemd-measure of Debian 12 does not know all sections. So a few lines here say what PCR 11 becomes, are held to what
systemd-measure says of the sections it knows, and then say what a whole UKI must give.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from tiny import Key, Tiny
from uki import sections

MEASURE = "/usr/lib/systemd/systemd-measure"
MEASURED = "linux osrel cmdline initrd ucode splash dtb uname sbat pcrpkey".split()
PHASES = ["enter-initrd", "leave-initrd", "sysinit", "ready"]


def sha256(data):
    return hashlib.sha256(data).digest()


def pcr11(contents):
    """PCR 11 after each phase, by its path."""
    value, path = bytes(32), []
    for name in MEASURED:
        if name in contents:
            value = sha256(value + sha256(f".{name}\0".encode()))
            value = sha256(value + sha256(contents[name]))
    values = {"": value.hex()}
    for word in PHASES:
        path.append(word)
        value = sha256(value + sha256(word.encode()))
        values[":".join(path)] = value.hex()
    return values


def policy(pcr):
    """TPM2_PolicyPCR for PCR 11 in the bank sha256."""
    selection = struct.pack(">IHB", 1, 0x0B, 3) + bytes([0, 1 << 3, 0])
    return sha256(bytes(32) + struct.pack(">I", 0x17F) + selection + sha256(bytes.fromhex(pcr)))


class Tpm:
    """swtpm, and the policy that systemd uses, by tpm2-tools."""

    SECRET = b"the key of ROOT"

    def __init__(self, directory):
        self.directory = directory
        (directory / "state").mkdir()
        # Tools reach it by a pair of adjacent ports.
        for port in range(23000, 24000, 2):
            self.process = subprocess.Popen(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={directory / 'state'}", "--server",
                 f"type=tcp,port={port},bindaddr=127.0.0.1", "--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1",
                 "--flags", "not-need-init,startup-clear"], stderr=subprocess.DEVNULL)
            self.control = f"127.0.0.1:{port + 1}"
            self.environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:host=127.0.0.1,port={port}"}
            for _ in range(50):
                if self.process.poll() is not None:
                    break
                if self.tool("getrandom", "4", "-o", "random", check=False):
                    return
                time.sleep(0.1)
            self.close()
        raise AssertionError("swtpm does not start")

    def tool(self, name, *arguments, check=True, stdin=None):
        """True: it succeeded. What it has loaded is dropped, as a resource manager would."""
        done = subprocess.run([f"tpm2_{name}", *arguments], cwd=self.directory, env=self.environment, input=stdin,
                              capture_output=True, timeout=60, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"tpm2_{name}: {done.stderr.decode()}")
        if name != "flushcontext":
            self.tool("flushcontext", "--transient-object", check=False)
        return done.returncode == 0

    def load_keys(self):
        """The public key of signatures, and the TPM's own, which it derives: nothing loaded outlives a reset."""
        self.tool("loadexternal", "-C", "o", "-G", "rsa", "-u", "public", "-c", "key", "-n", "key.name")
        self.tool("createprimary", "-C", "o", "-c", "primary")

    def seal(self, public):
        (self.directory / "public").write_bytes(public)
        self.load_keys()
        (self.directory / "none").write_bytes(bytes(32))
        self.tool("startauthsession", "-S", "trial")
        self.tool("policyauthorize", "-S", "trial", "-i", "none", "-n", "key.name", "-L", "authorized")
        self.tool("flushcontext", "trial")
        self.tool("create", "-C", "primary", "-L", "authorized", "-i", "-", "-u", "sealed.pub", "-r", "sealed.priv",
                  "-a", "fixedtpm|fixedparent|adminwithpolicy", stdin=self.SECRET)

    def opens(self, contents, signature, phases):
        """Whether the secret comes out when that release has booted so far."""
        (entry,) = json.loads(signature)["sha256"]
        (self.directory / "policy").write_bytes(bytes.fromhex(entry["pol"]))
        (self.directory / "signature").write_bytes(base64.b64decode(entry["sig"]))
        self.boot(contents, phases)
        self.load_keys()
        self.tool("load", "-C", "primary", "-u", "sealed.pub", "-r", "sealed.priv", "-c", "sealed")
        self.tool("verifysignature", "-c", "key", "-g", "sha256", "-f", "rsassa", "-m", "policy", "-s", "signature",
                  "-t", "ticket")
        self.tool("startauthsession", "--policy-session", "-S", "session")
        self.tool("policypcr", "-S", "session", "-l", "sha256:11")
        agreed = self.tool("policyauthorize", "-S", "session", "-i", "policy", "-n", "key.name", "-t", "ticket",
                           check=False)
        opened = agreed and self.tool("unseal", "-c", "sealed", "-p", "session:session", "-o", "secret", check=False)
        self.tool("flushcontext", "session", check=False)
        if not opened:
            return False
        secret = self.directory / "secret"
        got = secret.read_bytes()
        secret.unlink()
        return got == self.SECRET

    def boot(self, contents, phases):
        """Measures as systemd-stub and systemd do."""
        self.tool("shutdown", "--clear")
        subprocess.run(["swtpm_ioctl", "--tcp", self.control, "-i"], check=True, capture_output=True, timeout=60)
        self.tool("startup", "--clear")
        value = pcr11(contents)
        steps = [d for name in MEASURED if name in contents for d in (f".{name}\0".encode(), contents[name])]
        for data in steps + [p.encode() for p in phases]:
            self.tool("pcrextend", f"11:sha256={hashlib.sha256(data).hexdigest()}")
        self.tool("pcrread", "sha256:11", "-o", "pcr")
        if (self.directory / "pcr").read_bytes().hex() != value[":".join(phases)]:
            raise AssertionError("the TPM holds another PCR 11 than these lines say")

    def close(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class MeasuredBoot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tiny = cls.enterClassContext(Tiny(cls.enterClassContext(Key())))
        cls.keys = cls.tiny.path / "keys"
        cls.keys.mkdir()
        cls.key = cls.keys / "pcr.key"
        subprocess.run(["openssl", "genrsa", "-out", cls.key, "2048"], check=True, capture_output=True)
        cls.key.chmod(0o600)
        cls.tiny.trust({"measuredBoot": True})
        cls.tiny.build("--keys", cls.keys)
        cls.sections = sections(cls.tiny.artifact(".efi"))
        cls.directory = cls.tiny.path / "sections"
        cls.directory.mkdir()
        for name, data in cls.sections.items():
            (cls.directory / name).write_bytes(data)

    def peer(self, verb, *options):
        """What systemd-measure says of the sections it knows, and their contents."""
        known = set(re.findall(r"--(\w+)=PATH", subprocess.run([MEASURE, "--help"], check=True, capture_output=True,
                                                               text=True).stdout)) & set(MEASURED)
        used = {name: self.sections[name] for name in sorted(known) if name in self.sections}
        self.assertLessEqual({"linux", "osrel", "cmdline", "initrd", "pcrpkey"}, set(used))
        done = subprocess.run([MEASURE, verb, "--bank=sha256", "--json=short", *options,
                               *(f"--{name}={self.directory / name}" for name in used)],
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout), used

    def test_prediction(self):
        paths = [":".join(PHASES[:n]) for n in range(len(PHASES) + 1)]
        said, used = self.peer("calculate", *(f"--phase={p}" for p in paths))
        self.assertEqual([entry["hash"] for entry in said["sha256"]], list(pcr11(used).values()))
        self.assertEqual(self.tiny.report()["pcr11"], pcr11(self.sections))

    def test_signature(self):
        signed = json.loads(self.sections["pcrsig"])
        (entry,) = signed["sha256"]
        wanted = policy(self.tiny.report()["pcr11"]["enter-initrd"])
        public = self.tiny.path / "public"
        subprocess.run(["openssl", "pkey", "-in", self.key, "-pubout", "-out", public], check=True)
        self.assertEqual(self.sections["pcrpkey"], public.read_bytes())
        der = subprocess.run(["openssl", "rsa", "-pubin", "-in", public, "-RSAPublicKey_out", "-outform", "DER"],
                             check=True, capture_output=True).stdout
        self.assertEqual(entry, {"pcrs": [11], "pkfp": sha256(der).hex(), "pol": wanted.hex(), "sig": entry["sig"]})
        (self.tiny.path / "policy").write_bytes(wanted)
        (self.tiny.path / "sig").write_bytes(base64.b64decode(entry["sig"]))
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", public, "-signature", self.tiny.path / "sig",
                        self.tiny.path / "policy"], check=True, capture_output=True)

    def test_command_line(self):
        """What the initrd shall do with ROOT is in the command line, and so in PCR 11."""
        self.assertNotIn(b"slipway.root", self.sections["cmdline"])
        self.tiny.files["usr/lib/slipway/repart.encrypted.d/50-root.conf"] = "[Partition]\nType=root\n"
        self.tiny.manifest["trust"] = {"measuredBoot": True, "root": "tpm2"}
        try:
            self.tiny.build("--keys", self.keys, output=self.tiny.path / "tpm2")
        finally:
            del self.tiny.files["usr/lib/slipway/repart.encrypted.d/50-root.conf"]
            self.tiny.manifest["trust"] = {"measuredBoot": True}
        other = sections(self.tiny.path / "tpm2/tiny_1.0.efi")
        self.assertIn(b" slipway.root=tpm2", other["cmdline"])
        self.assertNotEqual(self.tiny.report(self.tiny.path / "tpm2")["pcr11"], self.tiny.report()["pcr11"])

    def test_opens(self):
        """A real TPM's word: what is sealed for our key opens in the initrd of each release of ours, and only there."""
        self.tiny.manifest["kernel"] = {"options": ["second"]}
        try:
            self.tiny.build("--keys", self.keys, output=self.tiny.path / "second")
        finally:
            del self.tiny.manifest["kernel"]
        first, second = self.sections, sections(self.tiny.path / "second/tiny_1.0.efi")
        self.assertNotEqual(first["cmdline"], second["cmdline"])
        (self.tiny.path / "tpm").mkdir()
        with Tpm(self.tiny.path / "tpm") as tpm:
            tpm.seal(first["pcrpkey"])
            for release in (first, second, first):
                self.assertTrue(tpm.opens(release, release["pcrsig"], ["enter-initrd"]))
            self.assertFalse(tpm.opens(second, first["pcrsig"], ["enter-initrd"]), "with another release's signature")
            self.assertFalse(tpm.opens(first, first["pcrsig"], []), "before the initrd")
            self.assertFalse(tpm.opens(first, first["pcrsig"], ["enter-initrd", "leave-initrd"]), "in the host")

    def refused(self, trust, message, keys=None):
        self.tiny.manifest["trust"] = trust
        done = self.tiny.try_build(*(["--keys", keys] if keys else []), output=self.tiny.path / "refused")
        self.tiny.manifest["trust"] = {"measuredBoot": True}
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, message)
        self.assertFalse(list((self.tiny.path / "refused").glob("tiny*")))

    def test_refused(self):
        self.refused({"measuredBoot": True}, "wants keys: --keys")
        self.refused({"measuredBoot": True, "root": "tpm2"}, "no layer brings what does it .*: layer 'tpm2'", self.keys)
        self.refused({"root": "tpm2"}, 'encrypted "root" needs "measuredBoot"', self.keys)
        weak = self.tiny.path / "weak"
        weak.mkdir()
        subprocess.run(["openssl", "genrsa", "-out", weak / "pcr.key", "1024"], check=True, capture_output=True)
        (weak / "pcr.key").chmod(0o600)
        self.refused({"measuredBoot": True}, "pcr.key: not an RSA key of 2048", weak)
        (weak / "pcr.key").write_bytes(self.key.read_bytes())
        (weak / "pcr.key").chmod(0o644)
        self.refused({"measuredBoot": True}, "others may use this key", weak)


if __name__ == "__main__":
    unittest.main()
