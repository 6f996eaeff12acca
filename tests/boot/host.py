#!/usr/bin/env python3
"""The container host on one disk: what `prove ignition-boot refused` and `prove boot` show one by one. Two configurations that are
refused, then the corrected one: the same disk comes up, and again."""

import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

boot, ignition_boot = map(slipway.proof, ("boot", "ignition-boot"))


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF_DISK"] = str(slipway.real_image().artifact(".raw"))
    machine.enter_namespace()
    scratch = slipway.scratch()
    try:
        bench = ignition_boot.Bench(os.environ["SLIPWAY_PROOF_DISK"], scratch)
        disk = bench.disk("host")
        ignition_boot.refusals(bench, disk)
        print(f"host: {bench.checks} checks of what refused configurations say;", boot.prove(disk, scratch, bench.key, bench.public))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
