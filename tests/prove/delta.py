#!/usr/bin/env python3
"""what a machine fetches for real updates: bytes and requests, beside all of it, and beside RAUC's adaptive update"""

import json
import math
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import channel
import slipway
from update_site import Nginx

UPDATE = slipway.LIBEXEC / "slipway-update"
MIB = 1 << 20
# The reach, in percent of the image: with a new kernel, and without.
PERCENT = {"updated": 18, "userland": 4}
REQUESTS = 200
RAUC_BLOCK = 64 << 10  # of the bundle's squashfs, as RAUC's manual advises; 128 KiB is usual
CHUNK, DIGEST = 4096, 32
MANIFEST = """[update]
compatible=slipway
[bundle]
format=verity
[image.usr]
filename=usr.img
adaptive=block-hash-index
"""


class Host:
    """A machine on files that runs a build: its disk, its ESP, what it is told."""

    def __init__(self, path, build, key, site):
        self.path, report = path, build.report()
        (path / "esp/EFI/Linux").mkdir(parents=True)
        (path / "root").mkdir()
        subprocess.run(["cp", "--sparse=always", build.artifact(".raw"), path / "disk.raw"], check=True)
        shutil.copyfile(build.artifact(".efi"), path / f"esp/EFI/Linux/slipway_{channel.FIRST}.efi")
        (path / "cmdline").write_text(f"usrhash={report['rootHash']}\n")
        self.write("usr/lib/os-release", f"IMAGE_ID=container-host\nIMAGE_VERSION={channel.FIRST}\nSLIPWAY_TIMESTAMP=1\n")
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.write("etc/slipway/keys.d/site.ed25519", key)
        self.write("etc/slipway/update.json", json.dumps({"site": site, "channel": channel.CHANNEL}))
        (path / "root/usr/etc").mkdir()

    def write(self, name, text):
        place = self.path / "root" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def update(self, *words):
        argv = [UPDATE, "--disk", self.path / "disk.raw", "--esp", self.path / "esp", "--root", self.path / "root",
                "--cmdline", self.path / "cmdline", "--json", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"delta: slipway-update {words}: {done.stderr}")
        return json.loads(done.stdout)


def take_modules(path, build):
    """The modules of the running kernel, where the agent looks for them."""
    commit = build.report()["commit"]
    target = path / "root/usr/lib/modules"
    subprocess.run(["ostree", f"--repo={slipway.work_dir() / 'cache/repo'}", "checkout", "-U", "--subpath=/usr/lib/modules",
                    commit, target], check=True)


def served(web):
    """Bytes and requests of everything, and of what is below images/."""
    lines = web.requests()
    return sum(int(line[2]) for line in lines), len(lines)


def rauc_index(work, name, image):
    """The image's block-hash-index as `rauc bundle` makes it, and the bundle's size."""
    place, bundle = work / f"{name}.in", work / f"{name}.raucb"
    place.mkdir()
    (place / "manifest.raucm").write_text(MANIFEST)
    shutil.copyfile(image, place / "usr.img")
    for argv in (["rauc", "bundle", "--cert", work / "cert.pem", "--key", work / "key.pem", f"--mksquashfs-args=-b {RAUC_BLOCK}",
                  place, bundle],
                 ["rauc", "extract", "--keyring", work / "cert.pem", "--trust-environment", bundle, work / f"{name}.out"]):
        subprocess.run(argv, check=True, capture_output=True)
    data = (work / f"{name}.out/usr.img.block-hash-index").read_bytes()
    return [data[i:i + DIGEST] for i in range(0, len(data) - DIGEST + 1, DIGEST)], bundle.stat().st_size


def rauc(work, old, new):
    """What RAUC would fetch of its bundle: the index, and each block of the squashfs that has a chunk which the old image has not."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", work / "key.pem", "-out", work / "cert.pem",
                    "-days", "30", "-subj", "/CN=delta"], check=True, capture_output=True)
    (have, _), (want, size) = rauc_index(work, "old", old), rauc_index(work, "new", new)
    known, image = set(have), new.stat().st_size
    blocks = sorted({i * CHUNK // RAUC_BLOCK for i, digest in enumerate(want[:image // CHUNK]) if digest not in known})
    share = size / math.ceil(image / RAUC_BLOCK)  # of the bundle, for each of its blocks
    runs = sum(1 for i, block in enumerate(blocks) if i == 0 or block != blocks[i - 1] + 1)
    return len(blocks) * share + len(want) * DIGEST, runs, size


def prove_pair(made, name, scratch):
    site = scratch / f"{name}-site"
    made.publish("first", site=site)
    print(made.publish(name, site=site), end="")
    build = made.builds[name]
    image = build.report()["usrSize"]
    with Nginx(site, scratch / f"{name}-nginx") as web:
        host = Host(scratch / name, made.builds["first"], made.key, web.url)
        take_modules(scratch / name, made.builds["first"])
        host.update("plan")
        planned = served(web)
        web.log.write_text("")
        host.update("apply")
        size, requests = served(web)
    whole = sum((site / "images" / build.report()["rootHash"] / f).stat().st_size for f in ("usr.img", "usr.tree", "uki.efi"))
    images = [next((site / "images").glob(made.builds[n].report()["rootHash"])) / "usr.img" for n in ("first", name)]
    (scratch / f"{name}-rauc").mkdir()
    theirs, runs, bundle = rauc(scratch / f"{name}-rauc", *images)
    print(f"{name}: fetched {size / MIB:.1f} MiB in {requests} requests, {100 * size / image:.1f} % of the image "
          f"({image / MIB:.1f} MiB); planning took {planned[0] / MIB:.2f} MiB; all of it (image, tree, UKI) is {whole / MIB:.1f} MiB;\n"
          f"  RAUC's adaptive update, of the image alone: {theirs / MIB:.1f} MiB in {runs} runs of a bundle of {bundle / MIB:.1f} MiB",
          flush=True)
    return 100 * size / image, requests


def main():
    wanted = ["userland"] if slipway.QUICK else list(PERCENT)
    made = channel.Channel(("first", *wanted))
    scratch = slipway.scratch()
    try:
        slipway.give_to_user(scratch)
        figures = {name: prove_pair(made, name, scratch) for name in wanted}
        short = [f"{name} {percent:.1f} % in {requests} requests (at most {PERCENT[name]} %, {REQUESTS})"
                 for name, (percent, requests) in figures.items()]
        print("delta: " + ", ".join(short))
        if any(percent > PERCENT[name] or requests > REQUESTS for name, (percent, requests) in figures.items()):
            raise SystemExit(1)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
