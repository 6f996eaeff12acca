"""Servers that tests talk to, on loopback: web (with or without TLS), a proxy, tftp.

    with Web({"/a": b"hello"}) as web:
        ... web.url("/a") ...
        web.requests    # what was asked for: method, path, headers as they came

An answer is bytes, a Reply, or a function of the request (a list is given out one by one, its last
one for ever). Python 3 standard library, and openssl for certificates.
"""

import dataclasses
import http.server
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading


def enter_namespace(*addresses):
    """Re-executes the program in namespaces of its own (user, network, mount): it has a loopback
    with these addresses besides the usual ones, and nothing else."""
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.environ["SLIPWAY_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", "--mount",
                              sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in addresses:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)


@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: list  # (name, value) in order
    body: bytes
    port: int  # the client's

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclasses.dataclass
class Reply:
    body: bytes = b""
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    wait: float = 0  # seconds before the answer
    cut: int = None  # ends the connection after so many bytes of the body
    size: int = None  # so many zeros instead of the body


def redirect(url, status=302):
    return Reply(status=status, headers={"Location": url})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send_zeros(self, size):
        chunk = bytes(1 << 16)
        for start in range(0, size, len(chunk)):
            self.wfile.write(chunk[:size - start])

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        request = Request(self.command, self.path, self.headers.items(), self.rfile.read(length),
                          self.client_address[1])
        reply = self.server.web.reply(request)
        self.server.web.stopped.wait(reply.wait)
        size = len(reply.body) if reply.size is None else reply.size
        self.send_response_only(reply.status)
        headers = {"Content-Length": size} | reply.headers
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if reply.size is not None:
            self.send_zeros(reply.size)
        else:
            self.wfile.write(reply.body[:reply.cut])
        self.close_connection = reply.cut is not None or "Content-Length" not in headers

    do_GET = do_PUT = do_POST = do_HEAD = answer


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # clients may go away
            super().handle_error(request, client_address)


class Running:
    """A socketserver with a thread, for `with`."""

    def run(self, server):
        self.server = server
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Web(Running):
    def __init__(self, routes=None, *, host="127.0.0.1", port=0, tls=None, name=None):
        self.routes = dict(routes or {})
        self.requests = []
        self.scheme = "https" if tls else "http"
        server = Listener((host, port), Handler)
        server.web = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            server.socket = context.wrap_socket(server.socket, server_side=True,
                                                do_handshake_on_connect=False)
        self.name = name or host
        self.port = server.server_address[1]
        self.run(server)

    def url(self, path):
        return f"{self.scheme}://{self.name}:{self.port}{path}"

    def reply(self, request):
        self.requests.append(request)
        found = self.routes.get(request.path, Reply(status=404))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if callable(found):
            found = found(request)
        return Reply(found) if isinstance(found, bytes) else found

    def paths(self):
        return [request.path for request in self.requests]


class ProxyHandler(Handler):
    """Asks for what it is asked for; CONNECT leads where it says."""

    def answer(self):
        self.server.web.requests.append(Request(self.command, self.path, self.headers.items(), b"", 0))
        self.send_response_only(200)
        self.send_header("Content-Length", len(b"proxied"))
        self.end_headers()
        self.wfile.write(b"proxied")

    do_GET = answer

    def do_CONNECT(self):
        self.server.web.requests.append(Request("CONNECT", self.path, self.headers.items(), b"", 0))
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as far:
            self.send_response_only(200)
            self.end_headers()
            back = threading.Thread(target=pump, args=(far, self.connection), daemon=True)
            back.start()
            pump(self.connection, far)
            back.join()
        self.close_connection = True


def pump(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Proxy(Running):
    """Answers every plain request with `proxied`, and tunnels."""

    def __init__(self, host="127.0.0.1"):
        self.requests = []
        server = Listener((host, 0), ProxyHandler)
        server.web = self
        self.url = f"http://{host}:{server.server_address[1]}"
        self.run(server)


class Tftp:
    """RFC 1350, reading only: blocks of 512 bytes, no options. `lose` is how many packets of data,
    after the first one, are not sent at first."""

    OPCODE_READ, OPCODE_DATA, OPCODE_ACK, OPCODE_ERROR = 1, 3, 4, 5

    def __init__(self, files, *, lose=0):
        self.files, self.lose, self.asked = dict(files), lose, []
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def url(self, path):
        return f"tftp://127.0.0.1:{self.port}{path}"

    def serve(self):
        while True:
            packet, client = self.socket.recvfrom(2048)
            if not packet:
                return
            name, mode = packet[2:].split(b"\0")[:2]
            self.asked.append((name.decode(), mode.decode()))
            self.send_file(self.files.get(name.decode()), client)

    def send_file(self, data, client):
        with socket.socket(type=socket.SOCK_DGRAM) as session:
            session.bind(("127.0.0.1", 0))
            session.settimeout(15)
            if data is None:
                session.sendto(struct.pack("!HH", self.OPCODE_ERROR, 1) + b"not found\0", client)
                return
            for block in range(len(data) // 512 + 1):
                part = data[block * 512:block * 512 + 512]
                if not self.send_block(session, client, (block + 1) % 65536, part):
                    return

    def send_block(self, session, client, number, part):
        acknowledged = None
        while acknowledged != number:
            if self.lose == 0 or number == 1:
                session.sendto(struct.pack("!HH", self.OPCODE_DATA, number) + part, client)
            else:
                self.lose -= 1
            try:
                acknowledged = struct.unpack("!HH", session.recv(512)[:4])[1]
            except TimeoutError:
                return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


class Authority:
    """A certificate authority of our own; issue() gives a key and a certificate for names."""

    def __init__(self, directory):
        self.directory = directory
        self.certificate = directory / "ca.pem"
        self.key = directory / "ca.key"
        self.openssl("req", "-x509", "-new", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test",
                     "-addext", "keyUsage=critical,keyCertSign", "-keyout", self.key,
                     "-out", self.certificate)

    def openssl(self, *argv):
        subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)

    def issue(self, *names):
        """names: host names and addresses."""
        base = self.directory / names[0].replace("*", "_")
        request, extensions = base.with_suffix(".csr"), base.with_suffix(".ext")
        kinds = ["IP" if name.replace(".", "").isdigit() else "DNS" for name in names]
        extensions.write_text("subjectAltName=" + ",".join(
            f"{kind}:{name}" for kind, name in zip(kinds, names)))
        issued = Issued(base.with_suffix(".pem"), base.with_suffix(".key"))
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                     "-nodes", "-subj", f"/CN={names[0]}", "-keyout", issued.key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                     "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out",
                     issued.certificate)
        return issued


@dataclasses.dataclass
class Issued:
    certificate: os.PathLike
    key: os.PathLike
