"""One address of the box as a web server: it takes requests, lets faults meet them, and writes them down."""

import dataclasses
import http.server
import os
import socket
import sys
import threading

BODY_MAX = 1 << 20


@dataclasses.dataclass
class Answer:
    body: object = ""
    status: int = 200
    type: str = ""
    complaint: str = None  # what is wrong with the request


@dataclasses.dataclass
class Request:
    method: str
    target: str
    headers: list
    body: bytes
    incarnation: int = None  # that a fault wants shown

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Microsoft-IIS/10.0", ""

    def log_message(self, *args):
        pass

    def read_request(self):
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isdigit() else 0
        return Request(self.command, self.path, self.headers.items(), self.rfile.read(min(size, BODY_MAX)))

    def answer(self):
        """Written down before it is said: who has the answer finds it in the record."""
        server = self.server.web
        at = server.record.now()
        request = self.read_request()
        fault = server.script.meet(server.service.name, request.method, request.target)
        answer = self.decide(server, request, fault)
        server.record.add(server.service.name, request.target, at, method=request.method, headers=dict(request.headers),
                          body=request.body.decode(errors="replace"), status=answer.status if answer else 0,
                          **({"fault": fault.name()} if fault else {}),
                          **({"complaint": answer.complaint} if answer and answer.complaint else {}))
        if answer:
            server.stopped.wait(fault.delay if fault else 0)
            self.send(answer, fault)
        else:
            server.stopped.wait(None if fault.stall else 0)
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def decide(self, server, request, fault):
        """The answer; None: there is none."""
        if fault and (fault.stall or fault.reset):
            return None
        if fault and (fault.status or fault.body is not None):
            return Answer(fault.body or "", fault.status or 200, "text/plain")
        request.incarnation = fault.incarnation if fault else None
        return server.service.answer(request)

    def send(self, answer, fault):
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        self.send_response(answer.status)
        if answer.type:
            self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (fault.headers if fault else {}).items():
            self.send_header(name, value)
        self.end_headers()
        cut, rate = (fault.cut, fault.rate) if fault else (None, None)
        if self.command != "HEAD":
            self.send_body(body[:cut], rate)
        if cut is not None:
            self.close_connection = True

    def send_body(self, body, rate):
        step = max(1, int(rate / 10)) if rate else len(body) or 1
        for start in range(0, len(body), step):
            self.wfile.write(body[start:start + step])
            self.wfile.flush()
            if rate and self.server.web.stopped.wait(step / rate):
                return


def peer_is_mine(address, port):
    """Whether the other end of a connection on this machine belongs to this user: others have no business with data that
    may be secret. What cannot be found is from elsewhere: the namespace's own devices."""
    if not address.startswith("127."):
        return True
    host = "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1] == f"{host}:{port:04X}":
                return int(fields[7]) == os.geteuid()
    return False


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def verify_request(self, request, client_address):
        return peer_is_mine(*client_address[:2])

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # clients may go away
            super().handle_error(request, client_address)


class Web:
    """A service at an address. It may start deaf, or refusing, for a time or for ever."""

    def __init__(self, service, script, record, host, port):
        self.service, self.script, self.record = service, script, record
        self.stopped = threading.Event()
        self.host, self.port = host, port
        self.server = None
        how, seconds = script.listening(service.name)
        if how is None:
            self.listen()
            return
        self.held = self.be_deaf() if how == "deaf" else self.refuse()
        if seconds is not None:
            threading.Thread(target=self.listen_later, args=(seconds,), daemon=True).start()

    def listen(self):
        self.server = Listener((self.host, self.port), Handler)
        self.server.web = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def listen_later(self, seconds):
        if self.stopped.wait(seconds):
            return
        for s in self.held:
            s.close()
        self.listen()

    def take_port(self):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((self.host, self.port))
        self.port = s.getsockname()[1]
        return s

    def refuse(self):
        """The port is ours, and nobody listens: the kernel refuses who knocks."""
        return [self.take_port()]

    def be_deaf(self):
        """A listener whose queue is full: the kernel drops what else knocks."""
        held = [self.take_port()]
        held[0].listen(0)
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((self.host, self.port))
            held.append(client)
        return held

    def stop(self):
        self.stopped.set()
        if self.server:
            self.server.shutdown()
            self.server.server_close()
