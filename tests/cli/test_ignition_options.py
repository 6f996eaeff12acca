#!/usr/bin/env python3
"""Options of `ignition`: read, refused and answered as the original does, which is Debian's package."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import reference
import slipway

# Nothing is done with any of these: they are refused, or --version answers.
ASKED = [
    [], ["extra"], ["-"], ["--"], ["--", "--version"], ["---version"], ["-=x"], ["--=x"], ["-version"], ["--version"], ["--version=T"],
    ["--version=false"], ["--version=maybe"], ["--version", "--bogus"], ["--bogus", "--version"], ["--bogus=1"], ["-bogus"],
    ["--version", "extra", "--bogus"], ["-h"], ["--help"], ["-help=1"], ["-h", "--bogus"], ["--help", "--stage", "nope"],
    ["--stage"], ["--stage", "nope"], ["--stage=nope", "--version"], ["--version", "--stage="], ["--stage", "", "--version"],
    ["--stage=files", "--stage=disks", "--version"], ["--platform", "file"], ["--platform=file", "--stage"],
    ["--platform", "nope", "--stage", "files"], ["--platform=", "--version"], ["--root"], ["--root=", "--version"],
    ["--config-cache"], ["--state-file", "--version"], ["--neednet=a=b", "--version"],
    ["--log-to-stdout", "--version"], ["--log-to-stdout=1", "--version"], ["--log-to-stdout=yes", "--version"],
    ["--log-to-stdout", "0", "--version"],
    *[[f"--fetch-timeout={text}", "--version"] for text in (
        "0", "00", "1", "x", "", "1s", "1h2m3.5s", "-1s", "+1s", "--1s", "1\u00b5s", "1\u03bcs", "1us", "1ns", ".5s", "1.s", ".s", ".", "s",
        "1s 2s", "99999999h", "2562047h", "2562048h", "1S", "1d", "1e3s", "0x1s", "1s2", "9223372036854775808ns")],
]


def first_line(text):
    return text.split("\n")[0]


def answer(program, argv, place):
    done = subprocess.run([str(program), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=slipway.PATIENCE, cwd=place,
                          env={**os.environ, "IGNITION_KERNEL_CMDLINE_PATH": "/dev/null"})
    # The original prints its usage on stderr when it was asked for, as Go's programs do.
    return done.returncode, first_line(done.stdout), first_line(done.stderr)


# For the validator, in a directory that has GOOD and BAD.
VALIDATED = [
    [], ["good"], ["good", "bad"], ["bad"], ["none"], ["-"], ["--"], ["--", "good"], ["--", "-version"], ["-x"], ["-x", "good"],
    ["-version"], ["--version"], ["-version", "good"], ["--version=true"], ["-version=false", "good"], ["-version=x"], ["good", "-version"],
    ["-h"], ["--help"], ["-help", "good"], ["-h=1"], ["---x"], ["-=x"], ["--=x"],
]


class Options(unittest.TestCase):
    def test_as_the_original(self):
        """Exit status, and what is said first; versions and the program's own name aside."""
        with tempfile.TemporaryDirectory() as place:
            for argv in ASKED:
                with self.subTest(argv=argv):
                    theirs = answer(reference.program("ignition"), argv, place)
                    ours = answer(slipway.IGNITION, argv, place)
                    self.assertEqual(ours[0], theirs[0], (ours, theirs))
                    if ours[0] == 0:
                        self.assertRegex(ours[1], "^(Ignition |Usage of ignition:)")
                    elif "'--platform' must be provided" in theirs[2]:
                        # Ours finds out the platform, and misses the stage.
                        self.assertEqual(ours[2], "'--stage' must be provided")
                    else:
                        self.assertEqual(ours[2], theirs[2])

    def test_validator(self):
        with tempfile.TemporaryDirectory() as place:
            for name, text in (("good", '{"ignition":{"version":"3.3.0"}}'), ("bad", '{"ignition":{"version":"3.3.0"}}x')):
                (pathlib.Path(place) / name).write_text(text)
            for argv in VALIDATED:
                with self.subTest(argv=argv):
                    theirs = answer(reference.program("ignition-validate"), argv, place)
                    ours = answer(slipway.VALIDATE, argv, place)
                    self.assertEqual(ours[0], theirs[0], (ours, theirs))
                    if ours[0] == 2:
                        self.assertEqual(ours[2], theirs[2])

    def test_platform_is_found_out(self):
        with tempfile.TemporaryDirectory() as place:
            code, out, _ = answer(slipway.IGNITION, ["--stage=umount", "--log-to-stdout", "--config-cache=none", "--state-file=none"], place)
            self.assertEqual(code, 1)
            self.assertRegex(out, "^INFO     : Ignition ")


if __name__ == "__main__":
    unittest.main()
