#!/usr/bin/env python3
"""ignition's providers, each against a mock of its platform: metadata services, volumes, files of the kernel.

The whole program runs in a network and mount namespace of its own (as root without a user namespace, because volumes are
mounted then), in which the services' addresses are those of the loopback interface."""

import base64
import contextlib
import gzip
import http.server
import json
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "lib"))
import vendor
PROGRAMS = pathlib.Path(os.environ.get("SLIPWAY_PROGRAMS", PROJECT / "build" / "release"))
IGNITION = PROGRAMS.resolve() / "libexec" / "ignition"
# Under valgrind all takes its time, and the processor is valgrind's.
WATCHED = os.environ.get("SLIPWAY_VALGRIND") == "1"
WIRESERVER = "168.63.129.16"
ADDRESSES = ["169.254.169.254", "169.254.42.42", "100.100.100.200", "192.0.2.1", WIRESERVER]
COVERED = ["/run", "/var/lib", "/sys/firmware", "/sys/bus/platform/devices"]
CONFIG = b'{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/mock"}]}}'
CONFIG64 = base64.b64encode(CONFIG)
IMDS = "/metadata/instance/compute/userData?api-version=2021-01-01&format=text"
LINK_LOCAL = ADDRESSES[0]

# platform: where, path, headers that must be there, the body of the answer. A token comes before it.
SERVICES = {
    "akamai": (LINK_LOCAL, "/v1/user-data", {"Metadata-Token": "t0ken"}, base64.b64encode(gzip.compress(CONFIG))),
    "aliyun": ("100.100.100.200", "/latest/user-data", {}, CONFIG),
    "aws": (LINK_LOCAL, "/2019-10-01/user-data", {"X-aws-ec2-metadata-token": "t0ken"}, CONFIG),
    "azure": (LINK_LOCAL, IMDS, {"Metadata": "true"}, CONFIG64),
    "brightbox": (LINK_LOCAL, "/openstack/latest/user_data", {}, CONFIG),
    "cloudstack": ("192.0.2.1", "/latest/user-data", {}, CONFIG),
    "digitalocean": (LINK_LOCAL, "/metadata/v1/user-data", {}, CONFIG),
    "exoscale": (LINK_LOCAL, "/1.0/user-data", {}, CONFIG),
    "gcp": (LINK_LOCAL, "/computeMetadata/v1/instance/attributes/user-data", {"Metadata-Flavor": "Google"}, CONFIG),
    "hetzner": (LINK_LOCAL, "/hetzner/v1/userdata", {}, CONFIG),
    "openstack": (LINK_LOCAL, "/openstack/latest/user_data", {}, CONFIG),
    "oraclecloud": (LINK_LOCAL, "/opc/v2/instance/metadata/user_data", {"Authorization": "Bearer Oracle"}, CONFIG64),
    "scaleway": ("169.254.42.42", "/user_data/cloud-init", {}, CONFIG),
    "upcloud": (LINK_LOCAL, "/metadata/v1/user_data", {}, CONFIG),
    "vultr": (LINK_LOCAL, "/user-data/user-data", {}, CONFIG),
}
TOKENS = {"akamai": ("/v1/token", "Metadata-Token-Expiry-Seconds", "300"),
          "aws": ("/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600")}
# platform: label, path, whether it asks the network, too.
DRIVES = [("brightbox", "CONFIG-2", "openstack/latest/user_data"), ("openstack", "config-2", "openstack/latest/user_data"),
          ("cloudstack", "config-2", "cloudstack/userdata/user_data.txt"), ("ibmcloud", "cidata", "user-data"),
          ("kubevirt", "cidata", "user-data"), ("kubevirt", "config-2", "openstack/latest/user_data"),
          ("nutanix", "config-2", "openstack/latest/user_data"), ("powervs", "config-2", "openstack/latest/user_data"),
          ("proxmoxve", "cidata", "user-data"), ("proxmoxve", "cidata", "vendor-data")]


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        server = self.server
        request = (self.command, self.connection.getsockname()[0], self.path, self.headers, self.client_address[1])
        if request[1] == WIRESERVER:  # who only asks for a configuration does not count what is told to the platform
            server.told.append((*request[:4], self.rfile.read(int(self.headers.get("Content-Length", 0)))))
        else:
            server.requests.append(request)
        replies = server.replies.get(self.path, [(404, b"")])
        status, body = replies.pop(0) if len(replies) > 1 else replies[0]
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = answer


class Case(unittest.TestCase):
    def setUp(self):
        self.tmp = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.server = self.serve(http.server.ThreadingHTTPServer(("0.0.0.0", 80), Handler))

    def serve(self, server):
        server.daemon_threads = True
        server.requests, server.told, server.replies = [], [], {}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return server

    def run_stage(self, platform, stage="fetch", timeout="4s", wrapper=(), path=None, root="/", cmdline="quiet"):
        """platform None: as it is detected."""
        (self.tmp / "cmdline").write_text(cmdline + "\n")
        env = dict(os.environ, IGNITION_KERNEL_CMDLINE_PATH=str(self.tmp / "cmdline"),
                   PATH=f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"])
        if wrapper:
            env["ASAN_OPTIONS"] = "detect_leaks=0"
        for name in ("SYSTEM_CONFIG_DIR", "SYSTEM_LOCAL_CONFIG_DIR", "SYSTEM_RUNTIME_CONFIG_DIR"):
            env["IGNITION_" + name] = str(self.tmp / "none")
        return subprocess.run([*wrapper, IGNITION, *([f"--platform={platform}"] if platform else []), f"--stage={stage}",
                               "--log-to-stdout",
                               f"--root={root}", f"--config-cache={self.tmp}/cache", f"--state-file={self.tmp}/state",
                               f"--neednet={self.tmp}/neednet", f"--fetch-timeout={'6s' if WATCHED else timeout}"],
                              env=env, capture_output=True, text=True, timeout=600 if WATCHED else 60, check=False)

    def fetch(self, platform, **more):
        """The paths of the files in the configuration that was found; [] for an empty one."""
        with contextlib.suppress(FileNotFoundError):
            (self.tmp / "cache").unlink()
        done = self.run_stage(platform, **more)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        cached = json.loads((self.tmp / "cache").read_text())
        return [f["path"] for f in cached.get("storage", {}).get("files") or []]

    def found(self, platform, **more):
        self.assertEqual(self.fetch(platform, **more), ["/etc/mock"])

    def fails(self, platform, text, **more):
        done = self.run_stage(platform, **more)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(text, done.stderr)


class Services(Case):
    def setUp(self):
        super().setUp()
        leases = pathlib.Path("/run/systemd/netif/leases")
        leases.mkdir(parents=True, exist_ok=True)
        (leases / "2").write_text("# private\nADDRESS=192.0.2.7\nSERVER_ADDRESS=192.0.2.1\n")

    def prepare(self, platform, *replies):
        self.server.requests.clear()
        self.server.replies = {SERVICES[platform][1]: list(replies)}
        if platform in TOKENS:
            self.server.replies[TOKENS[platform][0]] = [(200, b"t0ken")]

    def each(self):
        for platform, row in SERVICES.items():
            with self.subTest(platform):
                yield platform, row

    def test_requests(self):
        for platform, (address, path, headers, body) in self.each():
            self.prepare(platform, (503, b"later"), (200, body))
            self.found(platform)
            requests = list(self.server.requests)
            if platform in TOKENS:
                method, _, url, got, _ = requests.pop(0)
                token = TOKENS[platform]
                self.assertEqual((method, url, got[token[1]]), ("PUT", token[0], token[2]))
            self.assertEqual([r[:3] for r in requests], [("GET", address, path)] * 2)
            for request in requests:
                self.assertEqual({name: request[3][name] for name in headers}, headers)
                self.assertEqual(request[4] < 1024, platform == "scaleway")

    def test_nothing_there(self):
        for platform, _ in self.each():
            if platform != "azure":
                self.prepare(platform, (404, b"not here"))
                self.assertEqual(self.fetch(platform), [])

    def test_refused(self):
        for platform, _ in self.each():
            self.prepare(platform, (403, b"no"))
            self.fails(platform, "HTTP status 403", timeout="500ms")

    def test_never(self):
        for platform, (_, path, _, _) in self.each():
            self.prepare(platform, (500, b"broken"))
            self.fails(platform, "HTTP status 500", timeout="1s")
            self.assertGreater(sum(r[2] == path for r in self.server.requests), 1)

    def test_offline(self):
        for platform, _ in self.each():
            done = self.run_stage(platform, stage="fetch-offline")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue((self.tmp / "neednet").exists())
            (self.tmp / "neednet").unlink()
        self.assertEqual(self.server.requests, [])

    def test_aws_without_tokens(self):
        self.server.replies = {SERVICES["aws"][1]: [(200, CONFIG)]}
        self.found("aws")
        self.assertNotIn("X-aws-ec2-metadata-token", self.server.requests[-1][3])

    def test_akamai_without_token(self):
        self.server.replies = {SERVICES["akamai"][1]: [(200, CONFIG64)]}
        self.fails("akamai", "token")

    def test_akamai_plain(self):
        self.prepare("akamai", (200, CONFIG64))
        self.found("akamai")

    def test_openstack_over_ipv6(self):
        self.prepare("openstack", (503, b""))
        address = ["fe80::a9fe:a9fe/64", "dev", "lo"]
        subprocess.run(["ip", "addr", "add", *address, "nodad"], check=True)
        self.addCleanup(subprocess.run, ["ip", "addr", "del", *address], check=True)
        server = self.serve(Server6(("::", 80), Handler))
        server.replies = {SERVICES["openstack"][1]: [(200, CONFIG)]}
        self.found("openstack")
        self.assertEqual(server.requests[0][:3], ("GET", "fe80::a9fe:a9fe", SERVICES["openstack"][1]))

    def test_packet(self):
        """Over TLS: the name and the authority of its certificate are made up for this namespace."""
        key, certificate, hosts = (self.tmp / name for name in ("key", "certificate", "hosts"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=mock", "-addext", "subjectAltName=DNS:metadata.packet.net", "-days", "2",
                        "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        hosts.write_text("127.0.0.1 metadata.packet.net\n")
        for file, covered in ((hosts, "/etc/hosts"), (certificate, "/etc/ssl/certs/ca-certificates.crt")):
            subprocess.run(["mount", "--bind", str(file), covered], check=True)
            self.addCleanup(subprocess.run, ["umount", covered], check=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.serve(server).replies = {"/userdata": [(200, CONFIG)]}
        self.found("packet")
        self.assertEqual(server.requests[0][3]["Accept"], "*/*")

    def test_oraclecloud_busy(self):
        self.prepare("oraclecloud", (429, b""), (200, CONFIG64))
        self.found("oraclecloud")

    def test_bad_base64(self):
        for platform in ("akamai", "azure", "oraclecloud"):
            self.prepare(platform, (200, b"{not base64}"))
            self.fails(platform, "not base64")

    def test_broken_gzip(self):
        self.prepare("akamai", (200, base64.b64encode(gzip.compress(CONFIG)[:-12])))
        self.fails("akamai", "gzip")

    def test_azure_young(self):
        for status in (404, 410, 429, 500):
            with self.subTest(status):
                self.prepare("azure", (status, b""), (status, b""), (200, CONFIG64))
                self.found("azure")
                self.assertEqual(len(self.server.requests), 3)

    def test_azure_never(self):
        for status in (404, 410, 429, 500):
            with self.subTest(status):
                self.prepare("azure", (status, b""))
                self.fails("azure", f"HTTP status {status}; given up after", timeout="500ms")

    def test_azure_refused(self):
        """What is no matter of time is asked for once."""
        for status in (400, 401, 403, 405):
            with self.subTest(status):
                self.prepare("azure", (status, b""))
                self.fails("azure", f"user data: http://{LINK_LOCAL}{IMDS}: attempt 1: HTTP status {status}")
                self.assertEqual(len(self.server.requests), 1)

    def test_azure_lines(self):
        self.prepare("azure", (200, base64.encodebytes(CONFIG * 1 + b" " * 300).replace(b"\n", b"\r\n")))
        self.found("azure")

    def test_azure_is_told(self):
        """A stage that fails says so to the platform, once, with the reason; a failure of this changes nothing."""
        self.prepare("azure", (403, b""))
        self.server.replies["/provisioning/health"] = [(429, b""), (201, b"")]
        self.fails("azure", "HTTP status 403")
        self.assertEqual([request[:3] for request in self.server.told],
                         [("GET", WIRESERVER, "/?comp=versions")] + [("POST", WIRESERVER, "/provisioning/health")] * 2)
        report = json.loads(self.server.told[-1][4])
        self.assertEqual((report["state"], report["details"]["subStatus"]), ("NotReady", "ProvisioningFailed"))
        self.assertRegex(report["details"]["description"],
                         r"^result=error\|reason=ignition: stage fetch: user data: .*HTTP status 403\|agent=")
        self.server.told.clear()
        self.server.replies["/provisioning/health"] = [(403, b"")]
        done = self.run_stage("azure")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the platform was not told: health report", done.stdout)
        self.assertEqual(len(self.server.told), 2)

    def test_azure_no_disc(self):
        for status in (200, 204):
            with self.subTest(status):
                self.prepare("azure", (status, b""))
                self.fails("azure", "the CD with custom data did not appear in time", timeout="500ms")

    def test_user_data_is_no_config(self):
        self.prepare("hetzner", (200, b"{"))
        self.fails("hetzner", "config is not valid")


class Files(Case):
    """Platforms whose configuration is a file of the kernel, or what a tool prints."""

    def write(self, path, data):
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.addCleanup(path.unlink, missing_ok=True)
        return path

    def tool(self, name, script):
        path = self.tmp / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
        return path.parent

    def test_qemu(self):
        for key in ("opt/com.coreos/config", "opt/org.flatcar-linux/config"):
            directory = f"/sys/firmware/qemu_fw_cfg/by_name/{key}"
            size = self.write(f"{directory}/size", b"%d\n" % len(CONFIG))
            self.write(f"{directory}/raw", CONFIG)
            self.found("qemu")
            size.write_bytes(b"%d\n" % (len(CONFIG) + 1))
            self.fails("qemu", "bytes")
            size.write_bytes(b"99999999\n")
            self.fails("qemu", "99999999 bytes")
            size.write_bytes(b"0\n")
            self.assertEqual(self.fetch("qemu"), [])
            pathlib.Path(directory).rename(directory + "-done")

    def test_qemu_disk(self):
        self.assertEqual(self.fetch("qemu"), [])
        self.write("/dev/disk/by-id/virtio-ignition", CONFIG + bytes(300))
        self.found("qemu")

    def test_bluefield(self):
        self.assertEqual(self.fetch("nvidiabluefield"), [])
        self.write("/sys/bus/platform/devices/MLNXBF04:00/bootfifo", CONFIG + bytes(5))
        self.found("nvidiabluefield")

    def test_metal(self):
        for platform in ("metal", "rackspace"):
            self.assertEqual(self.fetch(platform), [])

    def test_named_on_the_command_line(self):
        for cmdline, platform in [("ignition.platform.id=rackspace", "metal"), ("flatcar.oem.id=qemu", "qemu"),
                                  ("flatcar.oem.id=qemu ignition.platform.id=metal", "metal")]:
            done = self.run_stage(None, cmdline=cmdline)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"Platform: {platform}\n", done.stdout)

    def test_zvm(self):
        self.fails("zvm", "platform zvm is not supported")

    def test_applehv_absent(self):
        self.fails("applehv", "vsock", timeout="500ms")

    def test_hyperv(self):
        parts = [CONFIG[:20], CONFIG[20:40], CONFIG[40:]]
        pool = b"".join(struct.pack("512s2048s", b"ignition.config.%d" % i, part) for i, part in enumerate(parts))
        path = self.write("/var/lib/hyperv/.kvp_pool_0", pool)
        self.found("hyperv")
        self.publish(pool)
        path.write_bytes(struct.pack("512s2048s", b"other", b"x"))
        self.assertEqual(self.fetch("hyperv"), [])
        path.write_bytes(pool[:-1])
        self.fails("hyperv", "7679 bytes of key-value pairs")

    def publish(self, pool):
        root = self.tmp / "root"
        (root / "etc").mkdir(parents=True)
        done = self.run_stage("hyperv", stage="files", root=root)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        copy = root / "var/lib/hyperv/.kvp_pool_0"
        self.assertEqual((copy.read_bytes(), copy.stat().st_mode & 0o777), (pool, 0o600))

    def test_hyperv_absent(self):
        self.fails("hyperv", "/dev/vmbus/hv_kvp: No such file or directory")

    def test_virtualbox(self):
        self.fails("virtualbox", "VBoxControl")
        path = self.tool("VBoxControl", f"[ \"$1 $2 $3\" = '--nologo guestproperty get' ] || exit 9\n"
                         f"case $4 in /Ignition/Config) echo 'Value: {CONFIG.decode()}' ;; *) echo 'No value set!' ;; esac\n")
        self.found("virtualbox", path=path)
        self.tool("VBoxControl", "echo 'No value set!'\n")
        self.assertEqual(self.fetch("virtualbox", path=path), [])
        self.tool("VBoxControl", "echo 'Value: rot13'\n")
        self.fails("virtualbox", "unsupported encoding 'rot13'", path=path)

    def vmware(self, **values):
        """vmware-rpctool for these variables."""
        cases = "".join(f"'info-get guestinfo.{name.replace('_', '.')}') printf '%s\\n' '{value}' ;;\n"
                        for name, value in values.items())
        return self.tool("vmware-rpctool", f"case $1 in\n{cases}*) echo 'No value found' >&2; exit 1 ;;\nesac\n")

    @unittest.skipIf(WATCHED, "whose processor it is tells whether there is a VMware")
    def test_vmware(self):
        self.fails("vmware", "this is not a virtual machine of VMware")
        zipped = base64.b64encode(gzip.compress(CONFIG)).decode()
        texts = [(["", None], CONFIG.decode()), (["b64", "base64"], CONFIG64.decode()),
                 (["gzip+base64", "gz+base64", "gzip+b64", "gz+b64"], zipped)]
        for encodings, text in texts:
            for encoding in encodings:
                with self.subTest(encoding):
                    more = {} if encoding is None else {"ignition_config_data_encoding": encoding}
                    self.found("vmware", path=self.vmware(ignition_config_data=text, **more))
        self.fails("vmware", "unsupported encoding 'rot13'",
                   path=self.vmware(ignition_config_data="x", ignition_config_data_encoding="rot13"))
        self.assertEqual(self.fetch("vmware", path=self.vmware()), [])
        self.fails("vmware", "out of order", path=self.tool("vmware-rpctool", "echo out of order >&2; exit 1\n"))

    def test_vmware_ovf(self):
        xml = ('<Environment xmlns:oe="x"><!-- <Property oe:key="guestinfo.ignition.config.data" oe:value="no"/> -->'
               '<PropertySection><Property oe:key="other" oe:value="x"/><Property oe:key="guestinfo.ignition.config.data" '
               f'oe:value="{CONFIG64.decode()}"/><Property oe:key="guestinfo.ignition.config.data.encoding" '
               'oe:value="base&#54;4"/></PropertySection></Environment>')
        self.found("vmware", path=self.vmware(ovfEnv=xml))

    def test_vmware_url(self):
        self.server.replies = {"/config": [(200, CONFIG)]}
        self.found("vmware", path=self.vmware(ignition_config_url=f"http://{LINK_LOCAL}/config"))


class Drives(Case):
    """Volumes are real file systems on loop devices, so this takes root."""

    def setUp(self):
        super().setUp()
        self.loops = set()
        self.addCleanup(lambda: [self.detach(loop) for loop in list(self.loops)])

    def drive(self, files, label):
        tree = self.tmp / "tree"
        for path, data in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        loop = self.loop(["mkfs.ext4", "-q", "-d", str(tree), "IMAGE"])
        shutil.rmtree(tree)
        link = pathlib.Path("/dev/disk/by-label", label)
        link.symlink_to(loop)
        self.addCleanup(link.unlink, missing_ok=True)
        return link

    def loop(self, mkfs):
        """A loop device with a file system, which mkfs makes in IMAGE."""
        image = self.tmp / f"image-{len(list(self.tmp.iterdir()))}"
        image.write_bytes(bytes(4 << 20))
        subprocess.run([str(image) if word == "IMAGE" else word for word in mkfs], check=True, capture_output=True)
        loop = subprocess.run(["losetup", "-f", "--show", "-r", str(image)], check=True, capture_output=True,
                              text=True).stdout.strip()
        self.loops.add(loop)
        return loop

    def detach(self, loop):
        """Early, as there are few of them."""
        self.loops.remove(loop)
        subprocess.run(["losetup", "-d", loop], check=True)

    def remove(self, link):
        self.detach(str(link.readlink()))
        link.unlink()

    def nothing_is_left(self):
        self.assertNotIn("ignition-device", pathlib.Path("/proc/mounts").read_text())
        self.assertEqual(list(pathlib.Path("/run").glob("ignition-device*")), [])

    def test_found(self):
        for platform, label, path in DRIVES:
            with self.subTest(platform=platform, label=label, path=path):
                link = self.drive({path: CONFIG}, label)
                self.found(platform)
                self.assertEqual(self.server.requests, [])
                self.remove(link)
                self.nothing_is_left()

    def test_no_file(self):
        for platform in ("openstack", "nutanix"):
            link = self.drive({"README": b""}, "config-2")
            self.assertEqual(self.fetch(platform), [])
            self.remove(link)
        self.nothing_is_left()

    def test_proxmox_skips_cloud_config(self):
        link = self.drive({"user-data": b"#cloud-config\nx: y\n", "vendor-data": CONFIG}, "cidata")
        self.found("proxmoxve")
        self.remove(link)

    def test_late(self):
        link = self.drive({"openstack/latest/user_data": CONFIG}, "config-2")
        link.rename(link.with_name("hidden"))
        timer = threading.Timer(1, link.with_name("hidden").rename, [link])
        timer.start()
        self.found("nutanix")
        timer.join()
        self.remove(link)

    def test_never(self):
        for platform in ("nutanix", "powervs", "kubevirt"):
            self.fails(platform, "a configuration drive did not appear in time", timeout="300ms")

    def test_broken(self):
        link = pathlib.Path("/dev/disk/by-label/config-2")
        link.symlink_to("/dev/null")
        self.fails("nutanix", "did not appear in time", timeout="300ms")
        link.unlink()
        self.nothing_is_left()

    def azure_disc(self, files, kind="udf"):
        """The program's environment with a disc in a drive: an ext4 volume that blkid is said to call udf, and that says
        of itself, asked for the first time, that it is a drive with a disc (4)."""
        loop = str(self.drive(files, "disc").readlink())
        path = self.tmp / "bin"
        path.mkdir()
        (path / "blkid").write_text(f"#!/bin/sh\n[ -e {path}/hidden ] && exec rm {path}/hidden\n"
                                    f"[ \"$*\" = '-c /dev/null -o device -t TYPE={kind}' ] && echo {loop}\n")
        (path / "blkid").chmod(0o755)
        wrapper = ["strace", "-o", "/dev/null", "-P", str(pathlib.Path(loop).resolve()), "-e",
                   "inject=ioctl:retval=4:when=1"]
        return {"path": path, "wrapper": wrapper, "timeout": "1s"}

    def test_azure_disc(self):
        self.server.replies = {IMDS: [(200, b"")]}
        disc = self.azure_disc({"ovf-env.xml": b"<x/>", "CustomData.bin": CONFIG})
        self.found("azure", **disc)
        self.found("azurestack", **disc)
        self.fails("azurestack", "the CD with custom data did not appear", path=disc["path"], timeout="300ms")
        self.nothing_is_left()

    def test_azure_disc_without_data(self):
        self.assertEqual(self.fetch("azurestack", **self.azure_disc({"ovf-env.xml": b"<x/>"})), [])

    def test_azure_disc_of_iso9660(self):
        self.server.replies = {IMDS: [(200, b"")]}
        self.found("azure", **self.azure_disc({"ovf-env.xml": b"<x/>", "CustomData.bin": CONFIG}, kind="iso9660"))

    def test_azure_disc_late(self):
        disc = self.azure_disc({"ovf-env.xml": b"<x/>", "CustomData.bin": CONFIG})
        (disc["path"] / "hidden").touch()
        self.found("azurestack", **disc | {"timeout": "4s"})

    def environment(self, custom_data="", more=""):
        return (f"<Environment xmlns:wa='w'><wa:ProvisioningSection><LinuxProvisioningConfigurationSet>"
                f"<CustomData>{custom_data}</CustomData></LinuxProvisioningConfigurationSet></wa:ProvisioningSection>"
                f"<wa:PlatformSettingsSection><PlatformSettings>{more}</PlatformSettings></wa:PlatformSettingsSection>"
                "</Environment>").encode()

    def test_azure_custom_data_in_the_environment(self):
        text = base64.encodebytes(CONFIG + b" " * 200).decode()
        self.found("azurestack", **self.azure_disc({"ovf-env.xml": self.environment(text)}))

    def test_azure_broken_environment(self):
        for text in (b"", b"<x>", self.environment()[:-3]):
            disc = self.azure_disc({"ovf-env.xml": text, "CustomData.bin": CONFIG})
            self.fails("azurestack", "ovf-env.xml on ", **disc)
            shutil.rmtree(disc["path"])
            self.remove(pathlib.Path("/dev/disk/by-label/disc"))

    def test_azure_machine_for_a_pool(self):
        text = self.environment(more="<PreprovisionedVm>true</PreprovisionedVm><PreprovisionedVMType/>")
        self.fails("azurestack", "made for a pool", **self.azure_disc({"ovf-env.xml": text}))

    def test_azure_other_disc(self):
        self.fails("azurestack", "did not appear in time", **self.azure_disc({"CustomData.bin": CONFIG}))
        self.nothing_is_left()

    def test_blkid_knows_discs(self):
        readme = self.tmp / "README"
        readme.write_text("")
        for kind, mkfs in {"udf": ["mkudffs", "IMAGE"], "iso9660": ["genisoimage", "-quiet", "-o", "IMAGE", str(readme)]}.items():
            loop = self.loop(mkfs)
            found = subprocess.run(["blkid", "-c", "/dev/null", "-o", "device", "-t", f"TYPE={kind}"],
                                   capture_output=True, text=True, check=True)
            self.assertIn(loop, found.stdout.split())

    def test_symlink_stays_inside(self):
        secret = self.tmp / "secret"
        secret.write_bytes(CONFIG)
        (self.tmp / "tree").mkdir()
        (self.tmp / "tree" / "user-data").symlink_to(secret)
        link = self.drive({}, "cidata")
        self.assertEqual(self.fetch("kubevirt"), [])
        self.remove(link)


# linux/hyperv.h: what is to be done with which pool, or how that went; then the kind of value, the lengths, key and value.
KVP_SET, KVP_DELETE, KVP_REGISTER, KVP_TEXT = 1, 2, 100, 1
KVP_HEAD = struct.Struct("=BBH")


class KvpKernel(threading.Thread):
    """Linux's side of /dev/vmbus/hv_kvp: registers one daemon, and passes on the host's messages, each when the one before is answered."""

    def __init__(self, path, messages):
        super().__init__(daemon=True)
        self.messages, self.answers, self.done = messages, [], threading.Event()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(path))
        self.socket.listen(1)

    def run(self):
        daemon, _ = self.socket.accept()
        with daemon:
            first = daemon.recv(1 << 16)
            self.answers.append(KVP_HEAD.unpack_from(first)[0])
            daemon.send((KVP_HEAD.pack(KVP_REGISTER, 0, 0) + b"3.1").ljust(len(first), b"\0"))
            for message in self.messages:
                daemon.send(message.ljust(len(first), b"\0"))
                self.answers.append(struct.unpack_from("=i", daemon.recv(1 << 16))[0])
            self.done.set()
            daemon.recv(1) # until it ends


def kvp_set(key, value, pool=0):
    key, value = key + b"\0", value + b"\0"
    return KVP_HEAD.pack(KVP_SET, pool, 0) + struct.pack("=III512s2048s", KVP_TEXT, len(key), len(value), key, value)


def kvp_delete(key, pool=0):
    return KVP_HEAD.pack(KVP_DELETE, pool, 0) + struct.pack("=I512s", len(key) + 1, key)


def kvp_pool(data):
    """Keys and values; what is behind their ends is left from before."""
    return [tuple(text.split(b"\0")[0] for text in pair) for pair in struct.iter_unpack("512s2048s", data)]


@unittest.skipIf(WATCHED, "what is loaded into the agent and traces it does not go with valgrind")
class Hypervisors(Case):
    """Hosts that no machine of ours has. What plays them is held against the hypervisor's own client where there is one."""

    VARIABLE = "guestinfo.ignition.config.data"
    HOST = PROGRAMS.resolve() / "tests" / "tools" / "vmware-host"
    STAND_IN = PROGRAMS.resolve() / "tests" / "tools" / "stand-in.so"

    def on_vmware(self, *argv, **variables):
        """Runs a command in a virtual machine with these variables; what it says, and the variables afterwards."""
        dump = self.tmp / "variables"
        done = subprocess.run([self.HOST, "--dump", dump, *[f"{k.replace('_', '.')}={v}" for k, v in variables.items()], "--", *argv],
                              capture_output=True, text=True, timeout=60, check=False)
        return done, dict(line.split("=", 1) for line in dump.read_text().splitlines())

    def test_vmware_host_is_fair(self):
        tool = vendor.program("vmware-rpctool")
        for value in ("v", "four", "fives", CONFIG.decode(), "x" * 70000):
            done, _ = self.on_vmware(tool, "info-get guestinfo.x", guestinfo_x=value)
            self.assertEqual((done.returncode, done.stdout), (0, value + "\n"), done.stderr)
        done, _ = self.on_vmware(tool, "info-get guestinfo.x")
        self.assertEqual((done.returncode, done.stderr), (1, "No value found\n"))
        done, after = self.on_vmware(tool, "info-set guestinfo.x some text", guestinfo_x="old")
        self.assertEqual((done.returncode, after), (0, {"guestinfo.x": "some text"}))

    def vmware_argv(self, **variables):
        return [self.HOST, *[f"{k}={v}" for k, v in variables.items()], "--"]

    def test_vmware_port(self):
        zipped = base64.b64encode(gzip.compress(CONFIG)).decode()
        ovf = f'<E xmlns:oe="x"><Property oe:key="{self.VARIABLE}" oe:value="{CONFIG64.decode()}"/><Property ' \
              f'oe:key="{self.VARIABLE}.encoding" oe:value="base64"/></E>'
        large = json.loads(CONFIG)
        large["storage"]["files"][0]["contents"] = {"source": "data:," + "x" * 70000}
        for variables in ({self.VARIABLE: CONFIG.decode()}, {self.VARIABLE: json.dumps(large)},
                          {self.VARIABLE: zipped, self.VARIABLE + ".encoding": "gzip+base64"}, {"guestinfo.ovfEnv": ovf}):
            self.found("vmware", wrapper=self.vmware_argv(**variables))
        self.assertEqual(self.fetch("vmware", wrapper=self.vmware_argv()), [])
        self.fails("vmware", "unsupported encoding 'rot13'",
                   wrapper=self.vmware_argv(**{self.VARIABLE: "x", self.VARIABLE + ".encoding": "rot13"}))

    def test_vmware_is_deleted(self):
        program = self.tmp / "ignition-rmcfg"
        program.symlink_to(IGNITION)
        argv = [program, "--platform=vmware", "--log-to-stdout"]
        done, after = self.on_vmware(*argv, guestinfo_ignition_config_data="x", guestinfo_y="y")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(after, {self.VARIABLE: "e30=", self.VARIABLE + ".encoding": "base64", "guestinfo.y": "y"})
        done, after = self.on_vmware(*argv, guestinfo_y="y")
        self.assertEqual((done.returncode, after), (0, {"guestinfo.y": "y"}))

    def stand_in(self, **what):
        return ["env", f"LD_PRELOAD={self.STAND_IN}", *[f"STAND_IN_{name.upper()}={value}" for name, value in what.items()]]

    def kvp(self, name, messages):
        kernel = KvpKernel(self.tmp / name, messages)
        self.addCleanup(kernel.socket.close)
        kernel.start()
        return kernel, self.stand_in(device=f"/dev/vmbus/hv_kvp:{self.tmp / name}")

    def test_hyperv(self):
        """The agent in the daemon's place leaves the pools that the daemon leaves, and says the same to the kernel."""
        parts = [CONFIG[:20], CONFIG[20:40], CONFIG[40:]]
        messages = [kvp_set(b"HostName", b"old", 3), kvp_set(b"ignition.config.1", parts[1]), kvp_set(b"gone", b"x"),
                    kvp_set(b"ignition.config.0", b"not yet"), kvp_set(b"ignition.config.2", parts[2]), kvp_delete(b"gone"),
                    kvp_set(b"ignition.config.0", parts[0]), kvp_set(b"HostName", b"h", 3), kvp_set(b"long", b"v" * 2047, 1),
                    kvp_set(b"k" * 511, b"", 1)]
        place = pathlib.Path("/var/lib/hyperv")
        kernel, wrapper = self.kvp("ours", messages)
        self.found("hyperv", wrapper=wrapper)
        ours = {path.name: path.read_bytes() for path in place.iterdir()}
        shutil.rmtree(place)

        daemons, wrapper = self.kvp("theirs", messages)
        with subprocess.Popen([*wrapper, vendor.program("hv_kvp_daemon"), "-n"]) as daemon:
            try:
                self.assertTrue(daemons.done.wait(30))
                theirs = {path.name: path.read_bytes() for path in place.iterdir()}
            finally:
                daemon.kill()
        shutil.rmtree(place)
        self.assertEqual(kernel.answers, daemons.answers)
        self.assertEqual(sorted(ours), sorted(theirs))
        for name, pool in theirs.items():
            self.assertEqual(kvp_pool(ours[name]), kvp_pool(pool), name)

    def vsock(self, *replies):
        """An HTTP server on the host's vsock."""
        path = self.tmp / f"vsock-{len(list(self.tmp.iterdir()))}"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(path))
        listener.listen(4)
        asked = []

        def serve():
            for reply in replies:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        asked.append(connection.recv(4096))
                        connection.sendall(reply)
        threading.Thread(target=serve, daemon=True).start()
        return asked, self.stand_in(vsock=path)

    def test_applehv(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONFIG)
        asked, wrapper = self.vsock(head + CONFIG)
        self.found("applehv", wrapper=wrapper)
        self.assertRegex(asked[0], rb"(?s)^GET / HTTP/1\.[01]\r\nHost: .*\r\nAccept: .*;version=3\.6\.0, .*\r\n\r\n$")
        asked, wrapper = self.vsock(b"HTTP/1.1 503 Busy\r\n\r\n", b"", head + CONFIG)
        self.found("applehv", wrapper=wrapper)
        self.assertEqual(len(asked), 3)
        self.assertEqual(self.fetch("applehv", wrapper=self.vsock(b"HTTP/1.1 404 Not Found\r\n\r\n")[1]), [])
        self.fails("applehv", "HTTP status 403", wrapper=self.vsock(b"HTTP/1.1 403 Forbidden\r\n\r\n")[1])


def enter_namespaces():
    """As root of them, with the services' addresses on the loopback interface."""
    if os.environ.get("PROVIDERS_NAMESPACE") != "1":
        flags = "-nm" if os.geteuid() == 0 else "-rnm"
        os.environ["PROVIDERS_NAMESPACE"] = "1"
        for client in () if WATCHED else vendor.CLIENTS:  # in there is no network
            vendor.program(client)
        os.environ["PROVIDERS_ROOT"] = "1" if os.geteuid() == 0 else ""
        os.execvp("unshare", ["unshare", flags, sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    for path in COVERED:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
    cover_dev()


def cover_dev():
    """A /dev that links to all of the real one, but has its own disk/."""
    real = pathlib.Path("/run/dev")
    real.mkdir()
    subprocess.run(["mount", "--rbind", "/dev", str(real)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
    for entry in real.iterdir():
        if entry.name != "disk":
            pathlib.Path("/dev", entry.name).symlink_to(entry)
    pathlib.Path("/dev/disk/by-id").mkdir(parents=True)
    pathlib.Path("/dev/disk/by-label").mkdir()


def load_tests(loader, *_):
    cases = [Services, Files, Hypervisors] + ([Drives] if os.environ.get("PROVIDERS_ROOT") else [])
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases)


if __name__ == "__main__":
    enter_namespaces()
    unittest.main()
