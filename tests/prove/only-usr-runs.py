#!/usr/bin/env python3
"""only /usr runs: the ways around it, tried on a booted host, with IPE reporting and with IPE enforcing; signed containers run"""

import base64
import itertools
import lzma
import os
import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway
import trusted
import ways

TRUST = {"secureBoot": True, "rootHash": "signed", "ipe": "audit", "lockdown": True}
CONTAINER = "podman run --rm --network=none"
MODULE = "kernel/drivers/net/dummy.ko.xz"
SIGNATURE_MAGIC = b"~Module signature appended~\n"
# What starting a program costs: by turns, because the machine's own pace changes; so often in one go, so many goes.
EXECS, ROUNDS, GOES = 10, 5, 1 if slipway.QUICK else 8
PROGRAM, COPY = "/usr/bin/true", "/run/copy/true"
IPE = "/sys/kernel/security/ipe"
ALLOW_ALL = "policy_name=allowing policy_version=1.0.0\nDEFAULT action=ALLOW\n"
# IPE cannot be without any policy once it had one: one that allows all is the nearest to that.
ALLOWING = f"echo 1 >{IPE}/policies/allowing/active"
REPORTING = f"echo 0 >{IPE}/enforce; echo 1 >{IPE}/policies/slipway/active"
ENFORCING = f"echo 1 >{IPE}/enforce; echo 1 >{IPE}/policies/slipway/active"
STARTS = {"base": (ALLOWING, PROGRAM), "reporting": (REPORTING, PROGRAM), "enforcing": (ENFORCING, PROGRAM),
          "base-copy": (ALLOWING, COPY), "reporting-copy": (REPORTING, COPY)}
# A judgement is some comparisons in memory; this much of a whole start would be something else.
COST_MAX = 1.5


def unsigned(module):
    """A module of the image without its signature: the trailer says how long that is (struct module_signature)."""
    data = lzma.decompress(module)
    if not data.endswith(SIGNATURE_MAGIC):
        raise SystemExit("only-usr-runs: the image's modules are not signed")
    end = len(data) - len(SIGNATURE_MAGIC) - 12
    size = int.from_bytes(data[end + 8:end + 12], "big")
    return data[:end - size]


def signed_directory():
    return slipway.work_dir() / "signed"


def make_signed():
    """What the signed image and the unsigned one have in them: busybox, and code that must not run elsewhere."""
    shutil.rmtree(signed_directory(), ignore_errors=True)
    tree = signed_directory() / "tree"
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "var"):
        (tree / name).mkdir(parents=True)
    shutil.copy2(shutil.which("busybox"), tree / "bin/busybox")
    for tool in ("way", "execs"):
        shutil.copy2(slipway.PROGRAMS / "tests/tools" / tool, tree / "bin")
    trusted.signed_file_system(signed_directory(), tree)
    trusted.sign(signed_directory() / "allowing.p7s", ALLOW_ALL, "-nodetach")


class Host:
    """A booted host with everything in place that the ways want."""

    def __init__(self, vm, key, scratch):
        self.vm, self.key, self.scratch = vm, key, scratch
        self.variables, self.problems = "", []

    def ask(self, commands, user="root"):
        """What each of the commands of bash prints."""
        return self.vm.ask(self.key, [f"{self.variables} {command}" for command in commands],
                           "core" if user == "root" else user, "sudo bash" if user == "root" else "bash")

    def run(self, command):
        """Output of a command of root's."""
        return self.ask([command])[0]

    def must(self, command, pattern):
        output = self.run(command)
        if not re.search(pattern, output, re.M):
            self.problems.append(f"{command!r} must print {pattern!r}, not {output!r}")
        return output

    def prepare(self):
        """What the ways want: files on ROOT, a signed file system, an image that nobody signed."""
        signed = signed_directory()
        self.vm.copy(self.key, [*signed.glob("signed.*"), signed / "tree/bin/way", signed / "tree/bin/busybox"], "/tmp/")
        self.run("mkdir -p /var/lib/proof /run/signed; mv /tmp/signed.[epv]* /var/lib/proof; chmod 755 /tmp/way; "
                 "cp /tmp/way /var/lib/proof/setuid; chmod 4755 /var/lib/proof/setuid")
        self.must("cd /var/lib/proof; veritysetup open signed.erofs signed signed.verity "
                  "--root-hash-signature=signed.p7s $(</tmp/signed.hash) && mount -o ro,nosuid,nodev /dev/mapper/signed /run/signed; "
                  "findmnt -no FSTYPE /run/signed", "^erofs")
        self.must("mkdir -p /tmp/u/bin; cp /tmp/way /tmp/busybox /tmp/u/bin; tar -C /tmp/u -c . | "
                  "podman import -q - localhost/unsigned", "^sha256:")
        module = self.vm.ssh(self.key, f"base64 -w0 /usr/lib/modules/*/{MODULE}")
        (self.scratch / "unsigned.ko").write_bytes(unsigned(base64.b64decode(module)))
        self.vm.copy(self.key, [self.scratch / "unsigned.ko"], "/tmp/")
        self.variables = "SIGNED=/run/signed;"

    def start_unsigned(self):
        """A container whose files root finds on the host."""
        self.must("podman run -d -q --name unsigned --network=none localhost/unsigned /bin/busybox sleep 9999",
                  "^[0-9a-f]{64}$")
        merged = self.must("podman mount unsigned", "^/var/lib/containers/").split()[-1]
        self.variables += f"MERGED={merged};"

    def try_ways(self, tried):
        """tried: ways, and what is expected of each: who stops it, if anybody, and a pattern of how that looks."""
        for user, group in itertools.groupby(tried, lambda pair: pair[0].user):
            group = list(group)
            outputs = self.ask([("rm -f /run/way-ran; " if user == "root" else "") + w.command for w, _ in group], user)
            for (w, (by, pattern)), output in zip(group, outputs):
                ran = re.search("^" + ways.RAN + "$", output, re.M)
                if bool(ran) != (by is None) or not re.search(pattern, output, re.S | re.M):
                    self.problems.append(f"{w.user}: {w.name}: expected {by or 'that it works'}, got {output!r}")


def times_of_starts(host):
    """One go: milliseconds that a start takes, in each round."""
    names = list(STARTS)
    turns = [name for n in range(ROUNDS) for name in names[n:] + names[:n]]
    said = host.run("\n".join(f"{STARTS[name][0]}; echo {name} $($SIGNED/bin/execs {EXECS} {STARTS[name][1]})" for name in turns))
    times = {name: [int(t) / 1000 for t in re.findall(rf"^{name} (\d+)$", said, re.M)] for name in names}
    if [len(t) for t in times.values()] != [ROUNDS] * len(names):
        raise SystemExit(f"only-usr-runs: {ROUNDS} rounds must be in:\n{said}")
    return times


def check_cost(host):
    """What IPE costs who starts programs: a program of /usr, and a copy of it that nobody signed, of which each start is reported. Leaves
    IPE as it was."""
    host.vm.copy(host.key, [signed_directory() / "allowing.p7s"], "/tmp/")
    host.must(f"cat /tmp/allowing.p7s >{IPE}/new_policy; mkdir /run/copy; mount -t tmpfs copy /run/copy; "
              f"cp {PROGRAM} {COPY}; {COPY} && echo runs", "^runs$")
    goes = [times_of_starts(host) for _ in range(GOES)]
    times = {name: [t for go in goes for t in go[name]] for name in STARTS}
    host.must(f"{REPORTING}; echo 1 >{IPE}/policies/allowing/delete; umount /run/copy; ls {IPE}/policies; cat {IPE}/enforce", r"\Aslipway\s+0")
    figures = []
    for name, base in (("reporting", "base"), ("enforcing", "base"), ("reporting-copy", "base-copy")):
        # Each is compared with its own round's.
        ratio = slipway.median([a / b for a, b in zip(times[name], times[base])])
        figures.append(f"{name} {slipway.median(times[name]):.1f} of {slipway.median(times[base]):.1f} ms, {ratio:.2f} times")
        if ratio > COST_MAX and base == "base":
            host.problems.append(f"{name}: a start of a program takes {ratio:.2f} times as long")
    print(f"{GOES * ROUNDS} × {EXECS} starts of {PROGRAM}: {'; '.join(figures)}", flush=True)


def check_containers(host, unsigned_runs):
    """A container from a signed file system runs either way; what it writes for itself is not signed."""
    signed = f"{CONTAINER} --rootfs /run/signed:O"
    host.must(f"{signed} /bin/way", f"^{ways.RAN}$")
    pattern = f"^{ways.RAN}$" if unsigned_runs else "[Pp]ermission denied"
    host.must(f"{signed} /bin/busybox sh -c '/bin/busybox cp /bin/way /tmp/w; /tmp/w'", pattern)
    host.must(f"{CONTAINER} localhost/unsigned /bin/way", pattern)


def check_host(host):
    host.must("systemctl is-system-running --wait", r"\Arunning$")
    host.must("cat /sys/kernel/security/ipe/policies/slipway/active", "^1$")
    host.must("cat /sys/kernel/security/lockdown /sys/module/module/parameters/sig_enforce", r"\[integrity\].*\sY$")
    # Signed modules that containers' networks want.
    host.must("modprobe -a nft_masq nft_chain_nat veth && lsmod", "^nft_masq")


def boot(disk, config, key, work):
    """Runs work(host) on a machine with Secure Boot, whose firmware takes the image's keys. Returns what was not as it must be."""
    scratch = slipway.scratch()
    try:
        with machine.Machine(disk, config, options=("--secure-boot",)) as vm:
            vm.wait_for("login:", 2 * machine.BOOT_DEADLINE)
            host = Host(vm, key, scratch)
            work(host)
            return host.problems
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def report_then_enforce(host):
    """Every way, with IPE reporting; then those that IPE closes, enforced at run time."""
    check_host(host)
    host.prepare()
    check_cost(host)
    host.start_unsigned()
    check_containers(host, True)
    host.try_ways((w, w.plain) for w in ways.WAYS)
    host.must("journalctl -k -b -o cat -g ipe_op= --no-pager | grep -c enforcing=0", "^[1-9][0-9]*$")
    host.must("echo 1 >/sys/kernel/security/ipe/enforce; cat /sys/kernel/security/ipe/enforce", "^1$")
    check_containers(host, False)
    host.try_ways((w, w.enforced) for w in ways.WAYS if w.enforced != w.plain)
    host.must("systemctl --failed --no-legend --plain | grep -v -e run-p -e run-u; systemctl is-active ssh.socket", r"\Aactive$")


def enforce_from_the_start(host):
    """An image that enforces from the initrd on; nobody can turn it off."""
    check_host(host)
    host.prepare()
    check_containers(host, False)
    host.must("echo 0 >/sys/kernel/security/ipe/enforce; cat /sys/kernel/security/ipe/enforce", "^1$")
    host.try_ways((w, w.enforced) for w in ways.WAYS if "MERGED" not in w.command)


# What the image's manifest says of IPE → what is shown with it.
MODES = {"audit": report_then_enforce, "enforce": enforce_from_the_start}


def figures():
    """How many there are, are stopped in any case, are stopped once IPE enforces, and are not."""
    stopped = sum(1 for w in ways.WAYS if w.plain[0])
    documented = sum(1 for w in ways.WAYS if not w.enforced[0])
    return len(ways.WAYS), stopped, len(ways.WAYS) - stopped - documented, documented


def main():
    wanted = sys.argv[1:] or (["audit"] if slipway.QUICK else MODES)
    modes = [(mode, MODES[mode]) for mode in wanted]
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        make_signed()
        for mode, _ in modes:
            disk = trusted.image(f"trusted-{mode}", {**TRUST, "ipe": mode}).artifact(".raw")
            os.environ[f"SLIPWAY_PROOF_DISK_{mode}"] = str(disk)
    machine.enter_namespace()
    if ways.table() not in (slipway.PROJECT / "docs/only-usr-runs.md").read_text():
        raise SystemExit("only-usr-runs: docs/only-usr-runs.md has another table than tests/lib/ways.py:\n" + ways.table())
    scratch = slipway.scratch()
    try:
        key, public = machine.ssh_key(scratch)
        config = machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"])
        config = config.user("worker", sshAuthorizedKeys=[public], shell="/bin/bash").write(scratch / "proof.ign")
        problems = [f"{mode}: {problem}" for mode, work in modes
                    for problem in boot(os.environ[f"SLIPWAY_PROOF_DISK_{mode}"], config, key, work)]
        if problems:
            raise SystemExit("only-usr-runs:\n" + "\n".join(problems))
        total, stopped, ipe, documented = figures()
        print(f"only-usr-runs: {total} of {total} ways behave as documented: {stopped} stopped, {ipe} more once IPE "
              f"enforces, {documented} documented")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
