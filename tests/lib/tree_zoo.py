"""A directory with everything that a file system may hold, and the comparison of two directories.

Made as root it has owners, devices and capabilities as well.
"""

import hashlib
import os
import pathlib
import random
import socket
import stat
import struct
import subprocess

CLUSTERS = (4096, 8192, 65536, 131072, 1048576)
ENTRIES = 100_000
SPARSE = 5 << 30


def content(seed, size):
    """Stretches that compress well, a little, and not at all."""
    rng, parts, done = random.Random(seed), [], 0
    while done < size:
        n = min(size - done, rng.randrange(1, 60000))
        kind = rng.randrange(4)
        parts.append(bytes(n) if kind == 0 else rng.randbytes(n) if kind == 1
                     else (b"line %d of a text\n" % rng.randrange(50) * (n // 12 + 1))[:n])
        done += n
    return b"".join(parts)


def sizes():
    """From one byte to 1 MiB and one, around the end of every cluster."""
    return sorted({1, 2, 4095, 4096, 4097} | {c * k + d for c in CLUSTERS for k in (1, 2) for d in (-1, 0, 1)
                                              if c * k + d <= (1 << 20) + 1})


def acl(entries):
    """The xattr's value: version 2, then tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def make_xattrs(top):
    for i in range(1, 20):  # fsck.erofs stumbles over an empty value
        path = top / f"xattrs-{i}"
        path.write_bytes(b"x" * (i * 700))
        os.setxattr(path, f"user.name-{i}", bytes([i]) * (i * i))
        if i % 3 == 0:
            os.setxattr(path, "user." + "n" * 100, b"value" * 20)
    if os.geteuid() != 0:
        return
    path = top / "xattrs-1"
    os.setxattr(path, "system.posix_acl_access",
                acl([(1, 6, 0xffffffff), (2, 4, 1234), (4, 4, 0xffffffff), (16, 6, 0xffffffff), (32, 4, 0xffffffff)]))
    os.setxattr(path, "trusted.overlay.opaque", b"y")
    # Version 2 with CAP_NET_RAW, as setcap(8) writes it.
    os.setxattr(top / "xattrs-2", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))


def make_special(top):
    os.mkfifo(top / "fifo")
    sock = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(top)
    sock.bind("socket")
    sock.close()
    os.chdir(here)
    os.symlink("target", top / "link")
    os.symlink("t" * 4095, top / "long-link")
    os.symlink("/nowhere/" + "a/" * 1000, top / "another-link")
    if os.geteuid() == 0:
        os.mknod(top / "char", stat.S_IFCHR | 0o600, os.makedev(4, 64))
        os.mknod(top / "block", stat.S_IFBLK | 0o640, os.makedev(259, 1048575))
        os.chown(top / "fifo", 70000, 4000000000)


def make(top, sparse=True):
    top = pathlib.Path(top)
    top.mkdir()
    for size in sizes():
        for kind, data in (("mixed", content(size, size)), ("zero", bytes(size)),
                           ("random", random.Random(size).randbytes(size))):
            (top / f"{kind}-{size}").write_bytes(data)
    many = top / "many"
    many.mkdir()
    for i in range(ENTRIES):
        os.symlink(f"{i}", many / f"entry-{i * 7919 % ENTRIES:06d}")
    os.link(top / "mixed-65536", top / "hard-link")
    (top / ("n" * 255)).write_bytes(b"the longest name")
    for name in (b"\xff\xfe not UTF-8", b"new\nline", b" ", b"-", b"\xc3\xa4", b"!"):
        with open(os.path.join(os.fsencode(top), name), "wb") as file:
            file.write(name * 1000)
    deep = top
    for i in range(60):
        deep = deep / f"d{i}"
        deep.mkdir(mode=0o700 + i % 8)
    (deep / "bottom").write_bytes(b"deep")
    make_xattrs(top)
    make_special(top)
    if sparse:
        with open(top / "sparse", "wb") as file:
            for place in (0, (4 << 30) + 4094, SPARSE):
                file.seek(place)
                file.write(b"mark!")
    return top


def digest_of(path, size):
    """Of large files only what is at some places, as there may be gigabytes of nothing."""
    h = hashlib.sha256()
    with open(path, "rb") as file:
        if size <= 64 << 20:
            h.update(file.read())
        else:
            for place in (0, 1 << 20, (4 << 30) - 8192, 4 << 30, size - 9000):
                file.seek(place)
                h.update(file.read(9000))
    return h.hexdigest()


def describe(top, owners=True, xattrs=True):
    """Path → everything about it but times and the numbers of inodes; hard links by their first name."""
    top, answer, links = os.fsencode(top), {}, {}
    for directory, directories, files in os.walk(top):
        directories.sort()
        for name in [b"."] * (directory == top) + sorted(directories + files):
            path = os.path.join(directory, name)
            st = os.lstat(path)
            kind = stat.S_IFMT(st.st_mode)
            about = [oct(st.st_mode)]
            if owners:
                about += [st.st_uid, st.st_gid]
            if kind == stat.S_IFREG:
                about += [st.st_size, st.st_nlink, digest_of(path, st.st_size)]
                if st.st_nlink > 1:
                    about.append(links.setdefault((st.st_dev, st.st_ino), path[len(top):]))
            elif kind == stat.S_IFLNK:
                about.append(os.readlink(path))
            elif kind in (stat.S_IFCHR, stat.S_IFBLK):
                about.append(st.st_rdev)
            if xattrs:
                about += [(n, os.getxattr(path, n, follow_symlinks=False))
                          for n in sorted(os.listxattr(path, follow_symlinks=False))]
            answer[path[len(top):]] = about
    return answer


def differences(a, b, limit=5):
    """What the two descriptions do not agree in, as lines."""
    lines = [f"{path!r}: {a.get(path)} != {b.get(path)}" for path in sorted(a.keys() | b.keys())
             if a.get(path) != b.get(path)]
    return lines[:limit] + ([f"and {len(lines) - limit} more"] if len(lines) > limit else [])


class Mounted:
    """An image under a directory, by this machine's kernel."""

    def __init__(self, image, at, options="ro"):
        self.image, self.at, self.options = image, pathlib.Path(at), options

    def __enter__(self):
        self.at.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "erofs", "-o", f"{self.options},loop", self.image, self.at], check=True)
        return self.at

    def __exit__(self, *_):
        subprocess.run(["umount", self.at], check=True)
