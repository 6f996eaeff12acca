"""Configurations for validators: the specification's objects as tables, random valid trees from them, and ways to spoil these.

A tree is an Object (list of [key, value]; keys may repeat), a list, or the bytes of a JSON scalar."""

import json

NEWEST_MINOR = 3


class Object(list):
    pass


def text(value):
    return json.dumps(value, ensure_ascii=False).encode()


def texts(*values):
    return [text(value) for value in values]


# What a setting may hold: (values that are valid, values that are not, or only in some version or company).
FLAG = (texts(True, False), [])
WORD = (texts("a", "b", "core", "x y", "ü", ""), [b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud83d"', b'"\xff"', b'"\xc0\x80"', b'"\n"', b'"\\x"'])
NUMBER = (texts(0, 1, 2, 1000, -1), [b"1e2", b"1.0", b"-0", b"-0.0", b"01", b"9223372036854775807", b"9223372036854775808",
                                     b"-9223372036854775809", b"1E+2", b"+1", b"1" * 40])
MODE = (texts(0, 0o644, 0o777), texts(0o1755, 0o4755, 0o7777, 0o10000, -1, 1 << 40))
MIB = (texts(0, 1, 100, 1024), texts(-1, 99, 101, 1 << 62) + [b"9223372036854775807"])
PATH = (texts(*[f"/a/{name}" for name in "bcdefghi"], "/", "/l/x", "/etc/systemd/system/a.service"),
        texts("", "a", "a/b", "/a/", "//a", "/a//b", "/a/./b", "/a/../b", "/..", "/.", ".", "..", "/...", "/a/..b", "/a\u0000", "/.a",
              "/etc/systemd/system/b.service.d/x.conf", "/" + "p/" * 3000 + "q"))
TARGET = (PATH[0], [*PATH[1], *texts("../b", "b", "./../c", "../../d", "/x/../e")])
DEVICE = (texts(*[f"/dev/sd{name}" for name in "abcdefgh"]), PATH[1])
SOURCE = (texts("data:,x", "data:,y", "data:;base64,eA==", "http://h/a", "https://h/b?c#d", "tftp://h/a", "s3://b/k", "s3://b/k?versionId=1"),
          texts("", "gs://b/o", "arn:aws:s3:::b/k", "s3://b/k?versionId=", "s3://b/k?a&versionId=", "s3://b/k?versionId", "s3://b/k#?versionId=",
                "s3://b/k?version%49d=", "s3://b/k?versionId=;", "s3://b/k?versionId=%zz", "s3://b/k?versionId=1&versionId=",
                "s3://b/k?versionId=&versionId=1", "ftp://h/", "HTTP://h/", "oem:///a",
                "://h", "h", "/a", "http//h", "http:", "http:/", "http://", "http://[::1", "http://[::1]/", "http://[::1]:x/", "http://h:80a/",
                "http://h:/", "http://h:99999/", "http://u:p@h/", "http://u@:p@h/", "http://u^@h/", "http://h/%zz", "http://h/%", "http://h%41/",
                "http://h%zz/", "http://[fe80::1%25e0]/", "http://[fe80::1%e0]/", "http://h /", "http://h/ a", "http://h/\u007f", "http://h/\n",
                "http://h/a?%zz", "http://h/#%zz", "http://h/#", "http://h/?", "http://ü/", "http://h/ü", " http://h/", "1http://h/", "ht+tp://h/", "a:b",
                "http://h<x/", "http://\"h\"/", "http://h\\/", "*", "http:///a", "http:a/b", "data:", "data", "data:x", "data:,%zz", "data:,%4", "data:,%41",
                "data:;base64,e", "data:;base64,eA", "data:;base64,eA=", "data:;base64,eA==\n", "data:;base64,e A==", "data:;base64,e%41==",
                "data:;base64,-_==", "data:;base64,", "data:text/plain,x", "data:text/plain;charset=utf-8,x", "data:text/plain;charset,x",
                "data:text/plain;charset=,x", "data:text/plain;a=\"b\",x", "data:text/plain;a=%22b%22,x", "data:text/,x", "data:/plain,x", "data:text,x",
                "data:text/plain;base64;a=b,x", "data:;a=b;base64,eA==", "data:;,x", "data:a b/c,x", "data:,a b", "data:,ü", "data:,a\nb", "data:,a,b",
                "data:;base64;base64,eA==", "data:text/plain;base64=x,x", "data:,a#b", "data:,a?b", "data:,\"", "data:;BASE64,eA==", "DATA:,x")
          + [b'"data:,\\u0000"', b'"data:,\xff"', b'"http://h/\\u0000"', b'"http://h/\xff"', b'"http://\xff/"'])
HASH = (texts("sha512-" + "0" * 128), texts("", "-", "sha512", "sha512-", "sha512-0", "sha256-" + "0" * 64, "sha256-" + "g" * 64, "sha512-" + "0" * 64,
                                            "sha512-" + "A" * 128, "sha512-" + "g" * 128, "md5-0", "SHA512-" + "0" * 128, "sha512_" + "0" * 128,
                                            "sha512-" + "0" * 127 + "-", "-sha512-0", "sha512-" + "0" * 126 + "ü", "none-"))
COMPRESSION = (texts("gzip", ""), texts("GZIP", "xz", "gzip "))
HEADER = (texts("A", "B-C", "User-Agent"), texts("", "a b", "ü", "a"))
GUID = (texts("", "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "0fc63daf-8483-4772-8e79-3d69d8477de4"),
        texts("0FC63DAF84834772-8E79-3D69D8477DE4", "0FC63DAF-8483-4772-8E79-3D69D8477DEG", " ", "0FC63DAF-8483-4772-8E79-3D69D8477DE4\n",
              "{0FC63DAF-8483-4772-8E79-3D69D8477DE4}", "0FC63DAF-8483-4772-8E79-3D69D8477DE40"))
LABEL = (texts(*"abcdef", "x" * 11), texts("", "a:b", "x" * 12, "x" * 15, "x" * 16, "x" * 17, "x" * 36, "x" * 37, "ü" * 18, "ü" * 19, "x" * 47,
                                           "x" * 48, "x" * 256, "x" * 257) + [b'"' + b"\xff" * 12 + b'"', b'"a\\u0000"'])
FORMAT = (texts("ext4", "btrfs", "xfs", "vfat", "swap"), texts("", "none", "ext3", "EXT4", "virtiofs"))
LEVEL = (texts("linear", "raid0", "0", "stripe", "raid1", "1", "mirror", "raid4", "4", "raid5", "5", "raid6", "6", "raid10", "10"),
         texts("", "raid7", "RAID1", "container", "raid01"))
UNIT = (texts("a.service", "b.service", "c.timer", "d@.service", "d@1.service", "d@2.service", "e.mount", "f.slice"),
        texts("", "a", ".service", "a.conf", "a.Service", "a.service ", "a@b@.service", "@.service", "d@.timer", "a.device", "a.snapshot", "a/b.service",
              "a.nspawn", "d@1.socket"))
DROPIN = (texts("a.conf", "b.conf", "x.conf"), texts("", "a", ".conf", "a.CONF", "a.conf.d"))
CONTENTS = (texts("[Service]\nA=b\n", "[Unit]\n[Install]\nWantedBy=x\n", "", "# c\n\n;d\n[A]\nB=c\\\n d\n", "[Install]\n"),
            texts("A=b", "[Service", "[Service]\nA", "[Service]\n=b\n", "[Service]\nA=\n", "Service]\n", "[Service]x\n", "[]\n", "[A]\nB=" + "x" * 2046,
                  "[A]\nB=" + "x" * 2045 + "\nC=d", "[A]\nB=" + "x" * 2048, "\\\n[A]", "[A]\nB\\\n=c", "[A]\r\nB=c\r\n", " [A]\n B=c\n", "[A]\n#c\\\nB=c",
                  "[A]\nB=c\\", "[A]\n[Install", "[A]\nB=c\n ;x\n", "[A] # c\n", "[A]\nB = c", "[A\n]\n", "[[A]]\nB=c", "\n", " ", "x", "[install]\n",
                  "[A]\nB=c\\\n", "[A]\nB=c\\\n\n[Install]\n", "[Install]", "[A]\n\tB=c", "[A]\n\fB\n", "\u00a0[A]\n", "[A]\nB=ü\n", "\ufeff[A]\n")
            + [b'"[A]\\nB=\\u0000"', b'"\xff"', b'"[\xff]\\n"', b'"[A]\\n\xff=b"'])
ARGUMENT = (texts("a", "b=c", "d", "quiet"), texts("", "a b", " a"))
PROXY = (texts("http://p/", "https://p/", ""), texts("p", "ftp://p/", "p:80", "HTTP://p/", "http:", "://", "http://%zz", "data:,x"))
LUKS = (texts("a", "b", "c", "d"), texts("", "a/b", "/", "x" * 300))
TANG = (texts("http://t/", "https://t:1/", "http://t/x"), texts("", "t", "ftp://t/", "http://%zz", "HTTPS://t/", "http:"))
THUMBPRINT = (texts("x"), texts(""))
PIN = (texts("tpm2", "tang", "sss"), texts("", "x", "TPM2"))
KEY = (texts("ssh-rsa A", "ssh-rsa B", "ssh-rsa C"), texts("", "x\ny"))

# Object: keys, each since which minor version, and what they hold: an object's name, [what a list holds], or values.
# "!" before a key: a valid object has it.
RESOURCE = {"!source": (0, SOURCE), "compression": (1, COMPRESSION), "verification": (0, "verification"), "httpHeaders": (1, ["header"])}
NODE = {"!path": (0, PATH), "overwrite": (0, FLAG), "user": (0, "owner"), "group": (0, "owner")}
OBJECTS = {
    "root": {"!ignition": (0, "ignition"), "storage": (0, "storage"), "systemd": (0, "systemd"), "passwd": (0, "passwd"),
             "kernelArguments": (3, "kernel")},
    "ignition": {"!version": (0, None), "config": (0, "merging"), "timeouts": (0, "timeouts"), "security": (0, "security"), "proxy": (1, "proxy")},
    "merging": {"merge": (0, ["resource"]), "replace": (0, "resource")},
    "timeouts": {"httpResponseHeaders": (0, NUMBER), "httpTotal": (0, NUMBER)},
    "security": {"tls": (0, "tls")},
    "tls": {"certificateAuthorities": (0, ["resource"])},
    "proxy": {"httpProxy": (0, PROXY), "httpsProxy": (0, PROXY), "noProxy": (0, [WORD])},
    "resource": RESOURCE,
    "contents": {**RESOURCE, "compression": (0, COMPRESSION)},
    "verification": {"hash": (0, HASH)},
    "header": {"!name": (0, HEADER), "value": (0, WORD)},
    "owner": {"id": (0, NUMBER), "name": (0, WORD)},
    "storage": {"files": (0, ["file"]), "directories": (0, ["directory"]), "links": (0, ["link"]), "disks": (0, ["disk"]), "raid": (0, ["raid"]),
                "filesystems": (0, ["filesystem"]), "luks": (2, ["luks"])},
    "file": {**NODE, "contents": (0, "contents"), "append": (0, ["contents"]), "mode": (0, MODE)},
    "directory": {**NODE, "mode": (0, MODE)},
    "link": {**NODE, "!target": (0, TARGET), "hard": (0, FLAG)},
    "disk": {"!device": (0, DEVICE), "wipeTable": (0, FLAG), "partitions": (0, ["partition"])},
    "partition": {"!number": (0, MIB), "label": (0, LABEL), "sizeMiB": (0, MIB), "startMiB": (0, MIB), "guid": (0, GUID), "typeGuid": (0, GUID),
                  "shouldExist": (0, FLAG), "wipePartitionEntry": (0, FLAG), "resize": (2, FLAG)},
    "raid": {"!name": (0, LUKS), "!level": (0, LEVEL), "!devices": (0, [DEVICE]), "spares": (0, NUMBER), "options": (0, [WORD])},
    "filesystem": {"!device": (0, DEVICE), "!format": (0, FORMAT), "path": (0, PATH), "label": (0, LABEL), "uuid": (0, GUID),
                   "wipeFilesystem": (0, FLAG), "options": (0, [WORD]), "mountOptions": (1, [WORD])},
    "luks": {"!name": (0, LUKS), "!device": (0, DEVICE), "keyFile": (0, "resource"), "label": (0, LABEL), "uuid": (0, WORD), "options": (0, [WORD]),
             "wipeVolume": (0, FLAG), "clevis": (0, "clevis")},
    "clevis": {"tang": (0, ["tang"]), "tpm2": (0, FLAG), "threshold": (0, NUMBER), "custom": (0, "custom")},
    "tang": {"!url": (0, TANG), "!thumbprint": (0, THUMBPRINT)},
    "custom": {"pin": (0, PIN), "config": (0, WORD), "needsNetwork": (0, FLAG)},
    "systemd": {"units": (0, ["unit"])},
    "unit": {"!name": (0, UNIT), "contents": (0, CONTENTS), "enabled": (0, FLAG), "mask": (0, FLAG), "dropins": (0, ["dropin"])},
    "dropin": {"!name": (0, DROPIN), "contents": (0, CONTENTS)},
    "passwd": {"users": (0, ["user"]), "groups": (0, ["group"])},
    "user": {"!name": (0, WORD), "passwordHash": (0, WORD), "sshAuthorizedKeys": (0, [KEY]), "uid": (0, NUMBER), "gecos": (0, WORD),
             "homeDir": (0, PATH), "noCreateHome": (0, FLAG), "primaryGroup": (0, WORD), "groups": (0, [WORD]), "noUserGroup": (0, FLAG),
             "noLogInit": (0, FLAG), "shell": (0, PATH), "system": (0, FLAG), "shouldExist": (2, FLAG)},
    "group": {"!name": (0, WORD), "gid": (0, NUMBER), "passwordHash": (0, WORD), "system": (0, FLAG), "shouldExist": (2, FLAG)},
    "kernel": {"shouldExist": (0, [ARGUMENT]), "shouldNotExist": (0, [ARGUMENT])},
}

# Values that are wrong somewhere, keys that fold to others, and texts around a configuration.
ODD = [b"null", b"true", b"false", b"0", b"-1", b"1e2", b"1.0", b"-0", b"1" * 40, b'""', b'"x"', b'"/a/b"', b"[]", b"{}", b"[null]", b"[{}]", b"[[]]",
       b'["x","x"]', b'{"source":"data:,x"}', b'{"id":1}', b"01", b"nul", b"'x'", b'"\\ud800"', b'"\xff"', b"1.", b"-", b"tru", b'"\t"', b"[1,]", b"{,}"]
FOLDS = [(b"s", "\u017f".encode()), (b"k", "\u212a".encode()), (b"i", "\u0131".encode()), (b"a", b"\\u0061"), (b"e", "\u00e9".encode())]
BEHIND = [b"\n", b" ", b"x", b"{}", b"null", b"\0", b",", b"}", b"]", b"\xff", b"\xef\xbb\xbf", b"//"]
BEFORE = [b"\n\t ", b"\xef\xbb\xbf", b"\0", b"x", b"[", b"\xff\xfe", b"#"]


class Maker:
    """Random trees of one version."""

    def __init__(self, rng, minor, spoil):
        self.rng, self.minor, self.spoil = rng, minor, spoil

    def value(self, kind, depth):
        if kind is None:
            return text(f"3.{self.minor}.0")
        if isinstance(kind, str):
            return self.object(kind, depth)
        if isinstance(kind, list):
            return self.list(kind[0], depth)
        good, bad = kind
        return self.rng.choice(bad if bad and self.rng.random() < self.spoil else good)

    def list(self, kind, depth):
        return [self.value(kind, depth) for _ in range(self.rng.choice((0, 1, 1, 2, 2, 3)))]

    def object(self, name, depth=0):
        chance = (0.45, 0.55)[depth > 1]
        members = Object()
        for key, (since, kind) in OBJECTS[name].items():
            known = since <= self.minor or self.rng.random() < 0.05
            if known and (key.startswith("!") or self.rng.random() < chance):
                members.append([key.lstrip("!").encode(), self.value(kind, depth + 1)])
        if self.rng.random() < 0.2:
            self.rng.shuffle(members)
        return members


def slots(tree):
    """Every (container, index) of a tree."""
    for index, item in enumerate(tree if isinstance(tree, list) else ()):
        yield tree, index
        yield from slots(item[1] if isinstance(tree, Object) else item)


def copy(tree):
    if isinstance(tree, Object):
        return Object([key, copy(value)] for key, value in tree)
    return [copy(item) for item in tree] if isinstance(tree, list) else tree


def put(container, index, value):
    if isinstance(container, Object):
        container[index][1] = value
    else:
        container[index] = value


def get(container, index):
    return container[index][1] if isinstance(container, Object) else container[index]


def drop(rng, tree, container, index):
    del container[index]


def double(rng, tree, container, index):
    container.insert(rng.randrange(len(container) + 1), copy(Object([container[index]]))[0] if isinstance(container, Object)
                     else copy(container[index]))


def oddness(rng, tree, container, index):
    put(container, index, rng.choice(ODD))


def splice(rng, tree, container, index):
    put(container, index, copy(get(*rng.choice(list(slots(tree))))))


def nullify(rng, tree, container, index):
    """A key stands again with null, an empty object or something odd, before or behind."""
    if isinstance(container, Object):
        container.insert(index + rng.randrange(2), [container[index][0], rng.choice((b"null", b"{}", b"[]", rng.choice(ODD)))])
    else:
        container.insert(index, b"null")


def rename(rng, tree, container, index):
    if not isinstance(container, Object):
        return
    key = container[index][0]
    old, new = rng.choice(FOLDS)
    container[index][0] = rng.choice((key.upper(), key.capitalize(), key + b"x", key.replace(old, new), b"", key + b"\\u0000", b"\xff", b"a.b"))


MUTATIONS = (drop, double, double, oddness, oddness, splice, nullify, rename)


def encode(tree, rng=None):
    """JSON; with rng, white space as it comes."""
    blank = rng.choice((b"", b" ", b"\n", b"\r\n\t", b" ")) if rng else b""
    if isinstance(tree, Object):
        return b"{" + blank + b",".join(blank + b'"' + key + b'":' + encode(value, rng) for key, value in tree) + b"}"
    if isinstance(tree, list):
        return b"[" + (b"," + blank).join(encode(item, rng) for item in tree) + blank + b"]"
    return tree


def random_tree(rng):
    tree = Maker(rng, rng.randrange(NEWEST_MINOR + 1), rng.choice((0, 0.02, 0.1, 0.3))).object("root")
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
        places = list(slots(tree))
        if places:
            rng.choice(MUTATIONS)(rng, tree, *rng.choice(places))
    return tree


def around(rng, config):
    """Now and then something stands before or behind."""
    what = rng.random()
    if what < 0.02:
        return rng.choice(BEFORE) + config
    return config + rng.choice(BEHIND) if what < 0.06 else config


def smaller(tree):
    """Copies of tree with one thing less each."""
    count = sum(1 for _ in slots(tree))
    for n in range(count):
        less = copy(tree)
        container, index = list(slots(less))[n]
        del container[index]
        yield less
