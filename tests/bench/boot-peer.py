#!/usr/bin/env python3
"""Power-on to multi-user.target, beside an image of the same shape put together by hand: as root, after ./dev build.

The peer has the same packages, installed by mmdebstrap with all their scripts, dracut's initrd, and /usr as mkfs.erofs
writes it under veritysetup's tree; its UKI is ukify's. Both are booted in turn from the same firmware, provisioned
already; medians. Needs Debian's mmdebstrap, and the machine's registries once: the peer stays in the cache.
Argument: how many boots of each (3).
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

MIB = 1 << 20
RECIPE = 1  # of the peer: another number makes it again
# What making an image by hand needs besides.
MAKERS = ["dracut", "dracut-core", "zstd", "systemd-ukify", "systemd-boot-efi", "systemd-cryptsetup", "cryptsetup-bin",
          "erofs-utils", "e2fsprogs", "fdisk", "mtools", "dosfstools"]
# Says on the console that the boot is complete.
HERE = ("[Unit]\nAfter=multi-user.target\n[Service]\nType=simple\nStandardOutput=tty\nTTYPath=/dev/console\nStandardError=null\n"
        "ExecStart=/usr/bin/bash -c 'until systemd-analyze; do sleep 1; done'\n[Install]\nWantedBy=multi-user.target\n")
REACHED = r"multi-user.target reached after ([\w. ]+) in userspace"
TYPES = {"esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "usr": "8484680C-9521-48C6-9C11-B0720656F69E",
         "usr-verity": "77FF5F63-E7B6-4633-ACF4-1565B864C0E6", "root": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"}


def run(*argv, **more):
    return subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def repositories():
    """Debian 13 and its security updates, from where this machine gets Debian."""
    lines = run("apt-get", "indextargets", "--format", "$(LABEL) $(COMPONENT) $(REPO_URI)").splitlines()
    for label, suite in (("Debian", "trixie"), ("Debian-Security", "trixie-security")):
        place = next(line.split()[2] for line in lines if line.startswith(f"{label} main "))
        yield f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {place} {suite} main"


def install(root, packages):
    """The packages, as Debian installs them."""
    run("mmdebstrap", "--mode=root", "--variant=essential", f"--include={','.join(packages)}",
        "--aptopt=APT::Install-Recommends false", "trixie", root, *repositories())
    (root / "etc/systemd/system/here.service").write_text(HERE)
    inside(root, "systemctl enable here.service systemd-networkd.service ssh.service; systemctl set-default multi-user.target")
    inside(root, "echo root:root | chpasswd; echo peer >/etc/hostname; systemd-machine-id-setup")


def inside(root, script):
    """A shell script in the peer's root, with what tools expect to be mounted."""
    mounts = "".join(f"mount --rbind /{d} {root}/{d}; " for d in ("proc", "sys", "dev"))
    return run("unshare", "--mount", "--propagation=private", "sh", "-ec", f"{mounts} exec chroot {root} sh -ec '{script}'")


def put(disk, start, source):
    run("dd", f"if={source}", f"of={disk}", "bs=1M", f"seek={start}", "conv=notrunc,sparse", "status=none")


def lay_out(work, root_hash):
    """The partitions, in MiB; /usr is found by its root hash."""
    rows = [("esp", 256, ""), ("usr", 1024, uuid.UUID(root_hash[:32])), ("usr-verity", 16, uuid.UUID(root_hash[32:])),
            ("root", 2048, "")]
    script, start, places = "label: gpt\n", 1, {}
    for name, size, identity in rows:
        script += f"start={start}MiB,size={size}MiB,type={TYPES[name]},name={name}{f',uuid={identity}' if identity else ''}\n"
        places[name] = start
        start += size
    disk = work / "peer.raw"
    with open(disk, "wb") as out:
        out.truncate((start + 1) * MIB)
    run("sfdisk", "--quiet", disk, input=script)
    return disk, places


def boot_partition(work, root):
    """ESP with systemd's boot loader and one UKI."""
    esp = work / "esp.img"
    with open(esp, "wb") as out:
        out.truncate(256 * MIB)
    run("mkfs.vfat", "-F32", esp)
    run("mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::EFI/Linux", "::loader")
    run("mcopy", "-i", esp, root / "usr/lib/systemd/boot/efi/systemd-bootx64.efi", "::EFI/BOOT/BOOTX64.EFI")
    run("mcopy", "-i", esp, root / "peer.efi", "::EFI/Linux/peer.efi")
    return esp


def make_peer(work, root, packages):
    install(root, packages)
    kernel = next((root / "usr/lib/modules").iterdir()).name
    inside(root, f"dracut --quiet --force --no-hostonly --add systemd-veritysetup --zstd --kver {kernel} /initrd.img")
    usr, tree = work / "usr.erofs", work / "usr.verity"
    run("mkfs.erofs", "--quiet", usr, root / "usr")
    root_hash = re.search(r"Root hash:\s+([0-9a-f]{64})", run("veritysetup", "format", "--salt=-", usr, tree)).group(1)
    # The words our own layers have, as far as they are not about how /usr and ROOT are found.
    (root / "cmdline").write_text(f"usrhash={root_hash} mount.usr=/dev/mapper/usr mount.usrfstype=erofs mount.usrflags=ro "
                                  "root=/dev/disk/by-partlabel/root rw console=ttyS0 quiet oops=panic panic=10")
    inside(root, f"ukify build --linux /boot/vmlinuz-{kernel} --initrd /initrd.img --cmdline @/cmdline --output /peer.efi")
    size = (root / "initrd.img").stat().st_size
    esp = boot_partition(work, root)
    run("sh", "-c", f"rm -rf {root}/usr/* {root}/initrd.img {root}/peer.efi {root}/boot/*")
    ext4 = work / "root.ext4"
    with open(ext4, "wb") as out:
        out.truncate(2048 * MIB)
    run("mkfs.ext4", "-q", "-d", root, ext4)
    disk, places = lay_out(work, root_hash)
    for name, source in (("esp", esp), ("usr", usr), ("usr-verity", tree), ("root", ext4)):
        put(disk, places[name], source)
    (work / "initrd-size").write_text(str(size))


def peer(packages):
    """The peer's disk from the cache, and the size of its initrd."""
    key = hashlib.sha256(json.dumps([RECIPE, packages]).encode()).hexdigest()[:16]
    work = slipway.work_dir() / f"peer-{key}"
    if not (work / "done").exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        scratch = slipway.scratch()  # while it is installed, things are mounted there
        try:
            make_peer(work, scratch / "root", packages)
        finally:
            run("rm", "-rf", "--one-file-system", scratch)
        (work / "done").touch()
    return work / "peer.raw", int((work / "initrd-size").read_text())


def provisioned(disk, scratch):
    """Our disk after its first boot."""
    ours = scratch / "ours.raw"
    subprocess.run(["cp", "--sparse=always", disk, ours], check=True)
    key, public = machine.ssh_key(scratch)
    config = machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"]).unit("here.service", HERE)
    with machine.Machine(ours, config.write(scratch / "peer.ign"), snapshot=False) as vm:
        vm.wait_for(REACHED)
        vm.poweroff(key)
    return ours


def settled(disk, scratch):
    """The peer's disk after a first boot of its own, which makes caches. Somebody at its console turns it off."""
    other = scratch / "peer.raw"
    subprocess.run(["cp", "--sparse=always", disk, other], check=True)
    with machine.Machine(other, snapshot=False) as vm:
        vm.wait_for(REACHED, 3 * machine.BOOT_DEADLINE)
        for expected, answer in (("login:", "root"), ("Password:", "root"), (r"root@peer\S*#", "systemctl poweroff")):
            vm.wait_for(expected, 4 * machine.BOOT_DEADLINE)
            vm.process.stdin.write(answer.encode() + b"\r")
            vm.process.stdin.flush()
        vm.wait_end(5 * machine.BOOT_DEADLINE)
    return other


def boot(disk):
    with machine.Machine(disk) as vm:
        _, age = vm.wait_for(REACHED)
        parts = re.search(r"Startup finished[^\r\n]*", vm.console).group(0)
        print(f"  {pathlib.Path(disk).name:10s} {age:5.1f} s  {parts}", flush=True)
        return age


def main():
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        ours = slipway.real_image()
        names = sorted({p["name"] for p in ours.report()["packages"]} | set(MAKERS))
        disk, size = peer(names)
        os.environ["SLIPWAY_BENCH"] = json.dumps([str(ours.artifact(".raw")), str(disk), size, ours.report()["initrdSize"]])
    machine.enter_namespace()
    disk, other, size, own_size = json.loads(os.environ["SLIPWAY_BENCH"])
    scratch = slipway.scratch()
    try:
        ours, other = provisioned(disk, scratch), settled(other, scratch)
        times = {ours: [], other: []}
        for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
            for which, seconds in times.items():
                seconds.append(boot(which))
        a, b = slipway.median(times[ours]), slipway.median(times[other])
        print(f"boot: {a:.1f} s (initrd {own_size / MIB:.1f} MiB), the peer made by hand {b:.1f} s (initrd {size / MIB:.1f} MiB): "
              f"{a / b:.2f} of its time")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
