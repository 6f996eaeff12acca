"""An update site of made-up images, servers for it (nginx, and one that plays tricks), and a machine that stages from it.

Hash trees are made by veritysetup. Python 3 standard library, cryptsetup-bin, nginx.
"""

import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time

import slipway

BLOCK = 4096
TOOL = slipway.PROGRAMS / "tests/tools/stage"


def blocks(numbers):
    """An image: number n gives a block that is unlike any other, 0 one of zeros."""
    return b"".join(bytes(BLOCK) if n == 0 else hashlib.shake_128(str(n).encode()).digest(BLOCK) for n in numbers)


def make_tree(image, tree):
    """Beside the image; returns its root hash."""
    output = subprocess.run(["veritysetup", "format", "--salt=-", str(image), str(tree)], check=True, text=True,
                            capture_output=True).stdout
    return re.search(r"Root hash:\s+([0-9a-f]{64})", output).group(1)


class Site:
    """A directory as `slipway publish` leaves one, with one release in it (or several)."""

    def __init__(self, path):
        self.path = path
        path.mkdir()

    def add(self, usr, uki, version="2"):
        """usr: bytes, or a file to move here; returns the directory with release.json."""
        staging = self.path / f"new-{version}"
        staging.mkdir()
        if isinstance(usr, bytes):
            (staging / "usr.img").write_bytes(usr)
        else:
            os.rename(usr, staging / "usr.img")
        root_hash = make_tree(staging / "usr.img", staging / "usr.tree")
        (staging / "uki.efi").write_bytes(uki + bytes(-len(uki) % BLOCK))
        uki_root_hash = make_tree(staging / "uki.efi", staging / "uki.tree")
        (staging / "uki.efi").write_bytes(uki)
        size = {name: (staging / name).stat().st_size for name in ("usr.img", "usr.tree", "uki.efi")}
        (staging / "release.json").write_text(json.dumps({
            "format": 1, "image": "test", "version": version, "architecture": "amd64", "timestamp": 1790000000,
            "kernel": "6.12.0", "rootHash": root_hash, "usrSize": size["usr.img"], "treeSize": size["usr.tree"],
            "ukiRootHash": uki_root_hash, "ukiSize": size["uki.efi"],
            "layout": {"usr": size["usr.img"], "usrVerity": size["usr.tree"], "esp": 8 * size["uki.efi"] + (1 << 20)},
            "health": [], "sysextLevels": []}))
        place = self.path / "images" / root_hash
        place.parent.mkdir(exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        return staging.rename(place)


class Machine:
    """Targets that are as large as they need be, and a file beside them that nobody may touch."""

    def __init__(self, path, release, room=64 * 1024, offset=0):
        self.path, self.release, self.offset = path, release, offset
        (path / "EFI").mkdir(parents=True)
        (path / "EFI/slipway_1.efi").write_bytes(b"the old one")
        for name, source in (("usr", "usr.img"), ("usr.tree", "usr.tree")):
            with open(path / name, "wb") as file:
                file.write(b"\xaa" * offset)
                file.truncate(offset + (release / source).stat().st_size + room)
        self.sources = []

    @property
    def uki(self):
        return self.path / "EFI/slipway_new.efi.new"

    def add_source(self, kind, image, tree):
        self.sources.append(f"--{kind}={image}:{tree}")

    def argv(self, url, *options, patience=10):
        return [TOOL, url, self.release / "release.json", self.path, f"--patience={patience}",
                f"--offset={self.offset}", *self.sources, *options]

    def run(self, url, *options, timeout=60, patience=10):
        """The process as it ended, with .counts, .seconds, .cpu and .rss (MiB)."""
        out = self.path.parent / f"{self.path.name}.out"
        began = time.monotonic()
        with open(out, "w+b") as file, open(f"{out}.err", "w+b") as errors:
            process = subprocess.Popen(list(map(str, self.argv(url, *options, patience=patience))), stdout=file,
                                       stderr=errors)
            timer = threading.Timer(timeout, process.kill)
            timer.start()
            _, status, usage = os.wait4(process.pid, 0)
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        process.seconds = time.monotonic() - began
        process.cpu = usage.ru_utime + usage.ru_stime
        process.error = pathlib.Path(f"{out}.err").read_text()
        text = out.read_text()
        process.counts = json.loads(text) if text else None
        process.rss = process.counts["peak"] / 1024 if text else 0
        return process

    def wrong(self):
        """What is not as the release wants it, or was touched and should not have been."""
        found = []
        for name, source in (("usr", "usr.img"), ("usr.tree", "usr.tree")):
            wanted = (self.release / source).read_bytes()
            got = (self.path / name).read_bytes()
            if got[self.offset:self.offset + len(wanted)] != wanted:
                found.append(name)
        if not self.uki.exists() or self.uki.read_bytes() != (self.release / "uki.efi").read_bytes():
            found.append("uki")
        return found + self.touched()

    def touched(self):
        """What is outside the targets and not as it was."""
        found = []
        for name, source in (("usr", "usr.img"), ("usr.tree", "usr.tree")):
            got = (self.path / name).read_bytes()
            if got[:self.offset] != b"\xaa" * self.offset or any(
                    got[self.offset + (self.release / source).stat().st_size:]):
                found.append(f"outside of {name}")
        if (self.path / "EFI/slipway_1.efi").read_bytes() != b"the old one":
            found.append("slipway_1.efi")
        extra = {p.name for p in (self.path / "EFI").iterdir()} - {"slipway_1.efi", self.uki.name}
        return found + sorted(extra)

    def foreign(self):
        """Blocks of the image's place that are neither as wanted nor as they were (zeros)."""
        wanted = (self.release / "usr.img").read_bytes()
        got = (self.path / "usr").read_bytes()[self.offset:]
        return [i for i in range(len(wanted) // BLOCK)
                if (block := got[i * BLOCK:(i + 1) * BLOCK]) != wanted[i * BLOCK:(i + 1) * BLOCK] and any(block)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx:
    """On loopback, with a configuration of its own. tls: a certificate (then with HTTP/2)."""

    def __init__(self, root, work, *, tls=None, directives=""):
        work.mkdir()
        self.work, self.port = work, free_port()
        self.log = work / "access.log"
        self.scheme = "https" if tls else "http"
        listen = f"listen 127.0.0.1:{self.port}" + (" ssl http2" if tls else "")
        certificate = f"ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key};" if tls else ""
        temp = "".join(f"{kind}_temp_path {work}/{kind};" for kind in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""  # the only one of a namespace
        (work / "nginx.conf").write_text(
            f"{user}daemon off; master_process off; pid {work}/pid; error_log {work}/error.log;\n"
            f"events {{ worker_connections 64; }}\n"
            f"http {{ log_format short '$server_protocol $status $body_bytes_sent $uri $connection';\n"
            f"access_log {self.log} short; sendfile on; {temp} {directives}\n"
            f"server {{ {listen}; {certificate} root {root}; }} }}\n")

    def __enter__(self):
        self.process = subprocess.Popen(["nginx", "-e", self.work / "error.log", "-c", self.work / "nginx.conf"])
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise RuntimeError((self.work / "error.log").read_text())

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def requests(self):
        """(protocol, status, bytes, path, connection) of each."""
        time.sleep(0.05)
        return [tuple(line.split()) for line in self.log.read_text().splitlines()]


class TricksterHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def begin(self, status, length, **headers):
        self.send_response_only(status)
        for name, value in ({"Content-Length": length, "ETag": self.server.etag} | headers).items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def partial(self, data=None, **headers):
        """The right answer, but for what the arguments say."""
        first, last, total = self.first, self.last, len(self.data)
        self.begin(206, last - first + 1, **{"Content_Range": f"bytes {first}-{last}/{total}"} | headers)
        self.wfile.write(self.data[first:last + 1] if data is None else data)

    def status(self, status, **headers):
        self.begin(status, 0, **headers)

    def reset(self):
        """RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()

    def do_GET(self):
        server = self.server
        with server.lock:
            server.count += 1
            self.number = server.count
        path = server.root / self.path.lstrip("/")
        if not path.is_file():
            return self.status(404)
        self.name, self.data = path.name, path.read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.first, self.last = map(int, match.groups()) if match else (0, len(self.data) - 1)
        if self.name in server.files or not server.files:
            if server.trick(self) is not True:
                return None
        return self.partial()

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass


class Trickster(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """trick(handler) answers each request for one of `files` (all when empty); True: as it should."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, root, trick, files=()):
        super().__init__(("127.0.0.1", 0), TricksterHandler)
        self.root, self.trick, self.files = root, trick, set(files)
        self.count, self.etag, self.lock = 0, '"one"', threading.Lock()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):  # clients may go away
            super().handle_error(request, client_address)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stopped.set()
        self.shutdown()
        self.server_close()
        self.thread.join()
