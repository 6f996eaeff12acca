"""Configurations for the files stage: one for every rule, and random ones.

A case is (kind of root, configuration...): with several, they are applied one after the other."""

import base64
import gzip
import hashlib
import random

import files_roots

HELLO = "data:,hello%20world%0A"
PACKED = "data:;base64," + base64.b64encode(gzip.compress(b"packed\n", mtime=0)).decode()
UNIT = files_roots.UNIT
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI core@example"


def config(files=(), directories=(), links=(), units=(), users=(), groups=(), version="3.3.0"):
    return {"ignition": {"version": version},
            "storage": {"files": list(files), "directories": list(directories), "links": list(links)},
            "systemd": {"units": list(units)},
            "passwd": {"users": list(users), "groups": list(groups)}}


def a_file(path, source=HELLO, append=(), **more):
    node = {"path": path, **more}
    if source is not None:
        node["contents"] = {"source": source}
    if append:
        node["append"] = [{"source": one} for one in append]
    return node


def a_link(path, target, **more):
    return {"path": path, "target": target, **more}


def sha512(text):
    return "sha512-" + hashlib.sha512(text).hexdigest()


def files_case(*files, **more):
    return ("debian", config(files=files, **more))


def users_case(*users, kind="debian", **more):
    return (kind, config(users=users, **more))


def units_case(*units, kind="debian"):
    return (kind, config(units=units))


FILES = {
    "file new": files_case(a_file("/etc/new")),
    "file new in new directories": files_case(a_file("/a/b/c/d")),
    "file without contents": files_case(a_file("/etc/new", None)),
    "file with empty source": files_case(a_file("/etc/new", "")),
    "file in the root": files_case(a_file("/new")),
    "file mode": files_case(a_file("/etc/new", mode=0o600), a_file("/etc/open", mode=0o777), a_file("/etc/no", mode=0)),
    "file special bits": files_case(a_file("/etc/new", mode=0o4755), a_file("/etc/new2", mode=0o2711)),
    "file special bits and owner": files_case(a_file("/etc/new", mode=0o6755, user={"id": 9}, group={"id": 10})),
    "file owner by number": files_case(a_file("/etc/new", user={"id": 4000000000}, group={"id": 5})),
    "file owner by name": files_case(a_file("/etc/new", user={"name": "core"}, group={"name": "wheel"})),
    "file owner by the name of a new account": files_case(
        a_file("/etc/new", user={"name": "fresh"}, group={"name": "crowd"}),
        users=[{"name": "fresh"}], groups=[{"name": "crowd"}]),
    "file owner by the name of a removed user": files_case(
        a_file("/etc/new", user={"name": "core"}), users=[{"name": "core", "shouldExist": False}]),
    "file owner unknown": files_case(a_file("/etc/new", user={"name": "missing"})),
    "file group unknown": files_case(a_file("/etc/new", group={"name": "missing"})),
    "file only a group": files_case(a_file("/etc/new", group={"id": 7})),
    "file gzip": files_case({"path": "/etc/new", "contents": {"source": PACKED, "compression": "gzip"}}),
    "file not gzip": files_case({"path": "/etc/new", "contents": {"source": HELLO, "compression": "gzip"}}),
    "file hash": files_case({"path": "/etc/new", "contents": {
        "source": HELLO, "verification": {"hash": sha512(b"hello world\n")}}}),
    "file hash of the unpacked": files_case({"path": "/etc/new", "contents": {
        "source": PACKED, "compression": "gzip", "verification": {"hash": sha512(b"packed\n")}}}),
    "file wrong hash": files_case({"path": "/etc/new", "contents": {
        "source": HELLO, "verification": {"hash": sha512(b"hello world")}}}),
    "file exists": files_case(a_file("/etc/hostname")),
    "file exists, the same": files_case(a_file("/srv/real/file", "data:,real%0A")),
    "file appended twice": ("debian", *[config(files=[a_file("/etc/motd", None, [HELLO])])] * 2),
    "file exists, overwrite false": files_case(a_file("/etc/hostname", overwrite=False)),
    "file overwritten": files_case(a_file("/etc/motd", overwrite=True)),
    "file overwritten with mode": files_case(a_file("/etc/setuid", overwrite=True, mode=0o640)),
    "file over a directory": files_case(a_file("/srv/full", overwrite=True)),
    "file over a link": files_case(a_file("/etc/to-file", overwrite=True)),
    "file over a fifo": files_case(a_file("/run/fifo", overwrite=True)),
    "file over one of two hard links": files_case(a_file("/srv/one", overwrite=True)),
    "file where a directory is": files_case(a_file("/srv/full")),
    "file where a directory is, nothing to write": files_case(a_file("/srv/full", None)),
    "file where a link is": files_case(a_file("/etc/to-file", None)),
    "file where a dangling link is": files_case(a_file("/etc/dangling")),
    "file kept": files_case(a_file("/etc/motd", None)),
    "file kept, mode": files_case(a_file("/etc/motd", None, mode=0o644)),
    "file kept, owner": files_case(a_file("/etc/motd", None, user={"id": 7})),
    "file kept, owner takes the special bits": files_case(a_file("/etc/setuid", None, user={"id": 7})),
    "file appended": files_case(a_file("/etc/motd", None, ["data:,1", "data:,2"])),
    "file appended, mode and owner": files_case(
        a_file("/etc/motd", None, [HELLO], mode=0o444, user={"name": "core"}, group={"id": 9})),
    "file appended, special bits": files_case(a_file("/etc/setuid", None, [HELLO])),
    "file appended, hard links": files_case(a_file("/srv/one", None, [HELLO])),
    "file appended where there is none": files_case(a_file("/etc/new", None, [HELLO, PACKED])),
    "file appended to its contents": files_case(a_file("/etc/new", HELLO, ["data:,x"])),
    "file overwritten and appended": files_case(a_file("/etc/motd", HELLO, ["data:,x"], overwrite=True)),
    "file appended to a directory": files_case(a_file("/srv/full", None, [HELLO])),
    "file appended to a link": files_case(a_file("/etc/to-file", None, [HELLO])),
    "file append gzip": files_case({"path": "/etc/motd", "append": [{"source": PACKED, "compression": "gzip"}]}),
    "file empty append": files_case({"path": "/etc/motd", "append": [{"source": "data:,"}]}),
    "file through an absolute link": files_case(a_file("/etc/absolute/new")),
    "file through a relative link": files_case(a_file("/etc/relative/new/deeper")),
    "file through an escaping link": files_case(a_file("/etc/escaping/new")),
    "file through a chain": files_case(a_file("/var/chain/new"), a_file("/var/run/new")),
    "file through a dangling link": files_case(a_file("/etc/dangling/new")),
    "file through a loop": files_case(a_file("/etc/loop/new")),
    "file below a file": files_case(a_file("/etc/hostname/new")),
    "file through a link to a file": files_case(a_file("/etc/to-file/new")),
    "two paths to one file": files_case(a_file("/etc/absolute/new"), a_file("/srv/real/new")),
    "file in a directory with the group bit": files_case(a_file("/srv/real/new"), a_file("/srv/real/a/b")),
    "file in a directory of the same configuration": files_case(
        a_file("/data/x/y"), directories=[{"path": "/data", "mode": 0o700, "user": {"id": 3}}]),
    "file larger than a buffer": files_case(a_file("/etc/new", "data:," + "x" * 300000)),
    "file bytes": files_case(a_file("/etc/new", "data:;base64," + base64.b64encode(bytes(range(256))).decode())),
    "names with spaces and bytes": files_case(a_file("/etc/a b\tc"), a_file("/etc/ü"), a_file("/etc/-n")),
}

DIRECTORIES = {
    "directory new": files_case(directories=[{"path": "/a/b/c"}]),
    "directory mode": files_case(directories=[{"path": "/a/b", "mode": 0o700}, {"path": "/a", "mode": 0o1777}]),
    "directory special bits": files_case(directories=[{"path": "/a", "mode": 0o2775, "group": {"id": 5}}]),
    "directory owner": files_case(directories=[{"path": "/a", "user": {"name": "core"}, "group": {"name": "adm"}}]),
    "directory exists": files_case(directories=[{"path": "/srv/full"}]),
    "directory exists, mode": files_case(directories=[{"path": "/srv/full", "mode": 0o711}]),
    "directory exists, owner": files_case(directories=[{"path": "/srv/full", "user": {"id": 8}}]),
    "directory exists with special bits": files_case(directories=[{"path": "/srv/real", "user": {"id": 8}}]),
    "directory overwritten": files_case(directories=[{"path": "/srv/full", "overwrite": True}]),
    "directory over a file": files_case(directories=[{"path": "/etc/motd", "overwrite": True, "mode": 0o500}]),
    "directory where a file is": files_case(directories=[{"path": "/etc/motd"}]),
    "directory where a link to one is": files_case(directories=[{"path": "/etc/absolute"}]),
    "directory over a link": files_case(directories=[{"path": "/etc/absolute", "overwrite": True}]),
    "directory through a link": files_case(directories=[{"path": "/var/chain/deep/er", "mode": 0o750}]),
    "directory and what is in it, in the wrong order": files_case(
        a_file("/a/b/c", mode=0o600), directories=[{"path": "/a/b", "mode": 0o755}, {"path": "/a", "mode": 0o711}]),
    "directory overwritten below another": files_case(
        a_file("/srv/full/new"), directories=[{"path": "/srv/full", "overwrite": True, "mode": 0o700}]),
    "directory in a directory with the group bit": files_case(directories=[{"path": "/srv/real/a/b"}]),
}

LINKS = {
    "link": files_case(links=[a_link("/etc/new", "../srv/one")]),
    "link absolute and dangling": files_case(links=[a_link("/etc/new", "/nowhere")]),
    "link owner": files_case(links=[a_link("/etc/new", "x", user={"id": 7}, group={"name": "wheel"})]),
    "link's owner is not its target's": files_case(links=[a_link("/etc/new", "../srv/real")]),
    "link in new directories": files_case(links=[a_link("/a/b/c", "x")]),
    "link is there": files_case(links=[a_link("/etc/to-file", "../srv/one")]),
    "link is there, owner kept": files_case(links=[a_link("/etc/escaping", "../../../../srv/real")]),
    "link is there, owner": files_case(links=[a_link("/etc/escaping", "../../../../srv/real", user={"id": 8})]),
    "link is there with another target": files_case(links=[a_link("/etc/to-file", "elsewhere")]),
    "link overwritten": files_case(links=[a_link("/etc/to-file", "elsewhere", overwrite=True)]),
    "link over a directory": files_case(links=[a_link("/srv/full", "elsewhere", overwrite=True)]),
    "link where a file is": files_case(links=[a_link("/etc/motd", "elsewhere")]),
    "link where a directory is": files_case(links=[a_link("/srv/full", "elsewhere")]),
    "link through a link": files_case(links=[a_link("/etc/absolute/new", "one")]),
    "hard link": files_case(links=[a_link("/etc/new", "/srv/one", hard=True)]),
    "hard link to a file of the same configuration": files_case(
        a_file("/a/b/c/file", mode=0o640, user={"id": 3}), links=[a_link("/z", "/a/b/c/file", hard=True)]),
    "hard link through links": files_case(links=[a_link("/etc/new", "/var/chain/file", hard=True)]),
    "hard link to a deeper hard link": files_case(links=[
        a_link("/srv/real/file", "/srv/one", hard=True, overwrite=True), a_link("/srv/new", "/srv/real/file", hard=True)]),
    "hard link to a hard link that comes later": files_case(links=[
        a_link("/srv/new", "/srv/real/file", hard=True), a_link("/srv/real/file", "/srv/one", hard=True, overwrite=True)]),
    "hard link where a file of the configuration resolves to": ("debian", config(
        files=[a_file("/etc/relative/new")], links=[a_link("/srv/real", "/srv/one", hard=True, overwrite=True)])),
    "hard link is there": files_case(links=[a_link("/srv/two", "/srv/one", hard=True)]),
    "hard link overwritten": files_case(links=[a_link("/etc/motd", "/srv/one", hard=True, overwrite=True)]),
    "hard link where another file is": files_case(links=[a_link("/etc/motd", "/srv/one", hard=True)]),
    "hard link to nothing": files_case(links=[a_link("/etc/new", "/nowhere", hard=True)]),
    "hard link to a directory": files_case(links=[a_link("/etc/new", "/srv/full", hard=True)]),
    "hard link to a link of the same configuration": files_case(
        links=[a_link("/etc/new", "/etc/sym", hard=True), a_link("/etc/sym", "x", user={"id": 4})]),
    "hard link in new directories": files_case(links=[a_link("/q/r/s", "/srv/one", hard=True)]),
}

UNITS = {
    "unit": units_case({"name": "a.service", "contents": UNIT}),
    "unit empty": units_case({"name": "a.service", "contents": ""}),
    "unit name only": units_case({"name": "a.service"}),
    "unit overwritten": units_case({"name": "local.service", "contents": UNIT + "# new\n"}),
    "unit over a link": units_case({"name": "aliased.service", "contents": UNIT}),
    "unit over a mask": units_case({"name": "masked.service", "contents": UNIT}),
    "unit over a mask, unmasked": units_case({"name": "masked.service", "contents": UNIT, "mask": False}),
    "drop-in": units_case({"name": "a.service", "dropins": [{"name": "x.conf", "contents": "[Service]\nNice=2\n"}]}),
    "drop-in empty": units_case({"name": "a.service", "dropins": [{"name": "x.conf", "contents": ""}]}),
    "drop-in without contents": units_case({"name": "a.service", "dropins": [{"name": "x.conf"}]}),
    "drop-in overwritten": units_case({"name": "local.service", "dropins": [
        {"name": "10-old.conf", "contents": "[Service]\nNice=3\n"}]}),
    "drop-in over a link": units_case({"name": "local.service", "dropins": [
        {"name": "20-link.conf", "contents": "[Service]\nNice=3\n"}]}),
    "drop-ins of two units": units_case(
        {"name": "a.service", "dropins": [{"name": "x.conf", "contents": ""}, {"name": "a.conf", "contents": "[A]\n"}]},
        {"name": "b@.socket", "dropins": [{"name": "x.conf", "contents": "[Socket]\n"}]}),
    "mask": units_case({"name": "vendor-masked.service", "mask": True}),
    "mask over a unit": units_case({"name": "local.service", "mask": True}),
    "mask over its own contents": units_case({"name": "a.service", "contents": UNIT, "mask": True}),
    "mask twice": units_case({"name": "masked.service", "mask": True}),
    "mask and enable": units_case({"name": "a.service", "mask": True, "enabled": True}),
    "unmask": units_case({"name": "masked.service", "mask": False}),
    "unmask what is no mask": units_case({"name": "local.service", "mask": False}),
    "unmask another link": units_case({"name": "aliased.service", "mask": False}),
    "unmask what is not there": units_case({"name": "none.service", "mask": False}),
    "enable": units_case({"name": "disabled.service", "enabled": True}),
    "enable several": units_case({"name": "z.service", "enabled": True, "contents": UNIT},
                                 {"name": "b.timer", "enabled": True}, {"name": "m.mount", "enabled": True}),
    "enable a template before its instances": units_case(
        {"name": "tmpl@.service", "enabled": True}, {"name": "tmpl@x.service", "enabled": True}, {"name": "tmpl@y.service", "enabled": True}),
    "enable a template behind an instance": units_case(
        {"name": "tmpl@x.service", "enabled": True}, {"name": "tmpl@.service", "enabled": True}, {"name": "tmpl@y.service", "enabled": True}),
    "enable beside presets": units_case({"name": "disabled.service", "enabled": True}, kind="fedora"),
    "enable what the preset says": units_case({"name": "before.service", "enabled": True}, kind="fedora"),
    "disable": units_case({"name": "enabled.service", "enabled": False}),
    "disable what is not enabled": units_case({"name": "disabled.service", "enabled": False}),
    "disable what is not there": units_case({"name": "none.service", "enabled": False}),
    "disable what is static": units_case({"name": "static.service", "enabled": False}),
    "disable what is masked": units_case({"name": "masked.service", "enabled": False}),
    "disable an instance": units_case({"name": "tmpl@on.service", "enabled": False}),
    "disable an instance that is not enabled": units_case({"name": "tmpl@off.service", "enabled": False}),
    "enable and disable": units_case({"name": "enabled.service", "enabled": False},
                                     {"name": "disabled.service", "enabled": True}),
    "instances": units_case({"name": "echo@.service", "contents": UNIT}, {"name": "echo@bar.service", "enabled": True},
                            {"name": "echo@foo.service", "enabled": True}, {"name": "a.service", "enabled": True}),
    "instance with a dash and escapes": units_case({"name": "tmpl@a-b.c\\x2dd.service", "enabled": True}),
    "instances of one template, enabled and disabled": units_case(
        {"name": "tmpl@on.service", "enabled": False}, {"name": "tmpl@two.service", "enabled": True},
        {"name": "tmpl@three.service", "enabled": True}),
}

USERS = {
    "user": users_case({"name": "new"}),
    "user in every kind of root, fedora": users_case({"name": "new"}, {"name": "two"}, kind="fedora"),
    "user in every kind of root, odd": users_case({"name": "new"}, {"name": "two"}, kind="odd"),
    "user in every kind of root, bare": users_case({"name": "new"}, {"name": "two"}, kind="bare"),
    "user password": users_case({"name": "new", "passwordHash": "$y$j9T$x$y"}),
    "user password empty": users_case({"name": "new", "passwordHash": ""}),
    "user uid": users_case({"name": "new", "uid": 1234}),
    "user uid high": users_case({"name": "new", "uid": 70000}),
    "user uid of a group": users_case({"name": "new", "uid": 2500}),
    "user uid of a system": users_case({"name": "new", "uid": 500}),
    "user uid taken": users_case({"name": "new", "uid": 1000}),
    "user texts": users_case({"name": "new", "gecos": "A New, Very New", "shell": "/bin/zsh"}),
    "user home": users_case({"name": "new", "homeDir": "/srv/homes/new"}),
    "user home through a link": users_case({"name": "new", "homeDir": "/etc/absolute/new"}),
    "user home is there": users_case({"name": "new", "homeDir": "/home/there"}),
    "user without home": users_case({"name": "new", "noCreateHome": True}),
    "user without home, keys": users_case({"name": "new", "noCreateHome": True, "sshAuthorizedKeys": [KEY]}),
    "user primary group": users_case({"name": "new", "primaryGroup": "wheel"}),
    "user primary group by number": users_case({"name": "new", "primaryGroup": "2500"}),
    "user primary group unknown": users_case({"name": "new", "primaryGroup": "missing"}),
    "user primary group new": users_case({"name": "new", "primaryGroup": "crowd"}, groups=[{"name": "crowd"}]),
    "user groups": users_case({"name": "new", "groups": ["wheel", "video"]}),
    "user groups by number": users_case({"name": "new", "groups": ["10", "adm"]}),
    "user group unknown": users_case({"name": "new", "groups": ["missing"]}),
    "user groups new": users_case({"name": "new", "groups": ["crowd"]}, groups=[{"name": "crowd", "gid": 777}]),
    "user without own group": users_case({"name": "new", "noUserGroup": True}),
    "user without own group, odd": users_case({"name": "new", "noUserGroup": True}, kind="odd"),
    "user whose group is there": users_case({"name": "spare"}),
    "user whose group is there, named": users_case({"name": "spare", "primaryGroup": "spare"}),
    "user whose group is there, none of his own": users_case({"name": "spare", "noUserGroup": True}),
    "user system": users_case({"name": "new", "system": True}),
    "user system, fedora": users_case({"name": "new", "system": True}, {"name": "b", "system": True}, kind="fedora"),
    "user system, bare": users_case({"name": "new", "system": True}, kind="bare"),
    "user system, odd": users_case({"name": "new", "system": True}, kind="odd"),
    "user system without home": users_case({"name": "new", "system": True, "noCreateHome": True}),
    "user system with number": users_case({"name": "new", "system": True, "uid": 300}),
    "user no log init": users_case({"name": "new", "noLogInit": True}),
    "user keys": users_case({"name": "new", "sshAuthorizedKeys": [KEY, "two"]}),
    "user keys with ends": users_case({"name": "new", "sshAuthorizedKeys": [KEY + "\n", "two\n\n"]}),
    "user keys empty": users_case({"name": "new", "sshAuthorizedKeys": []}),
    "user keys blank": users_case({"name": "new", "sshAuthorizedKeys": [""]}),
    "user keys of one who is there": users_case({"name": "core", "sshAuthorizedKeys": [KEY]}),
    "user keys below another user's home": users_case({"name": "shared", "sshAuthorizedKeys": [KEY]}),
    "user keys of root": users_case({"name": "root", "sshAuthorizedKeys": [KEY]}),
    "user keys twice": ("debian", config(users=[{"name": "core", "sshAuthorizedKeys": ["a", "b"]}]),
                        config(users=[{"name": "core", "sshAuthorizedKeys": ["c"]}])),
    "user is there": users_case({"name": "core"}),
    "user is there, password": users_case({"name": "core", "passwordHash": "$6$a$b"}),
    "user is there, password empty": users_case({"name": "core", "passwordHash": ""}),
    "user is there, password the same": users_case({"name": "core", "passwordHash": "$y$j9T$abc$def"}),
    "user is there, uid": users_case({"name": "core", "uid": 1777}),
    "user is there, uid and keys": users_case({"name": "core", "uid": 1777, "sshAuthorizedKeys": [KEY]}),
    "user is there, uid the same": users_case({"name": "core", "uid": 1000}),
    "user is there, texts": users_case({"name": "core", "gecos": "", "shell": "/bin/zsh"}),
    "user is there, shell empty": users_case({"name": "core", "shell": ""}),
    "user is there, home": users_case({"name": "core", "homeDir": "/srv/moved"}),
    "user is there, home deep": users_case({"name": "core", "homeDir": "/not/yet/there"}),
    "user is there, home the same": users_case({"name": "core", "homeDir": "/home/core"}),
    "user is there, home taken": users_case({"name": "core", "homeDir": "/home/there"}),
    "user is there, home missing": users_case({"name": "nobody", "homeDir": "/srv/nobody"}),
    "user is there, home and uid": users_case({"name": "core", "homeDir": "/srv/moved", "uid": 1777}),
    "user is there, primary group": users_case({"name": "core", "primaryGroup": "wheel"}),
    "user is there, primary group by number": users_case({"name": "core", "primaryGroup": "2500"}),
    "user is there, uid and group": users_case({"name": "core", "primaryGroup": "wheel", "uid": 1777}),
    "user is there, groups": users_case({"name": "core", "groups": ["video", "users"]}),
    "user is there, groups where it is admin": users_case({"name": "old", "groups": ["adm"]}),
    "user is there, groups empty": users_case({"name": "core", "groups": []}),
    "user is there, system": users_case({"name": "core", "system": True, "noUserGroup": True}),
    "user is there, all": users_case({"name": "old", "uid": 1800, "gecos": "O", "homeDir": "/srv/old", "groups": ["adm"],
                                      "primaryGroup": "users", "shell": "/bin/zsh", "passwordHash": "h"}),
    "user changed in the other roots, odd": users_case({"name": "core", "uid": 2001, "groups": ["video"]}, kind="odd"),
    "user changed in the other roots, bare": users_case({"name": "core", "uid": 2001, "groups": ["video"]}, kind="bare"),
    "user removed": users_case({"name": "core", "shouldExist": False}),
    "user removed in every kind of root, fedora": users_case({"name": "old", "shouldExist": False}, kind="fedora"),
    "user removed in every kind of root, odd": users_case({"name": "core", "shouldExist": False}, kind="odd"),
    "user removed in every kind of root, bare": users_case({"name": "core", "shouldExist": False}, kind="bare"),
    "user removed with a home inside": users_case({"name": "old", "shouldExist": False}),
    "user removed without home": users_case({"name": "nobody", "shouldExist": False}),
    "user removed whose home is the root": users_case({"name": "svc", "shouldExist": False}),
    "user removed who is not there": users_case({"name": "none", "shouldExist": False}),
    "user removed who is in a primary group": users_case({"name": "shared", "shouldExist": False}),
    "several users": users_case({"name": "a"}, {"name": "b", "groups": ["a"]}, {"name": "c", "uid": 1600}, {"name": "d"}),
    "user named oddly": users_case({"name": "new.user-1_x"}),
    "user named with a dollar": users_case({"name": "new$"}),
    "user named with capitals": users_case({"name": "New"}),
    "user named badly": users_case({"name": "new user"}),
    "user named by digits": users_case({"name": "1234"}),
    "user with a colon": users_case({"name": "new", "gecos": "a:b"}),
    "user with a relative home": users_case({"name": "new", "homeDir": "new"}),
    "user again": ("debian", config(users=[{"name": "new", "groups": ["wheel"]}]),
                   config(users=[{"name": "new", "uid": 4444, "groups": ["adm"], "homeDir": "/srv/new"}]),
                   config(users=[{"name": "new", "shouldExist": False}])),
}

GROUPS = {
    "group": ("debian", config(groups=[{"name": "crowd"}])),
    "group in every kind of root, fedora": ("fedora", config(groups=[{"name": "crowd"}, {"name": "two"}])),
    "group in every kind of root, odd": ("odd", config(groups=[{"name": "crowd"}, {"name": "two"}])),
    "group in every kind of root, bare": ("bare", config(groups=[{"name": "crowd"}, {"name": "two"}])),
    "group gid": ("debian", config(groups=[{"name": "crowd", "gid": 777}])),
    "group gid taken": ("debian", config(groups=[{"name": "crowd", "gid": 10}])),
    "group system": ("debian", config(groups=[{"name": "crowd", "system": True}])),
    "group system, fedora": ("fedora", config(groups=[{"name": "crowd", "system": True}, {"name": "b", "system": True}])),
    "group password": ("debian", config(groups=[{"name": "crowd", "passwordHash": "h"}])),
    "group password empty": ("debian", config(groups=[{"name": "crowd", "passwordHash": ""}])),
    "group password, bare": ("bare", config(groups=[{"name": "crowd", "passwordHash": "h"}])),
    "group is there": ("debian", config(groups=[{"name": "wheel"}])),
    "group is there, gid": ("debian", config(groups=[{"name": "spare", "gid": 2600}])),
    "group is there, gid of a primary group": ("debian", config(groups=[{"name": "core", "gid": 2600}])),
    "group is there, gid the same": ("debian", config(groups=[{"name": "wheel", "gid": 10}])),
    "group is there, gid taken": ("debian", config(groups=[{"name": "spare", "gid": 10}])),
    "group is there, password": ("debian", config(groups=[{"name": "wheel", "passwordHash": "h"}])),
    "group is there, password empty": ("debian", config(groups=[{"name": "wheel", "passwordHash": ""}])),
    "group is there, password, bare": ("bare", config(groups=[{"name": "wheel", "passwordHash": "h"}])),
    "group removed": ("debian", config(groups=[{"name": "wheel", "shouldExist": False}])),
    "group removed, bare": ("bare", config(groups=[{"name": "wheel", "shouldExist": False}])),
    "group removed that is primary": ("debian", config(groups=[{"name": "core", "shouldExist": False}])),
    "group removed that is not there": ("debian", config(groups=[{"name": "none", "shouldExist": False}])),
    "group named badly": ("debian", config(groups=[{"name": "a b"}])),
}

OTHER = {
    "nothing": ("debian", {"ignition": {"version": "3.0.0"}}),
    "twice": ("debian", config(files=[a_file("/etc/new", overwrite=True)]),
              config(files=[a_file("/etc/new", overwrite=True)])),
    "home that is the user's by name": users_case(
        {"name": "new"}, files=[a_file("/home/new/x/y", user={"name": "new"}, group={"name": "new"})]),
    "file in skel comes after users": users_case({"name": "new"}, files=[a_file("/etc/skel/late")]),
    "file that gives the defaults comes after users": users_case(
        {"name": "new"}, files=[a_file("/etc/login.defs", "data:,UID_MIN%207000", overwrite=True)]),
    "unit and file of the same directory": ("debian", config(
        files=[a_file("/etc/systemd/system/a.service.d/file.conf")],
        units=[{"name": "a.service", "dropins": [{"name": "x.conf", "contents": "[A]\n"}]}])),
    "preset written by the configuration": ("debian", config(
        files=[a_file("/etc/systemd/system-preset/20-ignition.preset", "data:,enable%20x.service")],
        units=[{"name": "disabled.service", "enabled": True}])),
    "system units through a link": ("debian", config(
        links=[a_link("/etc/systemd/system/linked.service.d", "/srv/real")],
        units=[{"name": "linked.service", "dropins": [{"name": "x.conf", "contents": "[A]\n"}]}])),
}

# Where the two differ on purpose: docs/ignition-files.md gives the reasons. A case that is here must differ.
DIFFERENT = {
    "file exists, the same": "after a cut behind the last step, what was made is met again",
    "file appended twice": "after a cut behind the last step, what was made is met again",
    "file through a chain": "2.14 loses its way where a link leads through another",
    "directory through a link": "2.14 loses its way where a link leads through another",
    "hard link through links": "2.14 loses its way where a link leads through another",
    "hard link where a file of the configuration resolves to": "2.14 makes the file, and removes it for the link",
    "user home through a link": "2.14 looks for the home outside the root, to relabel it",
    "user is there, home missing": "2.14 fails to relabel a home that nobody made",
    "user is there, home deep": "directories above a home that moves are made, as above a new one",
    "user removed with a home inside": "a home that holds another user's is not removed",
    "user removed in every kind of root, fedora": "a home that holds another user's is not removed",
    "user removed whose home is the root": "a home that cannot be removed is left and no failure",
    "user named by digits": "a name of digits is taken for a number: newer shadow-utils refuse it too",
    "link's owner is not its target's": "2.14 gives a new link the owner of what it leads to, on the host's side",
    "user keys below another user's home": "2.14 writes as the user, who may not pass there",
    "disable an instance": "2.14 leaves the link that enables it",
    "disable an instance that is not enabled": "2.14 disables what is not enabled",
    "instances of one template, enabled and disabled": "2.14 leaves the link that enables one",
    "preset written by the configuration": "a last line without its end is not continued",
    **{name: "2.14 knows no groupmod" for name in GROUPS
       if name.startswith("group is there") and name != "group is there, gid taken"},
}

CASES = {**FILES, **DIRECTORIES, **LINKS, **UNITS, **USERS, **GROUPS, **OTHER}


# ---- random ones ----

# What DIFFERENT is about is not in it.
PARENTS = ["", "/etc", "/srv", "/srv/real", "/etc/absolute", "/etc/relative", "/var/run", "/tmp", "/n/e/w",
           "/n", "/home/core", "/etc/dangling", "/srv/full", "/srv/full/below", "/usr/local"]
THERE = ["/etc/hostname", "/etc/motd", "/etc/setuid", "/srv/one", "/srv/two", "/srv/full", "/srv/real", "/etc/to-file",
         "/srv/real/file", "/run/fifo", "/etc/absolute"]
SOURCES = [HELLO, "data:,", "data:,x", None, "data:;base64,AAEC/w==", "data:text/plain;charset=utf-8,%C3%BC"]
MODES = [0o600, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1777, 0o440, 0]
UNIT_NAMES = ["enabled.service", "disabled.service", "static.service", "masked.service", "aliased.service",
              "local.service", "tmpl@on.service", "tmpl@a.service", "tmpl@b.service", "new.service", "new.timer",
              "fresh@.service", "fresh@x.service", "vendor-masked.service"]
KNOWN_USERS = ["core", "old", "shared", "root", "svc"]
USER_NAMES = [*KNOWN_USERS, "anna", "bert", "carl", "dora", "spare"]
KNOWN_GROUPS = ["wheel", "video", "spare", "adm"]
GROUP_NAMES = [*KNOWN_GROUPS, "crowd", "staff", "band"]


def maybe(rng, chance, key, choose):
    return {key: choose()} if rng.random() < chance else {}


def random_owner(rng):
    owner = [{"id": 0}, {"id": 1000}, {"id": 4242}, {"name": "root"}, {"name": "core"}]
    return {**maybe(rng, 0.3, "user", lambda: rng.choice(owner)), **maybe(rng, 0.3, "group", lambda: rng.choice(owner))}


def random_node(rng, used):
    path = rng.choice(THERE) if rng.random() < 0.3 else f"{rng.choice(PARENTS)}/{rng.choice('abcdef')}{len(used)}"
    if path in used:
        return None
    used.add(path)
    overwrite = 0.85 if path in THERE else 0.2
    return {"path": path, **random_owner(rng), **maybe(rng, overwrite, "overwrite", lambda: rng.random() < 0.9)}


def random_file(rng, node):
    source = rng.choice(SOURCES)
    if node.get("overwrite") and source is None:
        source = HELLO
    append = [{"source": s} for s in rng.sample([s for s in SOURCES if s], rng.choice((0, 0, 1, 2)))]
    return {**node, **({"contents": {"source": source}} if source else {}), **({"append": append} if append else {}),
            **maybe(rng, 0.5, "mode", lambda: rng.choice(MODES))}


def random_storage(rng):
    used, storage = set(), {"files": [], "directories": [], "links": []}
    for _ in range(rng.choice((0, 1, 3, 8))):
        node = random_node(rng, used)
        if not node:
            continue
        what = rng.choice(("files", "files", "directories", "links"))
        if what == "files":
            node = random_file(rng, node)
        elif what == "directories":
            node.update(maybe(rng, 0.5, "mode", lambda: rng.choice(MODES)))
        elif rng.random() < 0.3:
            node = {"path": node["path"], "overwrite": True, "target": rng.choice(("/srv/one", "/srv/real/file")),
                    "hard": True}
        else:
            node["target"] = rng.choice(("/srv/one", "../srv/one", "nowhere"))
        storage[what].append(node)
    return storage


def random_unit(rng, name):
    if rng.random() < 0.3 and name in ("enabled.service", "disabled.service"):
        return {"name": name, "enabled": False}
    return {"name": name, **maybe(rng, 0.4, "contents", lambda: UNIT), **maybe(rng, 0.4, "enabled", lambda: True),
            **maybe(rng, 0.3, "mask", lambda: rng.random() < 0.5),
            **maybe(rng, 0.3, "dropins", lambda: [{"name": "10-old.conf", "contents": "[A]\n"}])}


def random_places(rng, name):
    """What moves a home or gives it away; not those of the system's own users."""
    homes = [f"/srv/{name}", f"/home/new-{name}"] + ([f"/n/h/{name}"] if name not in KNOWN_USERS else [])
    return {**maybe(rng, 0.25, "homeDir", lambda: rng.choice(homes)),
            **maybe(rng, 0.3, "uid", lambda: rng.randrange(1100, 3000))}


def random_user(rng, name):
    if rng.random() < 0.12 and name not in ("old", "root", "svc"):
        return {"name": name, "shouldExist": False}
    keys = 0.3 if name not in ("svc", "shared") else 0
    return {"name": name, **(random_places(rng, name) if name not in ("svc", "root") else {}),
            **maybe(rng, 0.3, "passwordHash", lambda: rng.choice(("", "$y$a", "h"))),
            **maybe(rng, 0.3, "gecos", lambda: rng.choice(("", "G E,C"))),
            **maybe(rng, 0.2, "noCreateHome", lambda: rng.random() < 0.7),
            **maybe(rng, 0.25, "primaryGroup", lambda: rng.choice(KNOWN_GROUPS)),
            **maybe(rng, 0.4, "groups", lambda: rng.sample(KNOWN_GROUPS, rng.choice((1, 2)))),
            **maybe(rng, 0.2, "noUserGroup", lambda: rng.random() < 0.7),
            **maybe(rng, 0.2, "system", lambda: rng.random() < 0.7),
            **maybe(rng, 0.2, "noLogInit", lambda: rng.random() < 0.7),
            **maybe(rng, 0.3, "shell", lambda: rng.choice(("/bin/zsh", ""))),
            **maybe(rng, keys, "sshAuthorizedKeys", lambda: rng.sample((KEY, "k1", "k2\n"), rng.choice((1, 2))))}


def random_group(rng, name):
    if name in KNOWN_GROUPS or rng.random() < 0.1:
        return {"name": name, "shouldExist": False}
    return {"name": name, **maybe(rng, 0.3, "gid", lambda: rng.randrange(3100, 5000)),
            **maybe(rng, 0.2, "system", lambda: rng.random() < 0.6),
            **maybe(rng, 0.3, "passwordHash", lambda: rng.choice(("", "gh")))}


def some(rng, names, make):
    return [make(rng, name) for name in rng.sample(names, min(len(names), rng.choice((0, 1, 2, 3))))]


def random_case(seed):
    rng = random.Random(seed)
    # A group that a user needs, removed, makes both fail: not too often.
    groups = GROUP_NAMES if rng.random() < 0.15 else GROUP_NAMES[len(KNOWN_GROUPS):]
    configs = [{"ignition": {"version": f"3.{rng.choice((2, 3))}.0"}, "storage": random_storage(rng),
                "systemd": {"units": some(rng, UNIT_NAMES, random_unit)},
                "passwd": {"users": some(rng, USER_NAMES, random_user), "groups": some(rng, groups[i::2], random_group)}}
               for i in range(rng.choice((1, 1, 1, 2)))]
    return (rng.choice(sorted(files_roots.KINDS)), *configs)
