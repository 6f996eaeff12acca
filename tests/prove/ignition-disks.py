#!/usr/bin/env python3
"""the disk stages on real block devices: loop devices, and md and dm-crypt in User-mode Linux"""

import pathlib
import sys
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests" / "cli"), str(PROJECT / "tests" / "boot")]
import ignition_clevis
import ignition_disks
import ignition_stacked
import test_ignition_disks


def main():
    result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromModule(test_ignition_disks))
    if not result.wasSuccessful():
        raise SystemExit(1)
    ignition_disks.main()
    ignition_stacked.main()
    ignition_clevis.main()
    print(f"{result.testsRun + 3} scenarios on block devices")


if __name__ == "__main__":
    main()
