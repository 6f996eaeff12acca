#!/usr/bin/env python3
"""Staging: the agent's code on plain files, from nginx, and from a server that plays tricks."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
import update_site
from servers import Authority
from update_site import BLOCK, Machine, Nginx, Site, Trickster, blocks, make_tree

MIB = 1 << 20
KINDS = ("tree", "usr", "uki")
EREMOTEIO, ENOENT, EBADMSG, EINTR, ENOSPC, EACCES, ETIMEDOUT = 121, 2, 74, 4, 28, 13, 110
# The old image, and a new one: changed, moved and new blocks, zeros.
OLD = [n % 997 if n % 11 else 0 for n in range(5000)]
NEW = OLD[:1000] + [10000, 10001, 0, 10002] + OLD[1200:3000] + list(range(20000, 22500)) + OLD[100:500] + [0] * 40 + [31337]
OLD_UKI = blocks(range(50000, 50200)) + b"the end of the old one"
NEW_UKI = blocks([*range(50000, 50100), *range(60000, 60050), 20007, *range(50150, 50180)]) + b"the new end"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.path = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="slipway-stage-")))
        cls.site = Site(cls.path / "site")
        cls.machines = 0

    def machine(self, release, **options):
        type(self).machines += 1
        return Machine(self.path / f"machine{self.machines}", release, **options)

    @classmethod
    def release(cls, new=NEW, uki=NEW_UKI):
        return cls.site.add(blocks(new), uki)

    def old_release(self, machine):
        """Gives the machine what it runs now."""
        for kind, data in (("usr", blocks(OLD)), ("uki", OLD_UKI)):
            image, tree = self.path / f"old.{kind}", self.path / f"old.{kind}.tree"
            image.write_bytes(data + bytes(-len(data) % BLOCK))
            make_tree(image, tree)
            image.write_bytes(data)
            machine.add_source(kind, image, tree)

    def complete(self, machine, url, **options):
        done = machine.run(url, **options)
        self.assertEqual((done.returncode, done.error), (0, ""))
        self.assertEqual(machine.wrong(), [])
        return done.counts

    def refused(self, machine, url, *, code, says, seconds=10, options=()):
        done = machine.run(url, *options)
        self.assertEqual(done.returncode, 1, done.error)
        self.assertIn(f"({code})\n", done.error)
        self.assertRegex(done.error, says)
        self.assertEqual(done.error.count("\n"), 1)
        self.assertLess(done.seconds, seconds)
        self.assertLess(done.rss, 64)
        self.assertEqual(machine.touched(), [])
        self.assertEqual(machine.foreign(), [])
        return done


class Honest(Case):
    def nginx(self, **options):
        work = self.path / f"nginx{len(list(self.path.glob('nginx*')))}"
        server = Nginx(self.site.path, work, **options)
        self.addCleanup(server.__exit__)
        return server.__enter__()

    def expected(self, old, new, uki):
        """How many blocks of each kind there must be, in the plainest way."""
        have = set(old)
        zero = sum(n == 0 for n in new)
        reused = sum(n != 0 and n in have for n in new)
        return {"blocks": len(new), "zero": zero, "reused": reused, "missing": len(new) - zero - reused}

    def test_everything(self):
        """From nothing; then what is there is not asked for again, in whole or in part."""
        machine = self.machine(self.release(), offset=12 * BLOCK)
        server = self.nginx()
        plan = machine.run(server.url, "--plan").counts
        self.assertEqual(machine.touched(), [])
        self.assertFalse(machine.uki.exists())
        self.assertFalse(any((machine.path / "usr").read_bytes()[12 * BLOCK:]))
        counts = self.complete(machine, server.url)
        # What the target has: zeros.
        self.assertEqual(counts["usr"]["present"], NEW.count(0))
        self.assertEqual(counts["usr"]["missing"], len(NEW) - NEW.count(0))
        for kind in KINDS:
            self.assertEqual(plan[kind], counts[kind], kind)
        self.assertEqual(counts["requests"], sum(counts[kind]["ranges"] for kind in KINDS))
        self.assertEqual(counts["fetched"], sum(counts[kind]["bytes"] for kind in KINDS))
        before = len(server.requests())
        self.assertEqual({status for _, status, _, _, _ in server.requests()}, {"206"})
        again = self.complete(machine, server.url)
        self.assertEqual((again["requests"], again["fetched"]), (0, 0))
        self.assertEqual(len(server.requests()), before)
        with open(machine.path / "usr", "r+b") as file:
            file.seek(12 * BLOCK + 2000 * BLOCK + 17)
            file.write(b"damage")
        third = self.complete(machine, server.url)
        self.assertEqual((third["requests"], third["fetched"], third["usr"]["missing"]), (1, BLOCK, 1))

    def test_delta(self):
        """With the old release beside it, only what is new is fetched, in few requests."""
        machine = self.machine(self.release())
        self.old_release(machine)
        server = self.nginx()
        plan = machine.run(server.url, "--plan").counts
        counts = self.complete(machine, server.url)
        wanted = self.expected(OLD, NEW, NEW_UKI)
        self.assertEqual(counts["usr"]["reused"], wanted["reused"])
        self.assertEqual(counts["usr"]["missing"], wanted["missing"])
        self.assertEqual(counts["usr"]["blocks"], len(NEW))
        # Of the UKI: fifty blocks and the end are new; one is in the new image.
        self.assertEqual(counts["uki"]["missing"], 51)
        self.assertEqual(counts["uki"]["reused"], 131)
        for kind in KINDS:
            self.assertEqual(plan[kind], counts[kind], kind)
        # [10000, 10001, 0, 10002] is one range; 2500 blocks are three of at most 4 MiB; the last block.
        self.assertEqual(counts["usr"]["ranges"], 5)
        self.assertEqual(counts["usr"]["bytes"], (4 + 2500 + 1) * BLOCK)
        self.assertEqual(counts["uki"]["ranges"], 2)

    def test_window_border(self):
        """A range goes on over the border of a window."""
        new = list(range(1, 4096 + 300))
        old = new[:4000]
        (self.path / "old").write_bytes(blocks(old))
        make_tree(self.path / "old", self.path / "old.tree")
        machine = self.machine(self.release(new))
        machine.add_source("usr", self.path / "old", self.path / "old.tree")
        counts = self.complete(machine, self.nginx().url)
        self.assertEqual((counts["usr"]["ranges"], counts["usr"]["missing"]), (1, 395))

    def test_gap(self):
        new = [70000 + n if n % 5 == 0 else n + 1 for n in range(1000)]
        (self.path / "old").write_bytes(blocks(range(1, 1001)))
        make_tree(self.path / "old", self.path / "old.tree")
        release, server = self.release(new), self.nginx()
        for gap, ranges, size in ((0, 200, 200), (4 * BLOCK - 1, 200, 200), (4 * BLOCK, 1, 996)):
            machine = self.machine(release)
            machine.add_source("usr", self.path / "old", self.path / "old.tree")
            done = machine.run(server.url, f"--gap={gap}")
            self.assertEqual((done.returncode, done.error, machine.wrong()), (0, "", []))
            self.assertEqual(done.counts["usr"]["ranges"], ranges)
            self.assertEqual(done.counts["usr"]["bytes"], size * BLOCK)
            self.assertEqual(done.counts["usr"]["missing"], 200)

    def test_lying_source(self):
        """A source that is not what its tree says is found out, and fetched instead."""
        machine = self.machine(self.release())
        self.old_release(machine)
        with open(self.path / "old.usr", "r+b") as file:
            file.write(b"\xff" * 100 * BLOCK)
        os.truncate(self.path / "old.uki", 150 * BLOCK)
        counts = self.complete(machine, self.nginx().url)
        self.assertGreater(counts["usr"]["missing"], self.expected(OLD, NEW, NEW_UKI)["missing"])

    def test_http2(self):
        authority = Authority(self.path)
        machine = self.machine(self.release())
        server = self.nginx(tls=authority.issue("127.0.0.1"))
        done = self.refused(machine, server.url, code=EREMOTEIO, says="SSL|certificate")
        os.environ["SSL_CERT_FILE"] = str(authority.certificate)
        self.addCleanup(os.environ.pop, "SSL_CERT_FILE")
        counts = self.complete(machine, server.url)
        log = [line for line in server.requests() if line[1] == "206"]
        self.assertEqual({line[0] for line in log}, {"HTTP/2.0"})
        self.assertEqual(len({line[4] for line in log}), 1, "one connection")
        self.assertEqual(counts["requests"], len(log))

    def test_no_ranges(self):
        """One full GET for each file serves all that is wanted of it."""
        machine = self.machine(self.release())
        self.old_release(machine)
        server = self.nginx(directives="max_ranges 0;")
        counts = self.complete(machine, server.url)
        self.assertEqual([status for _, status, _, _, _ in server.requests()], ["200"] * 4)
        self.assertEqual(counts["requests"], 4)
        self.assertEqual(self.complete(machine, server.url)["requests"], 0)

    def test_sizes(self):
        """One block; a full block of digests and one more; a UKI of one byte, of whole blocks."""
        server = self.nginx()
        for number, (count, uki) in enumerate(((1, b"x"), (2, bytes(BLOCK)), (128, NEW_UKI[:BLOCK]),
                                               (129, NEW_UKI[:3 * BLOCK]), (300, NEW_UKI[:129 * BLOCK + 1]))):
            release = self.site.add(blocks(range(80000, 80000 + count)), uki, version=str(number))
            machine = self.machine(release)
            self.complete(machine, server.url)
            self.assertEqual(self.complete(machine, server.url)["requests"], 0)

    def test_old_temporary_file(self):
        """One of another release, longer than ours: what it has is not used, and its end does not stay."""
        machine = self.machine(self.release())
        machine.uki.write_bytes(NEW_UKI + b"more")
        self.complete(machine, self.nginx().url)
        machine.uki.write_bytes(NEW_UKI[:100 * BLOCK + 5])
        counts = self.complete(machine, self.nginx().url)
        self.assertEqual(counts["uki"]["present"], 100)

    def test_no_room(self):
        release, server = self.release(), self.nginx()
        for name in ("usr", "usr.tree"):
            machine = self.machine(release)
            os.truncate(machine.path / name, (release / "usr.tree").stat().st_size - BLOCK)
            self.refused(machine, server.url, code=ENOSPC, says=r"bytes do not fit in \d+")

    def test_full_esp(self):
        """The slot is kept, and once there is room, only the UKI is fetched."""
        machine, server = self.machine(self.release()), self.nginx()
        self.refused(machine, server.url, code=ENOSPC, says="slipway_new.efi.new: no space left", options=["--full"])
        counts = self.complete(machine, server.url)
        self.assertEqual((counts["usr"]["missing"], counts["tree"]["present"] > 0), (0, True))

    def test_kill(self):
        """kill -9 at any moment: it goes on where it was."""
        machine = self.machine(self.release())
        self.old_release(machine)
        server = self.nginx(directives="limit_rate 400k;")
        draw = random.Random(5)
        killed = 0
        for _ in range(12):
            process = subprocess.Popen(list(map(str, machine.argv(server.url))), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            try:
                process.wait(draw.uniform(0.02, 0.6))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
            self.assertEqual(machine.touched(), [])
            self.assertEqual(machine.foreign(), [])
        self.assertGreater(killed, 3)
        counts = self.complete(machine, self.nginx().url)
        self.assertGreater(counts["usr"]["present"], 2000)

    def test_signal(self):
        """SIGTERM ends it at once, and what came is kept."""
        machine = self.machine(self.release())
        server = self.nginx(directives="limit_rate 2m;")
        process = subprocess.Popen(list(map(str, machine.argv(server.url))), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        time.sleep(1.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=10)
        self.assertLess(time.monotonic() - began, 0.5)
        self.assertEqual(process.returncode, -signal.SIGTERM)
        self.assertIn(f"({EINTR})", error)
        counts = self.complete(machine, self.nginx().url)
        self.assertGreater(counts["usr"]["present"], NEW.count(0))

    def test_memory(self):
        """8 GiB, mostly a hole: 64 MiB of memory do, with the old image's index; a short run looks at a quarter of it, which wants less."""
        size, enough = (2 << 30, 40) if slipway.QUICK else (8 << 30, 64)
        image = self.path / "large"
        with open(image, "wb") as file:
            file.write(blocks(range(1, 3000)))
            file.seek(size // 8 * 5)
            file.write(blocks(range(3000, 6000)))
            file.truncate(size)
        release = self.site.add(image, NEW_UKI)
        machine = self.machine(release)
        done = machine.run(self.nginx().url, timeout=300)
        self.assertEqual((done.returncode, done.error), (0, ""))
        self.assertEqual(done.counts["usr"]["missing"], 5999)
        self.assertLess(done.rss, enough)
        with open(release / "usr.img", "rb") as wanted, open(machine.path / "usr", "rb") as found:
            for where in (0, size // 8 * 5):
                wanted.seek(where), found.seek(where)
                self.assertEqual(wanted.read(16 * MIB), found.read(16 * MIB))
        self.assertLess((machine.path / "usr").stat().st_blocks * 512, 32 * MIB, "zeros that were there are not written")
        # Again, on an empty slot, with a source as large that has everything.
        os.truncate(machine.path / "usr", 0)
        os.truncate(machine.path / "usr", size)
        machine.add_source("usr", release / "usr.img", release / "usr.tree")
        done = machine.run(self.nginx().url, timeout=300)
        self.assertEqual((done.returncode, done.counts["usr"]["reused"], done.counts["requests"]), (0, 5999, 0))
        self.assertLess(done.rss, enough)


def honest(handler):
    return True


def flip(handler):
    """One in each block: what is fetched along nobody looks at."""
    data = bytearray(handler.data[handler.first:handler.last + 1])
    superblock = BLOCK if handler.name.endswith(".tree") else 0  # says something else when it is wrong
    for offset in range(min(superblock + 77, len(data) - 1), len(data), BLOCK):
        data[offset] ^= 1
    handler.partial(bytes(data))


def endless(handler):
    first, last, total = handler.first, handler.last, len(handler.data)
    handler.begin(206, None, Content_Range=f"bytes {first}-{last}/{total}", Connection="close")
    handler.close_connection = True
    handler.wfile.write(handler.data[first:last + 1])
    while not handler.server.stopped.is_set():
        handler.wfile.write(bytes(1 << 16))


def slow(handler):
    handler.begin(206, handler.last - handler.first + 1,
                  Content_Range=f"bytes {handler.first}-{handler.last}/{len(handler.data)}")
    for byte in handler.data[handler.first:handler.last + 1]:
        handler.wfile.write(bytes([byte]))
        if handler.server.stopped.wait(0.1):
            return


def slow_headers(handler):
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nX: ")
    for _ in range(600):
        handler.wfile.write(b"x")
        if handler.server.stopped.wait(0.1):
            return


def bad_range(text):
    return lambda handler: handler.partial(Content_Range=text)


def status(number, **headers):
    return lambda handler: handler.status(number, **headers)


def to(where):
    return lambda handler: handler.status(302, Location=where)


def huge(handler):
    handler.begin(200, 1 << 60)
    while not handler.server.stopped.is_set():
        handler.wfile.write(bytes(1 << 16))


def endless_whole(handler):
    handler.begin(200, None, Connection="close")
    handler.close_connection = True
    while not handler.server.stopped.is_set():
        handler.wfile.write(bytes(1 << 16))


def endless_error(handler):
    handler.begin(404, None, Connection="close")
    handler.close_connection = True
    while not handler.server.stopped.is_set():
        handler.wfile.write(bytes(1 << 16))


def truncated(handler):
    handler.begin(206, handler.last - handler.first + 1,
                  Content_Range=f"bytes {handler.first}-{handler.last}/{len(handler.data)}")
    handler.wfile.write(handler.data[handler.first:handler.first + 100])
    handler.close_connection = True


def multipart(handler):
    handler.partial(Content_Range=None, Content_Type="multipart/byteranges; boundary=x")


def short_range(handler):
    handler.last -= (handler.last - handler.first) // 2 + 1
    handler.partial()


class Hostile(Case):
    """Each ends with a clear error, in bounded time; afterwards an honest server completes it."""

    FILES = ("usr.tree", "usr.img", "uki.tree", "uki.efi")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.new_release = cls.release()
        cls.small_release = cls.release(NEW[900:1600], NEW_UKI[:-100])

    def check(self, trick, code, says, files=FILES, seconds=10):
        for file in files:
            with self.subTest(file=file):
                machine = self.machine(self.small_release)
                with Trickster(self.site.path, trick, {file}) as server:
                    done = self.refused(machine, server.url, code=code, says=says, seconds=seconds)
                    self.assertIn(file, done.error)
                    self.assertLess(server.count, 60)
                    self.assertLess(done.counts["fetched"], 64 * MIB)
                with Trickster(self.site.path, honest) as server:
                    self.complete(machine, server.url)

    def test_bits(self):
        self.check(flip, EBADMSG, r"wrong bytes in the block at \d+")

    def test_endless(self):
        """What was asked for is taken, the rest is not read."""
        machine = self.machine(self.new_release)
        with Trickster(self.site.path, endless) as server:
            counts = self.complete(machine, server.url)
            self.assertLess(counts["fetched"], sum(counts[kind]["bytes"] for kind in KINDS) + server.count * MIB)

    def test_slow(self):
        self.check(slow, ETIMEDOUT, "Operation too slow|time", files=("usr.tree", "usr.img"), seconds=25)

    def test_slow_headers(self):
        self.check(slow_headers, ETIMEDOUT, "Operation too slow|time", files=("usr.img",), seconds=25)

    def test_ranges(self):
        for text in ("bytes 0-0/1", "bytes 1-2/3", "nonsense", "bytes */5", "", "bytes 0-99999999999999999999/5"):
            self.check(bad_range(text), EREMOTEIO, "another range|does not say|the file has", files=("usr.img",))

    def test_multipart(self):
        self.check(multipart, EREMOTEIO, "does not say what it sends", files=("usr.img",))

    def test_short_range(self):
        self.check(short_range, EREMOTEIO, "another range", files=("usr.img",))

    def test_huge(self):
        self.check(huge, EREMOTEIO, "the file has 1152921504606846976 bytes, not")

    def test_endless_whole(self):
        """Zeros for ever are read as far as blocks are wanted, and no further."""
        self.check(endless_whole, EBADMSG, r"wrong bytes in the block at \d+|hash tree")

    def test_errors(self):
        self.check(status(404), ENOENT, "HTTP status 404")
        self.check(status(410), ENOENT, "HTTP status 410", files=("usr.img",))
        self.check(status(403), EREMOTEIO, "HTTP status 403", files=("usr.img",))
        self.check(status(416), EREMOTEIO, "HTTP status 416", files=("usr.img",))
        self.check(status(500), EREMOTEIO, "HTTP status 500")
        self.check(endless_error, ENOENT, "HTTP status 404", files=("usr.img",))

    def test_truncated(self):
        """A little comes each time: enough attempts are enough."""
        self.check(truncated, EREMOTEIO, "ends early|closed|transfer", files=("usr.img", "usr.tree"))

    def test_reset(self):
        self.check(lambda handler: handler.reset(), EREMOTEIO, "reset|Recv|Empty|closed")

    def test_redirects(self):
        self.check(to("file:///etc/passwd"), EREMOTEIO, "leads to file:///etc/passwd, where we do not go")
        self.check(to("ftp://127.0.0.1/x"), EREMOTEIO, "leads to ftp", files=("usr.img",))
        self.check(to("/images/loop"), ENOENT, "404", files=("usr.img",))
        self.check(lambda handler: handler.status(301, Location=handler.path), EREMOTEIO, "too often")
        self.check(status(302), EREMOTEIO, "leads nowhere", files=("usr.img",))

    def test_redirect_followed(self):
        """Once: the other requests go there directly."""
        machine = self.machine(self.new_release)
        with Trickster(self.site.path, honest) as target:
            with Trickster(self.site.path, lambda h: h.status(307, Location=target.url + h.path)) as server:
                counts = self.complete(machine, server.url)
                self.assertEqual(server.count, 4)
                self.assertEqual(counts["requests"], target.count + 4)

    def test_tls_to_plain(self):
        authority = Authority(self.path)
        os.environ["SSL_CERT_FILE"] = str(authority.certificate)
        self.addCleanup(os.environ.pop, "SSL_CERT_FILE")
        machine = self.machine(self.new_release)
        with Trickster(self.site.path, honest) as target, \
                Nginx(self.site.path, self.path / "tls", tls=authority.issue("127.0.0.1"),
                      directives=f"rewrite_log on; error_page 404 {target.url};") as server:
            config = server.work / "nginx.conf"
            server.__exit__()
            config.write_text(config.read_text().replace(" root ", f" return 302 {target.url}$uri; root "))
            server.__enter__()
            self.refused(machine, server.url, code=EREMOTEIO, says="leads to http://127.0.0.1.* where we do not go")
            self.assertEqual(target.count, 0)

    def test_nobody(self):
        """The server is gone."""
        machine = self.machine(self.new_release)
        self.refused(machine, f"http://127.0.0.1:{update_site.free_port()}", code=EREMOTEIO, says="connect")

    def test_gone_midway(self):
        """404 after some requests: what came stays."""
        machine = self.machine(self.new_release)
        with Trickster(self.site.path, lambda h: True if h.number < 4 else h.status(404)) as server:
            self.refused(machine, server.url, code=ENOENT, says="HTTP status 404")
        with Trickster(self.site.path, honest) as server:
            counts = self.complete(machine, server.url)
            self.assertGreater(counts["usr"]["present"], 255)

    def test_changed(self):
        """Another file of the same size, midway: noticed, and nothing of it gets in."""
        def trick(handler):
            if handler.number >= 4:
                handler.server.etag = '"two"'
                handler.data = bytes(len(handler.data))
                if handler.headers.get("If-Range") == '"one"':
                    handler.begin(200, len(handler.data))
                    handler.wfile.write(handler.data)
                    return None
            return True

        machine = self.machine(self.new_release)
        with Trickster(self.site.path, trick, {"usr.img"}) as server:
            self.refused(machine, server.url, code=EBADMSG, says=r"usr.img: wrong bytes in the block at \d+")
        with Trickster(self.site.path, honest) as server:
            self.complete(machine, server.url)

    def test_published_again(self):
        """The same bytes with another tag, midway, are no reason to stop."""
        def trick(handler):
            if handler.number >= 4:
                handler.server.etag = '"two"'
                if handler.headers.get("If-Range") == '"one"':
                    handler.begin(200, len(handler.data))
                    handler.wfile.write(handler.data)
                    return None
            return True

        machine = self.machine(self.new_release)
        with Trickster(self.site.path, trick, {"usr.img"}) as server:
            self.complete(machine, server.url)

    def test_grown(self):
        """Another size midway."""
        def trick(handler):
            if handler.number >= 4:
                handler.data += b"more"
            return True

        machine = self.machine(self.new_release)
        with Trickster(self.site.path, trick, {"usr.img"}) as server:
            self.refused(machine, server.url, code=EREMOTEIO, says=r"the file has \d+ bytes, not \d+")

    def test_hiccups(self):
        """What passes by itself: an error now and then, a broken line, a wrong byte once."""
        def every_third(trick):
            return lambda handler: trick(handler) if handler.number % 3 == 0 else True

        tricks = [every_third(trick) for trick in (status(500), status(503, Retry_After="0"), status(429), truncated,
                                                   multipart, lambda handler: handler.reset())]
        for trick in [*tricks, lambda handler: flip(handler) if handler.number in (1, 4) else True]:
            machine = self.machine(self.new_release)
            with Trickster(self.site.path, trick) as server:
                self.complete(machine, server.url)

    def test_retry_after(self):
        machine = self.machine(self.new_release)
        with Trickster(self.site.path,
                       lambda h: h.status(503, Retry_After="2") if h.number == 1 else True) as server:
            began = time.monotonic()
            self.complete(machine, server.url)
            self.assertGreater(time.monotonic() - began, 2)

    def test_breaking_line(self):
        """Each connection carries 150000 bytes: none of them is fetched twice."""
        def trick(handler):
            first, last = handler.first, handler.last
            handler.begin(206, last - first + 1, Content_Range=f"bytes {first}-{last}/{len(handler.data)}")
            handler.wfile.write(handler.data[first:min(first + 150000, last + 1)])
            if last - first >= 150000:
                handler.wfile.flush()
                handler.close_connection = True

        machine = self.machine(self.new_release)
        with Trickster(self.site.path, trick) as server:
            counts = self.complete(machine, server.url)
            self.assertEqual(counts["fetched"], sum(counts[kind]["bytes"] for kind in KINDS))


if __name__ == "__main__":
    unittest.main()
