#!/usr/bin/env python3
"""extensions are built in a moment, and systemd merges those that fit and are signed, and no others

The image's own systemd-sysext, in User-mode Linux, does with each extension what the layer's unit says; systemd-dissect reads them. The long
form boots a machine with one, on an image that is signed for real."""

import base64
import gzip
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "boot")]
import extension
import machine
import slipway
import trusted
import uml
from extension import BLOCK, ROOT, Extension

LAYER = slipway.PROJECT / "layers/sysext"
DROP_IN = LAYER / "files.signed/usr/lib/systemd/system/systemd-sysext.service.d/60-signed.conf"
MIB = 1 << 20
RUNS = 3 if slipway.QUICK else 9
CONTENT = os.urandom(400000)
OTHERS_IGNORED = r"No suitable extensions found \(1 ignored"

# A root that has the image's /usr, and what changes from case to case.
GUEST = r"""
set -u
mount --make-rshared /
R=/run/root; mkdir -p $R; mount -t tmpfs -o mode=755 tmpfs $R; cd $R
mkdir -p usr etc var/lib/extensions run proc sys dev tmp opt
for link in bin lib lib64 sbin; do ln -s usr/$link $link; done
mount --bind {usr} usr; mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t devtmpfs dev dev
mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs tmp
mkdir -p run/udev run/verity.d; touch run/udev/control; cp {certificate} run/verity.d/slipway.crt
export SYSTEMD_LOG_LEVEL=debug

case_() {{ # name, level of the host, unit; what is in {files}/NAME is what the host has
    echo "== $1"
    rm -rf var/lib/extensions etc/extensions; cp -R {files}/$1 var/lib/extensions
    printf 'ID=debian\nVERSION_ID=13\nSYSEXT_LEVEL=%s\n' $2 >etc/os-release
    chroot . /usr/bin/bash -c "$3" 2>&1; echo "exit $?"
    chroot . /usr/bin/bash -c 'echo "hello says: $(hello 2>&1)"; cat /usr/share/hello/data 2>&1 >/dev/null'
    chroot . /usr/bin/systemd-sysext unmerge >/dev/null 2>&1
}}
{cases}
for image in {dissect}; do echo "== dissect $image"; systemd-dissect --no-pager $image 2>&1; done
echo "== end"
"""


def unit_commands(kind="Start(Pre)?"):
    """What the drop-in makes of starting systemd-sysext.service, or of its "Reload", as one command of Bash."""
    text = DROP_IN.read_text().replace("\\\n", " ").replace("%%", "%")
    commands = [line.partition("=")[2] for line in text.splitlines() if re.match(f"Exec{kind}=/", line)]
    assert len(commands) >= 2, commands
    return " && ".join(re.sub(r"\{\}", "'{}'", c).replace(" ! ", " '!' ") for c in commands)


class Cases:
    """What a host has in /var/lib/extensions, and what must come of it."""

    def __init__(self, directory):
        self.directory, self.rows = directory, []
        directory.mkdir()

    def add(self, name, images, wanted, refused=None, level="1.0", unit=None):
        """images: file name → Extension, or bytes; wanted: what hello says (None: there is none); refused: the reason said."""
        place = self.directory / name
        place.mkdir()
        for file, image in images.items():
            path = place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image if isinstance(image, bytes) else (image.output / image.file).read_bytes())
        self.rows.append((name, wanted, refused, level, unit or unit_commands()))

    def script(self):
        return "".join(f"case_ {name} {level} {shlex.quote(unit)}\n" for name, _, _, level, unit in self.rows)


def changed(ext, part, offset, data=None):
    """The image's bytes with some of a part's changed (part 0: image, 1: hash tree, 2: signature)."""
    report, raw = ext.report(), bytearray((ext.output / ext.file).read_bytes())
    at = ROOT + [0, report["imageSize"], report["imageSize"] + report["hashTreeSize"]][part] + offset
    raw[at:at + (len(data) if data else 1)] = data or bytes([raw[at] ^ 1])
    return bytes(raw)


def make_cases(scratch, keys):
    cases, build = Cases(scratch / "files"), scratch / "build"
    files = lambda version: {"usr/bin/hello": f"#!/bin/sh\necho hello {version}\n", "usr/share/hello/data": CONTENT}
    one = Extension(build, version="1.0", files=files("1.0"))
    two = Extension(build, version="2.0", level="2.0", files=files("2.0"))
    newer = Extension(build, version="1.10", files=files("1.10"))
    arm = Extension(build / "arm", architecture="arm64", files=files("arm"))
    other = Extension(build, version="4.0", id="fedora", files=files("4.0"))
    any_host = Extension(build, version="5.0", id="_any", level=None, files=files("5.0"))
    by_version = Extension(build, version="6.0", versionId="13", level=None, files=files("6.0"))
    for ext in (one, two, newer, arm, other, any_host, by_version):
        ext.build("--keys", keys)
    unsigned = Extension(build / "unsigned", files=files("unsigned"))
    unsigned.build()
    foreign = Extension(build / "foreign", files=files("foreign"))
    foreign.build("--keys", extension.keys(scratch / "foreign-keys"))
    signature = one.parts()[2]
    digit = signature.index(b'"rootHash":"') + 20

    cases.add("fits", {"hello.raw": one}, "1.0")
    cases.add("its-own-name", {one.file: one}, "1.0")
    cases.add("newest-of-two", {one.file: one, newer.file: newer}, "1.10")
    cases.add("any-host", {"hello.raw": any_host}, "5.0")
    cases.add("by-version", {"hello.raw": by_version}, "6.0", level="''")
    # What is read of it is what was signed, or an error.
    cases.add("content-byte", {"hello.raw": changed(one, 0, 200000)}, "1.0", "hello/data: Input/output error")
    # An update has brought the second one; before it and after it, the right one is taken.
    both = {one.file: one, two.file: two}
    cases.add("both-before", both, "1.0")
    cases.add("both-after", both, "2.0", level="2.0")
    cases.add("level", {"hello.raw": two}, None, OTHERS_IGNORED)
    cases.add("id", {"hello.raw": other}, None, OTHERS_IGNORED)
    cases.add("architecture", {"hello.raw": arm}, None, "is for architecture 'arm64', but deployed on top of 'x86-64'")
    cases.add("unsigned", {"hello.raw": unsigned}, None, "Partition root discovered with policy 'verity' but 'signed.absent' was required")
    cases.add("other-key", {"hello.raw": foreign}, None, "Userspace PKCS#7 validation failed.*signer certificate not found")
    cases.add("signature-byte", {"hello.raw": changed(one, 2, len(signature) - 40, b"AAAA")}, None, "Userspace PKCS#7 validation failed")
    cases.add("root-hash-byte", {"hello.raw": changed(one, 2, digit, b"1" if signature[digit:digit + 1] == b"0" else b"0")}, None,
              "Userspace PKCS#7 validation failed: .*bad signature")
    cases.add("tree-byte", {"hello.raw": changed(one, 1, BLOCK + 5)}, None, "Failed to probe partition .*: Input/output error")
    cases.add("metadata-byte", {"hello.raw": changed(one, 0, one.report()["imageSize"] - BLOCK)}, None,
              "Failed to mount image: Input/output error")
    cases.add("superblock-byte", {"hello.raw": changed(one, 0, 1024 + 40)}, None, "Failed to read metadata for image hello")
    cases.add("directory", {"hello/usr/bin/hello": b"#!/bin/sh\necho hello directory\n",
                            "hello/usr/lib/extension-release.d/extension-release.hello": b"ID=_any\n"}, None,
              "a directory has no signature")
    # The same when the unit is reloaded, which follows a start that has made the directories.
    reload = "mkdir -p /etc/extensions /run/extensions && " + unit_commands("Reload")
    cases.add("reload-fits", {"hello.raw": one}, "1.0", unit=reload)
    cases.add("reload-unsigned", {"hello.raw": unsigned}, None, "Image does not match image policy", unit=reload)
    cases.add("reload-directory", {"hello/usr/bin/hello": b"#!/bin/sh\necho hello directory\n"}, None,
              "a directory has no signature", unit=reload)
    # Where nothing is signed, the unit is systemd's own.
    cases.add("unsigned-host", {"hello.raw": unsigned}, "unsigned", unit="/usr/bin/systemd-sysext refresh")
    return cases, one, unsigned


def judge(cases, said):
    sections = dict(part.split("\n", 1) for part in said.split("== ")[1:])
    refused, problems = 0, []
    for name, wanted, reason, _, _ in cases.rows:
        text = sections.get(name, "")
        got = re.search("^hello says: hello (.*)$", text, re.M)
        if (got and got[1]) != wanted:
            problems.append(f"{name}: expected {wanted}, got {got and got[1]}:\n{text[-4000:]}")
        if reason is not None and not re.search(reason, text):
            problems.append(f"{name}: not refused for {reason!r}:\n{text[-4000:]}")
        refused += wanted is None
    if problems:
        raise SystemExit("sysext: " + "\n".join(problems))
    return refused, sections


def checkout(built, into):
    """The image's /usr as files."""
    subprocess.run(["ostree", f"--repo={slipway.work_dir() / 'cache/repo'}", "checkout", "-U", "--subpath=/usr",
                    built.report()["commit"], str(into)], check=True)
    return into


def merge_all(scratch, keys, usr):
    cases, signed, unsigned = make_cases(scratch, keys)
    images = [str(e.output / e.file) for e in (signed, unsigned)]
    script = GUEST.format(usr=usr, certificate=keys / "verity.crt", files=cases.directory, cases=cases.script(),
                          dissect=" ".join(images))
    (scratch / "guest").write_text(script)
    status, said = uml.run(["sh", scratch / "guest"], modules=("dm-verity", "erofs", "loop", "overlay"), memory="512M")
    if status != 0 or "== end" not in said:
        raise SystemExit(f"sysext: exit status {status}\n{said[-5000:]}")
    refused, sections = judge(cases, said)
    for image, protection in zip(images, ("signed", "yes|no|-")):
        text = sections[f"dissect {image}"]
        if not re.search(r"extension for system", text) or not re.search(rf"ro root +.* ({protection}) ", text):
            raise SystemExit(f"sysext: systemd-dissect of {image}:\n{text}")
    return len(cases.rows) - refused, refused


def speed(scratch, keys, usr):
    """Milliseconds a MiB, of a large program: the median."""
    ext = Extension(scratch / "speed", files={"usr/bin/podman": (usr / "bin/podman").read_bytes()})
    size, seconds = (usr / "bin/podman").stat().st_size, []
    for _ in range(RUNS):
        start = time.monotonic()
        ext.build("--keys", keys)
        seconds.append(time.monotonic() - start)
    return 1000 * slipway.median(seconds) / (size / MIB), size, ext.report()["size"]


# ---- on a machine ----

def config(scratch, signed, unsigned):
    key, public = machine.ssh_key(scratch)
    c = machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"])
    files = c.config.setdefault("storage", {}).setdefault("files", [])
    for path, image in (("/var/lib/extensions/hello.raw", signed), ("/var/lib/other.raw", unsigned)):
        data = base64.b64encode(gzip.compress(pathlib.Path(image).read_bytes())).decode()
        files.append({"path": path, "contents": {"source": f"data:;base64,{data}", "compression": "gzip"}})
    c.unit("uses-hello.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/hello\n[Install]\n"
           "WantedBy=multi-user.target\n")
    return key, c.write(scratch / "sysext.ign")


def on_a_machine(disk, scratch, signed, unsigned):
    """An extension of the first boot is merged before services start; one that nobody signed changes nothing."""
    key, ignition = config(scratch, signed, unsigned)
    with machine.Machine(disk, ignition) as vm:
        _, age = vm.wait_for("login:")
        vm.expect(key, (
            ("hello; systemctl is-active uses-hello systemd-sysext", r"\Ahello booted\s+active\s+active\s*\Z"),
            ("findmnt -no FSTYPE,OPTIONS /usr | tail -n 1", r"^overlay\s+ro,nodev"),
            ("ls /dev/mapper", r"[0-9a-f]{64}-verity"),
            ("cat /usr/lib/verity.d/slipway.crt", "BEGIN CERTIFICATE"),
            ("grep SYSEXT_LEVEL /usr/lib/os-release", "^SYSEXT_LEVEL=1.0$"),
            ("systemctl is-system-running --wait; systemctl --failed", r"\Arunning\s"),
            ("sudo cp /var/lib/other.raw /var/lib/extensions/; sudo systemctl reload systemd-sysext; echo $?; hello",
             r"^1$.*^hello booted$"),
            ("sudo rm /var/lib/extensions/other.raw; sudo systemctl reload systemd-sysext && hello", "^hello booted$"),
            ("sudo mkdir -p /var/lib/extensions/d/usr/bin; sudo systemctl reload systemd-sysext; echo $?; "
             "sudo rm -r /var/lib/extensions/d", "^1$"),
            ("sudo slipway-update status && sudo systemctl start slipway-update-settle", "1.0.0"),
            ("sudo rm /var/lib/extensions/hello.raw; sudo systemctl stop systemd-sysext; hello", "not found")))
        vm.poweroff(key)
    return age


def prepare(scratch):
    """Before the namespace is entered, in which the keys are a stranger's."""
    keys, usr = trusted.keys(), checkout(slipway.real_image(), scratch / "usr")
    merged, refused = merge_all(scratch, keys, usr)
    milliseconds, size, made = speed(scratch, keys, usr)
    shutil.rmtree(usr)
    prepared = {"scratch": str(scratch),
                "said": f"built in {milliseconds:.1f} ms/MiB ({size / MIB:.0f} MiB became {made / MIB:.0f}), "
                        f"{merged} of {merged} merged, {refused} of {refused} refused"}
    if not slipway.QUICK:
        signed = Extension(scratch / "boot", files={"usr/bin/hello": "#!/bin/sh\necho hello booted\n"})
        prepared["signed"] = str(signed.build("--keys", keys))
        prepared["unsigned"] = str(Extension(scratch / "boot", "other").build())
        disk = trusted.image("sysext", {"rootHash": "signed"}, ["sysext"], sysextLevel="1.0").artifact(".raw")
        prepared["disk"] = str(disk)
    return prepared


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        scratch = slipway.scratch("slipway-sysext-")
        try:
            os.environ["SLIPWAY_SYSEXT"] = json.dumps(prepare(scratch))
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    if not slipway.QUICK:
        machine.enter_namespace()
    prepared = json.loads(os.environ["SLIPWAY_SYSEXT"])
    scratch, said = pathlib.Path(prepared["scratch"]), prepared["said"]
    try:
        if not slipway.QUICK:
            age = on_a_machine(prepared["disk"], scratch, prepared["signed"], prepared["unsigned"])
            said += f"; merged on a machine, login after {age:.0f} s"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"sysext: {said}")


if __name__ == "__main__":
    main()
