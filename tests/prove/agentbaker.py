#!/usr/bin/env python3
"""an AKS node's customData, as AgentBaker makes it and as large as Azure takes it: every file and directory, once; a node's needs"""

import base64
import hashlib
import os
import pathlib
import re
import shlex
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import agentbaker
import azure
import machine
import slipway

DISK_LIMIT, RAM_LIMIT = 450, 220  # MiB
NAME, VM = "aks-proof-0", "0f8fad5b-d9cb-469f-a165-70867728950e"
# Of a unit that starts this early the journal may have the service manager's words without the unit's name.
RAN_ONCE = "journalctl -b -o cat -t systemd | grep -c '^Starting {}.service'"
PROGRAMS = ("containerd /usr/bin/runc ctr conntrack socat ethtool iptables ip6tables iptables-save nft ebtables jq curl tar awk oras "
            "mount.nfs mount.cifs apparmor_parser systemd-sysext nsenter modprobe ip findmnt").split()
WRITABLE = ("/opt /opt/azure /opt/azure/containers /opt/bin /opt/cni/bin /etc/kubernetes /etc/kubernetes/certs "
            "/etc/kubernetes/manifests /etc/kubernetes/volumeplugins /etc/systemd/system/kubelet.service.d /etc/default "
            "/etc/containerd/certs.d /etc/cni/net.d /etc/extensions /var/lib/kubelet /var/lib/cni /var/log/azure /var/log/pods "
            "/etc/sysctl.d /etc/udev/rules.d").split()
EXECUTABLE, NOT_EXECUTABLE = "/opt/bin /opt/azure/containers /opt/cni/bin /var/lib/kubelet", "/etc /var/lib /tmp /var/lib/containerd"
TRY = "for d in {}; do cp /usr/bin/true $d/try; $d/try 2>/dev/null && echo $d runs || echo $d refused; rm $d/try; done"
CONTAINER = "ctr -n k8s.io run --rm --apparmor-default-profile cri-containerd.apparmor.d localhost/hello:latest t{} /bin/busybox {}"
# Command, run as root → what it must print.
CHECKS = [
    ("systemctl is-system-running --wait", r"\Arunning$"),
    ("systemctl --failed --no-legend --plain", r"\A\s*\Z"),
    ("hostname; systemctl is-active slipway-azure", rf"\A{NAME}\nactive$"),
    ("id core", "sudo"),
    ("cat /sys/class/dmi/id/product_uuid", VM),
    ("cat /run/systemd/netif/leases/*", "^OPTION_245=a83f8110$"),
    ("ls /var/lib/slipway/azure", rf"^{VM}.provisioned$"),
    ("grep -c result=success /var/lib/hyperv/.kvp_pool_1", r"\A[12]\s*\Z"),
    *azure.DISK_CHECKS,
    # The payload: unpacked once, its commands run once, although /etc is noexec.
    (f"ls {agentbaker.TAR} 2>&1", "No such file"),
    ("systemctl is-active ignition-file-extract; systemctl show -P Result ignition-file-extract", r"\Aactive\nsuccess$"),
    (RAN_ONCE.format("ignition-file-extract"), r"\A1$"),
    (RAN_ONCE.format("ignition-bootcmds"), r"\A1$"),
    ("cat /opt/azure/bootcmds", r"\Aran$"),
    # Places.
    (f"for d in {' '.join(WRITABLE)}; do mkdir -p $d; touch $d/try && rm $d/try || echo $d; done; echo all",
     r"\Aall$"),
    (TRY.format(EXECUTABLE), r"\A(\S+ runs\n){4}\Z"),
    (TRY.format(NOT_EXECUTABLE), r"\A(\S+ refused\n){4}\Z"),
    ("for m in /opt /var/lib/kubelet; do findmnt -no OPTIONS $m | tail -n 1; done", r"\A(rw,nosuid,nodev,relatime\S*\n){2}\Z"),
    # What a merge of system extensions would take away.
    ("findmnt -rno TARGET | grep -c ^/opt/", r"\A0$"),
    # Network plugins: the image's, and what a pod copies over them.
    ("CNI_COMMAND=VERSION /opt/cni/bin/bridge </dev/null", '"supportedVersions"'),
    ("install /usr/bin/true /opt/cni/bin/ptp && /opt/cni/bin/ptp && sha256sum </opt/cni/bin/ptp && sha256sum </usr/bin/true",
     r"\A(\w{64})  -\n\1"),
    ("tar -C /usr/bin -cf - true | tar -C /opt/cni/bin -xf - && /opt/cni/bin/true && rm /opt/cni/bin/true; echo $?", r"\A0$"),
    # kubelet's unit, and what the drop-ins make of it. There is no kubelet yet.
    ("systemctl show -P Environment kubelet", ".*".join(["KUBELET"] * len(agentbaker.FLAGS))),
    ("systemctl start kubelet; systemctl is-active kubelet; systemctl show -P ConditionResult kubelet", r"\Ainactive\nno$"),
    *((f"command -v {program}", re.escape(program)) for program in PROGRAMS),
    # What the scripts do with them.
    ("bash /opt/azure/containers/kubelet.sh && bash /opt/azure/containers/ensure_imds_restriction.sh && iptables-save",
     r"(?=.*dst-range 168.63.129.16-168.63.129.16)(?=.*dports 80,32526).*169.254.169.254"),
    ("ebtables -t nat --list", "POSTROUTING"),
    ("conntrack -L 2>&1", "flow entries"),
    ("echo '{\"a\": [1, 2]}' | jq -c .a[1]; echo a b | awk '{ print $2 }'", r"\A2\nb$"),
    # Kernel; files that came late are read again, as AKS' scripts do.
    ("systemctl restart systemd-sysctl; sysctl -n net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables vm.overcommit_memory vm.panic_on_oom kernel.panic "
     "kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes net.core.somaxconn net.ipv4.tcp_retries2",
     r"\A1\n1\n1\n0\n10\n1\n1000000\n25000000\n16384\n8$"),
    ("stat -fc %T /sys/fs/cgroup", "cgroup2fs"),
    # The runtime: as configured by the payload, and confining.
    ("ctr plugins ls | awk '$2 ~ /^(cri|overlayfs)$/ { print $2, $NF }' | sort", r"\Acri ok\noverlayfs ok$"),
    ("stat -c %a /var/lib/containerd", r"\A700$"),
    ("ctr -n k8s.io images import --index-name localhost/hello:latest /tmp/hello.tar >/dev/null && "
     + CONTAINER.format(1, "cat /proc/self/attr/current"), r"\Acri-containerd\.apparmor\.d \(enforce\)$"),
    (CONTAINER.format(2, "mount -t tmpfs x /tmp") + " 2>&1", "denied|not permitted"),
    ("journalctl -q -k -b -o cat -g 'apparmor=\"DENIED\"' | grep -vc cri-containerd", r"\A0$"),
]
PORTS = "ss -Hltun | awk '{ print $1, $5 }' | sort -u"
OPEN = re.compile(r"^(tcp (\*|\[::\]|0\.0\.0\.0):22|udp \S+:(68|546))$")  # ssh; the DHCP client
LOCAL = re.compile(r"^\S+ (127\.|\[::1\])")


def compare_files(data, output):
    """Every file of the payload, its mode and its bytes."""
    found = dict(line.split(" ", 1) for line in output.splitlines())
    return [f"{path} is not as it was sent" for path, (content, mode) in data.files.items()
            if found.get(path) != f"{mode:o} {hashlib.sha256(content).hexdigest()}"]


def check(vm, key, data):
    """Problems."""
    files = " ".join(map(shlex.quote, data.files))
    describe = f"for f in {files}; do echo $f $(stat -c %a $f) $(sha256sum <$f | cut -d ' ' -f 1); done"
    commands = [PORTS, describe, *(command for command, _ in CHECKS)]
    ports, found, *outputs = vm.ask(key, [f"{{ {command}\n}} 2>/dev/null" for command in commands], shell="sudo bash")
    problems = [f"{command!r} must print {pattern!r}, not {output!r}" for (command, pattern), output in zip(CHECKS, outputs)
                if not re.search(pattern, output, re.S | re.M)]
    problems += compare_files(data, found)
    lines = ports.splitlines()
    problems += [f"listens: {line}" for line in lines if not OPEN.match(line) and not LOCAL.match(line)]
    if not any(":22" in line for line in lines):
        problems.append(f"ssh does not listen: {ports!r}")
    return problems


def node(scratch, disk, public, data):
    """The machine on Azure, which is young: its owner's key from IMDS, the payload on the CD."""
    text = data.ignition(pad=True)
    print(f"customData: {len(data.files)} files, {len(base64.b64encode(text.encode()))} characters", flush=True)
    path = scratch / "custom-data.json"
    path.write_text(text)
    return azure.Machine(disk, scratch, snapshot=True, custom_data=path, name=NAME, publicKeys=[public], vmId=VM,
                         faults=azure.YOUNG, qemu=azure.data_disks(scratch))


def archive(scratch):
    """An OCI archive of busybox."""
    layout = machine.hello_image(scratch, "hello")
    shutil.make_archive(str(scratch / "hello"), "tar", layout)
    return scratch / "hello.tar"


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        made = slipway.real_image("aks-node")
        allocated = made.artifact(".raw").stat().st_blocks * 512 / 2**20
        if allocated > DISK_LIMIT:
            raise SystemExit(f"agentbaker: the disk takes {allocated:.0f} MiB, more than {DISK_LIMIT}")
        os.environ |= {"SLIPWAY_PROOF_DISK": str(made.artifact(".vhd")), "SLIPWAY_PROOF_SIZE": f"{allocated:.0f}"}
    machine.enter_namespace(own_qemu=True)
    scratch = slipway.scratch()
    try:
        key, public = machine.ssh_key(scratch)
        data = agentbaker.node()
        with node(scratch, os.environ["SLIPWAY_PROOF_DISK"], public, data) as vm:
            _, ready = vm.wait_report()
            told = list(vm.check_order(azure.FIRST_BOOT, "xml"))
            # Before anything of ours lies in /tmp, which is memory.
            ram = int(vm.ssh(key, "free -m | awk '$1 == \"Mem:\" { print $3 }'"))
            vm.copy(key, [archive(scratch)], "/tmp/")
            problems = check(vm, key, data)
        problems += [otherwise for held, otherwise in told if not held]
        if ram > RAM_LIMIT:
            problems.append(f"{ram} MiB of memory are used, more than {RAM_LIMIT}")
        if problems:
            raise SystemExit("agentbaker:\n" + "\n".join(problems))
        print(f"agentbaker: {len(CHECKS) + len(told) + len(data.files)} checks held; {os.environ['SLIPWAY_PROOF_SIZE']} MiB of disk, "
              f"{ram} MiB of memory in use, ssh alone listens, Ready {ready:.1f} s after power-on")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
