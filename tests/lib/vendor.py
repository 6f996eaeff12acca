"""The hypervisors' own clients, from Debian's packages, downloaded and unpacked beside the build: what they understand of the hosts
that tests play shows whether these are fair."""

import fcntl
import pathlib
import subprocess

import slipway

CACHE = slipway.PROGRAMS / "tests" / "vendor-clients"
# Client: package, places in it on Debian 12 and 13.
CLIENTS = {
    "vmware-rpctool": ("open-vm-tools", ["usr/bin/vmware-rpctool"]),
    "hv_kvp_daemon": ("hyperv-daemons", ["usr/sbin/hv_kvp_daemon", "usr/libexec/hypervkvpd/hv_kvp_daemon"]),
}


def unpack(package):
    """The package's files, whole or not at all: tests run side by side."""
    place = CACHE / package
    place.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return place
        got = subprocess.run(["apt-get", "download", package], cwd=CACHE, capture_output=True, text=True, timeout=120)
        debs = sorted(CACHE.glob(f"{package}_*.deb"))
        if got.returncode or not debs:
            raise AssertionError(f"Debian's package {package} cannot be had\n{got.stderr}")
        subprocess.run(["dpkg-deb", "-x", str(debs[-1]), f"{place}.new"], check=True)
        pathlib.Path(f"{place}.new").rename(place)
    return place


def program(name):
    package, paths = CLIENTS[name]
    found = [path for path in (unpack(package) / path for path in paths) if path.is_file()]
    if not found:
        raise AssertionError(f"{package} has no {name}")
    return str(found[0])
