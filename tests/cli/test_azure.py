#!/usr/bin/env python3
"""slipway-azure against the platform's services, which are servers here: the whole program runs in namespaces of its own,
whose loopback has Azure's addresses. The system that is provisioned is a directory."""

import fcntl
import json
import os
import pathlib
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

    def run_agent(self, *, deadline=20, status=0):
        started = time.monotonic()
        done = subprocess.run([str(AGENT), f"--root={self.root}", f"--deadline={deadline}"], capture_output=True,
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


    def test_once(self):
        self.run_agent()
        self.run_agent()
        self.assertEqual(len(self.reports()), 1)
        self.assertEqual(len(self.imds.requests), 1)

    def test_captured_image(self):
        """The marker of another machine counts for nothing."""
        self.run_agent()
        self.write("sys/class/dmi/id/product_uuid", OTHER_ID + "\n")
        self.run_agent()
        self.assertEqual(len(self.reports()), 2)
        self.assertTrue(self.marker().exists() and self.marker(OTHER_ID).exists())
        (_, value), = self.pool()
        self.assertIn(f"vm_id={OTHER_ID}", value)

    def test_generation_1(self):
        (self.root / "sys/firmware/efi").rmdir()
        self.run_agent()
        self.assertTrue(self.marker("00840e55-9be2-d441-a716-446655440000").exists())

    def test_cut_after_the_report(self):
        """Without the marker all is done again, and the user and its keys are there once."""
        self.run_agent()
        self.marker().unlink()
        self.run_agent()
        self.assertEqual([report[3] for report in self.reports()], ["Ready", "Ready"])
        self.assertEqual(self.read("etc/passwd").count("\nazureuser:"), 1)
        self.assertEqual(len(self.pool()), 1)

    def test_no_report_no_marker(self):
        self.wire.routes[HEALTH] = Reply(status=403)
        done = self.run_agent(status=1)
        self.assertIn("slipway-azure: health report: http://168.63.129.16/machine/?comp=health: attempt 1: HTTP status 403",
                      done.stderr)
        self.assertFalse(self.marker().exists())
        self.assertEqual([report[3] for report in self.reports()], ["Ready"])  # it may have been heard
        self.assertIn("reason=", self.pool()[0][1])

    def test_address_from_dhcp(self):
        with Web({VERSIONS: versions("2012-11-30"), GOAL: goal(), HEALTH: b""}, host=OTHER_WIRESERVER, port=80) as other:
            self.write("run/systemd/netif/leases/3", "ADDRESS=10.0.0.5\nOPTION_245=a83f8110\n")
            self.write("run/systemd/netif/leases/2", "ADDRESS=10.0.0.4\nOPTION_245=0a010203\n")
            self.run_agent()
            self.assertEqual([report[3] for report in self.reports(other)], ["Ready"])
        self.assertEqual(self.asked(), [])


class Account(Case):
    def test_hostname_of_the_configuration(self):
        self.write("etc/hostname", "mine\n")
        self.run_agent()
        self.assertEqual(self.read("etc/hostname"), "mine\n")

    def test_name_of_the_resource(self):
        self.imds.routes[INSTANCE] = instance(computerName="")
        self.run_agent()
        self.assertEqual(self.read("etc/hostname"), "vm-name\n")

    def test_name_that_is_none(self):
        for name in ("-a", "a b", "a/b", "a" * 64, "../x"):
            with self.subTest(name):
                self.marker().unlink(missing_ok=True)
                self.imds.routes[INSTANCE] = instance(computerName=name)
                self.run_agent()
                self.assertFalse((self.root / "etc/hostname").exists())

    def test_user_of_the_configuration(self):
        """Its settings and the keys that Ignition wrote stay."""
        line = "azureuser:x:1234:1234:Mine:/home/azureuser:/bin/sh"
        self.write("etc/passwd", f"root:x:0:0:root:/root:/bin/bash\n{line}\n")
        self.write("home/azureuser/.ssh/authorized_keys.d/ignition", "ssh-ed25519 mine\n")
        self.write("home/azureuser/.ssh/authorized_keys", "ssh-ed25519 people\n")
        self.run_agent()
        self.assertIn(line + "\n", self.read("etc/passwd"))
        self.assertNotIn("azureuser", self.read("etc/group"))
        for name, text in (("authorized_keys.d/ignition", "ssh-ed25519 mine\n"), ("authorized_keys.d/azure", KEY + "\n"),
                           ("authorized_keys", "ssh-ed25519 people\n")):
            self.assertEqual(self.read(f"home/azureuser/.ssh/{name}"), text)

    def test_keys(self):
        keys = [f"ssh-rsa {name} \r\n" for name in "ab"] + ["", "ssh-rsa\n c"]
        self.imds.routes[INSTANCE] = instance(compute={"publicKeys": [{"keyData": key, "path": "/x"} for key in keys]})
        self.run_agent()
        self.assertEqual(self.read("home/azureuser/.ssh/authorized_keys.d/azure"), "ssh-rsa a\nssh-rsa b\nssh-rsa c\n")

    def test_nobody(self):
        """A machine that was made from a disk has no administrator."""
        self.imds.routes[INSTANCE] = instance(compute={"osProfile": {}, "publicKeys": []})
        self.run_agent()
        self.assertEqual(self.read("etc/passwd").count("\n"), 1)

    def test_bad_user(self):
        self.imds.routes[INSTANCE] = instance(adminUsername="a:b")
        self.run_agent(status=1)
        (_, _, _, state, sub, description), = self.reports()
        self.assertEqual((state, sub), ("NotReady", "ProvisioningFailed"))
        self.assertIn("administrator: user 'a:b'", description)

    def test_cut_while_the_user_is_made(self):
        """Killed at each rename: the next run leaves what one run leaves."""
        self.run_agent()
        tables = ("etc/passwd", "etc/group", "etc/shadow", "home/azureuser/.ssh/authorized_keys.d/azure")
        wanted = [self.read(path) for path in tables]
        for n in range(1, 30):
            with self.subTest(n):
                self.tearDownRoot()
                done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "trace=renameat",
                                       "-e", f"inject=renameat:signal=KILL:when={n}", str(AGENT), f"--root={self.root}"],
                                      capture_output=True, timeout=slipway.PATIENCE,
                                      env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
                self.run_agent()
                self.assertEqual([self.read(path) for path in tables], wanted)
                self.assertTrue(self.marker().exists())
                self.assertFalse((self.root / "etc/.ignition-journal").exists())
            if done.returncode == 0:
                self.assertGreater(n, 5)
                return
        self.fail("never got to its end")

    def tearDownRoot(self):
        subprocess.run(["rm", "-rf", *(self.root / name for name in ("home", "var", "etc/hostname", "etc/.ignition-journal"))],
                       check=True)
        (self.root / "home").mkdir()
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        self.write("etc/group", "root:x:0:\nsudo:x:27:\n")
        self.write("etc/shadow", "root:*:1::::::\n")
        for path in (self.root / "etc").glob("*-"):
            path.unlink()


class Faults(Case):
    def test_young_metadata_service(self):
        for status in (400, 404, 410, 429, 500, 503):
            with self.subTest(status):
                self.marker().unlink(missing_ok=True)
                self.imds.requests.clear()
                self.imds.routes[INSTANCE] = [Reply(status=status), Reply(status=status), Reply(instance())]
                self.run_agent()
                self.assertEqual(len(self.imds.requests), 3)

    def test_refused_for_good(self):
        for status in (401, 403, 405):
            with self.subTest(status):
                self.imds.requests.clear()
                self.wire.requests.clear()
                self.imds.routes[INSTANCE] = Reply(status=status)
                done = self.run_agent(status=1)
                self.assertEqual(len(self.imds.requests), 1)
                self.assertIn(f"attempt 1: HTTP status {status}", done.stderr)
                self.assertIn(f"instance metadata: {INSTANCE and 'http'}", self.reports()[0][5])

    def test_retry_after(self):
        self.imds.routes[INSTANCE] = [Reply(status=429, headers={"Retry-After": "2"}), Reply(instance())]
        self.run_agent()
        self.assertGreater(self.took, 2)

    def test_broken_answers(self):
        text = instance()
        for name, reply in {"cut": Reply(text, cut=40), "half": Reply(text[:len(text) // 2]), "empty": Reply(b""),
                            "not JSON": Reply(b"<html/>")}.items():
            with self.subTest(name):
                self.marker().unlink(missing_ok=True)
                self.imds.routes[INSTANCE] = [reply, Reply(text)]
                self.run_agent()

    def test_strange_answers(self):
        """What is whole and makes no sense is not asked for again."""
        for name, text in {"array": b"[]", "no compute": b"{}", "long name": instance(computerName="a" * 300),
                           "long key": instance(compute={"publicKeys": [{"keyData": "k" * 20000}]}),
                           "many keys": instance(compute={"publicKeys": [{"keyData": "k"}] * 65})}.items():
            with self.subTest(name):
                self.imds.requests.clear()
                self.imds.routes[INSTANCE] = text
                self.run_agent(status=1)
                self.assertEqual(len(self.imds.requests), 1)

    def test_silent_metadata_service(self):
        """The peer hangs for ever; the platform is told all the same."""
        self.imds.routes[INSTANCE] = Reply(wait=60)
        done = self.run_agent(status=1, deadline=2)
        self.assertLess(self.took, 10)
        self.assertIn("no response headers when time was up", done.stderr)
        self.assertEqual(self.reports()[0][3:5], ("NotReady", "ProvisioningFailed"))
        self.assertFalse(self.marker().exists())

    def test_silent_wireserver(self):
        self.wire.routes[VERSIONS] = Reply(wait=90)
        self.assertIn("WireServer's versions", self.run_agent(status=1, deadline=2).stderr)
        self.assertLess(self.took, 10)
        self.assertFalse(self.marker().exists())

    def test_storm(self):
        self.wire.routes |= {VERSIONS: [Reply(status=429), Reply(versions("2012-11-30"))],
                             GOAL: [Reply(status=500), Reply(goal()[:200]), Reply(goal(), cut=50), Reply(goal())],
                             HEALTH: [Reply(status=503), Reply(status=429), Reply(b"")]}
        self.run_agent()
        self.assertEqual({report[3] for report in self.reports()}, {"Ready"})
        self.assertEqual(len(self.reports()), 3)

    def test_stale_incarnation(self):
        self.wire.routes |= {GOAL: [Reply(goal(1)), Reply(goal(2))], HEALTH: [Reply(status=410), Reply(b"")]}
        self.run_agent()
        self.assertEqual([report[0] for report in self.reports()], ["1", "2"])
        self.assertTrue(self.marker().exists())

    def test_always_stale(self):
        self.wire.routes[HEALTH] = Reply(status=410)
        done = self.run_agent(status=1, deadline=60)
        self.assertIn("refused 5 times", done.stderr)
        self.assertEqual([report[3] for report in self.reports()], ["Ready"] * 5)

    def test_goal_states_that_are_none(self):
        good = goal().decode()
        for name, text in {"no incarnation": good.replace("<Incarnation>42</Incarnation>", ""),
                           "empty container": good.replace("c-1", ""),
                           "incarnation": good.replace("42", "4x2"),
                           "long": good.replace("c-1", "c" * 300),
                           }.items():
            with self.subTest(name):
                self.wire.requests.clear()
                self.wire.routes[GOAL] = text.encode()
                self.run_agent(status=1)
                self.assertEqual(self.reports(), [])

    def test_pre_provisioned(self):
        for kind in ("Running", "Savable", "PreprovisionedOSDisk"):
            with self.subTest(kind):
                self.wire.requests.clear()
                self.imds.routes[INSTANCE] = instance(pps=kind)
                done = self.run_agent(status=1)
                self.assertIn(f"made for a pool (pre-provisioning, type {kind})", done.stderr)
                self.assertEqual(self.reports()[0][3:5], ("NotReady", "ProvisioningFailed"))
                self.assertFalse((self.root / "etc/hostname").exists())

    def test_no_identity(self):
        for text in ("", "x", "00000000-0000-0000-0000-000000000000"):
            self.write("sys/class/dmi/id/product_uuid", text)
            self.assertIn("identifies no machine", self.run_agent(status=1).stderr)


class Json(Case):
    def test_other_protocols_only(self):
        for name, reply in {"versions": Reply(versions("2015-04-05")), "unknown": Reply(status=404)}.items():
            with self.subTest(name):
                self.marker().unlink(missing_ok=True)
                self.wire.requests.clear()
                self.wire.routes[VERSIONS] = reply
                self.run_agent()
                self.assertEqual(self.asked(), [f"GET {VERSIONS}", f"POST {JSON_HEALTH}"])
                request = self.wire.requests[1]
                self.assertEqual(json.loads(request.body), {"state": "Ready"})
                self.assertEqual(request.header("Content-Type"), "application/json")
                self.assertRegex(request.header("x-ms-guest-agent-name"), r"^slipway-azure v\S+$")
                self.assertTrue(self.marker().exists())

    def test_failure(self):
        self.wire.routes[VERSIONS] = Reply(status=404)
        self.imds.routes[INSTANCE] = Reply(status=403)
        self.run_agent(status=1)
        report = json.loads(self.wire.requests[1].body)
        self.assertEqual((report["state"], report["details"]["subStatus"]), ("NotReady", "ProvisioningFailed"))
        self.assertRegex(report["details"]["description"], r"^result=error\|reason=instance metadata: .*HTTP status 403\|")

    def test_retries(self):
        self.wire.routes |= {VERSIONS: Reply(status=404), JSON_HEALTH: [Reply(status=429), Reply(status=500), Reply(b"")]}
        self.run_agent()
        self.assertEqual(len(self.wire.requests), 4)


class Pool(Case):
    def record(self, key, value):
        return struct.pack("512s2048s", key.encode(), value.encode())

    def put(self, data):
        (self.root / "var/lib/hyperv").mkdir()
        (self.root / "var/lib/hyperv/.kvp_pool_1").write_bytes(data)

    def test_others_stay(self):
        self.put(self.record("A", "1") + self.record("PROVISIONING_REPORT", "old") * 2 + self.record("B", "2"))
        self.run_agent()
        self.assertEqual([key for key, _ in self.pool()], ["A", "B", "PROVISIONING_REPORT"])

    def test_torn(self):
        self.put(self.record("A", "1") + b"half a record")
        self.run_agent()
        self.assertEqual([key for key, _ in self.pool()], ["A", "PROVISIONING_REPORT"])

    def test_locked(self):
        """Whoever holds the lock for ever costs the report, not the machine."""
        self.put(b"")
        with open(self.root / "var/lib/hyperv/.kvp_pool_1", "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            done = self.run_agent()
        self.assertIn("somebody else holds its lock", done.stdout)
        self.assertTrue(self.marker().exists())

    def test_description_has_512_characters(self):
        self.imds.routes[INSTANCE] = instance(adminUsername="ü:" * 100)
        self.run_agent(status=1)
        description = self.reports()[0][5]
        self.assertLessEqual(len(description), 512)
        self.assertIn(f"|vm_id={ID}|", description)
        self.assertTrue(description.endswith("|documentation_url=https://aka.ms/linuxprovisioningerror"))


def enter_namespaces():
    """As root: users are made whose numbers a user namespace does not have."""
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        os.execvpe("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv],
                   {**os.environ, "SLIPWAY_NAMESPACE": "1"})
    servers.enter_namespace(IMDS, WIRESERVER, OTHER_WIRESERVER)


if __name__ == "__main__":
    enter_namespaces()
    unittest.main()
