#!/usr/bin/env python3
"""How long the small kernel boots, beside Debian's cloud kernel: after ./dev kernel. Prints Markdown.

Two images that differ in nothing but their kernel boot by turns, each as a new machine that is provisioned and runs a
container, under the same QEMU. An argument says how often (5).
"""

import json
import os
import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

MESSAGE = "A container of the kernel bench"
IMAGE = "cloud-minimal"
KERNELS = {"Debian's cloud kernel": "kernel-cloud", "cloud-minimal": "kernel-custom"}
PARTS = ("firmware and loader", "kernel", "initrd", "host", "to the container's output")


def layers(kernel):
    wanted = json.loads((slipway.PROJECT / f"layers/images/{IMAGE}.json").read_text())["layers"]
    return [name for name in wanted if name != "kernel-custom"] + [kernel]


def compose():
    return {kernel: str(slipway.real_image(IMAGE, layers(layer)).artifact(".raw"))
            for kernel, layer in KERNELS.items()}


def seconds(text):
    """"1min 2.5s" of systemd-analyze."""
    return sum(float(number) * {"min": 60, "s": 1, "ms": 0.001}[unit]
               for number, unit in re.findall(r"([\d.]+)(min|ms|s)", text))


def boot(disk, config, key):
    """Seconds of each of PARTS, the last one from power-on."""
    with machine.Machine(disk, config) as vm:
        _, arrived = vm.wait_for(f"{MESSAGE}\\s")
        age, uptime = vm.clock(key)
        times = vm.ssh(key, "systemctl is-system-running --wait; systemd-analyze time")
        failed = vm.ssh(key, "systemctl --failed --no-legend --plain", check=False)
        if failed.strip():
            raise SystemExit(f"{disk}: {failed}")
        parts = {name: seconds(value) for value, name in
                 re.findall(r"((?:[\d.]+(?:min|ms|s) ?)+)\((kernel|initrd|userspace)\)", times)}
        vm.stop()
    return (age - uptime, parts["kernel"], parts["initrd"], parts["userspace"], arrived)


def measure(disks, rounds, scratch):
    key, public = machine.ssh_key(scratch)
    config = machine.Ignition(slipway.PROJECT / "docs/examples/hello.ign.json")
    config.user("core", sshAuthorizedKeys=[public])
    path = config.write(scratch / "bench.ign")
    times = {kernel: [] for kernel in disks}
    with machine.Registry(scratch) as registry:
        registry.push(machine.hello_image(scratch, MESSAGE), "hello:latest")
        for number in range(rounds):
            for kernel, disk in disks.items():
                times[kernel].append(boot(disk, path, key))
                print(f"round {number + 1}: {kernel}: {times[kernel][-1][-1]:.1f} s", file=sys.stderr)
    return {kernel: [slipway.median(column) for column in zip(*rows)]
            for kernel, rows in times.items()}


def print_table(medians, disks):
    first, second = medians
    print(f"| | {first} | {second} | ratio |\n|---|---:|---:|---:|")
    sizes = {kernel: next(pathlib.Path(disk).parent.glob("*.efi")).stat().st_size / 2**20
             for kernel, disk in disks.items()}
    print(f"| UKI, MiB | {sizes[first]:.1f} | {sizes[second]:.1f} | {sizes[second] / sizes[first]:.2f} |")
    for part, a, b in zip(PARTS, medians[first], medians[second]):
        print(f"| {part}, s | {a:.1f} | {b:.1f} | {b / a:.2f} |")


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_BENCH_DISKS"] = json.dumps(compose())
    machine.enter_namespace()
    disks = json.loads(os.environ["SLIPWAY_BENCH_DISKS"])
    scratch = slipway.scratch("slipway-kernel-boot-")
    try:
        print_table(measure(disks, int(sys.argv[1]) if len(sys.argv) > 1 else 5, scratch), disks)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
