#!/usr/bin/env python3
"""what real updates fetch: blocks of the new image that the old one has not, beside other writers' images"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

# The reach, for the best of our kinds: shares of the image in percent, ranges at a gap of 16 KiB.
USERLAND_PERCENT, USERLAND_RANGES = 2.5, 40
ONE_FILE_PERCENT = 0.1  # and the file's own size
GAP = 16 << 10

OLD, NEW = "1.0.0", "1.0.1"  # every release has a version of its own, and it is in the image
KERNEL = "linux-image-"
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
TOOLS = ["erofs-utils", "squashfs-tools"]
# name, old and new release of RELEASES, whose reach it is ("userland", "one file" or None).
PAIRS = [
    ("a: security updates, with kernel", "first", "updated", None),
    ("b: security updates, same kernel", "first", "userland", "userland"),
    ("c: one file of a layer", "first", "file", "one file"),
    ("d: a package more", "first", "added", None),
    ("e: a package less", "first", "removed", None),
]


# ---- releases: manifests of one place, all of the container host ----

def run_slipway(place, verb, *arguments, env=None):
    """A verb besides build, as the ordinary user."""
    full_env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    full_env.update({k: v for k, v in os.environ.items() if k.startswith(("SLIPWAY_MIRROR_", "APT_CONFIG"))})
    done = subprocess.run(slipway.as_user([place / "bin/slipway", verb, *arguments]), capture_output=True, text=True,
                          env=full_env | (env or {}), check=False)
    if done.returncode != 0:
        raise SystemExit(f"slipway {verb} failed ({done.returncode}):\n{done.stderr}")
    return done.stdout


class Release:
    """A place with layers and one manifest, locked, so that all kinds are made of the same packages."""

    def __init__(self, work, name, version, security):
        self.name, self.options = name, []
        self.place = slipway.reachable_copy(work / name)
        slipway.give_to_user(self.place / "layers/images")
        self.path = self.place / "layers/images/container-host.json"
        self.manifest = json.loads(self.path.read_text())
        self.manifest |= {"version": version, "outputs": ["raw"]}
        debian, updates = self.manifest["repositories"]
        debian["suites"] = ["trixie"]
        self.manifest["repositories"] = [debian, updates] if security else [debian]
        self.write()

    def write(self):
        self.path.write_text(json.dumps(self.manifest))

    def lock(self):
        run_slipway(self.place, "lock", "--cache", slipway.work_dir() / "cache", self.path)
        return self

    def read_lock(self):
        return json.loads(self.path.with_suffix(".lock.json").read_text())

    def write_lock(self, lock):
        self.path.with_suffix(".lock.json").write_text(json.dumps(lock))

    def packages(self):
        return {p["name"]: p["version"] for p in self.read_lock()["packages"]}

    def build(self, output, erofs=None, *options):
        if erofs is not None:
            self.manifest["erofs"] = erofs
            self.write()
        return slipway.build(self.place, output, slipway.work_dir() / "cache", "--locked", *options)


def change_layer(release, layer, change):
    path = release.place / f"layers/{layer}/layer.json"
    text = json.loads(path.read_text())
    change(text)
    path.write_text(json.dumps(text))


def keep_kernel(release, old):
    """The new release's packages with the old one's kernel."""
    lock = release.read_lock()
    kernel = [p for p in old.read_lock()["packages"] if p["name"].startswith(KERNEL)]
    lock["packages"] = sorted(kernel + [p for p in lock["packages"] if not p["name"].startswith(KERNEL)],
                              key=lambda p: p["name"])
    release.write_lock(lock)


def make_releases(work):
    first = Release(work, "first", OLD, False).lock()
    releases = {"first": first, "updated": Release(work, "updated", NEW, True).lock()}
    userland = Release(work, "userland", NEW, True).lock()
    keep_kernel(userland, first)
    changed = Release(work, "file", NEW, False).lock()
    with open(changed.place / "layers" / CHANGED_FILE, "a") as file:
        file.write("# Changed in this release.\n")
    added, removed = Release(work, "added", NEW, False), Release(work, "removed", NEW, False)
    change_layer(added, "podman", lambda layer: layer["packages"].append(ADDED_PACKAGE))
    change_layer(removed, "storage", lambda layer: layer["packages"].remove(REMOVED_PACKAGE))
    for release in (userland, changed, added.lock(), removed.lock()):
        releases[release.name] = release
    return releases


def describe(old, new):
    """Changed packages, for the log."""
    a, b = old.packages(), new.packages()
    return ", ".join([f"{n} {a[n]} => {b[n]}" for n in sorted(a.keys() & b.keys()) if a[n] != b[n]] +
                     [f"+{n} {b[n]}" for n in sorted(b.keys() - a.keys())] +
                     [f"-{n} {a[n]}" for n in sorted(a.keys() - b.keys())]) or "no package"


# ---- others' writers ----

def unpack_tools(work):
    """Debian 13's tools with all their libraries, beside the machine's own. Returns what to put before a tool's name."""
    cache, root = slipway.work_dir() / "delta-tools", work / "tools"
    release = Release(work, "tools-place", OLD, False)
    layer = release.place / "layers/tools"
    layer.mkdir()
    (layer / "layer.json").write_text(json.dumps({"name": "tools", "packages": TOOLS}))
    release.manifest["layers"] = ["tools"]
    release.write()
    slipway.build(release.place, work / "tools-out", cache, "--until", "fetch")
    # What the solver chose, in the lock file's format; the one in use is the newest.
    chosen = max((cache / "solv").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    for package in json.loads(chosen.read_text())["packages"]:
        subprocess.run(["dpkg-deb", "-x", cache / "packages" / f"{package['sha256']}.deb", root], check=True)
    return root


def tool_argv(root, argv):
    libraries = root / "usr/lib/x86_64-linux-gnu"
    return [root / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, root / "usr/bin" / argv[0], *argv[1:]]


def checkout(commit, tree):
    """/usr of a commit, for others; only root can give files to their owners."""
    subprocess.run(["ostree", f"--repo={slipway.work_dir() / 'cache/repo'}", "checkout",
                    *(() if os.geteuid() == 0 else ("-U",)), "--subpath=/usr", commit, tree], check=True)


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
        subprocess.run(tool_argv(tools, made), check=True, stdout=subprocess.DEVNULL)
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
        tools = unpack_tools(work)
        for kind, argv in PEERS:
            add(kind, peer_images(trees, tools, argv, work / "peers"))
            shutil.rmtree(work / "peers")
    size = (place / "layers" / CHANGED_FILE).stat().st_size
    return figures, ours, size


def print_table(figures):
    print("| pair | kind | image MiB | missing blocks | MiB | % | ranges at gap 0 / 16K / 64K | fetched MiB at gap 16K |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for pair, _, _, _ in PAIRS:
        for kind, answers in figures.items():
            a = answers[pair]
            ranges = " / ".join(str(s["ranges"]) for s in a["fetch"])
            print(f"| {pair} | {kind} | {a['blocks'] / 256:.1f} | {a['missingBlocks']} | {a['missingBlocks'] / 256:.2f} | "
                  f"{a['missingPercent']:.2f} | {ranges} | {a['sums'][GAP]['bytes'] / 2**20:.2f} |")


def judge(answers, file_size):
    """Whether the reach holds for a kind, and what to say of it."""
    by_reach = {reach: answers[pair] for pair, _, _, reach in PAIRS if reach}
    userland, one = by_reach["userland"], by_reach["one file"]
    limit = ONE_FILE_PERCENT / 100 * one["blocks"] * 4096 + file_size
    ranges = userland["sums"][GAP]["ranges"]
    holds = (userland["missingPercent"] <= USERLAND_PERCENT and ranges <= USERLAND_RANGES and
             one["missingBytes"] <= limit)
    return holds, (f"userland update {userland['missingPercent']:.2f} % (limit {USERLAND_PERCENT}) = "
                   f"{userland['missingBytes'] / 2**20:.2f} MiB in {ranges} ranges (limit {USERLAND_RANGES}), one file "
                   f"{one['missingBytes'] >> 10} KiB (limit {int(limit) >> 10})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", action="store_true", help="leave out other writers' images")
    options = parser.parse_args()
    work = slipway.scratch()
    try:
        figures, ours, file_size = measure(work, not options.ours)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print_table(figures)
    judged = {kind: judge(figures[kind], file_size) for kind in ours}
    userland = next(pair for pair, _, _, reach in PAIRS if reach == "userland")
    # The best kind holds, and fetches least.
    best = min(ours, key=lambda kind: (not judged[kind][0], figures[kind][userland]["missingBytes"]))
    holds, text = judged[best]
    print(f"erofs-delta: {'holds' if holds else 'does NOT hold'} for '{best}': {text}")
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
