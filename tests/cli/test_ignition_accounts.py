#!/usr/bin/env python3
"""Accounts while shadow-utils change the same files: nobody's line is lost. And homes that move to another file system:
all of them arrives, and what is cut off or has no room leaves the old one whole."""

import fcntl
import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import files_cases
import files_roots
import files_stage

ROUNDS = 6
# Each of our writes takes its time, so that one without the lock would meet one of theirs.
SLOWLY = ["strace", "-o", "/dev/null", "-e", "trace=renameat", "-e", "inject=renameat:delay_enter=100000"]
PLACE = None
SHADOWS = {"passwd": 7, "shadow": 9, "group": 4, "gshadow": 4}


def lines(top, name):
    return (top / "etc" / name).read_text().splitlines()


class Case(unittest.TestCase):
    number = 0

    def setUp(self):
        Case.number += 1
        # Where strace watches, the sanitizer cannot look for leaks.
        self.program = files_stage.Program(files_stage.OURS, PLACE / f"program-{Case.number}",
                                           environment={"ASAN_OPTIONS": "detect_leaks=0"})
        self.top = files_roots.build("debian", PLACE / f"root-{Case.number}")
        self.addCleanup(files_roots.remove, self.top)

    def useradd(self, name):
        """shadow-utils' own, on our root."""
        return subprocess.run(["useradd", "--root", str(self.top), "--no-create-home", name], capture_output=True,
                              text=True, timeout=60, check=False)

    def passes(self, done):
        self.assertEqual(done.code, 0, done.text)


class Lock(Case):
    def check(self, names):
        """Each name has one line in each file, well-formed, with numbers and ranges of its own."""
        for table, fields in SHADOWS.items():
            rows = [line.split(":") for line in lines(self.top, table)]
            self.assertEqual({len(row) for row in rows}, {fields}, table)
            for name in names:
                self.assertEqual(sum(row[0] == name for row in rows), 1, f"{name} in {table}")
        for table in ("passwd", "group"):
            ids = [line.split(":")[2] for line in lines(self.top, table)]
            self.assertEqual(len(ids), len(set(ids)), table)
        for table in ("subuid", "subgid"):
            starts = [line.split(":")[1] for line in lines(self.top, table)]
            self.assertEqual(len(starts), len(set(starts)), table)
        for tool in ("pwck", "grpck"):
            done = subprocess.run([tool, "--root", str(self.top), "-r", "-q"], capture_output=True, text=True, check=False)
            self.assertNotIn("invalid", done.stdout + done.stderr)
            self.assertNotIn("duplicate", done.stdout + done.stderr)

    def test_useradd_in_a_loop(self):
        made, refused, ends = [], [], threading.Event()

        def work():
            while not ends.is_set():
                name = f"theirs{len(made) + len(refused)}"
                done = self.useradd(name)
                (refused if done.returncode else made).append(name)
                if done.returncode:
                    self.assertIn("cannot lock", done.stderr)

        self.program.wrapper = SLOWLY
        thread = threading.Thread(target=work)
        thread.start()
        try:
            for i in range(ROUNDS):
                before = len(made)
                self.passes(self.program.provision(files_cases.config(
                    users=[{"name": f"ours{i}", "noCreateHome": True}, {"name": f"more{i}", "noCreateHome": True}]), self.top))
                while len(made) == before and thread.is_alive():
                    time.sleep(0.01)
        finally:
            ends.set()
            thread.join()
        self.assertGreaterEqual(len(made), ROUNDS)
        self.check(made + [f"{kind}{i}" for kind in ("ours", "more") for i in range(ROUNDS)])

    def stage(self, *wrapper):
        return subprocess.Popen([*wrapper, *self.program.argv("files", self.top)], env=self.program.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                cwd=self.program.place)

    def test_we_wait_for_them(self):
        """What is written while another has the lock is there afterwards."""
        self.passes(self.program.fetch(files_cases.config(users=[{"name": "ours"}])))
        with open(self.top / "etc" / ".pwd.lock", "w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            process = self.stage()
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(timeout=1.5)
            with open(self.top / "etc" / "passwd", "a") as passwd:
                passwd.write("late:x:1700:100::/:/bin/sh\n")
        said, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        self.assertEqual([line.split(":")[0] for line in lines(self.top, "passwd")][-2:], ["late", "ours"])

    def test_they_wait_for_us(self):
        """useradd does nothing between our reading and our writing."""
        self.passes(self.program.fetch(files_cases.config(users=[{"name": "ours"}])))
        trace = self.program.place / "trace"
        process = self.stage("strace", "-o", str(trace), "-e", "trace=fcntl,renameat", "-e",
                             "inject=renameat:delay_enter=1500000:when=1")
        while process.poll() is None and not (trace.exists() and "F_SETLK" in trace.read_text()):
            time.sleep(0.01)
        began = time.monotonic()
        done = self.useradd("theirs")
        waited = time.monotonic() - began
        said, _ = process.communicate(timeout=60)
        self.assertEqual((process.returncode, done.returncode), (0, 0), said + done.stderr)
        self.assertGreater(waited, 0.5)
        self.check(["ours", "theirs"])


class Homes(Case):
    CONFIG = files_cases.config(users=[{"name": "core", "homeDir": "/mnt/inside/core"}])

    def setUp(self):
        super().setUp()
        files_roots.remove(self.top)
        self.inside = self.top / "mnt"
        self.furnish()

    def furnish(self):
        files_roots.build("debian", self.top)
        home = self.top / "home" / "core"
        os.link(home / "mine", home / "dir" / "same")
        (home / "large").write_bytes(bytes(range(256)) * 1000)
        os.truncate(home / "large", 8 << 20)
        os.mkfifo(home / "fifo", 0o620)
        os.setxattr(home / "mine", "trusted.slipway", b"value")
        for path in (home / "mine", home / "dir"):
            os.utime(path, (1e9, 1e9 + 1))
        self.inside.mkdir()

    def mount(self, *options):
        subprocess.run(["mount", "-t", "tmpfs", *options, "files-stage", str(self.inside)], check=True)
        self.addCleanup(subprocess.run, ["umount", str(self.inside)], check=True)

    def home(self, at):
        """All of a home but where it is."""
        top = self.top / at.lstrip("/")
        for name in (".", "mine", "dir"):
            self.assertTrue((top / name).exists(), f"{at}/{name}")
        return (files_roots.snapshot(top), os.stat(top / "mine").st_mtime, os.stat(top / "dir").st_mtime,
                os.getxattr(top / "mine", "trusted.slipway"), os.stat(top).st_mode, os.stat(top).st_uid)

    def listed(self, at):
        return sorted(path.name for path in (self.top / at).iterdir())

    def test_to_another_file_system(self):
        self.mount()
        before = self.home("/home/core")
        self.passes(self.program.provision(self.CONFIG, self.top))
        self.assertNotEqual(os.stat(self.inside / "inside").st_dev, os.stat(self.top / "home").st_dev)
        self.assertEqual(self.home("/mnt/inside/core"), before)
        self.assertLess(os.stat(self.inside / "inside/core/large").st_blocks * 512, 2 << 20)
        self.assertNotIn("core", self.listed("home"))
        self.assertEqual(self.listed("mnt/inside"), ["core"])
        self.assertEqual([path for path in self.listed("home") if path.startswith(".")], [])

    def test_no_room(self):
        self.mount("-o", "size=64k")
        before = self.home("/home/core")
        done = self.program.provision(self.CONFIG, self.top)
        self.assertEqual(done.code, 1, done.text)
        self.assertIn("No space left on device", done.text)
        self.assertEqual(self.home("/home/core"), before)

    def test_cut_off(self):
        """Wherever it is cut off, one of the two homes is whole, and the next attempt ends as if nothing had been."""
        self.mount()
        before = self.home("/home/core")
        cut = 0
        for call in ("mkdirat", "fchownat", "linkat", "utimensat", "syncfs", "renameat", "fsync", "unlinkat"):
            n = 0
            while True:
                n += 1
                self.passes(self.program.fetch(self.CONFIG))
                trace = self.program.place / "trace"
                done = subprocess.run(["strace", "-o", str(trace), "-e", f"trace={call}", "-e",
                                       f"inject={call}:signal=KILL:when={n}", *self.program.argv("files", self.top)],
                                      env=self.program.environment, timeout=60, capture_output=True, cwd=self.program.place,
                                      check=False)
                if "SIGKILL" not in trace.read_text():
                    self.assertEqual(done.returncode, 0, done.stderr)
                else:
                    cut += 1
                    whole = "/home/core" if (self.top / "home/core").exists() else "/mnt/inside/core"
                    self.assertEqual(self.home(whole), before, f"{call} {n}")
                    self.passes(self.program.provision(self.CONFIG, self.top))
                self.assertEqual(self.home("/mnt/inside/core"), before, f"{call} {n}")
                self.assertNotIn("core", self.listed("home"))
                self.again()
                if "SIGKILL" not in trace.read_text():
                    break
        self.assertGreater(cut, 40)

    def again(self):
        """A root that is as it was before."""
        subprocess.run(["umount", str(self.inside)], check=True)
        files_roots.remove(self.top)
        self.furnish()
        subprocess.run(["mount", "-t", "tmpfs", "files-stage", str(self.inside)], check=True)


if __name__ == "__main__":
    PLACE = files_stage.isolate()
    unittest.main()
