#!/usr/bin/env python3
"""slipway-azure against the platform's services, which are servers here: the whole program runs in namespaces of its own,
whose loopback has Azure's addresses. The system that is provisioned is a directory."""

import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import servers
import slipway
from servers import Reply, Web

AGENT = slipway.PROGRAMS / "libexec" / "slipway-azure"
IMDS, WIRESERVER, OTHER_WIRESERVER = "169.254.169.254", "168.63.129.16", "10.1.2.3"
ID, OTHER_ID = "550e8400-e29b-41d4-a716-446655440000", "11111111-2222-3333-4444-555555555555"
INSTANCE = "/metadata/instance?api-version=2023-11-15&extended=true"
VERSIONS, GOAL, HEALTH, JSON_HEALTH = ("/?comp=versions", "/machine/?comp=goalstate", "/machine/?comp=health",
                                       "/provisioning/health")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample azure"


def instance(*, compute=None, pps="None", **profile):
    return json.dumps({
        "compute": {"name": "vm-name", "vmId": ID, "tagsList": [], "userData": "",
                    "osProfile": {"adminUsername": "azureuser", "computerName": "vm", **profile},
                    "publicKeys": [{"keyData": f"{KEY}\r\n", "path": "/home/azureuser/.ssh/authorized_keys"}],
                    **(compute or {})},
        "network": {}, "extended": {"compute": {"hasCustomData": False, "ppsType": pps}}}).encode()


def versions(*names):
    return ("\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Versions><Preferred><Version>2015-04-05</Version></Preferred>"
            f"<Supported>{''.join(f'<Version>{n}</Version>' for n in names)}</Supported></Versions>").encode()


def goal(incarnation=42):
    return (f"<?xml version='1.0'?><GoalState><Version>2012-11-30</Version><Incarnation>{incarnation}</Incarnation>"
            "<Machine><ExpectedState>Started</ExpectedState></Machine><Container><ContainerId>c-1</ContainerId>"
            "<RoleInstanceList><RoleInstance><InstanceId>i&amp;1</InstanceId><State>Started</State><Configuration>"
            "<SharedConfig>http://168.63.129.16/x?a=1&amp;b=2</SharedConfig></Configuration></RoleInstance>"
            "</RoleInstanceList></Container></GoalState>").encode()


class Case(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for directory in ("etc", "home", "var/lib", "sys/class/dmi/id", "sys/firmware/efi", "run/systemd/netif/leases"):
            (self.root / directory).mkdir(parents=True)
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        self.write("etc/group", "root:x:0:\nsudo:x:27:\n")
        self.write("etc/shadow", "root:*:1::::::\n")
        self.write("etc/login.defs", "USERGROUPS_ENAB yes\nUID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n")
        self.write("sys/class/dmi/id/product_uuid", ID.upper() + "\n")
        self.imds = self.enterContext(Web({INSTANCE: instance()}, host=IMDS, port=80))
        self.wire = self.enterContext(Web({VERSIONS: versions("2015-04-05", "2012-11-30"), GOAL: goal(), HEALTH: b"",
                                           JSON_HEALTH: Reply(status=201)}, host=WIRESERVER, port=80))

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def read(self, path):
        return (self.root / path).read_text()

    def run_agent(self, *, deadline=20, status=0, wrapper=()):
        started = time.monotonic()
        done = subprocess.run([*wrapper, str(AGENT), f"--root={self.root}", f"--deadline={deadline}"], capture_output=True,
                              text=True, timeout=slipway.PATIENCE)
        self.took = time.monotonic() - started
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def asked(self):
        return [f"{r.method} {r.path}" for r in self.wire.requests]

    def reports(self, web=None):
        """(incarnation, container, instance, state, substatus, description) of each report in XML."""
        found = []
        for request in (web or self.wire).requests:
            if request.path == HEALTH:
                root = ElementTree.fromstring(request.body)
                role = root.find("Container/RoleInstanceList/Role")
                found.append((root.findtext("GoalStateIncarnation"), root.findtext("Container/ContainerId"),
                              role.findtext("InstanceId"), role.findtext("Health/State"),
                              role.findtext("Health/Details/SubStatus"), role.findtext("Health/Details/Description")))
        return found

    def marker(self, vm=ID):
        return self.root / f"var/lib/slipway/azure/{vm}.provisioned"

    def pool(self):
        data = (self.root / "var/lib/hyperv/.kvp_pool_1").read_bytes()
        self.assertEqual(len(data) % 2560, 0)
        return [tuple(part.rstrip(b"\0").decode() for part in struct.unpack("512s2048s", data[at:at + 2560]))
                for at in range(0, len(data), 2560)]


class Ready(Case):
    def test_everything(self):
        self.run_agent()
        self.assertEqual(self.asked(), [f"GET {VERSIONS}", f"GET {GOAL}", f"POST {HEALTH}"])
        self.assertEqual(self.reports(), [("42", "c-1", "i&1", "Ready", None, None)])
        self.assertEqual([r.header("Metadata") for r in self.imds.requests], ["true"])
        for request in self.wire.requests:
            self.assertEqual(request.header("x-ms-version"), "2012-11-30")
            self.assertEqual(request.header("x-ms-agent-name"), "slipway-azure")
        self.assertEqual(self.wire.requests[-1].header("Content-Type"), "text/xml; charset=utf-8")
        self.assertEqual(self.read("etc/hostname"), "vm\n")
        self.assertIn("azureuser:x:1000:1000:", self.read("etc/passwd"))
        self.assertIn("sudo:x:27:azureuser", self.read("etc/group"))
        keys = self.root / "home/azureuser/.ssh/authorized_keys.d/azure"
        self.assertEqual(keys.read_text(), KEY + "\n")
        self.assertEqual(keys.stat().st_mode & 0o777, 0o600)
        self.assertTrue(self.marker().exists())
        self.assertFalse((self.root / "etc/.ignition-journal").exists())
        (key, value), = self.pool()
        self.assertEqual(key, "PROVISIONING_REPORT")
        self.assertRegex(value, rf"^result=success\|agent=slipway-azure/\S+\|pps_type=None\|vm_id={ID}\|timestamp=\S+Z$")


def enter():
    servers.enter_namespace(IMDS, WIRESERVER, OTHER_WIRESERVER)


if __name__ == "__main__":
    enter()
    unittest.main()
