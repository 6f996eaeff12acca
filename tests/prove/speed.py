#!/usr/bin/env python3
"""build times as shares of Y, the time dpkg-deb and tar need to unpack the same packages"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

RUNS = int(os.environ.get("SLIPWAY_RUNS", "3"))
# Shares of Y; peak memory and sizes in MiB. "cold" is an empty repository beside a cache as an
# earlier build left it. Printed without a limit: the first build of all, whose cache has packages
# and nothing that was made of them (with a Y of its own, beside it), and one changed file in every
# format the image asks for.
LIMITS = {"cold": 1.3, "unchanged": 0.1, "one file": 0.25}
GOALS = {"cold": 1.0, "one file": 0.08}  # printed; too near for a machine that is shared
UNLIMITED = ("first of all", "all formats")
DOWNLOADED = ("packages", "metadata", "solv")
QUIET_SECONDS = 60  # until ext4 hands out again the numbers of the inodes that first builds deleted
PEAK_LIMIT = 512
USR_LIMIT, DISK_EXTRA = 330, 80


def yardstick(packages, into):
    """Two at a time, each `dpkg-deb --fsys-tarfile | tar -x`, largest first."""
    into.mkdir()
    names = sorted(packages, key=lambda p: -p.stat().st_size)
    start = time.monotonic()
    subprocess.run(["xargs", "-0", "-n", "1", "-P", "2", "sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | '
                    f'tar -x -C {into} --no-same-owner', "sh"],
                   input="\0".join(map(str, names)).encode(), check=True)
    return time.monotonic() - start


def settle():
    """What an earlier run left to write must not be paid by the next."""
    os.sync()


def build(place, run, cache):
    settle()
    return slipway.build(place, run / "out", cache, "--repo", run / "repo")


def touch_layer(place, number):
    (place / "layers/base/files/usr/share").mkdir(parents=True, exist_ok=True)
    (place / "layers/base/files/usr/share/speed-proof").write_text(f"change {number}\n")


def set_outputs(place, formats):
    """Returns what was set before."""
    path = place / "layers/images/container-host.json"
    manifest = json.loads(path.read_text())
    before, manifest["outputs"] = manifest["outputs"], formats
    path.write_text(json.dumps(manifest))
    return before


def copy_cache(cache, into, names):
    into.mkdir()
    for name in names:
        shutil.copytree(cache / name, into / name, copy_function=shutil.copy2)
    slipway.give_to_user(into)
    return into


def new_run(scratch, name):
    """All new, and deleted at the very end: ext4 passes over inodes deleted a moment ago, one by
    one, so that a tree removed before a run would slow the run down."""
    run = scratch / name
    run.mkdir()
    slipway.give_to_user(run)
    return run


def measure_run(place, run, own, packages, figures, all_formats):
    """Returns the cold build."""
    settle()
    figures["Y"].append(yardstick(packages, run / "unpacked"))
    cold = build(place, run, own)
    figures["cold"].append(cold.seconds)
    unchanged = build(place, run, own)
    if not unchanged.answer["unchanged"]:
        raise SystemExit("an unchanged build was not recognised")
    figures["unchanged"].append(unchanged.seconds)
    touch_layer(place, run.name)
    figures["one file"].append(build(place, run, own).seconds)
    touch_layer(place, f"{run.name} in all formats")
    set_outputs(place, all_formats)
    figures["all formats"].append(build(place, run, own).seconds)
    set_outputs(place, ["raw"])
    return cold


def measure(scratch):
    place = slipway.reachable_copy(scratch / "place")
    slipway.real_image()
    # The limits are about the raw disk; what its other formats add is printed beside them.
    all_formats = set_outputs(place, ["raw"])
    cache = slipway.work_dir() / "cache"
    names = {p["sha256"] for p in slipway.real_image().report()["packages"]}
    packages = [p for p in (cache / "packages").iterdir() if p.stem in names]
    figures = {name: [] for name in ("Y", "Y first", *LIMITS, *UNLIMITED)}
    for number in range(RUNS):
        run = new_run(scratch, f"first-{number}")
        own = copy_cache(cache, run / "cache", DOWNLOADED)
        settle()
        figures["Y first"].append(yardstick(packages, run / "unpacked"))
        first = build(place, run, own)
        figures["first of all"].append(first.seconds)
    time.sleep(QUIET_SECONDS)
    for number in range(RUNS):
        run = new_run(scratch, f"run-{number}")
        own = copy_cache(cache, run / "cache", (*DOWNLOADED, "derived"))
        cold = measure_run(place, run, own, packages, figures, all_formats)
    return figures, first.peak_kib, cold.answer["seconds"], build(place, run, own)


def main():
    scratch = slipway.scratch()
    failed = []
    try:
        figures, peak, steps, result = measure(scratch)
        y = slipway.median(figures["Y"])
        print("steps of a cold build:", ", ".join(f"{k} {v:.2f}" for k, v in steps.items()))
        print(f"Y            {y:6.2f} s   {' '.join(f'{v:.2f}' for v in figures['Y'])}")
        shares = []
        for name in (*LIMITS, *UNLIMITED):
            seconds, limit = slipway.median(figures[name]), LIMITS.get(name)
            share = seconds / (slipway.median(figures["Y first"]) if name == "first of all" else y)
            shares.append(f"{name} {share:.2f} Y")
            goal = f", goal {GOALS[name]}" if name in GOALS else ""
            print(f"{name:12s} {seconds:6.2f} s = {share:.3f} Y "
                  f"({f'limit {limit}{goal}' if limit else 'no limit'})   "
                  f"{' '.join(f'{v:.2f}' for v in figures[name])}")
            if limit and share > limit:
                failed.append(name)
        usr = result.report()["usrSize"] / 2**20
        allocated = result.artifact(".raw").stat().st_blocks * 512 / 2**20
        print(f"/usr         {usr:6.1f} MiB (limit {USR_LIMIT})")
        print(f"disk         {allocated:6.1f} MiB allocated (limit {usr + DISK_EXTRA:.1f})")
        print(f"peak memory  {peak / 1024:6.1f} MiB (limit {PEAK_LIMIT})")
        if usr > USR_LIMIT:
            failed.append("/usr")
        if allocated > usr + DISK_EXTRA:
            failed.append("disk")
        if peak / 1024 > PEAK_LIMIT:
            failed.append("peak memory")
        if failed:
            raise SystemExit(f"over the limit: {', '.join(failed)}")
        print(f"speed: {', '.join(shares)}, peak {peak / 1024:.0f} MiB, /usr {usr:.0f} MiB")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
