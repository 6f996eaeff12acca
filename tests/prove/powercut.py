#!/usr/bin/env python3
"""the power is cut at every write of an update: the old release boots, or the new one, verified"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

POWERCUT = slipway.PROJECT / "build/release/tests/tools/powercut"

# What makes an update safe, each left out: the proof must find a disk that does not boot.
BREAKAGES = ("no-sync", "table-order", "no-slot-sync", "no-uki-sync", "no-names-sync", "entry-first")

QUICK = ("--bound=48", "--rarely=6")  # combinations at one point in time; how often it is done again
FULL = ("--bound=512", "--rarely=3")
ENOUGH = 10_000


def powercut(*arguments):
    done = subprocess.run([POWERCUT, *arguments], capture_output=True, text=True, timeout=3000)
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(f"powercut {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
    return done.returncode == 0, done.stdout.splitlines()


def main():
    for breakage in BREAKAGES:
        safe, lines = powercut(*QUICK, f"--break={breakage}")
        if safe:
            raise SystemExit(f"with --break={breakage} everything boots: the proof proves nothing")
        print(f"--break={breakage}:", next(line for line in lines if ": cut after" in line))
    safe, lines = powercut(*(QUICK if slipway.QUICK else FULL))
    print("\n".join(lines[:-1]))
    states = int(lines[-1].split()[1])
    if not safe or states < ENOUGH:
        raise SystemExit("not proved" if not safe else f"only {states} states")
    if not slipway.QUICK:
        subprocess.run([sys.executable, slipway.PROJECT / "tests/boot/update_cuts.py"], check=True)
    print(lines[-1])


if __name__ == "__main__":
    main()
