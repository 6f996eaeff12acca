#!/usr/bin/env python3
"""Partitions, arrays, volumes and file systems on devices that are themselves device-mapper's or md's, in User-mode Linux.

What is partitioned was there before: a map as multipathd makes it, an array of mdadm's, a volume of cryptsetup's. The
witnesses are sgdisk, kpartx, dmsetup, mdadm, blkid, fsck and the kernel's mount."""

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
PATH, ARRAY, VOLUME = "/dev/mapper/mpatha", "/dev/md127", "/dev/mapper/pre"
FIRST = {
    "disks": [{"device": PATH, "partitions": [{"number": 1, "label": "one", "sizeMiB": 40}, {"number": 2, "label": "two", "sizeMiB": 30}]},
              {"device": ARRAY, "partitions": [{"number": 1, "sizeMiB": 20}, {"number": 2, "sizeMiB": 40}]},
              {"device": VOLUME, "partitions": [{"number": 3, "sizeMiB": 40}]}],
    "raid": [{"name": "mixed", "level": "raid1", "devices": [f"{ARRAY}p2", f"{VOLUME}p3"]}],
    "luks": [{"name": "in", "device": f"{PATH}p2", "options": QUICK_KEY}],
    "filesystems": [{"device": f"{PATH}p1", "format": "ext4", "path": "/one"}, {"device": f"{ARRAY}p1", "format": "vfat"},
                    {"device": "/dev/md/mixed", "format": "ext4", "path": "/mixed"},
                    {"device": "/dev/mapper/in", "format": "ext4", "path": "/in"}],
}
GROWN = {"disks": [{"device": PATH, "partitions": [
    {"number": 1, "label": "one", "sizeMiB": 80, "resize": True},
    {"number": 2, "shouldExist": False, "wipePartitionEntry": True}]}]}
WIPED = {"disks": [{"device": PATH, "wipeTable": True}]}
SCRIPT = """\
set -eux
trap 'lsblk; dmsetup table; cat /proc/mdstat; dmesg | tail -n 15' EXIT
export IGNITION_DEVICE_TIMEOUT=20
mkdir -p /run/root
run() {{ IGNITION_CONFIG_FILE={dir}/$1 {ignition} --platform=file --log-to-stdout --root=/run/root --config-cache=/run/cache.$1 --state-file=/run/state.$1 --neednet=/run/neednet --stage=$2; }}
provision() {{ run $1 fetch && run $1 disks; }}
refused() {{ if provision $1 >/run/said; then exit 1; fi; cat /run/said; grep "$2" /run/said; }}

dmsetup create mpatha --uuid mpath-3600508b400105e21 --table "0 $(blockdev --getsz /dev/ubda) linear /dev/ubda 0"
yes | mdadm --create {array} --level=raid1 --raid-devices=2 --metadata=1.2 /dev/ubdb /dev/ubdc
printf key | cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/ubdd -
printf key | cryptsetup open --key-file=- /dev/ubdd pre

provision first
run first mount
for disk in {path} {array} {volume}; do sgdisk --verify $disk | grep 'No problems found'; done
sgdisk -i 2 {path} | grep "Partition name: 'two'"
# As kpartx has it: which finds nothing to do.
dmsetup ls | sort >/run/before
kpartx -l -p p {path}
test "$(kpartx -l -p p {path} | awk '{{ print $1, $4, $6 }}')" = "$(printf 'mpathap1 81920 2048\\nmpathap2 61440 83968')"
kpartx -a -p p {path}
kpartx -a -p p {volume}
dmsetup ls | sort | diff /run/before -
test "$(dmsetup info -c --noheadings -o uuid mpathap2)" = part2-mpath-3600508b400105e21
test "$(blockdev --getsize64 {array}p2)" = 41943040
mdadm --detail /dev/md/mixed | grep 'Raid Level : raid1'
mdadm --detail /dev/md/mixed | grep 'active sync *{array}p2'
cryptsetup luksDump {path}p2 | grep UUID
test "$(blkid -p -s TYPE -o value {array}p1)" = vfat
for place in one mixed in; do findmnt -n -o FSTYPE /run/root/$place | grep ext4; echo kept >/run/root/$place/file; done

# In use: nothing of it is touched.
refused wiped 'refusing to wipe active disk {path}: partition 1 is mounted at /run/root/one\\|partition 2 is held by'
refused grown 'refusing to modify active partition [12] on {path}'
umount /run/root/one
refused grown 'refusing to modify active partition 2 on {path}'
test "$(dmsetup table mpathap1 | cut -d ' ' -f 2)" = 81920
umount /run/root/in
cryptsetup close in
provision grown
test "$(dmsetup table mpathap1)" = "0 163840 linear $(lsblk -n -d -o MAJ:MIN {path} | tr -d ' ') 2048"
if test -e {path}p2; then exit 1; fi
test "$(kpartx -l -p p {path} | awk '{{ print $1, $4, $6 }}')" = "mpathap1 163840 2048"
fsck.ext4 -fn {path}p1
mount {path}p1 /run/root/one
grep -x kept /run/root/one/file
umount /run/root/one
provision wiped
if test -e {path}p1; then exit 1; fi
echo PROVED
"""


def main():
    directory = slipway.scratch()
    try:
        for name, storage in (("first", FIRST), ("grown", GROWN), ("wiped", WIPED)):
            (directory / name).write_text(json.dumps({"ignition": {"version": "3.4.0"}, "storage": storage}))
        script = SCRIPT.format(dir=directory, ignition=slipway.IGNITION, path=PATH, array=ARRAY, volume=VOLUME)
        uml.prove(script, directory, "abcd", 128 << 20, MODULES, 300)
        print("device-mapper and md devices are partitioned, changed only when unused, and what is on them is found by others")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
