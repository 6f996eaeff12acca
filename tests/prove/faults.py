#!/usr/bin/env python3
"""bad input, bad networks, full disks, kills: a clear message, nothing half-written, next build good"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import faults
import faults_input  # noqa: F401
import faults_machine  # noqa: F401


def main():
    for tool in ("gpg", "ostree", "strace", "unshare", "nsenter"):
        faults.program(tool)
    held, total = faults.run_all(sys.argv[1] if len(sys.argv) > 1 else "")
    print(f"faults: {held} of {total} held")
    raise SystemExit(0 if held == total > 0 else 1)


main()
