"""What AgentBaker gives a new AKS node as customData: an Ignition 3.4.0 configuration with ONE file, a tar of everything, and two
units that unpack it and run the boot commands.

    data = agentbaker.CustomData()
    data.add("/etc/kubernetes/certs/ca.crt", text)
    data.ignition(pad=True)                         # JSON, padded to the limit of Azure

The shape is the one that nodes of AKS really get (docs/kubernetes.md); contents are made up. Python 3 standard library.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile

# Azure's limit of customData, in base64.
CUSTOM_DATA_MAX = 87380
TAR = "/var/lib/ignition/ignition-files.tar"
BOOTCMDS = "/etc/ignition-bootcmds.sh"
UNITS = {
    "ignition-bootcmds.service": f"""[Unit]
Description=Ignition Early Boot Commands
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target
ConditionPathExists={BOOTCMDS}

[Service]
Type=oneshot
ExecStart=-{BOOTCMDS}

[Install]
WantedBy=sysinit.target
""",
    "ignition-file-extract.service": f"""[Unit]
Description=Extract Ignition file payload
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target ignition-bootcmds.service
ConditionPathExists={TAR}

[Service]
Type=oneshot
ExecStart=tar -xvf {TAR} -C /
ExecStart=rm -f {TAR}
ExecStart=systemctl daemon-reload
RemainAfterExit=yes

[Install]
WantedBy=sysinit.target
""",
}
# What drop-ins of kubelet.service set, by their names; docs/kubernetes.md says who reads it.
FLAGS = {
    "10-containerd-base-flag": ("KUBELET_CONTAINERD_FLAGS", "--container-runtime=remote --runtime-request-timeout=15m "
                                "--container-runtime-endpoint=unix:///run/containerd/containerd.sock"),
    "10-cgroupv2": ("KUBELET_CGROUP_FLAGS", "--cgroup-driver=systemd"),
    "10-componentconfig": ("KUBELET_CONFIG_FILE_FLAGS", "--config /etc/default/kubeletconfig.json"),
    "10-tlsbootstrap": ("KUBELET_TLS_BOOTSTRAP_FLAGS", "--kubeconfig /var/lib/kubelet/kubeconfig "
                        "--bootstrap-kubeconfig /var/lib/kubelet/bootstrap-kubeconfig"),
}
# kubelet.sh and the restriction of IMDS, as AKS has them: what iptables must be able to do.
KUBELET_SH = """#!/bin/bash
iptables -w -t nat -A POSTROUTING -m iprange ! --dst-range 168.63.129.16 -m addrtype ! --dst-type local ! -d 10.0.0.0/8 -j MASQUERADE
"""
IMDS_RESTRICTION = """#!/bin/bash
iptables -w -t filter -I FORWARD -d 168.63.129.16 -p tcp -m multiport --dports 80,32526 -j DROP
iptables -w -t mangle -A FORWARD ! -s 10.0.0.4/32 -d 169.254.169.254/32 -p tcp --dport 80 \\
    -m comment --comment "AKS managed: added by AgentBaker ensureIMDSRestriction" -j DROP
"""
RUNTIME = """version = 2
oom_score = -999
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "/usr/bin/runc"
        SystemdCgroup = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
"""


class CustomData:
    """Files by path, each with its mode."""

    def __init__(self):
        self.files = {}

    def add(self, path, text, mode=0o644):
        self.files[path] = (text if isinstance(text, bytes) else text.encode(), mode)
        return self

    def tar(self):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            for path, (data, mode) in self.files.items():
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode = len(data), mode
                archive.addfile(entry, io.BytesIO(data))
        return raw.getvalue()

    def _json(self):
        source = "data:;base64," + base64.b64encode(gzip.compress(self.tar(), mtime=0)).decode()
        return json.dumps({
            "ignition": {"version": "3.4.0"},
            "storage": {
                "files": [{"path": TAR, "mode": 0o600, "contents": {"compression": "gzip", "source": source}}],
                "links": [{"path": f"/etc/systemd/system/sysinit.target.wants/{name}", "overwrite": True,
                           "target": f"/etc/systemd/system/{name}"} for name in UNITS]},
            "systemd": {"units": [{"name": name, "enabled": True, "contents": text} for name, text in UNITS.items()]}})

    def ignition(self, pad=False):
        """The configuration. pad: a file of noise, and spaces for what is left, make its base64 as long as may be."""
        room = CUSTOM_DATA_MAX // 4 * 3
        if pad:
            self.add("/opt/azure/padding", b"", 0o600)
            # What one byte of noise costs is 4/3; a tar's blocks and gzip's take the rest.
            size = (room - len(self._json())) * 3 // 4
            while size > 0:
                noise = hashlib.shake_128(b"padding").digest(size)
                self.add("/opt/azure/padding", noise, 0o600)
                if len(self._json()) <= room:
                    break
                size -= 64
        text = self._json()
        text += " " * (room - len(text)) if pad else ""
        assert len(base64.b64encode(text.encode())) <= CUSTOM_DATA_MAX, "more than Azure takes"
        return text


def node(ca="made up\n", bootstrap="made up\n", kubelet_config=None, labels="", flags="", pause="localhost/pause:1"):
    """The files of every node."""
    data = CustomData()
    for name, (variable, value) in FLAGS.items():
        data.add(f"/etc/systemd/system/kubelet.service.d/{name}.conf", f'[Service]\nEnvironment="{variable}={value}"\n')
    data.add("/etc/default/kubelet", f"KUBELET_FLAGS={flags}\nKUBELET_REGISTER_SCHEDULABLE=true\n"
             f"NETWORK_POLICY=\nKUBELET_NODE_LABELS={labels}\n")
    data.add("/etc/default/kubeletconfig.json", json.dumps(kubelet_config or {}))
    data.add("/etc/kubernetes/certs/ca.crt", ca, 0o600)
    data.add("/etc/kubernetes/azure.json", json.dumps({"cloud": "AzurePublicCloud", "vmType": "vmss"}), 0o600)
    data.add("/var/lib/kubelet/bootstrap-kubeconfig", bootstrap)
    data.add("/var/lib/kubelet/credential-provider-config.yaml",
             "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders: []\n")
    data.add("/etc/containerd/config.toml", RUNTIME.format(pause=pause))
    data.add("/etc/systemd/system/containerd.service.d/exec_start.conf",
             "[Service]\nExecStartPost=/sbin/iptables -P FORWARD ACCEPT\n")
    data.add("/opt/azure/containers/kubelet.sh", KUBELET_SH, 0o755)
    data.add("/opt/azure/containers/ensure_imds_restriction.sh", IMDS_RESTRICTION, 0o755)
    data.add("/etc/udev/rules.d/99-azure-network.rules",
             'ACTION=="add|change", SUBSYSTEM=="net", KERNEL=="enP*", PROGRAM="/bin/bash -c \'[ $(nproc) -ge 4 ]\'", '
             'RUN+="/sbin/ethtool -G $name rx 2048"\n')
    data.add("/etc/sysctl.d/60-CIS.conf", "net.ipv4.conf.all.send_redirects = 0\nnet.ipv4.conf.all.log_martians = 1\n")
    data.add("/etc/sysctl.d/999-sysctl-aks.conf", "net.core.somaxconn = 16384\nnet.ipv4.tcp_retries2 = 8\n")
    data.add(BOOTCMDS, "#!/bin/bash\necho ran >>/opt/azure/bootcmds\n", 0o755)
    return data
