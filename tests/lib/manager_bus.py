"""PID 1 as its private socket speaks D-Bus: the one answer that the original wants of it, its version, or whatever a test makes of each
call."""

import pathlib
import socket
import struct
import threading

VERSION = "252"
OK = b"OK 0123456789abcdef0123456789abcdef"
METHOD_RETURN, MEMBER, REPLY_SERIAL, SIGNATURE = 2, 3, 5, 8


def padded(data, size):
    return data + b"\0" * (-len(data) % size)


def text(value):
    """A D-Bus string, at a multiple of four."""
    data = value.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def version(_member, _arguments):
    """The variant string VERSION."""
    return "v", padded(b"\1s\0", 4) + text(VERSION)


def units(rows):
    """a(ssssssouso) of (name, load, active) rows."""
    body = b""
    for name, load, active in rows:
        body = padded(body, 8)
        for value in (name, "a unit", load, active, active, "", "/unit"):
            body = padded(body, 4) + text(value)
        body = padded(body, 4) + struct.pack("<I", 0)
        for value in ("", "/"):
            body = padded(body, 4) + text(value)
    return "a(ssssssouso)", struct.pack("<II", len(body), 0) + body  # items begin at a multiple of eight


def reply(serial, signature, body):
    """A method return to a message."""
    kind = signature.encode()
    fields = struct.pack("<B", REPLY_SERIAL) + b"\1u\0" + struct.pack("<I", serial)
    fields += struct.pack("<B", SIGNATURE) + b"\1g\0" + bytes([len(kind)]) + kind + b"\0"
    return padded(struct.pack("<BBBBIII", ord("l"), METHOD_RETURN, 0, 1, len(body), 1, len(fields)) + fields, 8) + body


def strings(data):
    """The strings in a body of s… or as."""
    found, at = [], 0
    while at + 4 <= len(data):
        size, = struct.unpack_from("<I", data, at)
        value = data[at + 4:at + 4 + size]
        # The size of an array is no string: go on behind it.
        if at + 4 + size < len(data) and data[at + 4 + size] == 0 and b"\0" not in value:
            found.append(value.decode())
            at += 4 + size + 1
            at += -at % 4
        else:
            at += 4
    return found


def member_of(fields):
    """The member in a header's fields: (kind, variant), each at a multiple of eight."""
    at = 0
    while at < len(fields):
        kind, signature = fields[at], fields[at + 2:at + 3]
        at += 4
        if signature == b"g":
            at += fields[at] + 2
        elif signature == b"u":
            at += 4
        else:
            size, = struct.unpack_from("<I", fields, at)
            if kind == MEMBER:
                return fields[at + 4:at + 4 + size].decode()
            at += 4 + size + 1
        at += -at % 8
    return ""


def read_message(stream):
    """Serial, member and strings of the next message; None at the end."""
    head = stream.read(16)
    if len(head) < 16:
        return None
    size, serial, n_fields = struct.unpack("<III", head[4:])
    fields = stream.read(n_fields + -n_fields % 8)[:n_fields]
    return serial, member_of(fields), strings(stream.read(size))


def authenticate(line):
    """The answer to a line before BEGIN. Who they are is said at once, or (libsystemd) when asked."""
    word, *rest = line.lstrip(b"\0").split()
    if word == b"AUTH" and rest:
        return OK if rest[1:] else b"DATA"
    return {b"DATA": OK, b"NEGOTIATE_UNIX_FD": b"AGREE_UNIX_FD"}.get(word, b"REJECTED EXTERNAL")


def serve_one(connection, answer):
    with connection, connection.makefile("rb") as stream:
        while True:
            line = stream.readline()
            if not line or line.startswith(b"BEGIN"):
                break
            connection.sendall(authenticate(line) + b"\r\n")
        while message := read_message(stream):
            serial, member, arguments = message
            connection.sendall(reply(serial, *answer(member, arguments)))


def serve(path="/run/systemd/private", answer=version):
    """Answers for as long as this process lives: answer(member, strings of its arguments) gives signature and body."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def accept():
        while True:
            threading.Thread(target=serve_one, args=(listener.accept()[0], answer), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
