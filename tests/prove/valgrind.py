#!/usr/bin/env python3
"""no test program touches memory that is not its own, or leaks any (valgrind)"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

# Programs that a test starts are watched by tests of their own.
VALGRIND = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--child-silent-after-fork=yes",
            f"--suppressions={slipway.PROJECT}/tests/data/valgrind.supp"]
SKIPPED = 77


def watch(program):
    done = subprocess.run([*VALGRIND, str(program)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=1800, cwd=slipway.PROJECT, check=False,
                          env={**os.environ, "SLIPWAY_VALGRIND": "1"})
    return program, done.returncode, done.stderr


def main():
    wanted = set(sys.argv[1:])
    programs = [p for p in sorted((slipway.PROGRAMS / "tests").glob("test-*")) if os.access(p, os.X_OK)
                and p.is_file() and (not wanted or p.name in wanted)]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for program, code, text in pool.map(watch, programs):
            print(f"{'ok' if code in (0, SKIPPED) else 'NO'}  {program.name}", flush=True)
            if code not in (0, SKIPPED):
                failed += 1
                print(text[-3000:], flush=True)
    print(f"valgrind: {len(programs) - failed} of {len(programs)} test programs clean")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
