#!/usr/bin/env python3
"""an image with only the kernel modules that its layers name is smaller, and still runs containers"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

MESSAGE = "A container of the closure proof"
IMAGE = "container-host"
# Loaded when somebody asks for them: by name, by alias, or because a device is there.
ASKED = ("xfs", "btrfs", "fs-vfat", "wireguard", "rtnl-link-vxlan", "ip_vs_rr", "crypto-xts", "raid456",
         "nft-expr-2-fib", "nft-chain-2-nat", "tcp_bbr", "ena", "mana", "gve")
# On no host of containers in a cloud.
GONE = ("bcachefs", "comedi", "hid_wiimote", "ceph", "orangefs")


def layers():
    return [*json.loads(slipway.IMAGE.read_text())["layers"], "kernel-closure"]


def usr_size(result):
    return result.report()["usrSize"]


def modules(place):
    """What `slipway kernel modules` says of the image with all modules."""
    argv = [place / "bin/slipway", "kernel", "modules", place / f"layers/images/{IMAGE}.json", "--json",
            "--cache", slipway.work_dir() / "cache", "--libexec", place / "libexec"]
    done = subprocess.run(slipway.as_user(argv), check=True, capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    return json.loads(done.stdout)


def compose():
    """The disk of the image with the closure, and the figure."""
    everything, closure = slipway.real_image(), slipway.real_image(IMAGE, layers())
    answer = modules(slipway.work_dir() / "place")
    saved = usr_size(everything) - usr_size(closure)
    dropped = answer["droppable"]
    if saved < dropped["bytes"] // 2:
        raise SystemExit(f"kernel-closure: /usr is {saved} bytes smaller, for {dropped} that are not there")
    return str(closure.artifact(".raw")), (
        f"{dropped['files']} of {dropped['files'] + answer['needed']['files']} modules dropped, "
        f"{dropped['bytes']} bytes; /usr {saved} bytes smaller ({100 * saved / usr_size(everything):.1f} %)")


def check(vm, key):
    failed = vm.ssh(key, "systemctl is-system-running --wait; systemctl --failed --no-legend --plain", check=False)
    if failed.strip() != "running":
        raise SystemExit(f"kernel-closure: {failed}")
    vm.ssh(key, "for m in " + " ".join(f"'{m}'" for m in ASKED) + "; do sudo modprobe $m || exit 1; done")
    for name in GONE:
        vm.ssh(key, f"! sudo modprobe {name} 2>/dev/null")
    vm.ssh(key, "! sudo dmesg | grep -i -e 'unknown symbol' -e 'module .* not found'")


def boot(disk, scratch):
    key, public = machine.ssh_key(scratch)
    config = machine.Ignition(slipway.PROJECT / "docs/examples/hello.ign.json")
    config.user("core", sshAuthorizedKeys=[public])
    with machine.Registry(scratch) as registry:
        registry.push(machine.hello_image(scratch, MESSAGE), "hello:latest")
        with machine.Machine(disk, config.write(scratch / "closure.ign")) as vm:
            vm.wait_for(f"{MESSAGE}\\s")
            check(vm, key)
            vm.poweroff(key)


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_CLOSURE"] = json.dumps(compose())
    disk, figure = json.loads(os.environ["SLIPWAY_CLOSURE"])
    if not slipway.QUICK:
        machine.enter_namespace()
        scratch = slipway.scratch("slipway-closure-")
        try:
            boot(disk, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    print(figure if slipway.QUICK else f"{figure}; boots and runs a container")


if __name__ == "__main__":
    main()
