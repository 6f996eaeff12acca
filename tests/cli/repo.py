"""Tiny packages and a signed repository of them, served on loopback.

    with Key() as key, Repository(key) as repository:
        repository.add(make_deb("hello", "1.0", {"usr/bin/hello": b"#!/bin/sh\n"}))
        repository.publish()
        with Server(repository.path) as server:
            ... slipway build image.json --mirror test={server.url} ...

Everything that can be wrong with a repository or a server is a keyword argument or an attribute
here, so that a test says in one line what it breaks. Python 3 standard library, and gpg.
"""

import email.utils
import hashlib
import http.server
import io
import lzma
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time

EPOCH = 1700000000


class Deb:
    """One .deb: its bytes, and the fields that a Packages file says about it."""

    def __init__(self, fields, data):
        self.fields = fields
        self.data = data
        self.name = fields["Package"]
        self.version = fields["Version"]
        letter = self.name[:4] if self.name.startswith("lib") else self.name[0]
        version = self.version.split(":", 1)[-1]
        self.filename = (f"pool/main/{letter}/{self.name}/"
                         f"{self.name}_{version}_{fields['Architecture']}.deb")
        self.sha256 = hashlib.sha256(data).hexdigest()

    def stanza(self, **changes):
        """Its stanza in a Packages file; changes replace fields, None leaves one out."""
        fields = dict(self.fields)
        fields |= {"Filename": self.filename, "Size": str(len(self.data)), "SHA256": self.sha256}
        fields |= changes
        return "".join(f"{key}: {value}\n" for key, value in fields.items() if value is not None)


def _tar(entries, compression):
    """entries: (path, mode, content); content: bytes, str (symlink target), None (directory)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, mode, content in entries:
            info = tarfile.TarInfo(path if path.startswith("/") else "./" + path)
            info.mode, info.mtime = mode, EPOCH
            info.uname = info.gname = "root"
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    if compression == "xz":
        return lzma.compress(out.getvalue(), preset=0)
    return out.getvalue()


def _ar(members):
    out = [b"!<arch>\n"]
    for name, data in members:
        out.append(f"{name:<16}{EPOCH:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
        out.append(data + b"\n" * (len(data) % 2))
    return b"".join(out)


def _parents(files):
    """The directories above the files, each once, parents first."""
    found = set()
    for path in files:
        for parent in pathlib.PurePosixPath(path).parents:
            if str(parent) != ".":
                found.add(str(parent))
    return sorted(found - {path.rstrip("/") for path in files})


def make_deb(name, version, files=None, depends=None, scripts=None, architecture="amd64",
             modes=None, compression="xz", parents=True, **fields):
    """A package. files: path -> bytes, str (a symlink's target) or None (a directory); modes: path
    -> mode; scripts: "postinst" … -> text; parents=False: without the directories above the files,
    and paths as they are given; further keyword arguments are control fields, '_' for '-':
    pre_depends="a (>= 1)"."""
    files = files or {}
    modes = modes or {}
    control = {"Package": name, "Version": version, "Architecture": architecture,
               "Maintainer": "Nobody <nobody@example.invalid>", "Description": f"test package {name}"}
    if depends:
        control["Depends"] = depends if isinstance(depends, str) else ", ".join(depends)
    control |= {key.replace("_", "-").title(): value for key, value in fields.items()}
    text = "".join(f"{key}: {value}\n" for key, value in control.items()).encode()
    control_entries = [("control", 0o644, text)]
    control_entries += [(n, 0o755, s.encode()) for n, s in sorted((scripts or {}).items())]
    entries = [(path, 0o755, None) for path in _parents(files)] if parents else []
    entries += [(path.rstrip("/"), modes.get(path, 0o755 if content is None else 0o644), content)
                for path, content in files.items()]
    suffix = ".xz" if compression == "xz" else ""
    return Deb(control, _ar([("debian-binary", b"2.0\n"),
                             ("control.tar" + suffix, _tar(control_entries, compression)),
                             ("data.tar" + suffix, _tar(sorted(entries, key=lambda e: e[0]),
                                                        compression))]))


class Key:
    """A throw-away signing key; `keyring` is what a manifest names."""

    def __init__(self):
        # Short: gpg-agent's socket lives in it.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="sk-", dir="/tmp"))
        self.keyring = self.home / "keyring.gpg"
        self._gpg("--passphrase", "", "--quick-generate-key", "Slipway test", "ed25519", "sign",
                  "never")
        self.keyring.write_bytes(self._gpg("--export"))
        self.home.chmod(0o755)  # the keyring is read by other users; the keys are not
        self.keyring.chmod(0o644)

    def _gpg(self, *arguments, data=b""):
        return subprocess.run(["gpg", "--homedir", str(self.home), "--batch", "--quiet",
                               "--no-permission-warning", "--pinentry-mode", "loopback",
                               *arguments],
                              input=data, stdout=subprocess.PIPE, check=True).stdout

    def clearsign(self, text):
        return self._gpg("--digest-algo", "SHA256", "--clearsign", data=text.encode())

    def close(self):
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "gpg-agent"],
                       check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Repository:
    """A directory like a Debian mirror's. publish() may be called again after changes."""

    def __init__(self, key, path=None):
        self.key = key
        self._own = None if path else tempfile.mkdtemp(prefix="slipway-repo-")
        self.path = pathlib.Path(path or self._own)
        self.path.chmod(0o755)
        self.debs = []

    def add(self, *debs):
        self.debs += debs
        for deb in debs:
            target = self.path / deb.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(deb.data)

    def deb_path(self, name):
        return next(self.path / deb.filename for deb in self.debs if deb.name == name)

    def publish(self, suite="stable", component="main", architecture="amd64", codename=None,
                date=None, valid_until=None, by_hash=True, sign="good", packages=None,
                changes=None, index="good", fields=None):
        """Writes indexes and InRelease.

        sign: "good", "none", "altered" (changed after signing) or another Key.
        changes: package name -> fields of its stanza that lie, e.g. {"hello": {"SHA256": "0"*64}}.
        index: "good" or "altered" (other bytes than InRelease says).
        packages: names in this suite; None: all. date, valid_until: seconds since 1970."""
        base = self.path / "dists" / suite
        stanzas = [deb.stanza(**(changes or {}).get(deb.name, {})) for deb in self.debs
                   if packages is None or deb.name in packages]
        data = lzma.compress("\n".join(stanzas).encode(), preset=0)
        sha256 = hashlib.sha256(data).hexdigest()
        where = f"{component}/binary-{architecture}"
        directory = base / where
        (directory / "by-hash/SHA256").mkdir(parents=True, exist_ok=True)
        bad = bytes([data[0] ^ 1]) + data[1:]
        for target in (directory / "Packages.xz", directory / "by-hash/SHA256" / sha256):
            target.write_bytes(data if index == "good" else bad)
        lines = {"Origin": "Test", "Suite": suite, "Codename": codename or suite,
                 "Date": self._date(time.time() if date is None else date)}
        if valid_until is not None:
            lines["Valid-Until"] = self._date(valid_until)
        if by_hash:
            lines["Acquire-By-Hash"] = "yes"
        lines |= {"Architectures": architecture, "Components": component}
        lines |= fields or {}
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        text += f"SHA256:\n {sha256} {len(data)} {where}/Packages.xz\n"
        (base / "InRelease").write_bytes(self._sign(text, sign))

    @staticmethod
    def _date(seconds):
        return email.utils.formatdate(seconds, usegmt=True).replace("GMT", "UTC")

    def _sign(self, text, sign):
        if sign == "none":
            return text.encode()
        signed = (sign if isinstance(sign, Key) else self.key).clearsign(text)
        return signed.replace(b"Origin: Test", b"Origin: Evil") if sign == "altered" else signed

    def close(self):
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _range(self, size):
        header = self.headers.get("Range")
        if not header or not self.server.ranges:
            return 0
        return min(int(header.removeprefix("bytes=").split("-")[0]), size)

    def do_GET(self):
        server = self.server
        if server.gone:
            self.close_connection = True
            return None
        path = pathlib.Path(server.root, self.path.lstrip("/"))
        with server.lock:
            server.requests.append((self.path, self.headers.get("Range")))
            failing = server.fail_times > 0 and server.matches(self.path)
            server.fail_times -= failing
            cutting = not failing and server.cut_times > 0 and server.matches(self.path)
            server.cut_times -= cutting
        if failing:
            return self._answer(server.fail_status, b"")
        if not path.is_file():
            return self._answer(404, b"no such file\n")
        data = path.read_bytes()
        etag = '"%s"' % hashlib.sha256(data).hexdigest()[:16]
        if self.headers.get("If-None-Match") == etag:
            return self._answer(304, b"")
        start = self._range(len(data))
        if start == len(data) > 0:
            return self._answer(416, b"")
        headers = {"ETag": etag}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self._answer(206 if start else 200, data[start:], headers,
                            server.cut_after if cutting else None)

    def _answer(self, status, body, headers=None, cut=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body if cut is None else body[:cut])
        if cut is not None:  # gone in the middle
            self.close_connection = True

    def _send(self, body):
        """The body in pieces, so that the server can be slow, or go away in the middle."""
        piece = 4096 if self.server.pause else len(body) or 1
        for start in range(0, len(body), piece):
            if self.server.gone:
                self.close_connection = True
                return
            self.wfile.write(body[start:start + piece])
            time.sleep(self.server.pause)


class _Http(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that was killed is no error of the test."""


class Server:
    """Serves a directory on 127.0.0.1. Attributes may be changed while it runs:

    ranges: whether Range is honoured; cut_times, cut_after: so many answers end after so many bytes
    of their body; fail_times, fail_status: so many answers are only that status; only: these two
    hold for paths that contain this text; pause: seconds after each 4 KiB; gone: every connection
    ends at once. requests: (path, Range header) of every request."""

    def __init__(self, root, ranges=True):
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        h = self._http
        h.root, h.ranges, h.lock, h.requests = str(root), ranges, threading.Lock(), []
        h.cut_times, h.cut_after, h.fail_times, h.fail_status, h.only = 0, 0, 0, 503, ""
        h.pause, h.gone = 0, False
        h.matches = lambda path: h.only in path
        self.url = f"http://127.0.0.1:{h.server_address[1]}"
        self._thread = threading.Thread(target=h.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def set(self, **knobs):
        for name, value in knobs.items():
            setattr(self._http, name, value)

    @property
    def requests(self):
        with self._http.lock:
            return list(self._http.requests)

    def forget(self):
        with self._http.lock:
            self._http.requests.clear()

    def close(self):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
