"""Debian 13's programs with all their libraries, unpacked beside the machine's own. Python 3 standard library only."""

import fcntl
import json
import pathlib
import re
import shutil
import subprocess

import slipway
from releases import Release

# Image writers, and what they are compared with.
TOOLS = ["erofs-utils", "squashfs-tools", "cryptsetup-bin", "zstd", "xz-utils"]
# The QEMU that emulates quicker than Debian 12's: 44 s of the processor for a boot instead of 65, by hand.
QEMU, QUICKER = "qemu-system-x86_64", 10
WRAPPER = """\
#!/bin/sh
export QEMU_MODULE_DIR={root}/usr/lib/x86_64-linux-gnu/qemu
exec {program} -L {root}/usr/share/qemu -L {root}/usr/share/seabios "$@"
"""


def unpack(work, packages=TOOLS, cache="delta-tools"):
    """The packages and what they depend on, for argv(), in work/tools. What is downloaded stays in a cache of that name."""
    cache, root = slipway.work_dir() / cache, work / "tools"
    release = Release(work, "tools-place", "0", False)
    layer = release.place / "layers/tools"
    layer.mkdir()
    (layer / "layer.json").write_text(json.dumps({"name": "tools", "packages": packages}))
    release.manifest["layers"] = ["tools"]
    release.write()
    slipway.build(release.place, work / "tools-out", cache, "--until", "fetch")
    # What the solver chose, in the lock file's format; the one in use is the newest.
    chosen = max((cache / "solv").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    for package in json.loads(chosen.read_text())["packages"]:
        subprocess.run(["dpkg-deb", "-x", cache / "packages" / f"{package['sha256']}.deb", root], check=True)
    return root


def argv(root, command):
    """A command of these, with its own libraries."""
    libraries = root / "usr/lib/x86_64-linux-gnu"
    program = next(path for d in ("bin", "sbin") if (path := root / "usr" / d / command[0]).exists())
    return [root / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, program, *command[1:]]


def make_qemu(place):
    """The program that `slipway run` starts, in a directory of its own: whole or not at all."""
    new = place.with_name("qemu.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    slipway.give_to_user(new)
    root = unpack(new, ["qemu-system-x86"], "qemu-packages")
    program = new / "bin" / QEMU
    program.parent.mkdir()
    text = WRAPPER.format(root=root, program=" ".join(map(str, argv(root, [QEMU]))))
    program.write_text(text.replace(str(new), str(place)))
    program.chmod(0o755)
    new.rename(place)


def quicker_qemu():
    """A directory for PATH: Debian 13's QEMU, unpacked once, or the machine's own where that is as quick. For machines with one
    processor: once, that of a second one got no more timer interrupts from it."""
    said = subprocess.run([QEMU, "--version"], check=True, capture_output=True, text=True).stdout
    if int(re.search(r"version (\d+)", said)[1]) >= QUICKER:
        return pathlib.Path(shutil.which(QEMU)).parent
    place = slipway.work_dir() / "qemu"
    with open(slipway.work_dir() / "qemu.lock", "w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            make_qemu(place)
    return place / "bin"
