"""The original `ignition` to compare with: Debian's package, installed, or downloaded and unpacked beside the build."""

import fcntl
import pathlib
import shutil
import subprocess

import slipway

CACHE = slipway.PROGRAMS / "tests" / "reference-ignition"
PLACES = {
    "ignition": "usr/lib/dracut/modules.d/30ignition/ignition",
    "ignition-validate": "usr/bin/ignition-validate",
}


def download():
    """Leaves the unpacked package in CACHE/root, whole or not at all: tests run side by side, and all of them ask."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (CACHE / "root").exists():
            return
        got = subprocess.run(["apt-get", "download", "ignition"], cwd=CACHE, capture_output=True, text=True, timeout=120)
        debs = sorted(CACHE.glob("ignition_*.deb"))
        if got.returncode or not debs:
            raise AssertionError("Debian's package ignition cannot be had: nothing to compare with\n" + got.stderr)
        subprocess.run(["dpkg-deb", "-x", str(debs[-1]), str(CACHE / "unpacking")], check=True)
        (CACHE / "unpacking").rename(CACHE / "root")


def program(name):
    """Path of one of the original's programs."""
    for path in (shutil.which(name), pathlib.Path("/") / PLACES[name]):
        if path and pathlib.Path(path).exists():
            return str(path)
    download()
    return str(CACHE / "root" / PLACES[name])
