"""Runs the files stage of two programs on two equal roots and compares what they leave.

Everything happens in a mount namespace of its own, on a file system in memory, as root."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

import files_cases
import files_roots
import manager_bus
import reference
import slipway

OURS = os.environ.get("IGNITION", str(slipway.IGNITION))
INSIDE = "SLIPWAY_FILES_STAGE"
# Nothing of the original is silent for long: it waits for nothing in this stage.
TIMEOUT = 2 * slipway.PATIENCE
LANES = 2
SKIPPED = 77


def isolate():
    """Runs this very script again in a mount namespace; returns there, with a scratch directory."""
    if os.geteuid() != 0:
        print("users of all kinds are made: this needs root", file=sys.stderr)
        raise SystemExit(SKIPPED)
    if INSIDE not in os.environ:
        os.execvpe("unshare", ["unshare", "--mount", "--propagation", "private", "--", sys.executable, *sys.argv],
                   {**os.environ, INSIDE: "1"})
    place = pathlib.Path("/mnt")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "files-stage", str(place)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "files-stage", "/run"], check=True)
    manager_bus.serve()
    os.umask(0o022)
    return place


class Outcome:
    def __init__(self, done):
        self.code = done.returncode
        self.text = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


class Program:
    """One of the two, with files of its own between the stages."""

    def __init__(self, path, place, wrapper=(), environment=None):
        self.path, self.wrapper = str(path), list(wrapper)
        self.place = pathlib.Path(place)
        self.place.mkdir()
        (self.place / "none").mkdir()
        (self.place / "cmdline").write_text("\n")
        # Debian's build of the original relabels in any case: its tool is one that does nothing.
        setfiles = self.place / "setfiles"
        setfiles.write_text("#!/bin/sh\nexec cat >/dev/null\n")
        setfiles.chmod(0o755)
        self.environment = {"PATH": f"{self.place}:{os.environ['PATH']}", "SOURCE_DATE_EPOCH": "1700000000", "TZ": "UTC",
                            "IGNITION_CONFIG_FILE": str(self.place / "config.ign"),
                            "IGNITION_KERNEL_CMDLINE_PATH": str(self.place / "cmdline"),
                            "IGNITION_SYSTEM_CONFIG_DIR": str(self.place / "none"), **(environment or {})}

    def argv(self, stage, root):
        return [*self.wrapper, self.path, "--platform", "file", "--stage", stage, "--root", str(root),
                "--config-cache", str(self.place / "cache"), "--state-file", str(self.place / "state"),
                "--neednet", str(self.place / "neednet"), "--log-to-stdout"]

    def stage(self, stage, root):
        return Outcome(subprocess.run(self.argv(stage, root), env=self.environment, stdin=subprocess.DEVNULL,
                                      capture_output=True, timeout=TIMEOUT, cwd=self.place))

    def fetch(self, config):
        for name in ("cache", "state", "neednet"):
            (self.place / name).unlink(missing_ok=True)
        (self.place / "config.ign").write_text(json.dumps(config))
        return self.stage("fetch", self.place / "none")

    def provision(self, config, root):
        done = self.fetch(config)
        return done if done.code else self.stage("files", root)


def mounted(top, what):
    """/proc in a root, for the tools that the original calls; `what` is mount or umount."""
    subprocess.run([what, *(["-t", "proc", "proc"] if what == "mount" else []), str(top / "proc")], check=True)


class Pair:
    """The original and ours, on roots below `place`."""

    def __init__(self, place, wrapper=()):
        self.place = pathlib.Path(place)
        self.place.mkdir(exist_ok=True)
        self.theirs = Program(reference.program("ignition"), self.place / "theirs")
        self.ours = Program(OURS, self.place / "ours", wrapper)

    def provision(self, program, top, kind, configs):
        """The last outcome, and what is there then."""
        files_roots.build(kind, top)
        mounted(top, "mount")
        try:
            for config in configs:
                outcome = program.provision(config, top)
                if outcome.code:
                    return outcome, {}
        finally:
            mounted(top, "umount")
            table = files_roots.snapshot(top)
            files_roots.remove(top)
        return outcome, table

    def run(self, kind, *configs):
        """Both provision with each of the configs in turn; what differs at the end, [] for nothing."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            jobs = [pool.submit(self.provision, program, self.place / f"root-{name}", kind, configs)
                    for name, program in (("theirs", self.theirs), ("ours", self.ours))]
            (theirs, their_table), (ours, our_table) = (job.result() for job in jobs)
        if bool(theirs.code) != bool(ours.code) or ours.code not in (0, 1):
            return [f"exit theirs {theirs.code}, ours {ours.code}", *failures(theirs if theirs.code else ours)]
        return differences(their_table, our_table)


def failures(outcome):
    lines = [line for line in outcome.text.splitlines() if "fail" in line.lower() or "error" in line.lower()]
    return (lines or outcome.text.splitlines())[:6]


# ---- what is different on purpose: docs/ignition-files.md gives the reasons ----

# shadow-utils keeps the account files as they were before its last call.
BACKUPS = {f"etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")}
# Both lock the accounts in this file; ours before it knows that there is nothing to change.
LOCK = "etc/.pwd.lock"
PRESETS = "etc/systemd/system-preset/20-ignition.preset"
# Units of the roots that are enabled from the start, so that disabling one has something to do.
ENABLED = {"enabled.service", "static.service", "aliased.service", "tmpl@.service"}


def preset_lines(text):
    """Order and repetition aside: 2.14 appends in the order of the configuration. It also disables what is not
    enabled, in lines that newer ones do without."""
    lines = {" ".join(line.split()) for line in text.splitlines() if line}
    return sorted(line for line in lines if not line.startswith("disable ") or line.split()[1] in ENABLED)


def comparable(table):
    table = {path: row for path, row in table.items() if path not in BACKUPS}
    if PRESETS in table:
        row = table[PRESETS]
        table[PRESETS] = (*row[:-1], preset_lines(row[-1]))
        if not table[PRESETS][-1]:
            del table[PRESETS]
            del table[os.path.dirname(PRESETS)]
    return table


def differences(theirs, ours):
    theirs, ours = comparable(theirs), comparable(ours)
    return [f"{path}:\n    theirs {theirs.get(path)}\n    ours   {ours.get(path)}"
            for path in sorted(set(theirs) | set(ours)) if theirs.get(path) != ours.get(path)
            and (path, theirs.get(path)) != (LOCK, None)]


# What random configurations run into of docs/ignition-files.md: relabelling a home that is not there (nobody made it, or it was
# in another's that is removed), a home that moves to where there is no directory yet, links behind links, what a hard link
# would remove again, owners of links.
ON_PURPOSE = re.compile(r"exit theirs 1, ours 0\n.*(: lstat \S+: no such file or directory|usermod: cannot rename directory|: mkdir \S+: file exists)"
                        r"|exit theirs 0, ours 1\n.*, which is below hard link "
                        r"|[^\n]+:\n +theirs \('l(\S+)', \d+, \d+, (.*)\)\n +ours +\('l\2', \d+, \d+, \3\)", re.S)


def is_on_purpose(different):
    whole = different[0].startswith("exit ")
    return all(ON_PURPOSE.match(text) for text in (["\n".join(different)] if whole else different))


def hold(place, cases):
    """Runs the cases, several at a time; True for each that holds, and a word about each that does not."""
    def work(lane):
        pair = Pair(place / str(lane), os.environ.get("WRAPPER", "").split())
        for name, case in list(cases.items())[lane::LANES]:
            different = pair.run(*case)
            expected = name in files_cases.DIFFERENT
            if different and name.startswith("random ") and is_on_purpose(different):
                different = []
            if different and not expected:
                print(f"not the same: {name}\n  " + "\n  ".join(different), flush=True)
            if expected and not different:
                print(f"no longer different: {name}", flush=True)
            yield bool(different) == expected

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return [held for lane in pool.map(lambda n: list(work(n)), range(LANES)) for held in lane]
