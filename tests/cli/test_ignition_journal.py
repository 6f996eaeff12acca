#!/usr/bin/env python3
"""What programs find in the journal of provisioning: the entries of the original, side by side."""

import pathlib
import socket
import struct
import sys
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import files_cases
import files_stage

JOURNAL = pathlib.Path("/run/systemd/journal/socket")
# What is about the program itself, or where its source says so.
OWN = ("SYSLOG_", "CODE_", "PRIORITY", "_")
CONFIG = files_cases.config(users=[
    {"name": "core", "sshAuthorizedKeys": ["key one", "key two"]}, {"name": "fresh", "sshAuthorizedKeys": ["key"], "homeDir": "/srv/fresh"},
    {"name": "keyless"}])


def fields(datagram):
    """The fields of an entry in the journal's protocol."""
    found = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size, = struct.unpack_from("<Q", rest)
            value, rest = rest[8:8 + size], rest[8 + size + 1:]
        found[name.decode()], datagram = value.decode(), rest
    return found


def keys_of(told):
    return {entry["IGNITION_USER_NAME"]: entry["IGNITION_PATH"] for entry in told if "IGNITION_USER_NAME" in entry}


class Journal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        JOURNAL.parent.mkdir(parents=True, exist_ok=True)
        cls.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        cls.socket.bind(str(JOURNAL))
        cls.socket.settimeout(0.2)
        cls.pair = files_stage.Pair(files_stage.isolate_place)

    def entries(self, program, config, environment):
        """What a run tells, and the root's name in it left out."""
        program.environment.update(environment)
        top = self.pair.place / "root"
        outcome, _ = self.pair.provision(program, top, "debian", [config])
        self.assertEqual(outcome.code, 0, outcome.text)
        found = []
        while True:
            try:
                entry = fields(self.socket.recv(1 << 16))
            except TimeoutError:
                break
            if "MESSAGE_ID" in entry:
                found.append({k: v.replace(str(top), "ROOT") for k, v in entry.items() if not k.startswith(OWN)})
        return found

    def same(self, config, **environment):
        theirs = self.entries(self.pair.theirs, config, environment)
        self.assertEqual(self.entries(self.pair.ours, config, environment), theirs)
        return theirs

    def test_keys(self):
        told = self.same(CONFIG)
        self.assertEqual(keys_of(told), {"core": "ROOT/home/core/.ssh/authorized_keys.d/ignition",
                                         "fresh": "ROOT/srv/fresh/.ssh/authorized_keys.d/ignition"})

    def test_one_file_of_keys(self):
        told = self.same(CONFIG, IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT="false")
        self.assertEqual(keys_of(told)["core"], "ROOT/home/core/.ssh/authorized_keys")

    def test_configs(self):
        config = files_cases.config()
        child = "data:," + urllib.parse.quote('{"ignition":{"version":"3.3.0"}}')
        config["ignition"]["config"] = {"merge": [{"source": child}]}
        told = [entry for entry in self.same(config) if entry["IGNITION_CONFIG_TYPE"] == "user"]
        self.assertEqual([entry["IGNITION_CONFIG_REFERENCED"] for entry in told], ["false", "true"])


if __name__ == "__main__":
    files_stage.isolate_place = files_stage.isolate()
    unittest.main()
