"""Roots to provision, made the same every time, and what is in them as a table that can be compared."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import stat

LOGIN_DEFS_DEBIAN = """# Debian's
MAIL_DIR        /var/mail
UMASK\t\t022
PASS_MAX_DAYS\t99999
PASS_MIN_DAYS\t0
PASS_WARN_AGE\t7
UID_MIN\t\t\t 1000
UID_MAX\t\t\t60000
#SYS_UID_MIN\t\t  100
SUB_UID_MIN\t\t   100000
SUB_UID_MAX\t\t600100000
SUB_UID_COUNT\t\t    65536
GID_MIN\t\t\t 1000
GID_MAX\t\t\t60000
SUB_GID_MIN\t\t   100000
SUB_GID_MAX\t\t600100000
SUB_GID_COUNT\t\t    65536
USERGROUPS_ENAB yes
ENCRYPT_METHOD SHA512
"""

LOGIN_DEFS_FEDORA = """MAIL_DIR\t/var/spool/mail
UMASK\t\t022
HOME_MODE\t0700
PASS_MAX_DAYS\t99999
PASS_MIN_DAYS\t0
PASS_WARN_AGE\t7
UID_MIN                  1000
UID_MAX                 60000
SYS_UID_MIN               201
SYS_UID_MAX               999
GID_MIN                  1000
GID_MAX                 60000
SYS_GID_MIN               201
SYS_GID_MAX               999
USERGROUPS_ENAB yes
CREATE_HOME\tyes
"""

LOGIN_DEFS_ODD = """UMASK 077
PASS_MAX_DAYS 90
UID_MIN 0x7d0
UID_MAX 2010
GID_MIN 3000
GID_MAX 3010
SUB_UID_MIN 200000
SUB_UID_COUNT 1000
SUB_GID_COUNT 0
USERGROUPS_ENAB no
CREATE_HOME no
"""

PASSWD = """root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
core:x:1000:1000:Core,,,:/home/core:/bin/bash
old:x:1500:1500::/home/old:/bin/sh
shared:x:1501:100::/home/old/shared:/bin/sh
svc:x:998:998::/:/usr/sbin/nologin
"""
SHADOW = """root:*:19000:0:99999:7:::
daemon:*:19000:0:99999:7:::
nobody:*:19000:0:99999:7:::
core:$y$j9T$abc$def:19000:0:99999:7:::
old:!:19000::::::
shared:!!:19000:0:99999:7:30:20000:
svc:!:19000::::::
"""
GROUP = """root:x:0:
daemon:x:1:
adm:x:4:core
wheel:x:10:root,core,old
users:x:100:
nogroup:x:65534:
core:x:1000:
old:x:1500:
svc:x:998:
video:x:44:old
spare:x:2500:
"""
GSHADOW = """root:*::
daemon:*::
adm:*::core
wheel:*:old:root,core,old
users:*::
nogroup:*::
core:!::
old:!::
svc:!::
video:*::old
spare:!::
"""

UNIT = "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


class Maker:
    """Writes below one directory."""

    def __init__(self, top):
        self.top = pathlib.Path(top)

    def path(self, path):
        return self.top / path.lstrip("/")

    def mkdir(self, path, mode=0o755, uid=0, gid=0):
        self.path(path).mkdir(parents=True, exist_ok=True)
        os.chown(self.path(path), uid, gid)
        os.chmod(self.path(path), mode)

    def put(self, path, text, mode=0o644, uid=0, gid=0):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        os.chown(self.path(path), uid, gid)
        os.chmod(self.path(path), mode)

    def link(self, path, target, uid=0, gid=0):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).symlink_to(target)
        os.chown(self.path(path), uid, gid, follow_symlinks=False)


def accounts(make, gshadow=True, sub_ids=True):
    make.put("/etc/passwd", PASSWD)
    make.put("/etc/shadow", SHADOW, 0o640, 0, 42)
    make.put("/etc/group", GROUP)
    if gshadow:
        make.put("/etc/gshadow", GSHADOW, 0o640, 0, 42)
    if sub_ids:
        make.put("/etc/subuid", "core:100000:65536\nold:300000:65536\n")
        make.put("/etc/subgid", "core:100000:65536\nold:300000:65536\n")


def skel(make, at="/etc/skel"):
    make.put(f"{at}/.bashrc", "# bashrc\n")
    make.put(f"{at}/.config/deep/file", "deep\n", 0o600)
    make.put(f"{at}/bin/tool", "#!/bin/sh\n", 0o755)
    make.mkdir(f"{at}/.cache", 0o700)
    make.link(f"{at}/.profile", ".bashrc")
    make.link(f"{at}/absolute", f"{at}/.bashrc")
    make.put(f"{at}/odd-owner", "x", 0o4711, 3, 4)


def homes(make):
    make.mkdir("/root", 0o700)
    make.mkdir("/home/core", 0o755, 1000, 1000)
    make.put("/home/core/mine", "m", 0o600, 1000, 1000)
    make.put("/home/core/group", "g", 0o640, 1000, 10)
    make.put("/home/core/other", "o", 0o644, 77, 1000)
    make.put("/home/core/setuid", "s", 0o4755, 1000, 1000)
    make.link("/home/core/link", "mine", 1000, 1000)
    make.mkdir("/home/core/dir", 0o2750, 1000, 1000)
    make.put("/home/core/dir/below", "b", 0o644, 1000, 1000)
    make.mkdir("/home/old", 0o700, 1500, 1500)
    make.put("/home/old/file", "f", 0o644, 1500, 1500)
    make.mkdir("/home/old/shared", 0o700, 1501, 100)
    make.mkdir("/home/there", 0o750, 7, 8)
    make.put("/home/there/kept", "k")


def places(make):
    """What storage entries meet."""
    make.put("/etc/hostname", "localhost\n")
    make.put("/etc/motd", "hello\n", 0o600, 5, 6)
    make.put("/etc/setuid", "s\n", 0o4755, 5, 6)
    make.mkdir("/srv/real", 0o2775, 9, 10)
    make.put("/srv/real/file", "real\n")
    make.put("/srv/one", "linked\n")
    os.link(make.path("/srv/one"), make.path("/srv/two"))
    make.mkdir("/srv/full/below", 0o700, 3, 3)
    make.put("/srv/full/below/x", "x")
    make.mkdir("/tmp", 0o1777)
    make.mkdir("/run")
    make.mkdir("/proc")
    make.mkdir("/var/mail", 0o2775, 0, 8)
    make.put("/var/mail/core", "mail\n", 0o660, 1000, 8)
    make.link("/etc/absolute", "/srv/real")
    make.link("/etc/relative", "../srv/real")
    make.link("/etc/escaping", "../../../../srv/real", 3, 4)
    make.link("/etc/dangling", "/var/new/place")
    make.link("/etc/to-file", "../srv/one")
    make.link("/var/run", "../run")
    make.link("/var/chain", "/etc/absolute")
    make.link("/etc/loop", "loop")
    os.mkfifo(make.path("/run/fifo"), 0o600)
    os.mknod(make.path("/run/null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))


def units(make):
    for name in ("enabled.service", "disabled.service", "tmpl@.service", "vendor-masked.service"):
        make.put(f"/usr/lib/systemd/system/{name}", UNIT)
    make.put("/usr/lib/systemd/system/static.service", "[Service]\nExecStart=/bin/true\n")
    wants = "/etc/systemd/system/multi-user.target.wants"
    make.link(f"{wants}/enabled.service", "/usr/lib/systemd/system/enabled.service")
    make.link(f"{wants}/tmpl@on.service", "/usr/lib/systemd/system/tmpl@.service")
    make.link("/etc/systemd/system/masked.service", "/dev/null")
    make.link("/etc/systemd/system/aliased.service", "/usr/lib/systemd/system/disabled.service")
    make.put("/etc/systemd/system/local.service", UNIT, 0o600, 3, 4)
    make.put("/etc/systemd/system/local.service.d/10-old.conf", "[Service]\nNice=1\n", 0o640)
    make.link("/etc/systemd/system/local.service.d/20-link.conf", "/srv/real/file")


def debian(make):
    make.put("/etc/login.defs", LOGIN_DEFS_DEBIAN)
    make.put("/etc/default/useradd", "# Debian's\nSHELL=/bin/sh\n# HOME=/nowhere\n")
    accounts(make)
    skel(make)


def fedora(make):
    make.put("/etc/login.defs", LOGIN_DEFS_FEDORA)
    make.put("/etc/default/useradd", "GROUP=100\nHOME=/home\nINACTIVE=-1\nEXPIRE=\nSHELL=/bin/bash\n"
                                     "SKEL=/etc/skel\nCREATE_MAIL_SPOOL=yes\n")
    accounts(make)
    skel(make)
    make.mkdir("/var/spool/mail", 0o775)
    make.put("/etc/systemd/system-preset/20-ignition.preset", "enable before.service\n")


def odd(make):
    make.put("/etc/login.defs", LOGIN_DEFS_ODD)
    make.put("/etc/default/useradd", "GROUP=spare\nHOME=/var/home\nINACTIVE=30\nEXPIRE=2030-01-01\nSHELL=/bin/odd\n"
                                     "SKEL=/usr/share/skel\n")
    accounts(make)
    skel(make, "/usr/share/skel")


def bare(make):
    """No login.defs, no skel, no gshadow, no subordinate ids."""
    accounts(make, gshadow=False, sub_ids=False)


KINDS = {"debian": debian, "fedora": fedora, "odd": odd, "bare": bare}


def build(kind, top):
    """The root of that kind, below the directory top, which is made."""
    old = os.umask(0o022)
    try:
        pathlib.Path(top).mkdir()
        make = Maker(top)
        homes(make)
        places(make)
        units(make)
        make.put("/etc/selinux/config", "SELINUXTYPE=none\n")
        KINDS[kind](make)
    finally:
        os.umask(old)
    return pathlib.Path(top)


# ---- what is there ----

RESULT = "etc/.ignition-result.json"


def mask_dates(result):
    """The result file, with dates for what they are: all that differs from one run to the next."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["provisioningDate"]):
        raise AssertionError(f"provisioningDate {result['provisioningDate']!r}")
    if "previousReport" in result:
        mask_dates(result["previousReport"])
    result["provisioningDate"] = "DATE"
    return json.dumps(result, sort_keys=True)


def content(path, name, mode):
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if stat.S_ISCHR(mode):
        return str(os.lstat(path).st_rdev)
    if not stat.S_ISREG(mode):
        return ""
    data = path.read_bytes()
    if name == RESULT:
        return mask_dates(json.loads(data))
    return data.decode(errors="backslashreplace") if len(data) < 4096 else hashlib.sha256(data).hexdigest()


def entries(top):
    for directory, names, files in os.walk(top):
        for name in names + files:
            yield pathlib.Path(directory) / name


def snapshot(top):
    """{path: (type and mode, uid, gid, same file as, content)} of everything in a root."""
    first, table = {}, {}
    for path in sorted(entries(top)):
        st = os.lstat(path)
        name = str(path.relative_to(top))
        same = "" if stat.S_ISDIR(st.st_mode) else first.setdefault((st.st_dev, st.st_ino), name)
        table[name] = (stat.filemode(st.st_mode), st.st_uid, st.st_gid, same, content(path, name, st.st_mode))
    return table


def remove(top):
    shutil.rmtree(top)
