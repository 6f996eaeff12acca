#!/usr/bin/env python3
"""two builds that differ in everything but their inputs give the same bytes"""

import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway


def copy_backwards(source, target):
    """A copy whose entries were made in another order, so that readdir gives another one."""
    target.mkdir(mode=0o755)
    for entry in sorted(source.iterdir(), reverse=True):
        if entry.is_symlink():
            (target / entry.name).symlink_to(os.readlink(entry))
        elif entry.is_dir():
            copy_backwards(entry, target / entry.name)
        else:
            shutil.copy(entry, target / entry.name)


def check_module_index(cache, commit, scratch):
    """The kernel's module index is what depmod makes of the image's own, compressed modules."""
    (scratch / "usr/lib").mkdir(parents=True)
    subprocess.run(["ostree", f"--repo={cache}/repo", "checkout", "-U", "--subpath=/usr/lib/modules",
                    commit, scratch / "usr/lib/modules"], check=True)
    (scratch / "lib").symlink_to("usr/lib")
    (version,) = os.listdir(scratch / "usr/lib/modules")
    directory = scratch / "usr/lib/modules" / version
    given = {"modules.order", "modules.builtin", "modules.builtin.modinfo"}
    built = {path.name: path.read_bytes() for path in directory.glob("modules.*") if path.name not in given}
    for name in built:
        (directory / name).unlink()
    subprocess.run(["depmod", "-b", scratch, version], check=True)
    again = {name: (directory / name).read_bytes() for name in built if (directory / name).exists()}
    if "modules.dep.bin" not in built or built != again:
        raise SystemExit(f"not what depmod makes: {sorted(n for n in built if built[n] != again.get(n))}")
    return len(built)


def digests(result):
    report = result.report()
    listed = {a["name"]: a.get("sha256") or a["sparseSha256"] for a in report["artifacts"]}
    listed["report.json"] = result.artifact(".report.json").read_bytes()
    listed["commit"] = result.answer["commit"]
    return listed


def main():
    disk, memory = slipway.scratch(), pathlib.Path("/dev/shm") / f"slipway-{os.getpid()}"
    memory.mkdir(mode=0o755)
    packages = slipway.real_image()  # fills the package cache once
    try:
        place = slipway.reachable_copy(disk / "place")
        other = slipway.reachable_copy(memory / "elsewhere/and/deeper")
        shutil.rmtree(other / "layers")
        copy_backwards(place / "layers", other / "layers")
        # The suites are inputs, too: asked twice, a registry may have got an update in between.
        for cache in (disk / "cache", memory / "cache"):
            for kind in ("packages", "metadata"):
                shutil.copytree(slipway.work_dir() / "cache" / kind, cache / kind)
        first = slipway.build(place, disk / "out", disk / "cache", "--offline", "--threads", "1",
                              env={"TZ": "UTC", "LANG": "C", "SOURCE_DATE_EPOCH": "1760000000"})
        (memory / "result/of").mkdir(parents=True)
        os.umask(0o077)
        second = slipway.build(other, memory / "result/of/build", memory / "cache", "--offline", "--threads", "7",
                               uid=65533, cwd="/",
                               env={"TZ": "Pacific/Kiritimati", "LANG": "tr_TR.UTF-8",
                                    "LC_ALL": "tr_TR.UTF-8", "SOURCE_DATE_EPOCH": "1760000000"})
        if first.answer["unchanged"] or second.answer["unchanged"]:
            raise SystemExit("a build was a no-op: nothing was proved")
        a, b = digests(first), digests(second)
        different = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
        if different:
            raise SystemExit(f"different: {different}")
        indexes = check_module_index(disk / "cache", first.answer["commit"], disk / "modules")
        print("\n".join(sorted(a)))
        print(f"{indexes} index files of the kernel's modules are depmod's")
        print(f"repro: {len(a)} of {len(a)} artifacts identical "
              "(cwd, user, umask, TZ, LANG, directory order, file system, 1 and 7 threads)")
    finally:
        del packages
        shutil.rmtree(disk, ignore_errors=True)
        shutil.rmtree(memory, ignore_errors=True)


if __name__ == "__main__":
    main()
