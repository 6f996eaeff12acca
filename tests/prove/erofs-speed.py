#!/usr/bin/env python3
"""what writing an EROFS image costs, beside mkfs.erofs, mksquashfs and veritysetup of Debian 13"""

import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import debian13
import releases
import slipway

RUNS = int(os.environ.get("RUNS", "3"))
TREE_IMAGE = slipway.PROGRAMS / "tests/tools/tree-image"
MKFS = ["mkfs.erofs", "--quiet", "-T0", "-U", "00000000-0000-0000-0000-000000000000"]
# Kind → argv, in which {image}, {hashes} and {tree} are replaced; peers are Debian 13's.
OURS = {
    "slipway none": [TREE_IMAGE, "{tree}", "{image}"],
    "slipway none + verity": [TREE_IMAGE, "{tree}", "{image}", "{hashes}"],
    "slipway lz4": [TREE_IMAGE, "{tree}", "{image}", "", "lz4:0:1048576"],
    "slipway lz4hc": [TREE_IMAGE, "{tree}", "{image}", "", "lz4hc:0:1048576"],
    "slipway zstd": [TREE_IMAGE, "{tree}", "{image}", "", "zstd:0:1048576"],
    "slipway zstd, 64K": [TREE_IMAGE, "{tree}", "{image}", "", "zstd:0:65536"],
    "slipway zstd + verity": [TREE_IMAGE, "{tree}", "{image}", "{hashes}", "zstd:0:1048576"],
}
PEERS = {
    "mkfs.erofs": [*MKFS, "{image}", "{tree}"],
    "mkfs.erofs lz4hc 64K": [*MKFS, "-zlz4hc", "-C65536", "{image}", "{tree}"],
    "mkfs.erofs zstd 64K": [*MKFS, "-zzstd,3", "-C65536", "{image}", "{tree}"],
    "mkfs.erofs zstd 64K, no inline tails": [*MKFS, "-zzstd,3", "-C65536", "-E^inline_data", "{image}", "{tree}"],
    "mksquashfs zstd 64K": ["mksquashfs", "{tree}", "{image}", "-comp", "zstd", "-Xcompression-level", "3", "-b", "64K",
                            "-noappend", "-no-progress", "-quiet"],
    # Of the plain image of the row before.
    "veritysetup format": ["veritysetup", "format", "--salt=-", "{plain}", "{hashes}"],
}


def once(argv, work):
    """(seconds, processor seconds, MiB at most, bytes) of one run."""
    names = {k: str(work / k) for k in ("image", "hashes", "tree", "plain")}
    for k in ("image", "hashes"):
        pathlib.Path(names[k]).unlink(missing_ok=True)
    argv = [str(a).format(**names) for a in argv]
    start = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    if status != 0:
        raise SystemExit(f"{argv}: status {status}")
    made = pathlib.Path(names["image"])
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, made.stat().st_size if made.exists() else 0


def measure(work, tools):
    """Kind → medians; in every round all kinds in turn."""
    kinds = {**OURS, **{name: debian13.argv(tools, argv) for name, argv in PEERS.items()}}
    runs = {kind: [] for kind in kinds}
    subprocess.run([TREE_IMAGE, work / "tree", work / "plain"], check=True)
    for _ in range(RUNS):
        for kind, argv in kinds.items():
            runs[kind].append(once(argv, work))
    return {kind: [slipway.median([run[i] for run in rows]) for i in range(4)] for kind, rows in runs.items()}


def print_table(figures):
    print("| | seconds | of the processor | MiB of memory | MB |\n|---|--:|--:|--:|--:|")
    for kind, (seconds, used, memory, size) in figures.items():
        print(f"| {kind} | {seconds:.2f} | {used:.2f} | {memory:.0f} | {size / 1e6 or '':.4} |")


def judge(f):
    """(what, figure, limit, whether more is better)"""
    seconds, used, size = ({k: v[i] for k, v in f.items()} for i in (0, 1, 3))
    hashing = used["slipway none + verity"] - used["slipway none"]
    return [
        ("zstd: processor, mkfs.erofs / ours", used["mkfs.erofs zstd 64K"] / used["slipway zstd"], 8, True),
        ("zstd: size, ours / mkfs.erofs without inline tails",
         size["slipway zstd"] / size["mkfs.erofs zstd 64K, no inline tails"], None, False),
        ("zstd: size, ours / mkfs.erofs", size["slipway zstd"] / size["mkfs.erofs zstd 64K"], 1.04, False),
        ("lz4hc: time, mkfs.erofs / ours", seconds["mkfs.erofs lz4hc 64K"] / seconds["slipway lz4hc"], 1.8, True),
        ("zstd: write + hash / write", seconds["slipway zstd + verity"] / seconds["slipway zstd"], 1.15, False),
        ("hashing: time, veritysetup / ours", seconds["veritysetup format"] / max(hashing / 2, 0.001), 3, True),
    ]


def main():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    work = slipway.scratch()
    try:
        result = slipway.real_image()
        releases.checkout(result.report()["commit"], work / "tree")
        figures = measure(work, debian13.unpack(work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print_table(figures)
    holds, said = True, []
    for what, figure, limit, more in judge(figures):
        good = limit is None or (figure >= limit if more else figure <= limit)
        holds &= good
        said.append(f"{what} {figure:.2f}" + (f" (limit {limit})" if limit else "") + ("" if good else " MISSED"))
        print(said[-1])
    print(f"erofs-speed: {'holds' if holds else 'does NOT hold'}: {'; '.join(said)}")
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
