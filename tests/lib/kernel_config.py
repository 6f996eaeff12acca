"""The fragments of kernel-config/, read by a reader of its own, and the real kernel's configuration."""

import collections
import contextlib
import pathlib
import re
import subprocess
import tempfile

import slipway

FRAGMENTS = sorted((slipway.PROJECT / "kernel-config").glob("*.config"))
SET = re.compile(r'(CONFIG_[A-Za-z0-9_]+)=([ymn]|-?\d+|0x[0-9a-f]+|".*")')
OFF = re.compile(r"# (CONFIG_[A-Za-z0-9_]+) is not set")
WORD = "(?:required|recommended|amd64|arm64|modules)"
WORDS = re.compile(rf"({WORD}(?:, {WORD})*): ")

Option = collections.namedtuple("Option", "name value required architecture reason")


def options(path):
    """Every option of a fragment; anything else but comments and empty lines is an error."""
    comment, in_comment = "", False
    for line in path.read_text().splitlines():
        match = SET.fullmatch(line) or OFF.fullmatch(line)
        if match:
            words = WORDS.match(comment)
            qualifiers = words.group(1).split(", ") if words else []
            yield Option(match.group(1), match.group(2) if match.re is SET else "n",
                         "recommended" not in qualifiers,
                         next((q for q in qualifiers if q.endswith("64")), None),
                         comment[words.end():] if words else comment)
            in_comment = False
        elif line.startswith("# "):
            comment = f"{comment} {line[2:]}" if in_comment else line[2:]
            in_comment = True
        elif line == "":
            comment, in_comment = "", False
        else:
            raise AssertionError(f"{path.name}: {line!r} is neither option nor comment")


def real_file(name):
    """What lies beside the kernel in the composed image ("config", "vmlinuz"), as another program gives it."""
    commit = slipway.real_image().report()["commit"]
    ostree = ["ostree", f"--repo={slipway.work_dir() / 'cache/repo'}"]
    listed = subprocess.run([*ostree, "ls", commit, "/usr/lib/modules"], check=True, text=True,
                            capture_output=True).stdout
    version = listed.splitlines()[-1].split("/")[-1]
    return subprocess.run([*ostree, "cat", commit, f"/usr/lib/modules/{version}/{name}"], check=True,
                          capture_output=True).stdout


@contextlib.contextmanager
def real_config():
    """The kernel's configuration in a file."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "config")
        path.write_bytes(real_file("config"))
        yield path
