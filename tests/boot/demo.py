#!/usr/bin/env python3
"""./dev demo [IMAGE]: compose the example image, boot it with hello.ign.json, wait for its container."""

import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

MESSAGE = "Hello from a container on a verified, immutable host"


def compose():
    result = slipway.real_image(*sys.argv[1:2])
    seconds = result.answer["seconds"]
    print(f"composed in {result.seconds:.1f} s"
          + (" (nothing changed)" if result.answer["unchanged"] else ""))
    for step, value in seconds.items():
        if value >= 0.05:
            print(f"  {step:8s} {value:6.1f} s")
    return result.artifact(".raw")


def boot(disk, scratch):
    key, public = machine.ssh_key(scratch)
    config = machine.Ignition(slipway.PROJECT / "docs/examples/hello.ign.json")
    config.user("core", sshAuthorizedKeys=[public])
    echo = sys.stdout if sys.stdout.isatty() else None
    with machine.Registry(scratch) as registry:
        registry.push(machine.hello_image(scratch, MESSAGE), "hello:latest")
        with machine.Machine(disk, config.write(scratch / "demo.ign"), echo=echo) as vm:
            _, seconds = vm.wait_for(f"{MESSAGE}\\s")
            print(f"the container's output arrived {seconds:.1f} s after power-on")
            print(vm.ssh(key, "systemd-analyze; systemctl --failed --no-legend").strip())
            vm.poweroff(key)
            print(f"powered off after {vm.age():.1f} s")


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_DEMO_DISK"] = str(compose())
        sys.stdout.flush()
    machine.enter_namespace()
    scratch = slipway.scratch("slipway-demo-")
    try:
        boot(os.environ["SLIPWAY_DEMO_DISK"], scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
