#!/usr/bin/env python3
"""What a block of /usr that does not match leads to, for each "onCorruption" of a manifest: from the manifest over the UKI's
command line and systemd's own programs, or ours where the root hash is signed, to what a kernel does. In User-mode Linux, which
would start itself again when it restarts (now and then without end): the guest takes that from it."""

import pathlib
import re
import shlex
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
import uki
import uml
from tiny import Key, Tiny

PROGRAM = slipway.LIBEXEC / "slipway-usr-signature"
SYSTEMD = pathlib.Path("/usr/lib/systemd")
BLOCK = 4096

# The kernel's words are what systemd would read; a machine in a container would show it that one's instead.
GUEST = """
set -eu
rm "$(tr ' ' '\\n' </proc/cmdline | sed -n s/^uml_dir=//p)linux"
mkdir -p /dev/disk/by-partuuid
ln -sfn /dev/ubda2 /dev/disk/by-partuuid/{usr}
ln -sfn /dev/ubda3 /dev/disk/by-partuuid/{tree}
{open}
dd if=/dev/mapper/usr of=/dev/null bs={block} count=1 iflag=direct 2>/dev/null
echo "the first block can be read"
sync
dd if=/dev/mapper/usr of=/dev/null bs={block} skip=1 count=1 iflag=direct 2>&1 || echo "the reader went on"
"""
BY_SYSTEMD = f"""
SYSTEMD_IN_INITRD=1 SYSTEMD_PROC_CMDLINE=$(cat /proc/cmdline) {SYSTEMD}/system-generators/systemd-veritysetup-generator /run /run /run
eval "$(sed -n s/^ExecStart=//p /run/systemd-veritysetup@usr.service)"
"""
OPENERS = {"unsigned": BY_SYSTEMD, "signed": shlex.quote(str(PROGRAM))}
# What the machine says after the read, and what it must not say.
REACTIONS = {
    "error": (r"Input/output error\s.*the reader went on", "Restarting system|Kernel panic"),
    "restart": (r"Restarting system with command 'dm-verity device corrupted'", "the reader went on|Kernel panic"),
    "panic": (r"Kernel panic - not syncing: dm-verity device corrupted", "the reader went on|Restarting system"),
}


def uuid(digits):
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def command_line(efi):
    """The words that the UKI gives the kernel."""
    words = uki.sections(efi)["cmdline"].rstrip(b"\0").decode().split()
    return [w for w in words if w.startswith(("usrhash=", "systemd.verity_usr_options="))]


def compose(tiny, keys, root_hash, action):
    """A disk whose second block of /usr is not what it was; its root hash."""
    tiny.trust({"rootHash": root_hash, "onCorruption": action})
    built = tiny.build(*([] if root_hash == "unsigned" else ["--keys", keys]))
    usr = next(p for p in tiny.report()["layout"]["partitions"] if p["role"] == "usr")
    with open(tiny.artifact(".raw"), "r+b") as disk:
        disk.seek(usr["start"] + BLOCK + 100)
        byte = disk.read(1)[0]
        disk.seek(-1, 1)
        disk.write(bytes([byte ^ 1]))
    return built["rootHash"]


def said_by_guest(script, disk, arguments):
    """All that the guest has said, whatever its end."""
    try:
        return uml.run(["sh", "-c", script], [disk], arguments=arguments)[1]
    except uml.Failure as failure:
        return str(failure)


def try_action(tiny, keys, root_hash, action):
    digest = compose(tiny, keys, root_hash, action)
    script = GUEST.format(usr=uuid(digest[:32]), tree=uuid(digest[32:]), block=BLOCK, open=OPENERS[root_hash])
    said = said_by_guest(script, tiny.artifact(".raw"), command_line(tiny.artifact(".efi")))
    wanted, unwanted = REACTIONS[action]
    if "the first block can be read" not in said or not re.search(wanted, said, re.S) or re.search(unwanted, said):
        raise SystemExit(f"corruption: {root_hash}, {action!r}: {wanted!r} and not {unwanted!r} must be in:\n{said}")
    print(f"{root_hash}, {action}: {re.search(wanted, said, re.S).group().splitlines()[-1]}", flush=True)


def main():
    with Key() as key, Tiny(key) as tiny:
        keys = tiny.path / "keys"
        subprocess.run([slipway.SLIPWAY, "keygen", "--secure-boot", keys], check=True)
        for root_hash in OPENERS:
            for action in REACTIONS:
                try_action(tiny, keys, root_hash, action)
    print(f"corruption: {len(OPENERS) * len(REACTIONS)} machines did as their manifests say")


if __name__ == "__main__":
    main()
