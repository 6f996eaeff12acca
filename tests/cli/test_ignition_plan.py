#!/usr/bin/env python3
"""ignition plan: says what the stages would do, and does nothing; ignition needs-device, report, SELinux labels."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

CONFIG = {
    "ignition": {"version": "3.4.0"},
    "passwd": {"groups": [{"name": "new", "gid": 4000}],
               "users": [{"name": "core", "uid": 1500, "groups": ["new"], "primaryGroup": "root",
                          "sshAuthorizedKeys": ["ssh-x"]}, {"name": "old", "gecos": "Old"}]},
    "storage": {
        "files": [{"path": "/etc/kept", "contents": {"source": "data:,a"}},
                  {"path": "/etc/replaced", "overwrite": True, "contents": {"source": "data:,b"}},
                  {"path": "/new/file", "mode": 0o640, "contents": {"source": "data:,c"}}],
        "directories": [{"path": "/etc", "mode": 0o755}],
        "links": [{"path": "/alias", "target": "etc"}]},
    "systemd": {"units": [{"name": "a.service", "enabled": True, "contents":
                           "[Service]\nExecStart=/x\n[Install]\nWantedBy=a.target\n"},
                          {"name": "b.service", "mask": True}]},
}
WANT = {
    ("create", "group new"), ("change", "group new"), ("create", "user core"),
    ("change", "user old"), ("create", "/home/core"), ("write", "ssh keys"),
    ("keep", "/etc/kept"), ("replace", "/etc/replaced"), ("create", "/new/file"), ("keep", "/etc"),
    ("create", "/alias"), ("create", "/etc/systemd/system/a.service"), ("enable", "a.service"),
    ("mask", "/etc/systemd/system/b.service"), ("create", "password of user core"),
}
PASSWD = "root:x:0:0:root:/root:/bin/sh\nold:x:1000:0::/:/bin/sh\n"


def data_url(config):
    return "data:," + urllib.parse.quote(json.dumps(config))


def snapshot(root):
    return {str(p): (p.lstat().st_mtime_ns, p.lstat().st_mode, p.lstat().st_ino)
            for p in sorted(root.rglob("*")) + [root]}


class Plan(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="slipway-plan-"))
        self.addCleanup(shutil.rmtree, self.scratch)
        self.root = self.scratch / "root"
        (self.root / "etc").mkdir(parents=True)
        for name, text in {"passwd": PASSWD, "group": "root:x:0:\n", "shadow": "root:*:1::::::\n",
                           "kept": "a", "replaced": "x"}.items():
            (self.root / "etc" / name).write_text(text)

    def run_(self, *argv, env=None):
        return subprocess.run([str(slipway.IGNITION), *map(str, argv)], capture_output=True,
                              text=True, timeout=60, env={**os.environ, **(env or {})})

    def plan(self, config, *options):
        path = self.scratch / "config.ign"
        path.write_text(json.dumps(config))
        before = snapshot(self.root)
        done = self.run_("plan", path, "--root", self.root, *options)
        self.assertEqual(before, snapshot(self.root), "a plan must write nothing")
        return done

    def rows(self, config):
        done = self.plan(config, "--json")
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, int(answer["refused"]), done.stderr)
        return answer["rows"]

    def test_rows(self):
        rows = self.rows(CONFIG)
        got = {(r["action"], r["object"]) for r in rows}
        self.assertEqual(WANT - got, {("change", "group new")} - got)
        user = next(r for r in rows if r["object"] == "user core")
        self.assertIn("uid 1500", user["detail"])
        group = next(r for r in rows if r["object"] == "group new")
        self.assertIn("members core", group["detail"])
        self.assertTrue(all(r["stage"] == "files" for r in rows), rows)

    def test_text(self):
        done = self.plan(CONFIG)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("files\n", done.stdout)
        self.assertIn("  replace  /etc/replaced: file\n", done.stdout)

    def test_refusals(self):
        config = json.loads(json.dumps(CONFIG))
        config["storage"]["links"].append({"path": "/etc/passwd", "target": "x"})
        config["passwd"]["users"][0]["primaryGroup"] = "nobody-knows"
        rows = [r for r in self.rows(config) if r["action"] == "refuse"]
        self.assertEqual(len(rows), 1, rows)
        self.assertIn("nobody-knows", rows[0]["detail"])
        self.assertRegex(rows[0]["setting"], r"^\$\.passwd\.users\.0, line 1 col \d+$")

    def test_something_in_the_way(self):
        config = {"ignition": {"version": "3.4.0"},
                  "storage": {"links": [{"path": "/etc/passwd", "target": "x"}]}}
        rows = self.rows(config)
        self.assertEqual([(r["action"], r["object"]) for r in rows], [("refuse", "/etc/passwd")])

    def test_fetches(self):
        config = {"ignition": {"version": "3.4.0"}, "storage": {"files": [
            {"path": "/x", "contents": {"source": "https://user:secret@h/x"}}]}}
        rows = [r for r in self.rows(config) if r["stage"] == "fetch"]
        self.assertEqual(len(rows), 1)
        self.assertNotIn("secret", json.dumps(rows))

    def test_merged(self):
        """What data: URLs hold is merged, whatever needs the network is left out and listed."""
        grandchild = {"ignition": {"version": "3.3.0"}, "storage": {"files": [
            {"path": "/grand", "contents": {"source": "data:,x"}}]}}
        child = {"ignition": {"version": "3.4.0", "config": {"merge": [
            {"source": data_url(grandchild)}, {"source": "https://user:secret@h/far"}]}},
            "storage": {"files": [{"path": "/both", "mode": 0o600}]}}
        rows = self.rows({
            "ignition": {"version": "3.4.0", "config": {"merge": [{"source": data_url(child)}]},
                         "security": {"tls": {"certificateAuthorities": [{"source": "https://h/ca"}]}}},
            "storage": {"files": [{"path": "/both", "mode": 0o644}, {"path": "/own"}]}})
        self.assertEqual([(r["action"], r["object"]) for r in rows if r["stage"] == "fetch"],
                         [("merge", "data: URL"), ("merge", "data: URL"),
                          ("fetch", "https://user:xxxxx@h/far"), ("fetch", "https://h/ca")])
        self.assertIn("$.ignition.config.merge.0, line 1 col", rows[0]["detail"])
        files = {r["object"]: r["detail"] for r in rows if r["stage"] == "files"}
        self.assertEqual(files, {"/both": "file, mode 0600", "/own": "file", "/grand": "file"})

    def test_replaced(self):
        new = {"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/new"}]}}
        for source, want in ((data_url(new), [("replace", "data: URL"), ("create", "/new")]),
                             ("tftp://h/x", [("fetch", "tftp://h/x")])):
            rows = self.rows({"ignition": {"version": "3.4.0", "config": {"replace": {"source": source}}},
                              "storage": {"files": [{"path": "/old"}]}})
            self.assertEqual([(r["action"], r["object"]) for r in rows], want)

    def test_bad_reference(self):
        done = self.plan({"ignition": {"version": "3.4.0", "config": {"merge": [
            {"source": data_url({"ignition": {"version": "1.0.0"}})}]}}})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("unsupported", done.stderr)

    def test_kernel_arguments(self):
        """The helper that would change them is not run."""
        helper = self.scratch / "ignition-kargs-helper"
        helper.write_text(f"#!/bin/sh\ntouch {self.scratch}/ran\n")
        helper.chmod(0o755)
        config = {"ignition": {"version": "3.4.0"}, "kernelArguments": {"shouldExist": ["quiet"]}}
        os.environ["PATH"], path = f"{self.scratch}:{os.environ['PATH']}", os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        self.assertEqual([(r["action"], r["stage"]) for r in self.rows(config)], [("change", "kargs")])
        self.assertFalse((self.scratch / "ran").exists())
        helper.unlink()
        self.assertEqual([(r["action"], r["stage"]) for r in self.rows(config)], [("refuse", "kargs")])

    def test_bad_config(self):
        done = self.plan({"ignition": {"version": "1.0.0"}})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertNotEqual(self.run_("plan").returncode, 0)

    def stage(self, stage, config, env=None):
        path = self.scratch / "config.ign"
        path.write_text(json.dumps(config))
        options = ["--root", self.root, "--config-cache", self.scratch / "cache", "--state-file",
                   self.scratch / "run" / "state", "--neednet", self.scratch / "neednet",
                   "--platform", "file", "--log-to-stdout"]
        return self.run_("--stage", stage, *options,
                         env={"IGNITION_CONFIG_FILE": str(path), **(env or {})})

    def report(self):
        return json.loads((self.scratch / "run" / "report.json").read_text())

    def test_reports(self):
        self.assertEqual(self.stage("fetch-offline", CONFIG).returncode, 0)
        self.assertEqual(self.report()["status"], "running")
        bad = json.loads(json.dumps(CONFIG))
        bad["storage"]["files"][0]["contents"]["source"] = "data:,other"
        self.assertEqual(self.stage("fetch-offline", bad).returncode, 0)
        done = self.stage("files", bad)
        self.assertEqual(done.returncode, 1)
        report = self.report()
        self.assertEqual([(s["name"], s["result"]) for s in report["stages"]],
                         [("fetch-offline", "passed"), ("files", "failed")])
        failure = report["failure"]
        self.assertRegex(failure["setting"], r"^\$\.storage\.files\.0")
        self.assertEqual(failure["line"], 1)
        block = (self.scratch / "run" / "failure").read_text()
        self.assertIn("Ignition failed: stage files", block)
        self.assertIn("What to do: ", block)
        self.assertIn(block, done.stderr)

    def test_needs_device(self):
        label = "/dev/disk/by-partlabel/root"
        config = {"ignition": {"version": "3.4.0"}, "storage": {"filesystems": [
            {"device": label, "format": "btrfs"}]}}
        cache = ("--config-cache", self.scratch / "cache")
        self.assertEqual(self.stage("fetch-offline", config).returncode, 0)
        self.assertEqual(self.run_("needs-device", label, *cache).returncode, 0)
        self.assertEqual(self.run_("needs-device", "/dev/vda", *cache).returncode, 1)
        config["storage"]["disks"] = [{"device": "/dev/vda", "partitions": [
            {"label": "root", "number": 4}]}]
        self.assertEqual(self.stage("fetch-offline", config).returncode, 0)
        self.assertEqual(self.run_("needs-device", label, *cache).returncode, 1)

    def test_labels(self):
        """setfiles gets what was made, once, and only where there is a policy."""
        tools = self.scratch / "bin"
        tools.mkdir()
        fake = tools / "setfiles"
        fake.write_text(f"#!/bin/sh\necho \"$@\" >> {self.scratch}/argv\ncat > {self.scratch}/paths\n")
        fake.chmod(0o755)
        env = {"PATH": f"{tools}:{os.environ['PATH']}"}
        config = {"ignition": {"version": "3.4.0"}, "storage": {"files": [
            {"path": "/new/deep/file", "contents": {"source": "data:,x"}}]}}
        self.assertEqual(self.stage("fetch-offline", config).returncode, 0)
        self.assertEqual(self.stage("files", config, env).returncode, 0)
        self.assertFalse((self.scratch / "argv").exists())
        shutil.rmtree(self.root / "new")
        (self.root / "etc" / "selinux").mkdir()
        (self.root / "etc" / "selinux" / "config").write_text("#\nSELINUXTYPE=targeted\n")
        self.assertEqual(self.stage("fetch-offline", config).returncode, 0)
        done = self.stage("files", config, env)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual((self.scratch / "argv").read_text(),
                         f"-vF0 -r {self.root} {self.root}/etc/selinux/targeted/contexts/files/"
                         "file_contexts -f -\n")
        paths = (self.scratch / "paths").read_text().split("\0")
        self.assertIn(f"{self.root}/new", paths)
        self.assertIn(f"{self.root}/etc/.ignition-result.json", paths)
        self.assertIn(f"{self.root}/etc/passwd", paths)
        shutil.rmtree(self.root / "new")
        fake.write_text("#!/bin/sh\necho no policy >&2\nexit 1\n")
        self.assertEqual(self.stage("fetch-offline", config).returncode, 0)
        done = self.stage("files", config, env)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no policy", done.stderr)


if __name__ == "__main__":
    unittest.main()
