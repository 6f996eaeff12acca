#!/usr/bin/env python3
"""the disk's /usr is its commit, block by block under dm-verity; a flipped bit is never other bytes"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests" / "lib"), str(PROJECT / "tests" / "boot")]
import bitflip
import slipway

# What a checkout does not keep: times, and which equal files are one.
IGNORED = ("mtime", "nlink")
OWNERS = ("uid", "gid", "mode", "xattrs")  # only root can give them away


def partition(disk, table, number, size, into):
    """The first `size` bytes of a partition, as a file."""
    start = table["partitions"][number]["start"] * table["sectorsize"]
    with open(disk, "rb") as source, open(into, "wb") as target:
        source.seek(start)
        while size > 0:
            target.write(source.read(min(size, 1 << 20)))
            size -= 1 << 20
    return into


def check_uuids(table, root_hash):
    """The partitions are found by the halves of the root hash."""
    found = "".join(table["partitions"][n]["uuid"] for n in (1, 2)).replace("-", "").lower()
    if found != root_hash:
        raise SystemExit(f"partition UUIDs say {found}, the report {root_hash}")


def check_command_line(image, root_hash):
    section = subprocess.run(["objcopy", "-O", "binary", "--only-section=.cmdline", image, "/dev/stdout"],
                             check=True, capture_output=True).stdout.decode()
    if f"usrhash={root_hash}" not in section.rstrip("\0").split():
        raise SystemExit(f"the UKI's command line is {section!r}")


def build(scratch):
    """The real image, but for its compression: User-mode Linux is 6.1 here, which knows LZ4 alone."""
    place = slipway.reachable_copy(scratch / "place")
    manifest = place / "layers/images/container-host.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {
        "erofs": {"compression": "lz4hc"}, "outputs": ["raw"]}))
    return slipway.build(place, scratch / "built", slipway.work_dir() / "cache")


def main():
    scratch = slipway.scratch()
    try:
        prove(build(scratch), scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def prove(built, scratch):
    report, disk = built.report(), built.artifact(".raw")
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], check=True,
                                      capture_output=True).stdout)["partitiontable"]
    check_uuids(table, report["rootHash"])
    check_command_line(built.artifact(".efi"), report["rootHash"])
    image = partition(disk, table, 1, report["usrSize"], scratch / "slot")
    tree = partition(disk, table, 2, report["hashTreeSize"], scratch / "slot-tree")
    subprocess.run(["veritysetup", "verify", image, tree, report["rootHash"]], check=True)
    source = scratch / "source"
    subprocess.run(["ostree", f"--repo={slipway.work_dir() / 'cache/repo'}", "checkout",
                    *(() if os.geteuid() == 0 else ("-U",)), "--subpath=/usr", report["commit"],
                    source], check=True)
    bitflip.prove(image, tree, report["rootHash"], source, scratch,
                  IGNORED + (() if os.geteuid() == 0 else OWNERS),
                  bitflip.FEW_ROUNDS if slipway.QUICK else bitflip.ROUNDS)


if __name__ == "__main__":
    main()
