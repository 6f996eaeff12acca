#!/usr/bin/env python3
"""no program, and no test program, touches memory that is not its own, or leaks any (valgrind)"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

MEMCHECK = [shutil.which("valgrind") or "valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
            "--child-silent-after-fork=yes", "--vgdb=no", f"--suppressions={slipway.PROJECT}/tests/data/valgrind.supp"]
# What tests of the command line run, and what is watched in its place.
PROGRAMS = {"composer/slipway": "composer/slipway", "ignition/ignition-validate": "tests/tools/ignition-validate-shared",
            "libexec/ignition": "libexec/ignition", "libexec/ignition-boot": "libexec/ignition-boot",
            "tests/tools/ignition-fetch": "tests/tools/ignition-fetch"}
# Its name decides what a program is, so it is run by the name that the script was run by.
WRAPPER = """\
#!/bin/sh
exec {memcheck} --log-file="$({mktemp} {logs}/{name}.XXXXXX)" {real}/"${{0##*/}}" "$@"
"""
NAMES = {"ignition": ["ignition", "ignition-apply", "ignition-rmcfg"]}
# What valgrind 3.19 does not know: openat2 (our programs do without where the kernel has none), CDROM_LAST_WRITTEN
# (libblkid), BLKPG.
UNKNOWN = re.compile(r"--\d+-- WARNING: unhandled amd64-linux syscall: 437\n(--\d+-- .*\n){4}|"
                     r"==\d+== Warning: noted but unhandled ioctl 0x(5395|1269) .*\n(==\d+==    .*\n){2}")
CLI = ["test_slipway.py", *sorted(p.name for p in (slipway.PROJECT / "tests" / "cli").glob("test_ignition_*.py"))]
SKIPPED = 77
FEWER = {"MUTATIONS": "25", "MERGES": "30"}  # random configurations of a test
SAID = 6000


def watch(program):
    """A unit test's program under valgrind. What it starts is watched by tests of its own."""
    done = subprocess.run([*MEMCHECK, str(program)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=1800, cwd=slipway.PROJECT, check=False,
                          env={**os.environ, "SLIPWAY_VALGRIND": "1"})
    return program.name, done.returncode in (0, SKIPPED), done.stderr[-SAID:], 1


def wrap(place):
    """A tree of programs like the build's."""
    logs, real = place / "logs", place / "real"
    real.mkdir(parents=True)
    logs.mkdir()
    logs.chmod(0o1777)
    for path, watched in PROGRAMS.items():
        script, program = place / "programs" / path, (slipway.PROGRAMS / watched).resolve(strict=True)
        for name in NAMES.get(script.name, [script.name]):
            shutil.copy2(program, real / name)
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(WRAPPER.format(memcheck=" ".join(MEMCHECK), mktemp=shutil.which("mktemp"), logs=logs,
                                         name=script.name, real=real))
        script.chmod(0o755)
    reference = slipway.PROGRAMS.resolve() / "tests" / "reference-ignition"
    reference.mkdir(parents=True, exist_ok=True)
    (place / "programs" / "tests" / "reference-ignition").symlink_to(reference)
    return place / "programs", logs


def findings(logs):
    """What valgrind said of all that ran, and how many programs did: an exit status may be what a test expects."""
    files = sorted(logs.iterdir())
    said = [(path.name, UNKNOWN.sub("", path.read_text(errors="replace"))) for path in files]
    return "".join(f"{name}: {text}" for name, text in said if text)[:SAID], len(files)


def watch_cli(name):
    """A test of the command line whose programs run under valgrind."""
    place = slipway.scratch()
    try:
        programs, logs = wrap(place)
        done = subprocess.run([sys.executable, str(slipway.PROJECT / "tests" / "cli" / name), "-v"], cwd=slipway.PROJECT,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3000, check=False,
                              env={**os.environ, **FEWER, "SLIPWAY_VALGRIND": "1", "SLIPWAY_PROGRAMS": str(programs)})
        found, runs = findings(logs)
        left_out = "".join(f"    without {line}\n" for line in re.findall(r"(?m)^.* skipped .*$", done.stderr))
        if done.returncode == SKIPPED:
            return name, True, done.stderr[-SAID:], runs
        good = done.returncode == 0 and not found and runs > 0
        return name, good, left_out + (found + done.stderr[-SAID:] if not good else ""), runs
    finally:
        shutil.rmtree(place, ignore_errors=True)


def jobs(wanted):
    programs = [p for p in sorted((slipway.PROGRAMS / "tests").glob("test-*")) if os.access(p, os.X_OK) and p.is_file()]
    found = [(watch_cli, name) for name in CLI if not wanted or name in wanted]
    return found + [(watch, p) for p in programs if not wanted or p.name in wanted]


def main():
    # Wanted here alone of a release's build.
    subprocess.run(["cmake", "--build", str(slipway.PROGRAMS), "--target", "unit-tests"], check=True, stdout=subprocess.DEVNULL)
    failed, count, runs = 0, 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, good, text, ran in pool.map(lambda job: job[0](job[1]), jobs(set(sys.argv[1:]))):
            print(f"{'ok' if good else 'NO'}  {name}: {ran} runs\n{text if not good or ran > 1 else ''}", end="", flush=True)
            failed, count, runs = failed + (not good), count + 1, runs + ran
    print(f"valgrind: {count - failed} of {count} test programs clean, {runs} runs watched")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
