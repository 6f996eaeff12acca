#!/usr/bin/env python3
"""slipway publish and keygen: what is on the site, by other programs' word; refusals; kills."""

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import site_reader as reader
import slipway
from site_reader import Site, listing, publish, publish_argv, release
from tiny import EPOCH, Key, Server, Tiny, noise

REF = "tiny/amd64/stable"
GOLDEN = slipway.PROJECT / "tests" / "golden" / "tiny-release.json"
DAY = 24 * 60 * 60
HEALTH = {"checks": [{"name": "units", "units": ["tiny.service"]}], "deadline": 60}
KILL_AT = ("renameat", "linkat", "mkdirat", "ftruncate", "syncfs", "fsync", "unlinkat")


class Publish(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tiny = cls.enterClassContext(Tiny(cls.enterClassContext(Key())))
        cls.tiny.files["usr/lib/slipway/health.d/base.json"] = json.dumps(HEALTH)
        cls.key = reader.keygen(cls.tiny.path / "key")
        cls.public = cls.key.with_suffix(".ed25519")
        for step, version in enumerate(("1.0", "1.1", "1.2", "1.3")):
            release(cls.tiny, version, EPOCH + step,
                    **{"usr/share/tiny/motd": f"This is {version}\n",
                       f"usr/share/tiny/grown-{step}": noise(40000, step).hex()})
        # The published 1.0, which no test changes.
        cls.first = cls.tiny.path / "first"
        cls.publishes("1.0", cls.first)

    def setUp(self):
        self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(dir=self.tiny.path)))
        self.site = self.path / "site"

    def reader(self, *keys):
        return Site(self.site, *(keys or [self.public]))

    @classmethod
    def publishes(cls, build, site, *options, **how):
        done = publish(cls.tiny, build, site, cls.key, "--json", *options, **how)
        if (done.returncode, done.stderr) != (0, ""):
            raise AssertionError(f"slipway publish: exit {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def refused(self, build, *texts, options=(), status=1, key=None, **how):
        """One message, and a site as it was."""
        before = listing(self.site) if self.site.exists() else {}
        done = publish(self.tiny, build, self.site, key or self.key, *options, **how)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        if status == 1:
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(listing(self.site) if self.site.exists() else {}, before)
        return done.stderr

    def from_first(self):
        shutil.copytree(self.first, self.site, symlinks=True)

    # ---- keys ----

    def test_keygen(self):
        secret = base64.b64decode(self.key.read_text(), validate=False)
        public = base64.b64decode(self.public.read_text())
        self.assertEqual((len(secret), len(public)), (64, 32))
        self.assertEqual(secret[32:], public)
        self.assertEqual([p.stat().st_mode & 0o777 for p in (self.key, self.public)], [0o600, 0o644])
        # What OpenSSL makes of the seed.
        der = self.path / "seed.der"
        der.write_bytes(reader.SECRET_DER + secret[:32])
        done = subprocess.run(["openssl", "pkey", "-inform", "DER", "-in", der, "-pubout",
                               "-outform", "DER"], capture_output=True, check=True)
        self.assertEqual(done.stdout, reader.PUBLIC_DER + public)

    def test_keygen_never_overwrites(self):
        for there in ("key.secret", "key.ed25519"):
            (self.path / there).write_text("mine\n")
            done = self.tiny.run([str(slipway.SLIPWAY), "keygen", str(self.path / "key")])
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(f"{there}: File exists", done.stderr)
            self.assertEqual({p.name: p.read_text() for p in self.path.glob("key.*")},
                             {there: "mine\n"})
            (self.path / there).unlink()

    # ---- what is published ----

    def test_release(self):
        """The release is what the build's report, the disk and the commit say."""
        found = Site(self.first, self.public).check(REF)
        report = json.loads((self.tiny.path / "1.0/tiny_1.0.report.json").read_text())
        for ours, theirs in (("rootHash", "rootHash"), ("usrSize", "usrSize"), ("image", "image"),
                             ("treeSize", "hashTreeSize"), ("ukiSize", "ukiSize"),
                             ("version", "version"), ("timestamp", "epoch")):
            self.assertEqual(found[ours], report[theirs], ours)
        self.assertEqual(found["health"], ["units"])
        text = (self.first / "images" / found["rootHash"] / "release.json").read_text()
        text = re.sub(r"\b[0-9a-f]{64}\b", "…", text)
        if slipway.UPDATE_GOLDEN:
            GOLDEN.write_text(text)
        self.assertEqual(text, GOLDEN.read_text())
        # Machines know their own release by the same number.
        os_release = self.read_file("usr/lib/os-release", self.first)
        self.assertIn(f"SLIPWAY_TIMESTAMP={found['timestamp']}\n", os_release)

    def read_file(self, name, site):
        place = self.path / "checkout"
        Site(site).ostree("checkout", "-U", "--subpath", f"/{name}", REF, place)
        return next(place.iterdir()).read_text()

    def test_images_are_the_slots(self):
        report = json.loads((self.tiny.path / "1.0/tiny_1.0.report.json").read_text())
        images = self.first / "images" / report["rootHash"]
        usr, tree = report["layout"]["partitions"][1:3]
        with open(self.tiny.path / "1.0/tiny_1.0.raw", "rb") as disk:
            for name, partition in (("usr.img", usr), ("usr.tree", tree)):
                disk.seek(partition["start"])
                published = (images / name).read_bytes()
                self.assertEqual(published, disk.read(len(published)), name)
        self.assertEqual((images / "uki.efi").read_bytes(),
                         (self.tiny.path / "1.0/tiny_1.0.efi").read_bytes())
        self.assertEqual(sorted(p.name for p in images.iterdir()),
                         ["release.json", "uki.efi", "uki.tree", "usr.img", "usr.tree"])

    def test_pulled(self):
        """libostree pulls the whole tree from a plain web server."""
        Site(self.first).ostree("fsck", "--quiet")
        client = f"--repo={self.path / 'client'}"
        with Server(self.first) as server:
            reader.tool("ostree", "init", client, "--mode=bare-user")
            reader.tool("ostree", "remote", "add", client, "--no-gpg-verify", "site",
                        f"{server.url}/repo")
            reader.tool("ostree", "pull", client, "site", REF)
        reader.tool("ostree", "fsck", client, "--quiet")
        reader.tool("ostree", "checkout", client, "-U", f"site:{REF}", self.path / "tree")
        self.assertEqual((self.path / "tree/usr/share/tiny/motd").read_text(), "This is 1.0\n")
        self.assertTrue(os.access(self.path / "tree/usr/bin/hello", os.X_OK))

    def test_summary(self):
        """The dates are libostree's keys; the rest is what libostree would write of these refs."""
        self.from_first()
        before = int(time.time())
        self.publishes(None, self.site, "--renew", "--expires", "7")
        after = int(time.time())
        shown = self.reader().ostree("summary", "-v")
        dates = [int(reader.tool("date", "+%s", "-d", re.search(rf"{key}\): (\S+)", shown)[1] + ":00"))
                 for key in ("last-modified", "expires")]
        self.assertTrue(before <= dates[0] <= after, (before, dates[0], after))
        self.assertEqual(dates[1], dates[0] + 7 * DAY)
        ours = (self.site / "repo/summary").read_bytes()
        self.reader().ostree("summary", "-u")
        theirs = (self.site / "repo/summary").read_bytes()
        end = ours.index(b"ostree.summary.") - 8
        self.assertGreater(end, 120)
        self.assertEqual(ours[:end], theirs[:end])

    def test_two_keys(self):
        """A second key's signatures stand beside the first one's."""
        self.from_first()
        second = reader.keygen(self.path / "second")
        answer = json.loads(publish(self.tiny, "1.0", self.site, self.key, "--key", second,
                                    "--json").stdout)
        self.assertTrue(answer["changed"])
        self.assertTrue(self.reader(self.public, second.with_suffix(".ed25519")).check(REF))
        stranger = reader.keygen(self.path / "stranger")
        with self.assertRaises(reader.Broken):
            self.reader(stranger.with_suffix(".ed25519")).check(REF)

    def test_again(self):
        """The same build again changes nothing at all."""
        self.from_first()
        before = listing(self.site)
        self.assertFalse(self.publishes("1.0", self.site)["changed"])
        self.assertEqual(listing(self.site), before)
        self.assertTrue(self.publishes("1.1", self.site)["changed"])
        before = listing(self.site)
        self.assertFalse(self.publishes("1.1", self.site)["changed"])
        self.assertEqual(listing(self.site), before)
        self.assertEqual(self.versions(), ["1.0", "1.1"])

    def test_old_summary_and_new_signature(self):
        """Between the two renames, too, a reader finds a signature for what there is."""
        self.from_first()
        old = (self.site / "repo/summary").read_bytes()
        self.publishes("1.1", self.site)
        new = self.site / "repo/summary"
        signature = (self.site / "repo/summary.sig").read_bytes()
        for data in (old, new.read_bytes()):
            self.reader().signed(data, signature, "summary")
        self.assertEqual(len(reader.signatures(signature)), 2)
        # The one before the last is good no more.
        self.publishes("1.2", self.site)
        with self.assertRaises(reader.Broken):
            self.reader().signed(old, (self.site / "repo/summary.sig").read_bytes(), "summary")

    def versions(self, channel="stable"):
        text = (self.site / "channels/tiny/amd64" / channel / "releases.json").read_text()
        return [r["version"] for r in json.loads(text)["releases"]]

    # ---- refusals ----

    def test_other_content(self):
        self.from_first()
        with contextlib.ExitStack() as stack:
            stack.callback(self.tiny.files.pop, "usr/share/tiny/other")
            other = release_as(self.tiny, "1.0", "other", EPOCH + 50, "usr/share/tiny/other")
        self.refused(other, "the channel has version 1.0 already, with root hash ")
        self.refused(other, "the channel has version 1.0 already", options=["--force"])
        # Another channel may have it.
        self.publishes(other, self.site, channel="beta")

    def test_other_uki(self):
        self.from_first()
        self.tiny.manifest["kernel"] = {"options": ["debug"]}
        self.addCleanup(self.tiny.manifest.pop, "kernel")
        self.tiny.files["usr/share/tiny/motd"] = "This is 1.3\n"
        other = release_as(self.tiny, "1.3", "uki", EPOCH + 3)
        self.publishes("1.3", self.site)
        self.refused(other, "already", "and another UKI")
        self.refused(other, "the site has this image with another UKI", channel="beta")

    def test_older(self):
        self.from_first()
        self.publishes("1.2", self.site)
        self.refused("1.1", "version 1.1 is older than 1.2, which the channel has")
        self.assertTrue(self.publishes("1.1", self.site, "--force")["changed"])
        self.assertEqual(self.versions(), ["1.0", "1.2", "1.1"])
        self.assertEqual(self.reader().check(REF)["version"], "1.1")
        # What the channel offers now can be published again; 1.2 is still its newest.
        self.assertFalse(self.publishes("1.1", self.site)["changed"])
        self.refused("1.0", "older than 1.2")
        self.publishes("1.2", self.site)
        self.assertEqual(self.versions(), ["1.0", "1.1", "1.2"])

    def test_bad_input(self):
        self.refused("nothing", "nothing: No such file or directory")
        (self.tiny.path / "empty").mkdir(exist_ok=True)
        self.refused("empty", "no *.report.json: not the output of a build")
        for text in ("", "x\n", self.public.read_text(), self.key.read_text()[:-10] + "AAAAAAAA=\n"):
            (self.path / "bad.secret").write_text(text)
            self.refused("1.0", "bad.secret: not a secret ed25519 key", key=self.path / "bad.secret")
        self.refused("1.0", "a channel's name", channel="../up")
        for options in (["--expires", "0"], ["--expires", "soon"], ["--keep", "0"]):
            self.refused("1.0", "wants a number", options=options, status=2)
        self.refused(None, "which build directory?", status=2)
        self.site.mkdir()
        for option in ("--renew", "--prune"):
            self.refused(None, "not an update site", options=[option])

    def test_damaged_build(self):
        """A byte of the image, or of the UKI, that is not what was built."""
        for suffix, where, what in ((".raw", lambda r: r["layout"]["partitions"][1]["start"] + 5000, "usr.img"),
                                    (".efi", lambda r: 3000, "uki.efi")):
            broken = self.path / f"broken{suffix}"
            shutil.copytree(self.tiny.path / "1.0", broken)
            report = json.loads((broken / "tiny_1.0.report.json").read_text())
            with open(broken / f"tiny_1.0{suffix}", "r+b") as file:
                file.seek(where(report))
                byte = file.read(1)
                file.seek(-1, 1)
                file.write(bytes([byte[0] ^ 1]))
            self.refused(broken, f"{what}: its root hash is ")
        self.assertEqual([p.name for p in (self.site / "images").iterdir()], [])

    def test_no_raw_disk(self):
        part = self.path / "part"
        shutil.copytree(self.tiny.path / "1.0", part)
        report = json.loads((part / "tiny_1.0.report.json").read_text())
        report["artifacts"] = [a for a in report["artifacts"] if not a["name"].endswith(".raw")]
        (part / "tiny_1.0.report.json").write_text(json.dumps(report))
        self.refused(part, "the build has no *.raw, from which a release is published")

    def test_locked(self):
        self.from_first()
        fd = os.open(self.site, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self.refused("1.1", f"another publisher is writing to {self.site}")

    def test_at_once(self):
        """Of several publishers at once each succeeds or is told; the site is good."""
        runs = [subprocess.Popen(publish_argv(self.tiny, v, self.site, self.key, "--force"),
                                 env=self.tiny.environment, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
                for v in ("1.0", "1.1", "1.2", "1.3")]
        good = 0
        for run in runs:
            error = run.communicate(timeout=slipway.PATIENCE)[1]
            good += run.returncode == 0
            if run.returncode != 0:
                self.assertIn("another publisher is writing to", error)
        self.assertGreaterEqual(good, 1)
        self.assertTrue(self.reader().check(REF))

    # ---- space ----

    def layouts(self, *rows):
        path = self.path / "layouts.json"
        path.write_text(json.dumps({"layouts": [
            {"name": name, "usr": usr, "usrVerity": tree, "esp": esp} for name, usr, tree, esp in rows]}))
        return path

    def test_does_not_fit(self):
        self.from_first()
        for row, text in (
                (("usr", "512K", "1M", "64M"),
                 "version 1.1 does not fit layout 'usr': it needs a partition usr of 1048576 bytes, "
                 "there are 524288: 524288 bytes are missing"),
                (("tree", "1M", 4096, "64M"), "usr-verity of 1048576 bytes, there are 4096: 1044480 bytes"),
                (("esp", "1M", "1M", "63M"), "esp of 67108864 bytes, there are 66060288: 1048576 bytes")):
            self.refused("1.1", text, options=["--layout", self.layouts(("roomy", "1G", "8M", "1G"), row)])
        # A channel keeps its layouts.
        self.publishes("1.1", self.site, "--layout", self.layouts(("exact", "1M", "1M", "64M")))
        stored = json.loads((self.site / "channels" / REF / "layouts.json").read_text())
        self.assertEqual(stored["layouts"], [{"name": "exact", "usr": 1 << 20, "usrVerity": 1 << 20,
                                              "esp": 64 << 20}])
        self.publishes("1.2", self.site)
        for text in ("{}", '{"layouts": [{"name": "x"}]}', '{"layouts": [{"name": "x", "usr": -1, '
                     '"usrVerity": 1, "esp": 1}]}', "["):
            (self.path / "layouts.json").write_text(text)
            self.refused("1.3", "layouts.json:1:", options=["--layout", self.path / "layouts.json"])

    def test_trend(self):
        """Growth is that of the last releases; what is left follows from the tightest partition."""
        self.from_first()
        self.publishes("1.1", self.site)
        trend = self.publishes("1.2", self.site, "--layout", self.layouts(("small", "1M", "1M", "64M"),
                                                                          ("big", "1G", "16M", "1G")))["trend"]
        sizes = [json.loads((self.tiny.path / f"1.{i}/tiny_1.{i}.report.json").read_text())["usrSize"]
                 for i in range(3)]
        growth = (sizes[2] - sizes[0]) // 2
        self.assertGreater(growth, 40000)
        self.assertEqual(trend, {"partition": "usr", "layout": "small", "size": sizes[2], "limit": 1 << 20,
                                 "releases": 3, "growth": growth, "left": ((1 << 20) - sizes[2]) // growth})
        done = publish(self.tiny, "1.2", self.site, self.key)
        self.assertRegex(done.stdout, rf"(?m)^usr: [0-9.]+ KiB of 1.0 MiB in layout 'small', "
                                      rf"\+[0-9.]+ KiB a release \(last 3\): {trend['left']} more fit$")

    # ---- pruning ----

    def test_prune(self):
        self.from_first()
        self.publishes("1.0", self.site, channel="beta")
        for version in ("1.1", "1.2", "1.3"):
            self.publishes(version, self.site)
        commits = {v: json.loads((self.tiny.path / v / f"tiny_{v}.report.json").read_text())
                   for v in ("1.0", "1.1", "1.2", "1.3")}
        answer = self.publishes("1.3", self.site, "--prune", "--keep", "2")
        self.assertEqual(answer["imagesRemoved"], 1)
        self.assertGreaterEqual(answer["objectsRemoved"], 3)
        self.assertEqual({p.name for p in (self.site / "images").iterdir()},
                         {commits[v]["rootHash"] for v in ("1.0", "1.2", "1.3")})
        here = self.reader()
        for version, report in commits.items():
            for suffix in ("commit", "commitmeta"):
                self.assertEqual(here.object(report["commit"], suffix).exists(), version != "1.1",
                                 (version, suffix))
        here.ostree("fsck", "--quiet")
        self.assertEqual(here.check(REF)["version"], "1.3")
        self.assertEqual(here.check("tiny/amd64/beta")["version"], "1.0")
        before = listing(self.site)
        self.assertEqual(self.publishes(None, self.site, "--prune", "--keep", "2"),
                         {"changed": False, "imagesRemoved": 0, "objectsRemoved": 0, "patchesRemoved": 0, "extensionsRemoved": 0})
        self.assertEqual(listing(self.site), before)
        # A version stays taken; what was removed can be published again.
        self.assertEqual(self.versions(), ["1.0", "1.1", "1.2", "1.3"])
        self.publishes("1.1", self.site, "--force")
        self.assertEqual(here.check(REF)["version"], "1.1")

    def test_prune_keeps_the_offer(self):
        """What the ref names stays, also when a killed publisher noted a later release already."""
        self.from_first()
        ref = self.site / "repo/refs/heads" / REF
        offered = ref.read_text()
        self.publishes("1.1", self.site)
        ref.write_text(offered)
        self.assertEqual(self.publishes(None, self.site, "--prune", "--keep", "1")["imagesRemoved"], 0)
        self.assertEqual(self.reader().check(REF)["version"], "1.0")
        self.publishes("1.1", self.site, "--prune", "--keep", "1")
        self.assertEqual(self.reader().check(REF)["version"], "1.1")
        self.assertEqual(len(list((self.site / "images").iterdir())), 1)

    # ---- kills, and a disk that fails ----

    def test_failing_disk(self):
        """An error of a write or sync is told in one line; what is offered stays whole; the next
        publisher finishes."""
        failed = 0
        for call in ("renameat", "ftruncate", "syncfs", "fsync", "pwrite64"):
            self.start_over()
            count = self.count(call)
            for number in range(1, count + 1, max(count // 3, 1)):
                self.start_over()
                done = publish(self.tiny, "1.1", self.site, self.key, "--threads", "1", wrapper=[
                    "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                    f"inject={call}:error=EIO:when={number}"])
                if done.returncode != 0:
                    failed += 1
                    self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                    self.assertIn("Input/output error", done.stderr)
                self.assertTrue(self.reader().check(REF))
                self.publishes("1.1", self.site)
                self.assertEqual(self.reader().check(REF)["version"], "1.1")
        self.assertGreaterEqual(failed, 8)

    def kill_once(self, call, number, *options):
        return publish(self.tiny, "1.1", self.site, self.key, "--threads", "1", *options, wrapper=[
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
            f"inject={call}:signal=SIGKILL:when={number}"])

    def count(self, call):
        with tempfile.NamedTemporaryFile("r", dir=self.path) as log:
            done = publish(self.tiny, "1.1", self.site, self.key, "--threads", "1", wrapper=[
                "strace", "-f", "-qq", "-o", log.name, "-e", f"trace={call}"])
            self.assertEqual(done.returncode, 0, done.stderr)
            return sum(f" {call}(" in line for line in log)

    def start_over(self):
        shutil.rmtree(self.site, ignore_errors=True)
        self.from_first()

    def test_killed(self):
        """A reader sees one release or the other, whole, wherever the publisher was killed; the next
        one finishes, and leaves what an undisturbed one does."""
        killed, seen = 0, set()
        for call in KILL_AT:
            self.start_over()
            count = self.count(call)
            wanted = self.names()
            for number in range(1, count + 1, max(count // 6, 1)):
                self.start_over()
                done = self.kill_once(call, number)
                killed += done.returncode != 0
                # One that was not killed has to have finished.
                found = self.reader().check(REF)
                seen.add((done.returncode == 0, found["version"]))
                self.publishes("1.1", self.site)
                self.assertEqual(self.reader().check(REF)["version"], "1.1")
                self.assertEqual(self.names(), wanted, (call, number))
                self.reader().ostree("fsck", "--quiet")
        self.assertGreaterEqual(killed, 20)
        self.assertIn((False, "1.0"), seen)
        self.assertNotIn((True, "1.0"), seen)

    def test_asked_to_stop(self):
        """SIGTERM leaves no half-copied image."""
        self.from_first()
        before = self.names()
        for number in (1, 2, 3, 4):
            done = publish(self.tiny, "1.1", self.site, self.key, wrapper=[
                "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=ftruncate", "-e",
                f"inject=ftruncate:signal=SIGTERM:when={number}"])
            self.assertEqual(done.returncode, -15, done.stderr)
            self.assertEqual(self.names(), before)
        self.publishes("1.1", self.site)

    def names(self):
        """What there is, but for what libostree leaves about."""
        return {p for p in listing(self.site) if not p.startswith(("repo/tmp/", "repo/.lock"))}


def release_as(tiny, version, directory, epoch, *files):
    """A build of a version that is there already, with further files, in another directory."""
    place = tiny.path / directory
    tiny.manifest["version"] = version
    tiny.files.update({name: "other\n" for name in files})
    tiny.build(output=place, env={"SOURCE_DATE_EPOCH": str(epoch)})
    return place


if __name__ == "__main__":
    unittest.main()
