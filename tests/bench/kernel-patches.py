#!/usr/bin/env python3
"""What a kernel update costs a machine, with and without patches of kernel modules: as root, after ./dev build.

Debian 13 without its security updates, then with its newest kernel alone, then with all of them; published, served by
nginx on loopback, and staged by the agent's code into plain files. Prints Markdown.
"""

import os
import resource
import shutil
import sys
import pathlib
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
from releases import Release, describe, run_slipway, take_kernel
from site_reader import keygen, tool
from update_site import Machine, Nginx

MIB = 1 << 20
KINDS = ("tree", "usr", "uki")


def published(build, site, place, key, channel):
    """Seconds, seconds of the processor, MiB of memory."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run_slipway(place, "publish", build.output, "--site", site, "--key", key, "--channel", channel,
                "--cache", slipway.work_dir() / "cache")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            after.ru_maxrss / 1024)


def modules_of(build, work):
    """/usr/lib/modules as it runs."""
    path = work / f"modules-{build.answer['commit'][:8]}"
    if not path.exists():
        tool("ostree", f"--repo={slipway.work_dir() / 'cache/repo'}", "checkout", "-U", "--subpath=/usr/lib/modules",
             build.answer["commit"], path)
    return path


def print_row(what, image, counts, done):
    fetched = sum(counts[kind]["bytes"] for kind in KINDS)
    requests = sum(counts[kind]["ranges"] for kind in KINDS)
    parts = " | ".join(f"{counts[kind]['bytes'] / MIB:.2f}" for kind in KINDS)
    print(f"| {what} | {parts} | {fetched / MIB:.2f} | {100 * fetched / image:.1f} % | {requests} | "
          f"{counts['usr']['patched']} | {done.seconds:.1f} | {done.cpu:.1f} | {done.rss:.0f} |", flush=True)


def stage(what, url, site, work, old, new, *options):
    """A machine that runs `old` and gets `new`."""
    directories = [site / "images" / build.report()["rootHash"] for build in (old, new)]
    machine = Machine(work / "machine", directories[1])
    machine.add_source("usr", directories[0] / "usr.img", directories[0] / "usr.tree")
    machine.add_source("uki", directories[0] / "uki.efi", directories[0] / "uki.tree")
    done = machine.run(url, *options, timeout=1200)
    if done.returncode != 0 or machine.wrong():
        raise SystemExit(f"staging {what}: {done.error} {machine.wrong()}")
    print_row(what, (directories[1] / "usr.img").stat().st_size, done.counts, done)
    shutil.rmtree(machine.path)


def measure(work):
    first = Release(work, "first", "1.0.0", False).lock()
    updated = Release(work, "updated", "1.0.1", True).lock()
    kernel = Release(work, "kernel", "1.0.1", False).lock()
    take_kernel(kernel, updated)
    pairs = {"kernel": kernel, "security": updated}
    builds = {release.name: release.build(work / f"{release.name}-out") for release in (first, kernel, updated)}
    site, keys = work / "site", work / "keys"
    for path in (site, keys):
        slipway.give_to_user(path)
    key = keygen(keys / "key")
    os.chmod(key, 0o644)  # the ordinary user signs
    public = key.with_suffix(".ed25519").read_text().strip()
    for name, release in pairs.items():
        published(builds["first"], site, first.place, key, name)
        seconds, cpu, peak = published(builds[release.name], site, release.place, key, name)
        print(f"* {name}: {describe(first, release)}; published in {seconds:.0f} s, {cpu:.0f} s of the processor, "
              f"{peak:.0f} MiB")
    for path in sorted((site / "patches").glob("*.patches")):
        print(f"* {path.name[:8]}…: {path.stat().st_size} bytes of patches")
    print("\n| | tree | image | UKI | together, MiB | of the image | requests | blocks from patches | s | of the "
          "processor | MiB of memory |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    with Nginx(site, work / "nginx") as server:
        for name, release in pairs.items():
            old, new = builds["first"], builds[release.name]
            stage(f"{name}, no patches", server.url, site, work, old, new)
            stage(f"{name}, patches", server.url, site, work, old, new, f"--modules={modules_of(old, work)}",
                  f"--key={public}")


def main():
    if os.geteuid() != 0:
        raise SystemExit("as root: programs run as another user")
    work = slipway.scratch()
    try:
        measure(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
