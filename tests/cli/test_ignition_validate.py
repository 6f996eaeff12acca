#!/usr/bin/env python3
"""ignition-validate: verdicts on the corpus, and the same verdict as the original where that knows the version.

The original is Debian's package `ignition` (specs up to 3.3)."""

import json
import os
import pathlib
import random
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
from validators import NEWEST_OF_REFERENCE, OURS_ALONE, VALIDATE, original, verdict, without

CORPUS = slipway.PROJECT / "tests" / "data" / "ignition"

PLACED = re.compile(rb"^error at (\$\S*), line (\d+) col (\d+): ", re.M)


def places(done):
    """Setting, line and column of each error that has them."""
    return set(PLACED.findall(done.stdout))


def minor_of(text):
    found = re.search(rb'"version"\s*:\s*"3\.(\d+)\.0"', text, re.I)
    return int(found.group(1)) if found else 0


VALUES = [None, True, False, 0, 1, -1, 420, 4096, "", "a", "/a", "/a/b", "/a/", "a.service", "a.conf", "data:,x",
          "http://h/", "gzip", "ext4", "raid1", [], {}, ["a", "b"], [{}], [None], {"id": 1}, {"source": "data:,x"}]


def mutate(value, rng):
    """One change somewhere in a JSON tree: drop, replace, duplicate, rename."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        changed = dict(value)
        what = rng.random()
        if what < 0.08:
            del changed[key]
        elif what < 0.14:
            changed[key.upper()] = changed.pop(key)
        else:
            changed[key] = mutate(value[key], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.85:
        index = rng.randrange(len(value))
        changed = list(value)
        if rng.random() < 0.2:
            changed.append(changed[index])
        else:
            changed[index] = mutate(changed[index], rng)
        return changed
    return rng.choice(VALUES)


def config(rest, version=b"3.3.0"):
    return b'{"ignition":{"version":"' + version + b'"},' + rest + b"}"


def user(rest):
    return config(b'"passwd":{"users":[{"name":"a",' + rest + b"}]}")


def volume(clevis, version):
    return config(b'"storage":{"luks":[{"name":"a","device":"/dev/a",' + clevis + b"}]}", version)


# In 3.2 what a null takes back, later not: the whole object.
CLEVIS_NULL = {
    "clevis.custom, then null": b'"clevis":{"custom":{"pin":"tpm2","config":"x"},"custom":null,"tpm2":true}',
    "clevis.custom, null, empty": b'"clevis":{"custom":{"pin":"tpm2","config":"x"},"custom":null,"custom":{},"tpm2":true}',
    "clevis, then null": b'"clevis":{"custom":{"pin":"bad"}},"clevis":null',
    "clevis, null, another": b'"clevis":{"custom":{"pin":"bad"}},"clevis":null,"clevis":{"tpm2":true}',
    "custom's pin, then null": b'"clevis":{"custom":{"pin":"tpm2","pin":null,"config":"x"}}',
    "custom's config, then null": b'"clevis":{"custom":{"pin":"tpm2","config":"x","config":null}}',
    "keyFile, then null": b'"keyFile":{"compression":"bad"},"keyFile":null',
}


def version(text):
    return b'{"ignition":{"version":"' + text + b'"}}'


# What Go's decoder takes or refuses, and json-c or a stricter reader would not.
GO = {
    **{f"{name}, {v}": volume(text, v.encode()) for name, text in CLEVIS_NULL.items() for v in ("3.2.0", "3.3.0")},
    **{f"level, then null, {v}": config(b'"storage":{"raid":[{"name":"a","devices":["/dev/a"],"level":"raid1","level":null}]}', v.encode())
       for v in ("3.0.0", "3.1.0", "3.2.0", "3.3.0")},
    **{f"authority, then null, {v}": b'{"ignition":{"version":"' + v + b'","security":{"tls":{"certificateAuthorities":['
       b'{"source":"data:,x","source":null}]}}}}' for v in (b"3.0.0", b"3.1.0")},
    **{f"number, then null, {v}": config(b'"storage":{"disks":[{"device":"/dev/a","partitions":[{"number":1,"number":null}]}]}', v.encode())
       for v in ("3.0.0", "3.1.0", "3.2.0", "3.3.0")},
    "version with zeros": version(b"3.03.0"), "signed version": version(b"+3.3.0"), "negative version": version(b"3.3.-0"),
    "empty prerelease": version(b"3.3.0-"), "empty metadata": version(b"3.3.0+"), "both empty": version(b"3.3.0-+"),
    "metadata of a dash": version(b"3.3.0+-"), "metadata": version(b"3.3.0+a"), "prerelease": version(b"3.3.0-a"),
    "NUL in version": version(b"3.3.0\\u0000"), "huge version": version(b"9999999999999999999.3.0"),
    "four numbers": version(b"3.3.0.0"), "blank in version": version(b" 3.3.0"), "hex version": version(b"0x3.3.0"),
    "ignition again, empty": b'{"ignition":{"version":"3.3.0"},"Ignition":{}}',
    "version in the second": b'{"ignition":{},"IGNITION":{"VERSION":"3.3.0"}}',
    "ignition null, then one": b'{"ignition":null,"IGNITION":{"VERSION":"3.3.0"}}',
    "ignition, then null": b'{"ignition":{"version":"3.3.0"},"ignition":null}',
    "ignition a list": b'{"ignition":[],"Ignition":{"version":"3.3.0"}}',
    "version, then null": b'{"ignition":{"version":"3.3.0","Version":null}}',
    "version, then number": b'{"ignition":{"version":"3.3.0","Version":3}}',
    "long s": config('"pa\u017f\u017fwd":{"users":[{"name":1}]}'.encode()),
    "Kelvin sign": config('"\u212aernelArguments":{"shouldExist":1}'.encode()),
    "accents do not fold": config('"p\u00e4sswd":{"users":1}'.encode()),
    "escaped key": config(b'"p\\u0061sswd":{"users":1}'),
    "not UTF-8, same": config(b'"passwd":{"users":[{"name":"a\xff"},{"name":"a\xfe"}]}'),
    "not UTF-8, two and one": config(b'"passwd":{"users":[{"name":"a\xff\xff"},{"name":"a\xfe"}]}'),
    "overlong": config(b'"passwd":{"users":[{"name":"\xc0\x80"},{"name":"\xff\xff"}]}'),
    "surrogate in UTF-8": config(b'"passwd":{"users":[{"name":"\xed\xa0\x80"},{"name":"\xff\xff\xff"}]}'),
    "not UTF-8 in a key": config(b'"\xff":1'), "not UTF-8 outside": config(b'"x":\xff'),
    "label of broken bytes": config(b'"storage":{"disks":[{"device":"/dev/a","partitions":[{"label":"' + b"\xff" * 13 + b'"}]}]}'),
    "lone surrogate": config(b'"passwd":{"users":[{"name":"a\\ud800"},{"name":"a\\ufffd"}]}'),
    "lone low surrogate": config(b'"passwd":{"users":[{"name":"a\\udc00"},{"name":"a\\ufffd"}]}'),
    "surrogate, then a letter": config(b'"passwd":{"users":[{"name":"a\\ud800\\u0041"},{"name":"a\\ufffdA"}]}'),
    "surrogates in order": config(b'"passwd":{"users":[{"name":"\\ud83d\\ude00"},{"name":"\xf0\x9f\x98\x80"}]}'),
    "NUL in a name": config(b'"passwd":{"users":[{"name":"a\\u0000"}]}'),
    "NUL in a key": config(b'"passwd":{"users":[{"name\\u0000":1}]}'),
    "NUL in a path": config(b'"storage":{"files":[{"path":"/a\\u0000"}]}'),
    "raw NUL": config(b'"x":"\0"'), "raw newline": config(b'"x":"\n"'), "DEL": config(b'"x":"\x7f"'),
    "minus zero": user(b'"uid":-0'), "exponent": user(b'"uid":1e2'), "fraction": user(b'"uid":420.0'),
    "least integer": user(b'"uid":-9223372036854775808'), "less": user(b'"uid":-9223372036854775809'),
    "greatest integer": user(b'"uid":9223372036854775807'), "greater": user(b'"uid":9223372036854775808'),
    "greater than unsigned": user(b'"uid":18446744073709551616'), "very great": user(b'"uid":' + b"9" * 400),
    "huge unknown number": config(b'"x":1e99999'), "long unknown number": config(b'"x":' + b"1" * 400),
    "bare minus": config(b'"x":-'), "leading zero": config(b'"x":01'), "plus": config(b'"x":+1'), "dot first": config(b'"x":.5'),
    "deep": config(b'"x":' + b"[" * 9999 + b"]" * 9999), "too deep": config(b'"x":' + b"[" * 10000 + b"]" * 10000),
    "deep objects": config(b'"x":' + b'{"":' * 9999 + b"1" + b"}" * 9999),
    "deep where it matters": config(b'"storage":' + b"[" * 9999 + b"]" * 9999),
    "byte order mark": b"\xef\xbb\xbf" + version(b"3.3.0"), "NUL behind": version(b"3.3.0") + b"\0",
    "form feed behind": version(b"3.3.0") + b"\f", "newline behind": version(b"3.3.0") + b"\r\n\t ",
    "null": b"null", "list": b"[]", "string": b'"x"', "blanks": b"  ", "empty object": b"{}", "NUL": b"\0",
    "empty key": config(b'"":1'), "key with a dot": config(b'"a.b":1'),
    "second list shorter": config(b'"storage":{"files":[{"path":"/a","mode":99999}],"files":[{"path":"/b"}]}'),
    "second list under the first": config(b'"storage":{"files":[{"path":"/a","overwrite":true,"contents":{"source":"data:,x"}}],'
                                          b'"Files":[{"path":"/b","overwrite":true}]}'),
    "second list empty items": config(b'"passwd":{"users":[{"name":"a"},{"name":"b"}],"users":[{},{}]}'),
    "second list null items": config(b'"passwd":{"users":[{"name":"a"},{"name":"b"}],"users":[null,null]}'),
    "second list longer": config(b'"passwd":{"users":[{"name":"a"}],"users":[{},{}, {}]}'),
    "strings, then nulls": user(b'"groups":["x","y"],"groups":[null,null]'),
    "strings, then null": user(b'"groups":["x","x"],"groups":null'),
    "section twice": config(b'"storage":{"files":[{"path":"x"}]},"storage":{"links":[]}'),
    "section, then null": config(b'"storage":{"files":[{"path":"x"}]},"storage":null'),
    "three times": user(b'"uid":"x","uid":"y","uid":1'),
    "null in between": config(b'"passwd":{"users":[{"name":"a"},{"name":"a"}],"users":null,"users":[{},{}]}'),
}


# The package knows an experimental version that is none any more.
EXPERIMENTAL = re.compile(rb"3\.4\.0-experimental", re.I)
PIECES = (b"\0", b"\xff", b"\xc5\xbf", b"\\u0000", b"\\ud800", b'"', b",", b":", b"{", b"}", b"[", b"]", b"null", b"1e2", b"-0",
          b"-", b".", b"0", b"9", b"/", b" ", b"\n", b"true", b'""', b"\\")


def mangle(text, rng):
    at = rng.randrange(len(text) + 1)
    to = min(len(text), at + rng.choice((0, 1, 1, 2, 8, 32)))
    what = rng.random()
    if what < 0.4:
        return text[:at] + rng.choice(PIECES) + text[to:]
    if what < 0.6:
        return text[:at] + text[to:]
    if what < 0.8:
        return text[:at] + text[at:to] * 2 + text[to:]
    return text[:at] + bytes(c ^ 0x20 for c in text[at:to]) + text[to:]


class Verdicts(unittest.TestCase):
    def test_corpus(self):
        for path in sorted(CORPUS.glob("should-*.json")):
            with self.subTest(path.name):
                done = verdict(VALIDATE, path.read_bytes())
                self.assertEqual(done.returncode, 0 if path.name.startswith("should-pass-") else 1, done.stdout)
                if done.returncode:
                    self.assertTrue(b"error at " in done.stdout or done.stderr.startswith(b"couldn't parse config: "))

    def test_positions(self):
        text = b'{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"a"},\n  {"path":"/b","mode":"x"}]}}'
        done = verdict(VALIDATE, text)
        self.assertEqual(done.stdout, b"error at $.storage.files.1.mode, line 2 col 23: must be a whole number, "
                                      b"not a string\n")
        done = verdict(VALIDATE, text.replace(b'"x"', b"1"))
        self.assertEqual(done.stdout, b"error at $.storage.files.0.path, line 1 col 61: path not absolute\n")

    def test_command_line(self):
        def run(*argv):
            return subprocess.run([str(VALIDATE), *argv], capture_output=True, text=True)
        self.assertEqual(run("-version").returncode, 0)
        self.assertEqual(run().returncode, 1)
        self.assertEqual(run("/nonexistent").returncode, 1)
        self.assertTrue(run("/nonexistent").stderr.startswith("couldn't read config: "))
        self.assertEqual(run("/dev/null").stderr, "couldn't parse config: not a config (empty)\n")


class Differential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.reference = original()

    def same(self, text):
        ours, theirs = without(OURS_ALONE, verdict(VALIDATE, text)), verdict(self.reference, text)
        if ours.returncode != theirs.returncode:
            self.fail(f"{text.decode(errors='replace')}\nours: {ours.stdout!r} {ours.stderr!r}\n"
                      f"theirs: {theirs.stdout!r} {theirs.stderr!r}")
        return ours, theirs

    def test_go(self):
        for name, text in GO.items():
            with self.subTest(name):
                self.same(text)

    def test_places(self):
        """Settings that both find fault with are at the same line and column."""
        compared = 0
        for path in sorted(CORPUS.glob("should-fail-*.json")):
            text = path.read_bytes()
            if minor_of(text) > NEWEST_OF_REFERENCE:
                continue
            with self.subTest(path.name):
                ours, theirs = (places(done) for done in self.same(text))
                if ours and theirs:
                    self.assertTrue(ours & theirs, f"{ours} {theirs}")
                    compared += 1
        self.assertGreater(compared, 40)

    def test_bytes(self):
        """Any bytes: the valid configurations with some replaced, dropped, doubled, or moved."""
        rng = random.Random(int(os.environ.get("SEED", "1")))
        texts = [path.read_bytes() for path in sorted(CORPUS.glob("should-pass-*.json"))]
        texts = [text for text in texts if minor_of(text) <= NEWEST_OF_REFERENCE and len(text) < 4096]
        for _ in range(int(os.environ.get("MUTATIONS", "150"))):
            text = rng.choice(texts)
            for _ in range(rng.choice((1, 1, 2, 4))):
                text = mangle(text, rng)
            if not EXPERIMENTAL.search(text):
                self.same(text)

    def test_corpus(self):
        for path in sorted(CORPUS.glob("should-*.json")):
            text = path.read_bytes()
            if minor_of(text) <= NEWEST_OF_REFERENCE:
                with self.subTest(path.name):
                    self.same(text)

    def test_mutations(self):
        rng = random.Random(int(os.environ.get("SEED", "1")))
        base = json.loads((CORPUS / "should-pass-everything.json").read_text())
        for _ in range(int(os.environ.get("MUTATIONS", "150"))):
            tree = base
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                tree = mutate(tree, rng)
            if isinstance(tree, dict) and isinstance(tree.get("ignition"), dict) and rng.random() < 0.5:
                tree = {**tree, "ignition": {**tree["ignition"], "version": f"3.{rng.randrange(4)}.0"}}
            self.same(json.dumps(tree).encode())


if __name__ == "__main__":
    unittest.main()
