#!/usr/bin/env python3
"""how quick staging and verifying are, beside sha256sum and `veritysetup verify` in the same run"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "bench")]
import slipway
from update_site import BLOCK, Machine, Nginx, Site

SIZE = (64 if slipway.QUICK else 512) << 20
RUNS = 3


def seconds(*argv):
    began = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def staged(machine, url):
    done = machine.run(url, timeout=600)
    if done.returncode != 0 or machine.wrong():
        raise SystemExit(f"update-speed: {done.error or machine.wrong()}")
    return done


def empty(machine):
    """As it was before: nothing of the release is there."""
    for name in ("usr", "usr.tree"):
        size = (machine.path / name).stat().st_size
        os.truncate(machine.path / name, 0)
        os.truncate(machine.path / name, size)
    machine.uki.unlink(missing_ok=True)


def measure(work):
    """Medians of runs in turn: seconds by what was done."""
    with open(work / "image", "wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))
    site = Site(work / "site")
    release = site.add(work / "image", os.urandom(20 * BLOCK))
    root_hash = re.search('"rootHash": "([0-9a-f]{64})"', (release / "release.json").read_text()).group(1)
    machine, spent = Machine(work / "machine", release), {}
    with Nginx(site.path, work / "nginx") as server:
        for _ in range(RUNS):
            empty(machine)
            for name, run in (("staging", lambda: staged(machine, server.url).seconds),
                              ("verifying", lambda: staged(machine, server.url).seconds),
                              ("sha256sum", lambda: seconds("sha256sum", release / "usr.img")),
                              ("veritysetup verify", lambda: seconds("/usr/sbin/veritysetup", "verify", release / "usr.img",
                                                                     release / "usr.tree", root_hash))):
                spent.setdefault(name, []).append(run())
    return {name: statistics.median(times) for name, times in spent.items()}


def main():
    with tempfile.TemporaryDirectory(prefix="slipway-speed-", dir="/var/tmp") as directory:
        spent = measure(pathlib.Path(directory))
    rates = {name: SIZE / value / 1e9 for name, value in spent.items()}
    for name, value in spent.items():
        print(f"{name:20} {value:6.2f} s {rates[name]:6.2f} GB/s")
    ratios = {name: spent[name] / spent["verifying"] for name in ("sha256sum", "veritysetup verify")}
    print(f"update-speed: staging from loopback {rates['staging']:.2f} GB/s, verifying {rates['verifying']:.2f} GB/s: "
          + ", ".join(f"{ratio:.1f} x {name}" for name, ratio in ratios.items()))


if __name__ == "__main__":
    main()
