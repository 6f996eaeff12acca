#!/usr/bin/env python3
"""an update site that lies, mixes, replays and never ends: nothing outside the idle slot is written, nothing of it boots"""

import base64
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "cli")]
import site_reader as reader
import slipway
import test_stage as tricks
from tiny import EPOCH, Key, Tiny, noise
from updatable import Machine, UpdateSite, contents
from update_site import Trickster

MEASURE = slipway.PROGRAMS / "tests/tools/measure"
MEMORY_MIB = 64
SECONDS, SLOW_SECONDS = 60, 400
FLIPS = 1 if slipway.QUICK else 25  # of each file
EVERY = 8 if slipway.QUICK else 1  # of the tricks, another eighth for each file
HUGE = 1 << 62


def flip_at(position):
    """One bit of the file, wherever a range has it."""
    def trick(handler):
        data, at = bytearray(handler.data), int(position * len(handler.data))
        data[min(at, len(data) - 1)] ^= 1 << at % 8
        handler.data = bytes(data)
        return True
    return trick


def instead(path):
    """Another file's content."""
    def trick(handler):
        handler.data = path.read_bytes()
        handler.last = min(handler.last, len(handler.data) - 1)
        return handler.status(416) if handler.first > handler.last else True
    return trick


def whole(data):
    def trick(handler):
        handler.begin(200, len(data))
        handler.wfile.write(data)
    return trick


# What is done to each file that an update asks for, one at a time.
EACH_FILE = {
    "empty": whole(b""), "a page instead": whole(b"<html>Sign in to the network</html>"), "truncated": tricks.truncated,
    "404": tricks.status(404), "410": tricks.status(410), "500": tricks.status(500), "416": tricks.status(416),
    "endless": tricks.endless_whole, "endless error": tricks.endless_error, "a huge length": tricks.huge,
    "to a file": tricks.to("file:///etc/passwd"), "to itself": lambda handler: handler.status(302, Location=handler.path),
    "to gopher": tricks.to("gopher://127.0.0.1/x"), "reset": lambda handler: handler.reset(),
    "multipart": tricks.multipart, "a wrong range": tricks.bad_range("bytes 0-0/1"), "half a range": tricks.short_range,
}
SLOW = {"slow": tricks.slow, "slow headers": tricks.slow_headers}


class Bench:
    def __init__(self, tiny):
        self.tiny, self.site = tiny, UpdateSite(tiny)
        self.cases = self.completed = 0
        self.rss = self.seconds = 0
        self.lock = threading.Lock()
        for number in range(3):
            self.site.release(f"1.{number}", EPOCH + number, **{"usr/share/tiny/more": noise(200000, number + 1).hex()})
        self.site.publish("1.0")
        self.site.publish("1.1")
        self.old = tiny.path / "old"
        shutil.copytree(self.site.path, self.old)
        self.site.publish("1.2")
        self.numbers = iter(range(1 << 30))

    def machine(self):
        with self.lock:
            return Machine(self.tiny, "1.0", self.site, name=f"machine{next(self.numbers)}")

    def apply(self, machine, url, seconds):
        """Exit status and message; memory and time are within their bounds."""
        machine.configure(site=url)
        began, errors = time.monotonic(), machine.path / "errors"
        argv = [MEASURE, "/bin/sh", "-c", 'exec 2>"$0"; exec "$@"', errors, *machine.argv("apply")]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        timer = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        out = process.communicate()[0]
        timer.cancel()
        rss = int(out.split()[1]) / 1024 if out else 0
        with self.lock:
            self.cases += 1
            self.rss = max(self.rss, rss)
            self.seconds = max(self.seconds, time.monotonic() - began)
        return process.returncode, errors.read_text(errors="replace"), rss

    def outside(self, machine):
        """The disk but for what an update may write: the table, and slot B's image and tree."""
        usr, end = machine.slots()["B"]["partition"], machine.disk.stat().st_size
        return contents(machine.disk, [(0, 1 << 20), machine.partition(usr), machine.partition(usr + 1), (end - (1 << 20), 1 << 20)])

    def check(self, what, machine, before, outcome, must_fail=True):
        """After an attempt: refused and as before, or (where the lie was in what nobody looks at) complete."""
        status, message, rss = outcome
        failed = None
        if status == 0 and not must_fail:
            machine.verify_slot("B", machine.hash_of(machine.slots()["B"]["version"]))
            self.completed += 1
        elif status != 1 or len(message.splitlines()) != 1:
            failed = f"exit {status}: {message!r}"
        elif sorted(n for n in machine.names() if n.endswith(".efi")) != ["slipway_1.0.efi"]:
            failed = f"boot entries {machine.names()}"
        if rss > MEMORY_MIB:
            failed = f"{rss:.0f} MiB of memory"
        if self.outside(machine) != before or (machine.entries / "slipway_1.0.efi").read_bytes() != self.uki:
            failed = "something outside the idle slot was written"
        machine.check_table()
        if failed:
            raise SystemExit(f"hostile: {what}: {failed}")

    def attempt(self, what, trick, files, must_fail=True, seconds=SECONDS, root=None, machine=None):
        machine = machine or self.machine()
        before = self.outside(machine)
        with Trickster(root or self.site.path, trick, files) as server:
            self.check(what, machine, before, self.apply(machine, server.url, seconds), must_fail)
        machine.remove()

    def asked_for(self):
        """Names of the files that an update fetches, by what it asks of an honest site."""
        names, machine = [], self.machine()

        def note(handler):
            if handler.name not in names:
                names.append(handler.name)
            return True

        self.uki = (machine.entries / "slipway_1.0.efi").read_bytes()
        with Trickster(self.site.path, note) as server:
            status, message, _ = self.apply(machine, server.url, SECONDS)
        if status != 0:
            raise SystemExit(f"hostile: an honest site: {message}")
        machine.remove()
        return names


def each_file(bench, names):
    chance = random.Random(1)
    for number, name in enumerate(names):
        # What libostree may do without (a summary of its own, deltas) is not what decides.
        for what, trick in list(EACH_FILE.items())[number % EVERY::EVERY]:
            bench.attempt(f"{name}: {what}", trick, {name}, must_fail=False)
        for _ in range(FLIPS):
            position = chance.random()
            bench.attempt(f"{name}: a bit at {position:.4f}", flip_at(position), {name}, must_fail=False)


def slow_ones(bench, names):
    """All at once: they do nothing but wait."""
    failed = []

    def run(what, trick, name):
        try:
            # What is short enough comes in time, however slowly.
            bench.attempt(f"{name}: {what}", trick, {name}, must_fail=False, seconds=SLOW_SECONDS)
        except SystemExit as error:
            failed.append(str(error))

    threads = [threading.Thread(target=run, args=(what, trick, name)) for what, trick in SLOW.items() for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit("\n".join(failed))


def images(site, version):
    return next(d for d in (site / "images").iterdir() if json.loads((d / "release.json").read_text())["version"] == version)


def mixed(bench):
    """Each file of one release in the place of another's, and summaries with each other's signatures."""
    for name in ("usr.img", "usr.tree", "uki.efi", "uki.tree"):
        for version in ("1.0",) if slipway.QUICK else ("1.0", "1.1"):
            bench.attempt(f"{name} of {version}", instead(images(bench.site.path, version) / name), {name}, must_fail=False)
    # The old summary is good for one who has seen no other: its key signed it, and its date has not passed.
    for name in ("summary", "summary.sig"):
        bench.attempt(f"the old {name}", instead(bench.old / "repo" / name), {name}, must_fail=name == "summary.sig")


def replayed(bench):
    """The whole old site, to a machine that has seen the new one."""
    machine = bench.machine()
    with Trickster(bench.site.path, lambda handler: True) as server:
        machine.configure(site=server.url)
        machine.update("check")
        before, port = bench.outside(machine), server.server_address[1]
    memory = json.loads((machine.root / "var/lib/slipway/site.json").read_text())
    with Trickster(bench.old, lambda handler: True) as server:
        memory["site"] = server.url  # the same site, as far as this machine knows
        (machine.root / "var/lib/slipway/site.json").write_text(json.dumps(memory))
        bench.check(f"replay after port {port}", machine, before, bench.apply(machine, server.url, SECONDS))
    machine.remove()


def sign(key, data):
    """As the site's owner would: what follows is wrong in what is signed."""
    seed = base64.b64decode(key.read_text())[:32]
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        (place / "key").write_bytes(reader.SECRET_DER + seed)
        (place / "data").write_bytes(data)
        return subprocess.run(["openssl", "pkeyutl", "-sign", "-keyform", "DER", "-inkey", place / "key", "-rawin", "-in",
                               place / "data"], check=True, capture_output=True).stdout


def signed_lies(bench):
    """Sizes, hashes and versions in a release JSON that is rightly signed, by a key's owner who errs or worse."""
    ref = "tiny/amd64/stable"
    good = reader.Site(bench.site.path, bench.site.public).check(ref)
    lies = [{"usrSize": HUGE}, {"usrSize": 4096}, {"treeSize": HUGE}, {"ukiSize": HUGE}, {"ukiSize": 0}, {"usrSize": -4096},
            {"usrSize": 1e300}, {"rootHash": "0" * 64}, {"ukiRootHash": "0" * 64}, {"version": "../../../../etc/passwd"},
            {"version": "9" * 5000}, {"version": "1.0"}, {"architecture": "arm64"}, {"image": "other"}, {"format": 2},
            {"timestamp": HUGE}, {"layout": {"usr": HUGE, "usrVerity": HUGE, "esp": HUGE}}, {"health": ["x" * 100] * 100000},
            {"kernel": {"a": []}}, {"rootHash": good["ukiRootHash"]}]
    for lie in lies:
        place = bench.tiny.path / "lies"
        shutil.copytree(bench.site.path, place)
        site = reader.Site(place, bench.site.public)
        old = site.refs()[ref]
        release = good | lie
        site.ostree("commit", f"--branch={ref}", f"--tree=ref={old}", "--timestamp=@1900000000",
                    "--add-metadata-string=slipway.release=" + json.dumps(release)[:100000],
                    f"--add-metadata-string=slipway.root-hash={release['rootHash']}")
        commit = (place / "repo/refs/heads" / ref).read_text().strip()
        signature = sign(bench.site.key, site.object(commit, "commit").read_bytes())
        meta = site.object(old, "commitmeta").read_bytes()
        site.object(commit, "commitmeta").write_bytes(meta.replace(reader.signatures(meta)[0], signature))
        reader.tool(slipway.SLIPWAY, "publish", "--site", place, "--key", bench.site.key, "--renew")
        # Some of it is only said, and harmless: a text for people, or that more room is wanted than there is.
        bench.attempt(f"signed: {json.dumps(lie)[:80]}", lambda handler: True, (), root=place)
        shutil.rmtree(place)


def main():
    with Key() as key, Tiny(key) as tiny:
        bench = Bench(tiny)
        names = bench.asked_for()
        kinds = sorted({re.sub("^[0-9a-f]{62}", "", name) for name in names})
        print(f"an update asks for: {', '.join(kinds)}", flush=True)
        each_file(bench, names)
        mixed(bench)
        replayed(bench)
        signed_lies(bench)
        if not slipway.QUICK:
            slow_ones(bench, names)
        print(f"hostile: {bench.cases} attempts, {bench.completed} of which could not be harmed; at most {bench.rss:.0f} MiB "
              f"and {bench.seconds:.0f} s")


if __name__ == "__main__":
    main()
