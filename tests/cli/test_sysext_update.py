#!/usr/bin/env python3
"""System extensions across updates: offered by a site, replaced with the release, or the update refused for their sake."""

import hashlib
import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import site_reader as reader
from extension import Extension
from tiny import EPOCH, Key, Tiny
from updatable import Machine, UpdateSite
from update_site import Nginx

PLACE = "channels/tiny/amd64/stable/extensions.json"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tiny = cls.enterClassContext(Tiny(cls.enterClassContext(Key())))
        cls.site = UpdateSite(cls.tiny)
        for version, level in (("1.0", "1.0"), ("1.1", "2.0")):
            cls.tiny.manifest["sysextLevel"] = level
            cls.site.release(version, EPOCH + (version == "1.1"))
            cls.site.publish(version)
        cls.server = cls.enterClassContext(Nginx(cls.site.path, cls.tiny.path / "nginx"))
        cls.site.url = cls.server.url

    def setUp(self):
        self.machine = Machine(self.tiny, "1.0", self.site)
        self.addCleanup(self.machine.remove)
        self.addCleanup(self.forget)
        self.before = len(self.server.requests())
        self.path = self.tiny.path / "extensions"
        self.addCleanup(shutil.rmtree, self.path, True)
        self.machine.write("usr/lib/os-release", (self.machine.root / "usr/lib/os-release").read_text() + "SYSEXT_LEVEL=1.0\n")

    def forget(self):
        """A site as if no extension had been published."""
        shutil.rmtree(self.site.path / "extensions", True)
        for name in (PLACE, PLACE + ".sig"):
            (self.site.path / name).unlink(missing_ok=True)

    def build(self, name="hello", version="1.0", level="1.0", **description):
        return Extension(self.path, name, version, level=level, id="tiny", **description).build()

    def offer(self, *images, key=None, code=0):
        options = [word for image in images for word in ("--extension", image)]
        done = self.tiny.run(self.tiny.argv("publish", "--site", self.site.path, "--key", key or self.site.key, "--image", "tiny",
                                            "--channel", "stable", *options))
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def merged(self, name="hello", level="1.0"):
        """As if systemd-sysext had merged it."""
        self.machine.write(f"usr/lib/extension-release.d/extension-release.{name}", f"ID=tiny\nSYSEXT_LEVEL={level}\n")

    def refused(self, text, *words):
        before = self.machine.state()
        done = self.machine.run("apply", *words)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn(text, done.stderr)
        self.assertTrue(before == self.machine.state(), "something was written")

    def asked(self):
        """Paths that the server was asked for by this test."""
        return "".join(path + "\n" for _, _, _, path, _ in self.server.requests()[self.before:])

    def files(self):
        directory = self.machine.root / "var/lib/extensions"
        return sorted(p.name for p in directory.iterdir()) if directory.exists() else []


class Release(Case):
    def test_level(self):
        """The manifest's, in os-release and in what the site says of the release."""
        for version, level in (("1.0", "1.0"), ("1.1", "2.0")):
            root_hash = json.loads(next((self.tiny.path / version).glob("*.report.json")).read_text())["rootHash"]
            release = json.loads((self.site.path / "images" / root_hash / "release.json").read_text())
            self.assertEqual(release["sysextLevels"], [level])
            commit = json.loads(next((self.tiny.path / version).glob("*.report.json")).read_text())["commit"]
            text = reader.tool("ostree", f"--repo={self.tiny.cache / 'repo'}", "cat", commit, "/usr/lib/os-release")
            self.assertIn(f"\nSYSEXT_LEVEL={level}\n", text)


class Publish(Case):
    def test_index(self):
        one, two = self.build(), self.build(version="2.0", level="2.0")
        self.offer(two, one)
        index = json.loads((self.site.path / PLACE).read_text())
        self.assertEqual([(e["name"], e["version"], e["level"]) for e in index["extensions"]],
                         [("hello", "1.0", "1.0"), ("hello", "2.0", "2.0")])
        for image, entry in zip((one, two), index["extensions"]):
            self.assertEqual(hashlib.sha256(image.read_bytes()).hexdigest(), entry["sha256"])
            self.assertEqual((self.site.path / f"extensions/{entry['sha256']}.raw").read_bytes(), image.read_bytes())

    def test_again_changes_nothing(self):
        image = self.build()
        self.offer(image)
        before = reader.listing(self.site.path)
        self.offer(image)
        self.assertEqual(before, reader.listing(self.site.path))

    def test_refused(self):
        image = self.build()
        self.offer(image)
        other = Extension(self.path / "other", level="1.0", id="tiny", files={"usr/bin/x": "other"}).build()
        self.assertIn("with other bytes", self.offer(other, code=1).stderr)
        arm = self.build(name="arm", architecture="arm64")
        self.assertIn("is for arm64, the channel for amd64", self.offer(image, arm, code=1).stderr)
        data = bytearray(image.read_bytes())
        data[1 << 20] ^= 1
        image.write_bytes(data)
        self.forget()
        self.assertIn("not the file that its description is of", self.offer(image, code=1).stderr)
        image.with_suffix(".json").unlink()
        self.assertIn("No such file", self.offer(image, code=1).stderr)

    def test_prune(self):
        self.offer(self.build())
        stray = self.site.path / f"extensions/{'0' * 64}.raw"
        stray.write_bytes(b"x")
        done = self.tiny.run(self.tiny.argv("publish", "--site", self.site.path, "--key", self.site.key, "--prune", "--json"))
        self.assertEqual(json.loads(done.stdout)["extensionsRemoved"], 1)
        self.assertEqual(len(list((self.site.path / "extensions").iterdir())), 1)


class Update(Case):
    def test_replaced(self):
        """Of what fits, the newest is fetched, and the old one stays for who falls back."""
        self.machine.write("var/lib/extensions/hello-1.0-amd64.raw", "old")
        self.merged()
        for version, level in (("2.0", "2.0"), ("2.10", "2.0"), ("3.0", "3.0")):
            self.offer(self.build(version=version, level=level))
        plan = self.machine.json("plan")
        self.assertEqual([(e["name"], e["replacement"]) for e in plan["extensions"]], [("hello", "2.10")])
        self.assertIn("2.10 takes its place", self.machine.update("plan"))
        self.machine.update("apply")
        self.assertEqual(self.files(), ["hello-1.0-amd64.raw", "hello-2.10-amd64.raw"])
        got = (self.machine.root / "var/lib/extensions/hello-2.10-amd64.raw").read_bytes()
        self.assertEqual(got, (self.path / "hello-2.10/out/hello-2.10-amd64.raw").read_bytes())
        self.assertEqual(self.machine.json("status")["pending"], "1.1")

    def test_kept(self):
        """One that fits any host, and one that fits both: nobody asks the site."""
        self.machine.write("usr/lib/extension-release.d/extension-release.any", "ID=_any\n")
        self.merged(level="2.0")
        self.machine.update("apply")
        self.assertEqual(self.files(), [])
        self.assertNotIn("/extensions.json", self.asked())

    def test_refused(self):
        """No index; none of the name; none of the level. Forced, it is applied."""
        self.merged()
        text = "extension 'hello' is for SYSEXT_LEVEL=1.0, which the release does not have, and the site has no version"
        self.refused(text)
        self.offer(self.build("other", level="2.0"), self.build(version="9", level="3.0"))
        self.refused(text)
        self.machine.update("apply", "--force")
        self.assertEqual(self.machine.json("status")["pending"], "1.1")

    def test_one_of_two(self):
        self.merged()
        self.merged("more")
        self.offer(self.build(version="2.0", level="2.0"))
        self.refused("extension 'more'")
        self.assertEqual(self.files(), [])

    def test_signature_of_the_index(self):
        self.merged()
        self.offer(self.build(version="2.0", level="2.0"), key=reader.keygen(self.tiny.path / f"foreign-{self.id()}"))
        self.tiny.run(self.tiny.argv("publish", "--site", self.site.path, "--key", self.site.key, "--renew"))
        self.refused("extensions: ")
        self.offer(self.build(version="2.1", level="2.0"))
        text = (self.site.path / PLACE).read_text()
        (self.site.path / PLACE).write_text(text.replace('"2.1"', '"2.2"'))
        self.refused("extensions: ")
        (self.site.path / (PLACE + ".sig")).unlink()
        self.refused("the site has no version")

    def test_index_of_another_channel(self):
        self.merged()
        self.offer(self.build(version="2.0", level="2.0"))
        for name in (PLACE, PLACE + ".sig"):
            place = self.site.path / name.replace("/stable/", "/beta/")
            place.parent.mkdir(exist_ok=True)
            shutil.move(self.site.path / name, place)
        self.tiny.run(self.tiny.argv("publish", self.tiny.path / "1.1", "--site", self.site.path, "--key", self.site.key,
                                     "--channel", "beta"))
        self.machine.configure(site=self.site.url, channel="beta")
        self.refused("of another channel")

    def test_changed_file(self):
        """A wrong byte: nothing boots next, and nothing is left where merging would find it."""
        self.merged()
        self.offer(self.build(version="2.0", level="2.0"))
        file = next((self.site.path / "extensions").iterdir())
        data = bytearray(file.read_bytes())
        data[1 << 20] ^= 1
        file.write_bytes(data)
        done = self.machine.run("apply")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not the file that the index names", done.stderr)
        self.assertEqual(self.files(), [])
        self.assertIsNone(self.machine.json("status")["pending"])
        data[1 << 20] ^= 1
        file.write_bytes(data)
        self.machine.update("apply")
        self.assertEqual(self.files(), ["hello-2.0-amd64.raw"])

    def test_swept(self):
        """What an update fetched goes when no release on the machine takes it; what others put there stays."""
        self.merged()
        self.machine.write("var/lib/extensions/own.raw", "mine")
        self.machine.write("var/lib/extensions/hello-0.9-amd64.raw", "fetched for a release before")
        note = {"format": 1, "image": "tiny", "architecture": "amd64", "channel": "any", "extensions": [
            {"name": "hello", "version": "0.9", "id": "tiny", "level": "0.9", "sha256": "0" * 64, "size": 1},
            {"name": "hello", "version": "1.0", "id": "tiny", "level": "1.0", "sha256": "1" * 64, "size": 1}]}
        self.machine.write("var/lib/slipway/extensions.json", json.dumps(note))
        self.machine.write("var/lib/extensions/hello-1.0-amd64.raw", "of the running release")
        self.offer(self.build(version="2.0", level="2.0"))
        self.machine.update("apply")
        self.assertEqual(self.files(), ["hello-1.0-amd64.raw", "hello-2.0-amd64.raw", "own.raw"])
        note = json.loads((self.machine.root / "var/lib/slipway/extensions.json").read_text())
        self.assertEqual([e["version"] for e in note["extensions"]], ["1.0", "2.0"])


if __name__ == "__main__":
    unittest.main()
