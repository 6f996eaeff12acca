#!/usr/bin/env python3
"""Figures of the first-boot agent beside those of the original: a table in Markdown on stdout.

50 files, 20 units, 10 users. Times and peak memory are medians of RUNS runs, the two in turn. The files stage runs on a
file system in memory, and on a fresh ext4 in an image file below TMPDIR where loop devices work. The tool that both call
for labels does nothing, and is as small as a program can be."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import files_cases
import files_roots
import files_stage
import reference
import slipway

TOOLS = slipway.PROGRAMS / "tests" / "tools"
MEASURE = TOOLS / "measure"
RUNS = int(os.environ.get("RUNS", "15"))


def configuration():
    files = [files_cases.a_file(f"/opt/example/{i}/file", mode=0o644) for i in range(50)]
    units = [{"name": f"example-{i}.service", "enabled": True, "contents": files_roots.UNIT} for i in range(20)]
    users = [{"name": f"user{i}", "passwordHash": "$y$j9T$a$b", "groups": ["wheel"],
              "sshAuthorizedKeys": [files_cases.KEY]} for i in range(10)]
    return files_cases.config(files=files, units=units, users=users)


def measured(argv, environment=None, cwd=None):
    """Milliseconds, peak KiB, and milliseconds of the processor, of one run."""
    done = subprocess.run([str(a) for a in (MEASURE, *argv)], env=environment, cwd=cwd, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{argv}: exit {done.returncode}")
    us, kib, used_us = done.stdout.split()
    return int(us) / 1000, int(kib), int(used_us) / 1000


def medians(runs):
    return [slipway.median([run[i] for run in runs]) for i in range(3)]


def compare(once):
    """(theirs, ours): medians of what once(0) and once(1) measure, in turn."""
    runs = ([], [])
    for _ in range(RUNS):
        for side in (0, 1):
            runs[side].append(once(side))
    return [medians(r) for r in runs]


@contextlib.contextmanager
def a_disk(mountpoint):
    """A fresh ext4 in an image file. Yields where it is mounted; None: there are no loop devices."""
    with tempfile.NamedTemporaryFile(suffix=".ext4") as image:
        image.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", image.name], check=True)
        mountpoint.mkdir()
        if subprocess.run(["mount", "-o", "loop", image.name, str(mountpoint)], stderr=subprocess.DEVNULL).returncode:
            yield None
            return
        try:
            yield mountpoint
        finally:
            subprocess.run(["umount", str(mountpoint)], check=True)


def files_stage_once(pair, config, place):
    """One files stage on a fresh root, which is on the disk before; fetching is not counted."""
    def once(side):
        program = (pair.theirs, pair.ours)[side]
        fetched = program.fetch(config)
        if fetched.code:
            raise SystemExit(fetched.text)
        top = files_roots.build("debian", place / "root")
        files_stage.mounted(top, "mount")
        subprocess.run(["sync", "-f", str(top)], check=True)
        try:
            return measured(program.argv("files", top), program.environment, program.place)
        finally:
            files_stage.mounted(top, "umount")
            files_roots.remove(top)
    return once


def stripped_kib(program):
    with tempfile.TemporaryDirectory() as place:
        copy = pathlib.Path(place) / "stripped"
        shutil.copy2(program, copy)
        subprocess.run(["strip", str(copy)], check=True)
        return copy.stat().st_size / 1024


def row(what, theirs, ours, unit, digits=1):
    print(f"| {what} | {theirs:.{digits}f} {unit} | {ours:.{digits}f} {unit} | {theirs / ours:.1f} |", flush=True)


def files_stage_rows(where, pair, config, place):
    theirs, ours = compare(files_stage_once(pair, config, place))
    row(f"files stage on {where}, time", theirs[0], ours[0], "ms")
    row(f"files stage on {where}, processor", theirs[2], ours[2], "ms")
    return theirs, ours


def main():
    place = files_stage.isolate()
    pair = files_stage.Pair(place)
    for program in (pair.theirs, pair.ours):
        shutil.copy2(TOOLS / "drain", program.place / "setfiles")
    config = configuration()
    pair.ours.fetch(config)
    text = pair.ours.place / "config.ign"
    validators = (reference.program("ignition-validate"), slipway.PROGRAMS / "ignition" / "ignition-validate")
    agents = (pair.theirs.path, pair.ours.path)
    nothing = medians([measured(["/bin/true"]) for _ in range(RUNS)])[0]
    print(f"A process that does nothing (`/bin/true`): {nothing:.2f} ms\n")
    print("| | original 2.14 | ours | ratio |\n|---|--:|--:|--:|")
    theirs, ours = compare(lambda side: measured([validators[side], text]))
    row("validate, time", theirs[0], ours[0], "ms", 2)
    row("validate, processor", theirs[2], ours[2], "ms", 2)
    row("validate, peak memory", theirs[1] / 1024, ours[1] / 1024, "MiB")
    theirs, ours = files_stage_rows("tmpfs", pair, config, place)
    row("files stage, peak memory", theirs[1] / 1024, ours[1] / 1024, "MiB")
    with a_disk(place / "disk") as disk:
        if disk:
            files_stage_rows("ext4", pair, config, disk)
    theirs, ours = compare(lambda side: measured([agents[side], "--version"]))
    row("start (`--version`), time", theirs[0], ours[0], "ms", 2)
    row("start, processor", theirs[2], ours[2], "ms", 2)
    row("start, peak memory", theirs[1] / 1024, ours[1] / 1024, "MiB")
    row("agent, stripped", *(stripped_kib(agent) for agent in agents), "KiB", 0)


main()
