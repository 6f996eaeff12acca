#!/usr/bin/env python3
"""a host with containers goes from one real release to the next, back by hand, and forward again; what is its own stays"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import channel
import machine
import slipway
from update_site import Nginx

MESSAGE = "A container of the proof of updates"
# Says on the console which release a boot came to.
WHERE = ("[Service]\nType=oneshot\nStandardOutput=tty\nTTYPath=/dev/console\n"
         "ExecStart=grep IMAGE_VERSION /usr/lib/os-release\n[Install]\nWantedBy=multi-user.target\n")
# A container that writes to a volume each time it starts.
KEEPER = ("[Unit]\nAfter=network-online.target multi-user.target\n[Container]\nImage=10.0.2.2:5000/hello:latest\nVolume=kept:/data\n"
          "Exec=/bin/busybox sh -c \"/bin/busybox echo once more >>/data/starts\"\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
          "[Install]\nWantedBy=multi-user.target\n")
# Emulated machines are slow.
HEALTH = {"checks": [{"name": "services", "units": ["systemd-journald.service", "dbus-broker.service"]}], "deadline": 300}
OWN = "# of this machine\n"


class Host:
    """The machine, and what it must say."""

    def __init__(self, vm, key):
        self.vm, self.key, self.checks = vm, key, 0

    def run(self, command, timeout=300):
        return self.vm.ssh(self.key, command, timeout=timeout)

    def json(self, command, timeout=300):
        return json.loads(self.run(command, timeout))

    def say(self, *rows):
        """Commands and patterns of what they must print."""
        self.vm.expect(self.key, rows)
        self.checks += len(rows)

    def is_(self, what, got, wanted):
        if got != wanted:
            raise SystemExit(f"update: {what} is {got!r}, not {wanted!r}")
        self.checks += 1

    def reaches(self, version, trial=True):
        """A boot of the release, all the way; one on trial is blessed."""
        self.vm.wait_for(f'IMAGE_VERSION="?{re.escape(version)}', self.vm.age() + machine.BOOT_DEADLINE)
        self.say(("systemctl is-system-running --wait; systemctl --failed --no-legend --plain", r"\Arunning\s*\Z"))
        if trial:
            self.say(("systemctl is-active slipway-bless", r"\Aactive$"))

    def reboot(self, version, trial=True):
        self.vm.forget()
        self.vm.ssh(self.key, "sudo systemctl reboot --no-block", check=False)
        self.vm.end_sharing()
        self.reaches(version, trial)

    def own(self, starts):
        """What belongs to the machine and not to a release."""
        self.say(("cat /etc/own.conf; tail -n 1 /etc/ssh/sshd_config", re.escape(OWN) + ".*" + re.escape(OWN.strip())),
                 ("sudo cat $(sudo podman volume inspect -f '{{.Mountpoint}}' kept)/starts", r"\A(once more\n){%d}\Z" % starts),
                 ("sudo podman images --format '{{.Repository}}'", "10.0.2.2:5000/hello"))


def configure(c, site, key):
    """What a machine must have for this proof, besides the example's configuration."""
    c.unit("where.service", WHERE)
    c.file("/etc/containers/systemd/keeper.container", KEEPER)
    c.file("/etc/slipway/update.json", json.dumps({"site": site, "channel": channel.CHANNEL}), overwrite=True)
    c.file("/etc/slipway/keys.d/site.ed25519", key)
    c.file("/etc/slipway/health.d/host.json", json.dumps(HEALTH))
    return c.file("/etc/own.conf", OWN)


def fetched(web):
    """Bytes and requests for images, since the last time."""
    lines = [line for line in web.requests() if "/images/" in line[3]]
    web.log.write_text("")
    return sum(int(line[2]) for line in lines), len(lines)


def upgrade(host, web, image_size):
    host.say(("systemctl is-active slipway-update.timer", r"\Aactive$"),
             ("sudo busctl call org.slipway.Update1 /org/slipway/Update1 org.slipway.Update1 Check", f"available.*{channel.SECOND}"),
             ("sudo busctl get-property org.slipway.Update1 /org/slipway/Update1 org.slipway.Update1 State", "idle"),
             ("busctl call org.slipway.Update1 /org/slipway/Update1 org.slipway.Update1 Check", "denied|not permitted|Access"),
             ("sudo slipway-update check", channel.SECOND))
    plan = host.json("sudo slipway-update plan --json", 600)
    fetched(web)
    host.run("sudo slipway-update apply", 1800)
    size, requests = fetched(web)
    host.say(("sudo slipway-update inspect cat lib/os-release", f'IMAGE_VERSION="?{channel.SECOND}'))
    host.is_("the other slot's state", sorted(s["version"] for s in host.json("sudo slipway-update status --json")["slots"]),
             [channel.FIRST, channel.SECOND])
    print(f"fetched {size / 2**20:.1f} MiB in {requests} requests, {100 * size / image_size:.1f} % of the image; planned: "
          f"{json.dumps(plan)[:600]}", flush=True)


def settle(host):
    """The first boot, after which the machine has something of its own."""
    host.reaches(channel.FIRST)
    host.run(f"echo '{OWN.strip()}' | sudo tee -a /etc/ssh/sshd_config")
    host.own(1)
    host.say(("sudo slipway-update rollback", "no release that could be booted"))


def there_and_back(host, web, image_size, boots):
    """boots: how many there were."""
    upgrade(host, web, image_size)
    host.reboot(channel.SECOND)
    host.own(boots + 1)
    host.say(("sudo slipway-update check", f"release {channel.SECOND} runs"))
    host.run("sudo slipway-update rollback")
    if not slipway.QUICK:
        host.reboot(channel.FIRST, trial=False)  # it was good before
        host.own(boots + 2)
        host.run("sudo slipway-update rollback")
        host.reboot(channel.SECOND)
        host.own(boots + 3)
    events = [(e["event"], e["version"]) for e in host.json("sudo slipway-update history --json")]
    for wanted in (("staged", channel.SECOND), ("booted", channel.SECOND), ("good", channel.SECOND), ("rolled-back", channel.SECOND)):
        host.is_(f"{wanted} in the history", wanted in events, True)


def compose():
    """Both releases, published: what a machine and its site are made of."""
    made = channel.Channel()
    for name in ("first", "updated"):
        # Without patches of kernel modules: an emulated processor would take ten minutes to apply them. `delta` has them.
        print(made.publish(name, "--patch-level", "0"), end="")
    return {"disk": str(made.builds["first"].artifact(".raw")), "site": str(made.site), "key": made.key,
            "size": made.builds["updated"].report()["usrSize"]}


@contextlib.contextmanager
def servers(made, scratch, message=MESSAGE):
    """The site, its address for guests, and a registry with a container that says so."""
    with machine.Registry(scratch) as registry, Nginx(made["site"], scratch / "nginx") as web:
        registry.push(machine.hello_image(scratch, message), "hello:latest")
        yield web, f"http://{machine.GUEST_SEES_HOST}:{web.port}"


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF"] = json.dumps(compose())
    machine.enter_namespace()
    made = json.loads(os.environ["SLIPWAY_PROOF"])
    scratch = slipway.scratch()
    try:
        disk = scratch / "disk.raw"
        subprocess.run(["cp", "--sparse=always", made["disk"], disk], check=True)
        key, public = machine.ssh_key(scratch)
        config = machine.Ignition(slipway.PROJECT / "docs/examples/hello.ign.json").user("core", sshAuthorizedKeys=[public])
        with servers(made, scratch) as (web, site):
            ignition = configure(config, site, made["key"]).write(scratch / "update.ign")
            with machine.Machine(disk, ignition, snapshot=False) as vm:
                host = Host(vm, key)
                settle(host)
                there_and_back(host, web, made["size"], 1)
                vm.poweroff(key)
        print(f"update: {host.checks} checks held from {channel.FIRST} to {channel.SECOND}"
              + ("" if slipway.QUICK else ", back, and forward again"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
