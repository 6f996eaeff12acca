#!/usr/bin/env python3
"""Azure in a box itself: what it answers and refuses, its CD-ROM, its wire, and how `slipway run` starts it."""

import base64
import json
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import azure
import servers
import slipway

sys.path.insert(0, str(azure.BOX))
import description
import disc
import faults
import network

IMDS, WIRE = "http://169.254.169.254", "http://168.63.129.16"
KEY = "ssh-ed25519 AAAA example"
CLASSIC = {"x-ms-agent-name": "test", "x-ms-version": "2012-11-30"}
VM = "0f8fad5b-d9cb-469f-a165-70867728950e"


def ask(url, headers=None, body=None, method=None):
    """(status, text)"""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=slipway.PATIENCE) as answer:
            return answer.status, answer.read().decode("utf-8-sig")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


class Services(unittest.TestCase):
    def box(self, **more):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        return self.enterContext(azure.Box(directory, **({"vmId": VM, "name": "node", "publicKeys": [KEY]} | more)))

    def imds(self, path, **headers):
        return ask(f"{IMDS}/metadata/{path}", {"Metadata": "true", **headers})

    def test_imds(self):
        self.box(tags={"a": "b"}, userData="{}", customData="x")
        status, text = self.imds("instance?api-version=2023-11-15&extended=true")
        instance = json.loads(text)
        self.assertEqual((status, instance["compute"]["vmId"], instance["compute"]["name"]), (200, VM, "node"))
        self.assertEqual(instance["compute"]["tagsList"], [{"name": "a", "value": "b"}])
        self.assertEqual(instance["compute"]["osProfile"]["disablePasswordAuthentication"], "true")
        self.assertEqual(instance["extended"]["compute"], {"hasCustomData": True, "ppsType": "None"})
        self.assertEqual(instance["compute"]["publicKeys"][0]["keyData"], KEY + "\r\n")
        self.assertEqual(self.imds("instance/compute/userData?api-version=2021-01-01&format=text"), (200, "e30="))
        self.assertEqual(self.imds("instance/compute/publicKeys/0/path?api-version=2021-02-01&format=text"),
                         (200, "/home/core/.ssh/authorized_keys"))
        self.assertIn("osProfile/\n", self.imds("instance/compute?api-version=2021-02-01&format=text")[1])

    def test_imds_refuses(self):
        box = self.box()
        for status, path, headers in (
                (400, "instance", {}), (400, "instance?api-version=2000-01-01", {}),
                (400, "instance?api-version=2021-01-01", {"X-Forwarded-For": "1.2.3.4"}),
                (400, "instance/compute/name?api-version=2021-01-01", {}),
                (404, "instance/compute/userData?api-version=2020-12-01&format=text", {}),
                (404, "instance/nothing?api-version=2021-01-01", {}), (404, "else?api-version=2021-01-01", {}),
                (404, "reprovisiondata?api-version=2019-06-01", {}),
                (400, "identity/oauth2/token?api-version=2018-02-01&resource=x", {})):
            with self.subTest(path):
                self.assertEqual(self.imds(path, **headers)[0], status)
        self.assertEqual(ask(f"{IMDS}/metadata/instance?api-version=2021-01-01")[0], 400)
        self.assertEqual(ask(f"{IMDS}/metadata/instance?api-version=2021-01-01", {"Metadata": "true"}, b"x")[0], 405)
        self.assertEqual(len(box.complaints()), 11)

    def health(self, goal, state="<State>Ready</State>", headers=None, **change):
        """A report about the goal state's machine, with some of its texts changed."""
        def of(name):
            return change.get(name, goal.partition(f"<{name}>")[2].partition("<")[0])

        body = (f"<Health><GoalStateIncarnation>{of('Incarnation')}</GoalStateIncarnation><Container><ContainerId>"
                f"{of('ContainerId')}</ContainerId><RoleInstanceList><Role><InstanceId>{of('InstanceId')}</InstanceId>"
                f"<Health>{state}</Health></Role></RoleInstanceList></Container></Health>").encode()
        return ask(f"{WIRE}/machine/?comp=health", {"Content-Type": "text/xml; charset=utf-8", **CLASSIC, **(headers or {})},
                   body)[0]

    def test_health(self):
        box = self.box()
        self.assertIn("<Version>2012-11-30</Version>", ask(f"{WIRE}/?comp=versions")[1])
        goal = ask(f"{WIRE}/machine/?comp=goalstate", CLASSIC)[1]
        self.assertEqual(ask(f"{WIRE}/machine/?comp=goalstate")[0], 400)
        failed = "<State>NotReady</State><Details><SubStatus>ProvisioningFailed</SubStatus><Description>{}</Description></Details>"
        for status, change in ((410, {"Incarnation": "2"}), (400, {"ContainerId": "x"}), (400, {"InstanceId": "x"}),
                               (400, {"state": "<State>Fine</State>"}), (400, {"state": "<State>NotReady</State>"}),
                               (400, {"state": failed.format("x" * 513)}), (400, {"headers": {"Content-Type": "text/xml"}}),
                               (400, {"headers": {"x-ms-version": "1"}})):
            with self.subTest(change):
                self.assertEqual(self.health(goal, **change), status)
        self.assertEqual(box.reports(), [])
        self.assertEqual(self.health(goal), 200)
        self.assertEqual(self.health(goal, failed.format("why")), 200)
        self.assertEqual(box.reports(), [("xml", "Ready", None), ("xml", "NotReady", "why")])
        shared = goal.partition("<SharedConfig>")[2].partition("<")[0].replace("&amp;", "&")
        self.assertIn('address="10.0.2.15"', ask(shared, CLASSIC)[1])
        self.assertEqual(ask(shared.replace("incarnation=1", "incarnation=9"), CLASSIC)[0], 410)

    def test_health_in_json(self):
        box = self.box()
        right = {"Content-Type": "application/json", "x-ms-guest-agent-name": "test v1"}

        def post(report, **headers):
            return ask(f"{WIRE}/provisioning/health", right | headers, json.dumps(report).encode())

        details = {"subStatus": "ProvisioningFailed", "description": "why"}
        self.assertEqual(post({"state": "Fine"})[0], 400)
        self.assertEqual(post({"state": "Ready", "more": 1})[0], 400)
        self.assertEqual(post({"state": "NotReady"})[0], 400)
        self.assertEqual(post({"state": "Ready"}, **{"Content-Type": "text/plain"})[0], 400)
        self.assertEqual(post({"state": "Ready"}), (201, ""))
        self.assertEqual(post({"state": "NotReady", "details": details}), (201, ""))
        self.assertEqual(box.reports(), [("json", "Ready", None), ("json", "NotReady", "why")])

    def test_faults(self):
        box = self.box(faults=[{"at": "imds /metadata/versions", "status": 429, "headers": {"Retry-After": "3"}, "times": 2},
                               {"at": "wire", "method": "POST", "status": 500}])
        self.assertEqual([self.imds("versions")[0] for _ in range(3)], [429, 429, 200])
        self.assertEqual(ask(f"{WIRE}/provisioning/health", {}, b"{}")[0], 500)
        self.assertEqual(ask(f"{WIRE}/?comp=versions")[0], 200)
        self.assertEqual([line.get("fault") for line in box.lines("imds")], ["status 429", "status 429", None])


class Descriptions(unittest.TestCase):
    def load(self, value, disk=None):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(value if isinstance(value, str) else json.dumps(value))
            f.flush()
            return description.load(f.name, disk)

    def test_mistakes(self):
        for value in ("{", "[]", {"nonsense": 1}, {"disc": "floppy"}, {"preprovisioned": "Maybe"}, {"name": "a b"},
                      {"customData": "x" * 65536}):
            with self.subTest(str(value)[:40]), self.assertRaises(faults.Mistake):
                self.load(value)
        for rules in ([1], [{"at": "moon"}], [{"at": "imds", "nonsense": 1}], [{"at": "imds", "listen": "x"}],
                      [{"at": "imds"}] * 65):
            with self.subTest(str(rules)[:40]), self.assertRaises(faults.Mistake):
                faults.Script(rules)

    def test_limit(self):
        self.assertEqual(len(self.load({"customData": "x" * 65535}).custom_data_base64), 87380)

    def test_identity(self):
        """A disk is a machine; another one, or one that says so, is another."""
        same = [self.load({}, "/a/disk").vmId for _ in range(2)]
        self.assertEqual(len(set(same)), 1)
        self.assertNotEqual(self.load({}, "/a/other").vmId, same[0])
        self.assertEqual(self.load({"vmId": VM}, "/a/disk").vmId, VM)


class Disc(unittest.TestCase):
    def image(self, **more):
        d = description.Description(vmId=VM, **more)
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "disc"
        path.write_bytes(disc.image(d))
        return path

    def output(self, *argv):
        return subprocess.run(list(map(str, argv)), check=True, capture_output=True).stdout

    def test_udf(self):
        """As the tools of others see it; the kernel's driver is the virtual machine's, in the proof `azure`."""
        path = self.image(customData="custom")
        text = self.output("udfinfo", path).decode()
        for line in ("numfiles=2", "numdirs=1", "udfrev=1.02", "integrity=closed", "accesstype=readonly"):
            self.assertIn(line + "\n", text)
        self.assertIn(b'TYPE="udf"', self.output("blkid", "-p", path))

    def test_iso9660(self):
        path = self.image(disc="iso9660", customData="custom")
        self.assertEqual(self.output("isoinfo", "-J", "-f", "-i", path).split(), [b"/CustomData.bin;1", b"/ovf-env.xml;1"])
        self.assertEqual(self.output("isoinfo", "-J", "-i", path, "-x", "/CustomData.bin;1"), b"custom")
        environment = self.output("isoinfo", "-J", "-i", path, "-x", "/ovf-env.xml;1").decode()
        self.assertIn(f"<CustomData>{base64.b64encode(b'custom').decode()}</CustomData>", environment)

    def test_without(self):
        self.assertEqual(self.image(disc="none").read_bytes(), b"")


def packet(source, target, protocol=network.TCP, ports=(40000, 80), payload=b"odd"):
    """A frame whose checksums are right."""
    a, b = network.address(source), network.address(target)
    segment = struct.pack(">HHIIBBHHH", *ports, 1, 0, 0x50, 0x18, 1000, 0, 0) if protocol == network.TCP else \
        struct.pack(">HHHH", *ports, 8 + len(payload), 0)
    segment += payload
    at = 16 if protocol == network.TCP else 6
    segment = segment[:at] + checksum(a, b, protocol, segment).to_bytes(2, "big") + segment[at + 2:]
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, protocol, 0, a, b)
    head = head[:10] + network.folded(sum(network.words(head))).to_bytes(2, "big") + head[12:]
    return bytes(12) + b"\x08\x00" + head + segment


def checksum(a, b, protocol, segment):
    pseudo = a + b + struct.pack(">HH", protocol, len(segment)) + segment
    return network.folded(sum(network.words(pseudo + b"\0" * (len(pseudo) % 2))))


def right(frame):
    """Whether both checksums of a packet are."""
    head, segment, protocol = frame[14:34], frame[34:], frame[23]
    return (network.folded(sum(network.words(head))) == 0 and
            checksum(frame[26:30], frame[30:34], protocol, segment) in (0, 0xFFFF))


class Lines:
    """A record in memory."""

    def __init__(self):
        self.noted = []

    def add(self, service, what):
        self.noted.append((service, what))


class Wire(unittest.TestCase):
    PORTS = {"169.254.169.254": 5001, "168.63.129.16": 5002}

    def setUp(self):
        guest, nic = socket.socketpair()
        far, net = socket.socketpair()
        self.record = Lines()
        self.link = network.Link(description.Description(vmId=VM), self.record, self.PORTS, nic.fileno(), net.fileno())
        thread = threading.Thread(target=self.link.run, daemon=True)
        thread.start()
        self.guest, self.far = guest, far
        for s in (guest, far):
            self.addCleanup(s.close)
        self.addCleanup(lambda: [nic.close(), net.close()])
        self.addCleanup(thread.join)
        self.addCleanup(guest.shutdown, socket.SHUT_RDWR)

    def send(self, end, frame):
        end.sendall(len(frame).to_bytes(4, "big") + frame)

    def receive(self, end):
        return network.read_exactly(end.fileno(), int.from_bytes(network.read_exactly(end.fileno(), 4), "big"))

    def passes(self, sender, receiver, frame):
        self.send(sender, frame)
        return self.receive(receiver)

    def test_to_the_box_and_back(self):
        for target, port, protocol, there in (("169.254.169.254", 80, network.TCP, ("10.0.2.2", 5001)),
                                              ("168.63.129.16", 80, network.TCP, ("10.0.2.2", 5002)),
                                              ("168.63.129.16", 53, network.UDP, ("10.0.2.3", 53))):
            with self.subTest(target=target, port=port):
                out = self.passes(self.guest, self.far, packet("10.0.2.15", target, protocol, (40000, port)))
                seen = network.Packet(out)
                self.assertEqual((seen.target, seen.target_port), (network.address(there[0]), there[1]))
                self.assertTrue(right(out))
                back = self.passes(self.far, self.guest, packet(there[0], "10.0.2.15", protocol, (there[1], 40000)))
                seen = network.Packet(back)
                self.assertEqual((seen.source, seen.source_port), (network.address(target), port))
                self.assertTrue(right(back))

    def test_all_else_passes(self):
        for frame in (packet("10.0.2.15", "10.0.2.2"), bytes(12) + b"\x86\xdd" + bytes(60), bytes(14), b"short"):
            self.assertEqual(self.passes(self.guest, self.far, frame), frame)
            self.assertEqual(self.passes(self.far, self.guest, frame), frame)

    def test_nothing_else_for_the_addresses(self):
        self.send(self.guest, packet("10.0.2.15", "168.63.129.16", ports=(40000, 32526)))
        self.send(self.guest, packet("10.0.2.15", "169.254.169.254", network.UDP, (40000, 80)))
        self.send(self.guest, packet("10.0.2.15", "169.254.169.254", 1))
        marker = packet("10.0.2.15", "10.0.2.2")
        self.assertEqual(self.passes(self.guest, self.far, marker), marker)
        self.assertEqual(self.record.noted, [("other", "168.63.129.16 protocol 6 port 32526"),
                                             ("other", "169.254.169.254 protocol 17 port 80"),
                                             ("other", "169.254.169.254 protocol 1 port 0")])

    def test_dhcp(self):
        mac = bytes.fromhex("000d3a010203")
        for kind, answer, word in ((1, 2, "discover"), (3, 5, "request")):
            message = b"\1\1\6\0" + b"xidx" + bytes(20) + mac + bytes(202) + network.Dhcp.COOKIE + bytes((53, 1, kind, 255))
            frame = bytearray(packet("0.0.0.0", "255.255.255.255", network.UDP, (68, 67), message))
            frame[6:12] = mac
            back = self.passes(self.guest, self.guest, bytes(frame))
            self.assertEqual(network.folded(sum(network.words(back[14:34]))), 0)
            reply = back[42:]
            self.assertEqual((back[:6], reply[4:8], reply[16:20], reply[28:34]),
                             (mac, b"xidx", network.address("10.0.2.15"), mac))
            self.assertIn(bytes((53, 1, answer)), reply)
            self.assertIn(bytes((245, 4, 168, 63, 129, 16)), reply)
            self.assertEqual(self.record.noted[-1], ("dhcp", word))
        # What is no question of a client is answered by nobody.
        for message in (b"", bytes(240), b"\1" + bytes(235) + network.Dhcp.COOKIE, b"\1" + bytes(235) + network.Dhcp.COOKIE + b"\x35"):
            self.assertIsNone(self.link.dhcp.reply(message))

    def test_arp(self):
        ask_for = bytes.fromhex("0001080006040001") + b"hwaddr" + network.address("10.0.2.15") + bytes(6) + \
            network.address("169.254.169.254")
        back = self.passes(self.guest, self.guest, b"\xff" * 6 + b"hwaddr" + b"\x08\x06" + ask_for)
        self.assertEqual((back[:6], back[20:22], back[28:32]), (b"hwaddr", b"\0\2", network.address("169.254.169.254")))


class Run(unittest.TestCase):
    def run_slipway(self, *options):
        with tempfile.NamedTemporaryFile() as disk:
            return subprocess.run([str(slipway.SLIPWAY), "run", disk.name, *options], capture_output=True, text=True)

    def test_print(self):
        done = self.run_slipway("--platform", "azure", "--ignition", __file__, "--print")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("asset=7783-7084-3265-9085-8269-3286-77", done.stdout)
        self.assertNotIn("fw_cfg", done.stdout)
        self.assertNotIn("ignition.platform.id", done.stdout)

    def test_only_on_azure(self):
        for option in ("--azure", "--custom-data", "--record"):
            done = self.run_slipway(option, __file__, "--print")
            self.assertEqual(done.returncode, 2)
            self.assertIn("go with --platform azure", done.stderr)

    def test_description_that_is_none(self):
        done = self.run_slipway("--platform", "azure", "--azure", __file__)
        self.assertEqual(done.returncode, 1)
        self.assertIn("azure-box: ", done.stderr)
        self.assertIn("slipway: Azure in a box: azure-box did not start", done.stderr)


if __name__ == "__main__":
    servers.enter_namespace()
    unittest.main()
