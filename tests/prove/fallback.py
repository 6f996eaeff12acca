#!/usr/bin/env python3
"""a release whose checks fail, that is damaged, or that panics, falls back by itself, and the history says why"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine
import slipway

PATIENCE = 2400  # seconds for three boots that fail and one that does not, under emulation
# Less time for the checks than the image's own file gives; the same name replaces it.
HEALTH = {"checks": [{"name": "services", "units": ["systemd-journald.service", "dbus-broker.service"]}],
          "deadline": 90}
# Says on the console which release a boot came to.
WHERE = ("[Service]\nType=oneshot\nStandardOutput=tty\nTTYPath=/dev/console\n"
         "ExecStart=grep IMAGE_VERSION /usr/lib/os-release\n[Install]\nWantedBy=multi-user.target\n")
UNWELL = {"checks": [{"name": "nobody-listens", "http": {"url": "http://127.0.0.1:9/"}}]}
NOT_REACHED = "none of its 3 boots reached the host: kernel, initrd or dm-verity"


def damage(start, size):
    def do(disk, part):
        with open(disk, "r+b") as f:
            f.seek(part + start)
            f.write(bytes(size))
    return do


class Variant:
    """A broken release: what its layer adds, or what happens to its slot."""

    def __init__(self, version, reason, boots=0, files=None, options=(), tree=None, usr=None):
        self.version, self.boots, self.reason = version, boots, reason
        self.files, self.options, self.tree, self.usr = files or {}, list(options), tree, usr

    def compose(self, place):
        """Its image, with a layer of its own on top: paths, and the root hash."""
        layer, manifest = place / "layers/broken", json.loads(slipway.IMAGE.read_text())
        shutil.rmtree(layer, ignore_errors=True)
        for path, text in self.files.items():
            (layer / path).parent.mkdir(parents=True, exist_ok=True)
            (layer / path).write_text(text)
        layer.mkdir(exist_ok=True)
        (layer / "layer.json").write_text(json.dumps({
            "name": "broken", "description": "a release that must fall back",
            "kernel": {"options": self.options}}))
        manifest |= {"version": self.version, "outputs": ["raw"]}
        manifest["layers"] += ["broken"]
        (place / "layers/images/fallback.json").write_text(json.dumps(manifest))
        built = slipway.build(place, slipway.work_dir() / f"fallback-{self.version}",
                              slipway.work_dir() / "cache", manifest="fallback")
        return {"raw": str(built.artifact(".raw")), "efi": str(built.artifact(".efi")),
                "rootHash": built.answer["rootHash"]}


# The initrd waits for what never comes; its deadline is shorter than the image's.
INITRD = "initrd/usr/lib/systemd/system"
HANG = {
    f"{INITRD}/slipway-trial.timer.d/50-soon.conf": "[Timer]\nOnActiveSec=\nOnActiveSec=30s\n",
    f"{INITRD}/initrd-fs.target.d/50-hang.conf": "[Unit]\nRequires=hang.service\n",
    f"{INITRD}/hang.service": "[Unit]\nDefaultDependencies=no\nBefore=initrd-fs.target\n[Service]\nType=oneshot\n"
                              "ExecStart=udevadm wait /dev/nonexistent\n",
}

VARIANTS = {
    "unhealthy": Variant("1.0.1", "nobody-listens: http://127.0.0.1:9/: ", boots=3,
                         files={"files/usr/lib/slipway/health.d/unwell.json": json.dumps(UNWELL)}),
    "tree": Variant("1.0.2", NOT_REACHED, tree=damage(0, 4096)),
    "panic": Variant("1.0.3", NOT_REACHED, options=["rdinit=/nonexistent", "root=/dev/nonexistent"]),
    "data": Variant("1.0.4", NOT_REACHED, usr=damage(0, 1 << 20)),
    "hang": Variant("1.0.5", NOT_REACHED, files=HANG),
}
QUICK = ["panic"]


def partitions(disk):
    """Number, start and size (bytes) of the USR partitions and their trees, in the order of the disk."""
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], check=True, capture_output=True,
                                      text=True).stdout)["partitiontable"]["partitions"]
    found = {}
    for number, p in enumerate(table, 1):
        for kind, name in (("8484680C-9521-48C6-9C11-B0720656F69E", "usr"),
                           ("77FF5F63-E7B6-4633-ACF4-1565B864C0E6", "tree"),
                           ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "esp")):
            if p["type"].upper() == kind:
                found.setdefault(name, []).append((number, p["start"] * 512, p["size"] * 512, p["uuid"]))
    return found


def copy_bytes(source, start, target, at, size):
    with open(source, "rb") as a, open(target, "r+b") as b:
        a.seek(start)
        b.seek(at)
        while size > 0:
            data = a.read(min(size, 1 << 22))
            b.write(data)
            size -= len(data)


def entry_names(disk, esp):
    listed = subprocess.run(["mdir", "-b", "-i", f"{disk}@@{esp}", "::/EFI/Linux"], check=True,
                            capture_output=True, text=True).stdout
    return sorted(pathlib.PurePosixPath(line).name for line in listed.split())


def install(disk, variant, built, tries="+3"):
    """What an update leaves: the release in slot B, and its entry with three tries; or what some of them have left."""
    new, old = partitions(built["raw"]), partitions(disk)
    esp = old["esp"][0][1]
    for name, harm in (("usr", variant.usr), ("tree", variant.tree)):
        number, start, size, _ = old[name][1]
        copy_bytes(built["raw"], new[name][0][1], disk, start, min(size, new[name][0][2]))
        label = f"usr_{variant.version}" if name == "usr" else f"usr_verity_{variant.version}"
        subprocess.run(["sgdisk", f"--partition-guid={number}:{new[name][0][3]}",
                        f"--change-name={number}:{label}", disk], check=True, capture_output=True)
        if harm:
            harm(disk, start)
    for name in entry_names(disk, esp):
        if not name.startswith("slipway_1.0.0."):
            subprocess.run(["mdel", "-i", f"{disk}@@{esp}", f"::/EFI/Linux/{name}"], check=True)
    subprocess.run(["mcopy", "-i", f"{disk}@@{esp}", built["efi"],
                    f"::/EFI/Linux/slipway_{variant.version}{tries}.efi"], check=True)


def expect(condition, what):
    if not condition:
        raise SystemExit(f"fallback: {what}")


def history(vm, key):
    return json.loads(vm.ssh(key, "sudo slipway-update history --json"))


def kinds(events, version):
    return [e["event"] for e in events if e["version"] == version]


def power_off(vm, key):
    vm.ssh(key, "sudo systemctl poweroff --no-block", check=False)
    vm.wait_end(PATIENCE)


def provision(disk, scratch, key, public):
    """The release to fall back to: booted, blessed."""
    config = machine.Ignition().user("core", sshAuthorizedKeys=[public], groups=["sudo"])
    config.unit("where.service", WHERE)
    config.file("/etc/slipway/health.d/host.json", json.dumps(HEALTH))
    with machine.Machine(disk, config.write(scratch / "fallback.ign"), snapshot=False) as vm:
        vm.wait_for('IMAGE_VERSION="?1.0.0')
        vm.ssh(key, "systemctl is-system-running --wait", check=False, timeout=PATIENCE)
        vm.ssh(key, "sudo systemctl start slipway-bless")
        lines = vm.ssh(key, "sudo journalctl -b -u slipway-health -o cat")
        expect("services: passed" in lines, f"the checks of 1.0.0: {lines}")
        events = history(vm, key)
        expect(kinds(events, "1.0.0") == ["booted", "good"], f"1.0.0 says {events}")
        timer = vm.ssh(key, "sudo journalctl -b -u slipway-trial.timer -o cat")
        expect("Stopped slipway-trial.timer" in timer, f"the initrd's deadline: {timer}")
        power_off(vm, key)


def falls_back(vm, variant, root_hash, key):
    """After how many seconds."""
    _, seconds = vm.wait_for('IMAGE_VERSION="?1.0.0', PATIENCE)
    boots = len(re.findall(f'IMAGE_VERSION="?{re.escape(variant.version)}', vm.console))
    vm.ssh(key, "systemctl is-system-running --wait", check=False, timeout=PATIENCE)
    expect(boots == variant.boots, f"{boots} boots of {variant.version} reached the host")
    shown = vm.ssh(key, "sudo slipway-update history")
    events = [e for e in history(vm, key) if e["version"] == variant.version]
    failed = vm.ssh(key, "systemctl --failed --no-legend --plain")
    last = events[-1]
    expect(last["event"] == "fell-back" and last["tries"] == 3, f"the history ends with {last}")
    expect(last["rootHash"] == root_hash, f"root hash {last['rootHash']}, not {root_hash}")
    expect(f"fell-back (tries: 3): {variant.reason}" in shown, f"no {variant.reason!r} in {shown}")
    expect(bool(last.get("journal")) == bool(boots), f"last lines: {last.get('journal')}")
    expect(kinds(events, variant.version).count("unhealthy") == boots, f"the history is {events}")
    expect(not failed.strip(), f"failed on 1.0.0: {failed}")
    return seconds


def prove(disk, name, built, key):
    variant = VARIANTS[name]
    install(disk, variant, built)
    with machine.Machine(disk, snapshot=False) as vm:
        seconds = falls_back(vm, variant, built["rootHash"], key)
        power_off(vm, key)
    names = entry_names(disk, partitions(disk)["esp"][0][1])
    expect(names == ["slipway_1.0.0.efi", f"slipway_{variant.version}+0-3.efi"], f"entries {names}")
    print(f"{name}: back in 1.0.0 after {seconds:.0f} s, {variant.boots} of 3 boots reached the host",
          flush=True)


def compose(names):
    """The broken releases, as an ordinary user, who is not there in the namespace."""
    place = slipway.reachable_copy(slipway.work_dir() / "place-fallback")
    return {name: VARIANTS[name].compose(place) for name in names}


def main():
    names = sys.argv[1:] or (QUICK if slipway.QUICK else list(VARIANTS))
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        base = str(slipway.real_image().artifact(".raw"))
        os.environ["SLIPWAY_FALLBACK"] = json.dumps({"base": base, "broken": compose(names)})
    machine.enter_namespace()
    images = json.loads(os.environ["SLIPWAY_FALLBACK"])
    scratch = slipway.scratch()
    try:
        disk = scratch / "disk.raw"
        subprocess.run(["cp", "--sparse=always", images["base"], disk], check=True)
        key, public = machine.ssh_key(scratch)
        provision(disk, scratch, key, public)
        for name in names:
            prove(disk, name, images["broken"][name], key)
        print(f"fallback: {len(names)} broken releases fell back by themselves, with the reason in "
              "the history")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
