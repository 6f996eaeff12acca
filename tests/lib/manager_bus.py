"""The one answer that the original wants of PID 1, its version, over D-Bus as systemd's private socket speaks it."""

import pathlib
import socket
import struct
import threading

VERSION = "252"
AUTHENTICATION = {b"AUTH EXT": b"OK 0123456789abcdef0123456789abcdef", b"NEGOTIAT": b"AGREE_UNIX_FD"}
METHOD_RETURN, REPLY_SERIAL, SIGNATURE = 2, 5, 8


def padded(data, size):
    return data + b"\0" * (-len(data) % size)


def reply(serial):
    """A method return to a message: the variant string VERSION."""
    text = VERSION.encode()
    body = padded(b"\1s\0", 4) + struct.pack("<I", len(text)) + text + b"\0"
    fields = struct.pack("<B", REPLY_SERIAL) + b"\1u\0" + struct.pack("<I", serial)
    fields += struct.pack("<B", SIGNATURE) + b"\1g\0" + b"\1v\0"
    return padded(struct.pack("<BBBBIII", ord("l"), METHOD_RETURN, 0, 1, len(body), 1, len(fields)) + fields, 8) + body


def read_message(stream):
    """Serial of the next message; None at the end."""
    head = stream.read(16)
    if len(head) < 16:
        return None
    body, serial, fields = struct.unpack("<III", head[4:])
    stream.read(fields + -fields % 8 + body)
    return serial


def serve_one(connection):
    with connection, connection.makefile("rb") as stream:
        while True:
            line = stream.readline()
            if not line or line.startswith(b"BEGIN"):
                break
            connection.sendall(AUTHENTICATION.get(line.lstrip(b"\0")[:8], b"REJECTED EXTERNAL") + b"\r\n")
        while (serial := read_message(stream)) is not None:
            connection.sendall(reply(serial))


def serve(path="/run/systemd/private"):
    """Answers for as long as this process lives."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def accept():
        while True:
            threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
