"""What the fault proofs share: the table of faults, and what must hold after every one of them."""

import pathlib
import re
import shutil
import subprocess
import time

from tiny import Key, Tiny

FAULTS = []  # (description, function of a Tiny)
ONE_BUILD_AT_A_TIME = "another build is writing to"


class Wrong(Exception):
    """The fault was not handled as promised."""


def fault(description):
    def register(function):
        FAULTS.append((description, function))
        return function
    return register


def need(condition, what):
    if not condition:
        raise Wrong(what)


def listing(directory):
    """Name → bytes that tell a changed file, of everything in an output directory."""
    if not directory.exists():
        return {}
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns, p.stat().st_ino)
            for p in directory.iterdir()}


def leftovers(tiny, output=None, cache=None):
    """Temporary files. A download's .part is none: it is what the next run goes on with."""
    output, cache = output or tiny.output, cache or tiny.cache
    found = [p for p in output.glob(".*") if p.name != ".slipway-receipt"] if output.exists() else []
    found += list((cache / "tmp").glob("*")) + list(cache.glob(".*"))
    for name in ("metadata", "packages", "solv", "derived"):
        found += list((cache / name).glob(".*"))
    return [str(p) for p in found]


def refused(tiny, *texts, options=(), status=1, imported=True, **how):
    """A build that must fail with one line that holds all texts, and leave no trace.

    imported: whether packages may have been imported before; artifacts and image refs never."""
    def kept():
        return {k: v for k, v in tiny.refs().items() if not imported or not k.startswith("pkg/")}
    refs, files = kept(), listing(tiny.output)
    done = tiny.try_build(*options, **how)
    need(done.returncode == status, f"exit {done.returncode}: {done.stderr}")
    need(done.stdout == "", f"standard output: {done.stdout}")
    lines = done.stderr.splitlines()
    need(len(lines) == 1 and lines[0].startswith("slipway: "), f"not one message: {done.stderr!r}")
    for text in texts:
        need(text in lines[0], f"'{text}' is not in: {lines[0]}")
    need(kept() == refs, "something was imported")
    need(listing(tiny.output) == files, f"the output changed: {listing(tiny.output).keys()}")
    need(not leftovers(tiny), f"left behind: {leftovers(tiny)}")
    return lines[0]


def sound(tiny, output=None, cache=None):
    """The build in the output directory verifies, and so does the repository."""
    done = tiny.verify(output, cache)
    need(done.returncode == 0, f"slipway verify: {done.stderr}")
    fsck(tiny, cache)


def fsck(tiny, cache=None):
    repo = (cache or tiny.cache) / "repo"
    if (repo / "objects").exists():
        done = subprocess.run(["ostree", "fsck", "--quiet", f"--repo={repo}"], capture_output=True,
                              text=True, check=False)
        need(done.returncode == 0, f"ostree fsck: {done.stderr}")


def recovers(tiny):
    """The next build succeeds."""
    done = tiny.try_build("--json")
    need(done.returncode == 0, f"the next build: {done.stderr}")
    need(not leftovers(tiny), f"left behind: {leftovers(tiny)}")
    sound(tiny)


def digests(report):
    return {a["name"]: a.get("sha256") or a["sparseSha256"] for a in report["artifacts"]} | {
        "commit": report["commit"]}


def forget(tiny):
    """No cache, no output: the next build does everything."""
    for path in (tiny.cache, tiny.output):
        shutil.rmtree(path, ignore_errors=True)


def run_all(pattern=""):
    """Runs the faults that match; returns how many held, and of how many."""
    held, chosen = 0, [f for f in FAULTS if re.search(pattern, f[0])]
    with Key() as key:
        for description, function in chosen:
            started = time.monotonic()
            try:
                with Tiny(key) as tiny:
                    tiny.manifest["erofs"] = {"compression": "zstd"}
                    said = function(tiny)
            except (Wrong, AssertionError, subprocess.SubprocessError, OSError) as error:
                print(f"NO  {description}: {error}", flush=True)
                continue
            held += 1
            print(f"ok  {description}" + (f": {said}" if said else "") + f" ({time.monotonic() - started:.1f} s)", flush=True)
    return held, len(chosen)


def program(name):
    """A tool that a fault needs; without it the proof cannot be had."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise SystemExit(f"{name} is not installed; ./dev setup")
    return str(pathlib.Path(found))
