#!/usr/bin/env python3
"""Who may include whom (docs/architecture.md): folders by direction, libraries by file."""

import fnmatch
import pathlib
import re
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]

# Folder → folders whose headers it may include.
FOLDERS = {
    "base": set(),
    "bootloader": {"base"},
    "composer": {"base", "bootloader"},
    "ignition": {"base"},
    "update": {"base", "bootloader"},
}

# Header (prefix) of a library → the only file (pattern), or one in each folder, that may include it.
LIBRARIES = {
    "ostree": ("composer/commit*.[ch]", "update/site*.[ch]"),
    "gio/": "composer/commit*.[ch]",
    "glib": ("composer/commit*.[ch]", "update/site-variant.c"),
    "archive.h": ("composer/deb.c", "composer/unpack.c"),
    "archive_entry.h": "composer/deb.c",
    "curl/": ("composer/download.c", "ignition/http-curl.c", "update/fetch*.[ch]", "update/health-http.c",
              "update/request.c"),
    "solv/": "composer/solve.c",
    "libcryptsetup.h": "ignition/luks-volume.c",
    "libfdisk/": ("composer/disk.c", "ignition/partition-table.c"),
    "libfdisk.h": ("composer/disk.c", "ignition/partition-table.c"),
    "blkid/": ("ignition/probe.c", "update/slot.c"),
    "systemd/sd-bus.h": ("ignition/devices.c", "update/bus.c", "update/health-units.c"),
    "libelf.h": "composer/elf-file.c",
    "gelf.h": "composer/elf-file.c",
    "libkmod.h": "composer/kmodules.c",
    "lz4": "composer/codec.c",
    "zstd": ("composer/codec.c", "composer/compress.c", "base/delta.c"),
    "lzma.h": "base/xz.c",
    "zlib.h": ("composer/unpack.c", "ignition/gzip.c"),
    "systemd/sd-event.h": "update/bus.c",
    "systemd/sd-daemon.h": "update/progress.c",
}


def headers_of(folder):
    return {path.name for path in (PROJECT / folder).glob("*.h")}


def may_include(name, patterns):
    """Whether the file is among those that one pattern, or one of several, names."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


def own_problem(folder, name, own):
    """What is wrong with `#include "own"` in the file `name`, or None."""
    if own in headers_of(folder):
        stem = own.removesuffix("-internal.h")
        if stem != own and not fnmatch.fnmatch(name, f"{folder}/{stem}*.[ch]"):
            return f"only {stem}*.c may include {own}"
        return None
    found = [other for other in FOLDERS if own in headers_of(other)]
    if not found:
        return f"no such header: {own}"
    if not FOLDERS[folder] & set(found):
        return f"{folder} may not include {found[0]}/{own}"
    return None


def problems():
    for folder, allowed in FOLDERS.items():
        # A folder finds its own header first; one that hides a visible other confuses everybody.
        for other in sorted(allowed):
            for header in sorted(headers_of(folder) & headers_of(other)):
                yield f"{folder}/{header} hides {other}/{header}"
        for path in sorted((PROJECT / folder).glob("*.[ch]")):
            name = str(path.relative_to(PROJECT))
            for system, own in re.findall(r'^#\s*include\s+(?:<([^>]+)>|"([^"]+)")',
                                          path.read_text(), re.M):
                problem = own and own_problem(folder, name, own)
                if problem:
                    yield f"{name}: {problem}"
                for prefix, pattern in LIBRARIES.items():
                    # An own header may be called like a library's: quotes tell.
                    if system.startswith(prefix) and not may_include(name, pattern):
                        yield f"{name}: only {pattern} may include <{system}>"


def main():
    found = list(problems())
    count = sum(len(headers_of(folder)) for folder in FOLDERS)
    print("\n".join(found) or f"{count} headers, no offence")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
