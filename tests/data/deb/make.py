#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the small .debs of this folder: good-*.deb, and one should-fail-*.deb for each defect.

The files are committed; run this again only to add one. The output is a pure function of this text.
"""
import gzip
import io
import lzma
import os
import subprocess
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
TIME = 1700000000


def entry(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, link="", uid=0, gid=0, mtime=TIME,
          size=None, pax=None):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, link
    info.uid, info.gid, info.mtime = uid, gid, mtime
    info.size = len(data) if size is None else size
    info.pax_headers = pax or {}
    return info, data


def directory(name, mode=0o755, **more):
    return entry(name, tarfile.DIRTYPE, mode=mode, **more)


def tar(*entries, fmt=tarfile.GNU_FORMAT):
    out = b""
    for info, data in entries:
        out += info.tobuf(fmt, "utf-8", "surrogateescape")
        out += data + b"\0" * (-len(data) % 512)
    return out + b"\0" * 1024


def ar(*members):
    out = b"!<arch>\n"
    for name, data in members:
        out += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), TIME, 0, 0, b"100644",
                                                    len(data))
        out += data + b"\n" * (len(data) % 2)
    return out


def gz(data):
    return gzip.compress(data, mtime=0)


def zst(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


CONTROL = tar(directory("./"),
              entry("./control", data=b"Package: sample\nVersion: 1\nArchitecture: all\n"),
              entry("./postinst", data=b"#!/bin/sh\n", mode=0o755))
BINARY = ("debian-binary", b"2.0\n")
GOOD = (directory("./"), directory("./usr/"), directory("./usr/bin/"),
        entry("./usr/bin/su", data=b"root\n", mode=0o4755, gid=42),
        entry("./usr/bin/su2", tarfile.LNKTYPE, link="./usr/bin/su", mode=0o4755, gid=42),
        entry("./usr/bin/sh", tarfile.SYMTYPE, link="/bin/dash", mode=0o777),
        directory("./usr/share/sample", mode=0o2775, uid=7, gid=8),
        entry("./usr/share/sample/F\u0151tan\u00fas\u00edtv\u00e1ny", data=b"utf-8", mtime=TIME + 5),
        entry("./usr/share/sample/empty"))


def deb(*entries, fmt=tarfile.GNU_FORMAT):
    return ar(BINARY, ("control.tar.gz", gz(CONTROL)), ("data.tar.gz", gz(tar(*entries, fmt=fmt))))


def whole(data_name, data):
    return ar(BINARY, ("control.tar.gz", gz(CONTROL)), (data_name, data))


USR = directory("./usr/")
XATTR = {"SCHILY.xattr.security.capability": "\x01\x00\x00\x02abc"}
FILES = {
    "good-none": ar(BINARY, ("control.tar", CONTROL), ("data.tar", tar(*GOOD))),
    "good-gz": whole("data.tar.gz", gz(tar(*GOOD))),
    "good-xz": ar(BINARY, ("control.tar.xz", lzma.compress(CONTROL)),
                  ("data.tar.xz", lzma.compress(tar(*GOOD)))),
    "good-zst": ar(BINARY, ("control.tar.zst", zst(CONTROL)), ("_gpgorigin", b"signature"),
                   ("data.tar.zst", zst(tar(*GOOD)))),
    "good-xattr": deb(USR, entry("./usr/ping", data=b"x", mode=0o755, pax=XATTR),
                      fmt=tarfile.PAX_FORMAT),
    "should-fail-dotdot": deb(USR, entry("./usr/../../etc/passwd", data=b"x")),
    "should-fail-dotdot-end": deb(USR, directory("./usr/..")),
    "should-fail-dot-inside": deb(USR, entry("./usr/./x", data=b"x")),
    "should-fail-empty-component": deb(USR, entry("./usr//x", data=b"x")),
    "should-fail-absolute": deb(entry("/etc/passwd", data=b"x")),
    "should-fail-below-symlink": deb(USR, entry("./usr/lib", tarfile.SYMTYPE, link="/etc"),
                                     entry("./usr/lib/x", data=b"x")),
    "should-fail-below-file": deb(USR, entry("./usr/lib", data=b"x"),
                                  entry("./usr/lib/x", data=b"x")),
    "should-fail-link-below-symlink": deb(USR, entry("./usr/file", data=b"x"),
                                          entry("./usr/lib", tarfile.SYMTYPE, link="/etc"),
                                          entry("./usr/lib/x", tarfile.LNKTYPE,
                                                link="./usr/file")),
    "should-fail-link-missing": deb(USR, entry("./usr/x", tarfile.LNKTYPE, link="./usr/none")),
    "should-fail-link-dotdot": deb(USR, entry("./usr/x", tarfile.LNKTYPE, link="../etc/shadow")),
    "should-fail-link-absolute": deb(USR, entry("./usr/x", tarfile.LNKTYPE, link="/etc/shadow")),
    "should-fail-link-directory": deb(USR, entry("./usr/x", tarfile.LNKTYPE, link="./usr")),
    "should-fail-link-through-symlink": deb(USR, directory("./usr/d"),
                                            entry("./usr/d/f", data=b"x"),
                                            entry("./usr/s", tarfile.SYMTYPE, link="d"),
                                            entry("./usr/x", tarfile.LNKTYPE, link="./usr/s/f")),
    "should-fail-twice": deb(USR, entry("./usr/x", data=b"1"), entry("./usr/x", data=b"2")),
    "should-fail-file-over-directory": deb(USR, directory("./usr/d"), entry("./usr/d", data=b"x")),
    "should-fail-root-is-file": deb(entry("./", tarfile.SYMTYPE, link="/etc")),
    "should-fail-device": deb(USR, entry("./usr/null", tarfile.CHRTYPE)),
    "should-fail-fifo": deb(USR, entry("./usr/pipe", tarfile.FIFOTYPE)),
    "should-fail-long-name": deb(USR, entry("./usr/" + "n" * 256, data=b"x")),
    "should-fail-long-path": deb(USR, entry("./usr" + "/directory" * 500, data=b"x")),
    "should-fail-control-character": deb(USR, entry("./usr/a\nb", data=b"x")),
    "should-fail-empty-target": deb(USR, entry("./usr/x", tarfile.SYMTYPE, link="")),
    "should-fail-owner": deb(USR, entry("./usr/x", data=b"x", uid=1 << 40)),
    "should-fail-huge": deb(USR, entry("./usr/x", size=1 << 50)),
    "should-fail-content-cut": deb(USR, entry("./usr/x", data=b"short", size=100000)),
    "should-fail-tar-cut": whole("data.tar", tar(*GOOD)[:700]),
    "should-fail-tar-checksum": whole("data.tar", tar(*GOOD).replace(b"root\0", b"rooT\0", 1)
                                      .replace(b"0000755", b"0000555", 2)),
    "should-fail-gz-cut": whole("data.tar.gz", gz(tar(*GOOD))[:120]),
    "should-fail-xz-cut": whole("data.tar.xz", lzma.compress(tar(*GOOD))[:150]),
    "should-fail-xz-flipped": whole("data.tar.xz", bytes(
        b ^ (0x55 if i == 90 else 0) for i, b in enumerate(lzma.compress(tar(*GOOD))))),
    "should-fail-zst-cut": whole("data.tar.zst", zst(tar(*GOOD))[:100]),
    "should-fail-wrong-compression": whole("data.tar.xz", gz(tar(*GOOD))),
    "should-fail-unknown-compression": whole("data.tar.lz", gz(tar(*GOOD))),
    "should-fail-no-data": ar(BINARY, ("control.tar.gz", gz(CONTROL))),
    "should-fail-no-control": ar(BINARY, ("data.tar.gz", gz(tar(*GOOD)))),
    "should-fail-version": ar(("debian-binary", b"3.0\n"), ("control.tar.gz", gz(CONTROL)),
                              ("data.tar.gz", gz(tar(*GOOD)))),
    "should-fail-not-ar": b"This is no package.\n",
    "should-fail-ar-cut": deb(*GOOD)[:300],
    "should-fail-ar-size": deb(*GOOD).replace(b"4         `", b"99999999  `", 1),
    "should-fail-not-tar": whole("data.tar.gz", gz(b"x" * 600)),
}

for name, data in FILES.items():
    with open(os.path.join(HERE, name + ".deb"), "wb") as f:
        f.write(data)
