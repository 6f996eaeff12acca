#!/usr/bin/env python3
"""the files stage leaves what the original leaves: a case for every rule, and random configurations

The cases whose name holds the argument; SEED, COUNT: the random ones. WRAPPER: what ours runs under, as in
WRAPPER="valgrind -q --error-exitcode=9 --leak-check=full --suppressions=$PWD/tests/data/valgrind.supp"."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import files_cases
import files_stage


def main():
    place = files_stage.isolate()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    first = int(os.environ.get("SEED", "0"))
    cases = {**files_cases.CASES, **{f"random {seed}": files_cases.random_case(seed)
                                     for seed in range(first, first + int(os.environ.get("COUNT", "200")))}}
    cases = {name: case for name, case in cases.items() if wanted in name}
    held = sum(files_stage.hold(place, cases))
    print(f"ignition-files: {held} of {len(cases)} the same")
    raise SystemExit(0 if held == len(cases) > 0 else 1)


main()
