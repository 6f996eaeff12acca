#!/usr/bin/env python3
"""ignition's disks, mount, umount and kargs stages on loop devices, checked by sfdisk, sgdisk, blkid and findmnt."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

SWAP_TYPE = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
GUID = "11111111-2222-4333-8444-555555555555"


def output(*argv, stdin=""):
    return subprocess.run([str(a) for a in argv], input=stdin, check=True, capture_output=True, text=True,
                          timeout=120).stdout


def tags(device):
    """What blkid finds, by looking and not by remembering."""
    done = subprocess.run(["blkid", "-p", "-o", "export", device], capture_output=True, text=True, timeout=60)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


class Disks(unittest.TestCase):
    def setUp(self):
        self.dir = slipway.scratch()
        self.root = self.dir / "root"
        self.root.mkdir()
        self.addCleanup(shutil.rmtree, self.dir, True)

    def disk(self, mib=512, sector=512):
        image = self.dir / f"disk{len(list(self.dir.glob('disk*')))}"
        with open(image, "wb") as file:
            file.truncate(mib << 20)
        device = output("losetup", "--find", "--show", "--partscan", "--sector-size", sector, image).strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], check=True)
        return device

    def stage(self, stage, fails=None, environment=None):
        done = subprocess.run(
            [slipway.IGNITION, "--platform=file", "--log-to-stdout", f"--root={self.root}", f"--stage={stage}",
             f"--config-cache={self.dir}/cache", f"--state-file={self.dir}/state", f"--neednet={self.dir}/neednet"],
            env={**os.environ, "IGNITION_CONFIG_FILE": f"{self.dir}/config", "IGNITION_DEVICE_TIMEOUT": "3",
                 **(environment or {})}, capture_output=True, text=True, timeout=200)
        self.assertEqual(done.returncode, 1 if fails else 0, done.stdout + done.stderr)
        if fails:
            self.assertIn(fails, done.stdout)
        return done.stdout + done.stderr

    def provision(self, fails=None, **storage):
        config = {"ignition": {"version": "3.4.0"}, "storage": storage}
        (self.dir / "config").write_text(json.dumps(config))
        self.stage("fetch")
        return self.stage("disks", fails)

    def partitions(self, device, wishes, fails=None, **more):
        return self.provision(fails, disks=[{"device": device, "partitions": wishes, **more}])

    def written(self, device):
        """The table on the disk, by partition number."""
        self.assertIn("No problems found", output("sgdisk", "--verify", device))
        table = json.loads(output("sfdisk", "--json", device))["partitiontable"]
        return table, {int(p["node"].rsplit("p", 1)[1]): p for p in table["partitions"]}

    def table(self, device):
        table, found = self.written(device)
        for number, entry in found.items():  # the kernel agrees, in units of 512 bytes
            sysfs = pathlib.Path("/sys/class/block") / f"{pathlib.Path(device).name}p{number}"
            for key in "start", "size":
                self.assertEqual(int((sysfs / key).read_text()), entry[key] * table["sectorsize"] // 512)
        return found

    def test_partitions_are_made_kept_and_replaced(self):
        device = self.disk()
        self.partitions(device, [{"number": 1, "sizeMiB": 64, "label": "one", "guid": GUID},
                                 {"label": "two", "sizeMiB": 128},
                                 {"number": 5, "startMiB": 300, "typeGuid": SWAP_TYPE}], wipeTable=True)
        table = self.table(device)
        self.assertEqual({n: (p["start"], p["size"]) for n, p in table.items()},
                         {1: (2048, 131072), 2: (133120, 262144), 5: (614400, 1048543 - 614400)})
        self.assertEqual((table[1]["uuid"], table[1]["name"], table[5]["type"]), (GUID, "one", SWAP_TYPE))
        self.partitions(device, [{"number": 1, "sizeMiB": 64, "guid": GUID}, {"label": "two"}])
        self.assertEqual(self.table(device), table)
        self.partitions(device, [{"number": 1, "label": "other"}], "label did not match")
        self.assertEqual(self.table(device), table)
        self.partitions(device, [{"number": 5, "shouldExist": False, "wipePartitionEntry": True},
                                 {"number": 1, "label": "other", "sizeMiB": 32, "wipePartitionEntry": True},
                                 {"number": 2, "label": "two", "sizeMiB": 200, "resize": True}])
        changed = self.table(device)
        self.assertEqual(sorted(changed), [1, 2])
        self.assertEqual((changed[1]["name"], changed[1]["size"]), ("other", 65536))
        self.assertEqual((changed[2]["size"], changed[2]["uuid"]), (409600, table[2]["uuid"]))
        self.assertFalse(pathlib.Path(f"{device}p5").exists())

    def test_sectors_of_4k(self):
        device = self.disk(sector=4096)
        self.partitions(device, [{"number": 1, "sizeMiB": 64}, {"number": 2}])
        self.assertEqual([(p["start"], p["size"]) for _, p in sorted(self.table(device).items())][0], (256, 64 * 256))

    def test_an_enlarged_disk(self):
        device = self.disk(64)
        self.partitions(device, [{"number": 1, "sizeMiB": 32, "label": "a"}])
        image = output("losetup", "--noheadings", "--output=BACK-FILE", device).strip()
        os.truncate(image, 128 << 20)
        output("losetup", "--set-capacity", device)
        self.partitions(device, [{"number": 1, "sizeMiB": 0, "resize": True}])
        self.assertGreater(self.table(device)[1]["size"], 126 * 2048)

    def test_same_result_as_sgdisk(self):
        ours, theirs = self.disk(), self.disk()
        self.partitions(ours, [{"number": 3, "startMiB": 100, "sizeMiB": 50}, {"number": 1, "sizeMiB": 20},
                               {"number": 2, "sizeMiB": 30}, {"number": 4}])
        output("sgdisk", "--new=3:204800:+102400", "--new=1:0:+40960", "--new=2:0:+61440", "--new=4:0:0", theirs)
        places = [[(p["start"], p["size"], p["type"]) for _, p in sorted(table.items())]
                  for table in (self.table(ours), self.written(theirs)[1])]
        self.assertEqual(places[0], places[1])
        heads = [self.written(device)[0] for device in (ours, theirs)]
        self.assertEqual(*([head["firstlba"], head["lastlba"]] for head in heads))

    def test_small_alignment_is_written(self):
        device = self.disk(64)
        output("sgdisk", "--set-alignment=1", "--new=1:34:1000", device)
        output("partx", "--update", device)
        self.partitions(device, [{"number": 2, "sizeMiB": 8}, {"number": 1, "sizeMiB": 1, "wipePartitionEntry": True}])
        self.assertEqual({n: (p["start"], p["size"]) for n, p in self.table(device).items()},
                         {2: (34, 16384), 1: (16418, 2048)})

    def test_refusals(self):
        device = self.disk()
        output("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", device, stdin="label: dos\n,8M\n")
        self.partitions(device, [{"number": 1}], "partition table that is not GPT (dos)")
        self.partitions(device, [{"number": 1, "sizeMiB": 100}, {"number": 2}], wipeTable=True)
        output("mkfs.ext4", "-q", f"{device}p1")
        place = self.root / "a b"
        place.mkdir()
        output("mount", f"{device}p1", place)
        try:
            before = self.table(device)
            self.partitions(device, [{"number": 1, "shouldExist": False, "wipePartitionEntry": True}],
                            f"refusing to modify active partition 1 on {device}: mounted at {place}")
            self.partitions(device, [{"number": 1}], "refusing to wipe active disk", wipeTable=True)
            self.assertEqual(self.table(device), before)
            self.partitions(device, [{"number": 2, "label": "beside", "wipePartitionEntry": True}])
            self.assertEqual(self.table(device)[2]["name"], "beside")
        finally:
            output("umount", place)
        self.partitions("/dev/no-such-disk", [{"number": 1}], "device /dev/no-such-disk did not appear within 3 s")

    def test_file_systems(self):
        made = {kind: ("Label", f"{n}1234567-89ab-cdef-8123-456789abcdef")
                for n, kind in enumerate(("ext4", "btrfs", "xfs", "swap"))}
        made["vfat"] = ("LABEL", "ABCD-1234")
        device = self.disk(2048)
        disks = [{"device": device, "partitions": [{"number": n + 1, "sizeMiB": 350} for n in range(len(made))]}]
        wishes = [{"device": f"{device}p{n + 1}", "format": kind, "label": label, "uuid": id.upper()}
                  for n, (kind, (label, id)) in enumerate(made.items())]
        said = self.provision(disks=disks, filesystems=wishes)
        # systemd is to have seen all that udev has.
        self.assertGreater(said.rindex(f"[finished] waiting for {len(wishes)} devices"), said.rindex('[finished] creating "'))
        for wish, (kind, (label, id)) in zip(wishes, made.items()):
            found = tags(wish["device"])
            self.assertEqual((found["TYPE"], found["LABEL"], found["UUID"]), (kind, label, id))
        again = self.provision(disks=disks, filesystems=wishes)
        self.assertEqual(again.count("is already correctly formatted"), len(made))
        other = {"device": wishes[0]["device"], "format": "xfs"}
        self.provision("was not of the correct type, label, or UUID (found ext4", filesystems=[other])
        failing = [{**wish, "format": "swap"} for wish in wishes[:2]]
        said = self.provision("was not of the correct type", filesystems=failing)
        self.assertIn(f'failed: filesystem at "{failing[0]["device"]}"', said)  # the first, whichever ended first
        self.provision(filesystems=[{**other, "wipeFilesystem": True}])
        self.assertEqual(tags(other["device"])["TYPE"], "xfs")
        self.provision(filesystems=[{"device": other["device"], "format": "none", "wipeFilesystem": True}])
        self.assertNotIn("TYPE", tags(other["device"]))

    def test_wiping_the_table_wipes_the_file_system(self):
        """That a whole disk held, as the validator warns; the original lets sgdisk zap it."""
        for kind in ("ext4", "xfs", "vfat", "swap"):
            with self.subTest(kind):
                device = self.disk()
                output("mkswap" if kind == "swap" else f"mkfs.{kind}", device)
                before = tags(device)["UUID"]
                wish = {"device": device, "format": kind}
                self.provision(filesystems=[wish])
                self.assertEqual(tags(device)["UUID"], before)
                self.provision(disks=[{"device": device, "wipeTable": True}], filesystems=[wish])
                self.assertNotEqual(tags(device)["UUID"], before)
                self.assertEqual(tags(device)["TYPE"], kind)
                self.assertNotIn("PTTYPE", tags(device))

    def test_mount_and_umount(self):
        device = self.disk()
        (self.root / "link").symlink_to("elsewhere")
        disks = [{"device": device, "partitions": [{"number": 1, "sizeMiB": 100}, {"number": 2}]}]
        deep = {"device": f"{device}p1", "format": "ext4", "path": "/a/b/c", "mountOptions": ["noatime"]}
        shallow = {"device": f"{device}p2", "format": "ext4", "path": "/a"}
        self.provision(disks=disks, filesystems=[deep, shallow])
        self.stage("mount")
        with contextlib.ExitStack() as stack:
            stack.callback(subprocess.run, ["umount", "--recursive", self.root / "a"], capture_output=True, check=False)
            self.assertIn("noatime", output("findmnt", "-no", "OPTIONS", self.root / "a/b/c"))
            self.assertEqual(output("findmnt", "-no", "SOURCE", self.root / "a").strip(), f"{device}p2")
            self.assertEqual(json.loads((self.dir / "state").read_text())["notatedDirectories"], ["/a", "/a/b", "/a/b/c"])
            self.assertIn("is mounted", self.stage("mount"))
            self.stage("umount")
            self.assertNotEqual(subprocess.run(["mountpoint", "-q", self.root / "a"], check=False).returncode, 0)
            self.stage("umount")
        self.provision(disks=disks, filesystems=[{**shallow, "path": "/link/x"}])
        self.stage("mount", "neither symlinks nor files")
        self.assertFalse((self.root / "elsewhere").exists())

    def test_kernel_arguments(self):
        (self.dir / "config").write_text(json.dumps({
            "ignition": {"version": "3.3.0"},
            "kernelArguments": {"shouldExist": ["quiet", "a b"], "shouldNotExist": ["debug"]}}))
        self.stage("fetch")
        self.stage("kargs", 'sealed UKI cannot be changed ("quiet" should exist, "a b" should exist, "debug" should not')
        helper = self.dir / "ignition-kargs-helper"
        helper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{self.dir}/words\n')
        helper.chmod(0o755)
        self.stage("kargs", environment={"PATH": f"{self.dir}:{os.environ['PATH']}"})
        self.assertEqual((self.dir / "words").read_text().splitlines(),
                         ["--should-exist", "quiet", "--should-exist", "a b", "--should-not-exist", "debug"])


if __name__ == "__main__":
    unittest.main()
