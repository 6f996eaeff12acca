#!/usr/bin/env python3
"""slipway-usr-signature on a real kernel that has no use for signatures: User-mode Linux is built without them, so the kernel
cannot judge any, and /usr must open all the same. What a kernel says that can, the proof `root-hash-signature` shows.

systemd-veritysetup is a script here: it notes what it is given, and opens the device with veritysetup."""

import pathlib
import shlex
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
import uml
from tiny import Key, Tiny

PROGRAM = slipway.LIBEXEC / "slipway-usr-signature"
OPTIONS = "panic-on-corruption"

GUEST = """
set -eu
mkdir -p /dev/disk/by-partuuid
ln -sfn /dev/ubda2 /dev/disk/by-partuuid/{usr}
ln -sfn /dev/ubda3 /dev/disk/by-partuuid/{tree}
mount -t tmpfs tmpfs /usr/lib/systemd
cat >/usr/lib/systemd/systemd-veritysetup <<'END'
#!/bin/sh
echo "veritysetup: $*"
exec veritysetup open "$3" "$2" "$4" "$5"
END
chmod 755 /usr/lib/systemd/systemd-veritysetup

open_usr() {{
    echo "== $1"
    {program} && status=0 || status=$?
    echo "exit $status, devices: $(dmsetup ls | cut -f 1 | tr '\n' ' ')"
    if [ $status = 0 ]; then
        dd if=/dev/mapper/usr of=/dev/null bs=64k 2>/dev/null && echo "all of it can be read"
        veritysetup close usr
    fi
}}
put() {{ # partition, from standard input
    dd of=/dev/ubda$1 conv=fsync 2>/dev/null
}}

open_usr signed
echo '{{"rootHash": "cut of' | put 7
open_usr "torn in the other slot"
dd if=/dev/zero bs=64k count=1 2>/dev/null | put 7
dd if=/dev/ubda4 bs=64k count=1 2>/dev/null >/run/signature
dd if=/dev/zero bs=64k count=1 2>/dev/null | put 4
open_usr unsigned
sed s/{hash}/{other}/ /run/signature | put 4
open_usr "of another image"
put 7 </run/signature
open_usr "in the other slot's partition"
rm /dev/disk/by-partuuid/{usr}
open_usr "no data"
"""

WANTED = {
    "signed": ("the root hash is signed, but not verified: the kernel: Invalid argument", "{open}"),
    "torn in the other slot": ("the root hash is signed, but not verified: the kernel: Invalid argument", "{open}"),
    "unsigned": ("there is no signature of the root hash", "{open}"),
    "of another image": ("there is no signature of the root hash", "{open}"),
    "in the other slot's partition": ("the root hash is signed, but not verified: the kernel: Invalid argument", "{open}"),
    "no data": ("slipway-usr-signature: /dev/disk/by-partuuid/{usr}: No such file or directory", "exit 1, devices: No "),
}


def uuid(digits):
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def judge(said, places):
    sections = dict(part.split("\n", 1) for part in said.split("== ")[1:])
    opened = ("veritysetup: attach usr /dev/disk/by-partuuid/{usr} /dev/disk/by-partuuid/{tree} {hash} " + OPTIONS
              + "\nexit 0, devices: usr \nall of it can be read").format(**places)
    for name, wanted in WANTED.items():
        for text in wanted:
            text = text.format(open=opened, **places)
            if text not in sections.get(name, ""):
                raise SystemExit(f"{name}: {text!r} is not in:\n{said}")


def main():
    with Key() as key, Tiny(key) as tiny:
        keys = tiny.path / "keys"
        subprocess.run([slipway.SLIPWAY, "keygen", "--secure-boot", keys], check=True)
        tiny.trust({"rootHash": "signed"})
        root_hash = tiny.build("--keys", keys)["rootHash"]
        places = {"hash": root_hash, "other": root_hash[::-1], "usr": uuid(root_hash[:32]), "tree": uuid(root_hash[32:])}
        script = GUEST.format(program=shlex.quote(str(PROGRAM)), **places)
        status, said = uml.run(["sh", "-c", script], [tiny.artifact(".raw")],
                               arguments=[f"usrhash={root_hash}", f"systemd.verity_usr_options={OPTIONS}"])
        if status != 0:
            raise SystemExit(f"exit status {status}\n{said}")
        judge(said, places)
    print(f"usr-signature: {len(WANTED)} disks opened, or not, as they should be")


if __name__ == "__main__":
    main()
