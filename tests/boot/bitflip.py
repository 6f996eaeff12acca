#!/usr/bin/env python3
"""a kernel that reads the image through dm-verity sees the source, or an error: never other bytes

    bitflip.py                                  a small tree made here (needs tree-image)
    bitflip.py IMAGE HASHTREE ROOTHASH SOURCE   an image and the directory it must equal

The host lists the source; User-mode Linux opens the image with veritysetup, mounts it and compares
every file, attribute and byte. Then single bits are flipped at random places of data and tree, some
at once, and every block of the device and every file is read: exactly the blocks that hold a flipped
bit, or whose path to the root hash does, must fail with EIO, and all that can be read must be equal.
"""

import ctypes
import errno
import hashlib
import json
import mmap
import os
import pathlib
import random
import shutil
import stat
import subprocess
import sys
import tempfile

BLOCK = 4096
CHUNK = 16 * BLOCK  # read at once while nothing fails
DIGESTS = BLOCK // 32  # in one block of the hash tree
DATA, TREE = "/dev/ubda", "/dev/ubdb"
# Rounds, and bits flipped at once in each: of the data, of the tree, of the tree's superblock.
ROUNDS = ((4, 12), (3, 2), (3, 1))
FEW_ROUNDS = ((2, 24), (1, 2), (1, 1))
SEED = int(os.environ.get("SLIPWAY_TEST_SEED", "1"))
PROJECT = pathlib.Path(__file__).resolve().parents[2]
TREE_IMAGE = pathlib.Path(os.environ.get("TREE_IMAGE") or
                          PROJECT / "build/release/tests/tools/tree-image")


# ---- what a tree holds, the same on both sides ----

def attributes(path):
    st = os.lstat(path)
    directory, device = stat.S_ISDIR(st.st_mode), stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode)
    return {
        "mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid, "mtime": int(st.st_mtime),
        "nlink": st.st_nlink, "size": None if directory else st.st_size,
        "device": st.st_rdev if device else 0,
        "target": os.fsdecode(os.readlink(path)) if stat.S_ISLNK(st.st_mode) else None,
        "xattrs": {name: os.getxattr(path, name, follow_symlinks=False).hex()
                   for name in sorted(os.listxattr(path, follow_symlinks=False))},
    }


def walk(root):
    """Paths below root, itself first."""
    yield root
    for directory, names, files in os.walk(root, onerror=fail):
        for name in sorted(names + files):
            yield os.path.join(directory, name)


def fail(error):
    raise error


def is_file(path):
    return stat.S_ISREG(os.lstat(path).st_mode)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listing(root):
    """Everything of a tree that an image must keep, by relative path."""
    return {os.path.relpath(path, root): {**attributes(path),
                                          "sha256": digest(path) if is_file(path) else None}
            for path in walk(root)}


# ---- in the guest ----

MOUNT = "/run/image"


def command(*argv):
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def mount(device, place):
    libc = ctypes.CDLL(None)
    return libc.mount(device.encode(), place.encode(), b"erofs", 1, None) == 0  # MS_RDONLY


def unmount(place):
    if ctypes.CDLL(None).umount2(place.encode(), 0) != 0:
        raise SystemExit("the image stayed mounted")


class Guest:
    def __init__(self, plan):
        self.root_hash, self.expected = plan["root_hash"], plan["expected"]
        self.ignored = plan["ignored"]
        with open(plan["original"], "rb") as file:
            self.original = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        os.makedirs(MOUNT, exist_ok=True)

    def open(self):
        return command("veritysetup", "open", DATA, "image", TREE, self.root_hash)

    def close(self):
        if not command("veritysetup", "close", "image"):
            raise SystemExit("the device stayed open")

    def check_equal(self):
        """The undamaged image is the source, attribute by attribute and byte by byte."""
        if not self.open() or not mount("/dev/mapper/image", MOUNT):
            raise SystemExit("the undamaged image cannot be mounted")
        found = listing(MOUNT)
        unmount(MOUNT)
        self.close()
        wrong = sorted(path for path in found.keys() | self.expected.keys()
                       if self.seen(found.get(path)) != self.seen(self.expected.get(path)))
        if wrong:
            path = wrong[0]
            raise SystemExit(f"{len(wrong)} differ, {path}: {self.expected.get(path)} became {found.get(path)}")

    def seen(self, entry):
        return entry and {k: v for k, v in entry.items() if k not in self.ignored}

    def read_range(self, device, start, size):
        """Reads size bytes at once, or block by block when that fails; the blocks that fail. What
        can be read is the original's."""
        try:
            found = os.pread(device, size, start)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            found = b""
        if self.original[start:start + len(found)] != found:
            raise SystemExit(f"other bytes at {start}")
        if len(found) == size:
            return []
        if size == BLOCK:
            return [start // BLOCK]
        return [block for offset in range(start, start + size, BLOCK)
                for block in self.read_range(device, offset, BLOCK)]

    def read_device(self):
        """Reads every block; those that fail."""
        device = os.open("/dev/mapper/image", os.O_RDONLY)
        size = len(self.original)
        failed = [block for start in range(0, size, CHUNK)
                  for block in self.read_range(device, start, min(CHUNK, size - start))]
        os.close(device)
        return failed

    def read_files(self):
        """Reads all files; how many fail, or None when it cannot even be mounted."""
        if not mount("/dev/mapper/image", MOUNT):
            return None
        failed = 0
        for path, expected in self.expected.items():
            try:
                place = os.path.join(MOUNT, path)
                seen = {**attributes(place), "sha256": digest(place) if expected["sha256"] else None}
            except OSError as error:
                if error.errno != errno.EIO:
                    raise SystemExit(f"{path}: {error}") from None
                failed += 1
                continue
            if self.seen(seen) != self.seen(expected):
                raise SystemExit(f"{path}: {expected} became {seen}")
        unmount(MOUNT)
        return failed

    def try_flips(self, flips):
        """What flipped bits do: refused at opening, or which blocks and how many files fail."""
        for disk, bit in flips:
            flip(disk, bit)
        result = {"opened": self.open()}
        if result["opened"]:
            result["blocks"], result["files"] = self.read_device(), self.read_files()
            self.close()
        for disk, bit in flips:
            flip(disk, bit)
        return result


def flip(disk, bit):
    fd = os.open(disk, os.O_RDWR)
    byte = os.pread(fd, 1, bit // 8)[0] ^ 1 << bit % 8
    os.pwrite(fd, bytes([byte]), bit // 8)
    os.fsync(fd)
    os.close(fd)


def guest(plan_path):
    with open(plan_path, encoding="utf-8") as file:
        plan = json.load(file)
    image = Guest(plan)
    image.check_equal()
    results = [image.try_flips(flips) for flips in plan["rounds"]]
    image.check_equal()
    with open(plan["results"], "w", encoding="utf-8") as file:
        json.dump(results, file)


# ---- on the host ----

def make_source(root, rng):
    """A tree with everything an ordinary user can make, and owners and devices where root runs it."""
    sizes = [0, 1, 4095, 4096, 4097, 8192, 70000, 300000, 1500000]
    root.mkdir()
    for i in range(24):
        directory = root / f"dir-{i % 5}" / ("nested " * (i % 3)).strip() / ("ü" * (i % 4))
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / f"{'.+-a'[i % 4]}file{i}"
        file.write_bytes(rng.randbytes(sizes[i % len(sizes)]))
        file.chmod(0o400 | rng.randrange(0o1000))
        (directory / f"link{i}").symlink_to("t" * rng.choice([1, 30, 200, 2000]))
        if i % 6 == 0:
            os.link(file, root / f"hard{i}")
            os.setxattr(file, "user.note", rng.randbytes(i * 40))
        os.utime(file, (1, rng.randrange(2 ** 33)))
    with open(root / "sparse", "wb") as file:
        file.truncate(600000)
        file.seek(200000)
        file.write(b"island")
    os.mkfifo(root / "fifo")
    many = root / "many"
    many.mkdir()
    for i in range(300):
        (many / f"a rather long name of entry number {i:04}").touch()
    if os.geteuid() == 0:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 70000))
        os.chown(root / "sparse", 65536, 4000000000)
        os.chown(root / "dir-1", 1000, 65535)


def choose_rounds(rng, rounds, image_size, tree_size):
    """Lists of flipped bits."""
    places = ((DATA, 0, image_size), (TREE, BLOCK, tree_size), (TREE, 0, 512))
    return [[(disk, bit) for bit in rng.sample(range(start * 8, end * 8), bits)]
            for (disk, start, end), (count, bits) in zip(places, rounds) for _ in range(count)]


def tree_levels(blocks):
    """From the leaves up: where a level begins in the tree (in blocks), and how many data blocks each
    of its blocks answers for."""
    sizes, span = [], DIGESTS
    while blocks > 1:
        blocks = -(-blocks // DIGESTS)
        sizes.append((blocks, span))
        span *= DIGESTS
    levels, start = [], 1
    for size, span in reversed(sizes):
        levels.append((start, size, span))
        start += size
    return levels


def lost_blocks(flips, data_blocks):
    """The data blocks that flipped bits make unreadable."""
    lost = set()
    for disk, bit in flips:
        block = bit // 8 // BLOCK
        if disk == DATA:
            lost.add(block)
            continue
        for start, size, span in tree_levels(data_blocks):
            if start <= block < start + size:
                lost |= set(range((block - start) * span, min((block - start + 1) * span, data_blocks)))
    return sorted(lost)


def in_guest(plan, disks, scratch):
    import uml  # only the host needs it

    plan["results"] = str(scratch / "results.json")
    path = scratch / "plan.json"
    path.write_text(json.dumps(plan), encoding="utf-8")
    code, output = uml.run([sys.executable, __file__, "--guest", path], disks, memory="768M")
    if code != 0:
        raise SystemExit(f"bitflip: {output.strip()}")
    return json.loads((scratch / "results.json").read_text(encoding="utf-8"))


def judge(rounds, results, data_blocks):
    """Exactly the blocks that must fail did; a superblock may also make opening fail."""
    totals = {"bits": 0, "blocks": 0, "files": 0, "refused": 0}
    for flips, result in zip(rounds, results, strict=True):
        lost = lost_blocks(flips, data_blocks)
        totals["bits"] += len(flips)
        if not result["opened"]:
            totals["refused"] += 1
            if flips[0][0] == DATA:
                raise SystemExit("bitflip: flipped data kept the device from opening")
            continue
        if result["blocks"] != lost:
            raise SystemExit(f"bitflip: {flips}: blocks {result['blocks']} failed, not {lost}")
        totals["blocks"] += len(lost)
        totals["files"] += result["files"] or 0
        totals["refused"] += result["files"] is None
    return totals


def prove(image, tree, root_hash, source, scratch, ignored=(), rounds=ROUNDS):
    """ignored: attributes that the source cannot say."""
    rng = random.Random(SEED)
    copies = [scratch / "image", scratch / "tree"]
    for original, copy in zip((image, tree), copies):
        shutil.copyfile(original, copy)
    rounds = choose_rounds(rng, rounds, image.stat().st_size, tree.stat().st_size)
    expected = listing(source)
    plan = {"root_hash": root_hash, "original": str(image), "rounds": rounds, "expected": expected,
            "ignored": list(ignored)}
    totals = judge(rounds, in_guest(plan, copies, scratch), image.stat().st_size // BLOCK)
    print(f"verity: {len(expected)} entries equal through the kernel; {totals['bits']} flipped bits in "
          f"{len(rounds)} rounds: {totals['blocks']} blocks and {totals['files']} files gave EIO, "
          f"{totals['refused']} times opening or mounting was refused, 0 times other bytes")


def main(argv):
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="slipway-bitflip-"))
    try:
        if len(argv) == 4:
            image, tree, source = (pathlib.Path(argv[i]).resolve() for i in (0, 1, 3))
            root_hash = argv[2]
        else:
            image, tree, source = (scratch / name for name in ("made", "made-tree", "source"))
            make_source(source, random.Random(SEED))
            root_hash = subprocess.run([TREE_IMAGE, source, image, tree], check=True, text=True,
                                       stdout=subprocess.PIPE).stdout.strip()
        prove(image, tree, root_hash, source, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--guest"]:
        guest(sys.argv[2])
    else:
        main(sys.argv[1:])
