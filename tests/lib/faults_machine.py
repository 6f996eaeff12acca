"""Faults of the world around the composer: networks, full disks, kills, other builds, small slots."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import slipway
from faults import (ONE_BUILD_AT_A_TIME, digests, fault, forget, fsck, leftovers, listing, need,
                    recovers, refused, sound)
from tiny import MIB, make_deb, noise

NO_SPACE = "No space left on device"
KILLS, STOPS = (5, 3) if slipway.QUICK else (25, 12)  # times of a build
AT_CALLS = 3 if slipway.QUICK else 12  # of each call
SIZES = 2 if slipway.QUICK else 9


def asked(tiny, name):
    """The Range headers of the requests for a package."""
    return [header for path, header in tiny.server.requests if f"/{name}_" in path]


def part_size(tiny, name):
    """Bytes of a package's unfinished download; one that ends meanwhile loses its name."""
    digest = next(deb.sha256 for deb in tiny.repository.debs if deb.name == name)
    for path in (tiny.cache / "packages").glob(f"{digest}*.part"):
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_size
    return 0


def begun(tiny, build, name, size):
    """Waits for more than so many bytes of a package."""
    deadline = time.monotonic() + 60
    while part_size(tiny, name) <= size:
        need(time.monotonic() < deadline and build.poll() is None, "the download did not begin")
        time.sleep(0.01)


# ---- network ----

@fault("network: every transfer is cut, but gets further each time: resumed within one build")
def cut_often(tiny):
    tiny.server.set(cut_times=100, cut_after=70000, only="hello_")
    tiny.build()
    ranges = asked(tiny, "hello")
    need(len(ranges) == 5 and ranges[0] is None and None not in ranges[1:], f"ranges: {ranges}")
    sound(tiny)


@fault("network: cut for good in the middle: the next build resumes, and fetches nothing twice")
def cut(tiny):
    tiny.server.set(cut_times=10**6, cut_after=1000, only="hello_")
    refused(tiny, "package 'hello' 1.0", f"{tiny.server.url}/pool/", imported=False)
    part = next((tiny.cache / "packages").glob("*.part")).stat().st_size
    need(part > 0, "nothing was kept")
    others = {path for path, _ in tiny.server.requests if "/pool/" in path and "hello_" not in path}
    tiny.server.set(cut_times=0)
    tiny.server.forget()
    recovers(tiny)
    need(asked(tiny, "hello") == [f"bytes={part}-"], f"ranges: {asked(tiny, 'hello')}")
    twice = others & {path for path, _ in tiny.server.requests}
    need(not twice, f"fetched again: {twice}")
    return f"resumed at {part}"


@fault("network: the server goes away while a package comes: the next build resumes")
def goes_away(tiny):
    tiny.server.set(pause=0.02)
    build = tiny.start_build()
    begun(tiny, build, "hello", 50000)
    tiny.server.set(gone=True, pause=0)
    error = build.communicate(timeout=60)[1]
    # Others come at the same time: whichever of them meets it first.
    need(build.returncode == 1 and re.search(r"package '[a-z-]+' \d", error), f"message: {error}")
    need(not listing(tiny.output) and not leftovers(tiny), "left behind")
    kept = part_size(tiny, "hello")
    need(kept > 50000, f"kept: {kept}")
    tiny.server.set(gone=False)
    tiny.server.forget()
    recovers(tiny)
    ranges = asked(tiny, "hello")
    need(ranges == [f"bytes={kept}-"], f"ranges: {ranges}, kept: {kept}")
    return ranges[0]


@fault("network: a server that knows no ranges: the package comes from the start, once")
def no_ranges(tiny):
    tiny.server.set(ranges=False, cut_times=1, cut_after=100000, only="hello_")
    tiny.build()
    sound(tiny)


@fault("network: what was kept of a package is not of this package: fetched anew")
def wrong_part(tiny):
    tiny.server.set(cut_times=10**6, cut_after=1000, only="hello_")
    refused(tiny, "package 'hello'")
    part = next((tiny.cache / "packages").glob("*.part"))
    part.write_bytes(bytes(part.stat().st_size))
    tiny.server.set(cut_times=0)
    recovers(tiny)


@fault("network: the server has trouble (503), then none")
def trouble(tiny):
    tiny.server.set(fail_times=2)
    tiny.build()
    sound(tiny)


@fault("network: no InRelease (503, for good)")
def no_release(tiny):
    tiny.server.set(fail_times=10**6, only="InRelease")
    refused(tiny, "repository 'test', suite 'stable'", "HTTP status 503", imported=False)
    tiny.server.set(fail_times=0)
    recovers(tiny)


@fault("network: a package is gone from the server (404)")
def gone(tiny):
    path = tiny.repository.deb_path("hello")
    path.rename(path.with_suffix(".away"))
    refused(tiny, "package 'hello' 1.0", "HTTP status 404", imported=False)
    path.with_suffix(".away").rename(path)
    recovers(tiny)


@fault("network: nobody listens: a cached build needs --offline, and says so by failing")
def nobody_listens(tiny):
    tiny.build()
    tiny.server.close()
    refused(tiny, "repository 'test', suite 'stable'", "InRelease")
    need(tiny.build("--offline")["unchanged"], "--offline built again")


# ---- full disks ----

class SmallDisk:
    """A tmpfs in a mount namespace of its own; programs run there with `wrapper` in front."""

    def __init__(self, mount_point, size):
        self.path = pathlib.Path(mount_point)
        self.path.mkdir(exist_ok=True)
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._keeper = subprocess.Popen(
            ["unshare", *user, "--mount", "sh", "-c", f"mount -t tmpfs -o size={size} tmpfs "
             f"{self.path} && echo ready && exec sleep 600"], stdout=subprocess.PIPE, text=True)
        need(self._keeper.stdout.readline() == "ready\n", "no tmpfs in a namespace")
        self.wrapper = ["nsenter", "--target", str(self._keeper.pid), "--mount",
                        *(["--user", "--preserve-credentials"] if user else [])]

    def run(self, *argv):
        return subprocess.run([*self.wrapper, *argv], capture_output=True, text=True,
                              check=True).stdout

    def resize(self, size):
        self.run("mount", "-o", f"remount,size={size}", str(self.path))

    def clear(self):
        self.run("find", str(self.path), "-mindepth", "1", "-delete")

    def files(self):
        return self.run("find", str(self.path), "-type", "f", "-printf", "%P\n").split()

    def used(self):
        return int(self.run("df", "--output=used", "-B1", str(self.path)).split()[1])

    def close(self):
        self._keeper.kill()
        self._keeper.wait()
        self._keeper.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def build_on(tiny, disk, what, path):
    """A build of which one directory is on the small disk."""
    options = ["--json", "--repo", path if what == "repo" else tiny.cache / "repo"]
    return tiny.try_build(*options, wrapper=disk.wrapper,
                          cache=path if what == "cache" else tiny.cache,
                          output=path if what == "output" else tiny.output)


def failed_step(message):
    """Before the first step, cache and repository are opened."""
    found = re.search(r"image 'tiny': (\w+): ", message)
    return found.group(1) if found else "opening"


def sizes(blocks):
    """From two blocks to one less than enough; close together at both ends, where steps are short."""
    step = 6 if slipway.QUICK else 1
    chosen = {*range(2, 9, step), *(blocks - i for i in range(1, 7, step)), *range(8, blocks, blocks // SIZES)}
    return sorted(size for size in chosen if 1 < size < blocks)


def full_disk(tiny, what, at_least):
    """Sizes from nearly nothing to nearly enough; each fails somewhere else."""
    steps = set()
    with SmallDisk(tiny.path / "small", 256 * MIB) as disk:
        path = disk.path / what
        good = build_on(tiny, disk, what, path)
        need(good.returncode == 0, good.stderr)
        enough = disk.used()
        for size in sizes(enough // 4096):
            disk.clear()
            forget(tiny)
            disk.resize(size * 4096)
            done = build_on(tiny, disk, what, path)
            if done.returncode == 0:  # it fits when less is kept aside
                continue
            need(done.returncode == 1 and NO_SPACE in done.stderr,
                 f"{size} of {enough // 4096} blocks: {done.stderr}")
            need(done.stderr.count("\n") == 1, f"not one message: {done.stderr}")
            steps.add(failed_step(done.stderr))
            names = disk.files() if what == "output" else os.listdir(tiny.output)
            need(not any("tiny" in name for name in names), f"visible: {names}")
            disk.resize(256 * MIB)
            again = build_on(tiny, disk, what, path)
            need(again.returncode == 0, f"with more room: {again.stderr}")
            need(disk.run(*tiny.argv("verify", path if what == "output" else tiny.output, "--repo",
                                     path if what == "repo" else tiny.cache / "repo",
                                     cache=path if what == "cache" else tiny.cache)), "verify")
    need(len(steps) >= at_least, f"only these steps ran out of space: {sorted(steps)}")
    return ", ".join(sorted(steps))


for _what, _at_least in (("cache", 2), ("repo", 2), ("output", 2)):
    fault(f"full disk: the {_what}, at any of its sizes")(
        lambda tiny, what=_what, at_least=_at_least: full_disk(tiny, what, at_least))


# ---- kills ----

def reference(tiny):
    """Digests of an undisturbed build, and how long it took."""
    start = time.monotonic()
    tiny.build()
    seconds = time.monotonic() - start
    wanted = digests(tiny.report())
    forget(tiny)
    return wanted, seconds


def complete_or_absent(tiny):
    """Right after a kill: what has its final name is whole, and the repository is sound."""
    names = [n for n in listing(tiny.output) if not n.startswith(".")]
    if any(n.endswith(".report.json") for n in names):
        done = tiny.verify()
        need(done.returncode == 0, f"after the kill: {done.stderr}")
    fsck(tiny)
    return names


def good_again(tiny, wanted):
    tiny.build()
    need(digests(tiny.report()) == wanted, "the next build gives other bytes")
    need(not leftovers(tiny), f"left behind: {leftovers(tiny)}")
    sound(tiny)


@fault(f"SIGKILL: at {KILLS} times of a build")
def kill_any_time(tiny):
    wanted, seconds = reference(tiny)
    killed = 0
    for i in range(KILLS):
        forget(tiny)
        build = tiny.start_build()
        time.sleep(seconds * i / KILLS)
        build.kill()
        build.communicate()
        killed += build.returncode == -signal.SIGKILL
        complete_or_absent(tiny)
        good_again(tiny, wanted)
    need(killed >= KILLS // 2, f"only {killed} builds were still running")
    return f"{killed} killed"


# What makes things visible or durable. A kill before each of these is a kill between any two.
CALLS = ("renameat", "renameat2", "rename", "linkat", "fsync", "fdatasync", "syncfs", "unlinkat",
         "ftruncate")


@fault("SIGKILL: before every rename, link, unlink, truncation and sync")
def kill_at_calls(tiny):
    wanted, _ = reference(tiny)
    log = tiny.path / "trace"
    done = tiny.try_build("--threads", "1", wrapper=[
        "strace", "-f", "--seccomp-bpf", "-qq", "-o", str(log), "-e", "trace=" + ",".join(CALLS)])
    need(done.returncode == 0, done.stderr)
    counts = {call: len(re.findall(rf"^\d+ +{call}\(", log.read_text(), re.M)) for call in CALLS}
    killed = 0
    for call, count in counts.items():
        # Many links are objects of the repository, one as good as the other.
        for number in range(1, count + 1, max(count // AT_CALLS, 1)):
            forget(tiny)
            done = tiny.try_build("--threads", "1", wrapper=[
                "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"])
            killed += done.returncode != 0
            complete_or_absent(tiny)
            good_again(tiny, wanted)
    need(killed >= 2 * AT_CALLS, f"only {killed} builds were killed")
    return f"{killed} killed; " + ", ".join(f"{c} {n}" for c, n in counts.items() if n)


# What an ailing disk refuses: in the repository, the cache and the output.
DISK_CALLS = ("pwrite64", "pread64", "fsync", "fdatasync", "syncfs", "ftruncate", "renameat")


@fault("EIO: at reads, writes and syncs: told, nothing half-written, the next build good")
def errors_at_calls(tiny):
    wanted, _ = reference(tiny)
    log = tiny.path / "trace"
    forget(tiny)
    done = tiny.try_build("--threads", "1", wrapper=[
        "strace", "-f", "--seccomp-bpf", "-qq", "-o", str(log), "-e", "trace=" + ",".join(DISK_CALLS)])
    need(done.returncode == 0, done.stderr)
    failed = 0
    for call in DISK_CALLS:
        count = len(re.findall(rf"^\d+ +{call}\(", log.read_text(), re.M))
        for number in range(1, count + 1, max(count // (3 if slipway.QUICK else AT_CALLS), 1)):
            forget(tiny)
            done = tiny.try_build("--threads", "1", wrapper=[
                "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                f"inject={call}:error=EIO:when={number}"])
            complete_or_absent(tiny)
            if done.returncode != 0:
                failed += 1
                need(len(done.stderr.splitlines()) == 1, f"not one message: {done.stderr!r}")
                good_again(tiny, wanted)
    need(failed >= 8, f"only {failed} builds failed")
    return f"{failed} failed"


@fault("SIGKILL: while a changed image is published over an old one")
def kill_at_publish(tiny):
    tiny.build()
    for number in range(1, 8):
        tiny.files["usr/share/tiny/motd"] = f"Welcome {number}\n"
        done = tiny.try_build("--threads", "1", wrapper=[
            "strace", "-f", "-qq", "-o", "/dev/null", "-P", str(tiny.output), "-e",
            "trace=renameat", "-e", f"inject=renameat:signal=SIGKILL:when={number}"])
        complete_or_absent(tiny)
        if done.returncode == 0:
            break
        recovers(tiny)
    need(number >= 4, f"only {number - 1} renames in the output")
    return f"{number - 1} renames"


@fault("SIGKILL: while fetching: the next build resumes")
def kill_fetching(tiny):
    wanted, _ = reference(tiny)
    tiny.server.set(pause=0.005)
    for size in (0, 20000, 50000):
        forget(tiny)
        build = tiny.start_build()
        begun(tiny, build, "hello", size)
        build.kill()
        build.communicate()
        need(not complete_or_absent(tiny), "an artifact of a build that was fetching")
    kept = {p.name for p in (tiny.cache / "packages").glob("*.part")}
    need(kept, "nothing was kept")
    tiny.server.set(pause=0)
    tiny.server.forget()
    good_again(tiny, wanted)
    need(any(header for path, header in tiny.server.requests if "/pool/" in path), "not resumed")


def stopped(tiny, number, delay, wanted):
    forget(tiny)
    build = tiny.start_build()
    time.sleep(delay)
    build.send_signal(number)
    start = time.monotonic()
    error = build.communicate(timeout=20)[1]
    if build.returncode == 0:
        return False
    need(build.returncode == -number, f"exit {build.returncode}: {error}")
    need(time.monotonic() - start < 2, f"took {time.monotonic() - start:.1f} s")
    need(not error or error.count("\n") == 1, f"message: {error}")
    need(not leftovers(tiny), f"left behind: {leftovers(tiny)}")
    complete_or_absent(tiny)
    good_again(tiny, wanted)
    return True


for _signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    @fault(f"{_signal.name}: ends promptly, leaves no temporary file")
    def stop(tiny, number=_signal):
        wanted, seconds = reference(tiny)
        ended = sum(stopped(tiny, number, 0.01 + seconds * i / STOPS, wanted) for i in range(STOPS))
        need(ended >= STOPS // 3, f"only {ended} builds were still running")
        tiny.server.set(pause=0.02)
        need(stopped(tiny, number, 0.4, wanted), "finished before the signal")
        return f"{ended + 1} stopped"


# ---- two builds at once ----

def together(tiny, outputs):
    tiny.write()
    builds = [tiny.start_build(output=output, write=False) for output in outputs]
    return [(b.communicate(timeout=120)[1], b.returncode) for b in builds]


@fault("two builds at once: one cache and repository, two outputs")
def two_outputs(tiny):
    wanted, _ = reference(tiny)
    outputs = [tiny.path / "one", tiny.path / "two", tiny.path / "three"]
    for pause in (0, 0, 0, 0, 0.002):
        forget(tiny)
        for output in outputs:
            forget_output(output)
        tiny.server.set(pause=pause)
        for error, code in together(tiny, outputs):
            need(code == 0, f"one of them: {error}")
        for output in outputs:
            need(digests(tiny.report(output)) == wanted, "other bytes")
            need(not leftovers(tiny, output), f"left behind: {leftovers(tiny, output)}")
            sound(tiny, output)


def forget_output(output):
    for path in output.glob("*") if output.exists() else ():
        path.unlink()
    (output / ".slipway-receipt").unlink(missing_ok=True)


@fault("two builds at once: one output: the second says that it is in use")
def one_output(tiny):
    wanted, _ = reference(tiny)
    for pause in (0, 0.005):
        forget(tiny)
        tiny.server.set(pause=pause)
        results = together(tiny, [tiny.output] * 2)
        codes = sorted(code for _, code in results)
        need(codes in ([0, 0], [0, 1]), f"{results}")
        for error, code in results:
            need(code == 0 or ONE_BUILD_AT_A_TIME in error, f"message: {error}")
        need(digests(tiny.report()) == wanted, "other bytes")
        sound(tiny)
    need(codes == [0, 1], "the builds did not meet")


# ---- slots ----

def untouched(tiny, *texts):
    """Refused, and nothing was ever put into the output directory, not even for a moment."""
    tiny.output.mkdir(exist_ok=True)
    before = tiny.output.stat().st_mtime_ns
    message = refused(tiny, *texts)
    need(tiny.output.stat().st_mtime_ns == before, "something was written before")
    return message


@fault("the /usr slot is too small: by how many bytes, before anything is written")
def small_slot(tiny):
    tiny.add(make_deb("hello", "2.0", {"usr/bin/hello": noise(3 * MIB)}))
    size = tiny.build() and tiny.report()["usrSize"]
    forget(tiny)
    tiny.manifest["partitions"]["usr"] = "3M"
    untouched(tiny, "Partition usr (3145728 bytes)", f"({size} bytes)",
              f"{size - 3 * MIB} bytes are missing")
    tiny.manifest["partitions"]["usr"] = "4M"
    recovers(tiny)
    return f"{size - 3 * MIB} bytes"


@fault("the disk is too small for its partitions: by how many bytes, before anything is written")
def small_disk(tiny):
    end = tiny.build() and max(p["start"] + p["size"] for p in tiny.report()["layout"]["partitions"])
    forget(tiny)
    tiny.manifest["partitions"]["disk"] = "64M"
    untouched(tiny, "Disk (67108864 bytes)", f"{end + MIB - 64 * MIB} bytes are missing")
    tiny.manifest["partitions"]["disk"] = "128M"
    recovers(tiny)


@fault("the ESP is too small for three kernels: by how many bytes")
def small_esp(tiny):
    tiny.add(make_deb("hello", "2.0", {"usr/lib/blob": noise(64 * MIB // 2)}))
    tiny.manifest["partitions"]["usr"] = "64M"
    tiny.manifest["partitions"]["disk"] = "1G"
    tiny.layer["initrd"]["include"].append("/usr/lib/blob")
    refused(tiny, "Partition esp (67108864 bytes)", "three kernel images", "bytes are missing")
    tiny.manifest["partitions"]["esp"] = "256M"
    recovers(tiny)


@fault("a damaged receipt: built again")
def damaged_receipt(tiny):
    tiny.build()
    (tiny.output / ".slipway-receipt").write_text("{")
    need(not tiny.build()["unchanged"], "believed a damaged receipt")
    sound(tiny)


@fault("damaged contents in the cache, anywhere: compressed again, same bytes")
def damaged_contents(tiny):
    tiny.add(make_deb("hello", "2.0", {"usr/bin/hello": b"a line that compresses\n" * 20000 + noise(MIB)}))
    wanted = tiny.build() and tiny.report()["rootHash"]
    pack, = (tiny.cache / "derived").glob("extents.*")
    whole = pack.read_bytes()
    damages = [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:]
               for at in (10, len(whole) // 2, len(whole) - 100, len(whole) - 5)] + [whole[:-30], whole[:4096], b""]
    for damaged in damages:
        pack.write_bytes(damaged)
        shutil.rmtree(tiny.output)
        need(tiny.build() and tiny.report()["rootHash"] == wanted, "other bytes")
        left = list((tiny.cache / "derived").glob("extents.*"))
        need(damaged not in [p.read_bytes() for p in left], "the damage stayed")
        for path in left:
            path.unlink()


@fault("an artifact changed behind our back: built again")
def changed_artifact(tiny):
    tiny.build()
    with open(tiny.artifact(".raw"), "r+b") as disk:
        disk.seek(70 * MIB)
        disk.write(b"changed")
    need(not tiny.build()["unchanged"], "took a changed artifact for its own")
    sound(tiny)
