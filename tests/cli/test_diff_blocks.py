#!/usr/bin/env python3
"""slipway diff --blocks: images whose difference is known by construction, disks, commits, and what is none."""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
from tiny import Key, Tiny

BLOCK = 4096
GAPS = (0, 16 << 10, 64 << 10)


def superblock(blocks, bits=12):
    """A first block that says it is an EROFS image of so many blocks; nobody reads more of it."""
    head = bytearray(BLOCK)
    struct.pack_into("<I", head, 1024, 0xE0F5E1E2)
    head[1024 + 12] = bits
    struct.pack_into("<I", head, 1024 + 36, blocks)
    return bytes(head)


def block(number):
    """Block 0 is one of zeros."""
    return number.to_bytes(4, "little") * (BLOCK // 4)


def image(numbers):
    return superblock(len(numbers) + 1) + b"".join(block(n) for n in numbers)


def expected(before, after):
    """What the definition says, in the plainest way; lists of blocks."""
    known = {*before, bytes(BLOCK)}
    missing = [i for i, content in enumerate(after) if content not in known]
    sums = []
    for gap in GAPS:
        ranges = []
        for i in missing:
            if ranges and (i - ranges[-1][1]) * BLOCK <= gap:
                ranges[-1][1] = i + 1
            else:
                ranges.append([i, i + 1])
        sums.append({"gap": gap, "ranges": len(ranges), "bytes": sum(b - a for a, b in ranges) * BLOCK})
    return {"blocks": len(after), "zeroBlocks": after.count(bytes(BLOCK)), "missingBlocks": len(missing),
            "missingBytes": len(missing) * BLOCK, "fetch": sums}


def split(data):
    return [data[i:i + BLOCK] for i in range(0, len(data), BLOCK)]


class Files(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def put(self, name, data):
        (self.path / name).write_bytes(data)
        return self.path / name

    def run_diff(self, *arguments):
        # Without HOME and without a cache: files need neither.
        return subprocess.run([slipway.SLIPWAY, "diff", "--blocks", *map(str, arguments)], text=True, check=False,
                              capture_output=True, env={"HOME": str(self.path / "no-home")}, timeout=60)

    def diff(self, a, b, *options):
        done = self.run_diff("--json", *options, a, b)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        answer = json.loads(done.stdout)
        share = answer.pop("missingPercent")
        self.assertAlmostEqual(share, 100 * answer["missingBlocks"] / answer["blocks"], places=3)
        return answer

    def check(self, before, after, missing):
        """Numbers of blocks behind the superblock; it is missing where the lengths differ."""
        a, b = image(before), image(after)
        answer = self.diff(self.put("a", a), self.put("b", b))
        self.assertEqual(answer, expected(split(a), split(b)))
        self.assertEqual(answer["missingBlocks"], missing)
        return answer

    def test_same(self):
        self.check([1, 2, 3], [1, 2, 3], 0)

    def test_moved(self):
        self.check([1, 2, 3, 4], [4, 3, 2, 1], 0)

    def test_changed(self):
        self.check([1, 2, 3, 4], [1, 5, 3, 6], 2)

    def test_longer(self):
        self.check([1, 2], [1, 2, 2, 1, 1], 1)

    def test_zeros(self):
        answer = self.check([1, 2, 3], [1, 0, 0], 0)
        self.assertEqual(answer["zeroBlocks"], 2)

    def test_repeated(self):
        """A missing block counts wherever it is."""
        self.check([1, 2, 3], [9, 2, 9], 2)

    def test_gaps(self):
        old = list(range(1, 101))
        for between, ranges in ((0, [1, 1, 1]), (1, [2, 1, 1]), (4, [2, 1, 1]), (5, [2, 2, 1]), (16, [2, 2, 1]),
                                (17, [2, 2, 2])):
            with self.subTest(between=between):
                new = old.copy()
                new[20] = new[21 + between] = 1000
                answer = self.check(old, new, 2)
                self.assertEqual([s["ranges"] for s in answer["fetch"]], ranges)

    def test_many_chunks(self):
        """More than one thread and more than one read; the last one is short."""
        old = list(range(1, 3000))
        new = [n if n % 7 else n + 100000 for n in reversed(old)]
        a, b = self.put("a", image(old)), self.put("b", image(new))
        one = self.diff(a, b, "--threads", "1")
        self.assertEqual(one["missingBlocks"], sum(n % 7 == 0 for n in old))
        self.assertEqual(one, self.diff(a, b, "--threads", "5"))
        self.assertEqual(one, expected(split(image(old)), split(image(new))))

    def test_holes(self):
        """A hole is a block of zeros, in chunks that are all holes and in others."""
        size = 1000 * BLOCK
        for name, place in (("a", 0), ("b", 600)):
            with open(self.path / name, "wb") as f:
                f.write(superblock(1000))
                f.seek((1 + place) * BLOCK)
                f.write(block(7))
                f.truncate(size)
        answer = self.diff(self.path / "a", self.path / "b")
        self.assertEqual((answer["blocks"], answer["zeroBlocks"], answer["missingBlocks"]), (1000, 998, 0))

    def test_partition_dump(self):
        """What is behind the image is not the image's."""
        a, b = image([1, 2, 3]), image([1, 5, 3])
        answer = self.diff(self.put("a", a), self.put("b", b + block(8) * 100))
        self.assertEqual(answer, expected(split(a), split(b)))

    def test_squashfs(self):
        head = bytearray(BLOCK)
        struct.pack_into("<I", head, 0, 0x73717368)
        struct.pack_into("<Q", head, 40, 2 * BLOCK + 5)
        a, b = bytes(head) + block(1) + block(2), bytes(head) + block(2) + block(3)
        self.assertEqual(self.diff(self.put("a", a), self.put("b", b)), expected(split(a), split(b)))

    def test_table(self):
        old, new = [1, 2, 3, *range(10, 30)], [4, 2, 5, *range(10, 30)]
        done = self.run_diff(self.put("a", image(old)), self.put("b", image(new)))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        rows = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual(rows, [["blocks", "size"], ["image", "24", "96.0", "KiB"],
                                ["missing", "2", "8.0", "KiB", "8.33", "%"], [], ["gap", "ranges", "fetched"],
                                ["0", "B", "2", "8.0", "KiB", "8.33", "%"],
                                ["16.0", "KiB", "1", "12.0", "KiB", "12.50", "%"],
                                ["64.0", "KiB", "1", "12.0", "KiB", "12.50", "%"]])

    def test_real_writer(self):
        """mkfs.erofs's superblock is read as its own tools read it."""
        (self.path / "tree").mkdir()
        (self.path / "tree/file").write_bytes(b"".join(block(n) for n in range(1, 50)))
        images = []
        for name in ("a", "b"):
            subprocess.run(["mkfs.erofs", "--quiet", "-T0", "-U00000000-0000-0000-0000-000000000000",
                            self.path / name, self.path / "tree"], check=True, capture_output=True)
            images.append((self.path / name).read_bytes())
            with open(self.path / "tree/file", "r+b") as f:
                f.seek(5 * BLOCK)
                f.write(block(77))
        a, b = map(split, images)
        self.assertEqual(self.diff(self.path / "a", self.path / "b"), expected(a, b))

    # ---- errors ----

    def fails(self, pattern, data, status=1):
        """As either side."""
        good, bad = self.put("good", image([1, 2, 3])), self.put("bad", data)
        for sides in ((good, bad), (bad, good)):
            done = self.run_diff(*sides)
            self.assertEqual((done.returncode, done.stdout), (status, ""))
            self.assertRegex(done.stderr, rf"^slipway: \S*/bad: {pattern}")

    def test_no_image(self):
        self.fails("neither an EROFS or SquashFS image nor a raw disk with a GPT", b"hello\n" * 2000)
        self.fails("neither", b"")
        self.fails("neither", bytes(100 * BLOCK))
        self.fails("neither", b"QFI\xfb" + bytes(BLOCK))

    def test_cut_off(self):
        self.fails("cut off: the image has 16384 bytes, 12288 of them are there", image([1, 2, 3])[:-BLOCK])

    def test_no_whole_blocks(self):
        self.fails("the file's size, 16385, is no multiple of 4096", image([1, 2, 3]) + b"x")
        self.fails("the file's size, 16383, is no multiple of 4096", image([1, 2, 3])[:-1])
        self.fails("the image's size, 4608, is no multiple of 4096", superblock(9, bits=9) + bytes(BLOCK))

    def test_bad_superblock(self):
        for bits in (0, 8, 17, 63, 64, 255):
            self.fails("neither", superblock(1, bits))
        self.fails("neither", superblock(0))
        self.fails("cut off", superblock(0xFFFFFFFF, 16))

    def test_bad_table(self):
        """A disk whose partition table is cut off."""
        self.fails("", bytes(512) + b"EFI PART" + bytes(2 * BLOCK - 520))

    def test_no_file(self):
        good = self.put("good", image([1]))
        done = self.run_diff("--cache", self.path / "cache", good, "image/none/amd64")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'image/none/amd64' is no file; as a commit: ", done.stderr)
        self.assertRegex(self.run_diff(good, "/dev/null").stderr, "/dev/null: not a regular file")
        self.assertEqual(self.run_diff(good).returncode, 2)
        self.assertFalse((self.path / "no-home").exists())


class Builds(unittest.TestCase):
    """Disk, output directory and commit of a build are one image."""

    @classmethod
    def setUpClass(cls):
        key = cls.enterClassContext(Key())
        cls.tiny = cls.enterClassContext(Tiny(key))
        cls.commits, cls.images = [], []
        for name, motd in (("a", "Welcome\n"), ("b", "Goodbye\n" * 1500)):
            cls.tiny.files["usr/share/tiny/motd"] = motd
            output = cls.tiny.path / name
            cls.commits.append(cls.tiny.build(output=output)["commit"])
            report = cls.tiny.report(output)
            with open(output / "tiny_1.0.raw", "rb") as disk:
                disk.seek(report["layout"]["partitions"][1]["start"])
                cls.images.append(disk.read(report["usrSize"]))
        cls.wanted = expected(*map(split, cls.images))

    def diff(self, a, b):
        done = self.tiny.slipway("diff", "--blocks", "--json", a, b)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        answer = json.loads(done.stdout)
        del answer["missingPercent"]
        return answer

    def test_all_kinds(self):
        """Three blocks of the file, and some of the metadata."""
        self.assertTrue(4 <= self.wanted["missingBlocks"] <= 8, self.wanted)
        a, b = self.tiny.path / "a", self.tiny.path / "b"
        for sides in ((a, b), (a / "tiny_1.0.raw", b / "tiny_1.0.raw"), self.commits, (a, self.commits[1])):
            with self.subTest(sides=sides):
                self.assertEqual(self.diff(*sides), self.wanted)
        self.assertEqual(self.diff(a, self.commits[0])["missingBlocks"], 0)

    def test_image_file(self):
        path = self.tiny.path / "b.erofs"
        path.write_bytes(self.images[1])
        self.assertEqual(self.diff(self.commits[0], path), self.wanted)

    def damaged(self, pattern, damage):
        """A disk that something was done to; damage(file, start of the USR partition)."""
        path = self.tiny.path / "damaged.raw"
        shutil.copy(self.tiny.path / "a/tiny_1.0.raw", path)
        with open(path, "r+b") as disk:
            damage(disk, self.tiny.report(self.tiny.path / "a")["layout"]["partitions"][1]["start"])
        done = self.tiny.slipway("diff", "--blocks", path, self.tiny.path / "b")
        path.unlink()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, rf"^slipway: \S*/damaged\.raw: {pattern}")

    def test_empty_slot(self):
        def damage(disk, start):
            disk.seek(start)
            disk.write(bytes(BLOCK))
        self.damaged("no EROFS or SquashFS image in partition 'usr_1.0'", damage)

    def test_image_behind_partition(self):
        def damage(disk, start):
            disk.seek(start)
            disk.write(superblock(1 << 20))
        self.damaged("partition 'usr_1.0': cut off: the image has 4294967296 bytes, 4194304 of them", damage)

    def test_cut_off_disk(self):
        self.damaged("No GPT partition table", lambda disk, _: disk.truncate(32 << 20))


if __name__ == "__main__":
    unittest.main()
