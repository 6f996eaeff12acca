#!/usr/bin/env python3
"""Where ignition plan puts partitions, against sgdisk on copies of the same images. Needs no privileges."""

import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

SEED, CASES = 20261124, 60
MIB = 2048  # sectors
DISK_MIB = 2000
UNITS = {"MiB": MIB * 512, "KiB": 1024, "bytes": 1}
PLACE = re.compile(r"start (\d+) (\w+), size (\d+) (\w+)")


def run(*argv, stdin=None):
    return subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True, timeout=slipway.PATIENCE, check=False)


def sectors(number, unit):
    return int(number) * UNITS[unit] // 512


class Places(unittest.TestCase):
    def setUp(self):
        self.dir = slipway.scratch()
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.disk = self.dir / "disk"

    def blank(self, count=DISK_MIB * MIB):
        self.disk.unlink(missing_ok=True)
        with open(self.disk, "wb") as file:
            file.truncate(count * 512)

    def script(self, text):
        done = run("sfdisk", "--quiet", self.disk, stdin="label: gpt\n" + text)
        self.assertEqual(done.returncode, 0, done.stderr)

    def plan(self, wishes, **more):
        """Place by number and the set of actions; None when it is refused."""
        config = self.dir / "config.ign"
        config.write_text(json.dumps({"ignition": {"version": "3.4.0"}, "storage": {
            "disks": [{"device": str(self.disk), "partitions": wishes, **more}]}}))
        done = run(slipway.IGNITION, "plan", config, "--root", self.dir, "--json")
        answer = json.loads(done.stdout)
        if answer["refused"]:
            return None, answer["rows"][-1]["detail"]
        found, actions = {}, set()
        for row in answer["rows"]:
            number = re.search(r" partition (\d+)$", row["object"])
            if number and row["action"] != "delete":
                place = PLACE.search(row["detail"]).groups()
                found[int(number[1])] = sectors(*place[:2]), sectors(*place[2:])
                actions.add(row["action"])
        return found, actions

    def sgdisk(self, wishes, existing, zap=False):
        """The same by sgdisk, called as the original does to find places; None when it fails."""
        disk = self.disk
        if zap:
            disk, existing = self.dir / "empty", []
            with open(disk, "wb") as file:
                file.truncate(self.disk.stat().st_size)
        words = [f"--delete={w['number']}" for w in wishes if w["number"] in existing]
        for wish in wishes:
            size = wish.get("sizeMiB", 0) * MIB
            words.append(f"--new={wish['number']}:{wish.get('startMiB', 0) * MIB}:{f'+{size}' if size else 0}")
        done = run("sgdisk", "--pretend", *words, *(f"--info={w['number']}" for w in wishes), disk)
        if done.returncode:
            return None
        starts, ends = (map(int, re.findall(rf"{which} sector: (\d+)", done.stdout)) for which in ("First", "Last"))
        return {w["number"]: (start, end + 1 - start) for w, start, end in zip(wishes, starts, ends, strict=True)}

    def made_disk(self, rng):
        """A disk with a table of either program, or none. Returns the numbers in use."""
        self.blank()
        kind = rng.choice(("none", "sfdisk", "sgdisk", "sgdisk", "last"))
        at, lines = rng.choice((34, 63, 100, 1536, 2048)) if kind == "sgdisk" else 2048, []
        for number in range(1, rng.randint(2, 6)):
            size = rng.randint(20, 200) * MIB + (rng.choice((0, 0, 1, 7, 64)) if kind == "sgdisk" else 0)
            if rng.random() < 0.8:
                lines.append((number, at, size))
            at += size + rng.choice((0, 0, 100, 3000, 30 * MIB)) // 4 * 4
        head = {"sgdisk": "first-lba: 34\n", "last": f"last-lba: {1900 * MIB + 77}\n"}.get(kind, "")
        if kind == "none":
            return []
        self.script(head + "".join(f"{self.disk}{n}: start={s},size={z}\n" for n, s, z in lines))
        return [n for n, _, _ in lines]

    def wishes(self, rng, existing):
        numbers = rng.sample(range(1, 9), rng.randint(1, 4))
        wishes = []
        for number in numbers:
            wish = {"number": number}
            if number in existing:
                wish["wipePartitionEntry"] = True
            if rng.random() < 0.3:
                wish["startMiB"] = rng.choice((0, rng.randint(1, DISK_MIB - 200)))
            if rng.random() < 0.85:
                wish["sizeMiB"] = rng.choice((0, rng.randint(1, 300), rng.randint(1, 300), rng.randint(1, 300)))
            wishes.append(wish)
        return wishes

    def test_generated(self):
        rng, compared = random.Random(SEED), 0
        for case in range(CASES):
            existing = self.made_disk(rng)
            wishes, zap = self.wishes(rng, existing), rng.random() < 0.15
            want = self.sgdisk(wishes, existing, zap)
            if want is None:
                continue  # ours may find an order that has room
            compared += 1
            with self.subTest(case=case, wishes=wishes, zap=zap, table=run("sfdisk", "--dump", self.disk).stdout):
                got, said = self.plan(wishes, wipeTable=zap)
                self.assertEqual(got, want, said)
        self.assertGreaterEqual(compared, 36)

    def test_alignment(self):
        wish = [{"number": 2, "sizeMiB": 10}]
        for start in 34, 63, 100, 1536, 2048, 4096:
            for count in DISK_MIB * MIB, 585937499, 585937500:
                with self.subTest(start=start, count=count):
                    self.blank(count)
                    self.script(f"first-lba: 34\nstart={start},size=1001\n")
                    self.assertEqual(self.plan(wish)[0], self.sgdisk(wish, []))

    def test_order_of_the_configuration(self):
        self.blank()
        wishes = [{"number": 1, "sizeMiB": 100}, {"number": 2, "startMiB": 500, "sizeMiB": 100}]
        self.assertEqual(self.plan(wishes)[0], self.sgdisk(wishes, []))
        wishes[1]["startMiB"] = 50  # sgdisk fails: the first would be in the way
        self.assertIsNone(self.sgdisk(wishes, []))
        self.assertEqual(self.plan(wishes)[0], {1: (150 * MIB, 100 * MIB), 2: (50 * MIB, 100 * MIB)})

    def test_again_after_growth(self):
        """What reaches to the old end is what size 0 wanted; new ones get the new room."""
        self.blank(100 * MIB)
        self.assertEqual(run("sgdisk", "--new=1:0:+20480", "--new=2:0:0", self.disk).returncode, 0)
        wishes = [{"number": 1, "sizeMiB": 10}, {"number": 2, "startMiB": 0, "sizeMiB": 0}]
        before, actions = self.plan(wishes)
        self.assertEqual(actions, {"keep"})
        os.truncate(self.disk, 300 << 20)
        self.assertEqual(self.plan(wishes), (before, {"keep"}))
        self.assertEqual(self.sgdisk(wishes, [1, 2]), before)
        self.assertEqual(self.plan([wishes[0], {**wishes[1], "wipePartitionEntry": True}]), (before, {"keep"}))
        after, actions = self.plan([*wishes, {"number": 3, "sizeMiB": 150}])
        self.assertEqual((after[2], actions), (before[2], {"keep", "create"}))
        self.assertEqual(after[3][1], 150 * MIB)
        grown, actions = self.plan([wishes[0], {**wishes[1], "resize": True}])
        self.assertEqual((grown[2][0], actions), (before[2][0], {"keep", "resize"}))
        self.assertGreater(grown[2][1], 280 * MIB)


if __name__ == "__main__":
    unittest.main()
