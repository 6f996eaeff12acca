#!/usr/bin/env python3
"""The files stage: the same as the original on a sample of the proof's cases; and cut off by a failing call at any
place, it leaves no account file half-written, and the next attempt ends in the same state."""

import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import files_cases
import files_roots
import files_stage
import slipway

# Every so many of the table's cases, and so many random ones: what is done within a minute.
EVERY, RANDOM_CASES = 8, 10
CONFIG = files_cases.config(
    files=[files_cases.a_file("/a/b/c"), files_cases.a_file("/etc/motd", None, [files_cases.HELLO]),
           files_cases.a_file("/etc/hostname", overwrite=True)],
    links=[files_cases.a_link("/etc/new", "target")],
    units=[{"name": "a.service", "enabled": True, "contents": files_roots.UNIT}],
    users=[{"name": "new", "groups": ["wheel"], "sshAuthorizedKeys": [files_cases.KEY]},
           {"name": "core", "homeDir": "/srv/core", "passwordHash": "h"}],
    groups=[{"name": "crowd"}])
ACCOUNTS = [f"etc/{name}" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")]
# The n-th such call fails; for write, every so many: most of them are lines of the log.
CALLS = {"fsync": 1, "syncfs": 1, "renameat": 1, "openat": 11, "write": 15, "fchown": 1, "symlinkat": 1, "mkdirat": 1}
PLACE = None


class Differential(unittest.TestCase):
    def test_sample(self):
        cases = dict(list(files_cases.CASES.items())[::EVERY])
        cases.update({f"random {seed}": files_cases.random_case(seed) for seed in range(RANDOM_CASES)})
        self.assertTrue(all(files_stage.hold(PLACE, cases)))


@unittest.skipIf(slipway.WATCHED, "the calls that fail would be valgrind's own")
class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = files_stage.Program(files_stage.OURS, PLACE / "faults")
        cls.before, cls.after = cls.attempt(None)

    @classmethod
    def attempt(cls, fault):
        """Snapshots before, and after a run that a fault may cut off and one that nothing does; the first's is
        checked. None when the fault came too late to happen. As at each boot, the configuration is fetched before."""
        top = files_roots.build("debian", PLACE / "fault-root")
        try:
            before = files_roots.snapshot(top)
            if fault:
                cls.program.fetch(CONFIG)
                cut = cls.cut(top, fault)
                if not cut:
                    return None
                cls.check(before, files_roots.snapshot(top), fault)
            cls.program.fetch(CONFIG)
            last = cls.program.stage("files", top)
            if last.code:
                raise AssertionError(f"{fault}: {last.text}")
            after = files_roots.snapshot(top)
            del after[files_roots.RESULT]  # tells of an earlier attempt that came to its end
            return before, after
        finally:
            files_roots.remove(top)

    @classmethod
    def cut(cls, top, fault):
        call, n = fault
        trace = cls.program.place / "trace"
        wrapper = ["strace", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={n}"]
        subprocess.run([*wrapper, *cls.program.argv("files", top)], env=cls.program.environment, timeout=60,
                       capture_output=True, cwd=cls.program.place)
        return "(INJECTED)" in trace.read_text()

    @classmethod
    def check(cls, before, now, fault):
        for path in ACCOUNTS:
            if now[path][-1] not in (before[path][-1], cls.after[path][-1]):
                raise AssertionError(f"{fault}: {path} is neither old nor new: {now[path]}")

    def test_each_call(self):
        for call, step in CALLS.items():
            n = 1
            while ends := self.attempt((call, n)):
                self.assertEqual(files_stage.differences(ends[1], self.after), [], f"{call} {n}")
                n += step
            self.assertGreater(n, 1, f"{call} is never called")


if __name__ == "__main__":
    PLACE = files_stage.isolate()
    unittest.main()
