#!/usr/bin/env python3
"""mandatory access control: containers run confined by AppArmor without a denial; what they must not do is denied and logged"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import servers
import slipway

PROFILE = "slipway-container (enforce)"
RUN = "sudo podman run --rm"
MOUNT = "localhost/box busybox mount -t tmpfs x /tmp"
# What is right: containers as people run them, and the host. Command → what it must print.
RIGHT = [
    ("sudo grep slipway /sys/kernel/security/apparmor/profiles", re.escape(PROFILE)),
    (f"{RUN} localhost/box busybox wget -q -O - http://{machine.GUEST_SEES_HOST}:PORT/", "hello from the builder"),
    (f"{RUN} -v data:/data -v /var/lib/proof:/host localhost/box busybox sh -c "
     "'cp /bin/busybox /data/b; echo x >/host/x; ls /data /host'", "b.*x"),
    (f"{RUN} --init --read-only --cap-drop=all --user 1000 localhost/box busybox id -u", "^1000"),
    ("sudo podman run -d --name web -p 8080:80 --network=podman localhost/box busybox httpd -f -p 80 -h /bin", "[0-9a-f]{64}"),
    ("sudo podman exec web busybox sh -c 'sleep 99 & kill $!; busybox ps; cat /proc/1/attr/current'", re.escape(PROFILE)),
    ("sudo podman stop -t 5 web; sudo podman rm -f web", "web"),
    ("echo secret | su -c 'id -un' worker", "worker"),
    ("sudo slipway-update status", "slot A"),
    ("systemctl is-system-running --wait", r"\Arunning"),
]
# More of them, for whole proofs: each costs seconds.
if not slipway.QUICK:
    RIGHT += [
        (f"{RUN} --network=none localhost/box busybox cat /proc/self/attr/current", re.escape(PROFILE)),
        (f"{RUN} --sysctl kernel.shmmax=65536 --tmpfs /t localhost/box busybox sh -c 'echo a >/t/a; cat /proc/sys/kernel/shmmax'",
         "^65536"),
        (f"{RUN} --pid=host --network=none localhost/box busybox ps", "systemd"),
    ]
# What is wrong, and denied by AppArmor alone: everything else allows it.
WRONG = [
    (f"{RUN} --network=none --cap-add=SYS_ADMIN {MOUNT} 2>&1", "Permission denied"),
    (f"{RUN} --network=none --pid=host --cap-add=SYS_PTRACE localhost/box busybox readlink /proc/1/exe; echo exit $?", "exit 1"),
    (f"{RUN} --network=none --pid=host --cap-add=KILL localhost/box busybox kill -0 1 2>&1", "Permission denied|not permitted"),
]
UNCONFINED = (f"{RUN} --network=none --cap-add=SYS_ADMIN --security-opt apparmor=unconfined {MOUNT} && echo mounted", "mounted")
# Without its profile no container starts.
NO_PROFILE = ("echo 'profile slipway-container { }' | sudo apparmor_parser --config-file=/dev/null -R && "
              f"{RUN} --network=none localhost/box busybox true 2>&1", "slipway-container.*not loaded")


# What was denied so far.
DENIALS = ("sudo journalctl --sync; sudo journalctl -k -b -o cat --no-pager -g 'apparmor=\"DENIED\"'", "")


def check(vm, key, scratch, port):
    """How many things were checked."""
    vm.copy(key, [shutil.which("busybox")], "/tmp/")
    vm.ssh(key, "mkdir -p /tmp/u/bin /tmp/u/tmp; cp /tmp/busybox /tmp/u/bin; cd /tmp/u/bin; for n in sh cat cp ls kill sleep; do "
                "ln -s busybox $n; done; sudo mkdir -p /var/lib/proof; tar -C /tmp/u -c . | sudo podman import -q - localhost/box")
    rows = [*((command.replace("PORT", str(port)), pattern) for command, pattern in RIGHT), DENIALS]
    rows += [row for wrong in WRONG for row in (wrong, DENIALS)]
    rows += [UNCONFINED, NO_PROFILE]
    answers, problems = vm.wrong(key, rows)
    denials = [[line for line in answer.splitlines() if 'apparmor="DENIED"' in line]
               for row, answer in zip(rows, answers) if row == DENIALS]
    if denials[0]:
        problems += ["denied, and should not be:", *denials[0]]
    problems += [f"{command!r} was not denied by AppArmor" for n, (command, _) in enumerate(WRONG)
                 if len(denials[n + 1]) <= len(denials[n])]
    if problems:
        raise SystemExit("mac:\n" + "\n".join(problems))
    return len(RIGHT) + len(WRONG) + 2


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF_DISK"] = str(slipway.real_image().artifact(".raw"))
    machine.enter_namespace()
    scratch = slipway.scratch()
    try:
        key, public = machine.ssh_key(scratch)
        hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", "slipway", "secret"], check=True, capture_output=True,
                                text=True).stdout.strip()
        config = machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"])
        config = config.user("worker", passwordHash=hashed).write(scratch / "proof.ign")
        with servers.Web({"/": b"hello from the builder\n"}) as web, \
             machine.Machine(os.environ["SLIPWAY_PROOF_DISK"], config) as vm:
            vm.wait_for("login:")
            count = check(vm, key, scratch, web.port)
        print(f"mac: {count} checks held: containers confined by {PROFILE.split()[0]}, no denial until {len(WRONG)} "
              "intended ones, none started without the profile")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
