#!/usr/bin/env python3
"""what real updates fetch: blocks of the new image that the old one has not, beside other writers' images"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import debian13
import slipway
from releases import Release, checkout, describe, run_slipway, take_kernel

# The reach, for the best of our kinds: shares of the image in percent, ranges at a gap of 16 KiB.
USERLAND_PERCENT, USERLAND_RANGES = 2.5, 40
ONE_FILE_PERCENT = 0.1  # and the file's own size
GAP = 16 << 10

OLD, NEW = "1.0.0", "1.0.1"  # every release has a version of its own, and it is in the image
# The comments that the file gets; the long one moves everything behind it.
CHANGES = {"changed": "# Changed in this release.\n", "longer": "# Longer in this release.\n" * 2000}
CHANGED_FILE = "base/files/usr/etc/ssh/sshd_config"
ADDED_PACKAGE, REMOVED_PACKAGE = "jq", "btrfs-progs"

# Our kinds: a name, `erofs` of the manifest (None: as it is there) and whether the new image is laid out by the
# old one. A row counts when this slipway knows what it needs.
OURS = [
    ("slipway", None, False),
    ("slipway, plain", {"compression": "none"}, False),
    ("slipway, lz4hc", {"compression": "lz4hc"}, False),
    ("slipway, zstd", {"compression": "zstd"}, False),
    ("slipway, zstd, --base", {"compression": "zstd"}, True),
]
MKFS = ["mkfs.erofs", "--quiet", "-T0", "-U", "00000000-0000-0000-0000-000000000000"]
# Others' kinds, as Debian 13 has them: a name, and argv in which {image} and {tree} are replaced.
PEERS = [
    ("mkfs.erofs", [*MKFS, "{image}", "{tree}"]),
    ("mkfs.erofs, lz4hc 64K", [*MKFS, "-zlz4hc,9", "-C65536", "{image}", "{tree}"]),
    ("mkfs.erofs, zstd 64K", [*MKFS, "-zzstd,3", "-C65536", "{image}", "{tree}"]),
    ("mksquashfs, zstd 64K", ["mksquashfs", "{tree}", "{image}", "-comp", "zstd", "-Xcompression-level", "3", "-b",
                              "64K", "-mkfs-time", "0", "-all-time", "0", "-noappend", "-no-progress", "-quiet"]),
]
# name, old and new release, and which reach is about it.
PAIRS = [
    ("a: security updates, with kernel", "first", "updated", None),
    ("b: security updates, same kernel", "first", "userland", "userland"),
    ("c: one file changed", "first", "changed", "one file"),
    ("c: one file longer", "first", "longer", "one file"),
    ("d: a package more", "first", "added", None),
    ("e: a package less", "first", "removed", None),
]


def change_layer(release, layer, change):
    path = release.place / f"layers/{layer}/layer.json"
    text = json.loads(path.read_text())
    change(text)
    path.write_text(json.dumps(text))


def make_releases(work):
    first = Release(work, "first", OLD, False).lock()
    releases = {"first": first, "updated": Release(work, "updated", NEW, True).lock()}
    userland = Release(work, "userland", NEW, True).lock()
    take_kernel(userland, first)
    changed = [Release(work, name, NEW, False).lock() for name in CHANGES]
    for release in changed:
        with open(release.place / "layers" / CHANGED_FILE, "a") as file:
            file.write(CHANGES[release.name])
    added, removed = Release(work, "added", NEW, False), Release(work, "removed", NEW, False)
    change_layer(added, "podman", lambda layer: layer["packages"].append(ADDED_PACKAGE))
    change_layer(removed, "storage", lambda layer: layer["packages"].remove(REMOVED_PACKAGE))
    for release in (userland, *changed, added.lock(), removed.lock()):
        releases[release.name] = release
    return releases


# ---- images of one kind, and what is between them ----

def our_images(releases, erofs, base, into):
    """Output directories by release; the new ones are laid out by the first one when the kind says so."""
    images, options = {}, []
    for name, release in releases.items():
        result = release.build(into / name, erofs, *options)
        images[name] = result.output
        if base and name == "first":
            options = ["--base", str(result.artifact(".raw"))]
    return images


def peer_images(trees, tools, argv, into):
    images = {}
    into.mkdir(exist_ok=True)
    for name, tree in trees.items():
        images[name] = into / name
        made = [a.format(image=images[name], tree=tree) for a in argv]
        subprocess.run(debian13.argv(tools, made), check=True, stdout=subprocess.DEVNULL)
    return images


def compare(place, images, old, new):
    answer = json.loads(run_slipway(place, "diff", "--blocks", "--json", images[old], images[new]))
    answer["sums"] = {s["gap"]: s for s in answer["fetch"]}
    return answer


def knows(place):
    """What this slipway can do, of what the rows of OURS need."""
    schema = json.loads(run_slipway(place, "schema"))
    return "erofs" in schema["properties"], "--base" in run_slipway(place, "build", "--help")


def measure(work, peers):
    """Kind → pair → answer of the comparison, with a list of our kinds."""
    releases = make_releases(work)
    place = releases["first"].place
    for name, old, new, _ in PAIRS:
        print(f"{name}: {describe(releases[old], releases[new])}", file=sys.stderr)
    compresses, bases = knows(place)
    figures, ours, trees = {}, [], {}

    def add(kind, images):
        figures[kind] = {pair: compare(place, images, old, new) for pair, old, new, _ in PAIRS}

    for kind, erofs, base in OURS:
        if (erofs is None or compresses) and (not base or bases):
            images = our_images(releases, erofs, base, work / "ours")
            ours.append(kind)
            add(kind, images)
            if peers and not trees:
                trees = {name: work / "trees" / name for name in releases}
                (work / "trees").mkdir()
                for name, output in images.items():
                    checkout(json.loads(next(output.glob("*.report.json")).read_text())["commit"], trees[name])
            shutil.rmtree(work / "ours")
    if peers:
        tools = debian13.unpack(work)
        for kind, argv in PEERS:
            add(kind, peer_images(trees, tools, argv, work / "peers"))
            shutil.rmtree(work / "peers")
    sizes = {name: (releases[name].place / "layers" / CHANGED_FILE).stat().st_size for name in CHANGES}
    return figures, ours, sizes


def print_table(figures):
    print("| pair | kind | image MiB | missing blocks | MiB | % | ranges at gap 0 / 16K / 64K | fetched MiB at gap 16K |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for pair, _, _, _ in PAIRS:
        for kind, answers in figures.items():
            a = answers[pair]
            ranges = " / ".join(str(s["ranges"]) for s in a["fetch"])
            print(f"| {pair} | {kind} | {a['blocks'] / 256:.1f} | {a['missingBlocks']} | {a['missingBlocks'] / 256:.2f} | "
                  f"{a['missingPercent']:.2f} | {ranges} | {a['sums'][GAP]['bytes'] / 2**20:.2f} |")


def judge(answers, sizes):
    """Whether the reach holds for a kind, and what to say of it."""
    holds, said = True, []
    for pair, _, new, reach in PAIRS:
        a = answers[pair]
        ranges = a["sums"][GAP]["ranges"]
        if reach == "userland":
            holds &= a["missingPercent"] <= USERLAND_PERCENT and ranges <= USERLAND_RANGES
            said.append(f"userland update {a['missingPercent']:.2f} % (limit {USERLAND_PERCENT}) = "
                        f"{a['missingBytes'] / 2**20:.2f} MiB in {ranges} ranges (limit {USERLAND_RANGES})")
        elif reach == "one file":
            limit = ONE_FILE_PERCENT / 100 * a["blocks"] * 4096 + sizes[new]
            holds &= a["missingBytes"] <= limit
            said.append(f"{pair[3:]} {a['missingBytes'] >> 10} KiB (limit {int(limit) >> 10})")
    return holds, ", ".join(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", action="store_true", help="leave out other writers' images")
    options = parser.parse_args()
    work = slipway.scratch()
    try:
        figures, ours, sizes = measure(work, not options.ours)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print_table(figures)
    judged = {kind: judge(figures[kind], sizes) for kind in ours}
    userland = next(pair for pair, _, _, reach in PAIRS if reach == "userland")
    # The best kind holds, and fetches least.
    best = min(ours, key=lambda kind: (not judged[kind][0], figures[kind][userland]["missingBytes"]))
    holds, text = judged[best]
    print(f"erofs-delta: {'holds' if holds else 'does NOT hold'} for '{best}': {text}")
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
