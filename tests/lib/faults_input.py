"""Faults of what the composer reads: JSON, requirements, packages, repositories."""

import functools
import hashlib
import json
import shutil
import time

from faults import fault, need, recovers, refused
from tiny import Key, Repository, make_deb, noise

# ---- manifest and layer: what is replaced, by what; "@" is where the message must point ----

MANIFEST = [
    ("syntax error: missing comma", '"version": "1.0",\n  "', '"version": "1.0"\n  @"', "','"),
    ("syntax error: ends early", '"layers": [', "@", "expected"),
    ("unknown key", '"version":', '"vresion": @"1", "version":', 'unknown key "vresion"'),
    ("duplicate key", '"version": "1.0"', '"version": "1.0", @"version": "1.0"', '"version"'),
    ("wrong type: number for a string", '"version": "1.0"', '"version": @1', "must be a string"),
    ("wrong type: string for a list", '"layers": [\n    "base"\n  ]', '"layers": @"base"',
     "must be an array of strings"),
    ("wrong type: null", '{\n  "name": "tiny"', '@{\n  "name": null', '"name" must not be null'),
    ("out of range: partition below 1 MiB", '"usr": "4M"', '"usr": @"4K"',
     "must be between 1048576 and"),
    ("out of range: negative size", '"usr": "4M"', '"usr": @-1', "must not be negative"),
    ("out of range: beyond 64 bits", '"usr": "4M"', '"usr": @"99999999999T"', "must be a size"),
    ("unknown architecture", '"amd64"', '@"mips"', 'must be one of "amd64", "arm64"'),
    ("a version that cannot be a name", '"version": "1.0"', '"version": @"1/0"',
     'must be a version such as "1.2.0"'),
    ("unknown output format", '"version": "1.0"', '"version": "1.0", "outputs": @["floppy"]',
     'unknown output format "floppy"'),
    ("relative keyring", '"keyring": "', '"keyring": @"x', "must be an absolute path"),
    ("missing key", '{\n  "name": "tiny",\n  "version": "1.0",', '@{\n  "name": "tiny",',
     'lacks "version"'),
]
LAYER = [
    ("syntax error: trailing comma", '"quiet"\n    ]\n  }', '"quiet"\n    ],\n  @}',
     "expected a string, found '}'"),
    ("unknown key", '"packages":', '"package": @[], "packages":', 'unknown key "package"'),
    ("unknown key in an object", '"options":', '"option": @[], "options":', 'unknown key "option"'),
    ("duplicate key", '"kernel":', '"kernel": {}, @"kernel":', '"kernel"'),
    ("wrong type: number in a list", '"hello"', "@1", "must contain strings, not"),
    ("wrong type: list for an object", '"units": {', '"units": @[], "x": {', "must be an object"),
    ("bad mode", '"units":', '"attributes": [{"path": "/x", "mode": @"0999"}], "units":',
     "must be an octal mode"),
]


def position(text, offset):
    before = text[:offset]
    return f"{before.count(chr(10)) + 1}:{offset - before.rfind(chr(10))}"


def bad_json(which, old, new, expected, tiny):
    tiny.write()
    path = tiny.manifest_path if which == "manifest" else tiny.layer_path
    text = path.read_text()
    need(text.count(old) == 1, f"the test is wrong: '{old}' stands {text.count(old)} times")
    text = text.replace(old, new)
    if new == "@":
        text = text[:text.index("@") + 1]
    place = f"{path}:" + (position(text, text.index("@")) if "@" in new else "")
    path.write_text(text.replace("@", ""))
    refused(tiny, place, expected, write=False)
    recovers(tiny)


for _which, _rows in (("manifest", MANIFEST), ("layer", LAYER)):
    for _name, *_row in _rows:
        fault(f"{_which}: {_name}")(functools.partial(bad_json, _which, *_row))


@fault("layer that is not there")
def missing_layer(tiny):
    tiny.manifest["layers"].append("nothing")
    refused(tiny, "layer 'nothing'", "nothing/layer.json")
    tiny.manifest["layers"].pop()
    recovers(tiny)


# ---- requirements ----

@fault("a package that no repository has")
def not_found(tiny):
    tiny.layer["packages"].append("nosuch")
    refused(tiny, "layer 'base'", "package 'nosuch'", imported=False)
    tiny.layer["packages"].pop()
    recovers(tiny)


@fault("a requirement that nothing provides")
def unsatisfiable(tiny):
    tiny.add(make_deb("hello", "1.1", depends="base-files, libmissing (>= 2)"))
    refused(tiny, "layer 'base': package 'hello'", "'hello' needs 'libmissing (>= 2)'",
            imported=False)
    tiny.add(make_deb("libmissing", "2"))
    recovers(tiny)


@fault("a requirement of a requirement, in a version that is not there")
def unsatisfiable_below(tiny):
    tiny.add(make_deb("hello", "1.1", depends="libhello"), make_deb("libhello", "1",
                                                                 depends="base-files (>= 99)"))
    refused(tiny, "package 'hello'", "'libhello' needs 'base-files (>= 99)'", imported=False)
    tiny.add(make_deb("libhello", "1"))
    recovers(tiny)


@fault("packages that conflict")
def conflict(tiny):
    tiny.add(make_deb("hello", "1.1", conflicts="systemd (<< 300)"))
    refused(tiny, "layer 'base'", "'hello' conflicts with 'systemd' (systemd (<< 300))",
            imported=False)
    tiny.add(make_deb("hello", "1.2"))
    recovers(tiny)


# ---- packages ----

@fault("a wrong sha256 in the index")
def wrong_digest(tiny):
    tiny.repository.publish(changes={"hello": {"SHA256": "0" * 64}})
    refused(tiny, "package 'hello' 1.0", "sha256 is", "must be " + "0" * 64, imported=False)
    need(not list((tiny.cache / "packages").glob("0000*")), "the wrong file is in the cache")
    tiny.repository.publish()
    recovers(tiny)


@fault("a .deb shorter than the index says")
def truncated(tiny):
    path = tiny.repository.deb_path("hello")
    data = path.read_bytes()
    path.write_bytes(data[:-1000])
    refused(tiny, "package 'hello' 1.0", f"ended after {len(data) - 1000} of {len(data)} bytes",
            imported=False)
    path.write_bytes(data)
    recovers(tiny)


@fault("a .deb longer than the index says")
def too_long(tiny):
    path = tiny.repository.deb_path("hello")
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    refused(tiny, "package 'hello' 1.0", f"longer than the {len(data)} bytes", imported=False)
    path.write_bytes(data)
    recovers(tiny)


@fault("a .deb that changed in the cache")
def rotten_cache(tiny):
    tiny.add(make_deb("extra", "1", {"usr/share/extra": noise(5000)}))
    tiny.layer["packages"].append("extra")
    need(tiny.try_build("--until", "fetch").returncode == 0, "fetch")
    path = max((tiny.cache / "packages").glob("*.deb"), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refused(tiny, path.name, "its sha256 is", imported=False)
    path.unlink()
    recovers(tiny)


def corrupt(tiny, data, *texts):
    """A .deb of which the index says the truth, but that is none."""
    deb = make_deb("hello", "2.0")
    good = deb.data
    deb.data = data(good)
    deb.sha256 = hashlib.sha256(deb.data).hexdigest()
    tiny.add(deb)
    refused(tiny, "package 'hello'", *texts, imported=False)
    tiny.add(make_deb("hello", "2.1"))
    recovers(tiny)


CORRUPT = [
    ("not an ar archive", lambda d: b"!<arsch>" + d[8:], ("hello' 2.0",)),
    ("an empty file", lambda d: b"", ("a bad size",)),
    ("cut off, with the sha256 of what is left", lambda d: d[:-100], ("data.tar.xz",)),
    ("a flipped byte in data.tar.xz", lambda d: d[:-40] + bytes([d[-40] ^ 255]) + d[-39:],
     ("data.tar.xz",)),
    ("without data.tar", lambda d: d[:d.index(b"data.tar")], ("member",)),
    ("format version 3", lambda d: d.replace(b"2.0\n", b"3.0\n", 1), ("debian-binary",)),
]
for _name, _data, _texts in CORRUPT:
    fault(f"corrupt .deb: {_name}")(
        lambda tiny, data=_data, texts=_texts: corrupt(tiny, data, *texts))


ESCAPES = [
    ("'..' in a path", {"usr/share/../../../../escape": b"x"}, "component '..'"),
    ("an absolute path", {"/escape": b"x"}, "absolute"),
    ("a file below a symlink that leads out", {"usr/out": "/tmp", "usr/out/escape": b"x"},
     "'out' above it is not a directory"),
    ("a file below a relative symlink that leads out",
     {"usr/out": "../../../..", "usr/out/escape": b"x"}, "'out' above it is not a directory"),
    ("a directory where a symlink was", {"usr/out": "/tmp", "usr/out/d/escape": b"x"},
     "'out' above it is not a directory"),
]


def escape(tiny, files, text):
    tiny.add(make_deb("hello", "2.0", files, parents=False))
    refused(tiny, "package 'hello' 2.0", "data.tar", text, imported=False)
    found = list(tiny.path.rglob("escape"))
    need(not found, f"written: {found}")
    tiny.add(make_deb("hello", "2.1"))
    recovers(tiny)


for _name, _files, _text in ESCAPES:
    fault(f"archive: {_name}")(
        lambda tiny, files=_files, text=_text: escape(tiny, files, text))


# ---- repositories ----

SUITE = "repository 'test', suite 'stable'"


@fault("InRelease altered after it was signed")
def altered(tiny):
    tiny.repository.publish(sign="altered")
    refused(tiny, SUITE, "InRelease", "signature", imported=False)
    tiny.repository.publish()
    recovers(tiny)


@fault("InRelease without a signature")
def unsigned(tiny):
    tiny.repository.publish(sign="none")
    refused(tiny, SUITE, "InRelease", imported=False)
    tiny.repository.publish()
    recovers(tiny)


@fault("InRelease signed by a key that the keyring does not hold")
def other_key(tiny):
    with Key() as other:
        tiny.repository.publish(sign=other)
        refused(tiny, SUITE, "signed by a key that the keyring does not hold", imported=False)
    tiny.repository.publish()
    recovers(tiny)


@fault("a bad signature where a good one was: what is cached does not vouch for it")
def altered_later(tiny):
    tiny.build()
    tiny.repository.publish(sign="altered")
    refused(tiny, SUITE, "InRelease")
    tiny.repository.publish()
    recovers(tiny)


def built(tiny):
    """The version of hello that the report says the image has; it is imported."""
    version, = [p["version"] for p in tiny.report()["packages"] if p["name"] == "hello"]
    need(f"pkg/deb/hello/{version}/amd64" in tiny.refs(), "not imported")
    return version


@fault("a new version on the server: the build has it, whatever the cache remembers")
def new_version(tiny):
    tiny.build()
    need(built(tiny) == "1.0", built(tiny))
    tiny.add(make_deb("hello", "1.1", {"usr/bin/hello": b"new\n"}))
    tiny.build()
    need(built(tiny) == "1.1", built(tiny))
    # The cache has both now, and an empty repository is filled while the server is asked.
    shutil.rmtree(tiny.cache / "repo")
    tiny.add(make_deb("hello", "1.2", {"usr/bin/hello": b"newer\n"}))
    need(not tiny.build()["unchanged"], "took the old version for what is wanted")
    need(built(tiny) == "1.2", built(tiny))
    need(tiny.build()["unchanged"], "built again for nothing")


@fault("a newer date on the server, the same packages: the image follows the date")
def new_date(tiny):
    tiny.environment.pop("SOURCE_DATE_EPOCH")
    tiny.repository.publish(date=time.time() - 86400)
    tiny.build()
    before = tiny.report()
    tiny.repository.publish(date=time.time() - 3600)
    need(not tiny.build()["unchanged"], "took the old date")
    after = tiny.report()
    need(before["commit"] != after["commit"], "the same commit")
    shutil.rmtree(tiny.cache)
    tiny.build(output=tiny.path / "fresh")
    need(tiny.report(tiny.path / "fresh")["commit"] == after["commit"], "another commit with an empty cache")


@fault("what the cache remembers is damaged: as good as none")
def damaged_memory(tiny):
    tiny.build()
    wanted = tiny.report()["commit"]
    for pattern in ("derived/trees.*", "derived/module-set-*", "derived/initrd-*", "solv/*.json"):
        paths = list(tiny.cache.glob(pattern))
        need(paths, f"no {pattern}")
        for path in paths:
            data = path.read_bytes()
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        shutil.rmtree(tiny.output)
        tiny.build()
        need(tiny.report()["commit"] == wanted, f"another commit after damage to {pattern}")
    for path in tiny.cache.glob("packages/*.deb"):
        path.unlink()
    shutil.rmtree(tiny.cache / "repo")
    recovers(tiny)


@fault("an object that the repository has lost: said, whatever the cache remembers")
def lost_object(tiny):
    tiny.build()
    for path in (tiny.cache / "repo/objects").rglob("*.file"):
        if path.read_bytes() == noise(300000):  # usr/bin/hello
            path.unlink()
    tiny.files["usr/share/tiny/motd"] = "Changed\n"
    refused(tiny, "package 'hello' 1.0", "object ")


@fault("a keyring that is not there")
def no_keyring(tiny):
    good = tiny.manifest["repositories"][0]["keyring"]
    tiny.manifest["repositories"][0]["keyring"] = "/nonexistent/keyring.gpg"
    refused(tiny, SUITE, "/nonexistent/keyring.gpg", "No such file", imported=False)
    tiny.manifest["repositories"][0]["keyring"] = good
    recovers(tiny)


@fault("an index that is not the one InRelease names")
def altered_index(tiny):
    tiny.repository.publish(index="altered")
    refused(tiny, SUITE, "/dists/stable/main/binary-amd64/", "sha256 is", imported=False)
    tiny.repository.publish()
    recovers(tiny)


@fault("a suite under another one's name")
def other_suite(tiny):
    tiny.repository.publish(fields={"Suite": "unstable", "Codename": "sid"})
    refused(tiny, SUITE, "'unstable'", "'sid'", imported=False)
    tiny.repository.publish()
    recovers(tiny)


@fault("no URL for a repository")
def no_mirror(tiny):
    tiny.manifest["repositories"][0]["name"] = "elsewhere"
    refused(tiny, "no URL for repository 'elsewhere'", "--mirror elsewhere=URL",
            "SLIPWAY_MIRROR_ELSEWHERE", imported=False)
    tiny.manifest["repositories"][0]["name"] = "test"
    recovers(tiny)


def expire(tiny):
    now = time.time()
    tiny.repository.publish(date=now - 20 * 86400, valid_until=now - 86400)


def says_expired(tiny, by):
    warnings = json.loads(tiny.artifact(".report.json").read_text())["warnings"]
    need(len(warnings) == 1 and SUITE in warnings[0] and "expired at" in warnings[0]
         and by in warnings[0], f"the report's warnings: {warnings}")


@fault("metadata past its Valid-Until")
def expired(tiny):
    expire(tiny)
    refused(tiny, SUITE, "expired at", "--allow-expired", imported=False)
    tiny.repository.publish()
    recovers(tiny)


@fault("metadata past its Valid-Until that was valid when it was fetched")
def expired_later(tiny):
    expire(tiny)
    tiny.build("--allow-expired")
    refused(tiny, SUITE, "expired at", "--allow-expired")
    refused(tiny, SUITE, "expired at", options=["--offline"])


@fault("metadata past its Valid-Until, with --allow-expired: built, and the report says so")
def allow_expired(tiny):
    expire(tiny)
    tiny.build("--allow-expired")
    says_expired(tiny, "--allow-expired")


@fault("metadata past its Valid-Until, with apt's Check-Valid-Until false: built, the report says")
def apt_allows_expired(tiny):
    expire(tiny)
    with open(tiny.environment["APT_CONFIG"], "a", encoding="ascii") as config:
        config.write('Acquire::Check-Valid-Until "false";\n')
    tiny.build()
    says_expired(tiny, "Check-Valid-Until")


@fault("metadata made in the future")
def from_the_future(tiny):
    tiny.repository.publish(date=time.time() + 5 * 86400)
    refused(tiny, SUITE, "made in the future", imported=False)
    tiny.repository.publish()
    recovers(tiny)


@fault("one of two repositories unsigned: nothing of either is taken")
def one_of_two(tiny):
    with Repository(tiny.repository.key) as second:
        second.add(make_deb("second", "1"))
        second.publish(sign="none")
        tiny.manifest["repositories"].append(tiny.manifest["repositories"][0] | {"name": "second"})
        refused(tiny, "repository 'second'", "InRelease", imported=False,
                options=["--mirror", f"second=file://{second.path}"])
        tiny.manifest["repositories"].pop()
    recovers(tiny)
