"""Extensions for tests: a tree, its description, the image that `slipway sysext` makes of them, and its partitions."""

import json
import pathlib
import shutil
import subprocess

import slipway

BLOCK = 4096
ROOT = 1 << 20


class Extension:
    """NAME of a version for a level, in a directory of its own; `files`: path → bytes or text."""

    def __init__(self, directory, name="hello", version="1.0", files=None, **description):
        self.path = pathlib.Path(directory) / f"{name}-{version}"
        self.tree, self.output = self.path / "tree", self.path / "out"
        self.description = {"name": name, "version": version, "architecture": "amd64", "source": "tree"}
        self.description |= {"level": "1.0"} | description
        self.description = {k: v for k, v in self.description.items() if v is not None}
        self.json = self.path / "ext.json"
        self.tree.mkdir(parents=True)
        for path, data in (files or {f"usr/bin/{name}": f"#!/bin/sh\necho {name} {version}\n"}).items():
            self.put(path, data)

    def put(self, path, data, mode=0o755):
        file = self.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        file.chmod(mode)

    def run(self, *options, output=None, program=slipway.SLIPWAY, wrapper=()):
        """A finished `slipway sysext`."""
        self.json.write_text(json.dumps(self.description))
        return subprocess.run([*map(str, wrapper), str(program), "sysext", str(self.json), "-o", str(output or self.output),
                               *map(str, options)], capture_output=True, text=True, timeout=120, check=False)

    def build(self, *options, **how):
        """The image's path; it must succeed."""
        done = self.run(*options, **how)
        if done.returncode != 0:
            raise AssertionError(f"slipway sysext: exit {done.returncode}: {done.stderr}")
        return (how.get("output") or self.output) / self.file

    @property
    def file(self):
        d = self.description
        return f"{d['name']}-{d['version']}-{d['architecture']}.raw"

    def report(self, output=None):
        return json.loads(((output or self.output) / self.file).with_suffix(".json").read_text())

    def parts(self):
        """Image, hash tree and signature (empty: there is none), as the description places them."""
        report, data = self.report(), (self.output / self.file).read_bytes()
        tree = ROOT + report["imageSize"]
        end = tree + report["hashTreeSize"]
        signature = data[end:end + 4 * BLOCK] if "certificateFingerprint" in report else b""
        return data[ROOT:tree], data[tree:end], signature.rstrip(b"\0")


def keys(path):
    """A directory of keys, made."""
    shutil.rmtree(path, ignore_errors=True)
    subprocess.run([slipway.SLIPWAY, "keygen", "--secure-boot", path], check=True, capture_output=True)
    return path
