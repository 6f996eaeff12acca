"""A real control plane on our loopback: Debian's etcd, and kube-apiserver, kube-controller-manager and kube-scheduler as
tests/tools/kubernetes-build makes them. For programs that are in a network namespace of their own.

    with Cluster(directory) as cluster:
        cluster.token()                     # of a node that is to join
        cluster.kubectl("get", "nodes")

Nodes join by TLS bootstrap: a token of the API, a certificate request, approved and signed by the controller manager.
"""

import json
import os
import pathlib
import subprocess
import time

import machine
import slipway

BUILD = slipway.PROJECT / "tests/tools/kubernetes-build"
PORT = 6443
SERVICES = "10.96.0"  # /16
DEADLINE = 180
# Who may ask for a node's certificate, and whose requests are granted.
BINDINGS = {"system:node-bootstrapper": "system:bootstrappers",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient": "system:bootstrappers",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": "system:nodes"}
TOKEN_ID, TOKEN_SECRET = "abcdef", "0123456789abcdef"


def programs(only_cached=False):
    """The directory with kube-apiserver, kubelet, kubectl …; None: they cannot be had."""
    done = subprocess.run([BUILD, "--cache", slipway.work_dir(), *(["--cached"] if only_cached else [])],
                          stdout=subprocess.PIPE, text=True, check=False)
    return pathlib.Path(done.stdout.strip()) / "bin" if done.returncode == 0 else None


class Authority:
    """The cluster's CA."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=cluster", "-keyout", "ca.key",
                 "-out", "ca.crt")
        self.run("genrsa", "-out", "accounts.key", "2048")
        self.run("rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")
        (path / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
        (path / "server.ext").write_text(
            "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,IP:" + machine.GUEST_SEES_HOST
            + f",IP:{SERVICES}.1,DNS:kubernetes.default.svc\n")
        self.issue("server", "/CN=kube-apiserver", "server")
        self.issue("admin", "/O=system:masters/CN=admin", "client")

    def run(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.path, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def issue(self, name, subject, kind):
        self.run("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                 "-extfile", f"{kind}.ext", "-out", f"{name}.crt")

    def text(self, name):
        return (self.path / name).read_text()


def kubeconfig(server, ca, user):
    """As JSON, which is YAML."""
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"certificate-authority": str(ca), "server": server}}],
        "users": [{"name": "u", "user": user}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]})


class Cluster:
    def __init__(self, directory, binaries):
        self.path, self.binaries = pathlib.Path(directory) / "cluster", pathlib.Path(binaries)
        self.path.mkdir()
        self.authority = Authority(self.path / "pki")
        self.config = self.path / "admin.kubeconfig"
        pki = self.authority.path
        self.config.write_text(kubeconfig(f"https://127.0.0.1:{PORT}", pki / "ca.crt", {
            "client-certificate": str(pki / "admin.crt"), "client-key": str(pki / "admin.key")}))
        self.processes = []

    def start(self, program, *flags):
        log = open(self.path / f"{pathlib.Path(program).name}.log", "wb")
        with log:
            self.processes.append(subprocess.Popen([program, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                   cwd=self.path))

    def __enter__(self):
        pki, common = self.authority.path, [f"--kubeconfig={self.config}", "--leader-elect=false", "--bind-address=127.0.0.1"]
        try:
            self.start("etcd", f"--data-dir={self.path / 'etcd'}", "--log-level=error")
            self.start(self.binaries / "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--secure-port={PORT}",
                       "--bind-address=127.0.0.1", f"--advertise-address={machine.GUEST_SEES_HOST}",
                       f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key",
                       f"--client-ca-file={pki}/ca.crt", "--enable-bootstrap-token-auth", "--authorization-mode=Node,RBAC",
                       "--enable-admission-plugins=NodeRestriction", "--service-account-issuer=https://kubernetes.default.svc",
                       f"--service-account-key-file={pki}/accounts.pub", f"--service-account-signing-key-file={pki}/accounts.key",
                       f"--service-cluster-ip-range={SERVICES}.0/16", "--allow-privileged")
            self.await_api()
            self.start(self.binaries / "kube-controller-manager", *common, f"--root-ca-file={pki}/ca.crt",
                       f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key",
                       f"--service-account-private-key-file={pki}/accounts.key", "--use-service-account-credentials")
            self.start(self.binaries / "kube-scheduler", *common)
            self.admit_nodes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, program, lines=30):
        return "\n".join((self.path / f"{program}.log").read_text(errors="replace").splitlines()[-lines:])

    def kubectl(self, *arguments, text=None, check=True, timeout=300):
        done = subprocess.run([self.binaries / "kubectl", f"--kubeconfig={self.config}", *arguments], input=text, text=True,
                              capture_output=True, check=False, timeout=timeout,
                              env={**os.environ, "HOME": str(self.path)})
        if check and done.returncode != 0:
            raise SystemExit(f"kubectl {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
        return done.stdout

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects):
        self.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def await_api(self):
        end = time.monotonic() + DEADLINE
        while self.kubectl("get", "--raw", "/readyz", check=False) != "ok":
            if time.monotonic() > end or any(process.poll() is not None for process in self.processes):
                raise SystemExit(f"kube-apiserver is not ready:\n{self.log('kube-apiserver')}\n{self.log('etcd')}")
            time.sleep(0.5)

    def admit_nodes(self):
        self.apply(*({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                      "metadata": {"name": f"nodes-{n}"},
                      "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                      "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]}
                     for n, (role, group) in enumerate(BINDINGS.items())))
        self.apply({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
                    "metadata": {"namespace": "kube-system", "name": f"bootstrap-token-{TOKEN_ID}"},
                    "stringData": {"token-id": TOKEN_ID, "token-secret": TOKEN_SECRET, "usage-bootstrap-authentication": "true",
                                   "usage-bootstrap-signing": "true"}})

    def token(self):
        return f"{TOKEN_ID}.{TOKEN_SECRET}"

    def bootstrap(self, ca):
        """A kubeconfig for a node that has the CA's certificate at this path."""
        return kubeconfig(f"https://{machine.GUEST_SEES_HOST}:{PORT}", ca, {"token": self.token()})

    def node_ready(self, name):
        text = self.kubectl("get", "node", name, "-o", "json", check=False)
        conditions = json.loads(text)["status"]["conditions"] if text else []
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
