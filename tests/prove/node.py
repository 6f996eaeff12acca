#!/usr/bin/env python3
"""a node of a real cluster: joins by TLS bootstrap, kubelet from a signed system extension, runs a Deployment, is updated and drained"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import agentbaker
import azure
import cluster
import machine
import slipway
import trusted
from releases import run_slipway
from update_site import Nginx

NAME = "aks-proof-0"
FIRST, SECOND = "1.0.0", "1.0.1"
LEVEL = json.loads((slipway.PROJECT / "layers/images/aks-node.json").read_text())["sysextLevel"]
REGISTRY = f"{machine.GUEST_SEES_HOST}:5000"
EXTENSION = "oss/v2/kubernetes/kubelet-sysext"
MEMORY = 3072  # MiB
PATIENCE = 900
CA = "/etc/kubernetes/certs/ca.crt"
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": "systemd", "failSwapOn": True,
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": CA}},
    "authorization": {"mode": "Webhook"}, "clusterDNS": [f"{cluster.SERVICES}.10"], "clusterDomain": "cluster.local",
    "protectKernelDefaults": True, "readOnlyPort": 0, "rotateCertificates": True, "staticPodPath": "/etc/kubernetes/manifests",
    "resolvConf": "/run/systemd/resolve/resolv.conf"}
NETWORK = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "cbr0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "bandwidth", "capabilities": {"bandwidth": True}}]}
# What the scripts of AKS do once the machine has reported (an extension handler runs them there, this program here): fetch kubelet,
# merge it, start it.
PROVISION = f"""#!/bin/bash
set -eux
mkdir -p /opt/kubelet/downloads /etc/extensions /opt/bin
oras pull --plain-http --output /opt/kubelet/downloads {REGISTRY}/{EXTENSION}:TAG
ln -snf /opt/kubelet/downloads/kubelet.raw /etc/extensions/kubelet.raw
systemctl restart systemd-sysext.service
ln -snf /usr/bin/kubelet /opt/bin/
systemctl enable --now --no-block kubelet.service
"""
# Emulated machines are slow.
HEALTH = {"checks": [{"name": "services", "units": ["containerd.service", "kubelet.service"]}], "deadline": 900}
# The sandbox of each pod: the smallest program that waits.
PAUSE = "#include <signal.h>\n#include <unistd.h>\nint main(void) { signal(SIGTERM, _exit); for (;;) pause(); }\n"
# An init container leaves a program in a volume, and the container executes it there.
DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 1, "volumes": [{"name": "share", "emptyDir": {}}],
            "initContainers": [{"name": "copy", "image": f"{REGISTRY}/hello:latest", "volumeMounts": [{"name": "share", "mountPath": "/share"}],
                                "command": ["/bin/busybox", "cp", "/bin/busybox", "/share/busybox"]}],
            "containers": [{"name": "web", "image": f"{REGISTRY}/hello:latest", "volumeMounts": [{"name": "share", "mountPath": "/share"}],
                            "command": ["/share/busybox", "httpd", "-f", "-p", "80", "-h", "/share"],
                            "resources": {"limits": {"memory": "64Mi"}},
                            "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 2}}]}}}}


def push_artifact(directory, file, name, tag):
    """A file as an OCI artifact, as `oras push` makes it."""
    layout = directory / "artifact"
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, kind, **more):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data), **more}

    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [blob(file.read_bytes(), "application/vnd.oci.image.layer.v1.tar",
                        annotations={"org.opencontainers.image.title": "kubelet.raw"})]}).encode()
    base = f"http://127.0.0.1:5000/v2/{name}"
    for path in blobs.iterdir():
        with urllib.request.urlopen(urllib.request.Request(f"{base}/blobs/uploads/", method="POST", data=b"")) as answer:
            place = answer.headers["Location"]
        place += f"{'&' if '?' in place else '?'}digest=sha256:{path.name}"
        put = urllib.request.Request(place, method="PUT", data=path.read_bytes(),
                                     headers={"Content-Type": "application/octet-stream"})
        urllib.request.urlopen(put).close()
    put = urllib.request.Request(f"{base}/manifests/{tag}", method="PUT", data=manifest,
                                 headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
    urllib.request.urlopen(put).close()


def push_images(registry, scratch):
    """pause, and busybox."""
    registry.push(machine.hello_image(scratch, "hello"), "hello:latest")
    (scratch / "pause.c").write_text(PAUSE)
    subprocess.run(["gcc", "-Os", "-static", "-s", "-o", scratch / "pause", scratch / "pause.c"], check=True)
    registry.push(machine.oci_image(scratch / "pause-image", scratch / "pause", ["/bin/busybox"]), "pause:1")


# ---- before the namespace: releases, the site, the extension ----


def build_release(work, version, lock):
    """The node's image in this version, of the packages of the lock file, with the tests' keys."""
    place = slipway.reachable_copy(work / f"place-{version}")
    path = place / "layers/images/aks-node.json"
    manifest = json.loads(path.read_text()) | {"version": version, "outputs": ["raw"]}
    manifest["trust"]["rootHash"] = "signed"
    path.write_text(json.dumps(manifest))
    slipway.give_to_user(place / "layers/images")
    if lock:
        shutil.copy(lock, path.with_suffix(".lock.json"))
    else:
        run_slipway(place, "lock", "--cache", slipway.work_dir() / "cache", path)
    build = slipway.build(place, work / f"out-{version}", slipway.work_dir() / "cache", "--locked", "--keys", trusted.keys(),
                          manifest="aks-node")
    return place, build, path.with_suffix(".lock.json")


def make_extension(work, place, binaries):
    """kubelet as a system extension, signed by the tests' keys."""
    tree = work / "extension/tree/usr/bin"
    tree.mkdir(parents=True, exist_ok=True)
    shutil.copy(binaries / "kubelet", tree)
    version = (binaries.parent / "version").read_text().strip().lstrip("v")
    description = work / "extension/kubelet.json"
    description.write_text(json.dumps({"name": "kubelet", "version": version, "architecture": "amd64", "level": LEVEL, "source": "tree"}))
    output = work / "extension/out"
    slipway.give_to_user(output)
    run_slipway(place, "sysext", "--keys", trusted.keys(), "--output", output, description)
    return output / f"kubelet-{version}-amd64.raw"


def prepare(binaries):
    work = slipway.work_dir() / "node"
    slipway.give_to_user(work)
    shutil.rmtree(work / "site", ignore_errors=True)
    place, first, lock = build_release(work, FIRST, None)
    _, second, _ = build_release(work, SECOND, lock)
    if not (work / "release.secret").exists():
        run_slipway(place, "keygen", work / "release")
    for build in (first, second):
        print(run_slipway(place, "publish", build.output, "--site", work / "site", "--channel", "stable", "--patch-level", "0",
                          "--key", work / "release.secret", "--cache", slipway.work_dir() / "cache"), end="", flush=True)
    return {"disk": str(first.artifact(".raw")), "site": str(work / "site"), "key": (work / "release.ed25519").read_text(),
            "extension": str(make_extension(work, place, binaries)), "binaries": str(binaries)}


# ---- the node ----


def options(scratch, public, control, made, site):
    """The machine on Azure, with this customData; and kubelet's version."""
    version = (pathlib.Path(made["binaries"]).parent / "version").read_text().strip()
    data = agentbaker.node(ca=control.authority.text("ca.crt"), bootstrap=control.bootstrap(CA), kubelet_config=KUBELET,
                           labels="kubernetes.azure.com/agentpool=proof", pause=f"{REGISTRY}/pause:1")
    data.add(f"/etc/containerd/certs.d/{REGISTRY}/hosts.toml",
             f'server = "http://{REGISTRY}"\n[host."http://{REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n')
    data.add("/etc/cni/net.d/10-pods.conflist", json.dumps(NETWORK))
    data.add("/opt/azure/containers/provision_start.sh", PROVISION.replace("TAG", version), 0o744)
    data.add("/etc/slipway/update.json", json.dumps({"site": site, "channel": "stable", "reboot": "marker"}))
    data.add("/etc/slipway/keys.d/site.ed25519", made["key"])
    data.add("/etc/slipway/health.d/host.json", json.dumps(HEALTH))
    (scratch / "custom-data.json").write_text(data.ignition(pad=True))
    description = azure.describe(scratch, name=NAME, publicKeys=[public])
    return ["--memory", MEMORY, "--platform", "azure", "--azure", description, "--custom-data", scratch / "custom-data.json",
            "--record", scratch / "record.jsonl"], version


class Proof:
    """The machine and its cluster, and what must be."""

    def __init__(self, vm, key, control):
        self.vm, self.key, self.control, self.checks = vm, key, control, 0

    def wait(self, what, holds, patience=PATIENCE):
        """Seconds since power-on at which it came to hold."""
        end = self.vm.age() + patience
        while not holds():
            if self.vm.age() > end:
                self.explain(what)
            for _ in range(5):
                self.vm.pump(0.1)
        self.checks += 1
        return self.vm.age()

    def explain(self, what):
        guest = self.vm.ssh(self.key, "sudo journalctl -b --no-pager -o short-monotonic -u kubelet -u provision -u containerd "
                            "| tail -n 60; systemctl --failed --no-legend", check=False, timeout=300)
        raise SystemExit(f"node: {what} is not so after {self.vm.age():.0f} s\n{guest}\n"
                         f"{self.control.kubectl('get', 'pods,nodes,csr,events', '-A', check=False)}")

    def says(self, command, pattern):
        output = self.vm.ssh(self.key, command, check=False, timeout=300)
        if not re.search(pattern, output, re.S | re.M):
            raise SystemExit(f"node: {command!r} must print {pattern!r}, not {output!r}")
        self.checks += 1

    def is_(self, what, got, wanted):
        if got != wanted:
            raise SystemExit(f"node: {what} is {got!r}, not {wanted!r}")
        self.checks += 1

    # -- the life of a node --

    def reports(self, record):
        def holds():
            return [state for _, state, _ in azure.reports(azure.read_record(record))] == ["Ready"]
        return self.wait("Azure told that the machine is ready", holds)

    def joins(self, version):
        self.vm.ssh(self.key, "sudo bash /opt/azure/containers/provision_start.sh", timeout=PATIENCE)
        ready = self.wait("the node Ready", lambda: self.control.node_ready(NAME))
        requests = self.control.get("csr")["items"]
        self.is_("who asked for the certificate", {r["spec"]["username"] for r in requests},
                 {f"system:bootstrap:{cluster.TOKEN_ID}"})
        self.is_("the request", all(r["status"].get("certificate") for r in requests), True)
        info = self.control.get("node", NAME)["status"]["nodeInfo"]
        self.is_("kubelet", info["kubeletVersion"], version)
        self.says("systemctl show -P ActiveState kubelet; readlink -f /opt/bin/kubelet", r"\Aactive\n/usr/bin/kubelet$")
        self.says("systemd-sysext status", "kubelet")
        return ready

    def available(self):
        def holds():
            status = self.control.get("deployment", "web")["status"]
            return status.get("availableReplicas") == 1
        return self.wait("the Deployment available", holds)

    def confined(self):
        """The pod's program came from a volume, and runs under containerd's profile."""
        self.says("sudo cat /proc/$(pgrep -f '^/share/busybox httpd')/attr/current", r"cri-containerd\.apparmor\.d \(enforce\)")
        self.says("sudo iptables-save -t nat | grep -c 10.244", r"^[1-9]")
        address = self.control.get("pods", "-l", "app=web")["items"][0]["status"]["podIP"]
        self.says(f"curl -s -o /dev/null -w '%{{http_code}}' http://{address}/busybox", "200")
        self.says("ss -Hltn | awk '{ print $4 }' | grep -v 127.0.0 | sort -u", r"\A(\S*:(22|10250)\n?)+\Z")

    def updates(self):
        """What kured does when the marker appears: drain, reboot, uncordon. Seconds from the reboot to Ready."""
        self.says("ls /run/reboot-required 2>&1", "No such file")
        self.vm.ssh(self.key, "sudo slipway-update apply", timeout=PATIENCE)
        self.says("cat /var/run/reboot-required.pkgs", f"slipway-release-{SECOND}")
        self.control.kubectl("drain", NAME, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
        self.is_("pods that run on a drained node",
                 [p["metadata"]["name"] for p in self.control.get("pods")["items"] if p["spec"].get("nodeName")], [])
        boot = self.control.get("node", NAME)["status"]["nodeInfo"]["bootID"]
        self.vm.forget()
        began = self.vm.age()
        self.vm.ssh(self.key, "sudo systemctl reboot --no-block", check=False)
        self.vm.end_sharing()
        self.vm.wait_for("login:", self.vm.age() + machine.BOOT_DEADLINE)
        ready = self.wait("the node Ready again", lambda: self.control.node_ready(NAME) and boot != self.control.get(
            "node", NAME)["status"]["nodeInfo"]["bootID"])
        self.says("grep IMAGE_VERSION /usr/lib/os-release", f'"?{re.escape(SECOND)}"?$')
        self.says("systemctl is-system-running --wait; ls /run/reboot-required 2>&1; systemd-sysext status",
                  r"\Arunning\n.*No such file.*kubelet")
        self.says("systemctl is-active slipway-bless", r"\Aactive$")
        self.control.kubectl("uncordon", NAME)
        return ready - began


def prove(proof, version, record):
    reported = proof.reports(record)
    print(f"Azure was told Ready {reported:.1f} s after power-on", flush=True)
    ready = proof.joins(version)
    print(f"node Ready {ready:.1f} s after power-on", flush=True)
    proof.control.apply(DEPLOYMENT)
    running = proof.available()
    print(f"the Deployment is available {running - ready:.1f} s later", flush=True)
    proof.confined()
    if slipway.QUICK:
        return f"power-on → report {reported:.1f} s → node Ready {ready:.1f} s"
    again = proof.updates()
    proof.available()
    proof.confined()
    return f"power-on → report {reported:.1f} s → node Ready {ready:.1f} s; update's reboot → node Ready {again:.1f} s"


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        binaries = cluster.programs(only_cached=slipway.QUICK)
        if not binaries:
            print("node: NOT PROVEN: there is no kubelet and no API server, and they cannot be made here (see above)", file=sys.stderr)
            raise SystemExit(77)
        os.environ["SLIPWAY_PROOF"] = json.dumps(prepare(binaries))
    machine.enter_namespace()
    made = json.loads(os.environ["SLIPWAY_PROOF"])
    scratch = slipway.scratch()
    try:
        disk = scratch / "disk.raw"
        subprocess.run(["cp", "--sparse=always", made["disk"], disk], check=True)
        key, public = machine.ssh_key(scratch)
        with machine.Registry(scratch) as registry, Nginx(made["site"], scratch / "nginx") as web, \
             cluster.Cluster(scratch, made["binaries"]) as control:
            push_images(registry, scratch)
            site = f"http://{machine.GUEST_SEES_HOST}:{web.port}"
            how, version = options(scratch, public, control, made, site)
            push_artifact(scratch, pathlib.Path(made["extension"]), EXTENSION, version)
            with machine.Machine(disk, snapshot=False, options=how) as vm:
                proof = Proof(vm, key, control)
                figures = prove(proof, version, scratch / "record.jsonl")
        print(f"node: {proof.checks} checks held; {figures}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
