"""Releases of the container host to move between.

A release is a place (a reachable_copy()) with one manifest and a lock file, so that every image made of it has the
same packages. Needs the machine's registries once; then the shared cache has everything.
"""

import json
import os
import subprocess

import slipway

KERNEL = "linux-image-"  # how the names of its packages start


def run_slipway(place, verb, *arguments):
    """A verb besides build, as the ordinary user."""
    full_env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    full_env.update({k: v for k, v in os.environ.items() if k.startswith(("SLIPWAY_MIRROR_", "APT_CONFIG"))})
    done = subprocess.run(slipway.as_user([place / "bin/slipway", verb, *arguments]), capture_output=True, text=True,
                          env=full_env, check=False)
    if done.returncode != 0:
        raise SystemExit(f"slipway {verb} failed ({done.returncode}):\n{done.stderr}")
    return done.stdout


class Release:
    """A place with layers and one manifest, locked, so that all kinds are made of the same packages."""

    def __init__(self, work, name, version, security):
        self.name = name
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
        cache = slipway.work_dir() / "cache"
        slipway.give_to_user(cache)
        run_slipway(self.place, "lock", "--cache", cache, self.path)
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


def take_kernel(release, other):
    """The release's packages, but the other one's kernel."""
    lock = release.read_lock()
    kernel = [p for p in other.read_lock()["packages"] if p["name"].startswith(KERNEL)]
    lock["packages"] = sorted(kernel + [p for p in lock["packages"] if not p["name"].startswith(KERNEL)],
                              key=lambda p: p["name"])
    release.write_lock(lock)


def describe(old, new):
    """Changed packages, for the log."""
    a, b = old.packages(), new.packages()
    return ", ".join([f"{n} {a[n]} => {b[n]}" for n in sorted(a.keys() & b.keys()) if a[n] != b[n]] +
                     [f"+{n} {b[n]}" for n in sorted(b.keys() - a.keys())] +
                     [f"-{n} {a[n]}" for n in sorted(a.keys() - b.keys())]) or "no package"


def checkout(commit, tree):
    """/usr of a commit, for others; only root can give files to their owners."""
    subprocess.run(["ostree", f"--repo={slipway.work_dir() / 'cache/repo'}", "checkout",
                    *(() if os.geteuid() == 0 else ("-U",)), "--subpath=/usr", commit, tree], check=True)
