#!/usr/bin/env python3
"""kernel-config/: every option says who needs it, and the kernel of the image has them all."""

import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

FRAGMENTS = sorted((slipway.PROJECT / "kernel-config").glob("*.config"))
OPTION = re.compile(r"(CONFIG_[A-Z0-9_]+)=([ym])")
# A module may be built in.
ENOUGH = {"y": ("y",), "m": ("m", "y")}


def options(path):
    """(name, value, the line above) of every option; anything else but comments and blanks is wrong."""
    above = ""
    for line in path.read_text().splitlines():
        match = OPTION.fullmatch(line)
        if match:
            yield match.group(1), match.group(2), above
        elif line and not line.startswith("# "):
            raise AssertionError(f"{path.name}: {line!r} is neither option nor comment")
        above = line


def kernel_config():
    """Of the kernel in the composed image."""
    commit = slipway.real_image().report()["commit"]
    ostree = ["ostree", f"--repo={slipway.work_dir() / 'cache/repo'}"]
    listed = subprocess.run([*ostree, "ls", commit, "/usr/lib/modules"], check=True, text=True,
                            capture_output=True).stdout
    version = listed.splitlines()[-1].split("/")[-1]
    text = subprocess.run([*ostree, "cat", commit, f"/usr/lib/modules/{version}/config"], check=True,
                          text=True, capture_output=True).stdout
    return dict(re.findall(r"^(CONFIG_\w+)=(\S+)$", text, re.M))


class Fragments(unittest.TestCase):
    def test_form(self):
        self.assertTrue(FRAGMENTS)
        for path in FRAGMENTS:
            names = [name for name, _, _ in options(path)]
            self.assertTrue(names, path.name)
            self.assertEqual(len(names), len(set(names)), f"{path.name}: an option twice")
            for name, _, above in options(path):
                self.assertRegex(above, r"^# \S", f"{path.name}: {name}: who needs it?")

    def test_image_has_them(self):
        have = kernel_config()
        missing = [f"{path.name}: {name}={value} (is {have.get(name, 'not set')})"
                   for path in FRAGMENTS for name, value, _ in options(path)
                   if have.get(name) not in ENOUGH[value]]
        self.assertEqual(missing, [])


if __name__ == "__main__":
    unittest.main()
