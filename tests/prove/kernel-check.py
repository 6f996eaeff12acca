#!/usr/bin/env python3
"""slipway kernel check agrees with moby's and lxc's own checks, and notices every option that is taken away"""

import gzip
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
from kernel_config import FRAGMENTS, options, real_file

EVERY = 12 if slipway.QUICK else 1  # which of the options the peers are asked for, one by one
# Package → the script in it.
PEERS = {"docker.io": "check-config.sh", "lxc": "lxc-checkconfig"}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Verdicts that mean: it is there, as a module at least.
PRESENT = {True: ("ok", "module-instead-of-builtin"), False: ("not-off",)}


def fetch(package, name):
    """A script out of a package of this machine's archive; the package is not installed."""
    place = slipway.work_dir() / "peers"
    script = place / name
    if script.exists():
        return script
    shutil.rmtree(place / package, ignore_errors=True)
    (place / package).mkdir(parents=True)
    subprocess.run(["apt-get", "download", "-q", package], cwd=place / package, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deb = next((place / package).glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", deb, place / package / "root"], check=True)
    shutil.copy(next((place / package / "root").rglob(name)), script)
    shutil.rmtree(place / package)
    return script


class Peers:
    """What others say of a configuration: option → whether it is there."""

    def __init__(self, scratch):
        self.moby, self.lxc = (fetch(*peer) for peer in PEERS.items())
        # The label that lxc's script prints for an option.
        self.labels = dict(re.findall(r'echo -n "([^"]+): " && is_enabled (CONFIG_\w+)',
                                      self.lxc.read_text()))
        self.labels["Cgroup memory controller"] = "CONFIG_MEMCG"
        # Both read the configuration once for every option: zgrep is a script that would start five
        # programs to find out that the file is not compressed.
        path = scratch / "bin"
        path.mkdir()
        (path / "zgrep").symlink_to(shutil.which("grep"))
        self.environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}

    def run(self, *argv, **more):
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False,
                              timeout=120 + slipway.SLACK, env=self.environment | more)
        return COLOUR.sub("", done.stdout)

    def by_moby(self, config):
        said = self.run("bash", self.moby, config)
        return {name: answer.startswith("enabled") for name, answer in
                re.findall(r"- (CONFIG_\w+): (enabled|missing)", said)}

    def by_lxc(self, config):
        said = dict(re.findall(r"^(.+?): (enabled|missing|required)", self.run("sh", self.lxc, CONFIG=str(config)),
                               re.M))
        return {self.labels[label]: answer == "enabled" for label, answer in said.items()
                if label in self.labels}


def ours(config, *fragments):
    """(exit status, option → verdict, option → wanted) for these fragments."""
    done = subprocess.run([slipway.SLIPWAY, "kernel", "check", config, "--json", "--fragments",
                           ",".join(map(str, fragments))],
                          capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"slipway kernel check: exit {done.returncode}: {done.stderr}")
    rows = json.loads(done.stdout)["options"]
    return done.returncode, {o["option"]: o["verdict"] for o in rows}, {o["option"]: o["wanted"] for o in rows}


def compare(who, theirs, verdicts, wanted):
    """How many options both know; they must say the same of each."""
    shared = sorted(set(theirs) & set(verdicts))
    for name in shared:
        there = verdicts[name] in PRESENT[wanted[name] != "n"]
        if there != theirs[name]:
            raise SystemExit(f"{name}: {who} says {'there' if theirs[name] else 'missing'}, we say "
                             f"{verdicts[name]} (wanted: {wanted[name]})")
    return shared


def mutated(text, option):
    """The configuration without the option; one that must be off is there."""
    line = re.compile(rf"^(?:{option.name}=.*|# {option.name} is not set)\n", re.M)
    instead = f"{option.name}=y\n" if option.value == "n" else f"# {option.name} is not set\n"
    return line.sub("", text) + instead


def notice(text, path, peers, option, fragment, shared):
    """Whether the option's absence is seen, by us and by those who know it."""
    path.write_text(mutated(text, option))
    status, verdicts, wanted = ours(path, fragment)
    expected = "not-off" if option.value == "n" else "missing"
    if status != 1 or verdicts[option.name] != expected:
        raise SystemExit(f"{fragment.name}: {option.name} taken away: exit {status}, {verdicts[option.name]}")
    for who, known, ask in shared:
        if option.name in known:
            compare(who, ask(path), verdicts, wanted)


def carried(path, text, expected):
    """The image's own vmlinuz can be looked into; with another payload it tells what that carries."""
    image = real_file("vmlinuz")
    path.write_bytes(image)
    done = subprocess.run([slipway.SLIPWAY, "kernel", "check", path], capture_output=True, text=True, check=False)
    if done.returncode != 1 or "does not carry its configuration" not in done.stderr:
        raise SystemExit(f"vmlinuz: exit {done.returncode}: {done.stderr}")
    sectors, offset = image[0x1f1] or 4, struct.unpack_from("<I", image, 0x248)[0]
    plain = bytes(1 << 20) + b"IKCFG_ST" + gzip.compress(text.encode()) + b"IKCFG_ED" + bytes(1 << 20)
    payload = gzip.compress(plain)
    path.write_bytes(image[:0x24c] + struct.pack("<I", len(payload)) +
                     image[0x250:(sectors + 1) * 512 + offset] + payload)
    if ours(path, *FRAGMENTS)[1] != expected:
        raise SystemExit("vmlinuz that carries the configuration: other verdicts than of the file")


def main():
    scratch = slipway.scratch()
    try:
        peers, path, text = Peers(scratch), scratch / "config", real_file("config").decode()
        path.write_text(text)
        status, verdicts, wanted = ours(path, *FRAGMENTS)
        if status != 0:
            raise SystemExit(f"the image's kernel lacks what is required: {verdicts}")
        carried(scratch / "vmlinuz", text, verdicts)
        shared = [(who, compare(who, ask(path), verdicts, wanted), ask)
                  for who, ask in (("moby", peers.by_moby), ("lxc", peers.by_lxc))]
        asked = {who: 0 for who, _, _ in shared}
        count = 0
        for fragment in FRAGMENTS:
            for number, option in enumerate(options(fragment)):
                if not option.required or verdicts[option.name] == "not-applicable":
                    continue
                # Of those that several fragments ask for, and whatever is no container's, we are
                # asked alone; the peers are slow.
                theirs = shared if fragment.stem == "container" and number % EVERY == 0 else []
                notice(text, path, peers, option, fragment, theirs)
                count += 1
                for who, known, _ in theirs:
                    asked[who] += option.name in known
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    (_, moby, _), (_, lxc, _) = shared
    if len(moby) < 40 or len(lxc) < 15 or asked["moby"] < 25 // EVERY or asked["lxc"] < 10 // EVERY or \
            count < 250:
        raise SystemExit(f"too little was compared: {len(moby)}, {len(lxc)}, {asked}, {count}")
    print(f"kernel-check: {len(verdicts)} options of {len(FRAGMENTS)} fragments; {len(moby)} of {len(moby)} shared with "
          f"moby's check-config and {len(lxc)} of {len(lxc)} with lxc-checkconfig judged the same; {count} mutated "
          f"configs noticed, {asked['moby']} and {asked['lxc']} of them by these two as well")


if __name__ == "__main__":
    main()
