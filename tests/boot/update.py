#!/usr/bin/env python3
"""Releases on one disk: what `prove fallback` and `prove update` show one by one. One that panics, from which the machine falls back by
itself; then the next real one, and back by hand. What is the machine's own stays."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

fallback, update = map(slipway.proof, ("fallback", "update"))
BROKEN = "panic"


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF"] = json.dumps(update.compose() | {"broken": fallback.compose([BROKEN])[BROKEN]})
    machine.enter_namespace()
    made = json.loads(os.environ["SLIPWAY_PROOF"])
    scratch = slipway.scratch()
    try:
        disk, broken = scratch / "disk.raw", fallback.VARIANTS[BROKEN]
        subprocess.run(["cp", "--sparse=always", made["disk"], disk], check=True)
        key, public = machine.ssh_key(scratch)
        with update.servers(made, scratch, public) as (web, ignition):
            with machine.Machine(disk, ignition, snapshot=False) as vm:
                first = update.Host(vm, key)
                update.settle(first)
                vm.poweroff(key)
            fallback.install(disk, broken, made["broken"])
            with machine.Machine(disk, snapshot=False) as vm:
                seconds = fallback.falls_back(vm, broken, made["broken"]["rootHash"], key)
                later = update.Host(vm, key)
                later.own(2)
                update.there_and_back(later, web, made["size"], 2)
                vm.poweroff(key)
        print(f"update: fell back by itself after {seconds:.0f} s; then {first.checks + later.checks} checks held from "
              "one release to the next and back")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
