#!/usr/bin/env python3
"""Machines that lose their power while they are updated: a part of the proof `powercut`.

    update_cuts.py [POINTS]

One machine, whose QEMU is killed at points spread over an update: while it fetches (by the bytes that the site served), and
after that, while it verifies and finalizes (by time). After each it must boot the old release, or, if the cut came after the
last step, the new one; and the same update, done again and again, must get further each time, and in the end be complete."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "prove")]
import channel
import machine
import slipway
from update import config
from update_site import Nginx

LATE = (0.5, 2, 4)  # seconds after the last byte was served
VERSION = r'IMAGE_VERSION="?(1\.0\.\d)'


def served(web):
    return sum(int(line[2]) for line in web.requests() if "/images/" in line[3])


def boots(vm):
    match, _ = vm.wait_for(VERSION, vm.age() + machine.BOOT_DEADLINE)
    return match.group(1)


def cut_at(vm, key, web, until, late=None):
    """Starts the update and kills the machine when the site has served so many bytes, or so long after."""
    vm.ssh(key, "sudo systemd-run --quiet --unit=cut slipway-update apply")
    end = time.monotonic() + 600
    while served(web) < until and time.monotonic() < end:
        vm.pump(0.02)
    if late is not None:
        wait = time.monotonic() + late
        while time.monotonic() < wait:
            vm.pump(0.02)
    vm.process.kill()
    vm.wait_end()


def prove(disk, start, key, web, total, points):
    """Versions that the machine came up with, one for each cut."""
    plan = [(total * (i + 1) // (points + 1), None) for i in range(points - len(LATE))] + [(total, late) for late in LATE]
    seen, ignition = [], start
    for until, late in plan:
        with machine.Machine(disk, ignition, snapshot=False) as vm:
            seen.append(boots(vm))
            ignition = None
            if seen[-1] == channel.SECOND:
                break
            cut_at(vm, key, web, until, late)
            print(f"cut after {served(web) / 2**20:.1f} MiB{f' and {late} s' if late else ''}; it had booted {seen[-1]}", flush=True)
    return seen


def complete(disk, key):
    """What is there boots; the same update again is complete, and boots the new release."""
    with machine.Machine(disk, None, snapshot=False) as vm:
        if boots(vm) == channel.FIRST:
            vm.ssh(key, "sudo slipway-update apply", timeout=900)
            vm.forget()
            vm.ssh(key, "sudo systemctl reboot --no-block", check=False)
            vm.end_sharing()
            if boots(vm) != channel.SECOND:
                raise SystemExit("update_cuts: the old release after a complete update")
        vm.ssh(key, "systemctl is-system-running --wait", check=False)
        if "good" not in vm.ssh(key, "sudo slipway-update status"):
            raise SystemExit("update_cuts: the new release is not known to be good")
        vm.poweroff(key)


def main():
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        made = channel.Channel()
        for name in ("first", "updated"):
            made.publish(name, "--patch-level", "0")
        os.environ["SLIPWAY_PROOF"] = json.dumps({"disk": str(made.builds["first"].artifact(".raw")), "site": str(made.site),
                                                  "key": made.key})
    machine.enter_namespace()
    made = json.loads(os.environ["SLIPWAY_PROOF"])
    scratch = slipway.scratch()
    try:
        disk = scratch / "disk.raw"
        subprocess.run(["cp", "--sparse=always", made["disk"], disk], check=True)
        key, public = machine.ssh_key(scratch)
        with Nginx(made["site"], scratch / "nginx") as web:
            url = f"http://{machine.GUEST_SEES_HOST}:{web.port}"
            start = config(scratch, public, url, made["key"])
            with machine.Machine(disk, start, snapshot=False) as vm:
                boots(vm)
                total = json.loads(vm.ssh(key, "sudo slipway-update plan --json", timeout=600))["fetchBytes"]
                vm.poweroff(key)
            web.log.write_text("")
            seen = prove(disk, None, key, web, total, points)
            complete(disk, key)
        print(f"update_cuts: {len(seen)} cuts, after which {seen.count(channel.FIRST)} times the old release booted and "
              f"{seen.count(channel.SECOND)} times the new one; then the update was complete")
        if len(seen) < points and channel.SECOND not in seen:
            raise SystemExit(1)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
