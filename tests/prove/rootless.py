#!/usr/bin/env python3
"""slipway build runs as an ordinary user and executes only tools of the builder"""

import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

# Everything the composer may run: tools of the builder, never a file of a package.
ALLOWED = {"slipway", "setpriv", "gpgv", "apt-config", "dpkg", "mkfs.vfat", "mkfs.fat", "mmd", "mcopy",
           "mtools", "depmod", "kmod", "sqv"}
FORBIDDEN = ("chroot", "pivot_root", "mount", "unshare", "setns", "init_module", "finit_module")


def main():
    scratch = slipway.scratch()
    log = scratch / "trace"
    try:
        place = slipway.reachable_copy(scratch / "place")
        calls = ",".join(("execve", *FORBIDDEN))
        wrapper = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={calls}", "-e", "signal=none",
                   "-o", str(log)]
        result = slipway.build(place, scratch / "out", slipway.work_dir() / "cache", wrapper=wrapper)
        # A repository of its own, so that every package is unpacked in this very run.
        shutil.rmtree(scratch / "out")
        result = slipway.build(place, scratch / "out", slipway.work_dir() / "cache", "--repo",
                               str(give(scratch / "repo")), wrapper=wrapper)
        check(log.read_text(), result)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def give(path):
    slipway.give_to_user(path)
    return path


def check(trace, result):
    programs = set()
    for line in trace.splitlines():
        call = re.match(r"\d+ +(\w+)\((.*)", line)
        if not call or "= -1" in line:
            continue
        name, rest = call.groups()
        if name in FORBIDDEN:
            raise SystemExit(f"forbidden system call: {line}")
        programs.add(pathlib.Path(re.match(r'"([^"]+)"', rest).group(1)))
    foreign = {str(p) for p in programs if p.name not in ALLOWED}
    if foreign:
        raise SystemExit(f"programs that may not run: {sorted(foreign)}")
    if "slipway" not in {p.name for p in programs}:
        raise SystemExit("the trace is empty: nothing was proved")
    if result.answer["unchanged"]:
        raise SystemExit("the build was a no-op: nothing was proved")
    print("ran:", ", ".join(sorted(p.name for p in programs)))
    print(f"rootless: composed as uid {slipway.ORDINARY_UID} without capabilities, "
          f"{len(programs)} builder programs, 0 of the image")


if __name__ == "__main__":
    main()
