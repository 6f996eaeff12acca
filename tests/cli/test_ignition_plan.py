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
# Three partitions of 10 MiB, from 1 MiB on.
GPT = "label: gpt\n" + "".join(f"start={20480 * i + 2048},size=20480,name={name}\n"
                               for i, name in enumerate(("one", "two", "three")))
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
                              text=True, timeout=slipway.PATIENCE, env={**os.environ, **(env or {})})

    def plan(self, config, *options):
        path = self.scratch / "config.ign"
        path.write_text(json.dumps(config))
        before = snapshot(self.root)
        done = self.run_("plan", path, "--root", self.root, *options)
        self.assertEqual(before, snapshot(self.root), "a plan must write nothing")
        return done

    def rows(self, config):
        done = self.plan(config, "--json")
        self.assertTrue(done.stdout, done.stderr)
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

    def image(self, name, mib, table=""):
        path = self.scratch / name
        with open(path, "wb") as file:
            file.truncate(mib << 20)
        if table:
            subprocess.run(["sfdisk", "--quiet", path], input=table, text=True, check=True, timeout=slipway.PATIENCE)
        return path

    def ext4(self, path, label, mib=0):
        """A file system in an image, or in the 10 MiB of it that begin at mib."""
        size = ("-E", f"offset={mib << 20}", path, "10M") if mib else (path,)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, *size], check=True, timeout=slipway.PATIENCE)
        return path

    def disk_rows(self, images, **storage):
        """(action, object) → detail of the disks stage; the images stay as they are."""
        before = [path.read_bytes() for path in images]
        rows = self.rows({"ignition": {"version": "3.4.0"}, "storage": storage})
        self.assertEqual(before, [path.read_bytes() for path in images])
        return {(r["action"], r["object"]): r for r in rows if r["stage"] == "disks"}

    def test_partitions(self):
        disk = self.image("disk", 128, GPT)
        rows = self.disk_rows([disk], disks=[{"device": str(disk), "partitions": [
            {"number": 1, "label": "one", "startMiB": 1, "sizeMiB": 10},
            {"number": 2, "shouldExist": False, "wipePartitionEntry": True},
            {"number": 3, "label": "three", "sizeMiB": 20, "resize": True},
            {"number": 7, "shouldExist": False},
            {"number": 4, "label": "new", "sizeMiB": 8}]}])
        self.assertEqual(set(rows), {("keep", f"{disk} partition 1"), ("delete", f"{disk} partition 2"),
                                     ("resize", f"{disk} partition 3"), ("create", f"{disk} partition 4"),
                                     ("leave absent", f"{disk} partition 7")})
        self.assertIn("size 20 MiB", rows["resize", f"{disk} partition 3"]["detail"])
        self.assertIn("instead of 10 MiB", rows["resize", f"{disk} partition 3"]["detail"])
        self.assertEqual(rows["create", f"{disk} partition 4"]["detail"], '"new", start 41 MiB, size 8 MiB')

    def test_partition_tables(self):
        disk, old = self.image("disk", 64, GPT), self.image("old", 64, "label: dos\nstart=2048\n")
        rows = self.disk_rows([disk, old], disks=[
            {"device": str(d), "wipeTable": True, "partitions": [{"label": "x"}]} for d in (disk, old)])
        self.assertEqual(set(rows), {("replace", str(disk)), ("replace", str(old)),
                                     *(("delete", f"{disk} partition {n}") for n in (1, 2, 3)),
                                     ("create", f"{disk} partition 1"), ("create", f"{old} partition 1")})
        self.assertIn("dos", rows["replace", str(old)]["detail"])

    def test_partition_is_refused(self):
        disk = self.image("disk", 64, GPT)
        row, = self.disk_rows([disk], disks=[{"device": str(disk), "partitions": [
            {"number": 1, "label": "other"}]}]).values()
        self.assertEqual(row["action"], "refuse")
        self.assertIn('got "one"', row["detail"])
        self.assertRegex(row["setting"], r"^\$\.storage\.disks\.0\.partitions\.0, line 1 col")

    def test_absent_disk(self):
        rows = self.disk_rows([], disks=[{"device": "/dev/not-there", "partitions": [
            {"label": "a", "sizeMiB": 100}, {"label": "b"}]}])
        self.assertEqual(list(rows), [("absent", "/dev/not-there"), ("create", "/dev/not-there"),
                                      ("create", "/dev/not-there partition 1"),
                                      ("create", "/dev/not-there partition 2")])
        self.assertEqual(rows["create", "/dev/not-there partition 2"]["detail"],
                         '"b", start 101 MiB, size all that is free')

    def test_filesystems(self):
        whole = self.ext4(self.image("whole", 16), "data")
        blank = self.image("blank", 16)
        rows = self.disk_rows([whole, blank], filesystems=[
            {"device": str(whole), "format": "ext4", "label": "data"},
            {"device": str(blank), "format": "xfs"},
            {"device": "/dev/not-there", "format": "swap"}])
        self.assertEqual(set(rows), {("keep", str(whole)), ("create", str(blank)),
                                     ("create", "/dev/not-there")})
        self.assertIn("not there", rows["create", "/dev/not-there"]["detail"])
        for more, action in (({}, "refuse"), ({"wipeFilesystem": True}, "create")):
            row, = self.disk_rows([whole], filesystems=[
                {"device": str(whole), "format": "btrfs", **more}]).values()
            self.assertEqual(row["action"], action)
            self.assertIn("ext4", row["detail"])

    def test_filesystems_in_partitions(self):
        """A partition that will begin where an old file system lies shows it."""
        disk = self.image("disk", 128, GPT)
        self.ext4(disk, "stale", 11)
        self.ext4(disk, "data", 21)
        wishes = [{"number": 2, "shouldExist": False, "wipePartitionEntry": True},
                  {"number": 5, "label": "new", "startMiB": 11, "sizeMiB": 10}]
        rows = self.disk_rows([disk], disks=[{"device": str(disk), "partitions": wishes}], filesystems=[
            {"device": "/dev/disk/by-partlabel/three", "format": "ext4", "label": "data"},
            {"device": f"{disk}p1", "format": "xfs"},
            {"device": "/dev/disk/by-partlabel/new", "format": "xfs"}])
        self.assertIn(("keep", "/dev/disk/by-partlabel/three"), rows)
        self.assertIn(("create", f"{disk}p1"), rows)
        self.assertIn('"stale"', rows["refuse", "disks"]["detail"])

    def test_arrays_and_volumes(self):
        other = self.ext4(self.image("other", 16), "data")
        rows = self.disk_rows([other], raid=[
            {"name": "r", "level": "raid1", "devices": ["/dev/not-there", str(other)]}],
            luks=[{"name": "v", "device": "/dev/md/r"}, {"name": "w", "device": str(other)}],
            filesystems=[{"device": "/dev/mapper/v", "format": "ext4"}])
        self.assertIn("/dev/not-there (not there)", rows["create", "r"]["detail"])
        self.assertIn("a new array", rows["create", "v"]["detail"])
        self.assertEqual(rows["create", "/dev/mapper/v"]["detail"], "ext4")
        self.assertIn("something that is not LUKS (ext4)", rows["refuse", "disks"]["detail"])

    def test_kept_volume(self):
        image = self.image("luks", 32)
        done = subprocess.run(["cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf",
                               "pbkdf2", "--pbkdf-force-iterations", "1000", "--label", "secret", image, "-"],
                              input="k", text=True, capture_output=True, timeout=slipway.PATIENCE)
        if done.returncode != 0:
            self.skipTest(f"cryptsetup cannot work on a file here: {done.stderr.strip()}")
        key = {"keyFile": {"source": "data:,k"}}
        for more, action, word in ((key, "keep", "if its key opens it"), ({}, "refuse", "only with a keyFile"),
                                   ({**key, "label": "x"}, "refuse", '"secret"'),
                                   ({"wipeVolume": True}, "create", "wiped: crypto_LUKS")):
            row, inside = list(self.disk_rows([image], luks=[
                {"name": "slipway-none", "device": str(image), **more}], filesystems=[
                    {"device": "/dev/mapper/slipway-none", "format": "ext4"}]).values())
            self.assertEqual(row["action"], action)
            self.assertIn(word, row["detail"])
            self.assertEqual("inside" in inside["detail"], action == "keep")

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
