"""The ways around "only /usr runs", as a table: what is tried on a host, by whom, and what comes of it.

Commands are bash. They have /tmp/way (tests/tools/way.c: code that must not run), $MERGED (the root of a running container's files on the
host), $SIGNED (a mounted file system with a signed root hash that has way, too), /tmp/unsigned.ko. A way that works shows RAN.
"""

import collections

RAN = "native code ran"
# What stopped it, and how that looks.
NOEXEC = ("noexec", "Permission denied|failed to map segment|exit 203|ls: cannot access")
PERMISSION = ("permissions", "Permission denied|[Nn]ot permitted|must be superuser|failed to setup loop device")
ABSENT = ("its absence", r"\A\s*\Z")
SYSCTL = ("a sysctl", "Operation not permitted|Permission denied")
PROC_MEM = ("proc_mem.force_override", "Input/output error")
LOCKDOWN = ("lockdown", "Operation not permitted|Required key not available|Key was rejected by service")
VERITY = ("dm-verity", "Operation not permitted|Read-only|Permission denied")
IPE = ("IPE", "Permission denied|exit 203")
WORKS = (None, RAN)

# `enforced`: the same once IPE enforces its policy.
Way = collections.namedtuple("Way", "name user command plain enforced")


def way(name, user, command, plain, enforced=None):
    return Way(name, user, command, plain, enforced or plain)


MARK = "ls /run/way-ran 2>&1 && echo " + RAN

WAYS = [
    way("a program in /tmp, /var/tmp, /home, /dev/shm, /run/user", "worker",
        "for d in /tmp /var/tmp ~ /dev/shm /run/user/$UID; do cp /tmp/way $d/w; $d/w; rm -f $d/w; done", NOEXEC),
    way("the dynamic linker, for a program on ROOT", "worker",
        f"cp /usr/bin/echo ~/e; /lib64/ld-linux-x86-64.so.2 ~/e {RAN}", NOEXEC),
    way("LD_PRELOAD of a library on ROOT", "worker",
        "cp /usr/lib/x86_64-linux-gnu/libz.so.1 ~/l.so; LD_PRELOAD=$HOME/l.so /usr/bin/true", NOEXEC),
    way("a script on ROOT", "worker", f"printf '#!/bin/bash\\necho {RAN}\\n' >~/s; chmod +x ~/s; ~/s", NOEXEC),
    way("a script, read by Bash", "worker", f"echo 'echo {RAN}' >~/s; bash ~/s", WORKS),
    way("another interpreter, a compiler, a debugger", "worker",
        "command -v python3 perl awk lua ruby node gcc cc as ld gdb strace", ABSENT),
    way("a file system of one's own in a user namespace", "worker",
        "unshare --user --map-root-user --mount bash -c 'mount -t tmpfs x /srv && cp /tmp/way /srv && /srv/way'",
        SYSCTL),
    way("a mounted image of one's own", "worker", "truncate -s 1M ~/fs; mount -o loop ~/fs /srv && /srv/way", PERMISSION),
    way("a setuid program of root's on ROOT", "worker", "ls -l /var/lib/proof/setuid; /var/lib/proof/setuid", NOEXEC),
    way("a program of a container", "worker", "$MERGED/bin/way", PERMISSION),
    way("a unit of one's own", "worker", "systemd-run --user -P -q /tmp/way; echo exit $?",
        ("noexec", "exit 203|Failed to connect to user scope bus")),  # where users have no manager, there is nobody to ask
    way("instructions written into one's own process", "worker",
        "read -r r _ < <(grep -m1 r-xp /proc/$$/maps); exec 4>/proc/self/mem; "
        f"printf x | dd bs=1 seek=$((0x${{r%-*}})) conv=notrunc >&4 && echo {RAN}", PROC_MEM),
    way("instructions written into another process", "worker",
        f"sleep 9 & printf x | dd of=/proc/$!/mem bs=1 seek=4096 conv=notrunc && echo {RAN}", SYSCTL),

    way("a new file system", "root", "mount -t tmpfs x /srv; cp /tmp/way /srv; /srv/way; umount /srv", WORKS, IPE),
    way("/tmp, mounted again without noexec", "root",
        "mount -o remount,exec /tmp; /tmp/way; mount -o remount,noexec /tmp", WORKS, IPE),
    way("a bind mount without noexec", "root",
        "mount --bind /tmp /srv; mount -o remount,bind,exec /srv; /srv/way; umount /srv", WORKS, IPE),
    way("an image of root's own", "root",
        "truncate -s 8M /var/fs; mkfs.ext4 -q /var/fs; mount -o loop /var/fs /srv; cp /tmp/way /srv; /srv/way; umount /srv",
        WORKS, IPE),
    way("a program of a container", "root", "$MERGED/bin/way", WORKS, IPE),
    way("a unit in /run", "root", "systemd-run -P -q /tmp/way; echo exit $?", NOEXEC),
    way("a system extension without signature", "root",
        "e=/run/extensions/w; mkdir -p $e/usr/bin $e/usr/lib/extension-release.d; cp /tmp/way $e/usr/bin; "
        "echo ID=_any >$e/usr/lib/extension-release.d/extension-release.w; systemd-sysext merge; /usr/bin/way; "
        "systemd-sysext unmerge", WORKS, IPE),
    way("a file in memory (memfd), by code that may run", "root", "$SIGNED/bin/way memfd /tmp/way", WORKS, IPE),
    way("memory of no file, by code that may run", "root", "$SIGNED/bin/way anonymous", WORKS, IPE),
    way("another process, traced by code that may run", "root", "$SIGNED/bin/way trace", WORKS),
    way("the program that the kernel gives core dumps to", "root",
        "p=/proc/sys/kernel/core_pattern; o=$(<$p); echo '|/tmp/way' >$p; bash -c 'ulimit -c unlimited; kill -SEGV $$'; "
        f"sleep 1; echo \"$o\" >$p; {MARK}", NOEXEC),
    way("the program that the kernel loads modules with", "root",
        "p=/proc/sys/kernel/modprobe; o=$(<$p); echo /tmp/way >$p; ip link add x type nothing; "
        f"echo \"$o\" >$p; {MARK}", NOEXEC),
    way("a program for a kind of files (binfmt_misc)", "root",
        "b=/proc/sys/fs/binfmt_misc; modprobe binfmt_misc; mount -t binfmt_misc b $b; mount -t tmpfs x /srv; "
        "echo ':w:E::wx::/tmp/way:' >$b/register; echo x >/srv/f.wx; chmod +x /srv/f.wx; /srv/f.wx; "
        "echo -1 >$b/w; umount /srv $b", NOEXEC),
    way("a kernel module without signature", "root", f"insmod /tmp/unsigned.ko && echo {RAN}", LOCKDOWN, IPE),
    way("another kernel (kexec), by code that may run", "root", "$SIGNED/bin/way kexec", SYSCTL),
    way("the kernel's memory (/dev/mem)", "root", f"head -c1 /dev/mem && echo {RAN}", LOCKDOWN),
    way("the device under /usr", "root", f"printf x | dd of=/dev/mapper/usr bs=1 conv=notrunc && echo {RAN}", VERITY),
]


def table():
    """The table as docs/only-usr-runs.md has it."""
    def verdict(expected):
        return f"stopped by {expected[0]}" if expected[0] else "**works**"
    names = {"worker": "a user", "root": "root"}
    rows = [f"| {names[w.user]} | {w.name} | {verdict(w.plain)} | {verdict(w.enforced)} |" for w in WAYS]
    return "\n".join(["| who | way | IPE reports | IPE enforces |", "|---|---|---|---|", *rows])
