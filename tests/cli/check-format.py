#!/usr/bin/env python3
"""clang-format has nothing to say about any C file, no file names this machine's registries, none is a symlink."""

import pathlib
import re
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=PROJECT, check=True,
                            stdout=subprocess.PIPE).stdout
    return [p for p in listed.decode().split("\0") if p and (PROJECT / p).exists()]


def version():
    text = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout
    return int(re.search(r"version (\d+)", text).group(1))


def registry_hosts():
    hosts = set()
    for path in [pathlib.Path("/etc/apt/sources.list"),
                 *pathlib.Path("/etc/apt/sources.list.d").glob("*")]:
        if path.is_file():
            hosts |= set(re.findall(r"https?://([^/\s\]]+)", path.read_text(errors="replace")))
    return hosts


def main():
    failed = False
    # Other versions format differently; the one the style was made with decides.
    if version() == 14:
        done = subprocess.run(["clang-format", "--dry-run", "-Werror", *tracked("*.c", "*.h")],
                              cwd=PROJECT)
        failed |= done.returncode != 0
    for host in registry_hosts():
        done = subprocess.run(["git", "grep", "-nF", host], cwd=PROJECT)
        failed |= done.returncode == 0
    # What carries a tree elsewhere may lose them; layers say symlinks in layer.json.
    modes = subprocess.run(["git", "ls-files", "-s"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    for line in modes.splitlines():
        if line.startswith("120000 "):
            print(f"a symlink: {line}")
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
