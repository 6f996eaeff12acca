"""Virtual machines for tests: `slipway run` inside a network namespace of its own.

enter_namespace() is called once, first thing: from then on the process has a loopback and nothing
else, so that no packet of a guest can leave this machine. The guest reaches servers on our loopback
at 10.0.2.2.
"""

import base64
import json
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

import debian13
import slipway

GUEST_SEES_HOST = "10.0.2.2"
# A loaded machine may be slow; a machine that hangs must not hang the test.
BOOT_DEADLINE = float(os.environ.get("SLIPWAY_BOOT_DEADLINE", "420"))
# Of a machine; else as many as `slipway run` gives.
PROCESSORS = os.environ.get("SLIPWAY_PROCESSORS")
# Between what commands say that are run in one session.
CUT = "--8<--"
# What ssh says when it got no further than the connection.
NOT_GREETED = re.compile(r"banner exchange|kex_exchange_identification|Connection (refused|reset)")


def enter_namespace(own_qemu=False):
    """Re-executes the program in new user and network namespaces with only a loopback. In short proofs machines have one processor, so
    that several run side by side, and the quicker QEMU; own_qemu: what users have by default, as in whole ones."""
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_NAMESPACE"] = "1"
        if slipway.QUICK and not own_qemu:
            os.environ["SLIPWAY_PROCESSORS"] = "1"
            os.environ["PATH"] = f"{debian13.quicker_qemu()}:{os.environ['PATH']}"
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", sys.executable,
                              *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with open("/proc/net/dev", encoding="ascii") as table:
        names = [line.split(":")[0].strip() for line in table if ":" in line]
    if set(names) - {"lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0",
                     "ip6_vti0", "ip6gre0"}:
        raise SystemExit(f"not alone in this network namespace: {names}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def data_url(text):
    return "data:," + urllib.parse.quote(text)


def is_(command, text):
    """A row for Machine.expect(): the command prints just this."""
    return command, r"\A" + re.escape(text) + r"\s*\Z"


class Ignition:
    """A config in the making."""

    def __init__(self, path=None):
        self.config = json.loads(pathlib.Path(path).read_text()) if path else {
            "ignition": {"version": "3.4.0"}}

    def file(self, path, text, mode=0o644, **more):
        files = self.config.setdefault("storage", {}).setdefault("files", [])
        files.append({"path": path, "mode": mode, "contents": {"source": data_url(text)}, **more})
        return self

    def unit(self, name, text, enabled=True):
        units = self.config.setdefault("systemd", {}).setdefault("units", [])
        units.append({"name": name, "enabled": enabled, "contents": text})
        return self

    def user(self, name, **more):
        users = self.config.setdefault("passwd", {}).setdefault("users", [])
        for user in users:
            if user["name"] == name:
                for key, value in more.items():
                    user[key] = user[key] + value if isinstance(value, list) and key in user else value
                return self
        users.append({"name": name, **more})
        return self

    def write(self, path):
        pathlib.Path(path).write_text(json.dumps(self.config, indent=2))
        return path


class Machine:
    """One running `slipway run`; its console is kept in .console."""

    def __init__(self, disk, ignition=None, snapshot=True, echo=None, options=()):
        self.ssh_port = free_port()
        argv = [str(slipway.SLIPWAY), "run", str(disk), "--ssh-port", str(self.ssh_port)]
        if ignition:
            argv += ["--ignition", str(ignition)]
        if snapshot:
            argv += ["--snapshot"]
        if PROCESSORS:
            argv += [f"--cpus={PROCESSORS}"]
        argv += [str(o) for o in options]
        self.echo = echo
        self.console = ""
        self._sockets = None
        self.started = time.monotonic()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def age(self):
        return time.monotonic() - self.started

    def pump(self, seconds=0.2):
        """Takes what the console printed; False when the machine is gone."""
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return self.process.poll() is None
        chunk = self.process.stdout.read()
        if not chunk:
            return False
        text = chunk.decode(errors="replace")
        self.console += text
        if self.echo:
            self.echo.write(text)
            self.echo.flush()
        return True

    def forget(self):
        """What the console has shown so far no longer counts."""
        while self.pump(0) and select.select([self.process.stdout], [], [], 0)[0]:
            pass
        self.console = ""

    def wait_for(self, pattern, deadline=BOOT_DEADLINE):
        """Waits until the console shows the pattern; returns the match and the machine's age."""
        regex = re.compile(pattern)
        while True:
            match = regex.search(self.console)
            if match:
                return match, self.age()
            if self.age() > deadline:
                raise SystemExit(f"no {pattern!r} within {deadline:.0f} s; the console ends:\n"
                                 f"{self.console[-3000:]}")
            if not self.pump() and not regex.search(self.console):
                raise SystemExit(f"the machine ended before {pattern!r}; its console ends:\n"
                                 f"{self.console[-3000:]}")

    def wait_end(self, deadline=BOOT_DEADLINE):
        while self.pump():
            if self.age() > deadline:
                raise SystemExit(f"still running after {deadline:.0f} s")
        return self.process.wait()

    def _sharing(self):
        """One connection a user for all commands: each costs seconds under emulation. It ends with
        the machine."""
        if not self._sockets:
            self._sockets = tempfile.mkdtemp(prefix="slipway-ssh-")
        return ["-o", "ControlMaster=auto", "-o", f"ControlPath={self._sockets}/%r",
                "-o", "ControlPersist=600"]

    def end_sharing(self):
        """No connection is kept any longer: the guest is about to go."""
        if not self._sockets:
            return
        for path in pathlib.Path(self._sockets).iterdir():
            subprocess.run(["ssh", "-F", "/dev/null", "-o", f"ControlPath={path}", "-O", "exit", "x"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._sockets = None

    def _ssh_start(self, key, command, user="core", output=subprocess.PIPE):
        argv = ["ssh", "-i", str(key), "-p", str(self.ssh_port), "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
                "-o", "ConnectTimeout=60", "-F", "/dev/null", *self._sharing(),
                f"{user}@127.0.0.1", command]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output,
                                stderr=subprocess.STDOUT, text=True)

    def _ssh_first_line(self, key, command):
        with self._ssh_start(key, command) as child:
            line = child.stdout.readline()
            return line, self.age()

    def _ssh_once(self, key, command, user, end):
        """Exit status and output of a command in the guest; None as the status when `end` came first."""
        # Into a file: a pipe that nobody empties would stall the command. The console is drained
        # meanwhile, or the machine would stall on that.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            child = self._ssh_start(key, command, user, output)
            while child.poll() is None:
                self.pump(0.1)
                if time.monotonic() > end:
                    child.kill()
                    child.wait()
                    break
            output.seek(0)
            return child.returncode if time.monotonic() <= end else None, output.read()

    def ssh(self, key, command, user="core", check=True, timeout=120):
        """Runs a command in the guest; returns its output."""
        end = time.monotonic() + timeout
        while True:
            status, text = self._ssh_once(key, command, user, end)
            if status is None:
                raise SystemExit(f"ssh {command!r}: no answer within {timeout} s: {text}")
            # A guest that is still starting may be too busy to greet in time: nothing was run, so ask again.
            if status != 255 or not NOT_GREETED.search(text):
                break
            time.sleep(1)
        if check and status != 0:
            raise SystemExit(f"ssh {command!r}: exit {status}: {text}")
        return text

    def ask(self, key, commands, user="core", shell="bash", timeout=900):
        """What each of the commands prints, errors included. All run in one session, of which each would cost a second under
        emulation, but each in a subshell of its own. shell: who runs them, "sudo bash" for root."""
        script = "\n".join(f"printf '\\n{CUT}\\n'; (\n{command}\n) 2>&1" for command in [*commands, ":"])
        encoded = base64.b64encode(script.encode()).decode()
        output = self.ssh(key, f'{shell} -c "$(echo {encoded} | base64 -d)"', user, check=False, timeout=timeout)
        answers = output.split(f"\n{CUT}\n")[1:-1]
        if len(answers) != len(commands):
            raise SystemExit(f"{len(answers)} answers to {len(commands)} questions: {output!r}")
        return answers

    def wrong(self, key, rows, **how):
        """rows: commands, and patterns of what they must print, asked as ask() does. The answers, and those that are wrong in words."""
        answers = self.ask(key, [command for command, _ in rows], **how)
        return answers, [f"{command!r} must print {pattern!r}, not {answer!r}" for (command, pattern), answer in zip(rows, answers)
                         if not re.search(pattern, answer, re.S | re.M)]

    def expect(self, key, rows, **how):
        """The answers, when all are as they must be."""
        answers, problems = self.wrong(key, rows, **how)
        if problems:
            raise SystemExit("\n".join(problems))
        return answers

    def copy(self, key, paths, directory):
        """Copies files into a directory of the guest."""
        done = subprocess.run(["scp", "-q", "-i", str(key), "-P", str(self.ssh_port), "-o",
                               "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-F",
                               "/dev/null", *self._sharing(), *map(str, paths),
                               f"core@127.0.0.1:{directory}"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"scp: {done.stderr}")

    def clock(self, key):
        """The machine's age since power-on and since its kernel started, read at one moment."""
        output, arrived = self._ssh_first_line(key, "cat /proc/uptime")
        return arrived, float(output.split()[0])

    def poweroff(self, key):
        self.ssh(key, "sudo systemctl poweroff --no-block", check=False)
        return self.wait_end(self.age() + BOOT_DEADLINE)

    def stop(self):
        """ctrl-a x: QEMU's own way out."""
        self.end_sharing()
        if self.process.poll() is None:
            try:
                self.process.stdin.write(b"\x01x")
                self.process.stdin.flush()
                self.process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def ssh_key(directory):
    """A key pair for one test; returns the private key's path and the public line."""
    path = pathlib.Path(directory) / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path, path.with_suffix(".pub").read_text().strip()


class Registry:
    """A real registry on our loopback."""

    def __init__(self, directory, port=5000):
        self.directory = pathlib.Path(directory)
        self.address = f"127.0.0.1:{port}"
        config = self.directory / "registry.yml"
        config.write_text("version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: "
                          f"{self.directory}/registry}}}}\nhttp: {{addr: '{self.address}'}}\n")
        self.log = open(self.directory / "registry.log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=self.log,
                                        stderr=self.log)
        self._wait(port)

    def _wait(self, port):
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise SystemExit("docker-registry did not start: "
                         + (self.directory / "registry.log").read_text())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def push(self, layout, name):
        """Pushes an OCI layout directory."""
        subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false",
                        f"oci:{layout}", f"docker://{self.address}/{name}"], check=True,
                       env={**os.environ, "HOME": str(self.directory), "XDG_RUNTIME_DIR":
                            str(self.directory)})


def oci_image(directory, program, arguments):
    """An OCI image layout with one static program of the builder, e.g. busybox."""
    import gzip
    import hashlib
    import io
    import tarfile

    directory = pathlib.Path(directory)
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name in ("bin", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        data = pathlib.Path(program).read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(data), 0o755
        tar.addfile(entry, io.BytesIO(data))
    layer = put(gzip.compress(raw.getvalue(), mtime=0))
    config = put(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": arguments, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers",
                   "diff_ids": ["sha256:" + hashlib.sha256(raw.getvalue()).hexdigest()]},
    }).encode())
    kind = "application/vnd.oci.image"
    manifest = put(json.dumps({
        "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", **config},
        "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", **layer}],
    }).encode())
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({
        "schemaVersion": 2,
        "manifests": [{"mediaType": f"{kind}.manifest.v1+json", **manifest}]}))
    return directory


def hello_image(directory, message):
    """The image of docs/examples/hello.ign.json: Debian's busybox-static that says hello."""
    return oci_image(pathlib.Path(directory) / "hello-image", shutil.which("busybox"),
                     ["/bin/busybox", "echo", message])
