"""The original `ignition` to compare with: Debian's package, installed, or downloaded and unpacked beside the build."""

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
    CACHE.mkdir(parents=True, exist_ok=True)
    got = subprocess.run(["apt-get", "download", "ignition"], cwd=CACHE, capture_output=True, timeout=120)
    debs = sorted(CACHE.glob("ignition_*.deb"))
    if got.returncode == 0 and debs:
        subprocess.run(["dpkg-deb", "-x", str(debs[-1]), str(CACHE / "root")], check=True)


def program(name):
    """Path of one of the original's programs."""
    for path in (shutil.which(name), pathlib.Path("/") / PLACES[name], CACHE / "root" / PLACES[name]):
        if path and pathlib.Path(path).exists():
            return str(path)
    download()
    if not (CACHE / "root" / PLACES[name]).exists():
        raise AssertionError("Debian's package ignition cannot be had: nothing to compare with")
    return str(CACHE / "root" / PLACES[name])
