#!/usr/bin/env python3
"""ignition's arrays and encrypted volumes in User-mode Linux, which has md and device-mapper.

The first guest provisions two disks, is provisioned again (as after a cut: the key that was
generated is lost), also with half an array that udev holds, and finishes; the checks are those of mdadm, cryptsetup and mount.
"""

import json
import pathlib
import shutil
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests" / "lib"), str(PROJECT / "tests" / "boot")]
import slipway
import uml

MODULES = ("cbc", "ecb", "xts", "dm-crypt", "algif_skcipher", "raid1")
QUICK_KEY = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
STORAGE = {
    "disks": [{"device": "/dev/ubda", "partitions": [{"number": 1, "sizeMiB": 40}, {"number": 2, "label": "b"}]},
              {"device": "/dev/ubdb", "partitions": [{"number": 1, "sizeMiB": 40}, {"number": 2}]}],
    "raid": [{"name": "data", "level": "raid1", "devices": ["/dev/ubda1", "/dev/ubdb1"]}],
    "luks": [{"name": "secret", "device": "/dev/ubda2", "label": "vault", "options": QUICK_KEY, "discard": True},
             {"name": "deep", "device": "/dev/md/data", "options": QUICK_KEY},
             {"name": "given", "device": "/dev/ubdb2", "options": QUICK_KEY, "keyFile": {"source": "data:,passphrase"}}],
    "filesystems": [{"device": "/dev/mapper/deep", "format": "ext4", "path": "/var"},
                    {"device": "/dev/mapper/secret", "format": "ext4", "label": "s", "path": "/var/secret"},
                    {"device": "/dev/mapper/given", "format": "swap"}],
}
UDEVADM = """\
#!/bin/sh
mdadm --incremental "$3" || true
"""
# udev is quicker, once.
MDADM = """\
#!/bin/sh
if test "$1" = --create -a ! -e /run/raced; then
    touch /run/raced
    /sbin/mdadm --incremental /dev/ubda1
fi
exec /sbin/mdadm "$@"
"""
SCRIPT = """\
set -eux
trap 'cat /proc/mdstat; dmesg | tail -n 25' EXIT
export IGNITION_CONFIG_FILE={dir}/config IGNITION_DEVICE_TIMEOUT=20
mkdir -p /run/root
run() {{ {ignition} --platform=file --log-to-stdout --root=/run/root --config-cache=/run/cache --state-file=/run/state --neednet=/run/neednet --stage=$1; }}
run fetch
run disks
cp /run/state /run/state.first
run disks
# One member has its superblock, the other not yet, and udev makes half an array of it whenever it sees the member.
cryptsetup close deep
mdadm --stop /dev/md/data
mdadm --zero-superblock /dev/ubdb1
mkdir -p /run/udev
touch /run/udev/control
PATH={dir}:$PATH udevadm trigger --settle /dev/ubda1
grep inactive /proc/mdstat
PATH={dir}:$PATH MDADM_NO_UDEV=1 run disks >/run/said
grep 'stopping /dev/md[0-9]*, which an earlier attempt made' /run/said
test -e /run/raced
rm -r /run/udev
run mount
mdadm --detail /dev/md/data | grep 'Raid Level : raid1'
cryptsetup status secret | grep discards
test "$(blkid -p -s TYPE -o value /dev/mapper/given)" = swap
findmnt -n -o FSTYPE /run/root/var/secret | grep ext4
cryptsetup luksDump /dev/ubda2 | grep slipway-unfinished
export IGNITION_CONFIG_FILE={dir}/stacked
ignition_cache=/run/cache.stacked
{ignition} --platform=file --log-to-stdout --root=/run/root --config-cache=$ignition_cache --state-file=/run/state.stacked --neednet=/run/neednet --stage=fetch
if {ignition} --platform=file --log-to-stdout --root=/run/root --config-cache=$ignition_cache --state-file=/run/state.stacked --neednet=/run/neednet --stage=disks >/run/said; then exit 1; fi
cat /run/said
grep 'held by md[0-9]*, held by dm-[0-9]*, mounted at /run/root/var$' /run/said
export IGNITION_CONFIG_FILE={dir}/config
run files
cat /run/root/etc/crypttab
test "$(stat -c %a /run/root/etc/luks)" = 700
test "$(stat -c %a:%s /run/root/etc/luks/secret)" = 600:8192
cryptsetup open --test-passphrase --key-file=/run/root/etc/luks/secret /dev/ubda2
printf passphrase | cryptsetup open --test-passphrase --key-file=- /dev/ubdb2
uuid=$(cryptsetup luksUUID /dev/ubda2)
grep -x "secret UUID=$uuid /etc/luks/secret luks,x-initrd.attach" /run/root/etc/crypttab
run umount
if cryptsetup luksDump /dev/ubda2 | grep slipway-unfinished; then exit 1; fi
if run disks; then exit 1; fi
test "$(cryptsetup luksUUID /dev/ubda2)" = "$uuid"
echo PROVED
"""


def main():
    directory = slipway.scratch()
    try:
        (directory / "config").write_text(json.dumps({"ignition": {"version": "3.4.0"}, "storage": STORAGE}))
        (directory / "stacked").write_text(json.dumps({"ignition": {"version": "3.4.0"}, "storage": {
            "disks": [{"device": "/dev/ubdb", "wipeTable": True}]}}))
        for name, text in (("udevadm", UDEVADM), ("mdadm", MDADM)):
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        uml.prove(SCRIPT.format(dir=directory, ignition=slipway.IGNITION), directory, "ab", 128 << 20, MODULES, 300)
        print("arrays and encrypted volumes are made, made again after a cut, and left alone when finished")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
