"""The two validators side by side: verdicts and findings."""

import functools
import json
import os
import pathlib
import re
import subprocess

import reference
import slipway
import validate_cases

VALIDATE = pathlib.Path(os.environ.get("IGNITION_VALIDATE", slipway.VALIDATE))
# The package that we compare with is 2.14: it knows specifications up to 3.3, and an experimental one that is none any more.
NEWEST_OF_REFERENCE = 3
NEWER = re.compile(rb"3\.0*[4-9]\.0", re.I)
FINDING = re.compile(rb"^(error|warning) at (\$.*?)(?:, line (\d+) col (\d+))?: (.*)$", re.M)
UNUSED = re.compile(rb"^warning at .*: unused key.*\n", re.M | re.I)
KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:')
# Keys by their folded text; there are two of "shouldExist" and the like, all spelled the same.
KNOWN = {key.lstrip("!").casefold(): key.lstrip("!") for fields in validate_cases.OBJECTS.values() for key in fields}
COLLISION = re.compile(rb"partition numbers collide|cannot use the same partition label twice|partitions overlap")
# What is newer than 2.14, in configurations of every version, and what is ours.
OURS_ALONE = re.compile(rb"^(error at .*: path conflicts with systemd unit or dropin|warning at .*: (contains a NUL character|"
                        rb"user/group ignored for hard link|template unit .* for .* doesn't have Install section|"
                        rb"filesystem overwrites partitioned device|device matches disk with wipeTable enabled; filesystem will be wiped))\n", re.M)
# Where the original has null for an object, it warns that it may be wrong about places.
THEIRS_ALONE = re.compile(rb"^warning at .*: context tree does not match content tree at .*\n", re.M)


@functools.cache
def original():
    return reference.program("ignition-validate")


def verdict(program, text):
    done = subprocess.run([str(program), "-"], input=text, capture_output=True, timeout=60)
    if done.returncode not in (0, 1):
        raise AssertionError(f"{program}: exit {done.returncode} {done.stderr!r} on {text!r}")
    return done


def without(findings, done):
    """A verdict without the findings that only one of the two knows."""
    report = findings.sub(b"", done.stdout)
    if report == done.stdout:
        return done
    return subprocess.CompletedProcess(done.args, 1 if b"error at " in report else 0, report, done.stderr)


def comparable(text):
    return not NEWER.search(text)


def is_misspelled(text):
    """Has a key that folds to one of the specification's."""
    keys = {key.decode(errors="replace") for key in KEY.findall(text)}
    return b"\\u" in text or any(KNOWN.get(key.casefold(), key) != key for key in keys)


def key_repeats(text):
    def note(pairs):
        nonlocal found
        found = found or len({key.casefold() for key, _ in pairs}) < len(pairs)
    found = False
    try:
        json.loads(text.decode(errors="replace"), object_pairs_hook=note)
    except (ValueError, RecursionError):
        pass
    return found


def is_undecoded(done):
    """Syntax and types: the original stops at the first one, and names no setting."""
    return done.returncode == 1 and not FINDING.search(done.stdout)


def findings(done, has_places):
    """Kind and setting of each finding, with line and column; messages are our own."""
    found = {(kind, path.replace(b"\0", b"\1").decode(errors="replace").casefold(), *(place if has_places else ()))
             for kind, path, *place, message in FINDING.findall(done.stdout) if not COLLISION.search(message)}
    return found | ({COLLISION.pattern} if COLLISION.search(done.stdout) else set())


# Where we say more than the original does: syntax of data: URLs and of units; what is newer than 2.14.
OUR_WORDS = re.compile(rb"bad base64 in|bad percent-encoding in|not a data: URL|invalid unit content|raid level is required$")
OTHER_VERSION = re.compile(rb"older than 3\.[46]\.0$")


def messages(done):
    """{(kind, setting): what is said of it}, without what has words of its own."""
    said = {}
    for kind, path, _, _, message in FINDING.findall(done.stdout):
        if COLLISION.search(message):
            continue
        message = OTHER_VERSION.sub(b"", message).replace(b"Unused key", b"unused key").strip()
        said.setdefault((kind, path.lower()), set()).add(message)
    return said


def differently_said(ours, theirs):
    """Settings that both find fault with, in other words."""
    a, b = messages(ours), messages(theirs)
    return {key: (a[key], b[key]) for key in a.keys() & b.keys()
            if a[key] != b[key] and not any(OUR_WORDS.search(message) for message in a[key])}


def difference(text):
    """None, or how the validators differ on a configuration.

    null has no place of its own here. Misspelled and repeated keys make the original lose places and unused keys."""
    ours, theirs = without(OURS_ALONE, verdict(VALIDATE, text)), without(THEIRS_ALONE, verdict(original(), text))
    if ours.returncode != theirs.returncode:
        return f"ours {ours.returncode} {ours.stdout + ours.stderr}, theirs {theirs.returncode} {theirs.stdout + theirs.stderr}"
    if is_undecoded(theirs):
        return None
    is_odd = is_misspelled(text) or key_repeats(text)
    if is_odd:
        ours, theirs = without(UNUSED, ours), without(UNUSED, theirs)
    a, b = (findings(done, not is_odd and b"null" not in text) for done in (ours, theirs))
    if a != b:
        return f"only ours {sorted(a - b, key=str)}, only theirs {sorted(b - a, key=str)}"
    return None if is_odd else differently_said(ours, theirs) or None
