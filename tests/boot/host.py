#!/usr/bin/env python3
"""The container host on one disk: what `prove ignition-boot refused`, `boot`, `fallback` and `update` show one by one. A configuration
that is refused, then a good one: the same disk comes up. A release that panics in its last try, from which the machine falls back by itself,
to find another configuration offered. Then the next real release, and the way back."""

import json
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

boot, ignition_boot, fallback, update = map(slipway.proof, ("boot", "ignition-boot", "fallback", "update"))
BROKEN = "panic"
LAST_TRY = "+1-2"  # systemd-boot's counter: one left, two done


def first_boot(disk, ignition, key):
    with machine.Machine(disk, ignition, snapshot=False) as vm:
        host = update.Host(vm, key)
        host.checks += boot.settle(vm, key)
        update.settle(host)
        host.say(*boot.SLOTS)
        vm.poweroff(key)
        return host.checks


def later_boots(disk, ignition, key, web, made):
    with machine.Machine(disk, ignition, snapshot=False) as vm:
        seconds = fallback.falls_back(vm, fallback.VARIANTS[BROKEN], made["broken"]["rootHash"], key)
        host = update.Host(vm, key)
        host.say(*boot.HOST, *boot.LATER)
        host.own(2)
        update.there_and_back(host, web, made["size"], 2)
        vm.poweroff(key)
        return host.checks, seconds


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF"] = json.dumps(update.compose() | {"broken": fallback.compose([BROKEN])[BROKEN]})
    machine.enter_namespace()
    made = json.loads(os.environ["SLIPWAY_PROOF"])
    scratch = slipway.scratch()
    try:
        bench = ignition_boot.Bench(made["disk"], scratch)
        disk, key = bench.disk("host"), bench.key
        ignition_boot.refuse_file(bench, disk)
        with update.servers(made, scratch, boot.MESSAGE) as (web, site):
            config = update.configure(boot.config(bench.public), site, made["key"])
            first = first_boot(disk, config.write(scratch / "host.ign"), key)
            fallback.install(disk, fallback.VARIANTS[BROKEN], made["broken"], LAST_TRY)
            later, seconds = later_boots(disk, boot.other(scratch), key, web, made)
        print(f"host: {bench.checks} checks of what is refused, {first} of the first boot; fell back by itself after {seconds:.0f} s; "
              f"{later} checks until the next release and the way back")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
