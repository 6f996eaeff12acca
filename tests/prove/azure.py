#!/usr/bin/env python3
"""a VHD becomes a machine on Azure, Ready in order and once; custom data at its limit, data disks, captured images"""

import base64
import gzip
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import azure
import machine
import slipway

CUSTOM_DATA = 65535  # bytes; 87,380 characters of base64, which is what Azure takes
CPU_MAX_S = 1.5
VM, OTHER_VM = "0f8fad5b-d9cb-469f-a165-70867728950e", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
PAYLOAD, FILLER = "/var/lib/proof/payload", "/var/lib/proof/filler"
STAGES = ("fetch", "files")  # the others have nothing to do


# ---- configurations ----

def configuration(public):
    """A user of the configuration's own, who may ask for everything."""
    c = machine.Ignition().user("core", sshAuthorizedKeys=[public])
    return c.file("/etc/sudoers.d/proof", "core ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)


def at_the_limit(scratch, public):
    """Custom data of as many bytes as there may be: as AgentBaker's, most of it is one compressed file. The file's digest
    comes with it."""
    content = random.Random(7).randbytes(40000)
    c = configuration(public)
    c.config["storage"]["files"].append({
        "path": PAYLOAD, "mode": 0o600, "contents": {
            "compression": "gzip", "source": "data:;base64," + base64.b64encode(gzip.compress(content, mtime=0)).decode()}})
    filler = {"path": FILLER, "contents": {"source": "data:,"}}
    c.config["storage"]["files"].append(filler)
    left = CUSTOM_DATA - len(json.dumps(c.config))
    filler["contents"]["source"] += "x" * left
    path = scratch / "custom.ign"
    path.write_text(json.dumps(c.config))
    if path.stat().st_size != CUSTOM_DATA or len(base64.b64encode(path.read_bytes())) != 87380:
        raise SystemExit("azure: the custom data is not at its limit")
    return path, hashlib.sha256(content).hexdigest(), left


# ---- what must hold ----

class Checks:
    def __init__(self, vm, key):
        self.vm, self.key, self.count = vm, key, 0

    def say(self, *rows, user="core"):
        """Commands and patterns of what they must print; the answers."""
        answers = self.vm.expect(self.key, rows, user=user)
        self.count += len(rows)
        return answers

    def holds(self, condition, otherwise):
        if not condition:
            raise SystemExit(f"azure: {otherwise}")
        self.count += 1
        return True


def check_order(c, vm, wanted, protocol):
    for held, otherwise in vm.check_order(wanted, protocol):
        c.holds(held, otherwise)


def check_machine(c, name, vm_id):
    c.say(("hostname", rf"\A{name}\s*\Z"),
          ("sudo systemctl start slipway-azure; systemctl is-active slipway-azure", r"\Aactive\s*\Z"),
          ("systemctl --failed --no-legend --plain", r"\A\Z"),
          ("cat /run/systemd/netif/leases/*", "^OPTION_245=a83f8110$"),
          ("sudo cat /sys/class/dmi/id/product_uuid", vm_id),
          ("sudo ls /var/lib/slipway/azure", rf"^{vm_id}.provisioned$"),
          ("sudo grep -c 'result=success' /var/lib/hyperv/.kvp_pool_1", r"\A[12]\s*\Z"))
    c.say(("id", r"\(azureuser\).*sudo"), user="azureuser")


def processor_time(c):
    """Seconds of the processor that provisioning used, by who used them: every stage of the first-boot agent, and the agent of the
    host."""
    report = json.loads(c.vm.ssh(c.key, "sudo cat /run/ignition/report.json"))
    used = {f"ignition {stage['name']}": stage["processorMilliseconds"] / 1e3 for stage in report["stages"]}
    c.holds(set(STAGES) <= {name.removeprefix("ignition ") for name in used}, f"stages that nothing is said of; only {sorted(used)}")
    agent, = c.say(("systemctl show -P CPUUsageNSec slipway-azure", r"\A[0-9]+\s*\Z"))
    used["slipway-azure"] = int(agent) / 1e9
    return used


# ---- machines ----

class Proof:
    def __init__(self, disk, scratch):
        self.scratch, self.count = scratch, 0
        self.key, self.public = machine.ssh_key(scratch)
        self.disk = scratch / "disk.vhd"
        subprocess.run(["cp", "--sparse=always", disk, self.disk], check=True)

    def machine(self, disk=None, **more):
        known = {"name": "node1", "adminUsername": "azureuser", "publicKeys": [self.public], "vmId": VM}
        return azure.Machine(disk or self.disk, self.scratch, **(known | more))

    def first(self):
        """No user data, custom data at its limit on the CD, a metadata service that is young."""
        custom, digest, left = at_the_limit(self.scratch, self.public)
        with self.machine(custom_data=custom, faults=azure.YOUNG, qemu=azure.data_disks(self.scratch)) as vm:
            _, ready = vm.wait_report()
            vm.wait_for("login:")
            c = Checks(vm, self.key)
            check_order(c, vm, azure.FIRST_BOOT, "xml")
            check_machine(c, "node1", VM)
            c.say((f"sudo sha256sum {PAYLOAD}", digest), (f"sudo stat -c %s {FILLER}", rf"\A{left}\s*\Z"), *azure.DISK_CHECKS)
            used, machine_id = processor_time(c), vm.ssh(self.key, "cat /etc/machine-id")
            vm.poweroff(self.key)
            self.count += c.count
        return ready, used, machine_id

    def again(self):
        """The same machine: nobody is asked for anything."""
        with self.machine(custom_data=self.scratch / "custom.ign") as vm:
            vm.wait_for("node1 login:")
            c = Checks(vm, self.key)
            c.say(("sudo systemctl start slipway-azure; systemctl is-active slipway-azure", r"\Aactive\s*\Z"))
            c.holds(not vm.lines("imds", "wire"), f"a machine that is provisioned asked {vm.lines('imds', 'wire')}")
            vm.poweroff(self.key)
            self.count += c.count

    def captured(self, machine_id):
        """A machine made of the first one's disk is another one, from the beginning: this time with user data, a disc of the
        other kind, and a WireServer that only knows the report in JSON."""
        config = configuration(self.public).file("/etc/second", "life").write(self.scratch / "user.ign")
        faults = [{"at": "wire /?comp=versions", "status": 404}]
        with self.machine(vmId=OTHER_VM, name="node2", disc="iso9660", user_data=config, faults=faults) as vm:
            vm.wait_report()
            vm.wait_for("login:")  # whoever was quicker: the name comes from the agent of the host
            c = Checks(vm, self.key)
            check_order(c, vm, ["userData", "/metadata/instance?", "health"], "json")
            check_machine(c, "node2", OTHER_VM)
            c.say(("cat /etc/second", r"\Alife\s*\Z"), ("sudo ls /var/lib/slipway/azure", f"{VM}.provisioned"))
            c.holds(vm.ssh(self.key, "cat /etc/machine-id") != machine_id, "the captured machine's id lives on")
            vm.poweroff(self.key)
            self.count += c.count


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF_DISK"] = str(azure.image())
    machine.enter_namespace()
    scratch = slipway.scratch()
    try:
        proof = Proof(os.environ["SLIPWAY_PROOF_DISK"], scratch)
        ready, used, machine_id = proof.first()
        if not slipway.QUICK:
            proof.again()
            proof.captured(machine_id)
        for who, seconds in used.items():
            print(f"{who:24s} {seconds:5.2f} s of CPU")
        total = sum(used.values())
        if total > CPU_MAX_S and not slipway.QUICK:  # a test does not fail because the machine is slow
            raise SystemExit(f"azure: {proof.count} checks held; Ready {ready:.1f} s after power-on; but provisioning used {total:.2f} s "
                             f"of CPU, more than {CPU_MAX_S}")
        print(f"azure: {proof.count} checks held; Ready {ready:.1f} s after power-on, {total:.2f} s of CPU")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
