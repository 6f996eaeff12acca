#!/usr/bin/env python3
"""What a kernel update costs, and three ways to make it cheaper (docs/decisions): as root, after ./dev build.

The old release is Debian 13 without its security updates, the new one differs in its kernel alone. Prints Markdown.
Arguments say which of `facts`, `blocks` and `patches` are wanted; none: all.
"""

import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import debian13
import slipway
from releases import Release, checkout, describe, take_kernel

BLOCK = 4096
MIB = 1 << 20
GAP = 16 << 10
TREE_IMAGE, MEASURE = (slipway.PROGRAMS / "tests" / "tools" / name for name in ("tree-image", "measure"))
SIGNATURE = b"~Module signature appended~\n"
MKFS = ["mkfs.erofs", "--quiet", "-T0", "-U", "00000000-0000-0000-0000-000000000000"]
WRITERS = [
    ("ours, plain", None),
    ("mkfs.erofs, lz4hc 64K", [*MKFS, "-zlz4hc,9", "-C65536"]),
    ("mkfs.erofs, zstd 64K", [*MKFS, "-zzstd,3", "-C65536"]),
]
# Whose kernel images start with what; the payload of a bzImage is one of these.
PACKERS = {b"\xfd7zXZ\0": ["xz", "-dc"], b"\x28\xb5\x2f\xfd": ["zstd", "-dcq"],
           b"\x1f\x8b\x08": ["gzip", "-dc"]}


class Cost:
    """Processor time and peak memory of the programs that were run; what they print is lost."""

    def __init__(self):
        self.seconds, self.peak = 0.0, 0

    def run(self, argv, data=None):
        program, *arguments = map(str, argv)
        done = subprocess.run([MEASURE, shutil.which(program), *arguments], input=data, stdout=subprocess.PIPE,
                              check=False)
        if done.returncode != 0:
            raise SystemExit(f"{argv[0]}: exit {done.returncode}")
        _, peak, used = map(int, done.stdout.split())
        self.seconds += used / 1e6
        self.peak = max(self.peak, peak)

    def __str__(self):
        return f"{self.seconds:.1f} | {self.peak / 1024:.0f}"


# ---- trees: /usr as it is, with modules unpacked, and these without what every build makes anew ----

def modules_directory(tree):
    (directory,) = (tree / "usr/lib/modules").iterdir()
    return directory


def modules_of(tree):
    """Modules by path without version and compression, sorted."""
    top = modules_directory(tree) / "kernel"
    return {str(p.relative_to(top)).removesuffix(".xz"): p for p in sorted(top.rglob("*.ko*"))}


def without_signature(data):
    if not data.endswith(SIGNATURE):
        return data
    length = struct.unpack(">I", data[-len(SIGNATURE) - 4:-len(SIGNATURE)])[0]
    return data[:-len(SIGNATURE) - 12 - length]


def unpacked(tree, into):
    """A copy of the tree whose modules are not compressed. Returns it with the cost of unpacking them."""
    cost = Cost()
    subprocess.run(["cp", "-a", tree, into], check=True)
    for path in modules_of(into).values():
        cost.run(["xz", "-d", path])
    index(into)
    return into, cost


def stripped(tree, into):
    """A copy of an unpacked tree whose modules have neither signature nor type information (BTF)."""
    subprocess.run(["cp", "-a", tree, into], check=True)
    for path in modules_of(into).values():
        path.write_bytes(without_signature(path.read_bytes()))
        subprocess.run(["objcopy", "--remove-section=.BTF", "--remove-section=.note.gnu.build-id", path], check=True)
    index(into)
    return into


def index(tree):
    (tree / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", tree, modules_directory(tree).name], check=True)
    (tree / "lib").unlink()
    forget_times(tree)


def forget_times(tree):
    """An image of slipway has none; tree-image takes those it finds."""
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (0, 0), follow_symlinks=False)


# ---- by blocks ----

def write_image(tools, argv, tree, image):
    if argv is None:
        subprocess.run([TREE_IMAGE, tree, image], check=True, stdout=subprocess.DEVNULL)
    else:
        subprocess.run(debian13.argv(tools, [*argv, image, tree]), check=True, stdout=subprocess.DEVNULL)


def missing_blocks(old, new):
    """The bytes themselves, one behind the other."""
    def blocks(path):
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                yield block
    known = {hashlib.sha256(block).digest() for block in blocks(old)} | {hashlib.sha256(bytes(BLOCK)).digest()}
    return b"".join(b for b in blocks(new) if hashlib.sha256(b).digest() not in known)


def packed_size(tools, data, work):
    Cost().run(debian13.argv(tools, ["zstd", "-q", "-f", "-9", "--long=27", "-", "-o", work / "packed"]), data=data)
    return (work / "packed").stat().st_size


def compare_images(tools, trees, work, what):
    """One row for each writer; trees are (old, new)."""
    for name, argv in WRITERS:
        images = [work / "image-old", work / "image-new"]
        for tree, image in zip(trees, images):
            image.unlink(missing_ok=True)
            write_image(tools, argv, tree, image)
        answer = json.loads(subprocess.run([slipway.SLIPWAY, "diff", "--blocks", "--json", *images], check=True,
                                           capture_output=True).stdout)
        ranges = next(s for s in answer["fetch"] if s["gap"] == GAP)["ranges"]
        # What a plain image's blocks would be on the way when the site keeps them compressed.
        packed = "" if argv else f"{packed_size(tools, missing_blocks(*images), work) / MIB:.1f}"
        print(f"| {what} | {name} | {answer['blocks'] / 256:.1f} | {answer['missingBytes'] / MIB:.1f} | "
              f"{answer['missingPercent']:.1f} | {ranges} | {packed} |", flush=True)


# ---- by patches ----

def patch_pair(tools, level, old, new, work, make, apply):
    """Size of a patch; that it gives the new file is checked."""
    patch, result = work / "patch", work / "result"
    # zstd wants to know how far back it may look: as far as both files are long.
    window = max(old.stat().st_size + new.stat().st_size, 1 << 10).bit_length()
    long = f"--long={min(max(window, 10), 31)}"
    make.run(debian13.argv(tools, ["zstd", "-q", "-f", f"-{level}", long, f"--patch-from={old}", new, "-o", patch]))
    apply.run(debian13.argv(tools, ["zstd", "-q", "-f", "-d", long, f"--patch-from={old}", patch, "-o", result]))
    if result.read_bytes() != new.read_bytes():
        raise SystemExit(f"{new}: the patch gives another file")
    return patch.stat().st_size


def print_patch(what, level, files, size, make, apply):
    print(f"| {what} | {level} | {files} | {size / MIB:.2f} | {make} | {apply} |", flush=True)


def patch_files(tools, level, trees, work, what):
    """A patch for every module that changed; a new one is fetched whole."""
    old, new = map(modules_of, trees)
    make, apply, size, files = Cost(), Cost(), 0, 0
    for name, path in new.items():
        if name not in old:
            size += path.stat().st_size
        elif old[name].read_bytes() != path.read_bytes():
            size += patch_pair(tools, level, old[name], path, work, make, apply)
        else:
            continue
        files += 1
    print_patch(what, level, files, size, make, apply)


def patch_all(tools, level, trees, work, what):
    """One patch for all modules, one behind the other."""
    sides = []
    for side, tree in zip(("old", "new"), trees):
        sides.append(work / f"all-{side}")
        sides[-1].write_bytes(b"".join(p.read_bytes() for p in modules_of(tree).values()))
    patch_one(tools, level, *sides, work, what)


def patch_one(tools, level, old, new, work, what):
    make, apply = Cost(), Cost()
    size = patch_pair(tools, level, old, new, work, make, apply)
    print_patch(what, level, 1, size, make, apply)


def kernel_payload(path, into):
    """What a bzImage unpacks itself to; its header says where that begins and ends. Returns the file, the packer's name
    and the packed bytes."""
    data = path.read_bytes()
    start = (data[0x1F1] + 1) * 512 + struct.unpack_from("<I", data, 0x248)[0]
    length = struct.unpack_from("<I", data, 0x24C)[0]
    payload = data[start:start + length - 4]  # then the unpacked size
    argv = next(argv for magic, argv in PACKERS.items() if payload.startswith(magic))
    with open(into, "wb") as file:
        subprocess.run(argv, input=payload, stdout=file, check=True)
    return into, argv[0], payload


def pack_kernel_again(tools, path, work):
    """The same question for the kernel's own payload, when that is zstd's."""
    plain, packer, payload = kernel_payload(path, work / "payload")
    if packer != "zstd":
        return f"not asked, it is {packer}'s"
    cost, again = Cost(), work / "payload-again"
    # From a pipe, as the kernel's build does it: else the size would be in the frame.
    cost.run(debian13.argv(tools, ["zstd", "-q", "-f", "-22", "--ultra", "-", "-o", again]), data=plain.read_bytes())
    same = "as it was" if again.read_bytes() == payload else "other bytes"
    return f"{same}, {cost.seconds:.0f} s of one processor, {cost.peak / 1024:.0f} MiB"


def section(image, name, into):
    subprocess.run(["objcopy", "-O", "binary", f"--only-section={name}", image, into], check=True)
    return into


def pack_again(argv, packed, loose):
    """Whether xz, told what the kernel's build tells it, gives every .ko.xz again; what that costs."""
    cost, same = Cost(), 0
    for name, path in packed.items():
        again = loose[name].with_name(loose[name].name + ".again")
        cost.run([*argv, "-k", "-T2", "--check=crc32", "--lzma2=preset=6,dict=1MiB", "--suffix=.again", loose[name]])
        same += again.read_bytes() == path.read_bytes()
        again.unlink()
    return f"{same} of {len(packed)} as they were, {cost.seconds:.0f} s of one processor, {cost.peak / 1024:.0f} MiB"


def blocks_in(data, known):
    """How many blocks of the data are in the set, with the data's own."""
    blocks = [hashlib.sha256(data[i:i + BLOCK]).digest() for i in range(0, len(data), BLOCK)]
    return sum(b in known for b in blocks), len(blocks)


def print_uki(tree, image, work):
    """The kernel is in /usr and in the UKI: how much of the UKI could come from the image, as it is and if aligned."""
    kernel = (modules_directory(tree) / "vmlinuz").read_bytes()
    known = {hashlib.sha256(kernel[i:i + BLOCK]).digest() for i in range(0, len(kernel), BLOCK)}
    uki = image.read_bytes()
    parts = {name: section(image, name, work / "part").stat().st_size for name in (".linux", ".initrd")}
    print(f"* blocks of the UKI that vmlinuz in /usr has: {blocks_in(uki, known)[0]} of {blocks_in(uki, known)[1]}; its "
          f"kernel is {parts['.linux'] / MIB:.1f} MiB from byte {uki.index(kernel[:BLOCK])}, its initrd "
          f"{parts['.initrd'] / MIB:.1f} MiB")


def initrd_archives(tools, image, work):
    """The archives of an image's initrd, unpacked: each is a zstd frame at a block's start, zeros before it."""
    packed = section(image, ".initrd", work / "initrd.zst").read_bytes()
    magic = b"\x28\xb5\x2f\xfd"
    starts = [at for at in range(0, len(packed), BLOCK) if packed.startswith(magic, at)]
    for at, end in zip(starts, starts[1:] + [len(packed)]):
        frame = packed[at:end].rstrip(b"\0") if end < len(packed) else packed[at:]
        # A frame may itself end in zeros: what zstd says about the rest of one block is not of interest.
        yield subprocess.run(debian13.argv(tools, ["zstd", "-dcq", "-"]), input=frame + b"\0" * 4, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL).stdout


def print_initrd(tools, image, work):
    """How much of the initrd is the kernel's, each part packed on its own."""
    top = work / "initrd-tree"
    top.mkdir()
    for archive in initrd_archives(tools, image, work):
        subprocess.run(["cpio", "-idmu", "--quiet"], input=archive, cwd=top, check=True)
    names = [str(p.relative_to(top)) for p in sorted(top.rglob("*"))]
    sizes = []
    for modules in (True, False):
        chosen = "\n".join(n for n in names if n.startswith("usr/lib/modules") == modules)
        archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=chosen.encode(), cwd=top,
                                 stdout=subprocess.PIPE, check=True).stdout
        Cost().run(debian13.argv(tools, ["zstd", "-q", "-f", "-6", "-", "-o", work / "packed"]), data=archive)
        sizes.append((work / "packed").stat().st_size / MIB)
    print(f"* of the initrd, packed on their own: modules {sizes[0]:.1f} MiB, the rest {sizes[1]:.1f} MiB")


# ---- all of it ----

def print_facts(tools, trees, plain, _bare, images, unpack, work):
    for side, tree, image in zip(("old", "new"), trees, images):
        packed = sum(p.stat().st_size for p in modules_of(tree).values())
        loose = sum(p.stat().st_size for p in modules_of(plain[side == "new"]).values())
        kernel = (modules_directory(tree) / "vmlinuz").stat().st_size
        print(f"* {side}: {modules_directory(tree).name}, {len(modules_of(tree))} modules, {packed / MIB:.1f} MiB as "
              f".ko.xz, {loose / MIB:.1f} MiB unpacked; vmlinuz {kernel / MIB:.1f} MiB; UKI "
              f"{image.stat().st_size / MIB:.1f} MiB")
    print(f"* unpacking all modules with xz: {unpack.seconds:.1f} s of one processor")
    packed, loose = modules_of(trees[1]), modules_of(plain[1])
    for what, argv in (("this machine's", ["xz"]), ("Debian 13's", debian13.argv(tools, ["xz"]))):
        print(f"* packing them again with {what} xz: {pack_again(argv, packed, loose)}", flush=True)
    again = pack_kernel_again(tools, modules_directory(trees[1]) / "vmlinuz", work)
    print(f"* packing the kernel again with Debian 13's zstd -22: {again}")
    print_uki(trees[1], images[1], work)
    print_initrd(tools, images[1], work)


def measure_blocks(tools, trees, plain, bare, _images, _unpack, work):
    print("\n| /usr with | writer | image MiB | missing MiB | % | ranges at gap 16K | missing through zstd -9, MiB |\n"
          "|---|---|--:|--:|--:|--:|--:|")
    usr = [tree / "usr" for tree in trees]
    compare_images(tools, usr, work, "modules as Debian has them (.ko.xz)")
    compare_images(tools, [tree / "usr" for tree in plain], work, "modules unpacked")
    compare_images(tools, [tree / "usr" for tree in bare], work, "unpacked, no signature, no BTF, no build id")
    for what, pair in ((".ko.xz", trees), ("unpacked", plain)):
        compare_images(tools, [modules_directory(tree) / "kernel" for tree in pair], work, f"nothing else: an image of the modules, {what}")


def measure_patches(tools, trees, plain, bare, images, _unpack, work):
    print("\n| patch | level | patches | MiB | making: s | MiB of memory | applying: s | MiB of memory |\n"
          "|---|--:|--:|--:|--:|--:|--:|--:|")
    patch_files(tools, 19, trees, work, "each .ko.xz")
    for level in (3, 19):
        patch_files(tools, level, plain, work, "each module, unpacked")
    patch_files(tools, 3, bare, work, "each module, unpacked, no signature, no BTF, no build id")
    for level in (3, 19):
        patch_all(tools, level, plain, work, "all modules in one, unpacked")
    kernels = [modules_directory(tree) / "vmlinuz" for tree in trees]
    patch_one(tools, 19, *kernels, work, "vmlinuz")
    payloads = [kernel_payload(path, work / f"payload-{i}") for i, path in enumerate(kernels)]
    patch_one(tools, 19, *(p for p, *_ in payloads), work, f"vmlinuz unpacked ({payloads[0][1]})")
    initrds = []
    for i, image in enumerate(images):
        initrds.append(work / f"initrd-{i}")
        initrds[-1].write_bytes(b"".join(initrd_archives(tools, image, work)))
    patch_one(tools, 19, *initrds, work, "initrd unpacked")


PARTS = {"facts": print_facts, "blocks": measure_blocks, "patches": measure_patches}


def main():
    wanted = sys.argv[1:] or list(PARTS)
    if not set(wanted) <= set(PARTS):
        raise SystemExit(f"parts are {', '.join(PARTS)}")
    if os.geteuid() != 0:
        raise SystemExit("as root: the images have owners")
    work = slipway.scratch()
    try:
        first = Release(work, "first", "1.0.0", False).lock()
        updated = Release(work, "updated", "1.0.1", True).lock()
        kernel = Release(work, "kernel", "1.0.1", False).lock()
        take_kernel(kernel, updated)
        print(f"{describe(first, kernel)}\n")
        builds = [release.build(work / f"{release.name}-out") for release in (first, kernel)]
        trees = [work / f"tree-{release.name}" for release in (first, kernel)]
        for build, tree in zip(builds, trees):
            tree.mkdir()
            checkout(build.answer["commit"], tree / "usr")
            forget_times(tree)
        tools = debian13.unpack(work)
        plain, bare = [], []
        for tree in trees:
            copy, unpack = unpacked(tree, work / f"{tree.name}-unpacked")
            plain.append(copy)
            bare.append(stripped(copy, work / f"{tree.name}-bare"))
        images = [build.artifact(".efi") for build in builds]
        for name, function in PARTS.items():
            if name in wanted:
                function(tools, trees, plain, bare, images, unpack, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
