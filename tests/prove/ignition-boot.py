#!/usr/bin/env python3
"""machines provision themselves at their first boot: one theme a boot (everything, refused, remote, disks, root, cuts, diskcuts)"""

import contextlib
import gzip
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway
from machine import is_

VERSION = "3.4.0"
STAMP = "/.etc/provisioned"
FAILED = r"Ignition failed: stage "
STOPPED = "It is tried again in five minutes"
SUDO = "core ALL=(ALL) NOPASSWD: ALL\n"


class Bench:
    """What all themes need: an image, keys, a place; and how many things were checked."""

    def __init__(self, image, scratch):
        self.image, self.scratch = pathlib.Path(image), pathlib.Path(scratch)
        self.key, self.public = machine.ssh_key(scratch)
        self.checks = 0

    def disk(self, name):
        path = self.scratch / f"{name}.raw"
        subprocess.run(["cp", "--sparse=always", self.image, path], check=True)
        return path

    def spare(self, name, mib):
        """An empty disk, and QEMU's options for it."""
        path = self.scratch / f"{name}.raw"
        with open(path, "wb") as file:
            file.truncate(mib << 20)
        return ["-drive", f"if=none,id={name},format=raw,cache=unsafe,file={path}",
                "-device", f"virtio-blk-pci,drive={name},serial={name}"]

    def config(self, name):
        c = machine.Ignition()
        c.config["ignition"]["version"] = VERSION
        c.user("core", sshAuthorizedKeys=[self.public], groups=["sudo"])
        c.file("/etc/sudoers.d/core", SUDO, mode=0o440, overwrite=True)
        return c.file("/etc/hostname", f"{name}\n", overwrite=True)

    def boot(self, disk, config, options=()):
        path = config.write(self.scratch / "config.ign") if config else None
        return machine.Machine(disk, path, snapshot=False,
                               options=["--", *options] if options else ())

    def expect(self, vm, rows):
        answers = vm.expect(self.key, rows)
        self.checks += len(rows)
        return answers

    def must_fail(self, vm, stage, *patterns):
        """The boot stops, and the last thing on the console says why."""
        vm.wait_for(STOPPED)
        block = vm.console[vm.console.rindex("Ignition failed: stage"):]
        for pattern in (rf"\A{FAILED}{stage} ", *patterns):
            if not re.search(pattern, block):
                raise SystemExit(f"ignition-boot: the console must say {pattern!r}, not {block!r}")
            self.checks += 1


def kernel(*words):
    """QEMU's options for more kernel arguments: systemd-stub takes them from SMBIOS."""
    value = "io.systemd.stub.kernel-cmdline-extra=" + " ".join(words)
    return ["-smbios", f"type=11,value={value}"]


HEALTHY = [is_("systemctl is-system-running --wait | grep -v running; "
               "systemctl --failed --no-legend --plain", ""),
           ("findmnt -no FSTYPE,OPTIONS /usr", r"^erofs\s+ro"),
           ("findmnt -no FSTYPE /etc", "^overlay$"),
           is_("findmnt -no TARGET /sysusr /sysroot", "")]


# ---- everything: users, files, links, units; later boots leave all as it is; a reset does not ----

def gzipped(text):
    import base64
    return "data:;base64," + base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def everything_config(bench):
    c = bench.config("everything")
    c.user("worker", uid=1234, passwordHash="$6$salt$x", gecos="A worker", shell="/bin/bash",
           homeDir="/home/workers/one", groups=["builders", "sudo"])
    c.user("daemon2", system=True, noCreateHome=True, shell="/usr/sbin/nologin")
    c.config["passwd"]["groups"] = [{"name": "builders", "gid": 4321}, {"name": "sys2",
                                                                       "system": True}]
    c.file("/var/lib/x/deep/er/file", "text\n", mode=0o640, user={"name": "worker"},
           group={"id": 4321})
    c.file("/var/lib/x/empty", "")
    storage = c.config["storage"]
    text = "compressed\n" * 1000
    storage["files"] += [
        {"path": "/var/lib/x/unpacked", "contents": {
            "source": gzipped(text), "compression": "gzip", "verification": {
                "hash": "sha256-" + hashlib.sha256(text.encode()).hexdigest()}}},
        {"path": "/etc/issue", "append": [{"source": "data:,one%0A"}, {"source": "data:,two%0A"}]},
    ]
    storage["directories"] = [{"path": "/var/lib/x/dir", "mode": 0o770,
                               "user": {"name": "worker"}, "group": {"name": "builders"}}]
    storage["links"] = [{"path": "/var/lib/x/link", "target": "empty"},
                        {"path": "/var/lib/x/hard", "target": "/var/lib/x/unpacked", "hard": True},
                        {"path": "/etc/localtime", "target": "/usr/share/zoneinfo/Europe/Zurich",
                         "overwrite": True}]
    install = "[Install]\nWantedBy=multi-user.target\n"
    oneshot = "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
    c.unit("plain.service", f"{oneshot}ExecStart=touch /run/plain-${{N}}\n{install}")
    c.config["systemd"]["units"][-1]["dropins"] = [
        {"name": "n.conf", "contents": "[Service]\nEnvironment=N=7\n"}]
    c.unit("each@.service", f"{oneshot}ExecStart=touch /run/each-%i\n{install}", enabled=None)
    c.config["systemd"]["units"][-1].pop("enabled")
    c.config["systemd"]["units"] += [
        {"name": "each@one.service", "enabled": True}, {"name": "each@two.service", "enabled": True},
        {"name": "systemd-timesyncd.timer", "mask": True}, {"name": "fstrim.timer", "enabled": False},
    ]
    return c


EVERYTHING = [
    is_("hostname", "everything"),
    is_("getent passwd worker", "worker:x:1234:1234:A worker:/home/workers/one:/bin/bash"),
    ("id worker", r"uid=1234\(worker\).*(sudo.*builders|builders.*sudo)"),
    is_("sudo stat -c '%U %a' /home/workers/one", "worker 700"),
    ("sudo grep ^worker: /etc/shadow", r"^worker:\$6\$salt\$x:"),
    ("getent passwd daemon2; ls -d /home/daemon2", r"daemon2:x:\d{1,3}:.*No such file"),
    is_("getent group builders", "builders:x:4321:worker"),
    ("getent group sys2", r"^sys2:x:\d{1,3}:"),
    is_("sudo stat -c '%U %G %a %s' /var/lib/x/deep/er/file", "worker builders 640 5"),
    is_("stat -c '%U %G %a' /var/lib/x/deep", "root root 755"),
    is_("stat -c '%U %a %s' /var/lib/x/empty", "root 644 0"),
    is_("sort -u /var/lib/x/unpacked; wc -l < /var/lib/x/unpacked", "compressed\n1000"),
    ("tail -n 2 /etc/issue", r"\Aone\ntwo$"),
    is_("stat -c '%U %G %a' /var/lib/x/dir", "worker builders 770"),
    is_("readlink /var/lib/x/link /etc/localtime", "empty\n/usr/share/zoneinfo/Europe/Zurich"),
    is_("stat -c %h /var/lib/x/hard", "2"),
    is_("ls /run/plain-7 /run/each-one /run/each-two", "/run/each-one\n/run/each-two\n/run/plain-7"),
    is_("systemctl is-enabled plain.service each@one.service systemd-timesyncd.timer fstrim.timer",
        "enabled\nenabled\nmasked\ndisabled"),
    is_("cat /etc/systemd/system-preset/20-ignition.preset",
        "enable each@.service one two\ndisable fstrim.timer\nenable plain.service"),
    ("sudo cat /etc/.ignition-result.json", '"userConfigProvided": true'),
    ("sudo cat /var/lib/ignition/report.json", '"status": "complete".*"name": "files"'),
    is_(f"sudo stat -c %U {STAMP}", "root"),
]


def theme_everything(bench):
    disk = bench.disk("everything")
    with bench.boot(disk, everything_config(bench)) as vm:
        vm.wait_for("everything login:")
        bench.expect(vm, HEALTHY + EVERYTHING)
        bench.expect(vm, [("sudo rm /etc/hostname; echo mine | sudo tee /etc/hostname", "mine")])
        vm.poweroff(bench.key)
    other = bench.config("intruder").file("/etc/again", "again\n")
    with bench.boot(disk, other) as vm:
        vm.wait_for("mine login:")
        bench.expect(vm, HEALTHY + EVERYTHING[1:] + [
            ("ls /etc/again", "No such file"),
            (f"sudo rm {STAMP} && echo reset", "reset"),
            ("sudo systemd-run -q --on-active=1 systemctl reboot && echo done", "done")])
        vm.wait_for("intruder login:", vm.age() + machine.BOOT_DEADLINE)
        bench.expect(vm, HEALTHY + [is_("cat /etc/again", "again"), EVERYTHING[1], EVERYTHING[9]])
        vm.poweroff(bench.key)


# ---- refused: the boot stops with the reason ----

def refuse_arguments(bench, disk):
    c = bench.config("refused")
    c.config["kernelArguments"] = {"shouldExist": ["quiet", "mitigations=off"]}
    with bench.boot(disk, c) as vm:
        bench.must_fail(vm, "kargs", r"Setting: +\$\.kernelArguments\S*, line \d+ col",
                        r"Reason: +\S", r"What to do: \S")


def refuse_file(bench, disk):
    c = bench.config("refused")
    c.config["storage"]["files"][0]["contents"]["verification"] = {"hash": "sha256-" + 64 * "0"}
    with bench.boot(disk, c) as vm:
        bench.must_fail(vm, "files", r"Setting: +\$\.storage\.files\.0\.contents", "hash|sum")


def theme_refused(bench):
    """Then what was wrong is corrected: the same disk comes up."""
    disk = bench.disk("refused")
    refuse_arguments(bench, disk)
    refuse_file(bench, disk)
    with bench.boot(disk, bench.config("corrected")) as vm:
        vm.wait_for("corrected login:")
        bench.expect(vm, HEALTHY)
        vm.poweroff(bench.key)


# ---- remote: configuration and files from servers that fail now and then ----

class Site(http.server.BaseHTTPRequestHandler):
    """Answers from .server.pages: path → (list of failures first, body, headers wanted)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.log.append((self.command, self.path, dict(self.headers)))
        page = self.server.pages.get(self.path)
        if not page:
            return self.reply(404, b"")
        trouble = page["trouble"].pop(0) if page.get("trouble") else None
        if trouble == "cut":
            return self.reply(200, page["body"], cut=True)
        if trouble:
            return self.reply(trouble, b"in trouble")
        if any(self.headers.get(k) != v for k, v in page.get("headers", {}).items()):
            return self.reply(403, b"")
        if "to" in page:
            return self.reply(302, b"", [("Location", page["to"])])
        return self.reply(200, page["body"])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.log.append((self.command, self.path, body))
        self.reply(200, b"")

    def reply(self, code, body, headers=(), cut=False):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def site(pages, context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.pages, server.log = pages, []
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = f"http{'s' if context else ''}://{machine.GUEST_SEES_HOST}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def authority(scratch):
    """A private CA, and a server's context for the address that guests see."""
    def openssl(*argv):
        subprocess.run(["openssl", *argv], check=True, cwd=scratch, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "3650", "-subj", "/CN=Proof CA")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "site.key", "-out", "site.csr",
            "-subj", "/CN=site")
    (scratch / "san").write_text(f"subjectAltName=IP:{machine.GUEST_SEES_HOST}\n")
    openssl("x509", "-req", "-in", "site.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "site.pem", "-days", "3650", "-extfile", "san")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scratch / "site.pem", scratch / "site.key")
    return (scratch / "ca.pem").read_text(), context


def remote_file(path, url, body, **more):
    return {"path": path, "contents": {"source": url, "verification": {
        "hash": "sha512-" + hashlib.sha512(body).hexdigest()}, **more}}


def remote_config(bench, plain, secure, ca):
    """fw_cfg → replace (http) → merge (https with the private CA) → files of all kinds."""
    large = os.urandom(3 << 20)
    packed = gzip.compress(b"packed\n", mtime=0)
    merged = machine.Ignition().file("/etc/merged", "merged\n")
    merged.config["ignition"]["version"] = VERSION
    secure.pages["/merged"] = {"body": json.dumps(merged.config).encode(), "trouble": [503]}
    secure.pages["/secret"] = {"body": b"secret\n", "headers": {"X-Token": "sesame"}}
    plain.pages["/large"] = {"body": large, "trouble": ["cut", 500, "cut"]}
    plain.pages["/packed.gz"] = {"body": packed, "trouble": [500, 500]}
    plain.pages["/moved"] = {"to": plain.url + "/target"}
    plain.pages["/target"] = {"body": b"moved\n"}

    c = bench.config("remote")
    c.config["ignition"]["config"] = {"merge": [{"source": secure.url + "/merged"}]}
    c.config["ignition"]["security"] = {"tls": {"certificateAuthorities": [
        {"source": machine.data_url(ca)}]}}
    c.config["storage"]["files"] += [
        remote_file("/var/large", plain.url + "/large", large),
        remote_file("/var/packed", plain.url + "/packed.gz", b"packed\n", compression="gzip"),
        remote_file("/var/secret", secure.url + "/secret", b"secret\n",
                    httpHeaders=[{"name": "X-Token", "value": "sesame"}]),
        remote_file("/var/moved", plain.url + "/moved", b"moved\n"),
    ]
    plain.pages["/real"] = {"body": json.dumps(c.config).encode(), "trouble": [500] * 3}
    first = machine.Ignition().file("/etc/replaced", "must not be there\n")
    first.config["ignition"]["version"] = VERSION
    first.config["ignition"]["config"] = {"replace": {"source": plain.url + "/real"}}
    return first, hashlib.sha256(large).hexdigest()


def theme_remote(bench):
    disk = bench.disk("remote")
    ca, context = authority(bench.scratch)
    with site({}) as plain, site({}, context) as secure:
        report = kernel(f"ignition.report.url={plain.url}/report")
        # A server that holds something else than the configuration says.
        wrong = bench.config("wrong")
        plain.pages["/wrong"] = {"body": b"wrong\n"}
        wrong.config["storage"]["files"].append(remote_file("/etc/x", plain.url + "/wrong", b"right"))
        with bench.boot(disk, wrong, report) as vm:
            bench.must_fail(vm, "files", r"Setting: +\$\.storage\.files\.2\.contents", "hash|sum")
        check_reports(bench, plain, "failed")
        config, large = remote_config(bench, plain, secure, ca)
        with bench.boot(disk, config, report) as vm:
            vm.wait_for("remote login:")
            bench.expect(vm, HEALTHY + [
                is_("cat /etc/merged /var/packed /var/moved; sudo cat /var/secret",
                    "merged\npacked\nmoved\nsecret"),
                ("sha256sum < /var/large", large),
                ("ls /etc/replaced", "No such file"),
                ("networkctl status --no-pager | cat", "routable"),
            ])
            vm.poweroff(bench.key)
        check_reports(bench, plain, "complete")
        left = [p for s in (plain, secure) for p, page in s.pages.items() if page.get("trouble")]
        if left:
            raise SystemExit(f"ignition-boot: {left} were not asked for again after a failure")
        bench.checks += 1


def check_reports(bench, server, status):
    bodies = [json.loads(body) for verb, path, body in server.log
              if verb == "POST" and path == "/report"]
    if not bodies or bodies[-1]["status"] != status:
        raise SystemExit(f"ignition-boot: a report with status {status} must arrive, not {bodies}")
    if (status == "failed") != ("failure" in bodies[-1]):
        raise SystemExit(f"ignition-boot: {bodies[-1]} must tell of a failure when there is one")
    bench.checks += 2


# ---- disks: encryption, RAID, swap, all file systems; still there after the next boot ----

def mount_unit(c, path, device, kind):
    name = path.strip("/").replace("/", "-") + ".mount"
    c.unit(name, f"[Mount]\nWhat={device}\nWhere={path}\nType={kind}\n"
                 "[Install]\nWantedBy=local-fs.target\n")


def partition(number, label, mib):
    return {"number": number, "label": label, "sizeMiB": mib}


def disks_config(bench):
    c = bench.config("disks")
    one, two = "/dev/disk/by-id/virtio-one", "/dev/disk/by-id/virtio-two"
    label = "/dev/disk/by-partlabel/"
    storage = c.config["storage"]
    storage["disks"] = [
        {"device": one, "wipeTable": True, "partitions": [
            partition(1, "safe", 256), partition(2, "left", 400), partition(3, "swap", 64)]},
        {"device": two, "wipeTable": True, "partitions": [
            partition(1, "fat", 64), partition(2, "right", 400), partition(3, "plain", 0)]},
    ]
    storage["raid"] = [{"name": "mirror", "level": "raid1",
                        "devices": [label + "left", label + "right"]}]
    storage["luks"] = [{"name": "safe", "device": label + "safe", "wipeVolume": True,
                        "keyFile": {"source": "data:,a%20key"}}]
    storage["filesystems"] = [
        {"device": "/dev/mapper/safe", "format": "btrfs", "path": "/var/safe", "label": "SAFE"},
        {"device": "/dev/md/mirror", "format": "xfs", "path": "/var/mirror", "label": "MIRROR"},
        {"device": label + "plain", "format": "ext4", "path": "/var/mirror/plain",
         "uuid": "11111111-2222-3333-4444-555555555555"},
        {"device": label + "fat", "format": "vfat", "path": "/var/fat", "label": "FAT"},
        {"device": label + "swap", "format": "swap", "label": "SWAP"},
    ]
    for path in ("/var/safe/a", "/var/mirror/b", "/var/mirror/plain/c", "/var/fat/d"):
        c.file(path, f"in {path}\n")
    mount_unit(c, "/var/safe", "/dev/mapper/safe", "btrfs")
    mount_unit(c, "/var/mirror", "/dev/md/mirror", "xfs")
    mount_unit(c, "/var/mirror/plain", label + "plain", "ext4")
    mount_unit(c, "/var/fat", label + "fat", "vfat")
    c.unit("dev-disk-by\\x2dlabel-SWAP.swap", "[Swap]\nWhat=/dev/disk/by-label/SWAP\n"
           "[Install]\nWantedBy=swap.target\n")
    return c


DISKS = [
    is_("cat /var/safe/a /var/mirror/b /var/mirror/plain/c /var/fat/d",
        "in /var/safe/a\nin /var/mirror/b\nin /var/mirror/plain/c\nin /var/fat/d"),
    ("findmnt -rno TARGET,FSTYPE /var/safe /var/mirror /var/mirror/plain /var/fat | cat; "
     "findmnt -rno TARGET,FSTYPE | grep /var/", r"/var/safe btrfs.*"),
    ("sudo cryptsetup status safe", r"type: +LUKS2"),
    ("sudo mdadm --detail /dev/md/mirror", r"raid1.*Active Devices : 2"),
    ("lsblk -bnro PARTLABEL,SIZE /dev/disk/by-id/virtio-one | sort -u",
     r"left 419430400.*safe 268435456.*swap 67108864"),
    ("sudo blkid -o export /dev/disk/by-partlabel/plain", "11111111-2222-3333-4444-555555555555"),
    ("cat /proc/swaps", "/dev/vd"),
    ("sudo cat /etc/crypttab", r"^safe UUID=\S+ /etc/luks/safe luks"),
    is_("sudo stat -c '%a %s' /etc/luks/safe", "600 5"),
]


def theme_disks(bench):
    disk = bench.disk("disks")
    spares = bench.spare("one", 1024) + bench.spare("two", 1024)
    with bench.boot(disk, disks_config(bench), spares) as vm:
        vm.wait_for("disks login:")
        bench.expect(vm, HEALTHY + DISKS)
        vm.poweroff(bench.key)
    with bench.boot(disk, None, spares) as vm:
        vm.wait_for("disks login:")
        bench.expect(vm, HEALTHY + DISKS)
        vm.poweroff(bench.key)


# ---- root: ROOT is what the configuration makes of it ----

def theme_root(bench):
    disk = bench.disk("root")
    c = bench.config("rooted").file("/var/here", "on btrfs\n")
    c.config["storage"]["filesystems"] = [
        {"device": "/dev/disk/by-partlabel/root", "format": "btrfs", "label": "ROOT",
         "wipeFilesystem": True}]
    rows = HEALTHY + [is_("cat /var/here", "on btrfs"),
                      ("findmnt -no FSTYPE,OPTIONS /", "^btrfs .*nosuid,nodev,noexec"),
                      ("findmnt -bno SIZE /", r"^4[0-9]{9}$"),
                      ("ls -l /dev/disk/by-label/ROOT", "vda")]
    for config in (c, bench.config("intruder")):
        with bench.boot(disk, config) as vm:
            vm.wait_for("rooted login:")
            bench.expect(vm, rows)
            vm.poweroff(bench.key)


# ---- cuts: the power fails in every stage, and the machine still becomes what it shall be ----

CUTS = ["Find the Configuration", "Set Up Disks", "Repartition Root Disk", "Mount File Systems",
        "Write Users, Files and Units", "Unmount File Systems", "Provisioning Is Complete"]

# All that provisioning leaves, without what differs from machine to machine.
STATE = ("sudo sh -c 'cd /; for f in etc/passwd etc/group etc/gshadow etc/subuid etc/issue; do "
         "sha256sum $f; done; cut -d: -f1,2 etc/shadow | sha256sum; "
         "find var/lib/x home etc/systemd etc/sudoers.d etc/hostname -xdev "
         "-printf \"%p %y %m %U %G %l\\n\" | sort; "
         "find var/lib/x home etc/systemd -xdev -type f -print0 | sort -z | xargs -0 sha256sum; "
         "ls -A .etc; find / -xdev -name \".*.??????\" -o -xdev -name .ignition-journal'")


def state_of(bench, disk, config, options):
    with bench.boot(disk, config, options) as vm:
        vm.wait_for("everything login:")
        text = bench.expect(vm, HEALTHY + EVERYTHING + [(STATE, "etc/passwd")])[-1]
        vm.poweroff(bench.key)
        return text


def cut(bench, disk, config, what, delay, options=()):
    """Kills the machine a little after the stage started; whether the stage had not yet ended."""
    with bench.boot(disk, config, [*kernel("systemd.show_status=1"), *options]) as vm:
        vm.wait_for(r"Starting \S*ignition-\S+ *.*" + re.escape(what)[:24] + "|Starting .*"
                    + re.escape(what)[:16])
        end = time.monotonic() + delay
        while time.monotonic() < end:
            vm.pump(0.05)
        vm.process.kill()
        vm.wait_end()
        if "login:" in vm.console:
            raise SystemExit(f"ignition-boot: the cut in {what!r} came too late")
        bench.checks += 1
        return not re.search(r"Finished .*" + re.escape(what)[:16], vm.console)


def theme_cuts(bench):
    """A disk of its own for a file system, or there would be nothing to do for some of the stages."""
    config, spare = everything_config(bench), bench.spare("one", 64)
    config.config["storage"]["filesystems"] = [
        {"device": "/dev/disk/by-id/virtio-one", "format": "ext4", "path": "/var/x-spare", "wipeFilesystem": True}]
    want = state_of(bench, bench.disk("whole"), config, spare)
    disk = bench.disk("cut")
    for i, what in enumerate(CUTS):
        cut(bench, disk, config, what, 0.1 + 0.15 * (i % 3), spare)
    got = state_of(bench, disk, config, spare)
    if got != want:
        import difflib
        raise SystemExit("ignition-boot: cuts left another state:\n" + "\n".join(
            difflib.unified_diff(want.splitlines(), got.splitlines(), lineterm="")))
    bench.checks += 1


# ---- diskcuts: the power fails while arrays, volumes and file systems are made ----

# Seconds after the stage's start.
DISK_CUTS = [0.2, 1, 2, 3.5, 5]


def theme_diskcuts(bench):
    disk, config = bench.disk("diskcuts"), disks_config(bench)
    spares = bench.spare("one", 1024) + bench.spare("two", 1024)
    within = [cut(bench, disk, config, "Set Up Disks", delay, spares) for delay in DISK_CUTS]
    if sum(within) < 2:
        raise SystemExit(f"ignition-boot: of the cuts after {DISK_CUTS} s only {sum(within)} met the stage")
    print(f"diskcuts: {sum(within)} of {len(within)} cuts met the stage")
    for given in (config, None):
        with bench.boot(disk, given, spares) as vm:
            vm.wait_for("disks login:")
            bench.expect(vm, HEALTHY + DISKS)
            vm.poweroff(bench.key)


QUICK = ["refused"]
THEMES = {name.removeprefix("theme_"): function for name, function in globals().items()
          if name.startswith("theme_")}


def main():
    names = sys.argv[1:] or (QUICK if slipway.QUICK else list(THEMES))
    if set(names) - set(THEMES):
        raise SystemExit(f"usage: ignition-boot.py [{'|'.join(THEMES)}]...")
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_PROOF_DISK"] = str(slipway.real_image().artifact(".raw"))
    machine.enter_namespace()
    scratch = slipway.scratch()
    try:
        bench = Bench(os.environ["SLIPWAY_PROOF_DISK"], scratch)
        for name in names:
            start, before = time.monotonic(), bench.checks
            THEMES[name](bench)
            print(f"{name:10s} {bench.checks - before:3d} checks, {time.monotonic() - start:.0f} s",
                  flush=True)
        print(f"ignition-boot: {bench.checks} checks held in {len(names)} themes")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
